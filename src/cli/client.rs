//! Asking the controller: where it is, the token, one request. Must start fast: a rollback waits for it. The token comes
//! from the environment or from a file, never from an argument, which every user of the host could read.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use http::{HeaderName, HeaderValue, Method, header};
use reqwest::{Certificate, ClientBuilder, redirect};
use serde_json::Value;

use super::random;
use crate::{clock::Clock, settings::Settings};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take: longer than the longest wait that is asked for.
const WHOLE: Duration = Duration::from_secs(70);
/// The pauses before a wish is sent again of which nobody knows whether it arrived.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1500)];

/// Where the controller is, and how its answers are shown.
#[derive(clap::Args, Debug, Clone)]
pub struct Server {
    /// The controller's address, for example `https://pointsman.example` [default: the one that runs from this folder]
    #[arg(long, env = "POINTSMAN_SERVER", value_name = "URL", global = true, hide_env_values = true)]
    server: Option<String>,
    /// The settings by which the controller of this host is found
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// One way to the controller.
pub struct Connection {
    client: reqwest::Client,
    base: String,
    token: HeaderValue,
    user: HeaderValue,
}

/// What was answered, with the tag of the state that it tells of.
pub struct Answer {
    /// The body.
    pub body: Value,
    /// What `If-Match` takes.
    pub etag: Option<HeaderValue>,
}

/// How a wish is sent.
#[derive(Default)]
pub struct Terms {
    /// By which it is known when it is sent again; a random one unless given.
    pub key: Option<String>,
    /// The state it was made on.
    pub seen: Option<HeaderValue>,
}

/// Why there is no answer, or none that was wanted.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing was answered: it may have been heard or not.
    #[error("the controller at {base} can not be reached ({why}); is `pointsman serve` running?")]
    Unreachable {
        /// Where it was looked for.
        base: String,
        /// The innermost cause.
        why: String,
    },
    /// It said no.
    #[error("{}", problem["detail"].as_str().unwrap_or(status.canonical_reason().unwrap_or("the controller said no")))]
    Refused {
        /// Its status.
        status: http::StatusCode,
        /// The problem as it was told.
        problem: Value,
    },
}

impl ClientError {
    /// Whether it may be another answer in a moment: nothing answered, or something in front of the controller did.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => matches!(status.as_u16(), 502..=504),
        }
    }
}

impl Server {
    /// The one of this host that runs by these settings.
    pub fn by_settings(config: PathBuf) -> Self {
        Self { server: None, config: Some(config), json: false }
    }

    /// Finds the address and the token, and begins nothing.
    pub fn connect(&self) -> anyhow::Result<Connection> {
        let settings = Settings::load(self.config.as_deref()).map_err(super::mistakes)?;
        let address = || fs::read_to_string(settings.state.join("address"));
        let base = match &self.server {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", address().unwrap_or(settings.server.listen.to_string()).trim()),
        };
        if base.contains('@') {
            // Not repeated: it would stand in the log of every build.
            bail!(
                "the server's address has a name or a password in it; give the token in POINTSMAN_TOKEN_FILE instead"
            );
        }
        let secure = base.starts_with("https://");
        if !secure && !base.starts_with("http://") {
            bail!("the server {base:?} is no address: write http://HOST:PORT or https://HOST");
        }
        let builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .connect_timeout(CONNECT)
            .timeout(WHOLE);
        let authority = std::env::var_os("POINTSMAN_CA_FILE").map(PathBuf::from);
        let client = if secure { trusting(builder, authority.as_deref())? } else { plain(builder)? };
        let client = client.build().context("the client can not be made")?;
        let mut token = HeaderValue::try_from(format!("Bearer {}", token(&settings)?.trim()));
        if let Ok(token) = &mut token {
            token.set_sensitive(true);
        }
        let token = token.context("the token has characters that no token has")?;
        Ok(Connection { client, base, token, user: user() })
    }
}

/// Trusts whom this host trusts, or the authority of `POINTSMAN_CA_FILE` alone.
fn trusting(builder: ClientBuilder, authority: Option<&Path>) -> anyhow::Result<ClientBuilder> {
    // Another one is there already only in tests, and as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some(file) = authority else { return Ok(builder) };
    let named = || format!("POINTSMAN_CA_FILE, {}", file.display());
    let authorities = Certificate::from_pem_bundle(&fs::read(file).with_context(named)?).with_context(named)?;
    if authorities.is_empty() {
        bail!("{}: there is no certificate in it; it must be in PEM", named());
    }
    Ok(builder.tls_certs_only(authorities))
}

/// Without TLS the authorities of the host are not read: that takes longer than the whole request.
fn plain(builder: ClientBuilder) -> anyhow::Result<ClientBuilder> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Ok(builder.tls_backend_preconfigured(config))
}

