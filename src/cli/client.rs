//! Asking the controller: where it is, the token, one request. Must start fast: a rollback waits for it.

use std::{
    fs,
    io::{IsTerminal, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, bail};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;

use crate::settings::Settings;

/// Where the controller is, and how its answers are shown.
#[derive(clap::Args, Debug, Clone)]
pub struct Server {
    /// The controller's address, for example http://127.0.0.1:7070 [default: the one that runs from this folder]
    #[arg(long, env = "POINTSMAN_SERVER", value_name = "URL", global = true)]
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
    client: Client<hyper_util::client::legacy::connect::HttpConnector, Full<bytes::Bytes>>,
    base: String,
    token: String,
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
        let token = match (std::env::var("POINTSMAN_TOKEN"), std::env::var("POINTSMAN_TOKEN_FILE")) {
            (Ok(token), _) => token,
            (_, Ok(file)) => fs::read_to_string(&file).with_context(|| format!("reading the token file {file}"))?,
            _ => {
                let file = settings.state.join("token");
                fs::read_to_string(&file).with_context(|| {
                    format!(
                        "no token: set POINTSMAN_TOKEN or POINTSMAN_TOKEN_FILE, or let {} be readable",
                        file.display()
                    )
                })?
            }
        };
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Connection { client, base, token: token.trim().to_owned() })
    }
}

impl Connection {
    /// Asks for something that is to be seen.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, None).await
    }

    /// Asks for something to be done.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let bytes = body.map(|b| b.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .header("x-pointsman-user", user())
            .header("content-type", "application/json")
            .body(Full::from(bytes))
            .context("the server's address or the token can not be used")?;
        let whole = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        let answered = tokio::time::timeout(Duration::from_secs(70), whole).await;
        let answered = answered.with_context(|| format!("the controller at {} does not answer", self.base))?;
        let hint = || format!("the controller at {} can not be reached; is `pointsman serve` running?", self.base);
        let (status, bytes) = answered.with_context(hint)?;
        let value: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if !status.is_success() {
            bail!("{}", value["detail"].as_str().unwrap_or(status.as_str()));
        }
        Ok(value)
    }
}

/// Who asks, for the history: the name that the session has, else the number that the system knows.
fn user() -> String {
    let named = ["USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    let named = named
        .map(|name| name.trim().to_owned())
        .find(|name| (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b':'));
    named.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()))
}

/// Writes a line for people or scripts. A closed pipe is no mistake of ours.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A step's state in colour, where that can be seen and is wanted.
pub fn coloured(state: &str) -> String {
    let colour = match state {
        "succeeded" => "32",
        "failed" | "rolled_back" | "needs_operator" => "31",
        "aborted" | "superseded" | "awaiting_approval" => "33",
        _ => "36",
    };
    let wanted = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    if wanted { format!("\u{1b}[{colour}m{state}\u{1b}[0m") } else { state.to_owned() }
}
