//! What the orchestration itself costs, on drivers that live in memory: 500 deployments at once (the delay of a step
//! beyond what the world takes), and 10,000 environments with nothing to do (memory and processor).
//!
//! `cargo bench --bench orchestration`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement ends when anything is wrong, prints, and reads the clock"
)]

#[path = "../tests/support/memory.rs"]
#[allow(dead_code, unused_imports, reason = "the stories use more of it")]
mod memory;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use memory::{MemoryFront, MemoryStacks};
use pointsman::{
    checks::Checks,
    clock::Clock,
    journal::{Journal, Options},
    machine::{Ask, EnvironmentId, Key, Millis, Plan, Release, ReleaseDraft, Trigger},
    pipelines::{Pipelines, frozen::Frozen},
    runner::{self, Board, Hooks, SharedStacks, World},
    secrets::Secrets,
};
use tokio::sync::watch;

struct Yard {
    journal: Journal,
    clock: Clock,
    ids: Vec<EnvironmentId>,
    digest: Arc<str>,
    stop: watch::Sender<bool>,
    running: tokio::task::JoinHandle<()>,
    _state: tempfile::TempDir,
}

fn yard(count: usize, watch_every: Duration) -> Yard {
    let (journal, clock, state) =
        (Journal::in_memory(Options::default()).unwrap(), Clock::real(), tempfile::tempdir().unwrap());
    let frozen = Frozen::below(state.path());
    let digest = frozen.freeze("a stack in memory").unwrap();
    let stacks = Arc::new(SharedStacks::new(Arc::new(MemoryStacks::silent())));
    let checks = Arc::new(Checks::default());
    let board = Board::default();
    let ids: Vec<EnvironmentId> = (0..count).map(|i| format!("app-{i}/live").parse().unwrap()).collect();
    let secrets = Secrets::open(state.path(), &Pipelines::default()).unwrap();
    let world = |id: &EnvironmentId| World {
        artifacts: Default::default(),
        id: id.clone(),
        stacks: stacks.clone(),
        front: Arc::<MemoryFront>::default(),
        checks: checks.clone(),
        hooks: Hooks::none(),
        frozen: frozen.clone(),
        secrets: secrets.clone(),
        source: None,
        promotion: None,
        watch: watch_every,
        lives: state.path().join("looked").join(format!("{id}.json")),
        board: board.clone(),
        clock: clock.clone(),
    };
    let worlds = ids.iter().map(world).collect();
    let (stop, stopped) = watch::channel(false);
    let running = tokio::task::spawn(runner::run(worlds, Vec::new(), journal.clone(), clock.clone(), stopped));
    Yard { journal, clock, ids, digest, stop, running, _state: state }
}

impl Yard {
    async fn deploy(&self, id: &EnvironmentId, version: &str, key: u8) {
        let release = ReleaseDraft::New(Release { definition: self.digest.clone(), ..Release::draft(version) });
        let plan = Arc::new(Plan { bake: Millis(0), ..Plan::default() });
        let deploy = Ask::Deploy { key: Key([key; 16]), build_number: None, release, plan, trigger: Trigger::Build };
        self.journal.command(id, "bench", self.clock.now(), deploy).await.unwrap();
    }

    async fn settled(&self, id: &EnvironmentId) {
        let mut states = self.journal.watch(id);
        states.wait_for(|e| e.live().is_some() && e.active().is_none() && e.queue().is_empty()).await.unwrap();
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        self.running.await.unwrap();
    }
}

/// Every step's record minus the record before it: nothing in this world takes time, so all of it is ours.
async fn five_hundred_at_once() {
    let yard = yard(500, Duration::from_secs(10));
    let mut records = yard.journal.follow();
    let collect = tokio::task::spawn(async move {
        let mut last: std::collections::HashMap<EnvironmentId, Instant> = std::collections::HashMap::new();
        let mut delays = Vec::new();
        while let Ok(record) = records.recv().await {
            let now = Instant::now();
            if let Some(before) = last.insert(record.environment.clone(), now) {
                delays.push(now - before);
            }
            if delays.len() == 500 * 6 {
                break;
            }
        }
        delays
    });
    let began = Instant::now();
    futures_util::future::join_all(yard.ids.iter().map(|id| yard.deploy(id, "v1", 1))).await;
    futures_util::future::join_all(yard.ids.iter().map(|id| yard.settled(id))).await;
    let took = began.elapsed();
    let mut delays = tokio::time::timeout(Duration::from_secs(5), collect).await.unwrap().unwrap();
    delays.sort();
    let at = |p: f64| delays[((delays.len() - 1) as f64 * p) as usize].as_secs_f64() * 1e3;
    println!(
        "500 deployments at once: all live after {:.0} ms; {} steps, delay p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms (goal: p99 under 20 ms)",
        took.as_secs_f64() * 1e3,
        delays.len(),
        at(0.5),
        at(0.99),
        at(1.0),
    );
    yard.end().await;
}

async fn ten_thousand_idle() {
    let yard = yard(10_000, Duration::from_secs(30));
    for id in &yard.ids {
        yard.deploy(id, "v1", 1).await;
    }
    for id in &yard.ids {
        yard.settled(id).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (cpu, wall) = (processor_time(), Instant::now());
    tokio::time::sleep(Duration::from_secs(30)).await;
    let share = (processor_time() - cpu).as_secs_f64() / wall.elapsed().as_secs_f64() * 100.0;
    println!(
        "10,000 environments idle, each with a live stack that is looked at every 30 s: {:.0} MB resident (goal: under 200), {share:.2} % of one core (goal: under 1)",
        resident() as f64 / 1e6,
    );
    yard.end().await;
}

fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::main]
async fn main() {
    // Each stack in memory listens; the idle ones are many.
    let limit = rustix::process::Rlimit { current: Some(60_000), maximum: Some(60_000) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
    five_hundred_at_once().await;
    ten_thousand_idle().await;
}
