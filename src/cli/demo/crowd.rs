//! The crowd: clients that ask the front for its page again and again, and count who answered.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::task::JoinSet;

use crate::{clock::Clock, machine::Millis};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Pause between an answer and the next request, so that the demo leaves the machine something.
const BREATH: Duration = Duration::from_millis(4);

/// Counts of requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Answers by version.
    pub(super) versions: BTreeMap<String, u64>,
    /// Anything but a good answer.
    pub(super) failed: u64,
    /// The slowest answer.
    pub(super) slowest: Millis,
    /// When a version last answered for the first time after another.
    turns: Vec<(String, Millis)>,
}

impl Tally {
    fn note(&mut self, version: Option<String>, asked: Millis, now: Millis) {
        let Some(version) = version else {
            self.failed += 1;
            return;
        };
        self.slowest = self.slowest.max(now.since(asked));
        if self.turns.last().is_none_or(|(last, _)| *last != version) {
            self.turns.push((version.clone(), now));
        }
        *self.versions.entry(version).or_default() += 1;
    }

    pub(super) fn requests(&self) -> u64 {
        self.versions.values().sum::<u64>() + self.failed
    }
}

/// The clients. They end when this is dropped.
pub(super) struct Crowd {
    front: SocketAddr,
    clock: Clock,
    tally: Arc<Mutex<Tally>>,
    clients: tokio::sync::Mutex<JoinSet<()>>,
}

impl Crowd {
    pub(super) fn new(front: SocketAddr, clock: Clock) -> Self {
        Self { front, clock, tally: Arc::default(), clients: tokio::sync::Mutex::default() }
    }

    /// Lets that many clients begin.
    pub(super) async fn let_in(&self, count: u16) {
        let mut clients = self.clients.lock().await;
        for _ in 0..count {
            clients.spawn(hammer(self.front, self.clock.clone(), self.tally.clone()));
        }
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When that version first answered after `since`.
    pub(super) async fn first_answer_of(&self, version: &str, since: Millis) -> Option<Millis> {
        let seen = async {
            loop {
                let turns = self.tally().turns;
                if let Some((_, at)) = turns.iter().find(|(v, at)| v == version && *at >= since) {
                    return *at;
                }
                self.clock.wait(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LIMIT, seen).await.ok()
    }
}

async fn hammer(front: SocketAddr, clock: Clock, tally: Arc<Mutex<Tally>>) {
    let client: Client<HttpConnector, Empty<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    loop {
        let asked = clock.now();
        let version = ask(&client, front).await;
        let now = clock.now();
        tally.lock().unwrap_or_else(PoisonError::into_inner).note(version, asked, now);
        clock.wait(BREATH).await;
    }
}

/// The version that answered well, and in time.
async fn ask(client: &Client<HttpConnector, Empty<bytes::Bytes>>, front: SocketAddr) -> Option<String> {
    let uri = format!("http://{front}/").parse().ok()?;
    let whole = async {
        let response = client.get(uri).await.ok()?;
        let good = response.status().is_success();
        let version = response.headers().get("x-version")?.to_str().ok()?.to_owned();
        response.into_body().collect().await.ok()?;
        good.then_some(version)
    };
    tokio::time::timeout(LIMIT, whole).await.ok().flatten()
}
