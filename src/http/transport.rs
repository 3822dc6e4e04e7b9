//! How a request came: encrypted, within this host, or neither. Pages and sessions are for the first two only; what the browser
//! keeps of a session is named accordingly. Must not know who asks.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use axum::extract::{FromRequestParts, Request};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use secrecy::{ExposeSecret, SecretString};

use super::{App, authentication::Peer, identity::Local};

/// How a request came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// TLS: our own, or that of the declared proxy.
    Tls,
    /// A browser on this host asks this port: peer, address and the name that it asked for are all this host's.
    Loopback(u16),
    /// Anything else: over a network, or under a name that somebody else may have pointed here.
    Plain,
}

/// Marks a connection that the server knows to be encrypted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encrypted;

/// Notes that a request came as another one did.
pub(super) fn as_it_came(other: &Extensions, request: &mut Request) {
    fn copy<T: Clone + Send + Sync + 'static>(from: &Extensions, to: &mut Extensions) {
        if let Some(known) = from.get::<T>() {
            to.insert(known.clone());
        }
    }
    let to = request.extensions_mut();
    copy::<Option<Encrypted>>(other, to);
    copy::<Peer>(other, to);
    copy::<Option<Local>>(other, to);
}

impl FromRequestParts<Arc<App>> for Way {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        Ok(Self::of(parts, app))
    }
}

impl Way {
    fn of(parts: &Parts, app: &App) -> Self {
        if parts.extensions.get::<Option<Encrypted>>().is_some_and(Option::is_some) {
            return Self::Tls;
        }
        let (Some(Peer(peer)), Some(Some(Local(local)))) =
            (parts.extensions.get::<Peer>(), parts.extensions.get::<Option<Local>>())
        else {
            return Self::Plain;
        };
        let Some(asked) = authority(parts) else { return Self::Plain };
        let near = peer.to_canonical().is_loopback();
        let public = app.door.public.as_ref().is_some_and(|public| public.authority().eq_ignore_ascii_case(asked));
        if public && (near || app.limits.is_proxy(*peer)) && said_encrypted(&parts.headers) {
            return Self::Tls;
        }
        // Behind a proxy, everybody comes from this host.
        let direct = near && local.ip().to_canonical().is_loopback() && !is_forwarded(&parts.headers);
        if direct && is_loopback(asked, *local) {
            return Self::Loopback(local.port());
        }
        Self::Plain
    }

    /// Returns the name of the cookie that holds a session. Ports of one host share their cookies, so its name has the port.
    pub(super) fn cookie(&self, what: &str) -> String {
        match self {
            Self::Loopback(port) => format!("{what}-{port}"),
            Self::Tls | Self::Plain => format!("__Host-{what}"),
        }
    }

    /// Returns the header that sets a cookie for this way only, until the browser ends or forgets.
    pub(super) fn set_cookie(&self, what: &str, value: &SecretString, seconds: u64) -> HeaderValue {
        self.set(what, value, seconds, "Strict")
    }

    /// Sets a cookie as [`Way::set_cookie`] does, which the browser sends also where a page of another site leads back
    /// here.
    pub(super) fn set_returning_cookie(&self, what: &str, value: &SecretString, seconds: u64) -> HeaderValue {
        self.set(what, value, seconds, "Lax")
    }

    fn set(&self, what: &str, value: &SecretString, seconds: u64, same_site: &str) -> HeaderValue {
        let (name, value) = (self.cookie(what), value.expose_secret());
        let secure = if *self == Self::Tls { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite={same_site}; Max-Age={seconds}{secure}");
        let mut header = HeaderValue::try_from(text).expect("digits, letters and a name are visible ASCII");
        header.set_sensitive(true);
        header
    }

    /// Returns the value of a cookie of ours; none by a way on which none is set.
    pub(super) fn read_cookie<'h>(&self, headers: &'h HeaderMap, what: &str) -> Option<&'h str> {
        if *self == Self::Plain {
            return None;
        }
        let name = self.cookie(what);
        let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// Host and port that the browser asked for.
pub(super) fn authority(parts: &Parts) -> Option<&str> {
    match parts.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => parts.headers.get(header::HOST)?.to_str().ok(),
    }
}

/// A proxy that says how it was asked is believed on it, and one that says nothing is what it was declared to be.
fn said_encrypted(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_none_or(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// Whether the name is this host's own: names of others can be made to lead here (DNS rebinding).
fn is_loopback(asked: &str, local: SocketAddr) -> bool {
    let Ok(asked) = asked.parse::<http::uri::Authority>() else { return false };
    let host = asked.host().trim_matches(['[', ']']);
    let address = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    (address || host.eq_ignore_ascii_case("localhost")) && asked.port_u16().unwrap_or(80) == local.port()
}

/// Returns whether a proxy says that it hands on what somebody else asked for.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers
        .keys()
        .map(HeaderName::as_str)
        .any(|name| matches!(name, "forwarded" | "via" | "x-real-ip") || name.starts_with("x-forwarded-"))
}

/// Whether a request that changes something was made by a page of ours, as the browser says: in `Sec-Fetch-Site`, in `Origin`, or
/// in both. What it says must be right each time.
pub(super) fn is_from_here(headers: &HeaderMap, authority: Option<&str>) -> bool {
    let sites = headers.get_all("sec-fetch-site").iter().map(|site| site == "same-origin");
    let origins = headers.get_all(header::ORIGIN).iter().map(|origin| is_of(origin, authority));
    let mut said = sites.chain(origins).peekable();
    said.peek().is_some() && said.all(|right| right)
}

/// Whether an origin is that of the host and port that were asked for.
fn is_of(origin: &HeaderValue, authority: Option<&str>) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let (Some((scheme, origin)), Some(authority)) = (origin, authority) else { return false };
    // A browser leaves the usual port out; what stands between may not.
    let usual = if scheme == "https" { ":443" } else { ":80" };
    let host = |text: &str| text.strip_suffix(usual).unwrap_or(text).to_ascii_lowercase();
    host(origin) == host(authority)
}
