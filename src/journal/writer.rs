//! The thread that owns the [`Ledger`]: it takes what has gathered while the last flush ran as the next batch.

use std::{
    collections::HashMap,
    fs::File,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::{
    NotRecorded,
    ledger::{Committed, Ledger, Request},
    record::Record,
};
use crate::machine::{Environment, EnvironmentId};

pub(super) type Answer = Result<(Arc<Record>, Arc<Environment>), NotRecorded>;

/// Message to the writer.
#[expect(clippy::large_enum_variant, reason = "the small one comes once")]
pub(super) enum Message {
    Record(Request, oneshot::Sender<Answer>),
    Stop(oneshot::Sender<()>),
}

/// What everybody may see: durable states only.
pub(super) struct Published {
    states: RwLock<HashMap<EnvironmentId, watch::Sender<Arc<Environment>>>>,
    /// The last record that is safe.
    newest: AtomicU64,
    pub records: broadcast::Sender<Arc<Record>>,
    /// Why the writer died.
    pub dead: watch::Sender<Option<Arc<str>>>,
}

impl Published {
    pub(super) fn new(ledger: &Ledger, records_kept: usize) -> Self {
        let states = ledger.folded().states.iter();
        let states = states.map(|(environment, state)| (environment.clone(), watch::Sender::new(state.clone())));
        let (records, _) = broadcast::channel(records_kept.max(1));
        let newest = AtomicU64::new(ledger.folded().seq);
        Self { states: RwLock::new(states.collect()), newest, records, dead: watch::Sender::new(None) }
    }

    pub(super) fn state(&self, environment: &EnvironmentId) -> Arc<Environment> {
        let states = self.states.read().unwrap_or_else(PoisonError::into_inner);
        states.get(environment).map(|state| state.borrow().clone()).unwrap_or_default()
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    pub(super) fn environments(&self) -> Vec<EnvironmentId> {
        let states = self.states.read().unwrap_or_else(PoisonError::into_inner);
        let used = states.iter().filter(|(_, state)| state.borrow().seq().0 > 0);
        let mut names: Vec<_> = used.map(|(environment, _)| environment.clone()).collect();
        names.sort_unstable();
        names
    }

    pub(super) fn watch(&self, environment: &EnvironmentId) -> watch::Receiver<Arc<Environment>> {
        let states = self.states.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get(environment) {
            return state.subscribe();
        }
        drop(states);
        let mut states = self.states.write().unwrap_or_else(PoisonError::into_inner);
        states.entry(environment.clone()).or_insert_with(|| watch::Sender::new(Arc::default())).subscribe()
    }

    fn publish(&self, committed: &Committed) {
        let mut new = Vec::new();
        let states = self.states.read().unwrap_or_else(PoisonError::into_inner);
        for (environment, state) in &committed.states {
            match states.get(environment) {
                Some(place) => drop(place.send_replace(state.clone())),
                None => new.push((environment, state)),
            }
        }
        drop(states);
        if !new.is_empty() {
            let mut states = self.states.write().unwrap_or_else(PoisonError::into_inner);
            for (environment, state) in new {
                let place = states.entry(environment.clone()).or_insert_with(|| watch::Sender::new(Arc::default()));
                place.send_replace(state.clone());
            }
        }
        if let Some(last) = committed.answers.iter().flatten().next_back() {
            self.newest.store(last.seq, Ordering::Release);
        }
        if self.records.receiver_count() > 0 {
            for record in committed.answers.iter().flatten() {
                let _ = self.records.send(record.clone()); // The last listener may just have gone.
            }
        }
    }
}

/// Tells of the thread's death, also by a panic.
struct DeathNotice(Arc<Published>, Option<Arc<str>>);

impl Drop for DeathNotice {
    fn drop(&mut self) {
        let panicked = std::thread::panicking().then(|| "the writer panicked".into());
        if let Some(reason) = self.1.take().or(panicked) {
            tracing::error!(%reason, "the state file cannot be written any more; nothing was acknowledged that is not safe");
            self.0.dead.send_replace(Some(reason));
        }
    }
}

/// Runs until all handles are gone, one says stop, or the disk fails; then lets go of the lock.
pub(super) fn run(
    mut ledger: Ledger,
    mut inbox: mpsc::Receiver<Message>,
    published: &Arc<Published>,
    max_batch: usize,
    lock: Option<File>,
) {
    let mut notice = DeathNotice(published.clone(), None);
    let mut stop = None;
    while stop.is_none() {
        let Some(first) = inbox.blocking_recv() else { break };
        let (mut requests, mut waiting) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(message) = next.take() {
            match message {
                Message::Record(request, answer) => {
                    requests.push(request);
                    waiting.push(answer);
                }
                Message::Stop(done) => stop = Some(done),
            }
            if requests.len() < max_batch && stop.is_none() {
                next = inbox.try_recv().ok();
            }
        }
        match ledger.commit(&requests) {
            Ok(committed) => {
                published.publish(&committed);
                answer(committed, &requests, waiting, published);
            }
            Err(dead) => {
                notice.1 = Some(dead.to_string().into());
                break; // Nobody in this batch is answered: their channels close.
            }
        }
    }
    drop(inbox);
    drop(ledger);
    drop(lock);
    if let Some(stop) = stop {
        let _ = stop.send(());
    }
}

fn answer(committed: Committed, requests: &[Request], waiting: Vec<oneshot::Sender<Answer>>, published: &Published) {
    let Committed { answers, states } = committed;
    for ((request, waiting), answer) in requests.iter().zip(waiting).zip(answers) {
        let state = || states.get(&request.environment).cloned();
        let state = || state().unwrap_or_else(|| published.state(&request.environment));
        let _ = waiting.send(answer.map(|record| (record, state()))); // Who asked may have given up.
    }
}
