//! Webhooks against the real controller: `cargo bench --bench webhooks -- 200`.
//!
//! First the rate at 128 connections, each answer durable, beside a bare group-committed append loop on the same disk.
//! Then bursts that a SIGKILL ends at a random moment, that many rounds: what was acknowledged is there once, and keeps
//! its deployment. Uses a folder below the target folder, so that it is the disk that the project is on.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock and waits")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

mod support;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, ensure};
use hmac::{Hmac, KeyInit, Mac};
use rustix::process::{Pid, Signal, kill_process};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinSet, LocalSet},
    time::sleep,
};

const KEY: &[u8] = b"a key of the benchmark";
const CONNECTIONS: usize = 128;
const PIPELINE: &str = r#"
[webhook]
secrets = [{ file = "../hook.key" }]
[[environments]]
name = "live"
deploy = "on-build"
stack = { driver = "process", definition = "../none.toml" }
front = { driver = "builtin", listen = "127.0.0.1:0" }
watch = "10s"
[[environments.checks]]
tcp = {}
"#;

fn main() -> anyhow::Result<()> {
    let rounds = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(200);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(now.as_nanos() as u64 | 1);
    let site = Site::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        rate(&site).await?;
        println!("{rounds} bursts, each ended by SIGKILL; seed {seed}");
        bursts(&site, rounds, seed).await
    })
}

/// One installation with a held environment: builds are taken in, and no stack comes up.
struct Site(PathBuf);

