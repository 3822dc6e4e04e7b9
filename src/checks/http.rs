//! A request to an endpoint and what is expected of its response.
//!
//! Every probe makes a connection of its own: a connection that is kept would go on answering from a process that
//! accepts no new ones. Must not follow redirects, use a proxy, send credentials or read without bound. Through a front,
//! only an answer that is marked as the stack's counts for or against it.

use std::{collections::BTreeMap, net::SocketAddr, sync::OnceLock, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::{Client, RequestBuilder, Response};
use serde::Deserialize;

use super::{Asked, NoPass, Via};
use crate::outgoing::{self, Mark, Way};

/// The most of a body that is looked at.
const BODY: usize = 64 << 10;

/// `http = { path = "/healthz", status = 200 }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    /// Path and query, beginning with `/`.
    #[serde(deserialize_with = "path")]
    pub path: String,
    /// `GET` unless said otherwise; `HEAD`, `OPTIONS` or `POST`, without a body.
    #[serde(default)]
    pub method: Verb,
    /// The statuses that pass.
    #[serde(default)]
    pub status: StatusSet,
    /// Text that the body must contain.
    pub contains: Option<String>,
    /// What the body must be, white space at its ends aside.
    pub equals: Option<String>,
    /// Headers that the response must have, with these values.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Headers that the request has besides.
    #[serde(default, deserialize_with = "request_headers")]
    pub request_headers: HeaderMap,
    /// The host to ask for; the endpoint's or the front's address unless given.
    #[serde(deserialize_with = "host", default)]
    pub host: Option<String>,
    /// `https` needs `insecure_tls`.
    #[serde(default)]
    pub scheme: Scheme,
    /// Accepts any certificate: a stack behind a front has none that anybody vouches for.
    #[serde(default)]
    pub insecure_tls: bool,
    /// How long connecting may take; the check's `timeout` unless shorter.
    #[serde(default, deserialize_with = "optional_duration")]
    pub connect_timeout: Option<Duration>,
}

/// The methods a check may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verb {
    /// The usual.
    #[default]
    Get,
    /// `HEAD`: the answer has no body.
    Head,
    /// Asks for what is allowed.
    Options,
    /// `POST` without a body, for applications that ask for it.
    Post,
}

/// How the endpoint is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain HTTP.
    #[default]
    Http,
    /// HTTP over TLS.
    Https,
}

/// Statuses: `200`, `"200-299"`, or a list of both.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Statuses")]
pub struct StatusSet(Vec<(u16, u16)>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Statuses {
    One(u16),
    Range(String),
    Several(Vec<Self>),
}

impl Default for StatusSet {
    fn default() -> Self {
        Self(vec![(200, 200)])
    }
}

impl TryFrom<Statuses> for StatusSet {
    type Error = String;
    fn try_from(statuses: Statuses) -> Result<Self, String> {
        let wrong =
            |what: &dyn std::fmt::Debug| format!("{what:?} is not a status: write 200, \"200-299\" or a list of them");
        let valid = |n: u16| (100..=599).contains(&n);
        match statuses {
            Statuses::One(n) if valid(n) => Ok(Self(vec![(n, n)])),
            Statuses::One(n) => Err(wrong(&n)),
            Statuses::Range(text) => {
                let ends = text.split_once('-').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
                let ends = ends.filter(|(a, b)| valid(*a) && valid(*b) && a <= b);
                ends.map(|ends| Self(vec![ends])).ok_or_else(|| wrong(&text))
            }
            Statuses::Several(list) => {
                let sets = list.into_iter().map(Self::try_from).collect::<Result<Vec<_>, _>>()?;
                let all: Vec<_> = sets.into_iter().flat_map(|set| set.0).collect();
                if all.is_empty() { Err("`status` is empty: leave it out for 200".to_owned()) } else { Ok(Self(all)) }
            }
        }
    }
}

impl StatusSet {
    /// The first and the last of each range in it.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }
}

impl std::fmt::Display for StatusSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |(a, b): &(u16, u16)| if a == b { a.to_string() } else { format!("{a}-{b}") };
        f.write_str(&self.0.iter().map(show).collect::<Vec<_>>().join(" or "))
    }
}

fn path<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let path = String::deserialize(from)?;
    let parses = path.starts_with('/') && path.parse::<http::Uri>().is_ok();
    parses.then_some(path).ok_or_else(|| {
        serde::de::Error::custom(
            "`path` begins with / and has no spaces, such as \"/healthz\"; where it is asked is the stack's matter",
        )
    })
}

