//! What all our HTTP clients share: how one is begun, what an error of one comes from, and how a request goes that takes the
//! users' way. Must not know who is asked.

use std::error::Error;

use reqwest::{
    Client, ClientBuilder, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect,
};

/// The way to one stack through the front that users reach. Made for each request: secrets and certificates may change.
#[derive(Debug, Clone)]
pub struct Way {
    /// Client that reaches the front, and believes its certificate.
    pub client: Client,
    /// Scheme, host and port to ask, without a path.
    pub origin: String,
    /// What the request says so that the front sends it to the stack. Secrets in it are marked as such.
    pub headers: HeaderMap,
    /// How an answer of the stack is told from one of another.
    pub mark: Mark,
}

/// How an answer of a stack is told from one of another stack, or of the front alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// A header says which stack gave it, by this value.
    Header(HeaderName, HeaderValue),
    /// The front leads to no other stack: it answers with this status itself when it does not lead there.
    AllBut(StatusCode),
}

impl Mark {
    /// Whether an answer with this status and these headers is the stack's.
    pub fn is_on(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        match self {
            Self::Header(name, value) => headers.get(name) == Some(value),
            Self::AllBut(own) => status != *own,
        }
    }
}

/// Builds a client that follows no redirect and sends no referrer. It uses the proxies that the
/// environment names, unless the caller says `no_proxy`.
pub(crate) fn client() -> ClientBuilder {
    // An error means that another provider was chosen before, and is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ClientBuilder::new().redirect(redirect::Policy::none()).referer(false)
}

/// Returns the innermost cause in one line: "connection refused" says more than "error sending request".
pub(crate) fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
