//! Asking the controller: where it is, and the token. Must start fast: a rollback waits for it. The token comes
//! from the environment or from a file, never from an argument, which every user of the host could read.

mod answer;
mod connection;
mod events;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context, bail};
use http::HeaderValue;
use reqwest::{Certificate, ClientBuilder};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

pub use self::{
    answer::{Answer, ClientError, Told},
    connection::{Connection, Terms},
    events::{Events, Heard},
};
use crate::{
    outgoing,
    pipelines::SecretSource,
    secrets::source,
    settings::{FILE, Settings},
};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take: longer than the longest wait that is asked for.
const WHOLE: Duration = Duration::from_secs(70);

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

impl Server {
    /// The one of this host that runs by these settings.
    pub fn by_settings(config: PathBuf) -> Self {
        Self { server: None, config: Some(config), json: false }
    }

    /// Finds the address and the token, and begins nothing.
    pub fn connect(&self) -> anyhow::Result<Connection> {
        let settings = Settings::load(self.config.as_deref()).map_err(super::mistakes)?;
        let base = match &self.server {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", address(&settings)?.trim()),
        };
        if base.contains('@') {
            // Not repeated: it would stand in the log of every build.
            bail!(
                "the server's address has a name or a password in it; give the token in POINTSMAN_TOKEN_FILE instead"
            );
        }
        let secure = base.starts_with("https://");
        if !secure && !base.starts_with("http://") {
            bail!(
                "invalid server address {base:?}: write http://HOST:PORT or https://HOST, for example `pointsman status --server https://pointsman.example`"
            );
        }
        let builder = outgoing::client().no_proxy().http1_only().connect_timeout(CONNECT).timeout(WHOLE);
        let authority = std::env::var_os("POINTSMAN_CA_FILE").map(PathBuf::from);
        let client = if secure { trusting(builder, authority.as_deref())? } else { plain(builder)? };
        let client = client.build().context("the client cannot be made")?;
        let (text, local) = self.token(&settings, &base)?;
        let mut token = HeaderValue::try_from(format!("Bearer {}", text.trim()));
        if let Ok(token) = &mut token {
            token.set_sensitive(true);
        }
        let token = token.context("the token has characters that a token cannot have")?;
        let local = local.then(|| SecretString::from(text.trim()));
        Ok(Connection {
            client,
            base,
            token,
            local,
            user: HeaderValue::try_from(user()).context("the name of the user has characters that no header has")?,
            controller: OnceLock::new(),
        })
    }

    /// Whether the controller runs on this host, as far as its address tells.
    pub fn is_here(&self) -> bool {
        self.server.as_deref().is_none_or(is_this_host)
    }

    /// Returns the token that is given, or else the one of this host's controller, and whether it is the latter.
    fn token(&self, settings: &Settings, base: &str) -> anyhow::Result<(String, bool)> {
        let given = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        if let Some(token) = given("POINTSMAN_TOKEN") {
            return Ok((token, false));
        }
        if let Some(file) = given("POINTSMAN_TOKEN_FILE") {
            let text = source::read_token(&SecretSource::File(file.into())).context("POINTSMAN_TOKEN_FILE")?;
            return Ok((String::from_utf8(text.expose_secret().to_vec()).context("POINTSMAN_TOKEN_FILE")?, false));
        }
        if self.server.is_some() && !is_this_host(base) {
            bail!(
                "no token for {base}: set POINTSMAN_TOKEN or POINTSMAN_TOKEN_FILE; that of this host is not sent there"
            );
        }
        let file = settings.state.join("token");
        let nowhere = self.config.is_none() && self.server.is_none() && !Path::new(FILE).exists();
        let text = fs::read_to_string(&file).with_context(|| {
            if nowhere {
                return format!(
                    "there is no {FILE} in this folder, so no controller is known: run the command in the controller's folder, \
                     or name it: --config FILE, or --server URL with POINTSMAN_TOKEN_FILE"
                );
            }
            format!("no token: set POINTSMAN_TOKEN or POINTSMAN_TOKEN_FILE, or let {} be readable", file.display())
        })?;
        Ok((text, true))
    }
}