fn host<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let host = String::deserialize(from)?;
    let parses = host.parse::<http::uri::Authority>().is_ok_and(|authority| !authority.as_str().contains('@'));
    parses.then_some(Some(host)).ok_or_else(|| {
        serde::de::Error::custom("`host` is a host name, with a port if need be, such as \"shop.example\"")
    })
}

/// What a request has only for one hop, or what says how long it is.
const OF_ONE_HOP: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];
/// What lets somebody in.
const CREDENTIALS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// No message repeats a value: somebody may have put a credential there.
fn request_headers<'de, D: serde::Deserializer<'de>>(from: D) -> Result<HeaderMap, D::Error> {
    let written = BTreeMap::<String, String>::deserialize(from)?;
    let mut headers = HeaderMap::new();
    for (name, value) in &written {
        let wrong = |why: &str| serde::de::Error::custom(format!("`request_headers` has {name:?}, which {why}"));
        let key = HeaderName::try_from(name).map_err(|_| wrong("cannot be a header"))?;
        let value = HeaderValue::try_from(value).map_err(|_| wrong("has a value that no header can have"))?;
        let known = |names: &[&str]| names.contains(&key.as_str());
        if key == http::header::HOST {
            return Err(wrong("has a key of its own: write `host = \"shop.example\"`"));
        }
        if known(&OF_ONE_HOP) {
            return Err(wrong("belongs to a connection and not to a question: leave it out"));
        }
        if known(&CREDENTIALS) {
            return Err(wrong("is a credential: checks send none; ask at a path that needs none, or with `command`"));
        }
        if key.as_str().starts_with("x-pointsman-") {
            return Err(wrong("is Pointsman's own: leave it out"));
        }
        if headers.insert(key, value).is_some() {
            return Err(wrong("is there twice"));
        }
    }
    Ok(headers)
}

fn optional_duration<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    crate::units::duration(from).map(Some)
}

impl HttpCheck {
    /// Checks what the types cannot express.
    pub(super) fn validate(&self, via: Via) -> Result<(), String> {
        if via == Via::Front && (self.scheme == Scheme::Https || self.insecure_tls || self.connect_timeout.is_some()) {
            return Err("with `via = \"front\"` the front's own settings say how it is reached: leave `scheme`, `insecure_tls` and `connect_timeout` out".to_owned());
        }
        if self.scheme == Scheme::Https && !self.insecure_tls {
            return Err("`scheme = \"https\"` needs `insecure_tls = true`: the certificate of a stack names the front, not the endpoint, so it cannot be verified here".to_owned());
        }
        for (name, value) in &self.headers {
            if HeaderName::try_from(name).is_err() || HeaderValue::try_from(value).is_err() {
                // Not the value: it may be a credential.
                return Err(format!(
                    "`headers` has {name:?}, which cannot be a header, or has a value that no header can have"
                ));
            }
        }
        Ok(())
    }

    pub(super) async fn probe(&self, at: Asked<'_>, limit: Duration) -> Result<(), NoPass> {
        let asked = match at {
            Asked::Stack(endpoint) => format!("{} on {endpoint}", self.asked()),
            Asked::Front(way) => format!("{} at {}", self.asked(), way.origin),
        };
        let late = || {
            let got = format!("no answer within {} ms", limit.as_millis());
            Err(Miss { got, ..self.miss("") })
        };
        let seen = tokio::time::timeout(limit, self.ask(at, limit)).await.unwrap_or_else(|_| late());
        seen.map_err(|Miss { expected, got, not_reached }| {
            let said = format!("{asked}: expected {expected}, got {got}");
            if not_reached { NoPass::NotReached(said) } else { NoPass::Failed(said) }
        })
    }

    /// The question, in words.
    pub(super) fn asked(&self) -> String {
        format!("{} {}", self.method(), self.path)
    }

    fn method(&self) -> Method {
        match self.method {
            Verb::Get => Method::GET,
            Verb::Head => Method::HEAD,
            Verb::Options => Method::OPTIONS,
            Verb::Post => Method::POST,
        }
    }

    /// Something else came than a status that passes.
    fn miss(&self, got: &str) -> Miss {
        Miss { expected: self.status.to_string(), got: short(got), not_reached: false }
    }

