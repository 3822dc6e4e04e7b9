//! Stand-in for the state file, in memory, until the real one takes its place: the same calls, nothing durable.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};

use crate::machine::{Command, Entry, Environment, EnvironmentId, Event, Millis, Refusal, Seq};

/// One event of one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its place among all records.
    pub seq: u64,
    /// When.
    pub at: Millis,
    /// Where.
    pub environment: EnvironmentId,
    /// Who.
    pub by: Arc<str>,
    /// What.
    pub event: Event,
}

/// What was recorded.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its place among the environment's events.
    pub seq: Seq,
    /// The event.
    pub event: Event,
    /// What came of it.
    pub state: Arc<Environment>,
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The environment's answer.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The disk is full.
    #[error("the state file's disk is full")]
    NoSpace,
    /// The writer has stopped.
    #[error("the state file takes no more records")]
    Stopped,
}

/// The journal.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    all: Mutex<(HashMap<EnvironmentId, watch::Sender<Arc<Environment>>>, Vec<Arc<Record>>)>,
    follow: broadcast::Sender<Arc<Record>>,
}

impl Journal {
    /// An empty one.
    pub fn memory() -> Self {
        Self(Arc::new(Inner { all: Mutex::default(), follow: broadcast::channel(1024).0 }))
    }

    /// Decides, records, answers.
    pub async fn command(
        &self,
        id: &EnvironmentId,
        by: &str,
        at: Millis,
        command: Command,
    ) -> Result<Accepted, CommandError> {
        let event = self.state(id).command(&command)?;
        self.append(id, by, at, event)
    }

    /// Records an event.
    pub fn append(&self, id: &EnvironmentId, by: &str, at: Millis, event: Event) -> Result<Accepted, CommandError> {
        let mut all = self.0.all.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = all.0.entry(id.clone()).or_insert_with(|| watch::channel(Arc::default()).0);
        let mut state = Environment::clone(&sender.borrow());
        let entry = Entry { at, by: by.into(), event: event.clone() };
        state.apply(&entry).map_err(|_| CommandError::Stopped)?;
        let state = Arc::new(state);
        sender.send_replace(state.clone());
        let seq = all.1.len() as u64 + 1;
        let record = Arc::new(Record { seq, at, environment: id.clone(), by: by.into(), event: event.clone() });
        all.1.push(record.clone());
        let _ = self.0.follow.send(record);
        Ok(Accepted { seq: state.seq(), event, state })
    }

    /// The state of an environment.
    pub fn state(&self, id: &EnvironmentId) -> Arc<Environment> {
        let all = self.0.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.0.get(id).map(|s| s.borrow().clone()).unwrap_or_default()
    }

    /// Its changes.
    pub fn watch(&self, id: &EnvironmentId) -> watch::Receiver<Arc<Environment>> {
        let mut all = self.0.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.0.entry(id.clone()).or_insert_with(|| watch::channel(Arc::default()).0).subscribe()
    }

    /// Records as they come.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Record>> {
        self.0.follow.subscribe()
    }

    /// The last records of one environment or of all, oldest first.
    pub async fn history(&self, id: Option<&EnvironmentId>, limit: usize) -> Result<Vec<Arc<Record>>, CommandError> {
        let all = self.0.all.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |r: &&Arc<Record>| id.is_none_or(|id| r.environment == *id);
        let mut found: Vec<_> = all.1.iter().rev().filter(of).take(limit).cloned().collect();
        found.reverse();
        Ok(found)
    }
}
