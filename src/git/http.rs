//! http and https, over reqwest with rustls: two requests, each answered on its own. Must not follow a redirect to
//! another host, nor give the credentials to any but the configured one, nor show them.

use std::error::Error as _;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use git2::Oid;
use reqwest::{
    Client, RequestBuilder, Response, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION},
    redirect,
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    Error,
    patience::Patience,
    protocol::{Chunks, Greeting, Packet, Packets, Sink, Tip, Upstream, greeting, receive, request},
};

const MOST_REDIRECTS: usize = 3;

pub(super) struct Http<'a> {
    client: Client,
    base: Url,
    login: Option<HeaderValue>,
    patience: &'a Patience,
    greeting: Option<Greeting>,
}

impl<'a> Http<'a> {
    pub fn new(url: &Url, login: Option<HeaderValue>, patience: &'a Patience) -> Result<Self, Error> {
        // An error means that somebody chose one before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let agent = concat!("git/2 (pointsman ", env!("CARGO_PKG_VERSION"), ")");
        let builder = Client::builder().redirect(redirect::Policy::none()).referer(false).user_agent(agent);
        let client = builder.http1_only().connect_timeout(patience.limits.connect).build();
        let client = client.map_err(|error| patience.broken(root(&error)))?;
        Ok(Self { client, base: url.clone(), login, patience, greeting: None })
    }

    fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let request = self.login.iter().fold(request, |request, login| request.header(AUTHORIZATION, login));
        self.patience.wait(request.send())?.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &reqwest::Error) -> Error {
        if error.is_connect() { self.patience.unreachable(&root(error)) } else { self.patience.broken(root(error)) }
    }

    /// Asks for the branches, and where that is answered from somewhere else on the same host, there.
    fn ask(&mut self) -> Result<Response, Error> {
        for _ in 0..=MOST_REDIRECTS {
            let url = below(&self.base, "info/refs", Some("service=git-upload-pack"));
            let response = self.send(self.client.get(url.clone()))?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let to = response.headers().get(LOCATION).and_then(|to| url.join(to.to_str().ok()?).ok());
            self.base = to.and_then(|to| self.moved(&to)).ok_or_else(|| {
                self.patience.broken("it redirects to somewhere else: write the new address if you trust it")
            })?;
        }
        Err(self.patience.broken(format!("it redirects more than {MOST_REDIRECTS} times")))
    }

    /// The base that a redirect leads to, when that is the same host: by the same door, or by https in place of http.
    fn moved(&self, to: &Url) -> Option<Url> {
        let door = |url: &Url| (url.scheme().to_owned(), url.port_or_known_default());
        let safer = door(&self.base) == ("http".into(), Some(80)) && door(to) == ("https".into(), Some(443));
        let same = to.host_str() == self.base.host_str() && (door(to) == door(&self.base) || safer);
        let path = to.path().strip_suffix("/info/refs").filter(|_| same)?;
        let mut base = to.clone();
        base.set_path(path);
        base.set_query(None);
        (base.username().is_empty() && base.password().is_none()).then_some(base)
    }

    fn refuse_unless_good(&self, response: &Response, kind: &str) -> Result<(), Error> {
        let status = response.status();
        match status.as_u16() {
            200 => {}
            401 | 403 => return Err(self.patience.refused(format!("status {}", status.as_u16()))),
            404 | 410 => return Err(Error::NoRepository(self.patience.place.clone())),
            other => return Err(self.patience.broken(format!("it answers with status {other}"))),
        }
        let seen = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if seen != kind {
            return Err(self.patience.broken("it answers as a web page does, not as git does: is the address right?"));
        }
        Ok(())
    }
}

/// The header for a user and a password.
pub(super) fn login(user: Option<&str>, password: &SecretString, patience: &Patience) -> Result<HeaderValue, Error> {
    // Where a token is all that counts, the name may be anything but nothing.
    let pair = SecretString::from(format!("{}:{}", user.unwrap_or("git"), password.expose_secret()));
    let value = SecretString::from(format!("Basic {}", STANDARD.encode(pair.expose_secret())));
    let mut value = HeaderValue::from_str(value.expose_secret())
        .map_err(|_| Error::Password(format!("the password for {} can not be sent", patience.place)))?;
    value.set_sensitive(true);
    Ok(value)
}

fn below(base: &Url, path: &str, query: Option<&str>) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url.set_query(query);
    url
}

/// The innermost cause: "connection refused" says more than "error sending request".
fn root(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else { return "no answer".to_owned() };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    crate::text::excerpt(&cause.to_string())
}

impl Upstream for Http<'_> {
    fn tips(&mut self) -> Result<Vec<Tip>, Error> {
        let response = self.ask()?;
        self.refuse_unless_good(&response, "application/x-git-upload-pack-advertisement")?;
        let mut packets = Packets::of(Body { response, patience: self.patience }, self.patience);
        let first = packets.next()?;
        if !matches!(&first, Packet::Line(line) if line.starts_with(b"# service=git-upload-pack")) {
            return Err(self.patience.broken("it does not speak git's protocol"));
        }
        if packets.next()? != Packet::Flush {
            return Err(self.patience.broken("it does not speak git's protocol"));
        }
        let greeting = self.greeting.insert(greeting(&mut packets)?);
        Ok(greeting.tips.clone())
    }

    fn pack(&mut self, wants: &[Oid], haves: &[Oid], sink: &mut Sink<'_>) -> Result<(), Error> {
        let greeting = self.greeting.take().ok_or(Error::Interrupted)?;
        let body = request(&greeting, wants, haves, self.patience)?;
        let post = self.client.post(below(&self.base, "git-upload-pack", None)).body(body);
        let post = post.header(CONTENT_TYPE, "application/x-git-upload-pack-request");
        let response = self.send(post.header(ACCEPT, "application/x-git-upload-pack-result"))?;
        self.refuse_unless_good(&response, "application/x-git-upload-pack-result")?;
        receive(&mut Packets::of(Body { response, patience: self.patience }, self.patience), sink)
    }
}

struct Body<'a> {
    response: Response,
    patience: &'a Patience,
}

impl Chunks for Body<'_> {
    fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let chunk = self.patience.wait(self.response.chunk())?;
        chunk.map_err(|error| self.patience.broken(format!("the connection was cut ({})", root(&error))))
    }
}