impl Site {
    fn new() -> anyhow::Result<Self> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("webhooks-bench");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("pipelines"))?;
        fs::write(folder.join("pipelines/bench.toml"), PIPELINE)?;
        fs::write(folder.join("none.toml"), "command = [\"/bin/false\"]\nports = \"29000-29001\"\n")?;
        fs::write(folder.join("hook.key"), KEY)?;
        let limits = "limits = { webhooks = \"1000000/s\" }";
        let settings = format!("[server]\nlisten = \"127.0.0.1:0\"\n{limits}\n[log]\nfilter = \"warn\"\n");
        fs::write(folder.join("pointsman.toml"), settings)?;
        Ok(Self(folder))
    }

    fn state(&self, file: &str) -> PathBuf {
        self.0.join("state").join(file)
    }

    async fn start(&self) -> anyhow::Result<Server> {
        let _ = fs::remove_file(self.state("address"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        let child = command.arg("serve").current_dir(&self.0).stdin(Stdio::null()).spawn()?;
        let mut server = Server { child, address: String::new(), token: String::new() };
        for _ in 0..3000 {
            sleep(Duration::from_millis(10)).await;
            let Ok(address) = fs::read_to_string(self.state("address")) else { continue };
            address.trim().clone_into(&mut server.address);
            if server.get("/healthz").await.is_ok() {
                fs::read_to_string(self.state("token"))?.trim().clone_into(&mut server.token);
                return Ok(server);
            }
        }
        anyhow::bail!("the controller does not come up")
    }

    /// The lines of the state file, all segments.
    fn lines(&self) -> anyhow::Result<Vec<String>> {
        let mut segments: Vec<_> = fs::read_dir(self.state("journal"))?.filter_map(|e| Some(e.ok()?.path())).collect();
        segments.retain(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("journal-")));
        segments.sort();
        let texts = segments.iter().map(fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
        Ok(texts.iter().flat_map(|text| text.lines().map(str::to_owned)).collect())
    }
}

impl Drop for Site {
    /// The front outlives the controller; this one is not to outlive the benchmark.
    fn drop(&mut self) {
        let mark = self.0.display().to_string();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            let here = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&self.0));
            let named =
                fs::read(entry.path().join("cmdline")).is_ok_and(|c| String::from_utf8_lossy(&c).contains(&mark));
            if let Some(pid) =
                pid.filter(|pid| (here || named) && pid.as_raw_nonzero().get() as u32 != std::process::id())
            {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A controller at work; killed when it is dropped.
struct Server {
    child: Child,
    address: String,
    token: String,
}

impl Server {
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        Client::open(&self.address).await?.send(request.as_bytes()).await.map(|(s, b)| (s, b.to_owned()))
    }

    async fn get(&self, path: &str) -> io::Result<String> {
        match self.ask("GET", path, "").await? {
            (200, body) => Ok(body),
            (status, body) => Err(io::Error::other(format!("{path}: {status} {body}"))),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One keep-alive connection; reads no more of an answer than it must.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    async fn send(&mut self, request: &[u8]) -> io::Result<(u16, &str)> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let (mut head, mut length) = (0, 0);
        while head == 0 || self.buffer.len() < head + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if head == 0
                && let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n")
            {
                let text = str::from_utf8(&self.buffer[..end]).map_err(io::Error::other)?;
                let field = text.split("\r\n").find_map(|line| line.strip_prefix("content-length: "));
                (head, length) = (end + 4, field.and_then(|f| f.parse().ok()).ok_or(io::ErrorKind::InvalidData)?);
            }
        }
        let text = str::from_utf8(&self.buffer).map_err(io::Error::other)?;
        let status = text.get(9..12).and_then(|s| s.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        Ok((status, &text[head..]))
    }
}

/// A signed webhook; no two have the same name.
fn webhook(name: &str) -> Vec<u8> {
    let body = format!(
        "{{\"version\":\"{name}\",\"artifact\":\"registry.example/shop:{name}\",\"commit\":\"3f2c1e0a\",\
         \"link\":\"https://ci.example/{name}\"}}"
    );
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).expect("any key will do");
    mac.update(format!("{now}.{body}").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let head = format!(
        "POST /v1/hooks/bench HTTP/1.1\r\nhost: x\r\nx-pointsman-timestamp: {now}\r\n\
         x-pointsman-signature: sha256={signature}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

/// The number in an answer to a webhook.
fn number(answer: &str) -> Option<u32> {
    answer.split_once("\"number\":")?.1.split([',', '}']).next()?.parse().ok()
}

async fn rate(site: &Site) -> anyhow::Result<()> {
    let server = site.start().await?;
    let (status, answer) = server.ask("POST", "/v1/environments/bench/live/hold", "{}").await?;
    ensure!(status == 200, "hold: {status} {answer}");
    load(&server, "warm", 40).await?;
    let each = 500;
    let (took, mut times) = load(&server, "load", each).await?;
    times.sort_unstable();
    let rate = times.len() as f64 / took.as_secs_f64();
    let at = |part: usize| times[(times.len() - 1) * part / 1000].as_secs_f64() * 1e3;
    let resident = resident(server.child.id());
    drop(server);
    let lines = site.lines()?;
    let recorded: Vec<_> = lines.iter().filter(|line| line.contains("\"version\":\"load-")).collect();
    ensure!(recorded.len() == CONNECTIONS * each, "{} records of {}", recorded.len(), CONNECTIONS * each);
    let length = recorded.iter().map(|line| line.len() + 1).sum::<usize>() / recorded.len();
    let bare = support::bare(&site.0, length, 128)?;
    println!(
        "{CONNECTIONS} connections, {} signed webhooks: {rate:.0}/s, p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, most {:.1} ms",
        times.len(),
        at(500),
        at(990),
        at(999),
        at(1000)
    );
    println!("bare loop, 128 lines of {length} bytes a flush: {bare:.0}/s; ratio {:.2}", rate / bare);
    println!("resident afterwards: {resident}");
    let goal = |met: bool| if met { "met" } else { "MISSED" };
    println!(
        "goals: 10,000/s {}, p99 under 25 ms {}, half of the bare loop {}",
        goal(rate >= 1e4),
        goal(at(990) < 25.0),
        goal(rate >= bare / 2.0)
    );
    Ok(())
}

fn resident(pid: u32) -> String {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.map_or("unknown".to_owned(), |line| line.trim().to_owned())
}

/// Sends distinct webhooks over all connections; every one is answered with 202.
async fn load(server: &Server, prefix: &str, each: usize) -> anyhow::Result<(Duration, Vec<Duration>)> {
    let mut clients = Vec::new();
    for c in 0..CONNECTIONS {
        let requests: Vec<_> = (0..each).map(|n| webhook(&format!("{prefix}-{c}-{n}"))).collect();
        clients.push((Client::open(&server.address).await?, requests));
    }
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for (mut client, requests) in clients {
        tasks.spawn_local(async move {
            let mut times = Vec::with_capacity(requests.len());
            for request in &requests {
                let asked = Instant::now();
                let (status, answer) = client.send(request).await?;
                ensure!(status == 202, "{status} {answer}");
                times.push(asked.elapsed());
            }
            Ok(times)
        });
    }
    let mut all = Vec::new();
    while let Some(times) = tasks.join_next().await {
        all.extend(times??);
    }
    Ok((begun.elapsed(), all))
}

/// Deployment numbers by version.
type Known = HashMap<String, u32>;

async fn bursts(site: &Site, rounds: u32, seed: u64) -> anyhow::Result<()> {
    let (mut random, mut all, mut repeated) = (Random(seed), Known::new(), 0);
    let mut server = site.start().await?;
    for round in 0..rounds {
        let acknowledged = burst(&mut server, round, random.below(40_000)).await?;
        server = site.start().await.with_context(|| format!("after round {round}"))?;
        repeated += repeat(&server, &acknowledged).await.with_context(|| format!("round {round}"))?;
        all.extend(acknowledged);
    }
    drop(server);
    let mut recorded: HashMap<String, Vec<u32>> = HashMap::new();
    for line in site.lines()? {
        let record: serde_json::Value = serde_json::from_str(&line)?;
        let event = &record["event"];
        if event["kind"] == "accepted" {
            let version = event["release"]["version"].as_str().unwrap_or_default().to_owned();
            recorded.entry(version).or_default().push(event["number"].as_u64().unwrap_or_default() as u32);
        }
    }
    let lost = all.iter().filter(|(version, _)| !recorded.contains_key(*version)).count();
    let other = all.iter().filter(|(version, n)| recorded.get(*version).is_some_and(|r| r[0] != **n)).count();
    let doubled = recorded.values().filter(|numbers| numbers.len() > 1).count();
    println!(
        "{rounds} kills: {} acknowledged, {lost} lost, {doubled} doubled, {other} under another number; {repeated} announced \
         again, each answered with its own deployment",
        all.len()
    );
    ensure!(lost + other + doubled == 0, "a promise is broken");
    Ok(())
}

/// A burst over 16 connections and a kill so many microseconds after the first answer.
async fn burst(server: &mut Server, round: u32, micros: u64) -> anyhow::Result<Known> {
    let (sent, mut answered) = tokio::sync::mpsc::unbounded_channel();
    for c in 0..16 {
        let (mut client, sent) = (Client::open(&server.address).await?, sent.clone());
        tokio::task::spawn_local(async move {
            // Not more than the controller remembers by content.
            for n in 0..60 {
                let version = format!("burst-{round}-{c}-{n}");
                let Ok((status, answer)) = client.send(&webhook(&version)).await else { return };
                if sent.send((version, status, number(answer))).is_err() {
                    return;
                }
            }
            // Stays open until the kill, so that this always comes in a burst or just after it.
            let _ = client.stream.read_u8().await;
        });
    }
    drop(sent);
    let mut known = Known::new();
    let mut keep = |answer: Option<(String, u16, Option<u32>)>| {
        let Some((version, status, number)) = answer else { return Ok(()) };
        ensure!(status == 202, "{version}: {status}");
        known.insert(version, number.context("an answer without a number")?);
        Ok(())
    };
    keep(answered.recv().await)?;
    let killed = sleep(Duration::from_micros(micros));
    tokio::pin!(killed);
    loop {
        tokio::select! {
            biased;
            () = &mut killed => break,
            answer = answered.recv() => keep(answer)?,
        }
    }
    server.kill();
    while let Some(answer) = answered.recv().await {
        keep(Some(answer))?;
    }
    Ok(known)
}

/// Announces what was acknowledged once more.
async fn repeat(server: &Server, acknowledged: &Known) -> anyhow::Result<usize> {
    let mut client = Client::open(&server.address).await?;
    for (version, before) in acknowledged {
        let (status, answer) = client.send(&webhook(version)).await?;
        ensure!(status == 202, "{version}: {status} {answer}");
        ensure!(number(answer) == Some(*before), "{version} was deployment {before}, and is now {answer}");
    }
    Ok(acknowledged.len())
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
