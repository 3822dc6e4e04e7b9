//! The state file: an append-only list of events, and the only writer of state.
//!
//! Every published state and every answer, also a refusal, rests only on what is safe from a loss of power. A folder
//! holds segments (`journal-000001.jsonl`, one record a line, chained by checksums), snapshots that shorten a start, a
//! lock and a ballast. See [`Record`] for the lines, [`Problem`] for what is refused and why.
//!
//! Must not know drivers, HTTP or the clock: times come with the requests.

mod advice;
mod aside;
mod disk;
mod excerpt;
mod fold;
mod found;
mod history;
mod ledger;
mod level;
mod log;
mod memory;
mod open;
mod problem;
mod read;
mod record;
mod snapshot;
mod storage;
#[cfg(test)]
mod tests;
mod verify;
mod way_back;
mod writer;

use std::{fs::File, io, path::Path, sync::Arc};

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use self::{
    ledger::{Change, Ledger, Request},
    storage::Storage,
    writer::{Answer, Message, Published},
};
use crate::machine::{Command, Entry, Environment, EnvironmentId, Event, Illegal, Millis, Refusal, Seq};

pub use self::disk::claim;
pub use self::{
    aside::Aside,
    excerpt::{Excerpt, ExcerptLine},
    found::{Found, Head, Locked, at, holder, set_aside},
    history::{LastRecords, Replay},
    level::NEWEST,
    log::log,
    open::{Opened, Torn},
    problem::{Fault, OpenError, Problem},
    record::{Record, Sum},
    verify::{Verified, verify},
    way_back::{Lost, LostIn, WayBack, missing_copy, ways_back},
};

/// How the journal works.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most requests that share a flush.
    pub max_batch: usize,
    /// The most requests that wait for the writer; more wait before they are taken.
    pub max_waiting: usize,
    /// A snapshot and a new segment after this many records.
    pub snapshot_every: u64,
    /// Set aside for what puts things right on a full disk.
    pub ballast_bytes: u64,
    /// No deployments are taken in when less than this is free.
    pub low_water_bytes: u64,
    /// How many records a follower may be behind before it misses some.
    pub records_kept: usize,
    /// Where the state is copied before the first record of a newer format level; nowhere in tests.
    pub aside: Option<Aside>,
    /// Snapshots are taken while requests wait. For tests that must come out the same each time.
    pub snapshot_in_place: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_batch: 512,
            max_waiting: 4096,
            snapshot_every: 50_000,
            ballast_bytes: 4 << 20,
            low_water_bytes: 32 << 20,
            records_kept: 8192,
            aside: None,
            snapshot_in_place: false,
        }
    }
}

/// A command that was recorded.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The number of its record in the whole state file.
    pub seq: u64,
    /// Event that was recorded.
    pub event: Event,
    /// The state of its environment, with this event and those that were made safe together with it.
    pub state: Arc<Environment>,
}

/// Why a command or an event was not recorded: the one type for it, from the ledger to the answer of the API.
#[derive(Debug, thiserror::Error)]
pub enum NotRecorded {
    /// The state does not allow it: a command only.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Other events came first, in an environment that was looked at: look again.
    #[error("the environment has moved on; look again")]
    Moved,
    /// The disk is full, or nearly.
    #[error("the disk with the state folder is full; free some space and ask again")]
    NoSpace,
    /// The journal is closed, or its writer died. Whether it was recorded is not known: ask again after the restart.
    #[error("the state file is closed; ask again when the controller is back")]
    Stopped,
    /// A defect: the event does not fit the state.
    #[error(transparent)]
    Illegal(#[from] Illegal),
}

/// A handle to the state file. Clones share it.
#[derive(Clone)]
pub struct Journal {
    requests: mpsc::Sender<Message>,
    published: Arc<Published>,
    storage: Arc<dyn Storage>,
}

impl Journal {
    /// Locks and reads the state folder, which is made if need be, and starts the writer. Blocks while it reads.
    pub fn open(folder: &Path, options: Options) -> Result<(Self, Opened), OpenError> {
        Locked::at(folder)?.begin(options)
    }

    /// A journal that is gone with the process, for tests of what stands above it.
    pub fn in_memory(options: Options) -> Result<Self, OpenError> {
        let (storage, folder) = (Arc::new(memory::Memory::default()), Path::new("memory"));
        let start = open::read_in(&*storage, folder)?;
        Ok(Self::start(storage, None, start, options, folder)?.0)
    }

    fn start(
        storage: Arc<dyn Storage>,
        lock: Option<File>,
        mut start: open::Start,
        options: Options,
        folder: &Path,
    ) -> Result<(Self, Opened), OpenError> {
        let failed = |doing| move |source| OpenError::Io { doing, path: folder.to_owned(), source };
        let opened = std::mem::take(&mut start.opened);
        let ledger = Ledger::new(storage.clone(), options.clone(), start, opened.torn.is_some());
        let ledger = ledger.map_err(failed("preparing the state folder"))?;
        let published = Arc::new(Published::new(&ledger, options.records_kept));
        let (requests, inbox) = mpsc::channel(options.max_waiting.max(1));
        let seen = published.clone();
        let thread = std::thread::Builder::new().name("journal".into());
        thread
            .spawn(move || writer::run(ledger, inbox, &seen, options.max_batch.max(1), lock))
            .map_err(failed("starting the writer for"))?;
        Ok((Self { requests, published, storage }, opened))
    }

