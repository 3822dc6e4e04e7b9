//! What all our HTTP clients share: how one is begun, and what an error of one comes from. Must not know who is asked.

use std::error::Error;

use reqwest::{ClientBuilder, redirect};

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
