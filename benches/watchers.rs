//! Five hundred people who watch: `cargo bench --bench watchers -- 500`.
//!
//! The real controller, with so many event streams open. Steps are recorded one by one, then as fast as they are taken;
//! every watcher must hear every one, in order, and what is measured is from the time in the record until it was read,
//! all watchers being read in this one process. Then what the streams add to the memory of the controller, and how long
//! it takes all of them to come back after their connections broke.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock and waits")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::{
    fs, io,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use anyhow::ensure;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

const STEPS: usize = 100;
const BURST: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(60);
const PIPELINE: &str = r#"
[[environments]]
name = "live"
deploy = "on-build"
stack = { driver = "process", definition = "../none.toml" }
front = { driver = "builtin", listen = "127.0.0.1:0" }
[[environments.checks]]
tcp = {}
"#;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let watchers = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(500);
    let server = Server::start().await?;
    server.record(50).await?;
    sleep(Duration::from_secs(1)).await;
    let alone = server.resident()?;
    let mut open = Vec::new();
    for _ in 0..watchers {
        open.push(Watcher::open(&server, None).await?);
    }
    println!("{watchers} streams open: {:.1} MB more", server.resident()? - alone);

    let (open, mut one_by_one) = hear(open, STEPS, async {
        for _ in 0..STEPS {
            server.record(1).await?;
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    })
    .await?;
    tell("one by one", &mut one_by_one);
    let (open, mut fast) = hear(open, BURST, server.record(BURST)).await?;
    tell("at full speed", &mut fast);
    let more = server.resident()? - alone;
    println!("after {} records to each: {more:.1} MB more", STEPS + BURST);

    // Everybody comes back at once and hears what they missed.
    let last = open.first().map_or(0, |watcher| watcher.last);
    drop(open);
    server.record(BURST).await?;
    let begun = Instant::now();
    let mut back = JoinSet::new();
    for _ in 0..watchers {
        let mut watcher = Watcher::open(&server, Some(last)).await?;
        back.spawn(async move { watcher.hear(BURST).await.map(|_| watcher) });
    }
    let mut open = Vec::new();
    while let Some(watcher) = back.join_next().await {
        open.push(watcher??);
    }
    let again = server.resident()? - alone;
    println!(
        "all back with {BURST} missed records each after {:.2} s: {again:.1} MB more",
        begun.elapsed().as_secs_f64()
    );

    let slowest = one_by_one.last().copied().unwrap_or(i64::MAX);
    let goal = |met: bool| if met { "met" } else { "MISSED" };
    println!(
        "goals: a step within 100 ms {} ({slowest} ms), 50 MB {}",
        goal(slowest < 100),
        goal(more.max(again) < 50.0)
    );
    Ok(())
}

fn tell(how: &str, times: &mut [i64]) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 1000];
    let (half, most) = (at(500), at(1000));
    println!("{} heard {how}: p50 {half} ms, p99 {} ms, p99.9 {} ms, most {most} ms", times.len(), at(990), at(999));
}

/// Has everybody hear so many records while they are made.
async fn hear(
    watchers: Vec<Watcher>,
    count: usize,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<(Vec<Watcher>, Vec<i64>)> {
    let mut tasks = JoinSet::new();
    for mut watcher in watchers {
        tasks.spawn(async move { watcher.hear(count).await.map(|times| (watcher, times)) });
    }
    work.await?;
    let (mut watchers, mut all) = (Vec::new(), Vec::new());
    while let Some(heard) = tasks.join_next().await {
        let (watcher, times) = heard??;
        watchers.push(watcher);
        all.extend(times);
    }
    Ok((watchers, all))
}

/// One open event stream.
struct Watcher {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The last record that was heard.
    last: u64,
}

impl Watcher {
    async fn open(server: &Server, last: Option<u64>) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(&server.address).await?;
        let since = last.map_or_else(String::new, |last| format!("last-event-id: {last}\r\n"));
        let token = &server.token;
        let head = format!("GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{since}\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut watcher = Self { stream, buffer: Vec::new(), last: 0 };
        // The first event: from here on everything is heard.
        let hello = watcher.line("id: ").await?;
        watcher.last = hello.parse()?;
        Ok(watcher)
    }

    /// The rest of the next line that begins like this.
    async fn line(&mut self, begin: &str) -> anyhow::Result<String> {
        loop {
            while let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..=end);
                if let Some(rest) = line.strip_prefix(begin) {
                    return Ok(rest.trim_end().to_owned());
                }
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await??;
            ensure!(read > 0, "the stream ended");
        }
    }

    /// How many milliseconds old each of the next records was.
    async fn hear(&mut self, count: usize) -> anyhow::Result<Vec<i64>> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let data = self.line("data: ").await?;
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
            let record: serde_json::Value = serde_json::from_str(&data)?;
            let (seq, at) = (record["seq"].as_u64().unwrap_or(0), record["at"].as_i64().unwrap_or(0));
            ensure!(seq == self.last + 1, "after record {} came {data}", self.last);
            self.last = seq;
            times.push(i64::try_from(now)? - at);
        }
        Ok(times)
    }
}

/// A controller at work in a folder of its own; killed when it is dropped, and its front with it.
struct Server {
    child: Child,
    folder: PathBuf,
    address: String,
    token: String,
}

impl Server {
    async fn start() -> anyhow::Result<Self> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("watchers-bench");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("pipelines"))?;
        fs::write(folder.join("pipelines/bench.toml"), PIPELINE)?;
        fs::write(folder.join("none.toml"), "command = [\"/bin/false\"]\nports = \"29000-29001\"\n")?;
        let settings = "[server]\nlisten = \"127.0.0.1:0\"\nconnections = 4096\n[log]\nfilter = \"warn\"\n";
        fs::write(folder.join("pointsman.toml"), settings)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        let child = command.arg("serve").current_dir(&folder).stdin(Stdio::null()).spawn()?;
        let mut server = Self { child, folder, address: String::new(), token: String::new() };
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            sleep(Duration::from_millis(10)).await;
            let read = |file: &str| fs::read_to_string(server.folder.join("state").join(file));
            let (Ok(address), Ok(token)) = (read("address"), read("token")) else { continue };
            (server.address, server.token) = (address.trim().to_owned(), token.trim().to_owned());
            if server.record(1).await.is_ok() {
                return Ok(server);
            }
        }
        anyhow::bail!("the controller does not come up")
    }

    /// So many records, one after the other.
    async fn record(&self, count: usize) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let body = "{\"reason\":\"a step that is watched\"}";
        let request = format!(
            "POST /v1/environments/bench/live/hold HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        let mut answer = vec![0; 4096];
        for _ in 0..count {
            stream.write_all(request.as_bytes()).await?;
            // Small enough to come whole.
            let read = timeout(PATIENCE, stream.read(&mut answer)).await??;
            let answer = String::from_utf8_lossy(&answer[..read]);
            ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        Ok(())
    }

    /// Returns the resident memory, in MB.
    fn resident(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// The processes that were started in this folder, or name it.
    fn kin(&self) -> Vec<rustix::process::Pid> {
        let mark = self.folder.display().to_string();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let named = |file| fs::read(entry.path().join(file)).unwrap_or_default();
            let here = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&self.folder));
            if here || String::from_utf8_lossy(&named("cmdline")).contains(&mark) {
                found.extend(pid.and_then(rustix::process::Pid::from_raw));
            }
        }
        found.retain(|pid| pid.as_raw_nonzero().get().unsigned_abs() != std::process::id());
        found
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in self.kin() {
            let _: io::Result<()> =
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).map_err(io::Error::from);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