    async fn ask(&self, at: Asked<'_>, limit: Duration) -> Result<(), Miss> {
        let request = match at {
            Asked::Stack(endpoint) => self.to_stack(endpoint, limit).await?,
            Asked::Front(way) => {
                let request = way.client.request(self.method(), format!("{}{}", way.origin, self.path));
                request.headers(way.headers.clone())
            }
        };
        // Those of the way stay: none of these names is among them.
        let mut request = request.headers(self.request_headers.clone());
        if let Some(host) = &self.host {
            request = request.header(http::header::HOST, host);
        }
        let through = matches!(at, Asked::Front(_));
        let response = request.send().await.map_err(|error| Miss {
            not_reached: through && error.is_connect(),
            ..self.miss(&outgoing::root_cause(&error))
        })?;
        let status = response.status().as_u16();
        if let Asked::Front(way) = at {
            self.must_be_of(way, &response)?;
        }
        if !self.status.0.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
            return Err(self.miss(&status.to_string()));
        }
        self.compare_headers(response.headers())?;
        if self.contains.is_some() || self.equals.is_some() {
            let body = read(response).await.map_err(|error| self.miss(&outgoing::root_cause(&error)))?;
            self.compare_body(&body)?;
        }
        Ok(())
    }

    async fn to_stack(&self, endpoint: SocketAddr, limit: Duration) -> Result<RequestBuilder, Miss> {
        let scheme = if self.scheme == Scheme::Https { "https" } else { "http" };
        let client = client().ok_or_else(|| Miss::of("a client", "none".to_owned()))?;
        // A client has one limit for connecting; a shorter one is kept by looking first.
        if let Some(connect) = self.connect_timeout.filter(|connect| *connect < limit) {
            super::TcpCheck {}.probe(endpoint, connect).await.map_err(|got| Miss::of("a connection", got))?;
        }
        Ok(client.request(self.method(), format!("{scheme}://{endpoint}{}", self.path)))
    }

    /// An answer of another stack, or of the front alone, says nothing of this one.
    fn must_be_of(&self, way: &Way, response: &Response) -> Result<(), Miss> {
        if way.mark.is_on(response.status(), response.headers()) {
            return Ok(());
        }
        let words = |value: &HeaderValue| short(&String::from_utf8_lossy(value.as_bytes()));
        let status = response.status().as_u16();
        let (expected, got) = match &way.mark {
            Mark::AllBut(_) => (
                "an answer of the stack".to_owned(),
                format!("status {status} of the front, which does not lead there yet"),
            ),
            Mark::Header(name, wanted) => {
                let got = match response.headers().get(name) {
                    Some(other) => format!("one of {}", words(other)),
                    None => {
                        format!(
                            "status {status} without the mark of a stack; does the front have the preview's settings?"
                        )
                    }
                };
                (format!("an answer of {}", words(wanted)), got)
            }
        };
        Err(Miss { expected, got, not_reached: true })
    }

    fn compare_headers(&self, headers: &HeaderMap) -> Result<(), Miss> {
        for (name, wanted) in &self.headers {
            let seen = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
            if seen.as_deref() != Some(wanted) {
                let got = seen.map_or_else(|| "no such header".to_owned(), |value| short(&value));
                return Err(Miss::of(&format!("header {name}: {wanted}"), got));
            }
        }
        Ok(())
    }

    fn compare_body(&self, body: &str) -> Result<(), Miss> {
        let got = || format!("{:?}", short(body));
        if let Some(wanted) = self.contains.as_ref().filter(|wanted| !body.contains(*wanted)) {
            return Err(Miss::of(&format!("a body with {:?}", short(wanted)), got()));
        }
        if let Some(wanted) = self.equals.as_ref().filter(|wanted| body.trim() != wanted.trim()) {
            return Err(Miss::of(&format!("the body {:?}", short(wanted)), got()));
        }
        Ok(())
    }
}

struct Miss {
    expected: String,
    got: String,
    /// The question did not come to the stack.
    not_reached: bool,
}

impl Miss {
    fn of(expected: &str, got: String) -> Self {
        Self { expected: expected.to_owned(), got, not_reached: false }
    }
}

async fn read(mut response: Response) -> Result<String, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = BODY - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == BODY {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn short(text: &str) -> String {
    let cut: String = text.trim().chars().filter(|c| !c.is_control()).take(80).collect();
    if cut.len() < text.trim().len() { format!("{cut}...") } else { cut }
}

/// One for all probes; nothing when TLS cannot be set up on this host.
fn client() -> Option<&'static Client> {
    static CLIENT: OnceLock<Option<Client>> = OnceLock::new();
    CLIENT
        .get_or_init(|| {
            let builder = outgoing::client().no_proxy().http1_only();
            let builder =
                builder.pool_max_idle_per_host(0).user_agent(concat!("pointsman-check/", env!("CARGO_PKG_VERSION")));
            builder.tls_danger_accept_invalid_certs(true).timeout(Duration::from_secs(300)).build().ok()
        })
        .as_ref()
}
