//! Asks at the public address, as a user would, which stack answers. Must not use the read-back.

use std::{fs, io, path::Path, time::Duration};

use reqwest::{
    Certificate, Client,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use super::{
    door::KEY,
    settings::Public,
    slots::{label, parse_label},
};
use crate::{
    machine::StackName,
    outgoing::{self, Mark, Way},
    stacks::StepError,
    web_front::secret,
};

/// The longest time that a check may take; its own limit is shorter.
const LONGEST: Duration = Duration::from_secs(300);

/// Returns the stack that answers. An answer that is not of a stack is an error that says what came instead.
pub(super) async fn ask(public: &Public, limit: Duration) -> Result<StackName, StepError> {
    let url = &public.url;
    let request = client(public, limit, limit)?.get(url.clone()).header("x-pointsman-probe", "1");
    let answer = request.send().await.map_err(|error| unanswered(url, public, &outgoing::root_cause(&error)))?;
    let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    header("x-pointsman-stack").and_then(parse_label).ok_or_else(|| {
        let status = answer.status().as_u16();
        let why = match status {
            401 => "a password is asked for there (auth_basic, auth_request): leave this path free of it, or set public.url \
                    to one that is",
            403 => "nginx refuses this host there (allow, deny): let it in, or set public.address",
            429 => "a limit of nginx is reached (limit_req, limit_conn): leave this host out of it",
            300..=399 => "it redirects: set public.url to where it leads",
            503 => "nginx has no stack there, or a limit is reached (limit_req, limit_conn)",
            _ => "does the server there add the header X-Pointsman-Stack, as web_front/nginx/site.conf does?",
        };
        StepError::Unavailable(format!("at {url} no stack of this front answered, but status {status}: {why}"))
    })
}

/// Returns a client that finds the front, and believes its certificate.
fn client(public: &Public, limit: Duration, connect: Duration) -> Result<Client, StepError> {
    let mut client = outgoing::client()
        .user_agent("pointsman")
        .no_proxy()
        .pool_max_idle_per_host(0)
        .tls_danger_accept_invalid_certs(public.insecure_tls)
        .connect_timeout(connect)
        .timeout(limit);
    if let (Some(address), Some(host)) = (public.address, public.url.host_str()) {
        client = client.resolve(host, address);
    }
    if let Some(path) = &public.ca {
        let unread = |why: String| StepError::Refused(format!("front.public.ca {}: {why}", path.display()));
        let pem = fs::read(path).map_err(|error| unread(error.to_string()))?;
        let list = Certificate::from_pem_bundle(&pem).map_err(|error| unread(error.to_string()))?;
        client = client.tls_certs_only(list);
    }
    client.build().map_err(|error| StepError::Refused(format!("front.public: {error}")))
}

/// Returns the way to a stack in one of the slots: as Pointsman itself, which needs no key of the preview.
pub(super) fn way(public: &Public, folder: &Path, stack: &StackName, connect: Duration) -> Result<Way, StepError> {
    let unread = |error: io::Error| StepError::Unavailable(format!("the front's own key cannot be read: {error}"));
    let own = secret::of_probes(folder).map_err(unread)?;
    let mark = HeaderValue::try_from(label(stack)).map_err(|error| StepError::Refused(error.to_string()))?;
    let stack = HeaderName::from_static("x-pointsman-stack");
    let headers = HeaderMap::from_iter([
        (HeaderName::from_static("x-pointsman-probe"), HeaderValue::from_static("1")),
        (HeaderName::from_static(KEY), own),
        (stack.clone(), mark.clone()),
    ]);
    let client = client(public, LONGEST, connect)?;
    Ok(Way { client, origin: public.origin(), headers, mark: Mark::Header(stack, mark) })
}

/// Says why there was no answer, or none that can be trusted.
fn unanswered(url: &reqwest::Url, public: &Public, why: &str) -> StepError {
    if why.contains("certificate") || why.contains("UnknownIssuer") {
        let whose = if public.ca.is_some() { "not one that front.public.ca vouches for" } else { "not trusted here" };
        return StepError::Refused(format!(
            "the certificate of {url} is {whose} ({why}): set front.public.ca to the PEM file that vouches for it, a \
             self-signed one to itself; or front.public.insecure_tls = true"
        ));
    }
    StepError::Unavailable(format!("the front's public address {url} does not answer: {why}"))
}
