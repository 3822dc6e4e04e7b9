//! Tells somebody: `on_trouble` runs a program when what is live is down, when a person is needed, and when that is over. It
//! follows the journal with a cursor that is on the disk, so whatever happens is told at least once.
//!
//! Must not call a driver, and must not be in anybody's way: it is a task of its own, each run is bounded, and a program that
//! fails or hangs delays only what is told of its own environment.

mod cursor;
mod notice;
mod run;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::{
    Semaphore,
    broadcast::error::{RecvError, TryRecvError},
    watch,
};

use self::{
    cursor::Cursor,
    notice::{Kept, Notice},
};
use crate::{
    clock::Clock,
    hooks::Redactor,
    journal::{Journal, Record},
    machine::{EnvironmentId, Millis},
    pipelines::Program,
    runner::{Board, TELLING},
    secrets::Secrets,
    telling,
    text::format_duration,
};

/// How many programs run at once.
const AT_ONCE: usize = 8;
/// How many records are read at once, and how many are read again at most by one that was away for long.
const PAGE: usize = 100;
const MOST: u64 = 10_000;
/// Number of records without news after which the cursor is written down.
const KEEP: u64 = 1_000;
/// The pauses between two tries: from the first they double up to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// How long one notice is tried.
const GIVE_UP: Millis = Millis(24 * 3_600_000);

/// Forgets what was told: nobody is to be told any more.
///
/// # Errors
/// When the file cannot be removed.
pub(crate) fn forget(file: &Path) -> std::io::Result<()> {
    Cursor(file.to_owned()).remove()
}

/// Sends notifications of trouble.
pub(crate) struct Notifier {
    /// What is run, by environment; environments for which nobody is told are missing.
    pub programs: HashMap<EnvironmentId, Program>,
    /// The file with the cursor, in the state folder.
    pub file: PathBuf,
    /// Where what happens is read.
    pub journal: Journal,
    /// What was seen, for the sentences; and where a program that fails is shown.
    pub board: Board,
    /// What is taken out of the words of a program that fails.
    pub secrets: Secrets,
    /// The time.
    pub clock: Clock,
}

/// How a run ended.
struct Ran {
    environment: EnvironmentId,
    seq: u64,
    result: Result<(), String>,
}

/// Runs that are under way.
struct Work {
    kept: Kept,
    /// The last record that was written down as read.
    written: u64,
    running: FuturesUnordered<BoxFuture<'static, Ran>>,
    turns: BTreeMap<EnvironmentId, Turn>,
    permits: Arc<Semaphore>,
}

