//! The stage: files, addresses and processes of the demo, and the way to announce a build.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::process::{Child, Command};

use super::{
    super::{
        client::{self, Connection, Server},
        mistakes, page,
    },
    ANSWER_LIMIT, until,
};
use crate::{access::links::Purpose, clock::Clock, random, settings::Settings};

const PIPELINE: &str = include_str!("../../../pipelines/demo.toml");
const STACK: &str = include_str!("../../../stacks/process/demo.toml");

/// The shipped pipeline takes its time; people who watch have less.
const HURRY: [(&str, &str); 3] = [
    ("bake = \"5s\"", "bake = \"2s\"\ndeadlines = { check = \"4s\" }"),
    ("every = \"500ms\"", "every = \"150ms\"\ngrace = \"2s\""),
    ("127.0.0.1:8080", "{front}"),
];

/// Everything but the play.
pub(super) struct Stage {
    folder: PathBuf,
    temporary: bool,
    key: String,
    /// Where users come in.
    pub(super) front: SocketAddr,
    /// Where the controller listens.
    pub(super) controller: SocketAddr,
}

/// A running controller and the way to it.
pub(super) struct Controller {
    process: Child,
    pub(super) api: Connection,
}

impl Controller {
    /// Kills the controller, which to it is the same as a loss of power.
    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill().await.context("killing the controller")
    }
}

impl Stage {
    /// Writes the files and finds free addresses.
    pub(super) fn set(folder: Option<PathBuf>) -> anyhow::Result<Self> {
        let temporary = folder.is_none();
        let folder =
            folder.unwrap_or_else(|| std::env::temp_dir().join(format!("pointsman-demo-{}", std::process::id())));
        let (front, controller) = (free(8080)?, free(7070)?);
        let key = random::hex_of(32)?;
        let mut pipeline = PIPELINE.to_owned();
        for (shipped, hurried) in HURRY {
            if !pipeline.contains(shipped) {
                bail!("the shipped demo pipeline has changed: {shipped} is not in it");
            }
            pipeline = pipeline.replace(shipped, &hurried.replace("{front}", &front.to_string()));
        }
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            let parent = path.parent().unwrap_or(&folder);
            fs::create_dir_all(parent).and_then(|()| fs::write(&path, text)).with_context(|| path.display().to_string())
        };
        write("pointsman.toml", &format!("[server]\nlisten = \"{controller}\"\n"))?;
        write("pipelines/demo.toml", &pipeline)?;
        write("pipelines/secrets/demo.key", &key)?;
        write("stacks/process/demo.toml", STACK)?;
        let folder = folder.canonicalize().context("the demo's folder")?;
        Ok(Self { folder, temporary, key, front, controller })
    }

    pub(super) fn config(&self) -> PathBuf {
        self.folder.join("pointsman.toml")
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn front_url(&self) -> String {
        format!("http://{}/", self.front)
    }

    /// Returns a link to the page that signs in whoever runs the demo. It is good once and for ten minutes.
    pub(super) fn page_link(&self) -> anyhow::Result<String> {
        let settings = Settings::load(Some(&self.config())).map_err(mistakes)?;
        let links = page::links(&settings, &Purpose::Enter(client::user().into()))?;
        links.into_iter().next().context("the demo listens on this host")
    }

    /// Starts the controller and waits until it answers.
    pub(super) async fn start_controller(&self, clock: &Clock) -> anyhow::Result<Controller> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("controller.log"))?;
        let program = std::env::current_exe().context("the program's own file")?;
        let process = Command::new(program)
            .args(["serve", "--config"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("starting the controller")?;
        let server = Server::by_settings(self.config());
        let answers = async || match server.connect() {
            Ok(api) => Ok(api.get("/v1/environments").await.is_ok()),
            Err(_) => Ok(false),
        };
        until(clock, &format!("the controller answers; see {}/controller.log", self.folder.display()), answers).await?;
        Ok(Controller { process, api: server.connect()? })
    }

    /// Announces a build as a build server does: signed, over HTTP. Gives the address of its deployment.
    pub(super) async fn announce(&self, version: &str, build: u64, broken: bool) -> anyhow::Result<String> {
        let parameters = if broken { json!({ "broken": "true" }) } else { json!({}) };
        let body = json!({ "version": version, "artifact": "sample", "build": build, "parameters": parameters });
        let body = body.to_string();
        let now = Clock::real().now().0 / 1000;
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes()).context("the webhook's key")?;
        mac.update(format!("{now}.{body}").as_bytes());
        let request = http::Request::post(format!("http://{}/v1/hooks/demo", self.controller))
            .header("content-type", "application/json")
            .header("x-pointsman-timestamp", now.to_string())
            .header("x-pointsman-signature", format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
            .body(Full::<bytes::Bytes>::from(body))?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = tokio::time::timeout(ANSWER_LIMIT, client.request(request)).await??;
        let status = answer.status();
        let answer: Value = serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?;
        match answer["deployment"].as_str() {
            Some(deployment) => Ok(deployment.to_owned()),
            None => bail!("the webhook was answered with {status}: {answer}"),
        }
    }

    /// Ends every process of the demo, and removes what it wrote. The controller ends with the play.
    pub(super) async fn clear(&self) {
        let clock = Clock::real();
        for signal in [Signal::TERM, Signal::KILL] {
            let ended = async || {
                let left = processes_with(&self.folder);
                for pid in &left {
                    // One that has just ended is what is wanted.
                    let _ = kill_process(*pid, signal);
                }
                clock.wait(Duration::from_millis(100)).await;
                Ok(left.is_empty())
            };
            let limit = Duration::from_secs(15);
            if tokio::time::timeout(limit, until(&clock, "all has ended", ended)).await.is_ok() {
                break;
            }
        }
        if self.temporary {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Processes of this program that were started with a path below the folder: the front and the supervisors. What those
/// started ends with them.
fn processes_with(folder: &Path) -> Vec<Pid> {
    let Ok(program) = std::env::current_exe() else { return Vec::new() };
    let here = folder.display().to_string();
    let ours = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let same = fs::read_link(entry.path().join("exe")).ok()? == program;
        let below = String::from_utf8_lossy(&line).split('\0').any(|argument| argument.starts_with(&here));
        let other = pid != rustix::process::getpid();
        (same && below && other).then_some(pid)
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(ours).collect()
}

/// The usual port of this host alone, or another one where that is taken.
fn free(usual: u16) -> anyhow::Result<SocketAddr> {
    let bind = |port| TcpListener::bind(("127.0.0.1", port));
    let listener = bind(usual).or_else(|_| bind(0)).context("finding a free port")?;
    Ok(listener.local_addr()?)
}
