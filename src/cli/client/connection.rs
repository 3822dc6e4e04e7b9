//! One way to the controller: requests and their answers. Must not show the local token to whoever does not prove first
//! that it made it.

use std::{net::SocketAddr, sync::OnceLock, time::Duration};

use anyhow::Context;
use http::{HeaderName, HeaderValue, Method, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::{
    answer::{Answer, Anything, ClientError, Raw, Told},
    events::Events,
};
use crate::{access::proof::proves, clock::Clock, outgoing::root_cause, random};

/// The pauses before a request is sent again of which it is not known whether it arrived.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1500)];
/// A stream does not end by itself.
const FOR_EVER: Duration = Duration::from_secs(365 * 86_400);
/// How many random bytes a nonce has.
const NONCE: usize = 16;

/// One way to the controller.
pub struct Connection {
    pub(super) client: reqwest::Client,
    pub(super) base: String,
    pub(super) token: HeaderValue,
    /// The token is the one of this host's controller: it is sent only to who proves to have made it.
    pub(super) local: Option<SecretString>,
    pub(super) user: HeaderValue,
    /// The id of the controller that answered first: all answers come from one.
    pub(super) controller: OnceLock<String>,
}

/// How a request is sent.
#[derive(Default)]
pub struct Terms {
    /// The idempotency key; a random one unless given.
    pub key: Option<String>,
    /// The state it was made on.
    pub seen: Option<HeaderValue>,
}

#[derive(Deserialize)]
struct Identity {
    proof: Option<String>,
}

#[cfg(test)]
impl Connection {
    /// Connects to a controller of a test, with a token that needs no proof.
    pub fn to(address: SocketAddr) -> Self {
        let token = HeaderValue::from_static("Bearer x");
        let (base, client) =
            (format!("http://{address}"), crate::outgoing::client().no_proxy().build().expect("a client"));
        let (local, user, controller) = (None, HeaderValue::from_static("ann"), OnceLock::new());
        Self { client, base, token, local, user, controller }
    }
}

impl Connection {
    /// Asks for something that is to be seen.
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        Ok(self.look::<Anything>(path).await?.json)
    }

    /// The same, of a shape, and with the tag by which one can say later what was seen.
    pub async fn look<T: Told>(&self, path: &str) -> Result<Answer<T>, ClientError> {
        self.receive(self.client.get(format!("{}{path}", self.base))).await?.read()
    }

    /// The same with the text of the answer, which is read once only: for answers that are large.
    pub async fn text<T: Told>(&self, path: &str) -> Result<(T, bytes::Bytes), ClientError> {
        let raw = self.receive(self.client.get(format!("{}{path}", self.base))).await?;
        Ok((raw.parse()?, raw.bytes))
    }

    /// Asks for a file, as it is.
    pub async fn file(&self, path: &str) -> Result<bytes::Bytes, ClientError> {
        Ok(self.receive(self.client.get(format!("{}{path}", self.base))).await?.bytes)
    }

    /// Asks for something to be done.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        Ok(self.send::<Anything>(path, body, Terms::default()).await?.json)
    }

    /// The same on terms. What nobody answered is sent again, under the same key: the controller acts on it once.
    pub async fn send<T: Told>(&self, path: &str, body: &Value, terms: Terms) -> anyhow::Result<Answer<T>> {
        let key = match terms.key {
            Some(key) => key,
            None => random::hex_of(16).context("the system has no random numbers")?,
        };
        let key = HeaderValue::try_from(key).context("--idempotency-key takes visible characters only")?;
        let mut pauses = PAUSES.iter();
        loop {
            let mut request = self
                .client
                .request(Method::POST, format!("{}{path}", self.base))
                .header(HeaderName::from_static("idempotency-key"), &key)
                .json(body);
            if let Some(seen) = &terms.seen {
                request = request.header(header::IF_MATCH, seen);
            }
            match (self.receive(request).await, pauses.next()) {
                (Err(ClientError::Unreachable { .. }), Some(pause)) => Clock::real().wait(*pause).await,
                (answer, _) => return Ok(answer?.read()?),
            }
        }
    }

    /// Asks for lines of JSON.
    pub async fn lines<T: Told>(&self, path: &str) -> Result<Vec<Answer<T>>, ClientError> {
        let raw = self.receive(self.client.get(format!("{}{path}", self.base))).await?;
        let lines = raw.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| raw.with(line).read()).collect()
    }

    /// Follows what comes, from after the event that was heard last.
    pub async fn follow(&self, path: &str, last: Option<&str>) -> Result<Events, ClientError> {
        let mut request = self.client.get(format!("{}{path}", self.base)).timeout(FOR_EVER);
        if let Some(last) = last {
            request = request.header(HeaderName::from_static("last-event-id"), last);
        }
        self.proven().await?;
        let response = self.said(request).send().await.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            let (raw, _) = self.whole(response).await?;
            return Err(self.own(raw).err().unwrap_or_else(|| self.broken("a refusal without a reason")));
        }
        let (url, status, headers) = (response.url().to_string(), response.status(), response.headers().clone());
        self.own(Raw { url, status, headers, bytes: bytes::Bytes::new() })?;
        Ok(Events::of(response, self.base.clone()))
    }

    fn said(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let user = HeaderName::from_static("x-pointsman-user");
        request.header(header::AUTHORIZATION, &self.token).header(user, &self.user)
    }

    async fn receive(&self, request: reqwest::RequestBuilder) -> Result<Raw, ClientError> {
        self.proven().await?;
        let (raw, _) = self.exchange(self.said(request)).await?;
        self.own(raw)
    }

    /// The answer, if it says yes and is of the controller that answered before.
    fn own(&self, raw: Raw) -> Result<Raw, ClientError> {
        let raw = raw.granted()?;
        let (id, _) = raw.controller()?;
        let first = self.controller.get_or_init(|| id.to_owned());
        if first != id {
            return Err(raw.foreign(&format!("of controller {id}, after answers of controller {first}")));
        }
        Ok(raw)
    }

    /// Asks for a proof before the local token is sent; again each time, as another program may listen there by now.
    async fn proven(&self) -> Result<(), ClientError> {
        let Some(token) = &self.local else { return Ok(()) };
        let unproven = |why: String| ClientError::Unproven { base: self.base.clone(), why };
        let nonce =
            random::hex_of(NONCE).map_err(|error| unproven(format!("the system has no random numbers: {error}")))?;
        let question = self.client.get(format!("{}/v1/identity?nonce={nonce}", self.base));
        let (raw, address) = self.exchange(question).await?;
        let Identity { proof } = raw.granted()?.read()?.body;
        let why = || "it has no local token, as `server.token` is set: set POINTSMAN_TOKEN_FILE".to_owned();
        let proof = proof.ok_or_else(|| unproven(why()))?;
        let address = address.ok_or_else(|| unproven("its address is not known".to_owned()))?;
        if proves(token.expose_secret().as_bytes(), &nonce, address, &proof) {
            return Ok(());
        }
        Err(unproven(format!("its proof for {address} is of another token or another address")))
    }

    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<(Raw, Option<SocketAddr>), ClientError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        self.whole(response).await
    }

    async fn whole(&self, response: reqwest::Response) -> Result<(Raw, Option<SocketAddr>), ClientError> {
        let (url, status, address) = (response.url().to_string(), response.status(), response.remote_addr());
        let headers = response.headers().clone();
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        Ok((Raw { url, status, headers, bytes }, address))
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        self.broken(&if error.is_timeout() { "no answer in time".to_owned() } else { root_cause(error) })
    }

    fn broken(&self, why: &str) -> ClientError {
        ClientError::Unreachable { base: self.base.clone(), why: why.to_owned() }
    }
}