fn token(settings: &Settings) -> anyhow::Result<String> {
    let given = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    if let Some(token) = given("POINTSMAN_TOKEN") {
        return Ok(token);
    }
    if let Some(file) = given("POINTSMAN_TOKEN_FILE") {
        return fs::read_to_string(&file).with_context(|| format!("reading the token file {file}"));
    }
    let file = settings.state.join("token");
    fs::read_to_string(&file).with_context(|| {
        format!("no token: set POINTSMAN_TOKEN or POINTSMAN_TOKEN_FILE, or let {} be readable", file.display())
    })
}

impl Connection {
    /// Asks for something that is to be seen.
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        Ok(self.look(path).await?.body)
    }

    /// The same, with the tag by which one can say later what was seen.
    pub async fn look(&self, path: &str) -> Result<Answer, ClientError> {
        self.ask(self.client.get(format!("{}{path}", self.base))).await
    }

    /// The text of an answer, for those who read it themselves.
    pub async fn raw(&self, path: &str) -> Result<bytes::Bytes, ClientError> {
        Ok(self.receive(self.client.get(format!("{}{path}", self.base))).await?.1)
    }

    /// Asks for something to be done.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(path, body, Terms::default()).await
    }

    /// The same on terms. What nobody answered is sent again, under the same key: the controller acts on it once.
    pub async fn send(&self, path: &str, body: &Value, terms: Terms) -> anyhow::Result<Value> {
        let key = match terms.key {
            Some(key) => key,
            None => random::hex_of(16).context("the system gives no random numbers")?,
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
            match (self.ask(request).await, pauses.next()) {
                (Err(ClientError::Unreachable { .. }), Some(pause)) => Clock::real().wait(*pause).await,
                (answer, _) => return Ok(answer?.body),
            }
        }
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Answer, ClientError> {
        let (etag, bytes) = self.receive(request).await?;
        Ok(Answer { body: serde_json::from_slice(&bytes).unwrap_or_default(), etag })
    }

    async fn receive(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<(Option<HeaderValue>, bytes::Bytes), ClientError> {
        let unreachable = |error: reqwest::Error| {
            let why = if error.is_timeout() { "no answer in time".to_owned() } else { innermost(&error) };
            ClientError::Unreachable { base: self.base.clone(), why }
        };
        let user = HeaderName::from_static("x-pointsman-user");
        let request = request.header(header::AUTHORIZATION, &self.token).header(user, &self.user);
        let response = request.send().await.map_err(unreachable)?;
        let (status, etag) = (response.status(), response.headers().get(header::ETAG).cloned());
        let bytes = response.bytes().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok((etag, bytes));
        }
        Err(ClientError::Refused { status, problem: serde_json::from_slice(&bytes).unwrap_or_default() })
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Who asks, for the history: the name that the session has, else the number that the system knows.
fn user() -> HeaderValue {
    let named = ["USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    let named = named
        .map(|name| name.trim().to_owned())
        .find(|name| (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b':'));
    let name = named.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()));
    HeaderValue::try_from(name).unwrap_or(HeaderValue::from_static("someone"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// A server that vouches for itself, answers each request with `{}` and closes.
    fn server() -> (std::net::SocketAddr, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key));
        let config = Arc::new(config.expect("good"));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming().take(4).flatten() {
                let connection = rustls::ServerConnection::new(config.clone()).expect("good");
                let mut stream = rustls::StreamOwned::new(connection, stream);
                if stream.read(&mut [0; 4096]).is_ok() {
                    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\netag: \"a\"\r\n\r\n{}";
                    let _ = stream.write_all(answer.as_bytes());
                    let _ = stream.flush();
                }
            }
        });
        (address, made.cert.pem())
    }

    async fn ask(address: std::net::SocketAddr, authority: Option<&Path>) -> Result<Answer, ClientError> {
        let builder = reqwest::Client::builder().no_proxy().resolve("localhost", address).timeout(CONNECT);
        let client = trusting(builder, authority).expect("it reads the authority").build().expect("a client");
        let base = format!("https://localhost:{}", address.port());
        let token = HeaderValue::from_static("Bearer x");
        Connection { client, base, token, user: user() }.look("/").await
    }

    #[tokio::test]
    async fn a_server_of_a_private_authority_is_trusted_when_it_is_named_and_not_otherwise() {
        let (address, certificate) = server();
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), certificate).expect("written");
        let answer = ask(address, Some(file.path())).await.expect("trusted");
        assert_eq!(answer.etag, Some(HeaderValue::from_static("\"a\"")));
        let refused = ask(address, None).await.err().expect("nobody vouches for it").to_string();
        assert!(refused.contains("certificate"), "{refused}");
        fs::write(file.path(), "no certificate").expect("written");
        assert!(trusting(reqwest::Client::builder(), Some(file.path())).is_err());
    }

    #[test]
    fn what_may_pass_is_told_from_what_may_not() {
        let refused = |status: u16| ClientError::Refused {
            status: http::StatusCode::from_u16(status).expect("a status"),
            problem: serde_json::json!({ "detail": "why" }),
        };
        assert!(refused(503).may_pass() && !refused(409).may_pass() && !refused(507).may_pass());
        assert_eq!(refused(409).to_string(), "why");
    }
}