    /// Asks for something; the answer comes when it is safe.
    pub async fn command(
        &self,
        environment: &EnvironmentId,
        by: &str,
        at: Millis,
        command: impl Into<Command>,
    ) -> Result<Accepted, NotRecorded> {
        self.command_on(environment, by, at, command, &[]).await
    }

    /// The same; only if each environment of `looked_at` has folded that many events and no more, so that what is
    /// confirmed is what was seen. All are compared in the moment of the decision: what is decided on two environments
    /// holds for both.
    pub async fn command_on(
        &self,
        environment: &EnvironmentId,
        by: &str,
        at: Millis,
        command: impl Into<Command>,
        looked_at: &[(EnvironmentId, Seq)],
    ) -> Result<Accepted, NotRecorded> {
        let (environment, by) = (environment.clone(), by.into());
        let change = Change::Decide(command.into(), looked_at.to_vec());
        let (record, state) = self.ask(Request { environment, by, at, change }).await?;
        Ok(Accepted { seq: record.seq, event: record.event.clone(), state })
    }

    /// Appends an entry that was decided on the state after `expected` events, and only on that one. The state returned
    /// has it, and what was made safe together with it.
    pub async fn append(
        &self,
        environment: &EnvironmentId,
        expected: Seq,
        entry: Entry,
    ) -> Result<Arc<Environment>, NotRecorded> {
        let Entry { at, by, event } = entry;
        let environment = environment.clone();
        let (_, state) = self.ask(Request { environment, by, at, change: Change::Append(expected, event) }).await?;
        Ok(state)
    }

    async fn ask(&self, request: Request) -> Answer {
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.send(Message::Record(request, answer)).await;
        sent.map_err(|_| NotRecorded::Stopped)?;
        answered.await.map_err(|_| NotRecorded::Stopped)?
    }

    /// The state of an environment, as far as it is safe; the empty one when it has no events.
    pub fn state(&self, environment: &EnvironmentId) -> Arc<Environment> {
        self.published.state(environment)
    }

    /// The environments that have events, sorted.
    pub fn environments(&self) -> Vec<EnvironmentId> {
        self.published.environments()
    }

    /// The state of an environment, whenever it changes.
    pub fn watch(&self, environment: &EnvironmentId) -> watch::Receiver<Arc<Environment>> {
        self.published.watch(environment)
    }

    /// Every record from now on, once it is safe. A follower that falls behind misses some, and is told so.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Record>> {
        self.published.records.subscribe()
    }

    /// The last records that are safe, of one environment or of all, oldest first. Reads files and blocks, from their
    /// end back to what is wanted.
    pub fn history(&self, environment: Option<&EnvironmentId>, last: usize) -> io::Result<Vec<Record>> {
        self.history_where(&|id| environment.is_none_or(|wanted| wanted == id), last, (0, u64::MAX))
    }

    /// The same, of all environments that are wanted, and only what was recorded after one place and before another.
    pub fn history_where(
        &self,
        wanted: &dyn Fn(&EnvironmentId) -> bool,
        last: usize,
        (after, before): (u64, u64),
    ) -> io::Result<Vec<Record>> {
        self.history_within(wanted, last, (after, before), u64::MAX).map(|read| read.records)
    }

    /// The same, for which no more than so many bytes are read, and whether there may be older ones.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn history_within(
        &self,
        wanted: &dyn Fn(&EnvironmentId) -> bool,
        last: usize,
        (after, before): (u64, u64),
        bytes: u64,
    ) -> io::Result<LastRecords> {
        // In this order: of what is recorded in between too many may be looked for, never too few.
        let newest = self.published.newest();
        let all = self.environments().into_iter().filter(wanted).map(|id| self.state(&id).seq().0).sum();
        history::last(&*self.storage, &history::Query { wanted, most: last, after, before, newest, all, bytes })
    }

    /// The place of the last record that is safe; 0 when there is none.
    pub fn newest(&self) -> u64 {
        self.published.newest()
    }

    /// Every record after that one, read again from the files. With [`Journal::follow`], asked before, nothing is missed
    /// between the two.
    pub fn since(&self, seq: u64) -> Replay {
        Replay::new(self.storage.clone(), self.published.clone(), seq)
    }

    /// Comes back, with the reason, when the writer died. Then nothing can be recorded any more and the process must
    /// end (exit code 75) and read the file again.
    pub fn dead(&self) -> impl Future<Output = Arc<str>> + Send + use<> {
        let mut dead = self.published.dead.subscribe();
        async move {
            loop {
                if let Some(reason) = dead.borrow_and_update().clone() {
                    return reason;
                }
                if dead.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Ends the writer after what was asked before. Comes back when the lock is free.
    pub async fn close(&self) {
        let (done, ended) = oneshot::channel();
        if self.requests.send(Message::Stop(done)).await.is_ok() {
            let _ = ended.await;
        }
    }
}