/// Returns the local token of this host's controller.
pub(super) fn local_token(settings: &Settings) -> anyhow::Result<SecretSlice<u8>> {
    let named = settings.server.token.clone().unwrap_or_else(|| SecretSource::File(settings.state.join("token")));
    source::read_token(&named).context("reading the local token; start the controller first, or run this as its user")
}

/// Where the controller of this folder listens; before its first start, where it would.
pub(super) fn address(settings: &Settings) -> anyhow::Result<String> {
    let file = settings.state.join("address");
    match fs::read_to_string(&file) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(settings.server.listen.to_string()),
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

fn is_this_host(base: &str) -> bool {
    let uri = base.parse::<http::Uri>();
    let Some(host) = uri.as_ref().ok().and_then(http::Uri::host) else { return false };
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Trusts whom this host trusts, or the authority of `POINTSMAN_CA_FILE` alone.
fn trusting(builder: ClientBuilder, authority: Option<&Path>) -> anyhow::Result<ClientBuilder> {
    let Some(file) = authority else { return Ok(builder) };
    let named = || format!("POINTSMAN_CA_FILE, {}", file.display());
    let authorities = Certificate::from_pem_bundle(&fs::read(file).with_context(named)?).with_context(named)?;
    if authorities.is_empty() {
        bail!("{}: there is no certificate in it; it must be in PEM", named());
    }
    Ok(builder.tls_certs_only(authorities))
}

/// Returns a client that reads no certificate authorities: that takes longer than a whole request without TLS.
fn plain(builder: ClientBuilder) -> anyhow::Result<ClientBuilder> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Ok(builder.tls_backend_preconfigured(config))
}

/// Returns who asks, for the history: the name of the session, else the number of the user.
pub(super) fn user() -> String {
    let named = ["USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    let named = named
        .map(|name| name.trim().to_owned())
        .find(|name| (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b':'));
    named.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::{answer::Anything, *};

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
                    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\netag: \"a\"\r\n\
                                  pointsman-controller: 00; version=0\r\n\r\n{}";
                    let _ = stream.write_all(answer.as_bytes());
                    let _ = stream.flush();
                }
            }
        });
        (address, made.cert.pem())
    }

    async fn ask(address: std::net::SocketAddr, authority: Option<&Path>) -> Result<Answer<Anything>, ClientError> {
        let builder = outgoing::client().no_proxy().resolve("localhost", address).timeout(CONNECT);
        let client = trusting(builder, authority).expect("it reads the authority").build().expect("a client");
        let base = format!("https://localhost:{}", address.port());
        let token = HeaderValue::from_static("Bearer x");
        Connection {
            client,
            base,
            token,
            local: None,
            user: HeaderValue::from_static("ann"),
            controller: OnceLock::new(),
        }
        .look("/")
        .await
    }

    #[tokio::test]
    async fn a_server_of_a_private_authority_is_trusted_when_it_is_named_and_not_otherwise() {
        let (address, certificate) = server();
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), certificate).expect("written");
        let answer = ask(address, Some(file.path())).await.expect("trusted");
        assert_eq!(answer.etag, Some(HeaderValue::from_static("\"a\"")));
        let refused = ask(address, None).await.expect_err("nobody vouches for it").to_string();
        assert!(refused.contains("certificate"), "{refused}");
        fs::write(file.path(), "no certificate").expect("written");
        assert!(trusting(outgoing::client(), Some(file.path())).is_err());
    }

    #[test]
    fn the_token_of_this_host_stays_here() {
        for own in ["http://127.0.0.1:7070", "https://localhost", "http://[::1]:1", "http://127.9.9.9:1/x"] {
            assert!(is_this_host(own), "{own}");
        }
        for foreign in ["http://10.0.0.1:7070", "https://localhost.example", "http://127.0.0.1.example", "", "http://"]
        {
            assert!(!is_this_host(foreign), "{foreign}");
        }
    }
}
