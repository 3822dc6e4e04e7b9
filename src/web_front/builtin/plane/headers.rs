//! Headers on their way through: what belongs to one hop is taken out, what the stack must know is put in.
//! Must not choose where a request goes.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Mutex,
};

use hyper::{
    HeaderMap, Request, Response, StatusCode, Uri, Version,
    header::{self, HeaderName, HeaderValue},
    http::uri::PathAndQuery,
};

use super::host;

/// Asks which stack answers.
pub(in crate::web_front::builtin) const PROBE_NAME: &str = "x-pointsman-probe";
pub(super) static PROBE: HeaderName = HeaderName::from_static(PROBE_NAME);
/// Says so. In a probe: which stack is asked for.
pub(in crate::web_front::builtin) const STACK_NAME: &str = "x-pointsman-stack";
pub(super) static STACK: HeaderName = HeaderName::from_static(STACK_NAME);

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Takes out what belongs to one hop, also what `Connection` names. `Trailer` stays: it describes the message.
pub(super) fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .filter(|name| *name != header::HOST && *name != header::CONTENT_LENGTH)
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(header::CONNECTION);
    }
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::UPGRADE);
    headers.remove(header::TE);
    headers.remove(&KEEP_ALIVE);
    headers.remove(&PROXY_CONNECTION);
}

/// What a client wants to change to. `h2c` is never passed on: it would take the stack's connection out of our hands.
pub(super) fn upgrade<B>(request: &Request<B>) -> Option<HeaderValue> {
    let protocol = request.headers().get(header::UPGRADE)?;
    let asked = request.headers().get_all(header::CONNECTION).iter().any(|value| has_token(value, "upgrade"));
    let fits = asked && request.version() == Version::HTTP_11 && !has_token(protocol, "h2c");
    fits.then(|| protocol.clone())
}

fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.to_str().is_ok_and(|value| value.split(',').any(|t| t.trim().eq_ignore_ascii_case(token)))
}

/// What a stack must know about the client, made once per connection.
pub(super) struct Client {
    ip: IpAddr,
    address: HeaderValue,
    node: String,
    proto: &'static str,
    behind_proxy: bool,
    /// The last `Host`, and what `Forwarded` said for it.
    forwarded: Mutex<Option<(HeaderValue, HeaderValue)>>,
}

