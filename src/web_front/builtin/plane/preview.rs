//! The door to the candidate: which requests ask for it, and whether they may. Takes out of each request what it says for that,
//! so that no stack ever sees a key. Must not forward anything.

use std::{net::IpAddr, path::Path};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    header::{self, HeaderName, HeaderValue},
    http::uri::PathAndQuery,
};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::{headers::take_cookies, table::Wish};
use crate::web_front::preview::{COOKIE, PATH, Preview};

/// Settings of the preview and its key.
pub(super) struct Door {
    preview: Preview,
    /// `None`: it cannot be read, and nobody is let in.
    key: Option<SecretString>,
}

/// Wish of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// What all users get.
    Users,
    /// The candidate, and without one what all users get: a browser that was let in.
    Visit,
    /// A stack: the request is sent on.
    For(Wish),
    /// To have a browser let in from now on.
    Enter,
    /// To have it let in no longer.
    Leave,
}

/// What a request says to be let in.
#[derive(Default)]
struct Said {
    header: Option<HeaderValue>,
    cookies: Vec<Vec<u8>>,
    /// Query of the link, where the request is for that.
    link: Option<String>,
}

impl Door {
    /// Reads the key. Without one nobody is let in, and users are served.
    pub(super) fn load(preview: &Preview, folder: &Path) -> Self {
        let key = preview.key(folder);
        if let Err(error) = &key {
            tracing::warn!(%error, "the key of the preview cannot be read; nobody is let in");
        }
        Self { preview: preview.clone(), key: key.ok() }
    }

    /// Takes out of a request what it says to be let in, and says what it asks for. Whoever may not is served as users are.
    pub(super) fn asks<B>(&self, request: &mut Request<B>, from: impl FnOnce(&HeaderMap) -> Option<IpAddr>) -> Asks {
        let said = self.take(request);
        let host = self.preview.host.as_deref().filter(|wanted| names(request, wanted));
        if said.header.is_none() && said.cookies.is_empty() && said.link.is_none() && host.is_none() {
            return Asks::Users;
        }
        if !self.preview.admits(from(request.headers())) {
            return Asks::Users;
        }
        let known = said.cookies.iter().any(|cookie| self.is_key(cookie));
        if let Some(query) = &said.link {
            let given = query.split('&').find_map(|part| part.strip_prefix("key="));
            if given.is_some_and(|given| self.is_key(given.as_bytes())) {
                return Asks::Enter;
            }
            if known && query == "off" {
                return Asks::Leave;
            }
        }
        if let Some(wish) = said.header.as_ref().and_then(|value| self.by_header(value)) {
            return Asks::For(wish);
        }
        if host.is_some() && (known || self.preview.is_open()) {
            return Asks::For(Wish::Candidate);
        }
        if known { Asks::Visit } else { Asks::Users }
    }

    /// `KEY`: the candidate; `KEY; NAME`: the stack of this name.
    fn by_header(&self, value: &HeaderValue) -> Option<Wish> {
        let mut parts = value.as_bytes().splitn(2, |byte| *byte == b';').map(<[u8]>::trim_ascii);
        if !self.is_key(parts.next()?) {
            return None;
        }
        let name = parts.next().and_then(|name| HeaderValue::from_bytes(name).ok());
        Some(name.map_or(Wish::Candidate, Wish::Named))
    }

    fn is_key(&self, given: &[u8]) -> bool {
        self.key.as_ref().is_some_and(|key| given.ct_eq(key.expose_secret().as_bytes()).into())
    }

    fn take<B>(&self, request: &mut Request<B>) -> Said {
        let headers = request.headers_mut();
        let mut said = Said { header: take_all(headers, &self.preview.header), ..Said::default() };
        if headers.contains_key(header::COOKIE) {
            said.cookies = take_cookies(headers, COOKIE);
        }
        if request.uri().path() == PATH {
            let get = matches!(*request.method(), Method::GET | Method::HEAD);
            said.link = get.then(|| request.uri().query().unwrap_or_default().to_owned());
            without_query(request.uri_mut());
        }
        said
    }

    /// The answer to the link: the cookie, and on to the first page.
    pub(super) fn answer(&self, asks: &Asks, secure: bool) -> Response<Bytes> {
        let secure = if secure { "; Secure" } else { "" };
        let key = self.key.as_ref().map_or("", |key| key.expose_secret());
        let cookie = match asks {
            Asks::Enter => format!("{COOKIE}={key}; Path=/; HttpOnly; SameSite=Lax{secure}"),
            Asks::Leave | Asks::Users | Asks::Visit | Asks::For(_) => {
                format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{secure}")
            }
        };
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::SEE_OTHER;
        let headers = response.headers_mut();
        headers.insert(header::LOCATION, HeaderValue::from_static("/"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
            cookie.set_sensitive(true);
            headers.insert(header::SET_COOKIE, cookie);
        }
        response
    }
}

/// Takes all fields of this name out. Two of them say nothing.
fn take_all(headers: &mut HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let one = headers.get_all(name).iter().nth(1).is_none();
    headers.remove(name).filter(|_| one)
}

/// Whether a request is for this host, whatever the port.
fn names<B>(request: &Request<B>, wanted: &str) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    // An absolute request target wins over Host.
    let host = request.uri().host().or(host.and_then(|host| host.split(':').next()));
    host.is_some_and(|host| host.eq_ignore_ascii_case(wanted))
}

/// A key must not go on to a stack, not even a wrong one that was right yesterday.
fn without_query(uri: &mut Uri) {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static(PATH));
    if let Ok(bare) = Uri::from_parts(parts) {
        *uri = bare;
    }
}