impl Notifier {
    /// Follows the journal and tells until `stop` says so. Returns whether it is done; otherwise it is to be begun again.
    pub(crate) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) -> bool {
        // First this, then the look at where the journal is: what is recorded in between is not missed.
        let mut heard = self.journal.follow();
        let kept = self.open().await;
        let (running, permits) = (FuturesUnordered::new(), Arc::new(Semaphore::new(AT_ONCE)));
        let mut work = Work { written: kept.read, kept, running, turns: BTreeMap::new(), permits };
        if let Err(error) = self.catch_up(&mut work).await {
            tracing::error!(%error, "on_trouble: the state file cannot be read; it is tried again");
            return false;
        }
        self.sweep(&mut work);
        self.write(&mut work).await;
        loop {
            self.begin(&mut work);
            tokio::select! {
                record = heard.recv() => match record {
                    Ok(record) if record.seq <= work.kept.read => {}
                    Ok(record) if record.seq == work.kept.read + 1 => {
                        let mut news = self.take(&mut work, &record);
                        while let Some(record) = next(&mut heard, work.kept.read) {
                            news |= self.take(&mut work, &record);
                        }
                        if news || work.kept.read - work.written >= KEEP {
                            self.write(&mut work).await;
                        }
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => {
                        if let Err(error) = self.catch_up(&mut work).await {
                            tracing::error!(%error, "on_trouble: the state file cannot be read; it is tried again");
                            return false;
                        }
                        self.write(&mut work).await;
                    }
                    Err(RecvError::Closed) => return true,
                },
                Some(ran) = work.running.next() => {
                    self.over(&mut work, ran);
                    self.write(&mut work).await;
                }
                () = told(&mut stop) => return true,
            }
        }
    }

    /// What was told before. Where nothing was, the past is not told: only what is wrong now.
    async fn open(&self) -> Kept {
        let (newest, cursor) = (self.journal.newest(), Cursor(self.file.clone()));
        let read = tokio::task::spawn_blocking(move || cursor.read()).await;
        let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        match read {
            // A state file that was put back from a backup does not go that far.
            Ok(Some(kept)) if kept.read <= newest => kept,
            Ok(_) => Kept { read: newest, ..Kept::default() },
            Err(error) => {
                let file = self.file.display();
                tracing::error!("on_trouble: {file} cannot be read ({error}); what is wrong now is told again");
                Kept { read: newest, ..Kept::default() }
            }
        }
    }

    /// Reads what was recorded meanwhile, from the files.
    async fn catch_up(&self, work: &mut Work) -> std::io::Result<()> {
        let newest = self.journal.newest();
        if newest.saturating_sub(work.kept.read) > MOST {
            let missed = newest - MOST - work.kept.read;
            tracing::warn!(missed, "on_trouble: too much was recorded meanwhile; the oldest of it is not told");
            work.kept.read = newest - MOST;
        }
        let mut replay = self.journal.since(work.kept.read);
        loop {
            let read = tokio::task::spawn_blocking(move || replay.more(PAGE).map(|records| (records, replay)));
            let (records, rest) = read.await.map_err(std::io::Error::other)??;
            if records.is_empty() {
                return Ok(());
            }
            replay = rest;
            for record in records {
                self.take(work, &record);
            }
        }
    }

    /// Takes one record; returns whether it is news.
    fn take(&self, work: &mut Work, record: &Record) -> bool {
        work.kept.read = record.seq;
        if !self.programs.contains_key(&record.environment) {
            return false;
        }
        let state = self.journal.state(&record.environment);
        let found = work.kept.hear(record, &state);
        let news = !found.is_empty();
        let situation = || {
            let sight = self.board.sight(&record.environment);
            telling::situation(&record.environment, &state, &sight.outlook())
        };
        work.kept.waiting.extend(found.into_iter().map(|found| found.told(situation())));
        work.kept.bound(&record.environment);
        news
    }

    /// Holds what is told against how things are: at the start, and when records were passed over.
    fn sweep(&self, work: &mut Work) {
        let (now, read) = (self.clock.now(), work.kept.read);
        for id in self.programs.keys() {
            let state = self.journal.state(id);
            let found = work.kept.hold_against(id, &state, now, read);
            let sight = self.board.sight(id);
            let told = found.into_iter().map(|f| f.told(telling::situation(id, &state, &sight.outlook())));
            work.kept.waiting.extend(told);
            work.kept.bound(id);
        }
        // What nobody is to be told any more.
        work.kept.waiting.retain(|notice| self.programs.contains_key(&notice.environment));
        work.kept.open.retain(|id, _| self.programs.contains_key(id));
    }

    /// Starts the runs that are due: one at a time for each environment, in order.
    fn begin(&self, work: &mut Work) {
        let mut first: BTreeMap<&EnvironmentId, &Notice> = BTreeMap::new();
        for notice in &work.kept.waiting {
            first.entry(&notice.environment).or_insert(notice);
        }
        let due: Vec<Notice> = first.into_values().filter(|n| !work.is_running(n)).cloned().collect();
        for notice in due {
            let Some(program) = self.programs.get(&notice.environment).cloned() else { continue };
            let turn = work.turns.entry(notice.environment.clone()).or_default();
            turn.running = true;
            let tries = turn.tries;
            let (clock, permits) = (self.clock.clone(), work.permits.clone());
            let pause = (tries > 0).then(|| PAUSES.0.saturating_mul(1 << (tries - 1).min(16)).min(PAUSES.1));
            let run = async move {
                if let Some(pause) = pause {
                    clock.wait(pause).await;
                }
                // It is never closed.
                let _permit = permits.acquire_owned().await.ok();
                let result = run::run(&program, &notice).await;
                Ran { environment: notice.environment, seq: notice.seq, result }
            };
            work.running.push(run.boxed());
        }
    }

    /// Takes the end of a run: what was told is done, what was not is tried again, for a day.
    fn over(&self, work: &mut Work, ran: Ran) {
        let Ran { environment, seq, result } = ran;
        let tries = work.turns.remove(&environment).map_or(0, |turn| turn.tries);
        let place = work.kept.waiting.iter().position(|n| n.environment == environment && n.seq == seq);
        match result {
            Ok(()) => {
                self.board.works(&environment, TELLING);
                work.kept.missed.remove(&environment);
                place.map(|place| work.kept.waiting.remove(place));
            }
            Err(why) => {
                let old = |n: &Notice| self.clock.now().since(n.noticed) >= GIVE_UP;
                let again = match place.filter(|place| work.kept.waiting.get(*place).is_some_and(old)) {
                    Some(place) => {
                        work.kept.give_up(place);
                        format!("given up after {}; the next notice says how many were lost", format_duration(GIVE_UP))
                    }
                    None => {
                        let turn = Turn { tries: tries.saturating_add(1), running: false };
                        work.turns.insert(environment.clone(), turn);
                        "it is run again, with growing pauses, for a day".to_owned()
                    }
                };
                let why = Redactor::of(&self.secrets.hidden(&environment.pipeline)).clean(&why);
                self.board.fails(&environment, TELLING, &format!("{why}; {again}"), self.clock.now());
            }
        }
    }

    /// Writes the cursor down. Where that fails all is told again after a restart.
    async fn write(&self, work: &mut Work) {
        let (cursor, text) = (Cursor(self.file.clone()), work.kept.clone());
        let written = tokio::task::spawn_blocking(move || cursor.write(&text)).await;
        match written.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            Ok(()) => work.written = work.kept.read,
            Err(error) => {
                let file = self.file.display();
                tracing::error!("on_trouble: {file} cannot be written ({error}); it is told again after a restart");
            }
        }
    }
}

/// How far what is told of one environment is.
#[derive(Clone, Copy, Default)]
struct Turn {
    /// How often the oldest notice was tried before.
    tries: u32,
    running: bool,
}

impl Work {
    fn is_running(&self, notice: &Notice) -> bool {
        self.turns.get(&notice.environment).is_some_and(|turn| turn.running)
    }
}

/// Returns when the controller stops.
async fn told(stop: &mut watch::Receiver<bool>) {
    // Whoever could stop it is gone: that is as good.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The next record, where it is there already and follows the last one.
fn next(heard: &mut tokio::sync::broadcast::Receiver<Arc<Record>>, read: u64) -> Option<Arc<Record>> {
    // A receiver that has fallen behind is told so by the next `recv`, or sees a gap there.
    if heard.is_empty() {
        return None;
    }
    match heard.try_recv() {
        Ok(record) if record.seq == read + 1 => Some(record),
        Ok(_) | Err(TryRecvError::Empty | TryRecvError::Closed | TryRecvError::Lagged(_)) => None,
    }
}
