//! How the provider is asked: by our own HTTP client, within a time and a size, and nowhere else than where it says. Must not
//! log what is asked or answered.

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::OnceLock,
    time::Duration,
};

use openidconnect::{AsyncHttpClient, DiscoveryError, HttpRequest, HttpResponse, UserInfoError};
use reqwest::{Certificate, Client};

use super::{beside, words};
use crate::{
    outgoing::{self, root_cause},
    settings::is_private,
    text::{excerpt, harmless},
};

/// How long a connection may take, and an answer in all.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
/// The largest answer, in bytes.
const LARGEST: usize = 1 << 20;

/// A client for one provider.
pub(super) struct Asking {
    ca: Option<PathBuf>,
    /// The provider is reached by TLS, and so is all that it names.
    tls_only: bool,
    client: OnceLock<Client>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoAnswer(String);

impl Asking {
    pub(super) fn new(ca: Option<PathBuf>, tls_only: bool) -> Self {
        Self { ca, tls_only, client: OnceLock::new() }
    }

    /// Made at the first question, so that a file that is missing keeps nobody from deploying.
    async fn client(&self) -> Result<&Client, NoAnswer> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let mut client = outgoing::client().connect_timeout(CONNECT).timeout(ANSWER);
        if let Some(path) = &self.ca {
            let path = path.clone();
            client = client.tls_certs_merge(beside(move || authorities(&path)).await.map_err(|why| {
                tracing::error!(%why, "nobody can sign in by OpenID Connect: `server.oidc.ca` cannot be used");
                NoAnswer("the certificates of `server.oidc.ca` cannot be read; the controller's log says more".into())
            })?);
        }
        let client = client.build().map_err(|error| NoAnswer(root_cause(&error)))?;
        Ok(self.client.get_or_init(|| client))
    }

    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, NoAnswer> {
        let request = reqwest::Request::try_from(request).map_err(|error| NoAnswer(root_cause(&error)))?;
        let mut place = request.url().clone();
        place.set_query(None);
        let no = |why: &str| NoAnswer(format!("{place}: {why}"));
        if !is_private(request.url()) || (self.tls_only && request.url().scheme() != "https") {
            return Err(no("it is not https, so it is not asked"));
        }
        let mut answer = self.client().await?.execute(request).await.map_err(|error| no(&why(&error)))?;
        if answer.status().is_redirection() {
            let to = answer.headers().get("location").and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
            return Err(no(&format!("it redirects to {}, which is not followed", excerpt(&harmless(to)))));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| no(&why(&error)))? {
            if body.len() + piece.len() > LARGEST {
                return Err(no(&format!("its answer is larger than {LARGEST} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        let mut response = http::Response::new(body);
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

impl<'c> AsyncHttpClient<'c> for Asking {
    type Error = NoAnswer;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, NoAnswer>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

fn why(error: &reqwest::Error) -> String {
    match error.is_timeout() {
        true => format!("no answer within {} s", if error.is_connect() { CONNECT } else { ANSWER }.as_secs()),
        false => root_cause(error),
    }
}

/// Reads certificates of authorities.
fn authorities(path: &Path) -> Result<Vec<Certificate>, String> {
    let pem = std::fs::read(path).map_err(|cause| format!("{} cannot be read: {cause}", path.display()))?;
    let found = Certificate::from_pem_bundle(&pem);
    let found = found.map_err(|error| format!("{}: {}", path.display(), root_cause(&error)))?;
    if found.is_empty() {
        Err(format!("{} has no certificate in it, which is to be PEM", path.display()))
    } else {
        Ok(found)
    }
}

/// Checks a file with certificates of authorities.
///
/// # Errors
/// Why it cannot be used.
pub(crate) fn check_ca(path: &Path) -> Result<(), String> {
    authorities(path).map(|_| ())
}

/// What became of a discovery, in the provider's words.
pub(super) fn discovery_error(error: DiscoveryError<NoAnswer>) -> String {
    match error {
        DiscoveryError::Request(error) => error.to_string(),
        DiscoveryError::Response(_, body, why) => answered(&why, &body),
        DiscoveryError::Parse(error) => format!("its description cannot be read: {}", words(&error.to_string())),
        DiscoveryError::UrlParse(error) => error.to_string(),
        DiscoveryError::Validation(why) | DiscoveryError::Other(why) => words(&why),
        other => words(&other.to_string()),
    }
}

/// What became of a question for the groups. What was answered is about a person, and is not repeated.
pub(super) fn userinfo_error(error: UserInfoError<NoAnswer>) -> String {
    match error {
        UserInfoError::Request(error) => error.to_string(),
        UserInfoError::ClaimsVerification(error) => words(&error.to_string()),
        UserInfoError::Response(_, _, why) | UserInfoError::Other(why) => words(&why),
        UserInfoError::Parse(error) => format!("its answer cannot be read at `{}`", error.path()),
        other => words(&other.to_string()),
    }
}

fn answered(why: &str, body: &[u8]) -> String {
    let said = words(&String::from_utf8_lossy(&body[..body.len().min(4096)]));
    if said.is_empty() { words(why) } else { format!("{}: {said}", words(why)) }
}