impl Client {
    pub(super) fn new(address: IpAddr, tls: bool, behind_proxy: bool) -> Self {
        let plain = address.to_canonical();
        let node = if plain.is_ipv6() { format!("\"[{plain}]\"") } else { plain.to_string() };
        let address = HeaderValue::from_str(&plain.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self {
            ip: plain,
            address,
            node,
            proto: if tls { "https" } else { "http" },
            behind_proxy,
            forwarded: Mutex::new(None),
        }
    }

    /// The address from which a request comes: behind another proxy, what that one says last. `None`: it says nothing.
    pub(super) fn comes_from(&self, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.behind_proxy {
            return Some(self.ip);
        }
        let last = headers.get_all(&FORWARDED_FOR).iter().next_back()?.to_str().ok()?.rsplit(',').next()?.trim();
        last.parse().ok().or_else(|| Some(last.parse::<SocketAddr>().ok()?.ip()))
    }

    /// Returns the address of the client, or of the proxy before us that does not say it.
    pub(super) fn address(&self, headers: &HeaderMap) -> IpAddr {
        self.comes_from(headers).unwrap_or(self.ip)
    }

    /// Returns whether the client came by TLS, to us or to a proxy before us.
    pub(super) fn is_secure(&self, headers: &HeaderMap) -> bool {
        let said =
            || headers.get(&FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
        self.proto == "https" || (self.behind_proxy && said())
    }

    /// Puts the request into the form that a stack gets: origin form, one `Host`, and who asked. `Err`: it is not a
    /// request that has one meaning only.
    pub(super) fn prepare<B>(&self, request: &mut Request<B>) -> Result<(), &'static str> {
        let authority = request.uri().authority().map(|a| HeaderValue::from_str(host_of(a.as_str())));
        let headers = request.headers_mut();
        if let Some(authority) = authority {
            // An absolute request target wins over Host (RFC 9112, 3.2.2); HTTP/2 has nothing else.
            headers.insert(header::HOST, authority.map_err(|_| "the host is not readable")?);
        }
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().cloned();
        if hosts.next().is_some() {
            return Err("Host is set twice");
        }
        let forwarded = self.forwarded(host.as_ref()).ok_or("Host is not a host with an optional port")?;
        strip(headers);
        clean(headers, self.behind_proxy);
        headers.remove(header::PROXY_AUTHORIZATION);
        headers.remove(header::EXPECT);
        headers.remove(&HTTP2_SETTINGS);
        if request.version() == Version::HTTP_2 {
            join_cookies(request.headers_mut());
        }
        if host.is_none() && request.version() >= Version::HTTP_11 {
            return Err("Host is missing");
        }
        self.forward(request.headers_mut(), host, &forwarded);
        let target = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        if target.as_str() != "*" && !target.as_str().starts_with('/') {
            return Err("the request target is not a path");
        }
        *request.uri_mut() = Uri::from(target);
        *request.version_mut() = Version::HTTP_11;
        Ok(())
    }

    fn forward(&self, headers: &mut HeaderMap, host: Option<HeaderValue>, forwarded: &HeaderValue) {
        append(headers, &FORWARDED_FOR, &self.address);
        append(headers, &header::FORWARDED, forwarded);
        let keep = self.behind_proxy;
        if !(keep && headers.contains_key(&FORWARDED_PROTO)) {
            headers.insert(&FORWARDED_PROTO, HeaderValue::from_static(self.proto));
        }
        if !(keep && headers.contains_key(&FORWARDED_HOST)) {
            match host {
                Some(host) => headers.insert(&FORWARDED_HOST, host),
                None => headers.remove(&FORWARDED_HOST),
            };
        }
    }

    /// What `Forwarded` says. `None`: the host is not one. The last one is not looked at again.
    fn forwarded(&self, host: Option<&HeaderValue>) -> Option<HeaderValue> {
        let mut kept = self.forwarded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let (Some((last, forwarded)), Some(host)) = (&*kept, host)
            && last == host
        {
            return Some(forwarded.clone());
        }
        if host.is_some_and(|host| !host::is_valid(host.as_bytes())) {
            return None;
        }
        let named = host.and_then(|h| h.to_str().ok()).filter(|h| !h.contains(['"', '\\']));
        let host_part = named.map(|h| format!(";host=\"{h}\"")).unwrap_or_default();
        let line = format!("for={}{host_part};proto={}", self.node, self.proto);
        let line = HeaderValue::from_str(&line).unwrap_or_else(|_| HeaderValue::from_static("for=unknown"));
        *kept = host.map(|host| (host.clone(), line.clone()));
        Some(line)
    }
}

/// What only a proxy before us, or we, may say: who asks, for what, and how. With `-` for `_`.
const CLAIMS: [&str; 9] = [
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "front-end-https",
];

/// Takes out what a client must not say: what is ours always, and claims about itself unless a proxy before us makes
/// them. With an underscore no proxy makes them, and many stacks take `_` for `-`.
fn clean(headers: &mut HeaderMap, behind_proxy: bool) {
    let unwanted = |name: &&HeaderName| {
        let name = name.as_str();
        is_ours(name) || (is_claim(name) && (!behind_proxy || name.contains('_')))
    };
    let unwanted: Vec<HeaderName> = headers.keys().filter(unwanted).cloned().collect();
    for name in unwanted {
        headers.remove(name);
    }
}

fn is_ours(name: &str) -> bool {
    begins(name, "x-pointsman-")
}

fn is_claim(name: &str) -> bool {
    begins(name, "x-forwarded") || CLAIMS.iter().any(|claim| name.len() == claim.len() && begins(name, claim))
}

fn begins(name: &str, with: &str) -> bool {
    let same = |(a, b): (u8, u8)| a == b || (a == b'_' && b == b'-');
    name.len() >= with.len() && name.bytes().zip(with.bytes()).all(same)
}

/// `user@host` names no other host than `host`.
fn host_of(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// One line, as many readers look at the first line only.
fn append(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    if !headers.contains_key(name) {
        headers.insert(name, value.clone());
        return;
    }
    let mut line: Vec<u8> = Vec::new();
    for part in headers.get_all(name).iter().chain([value]) {
        if !line.is_empty() {
            line.extend_from_slice(b", ");
        }
        line.extend_from_slice(part.as_bytes());
    }
    let line = HeaderValue::from_bytes(&line).unwrap_or_else(|_| value.clone());
    headers.insert(name, line);
}

/// HTTP/2 may split cookies over several fields; HTTP/1.1 may not (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let parts: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Takes the cookies of this name out of a request, whose stack must not see them, and returns what they say. The others stay as
/// they are.
pub(super) fn take_cookies(headers: &mut HeaderMap, name: &str) -> Vec<Vec<u8>> {
    let ours = |value: &HeaderValue| value.as_bytes().windows(name.len()).any(|part| part == name.as_bytes());
    if !headers.get_all(header::COOKIE).iter().any(ours) {
        return Vec::new();
    }
    let (mut taken, mut rest) = (Vec::new(), Vec::new());
    for value in headers.get_all(header::COOKIE) {
        let mut kept: Vec<&[u8]> = Vec::new();
        for cookie in value.as_bytes().split(|&byte| byte == b';').map(<[u8]>::trim_ascii) {
            let said = cookie.strip_prefix(name.as_bytes()).and_then(|cookie| cookie.strip_prefix(b"="));
            match said {
                Some(said) => taken.push(said.to_vec()),
                None => kept.push(cookie),
            }
        }
        rest.extend(HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok().filter(|value| !value.is_empty()));
    }
    headers.remove(header::COOKIE);
    for value in rest {
        headers.append(header::COOKIE, value);
    }
    taken
}

/// The reason why an answer of a stack cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It changes the protocol, and nobody asked for that.
    Unasked,
    /// It is encoded for one hop, and not by `chunked` alone.
    Encoded,
}

/// The same for an answer. `asked` is the protocol that the client wants to change to; `stack` is for those who may know
/// which stack it is.
pub(super) fn strip_response<B>(
    response: &mut Response<B>,
    asked: Option<&HeaderValue>,
    stack: Option<&HeaderValue>,
) -> Result<(), Unfit> {
    // An old server's answer is one of ours now.
    *response.version_mut() = Version::HTTP_11;
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    let upgrade = headers.get(header::UPGRADE).cloned();
    let protocol = match (switches, asked, upgrade) {
        (false, ..) => None,
        (true, Some(asked), Some(protocol)) if is_among(&protocol, asked) => Some(protocol),
        (true, ..) => return Err(Unfit::Unasked),
    };
    if headers.contains_key(header::TRANSFER_ENCODING) {
        let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
        if !codings.all(|coding| has_token(coding, "chunked") && !coding.as_bytes().contains(&b',')) {
            return Err(Unfit::Encoded);
        }
        // Both are there, and only the encoding counts (RFC 9112, 6.3).
        headers.remove(header::CONTENT_LENGTH);
    }
    strip(headers);
    headers.remove(header::PROXY_AUTHENTICATE);
    let ours: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name.as_str())).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
    if let Some(stack) = stack {
        headers.insert(&STACK, stack.clone());
    }
    if let Some(protocol) = protocol {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
    Ok(())
}

/// Returns true when each protocol that a stack changes to was asked for, by its name.
fn is_among(protocols: &HeaderValue, asked: &HeaderValue) -> bool {
    let (Ok(protocols), Ok(asked)) = (protocols.to_str(), asked.to_str()) else { return false };
    let is_asked = |protocol: &str| asked.split(',').any(|a| a.trim().eq_ignore_ascii_case(protocol.trim()));
    protocols.split(',').all(is_asked)
}
