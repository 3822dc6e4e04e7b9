//! The mirrors of a controller: single-flight fetches, and reads. Must not use the network except in `fetch`, once at a time for
//! each repository.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, watch};

use super::{
    Changes, CommitName, Error, FileError, Limits, Remote, changes,
    fetch::{Job, Wanted},
    file,
    name::Found,
    store,
};
use crate::machine::Millis;

/// How many repositories of one server are fetched from at once.
const AT_ONCE: usize = 8;

/// All mirrors below one folder; clones share them. One process at a time may use a folder.
#[derive(Clone)]
pub struct Mirrors(Arc<All>);

struct All {
    folder: PathBuf,
    limits: Limits,
    ssh: Vec<String>,
    /// The fetches at once of each server, so that a slow one does not hold up the others.
    lanes: Mutex<HashMap<String, Arc<Semaphore>>>,
    known: Mutex<HashMap<String, Arc<Shared>>>,
}

struct Shared {
    place: PathBuf,
    /// The outcome of the newest fetch; `None` while it runs. The channel is closed if the fetch was dropped before it began.
    newest: Mutex<Option<watch::Receiver<Outcome>>>,
    damaged: AtomicBool,
}

type Outcome = Option<Result<(), Error>>;

impl Mirrors {
    /// Returns the mirrors in `state/git`. Reads and makes nothing until asked.
    pub fn below(state: &Path) -> Self {
        Self::with(state, Limits::default(), vec!["ssh".to_owned()])
    }

    /// Returns mirrors with other limits and another command for ssh: its program and first arguments.
    pub fn with(state: &Path, limits: Limits, ssh: Vec<String>) -> Self {
        let folder = state.join("git");
        Self(Arc::new(All { folder, limits, ssh, lanes: Mutex::default(), known: Mutex::default() }))
    }

    /// The mirror of one repository. What was fetched is shared only by those who ask at the same address as the same
    /// user with the same password: nobody reads what the server would not give them.
    pub fn of(&self, remote: &Remote) -> Mirror {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = known.entry(remote.identity()).or_insert_with_key(|identity| {
            let place = self.0.folder.join(&hex::encode(Sha256::digest(identity))[..32]);
            Arc::new(Shared { place, newest: Mutex::default(), damaged: AtomicBool::new(false) })
        });
        Mirror { all: self.0.clone(), shared: shared.clone(), remote: remote.clone() }
    }

    /// Removes the mirrors that nobody has asked for here: those of sources that are not in any pipeline any more, or are
    /// read with other credentials now. Nothing may be fetched meanwhile.
    ///
    /// # Errors
    /// When one cannot be removed; the others are.
    pub fn sweep(&self) -> io::Result<()> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let used: HashSet<_> = known.values().filter_map(|shared| shared.place.file_name()).collect();
        let entries = match fs::read_dir(&self.0.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let mut swept = Ok(());
        for entry in entries {
            let path = entry?.path();
            // With the history beside it, and what a killed fetch left of both.
            let name = path.file_name().and_then(OsStr::to_str).and_then(|name| name.split('.').next());
            if !name.is_some_and(|name| used.contains(OsStr::new(name))) {
                swept = store::remove(&path).and(swept);
            }
        }
        swept
    }
}

/// The mirror of one repository; clones share it.
#[derive(Clone)]
pub struct Mirror {
    all: Arc<All>,
    shared: Arc<Shared>,
    remote: Remote,
}

enum Turn {
    /// This caller fetches, and tells the others how it ended.
    Mine(watch::Sender<Outcome>),
    /// Another caller fetches; wait for its outcome.
    Join(watch::Receiver<Outcome>),
}

impl Mirror {
    /// Sees to it that the commit and its files are in the mirror; asks the remote only if they are not. May be dropped at any time:
    /// what was begun ends by its own limits, and whoever asks next finds it running or done.
    ///
    /// # Errors
    /// What kept it from the mirror. [`Error::may_pass`] says whether to try again.
    pub async fn fetch(&self, commit: &str) -> Result<(), Error> {
        self.bring(Wanted::Files(CommitName::parse(commit)?)).await
    }

    /// Sees to it that the commit and all that led to it are known, without their files, as [`Mirror::fetch`] does.
    ///
    /// # Errors
    /// As [`Mirror::fetch`].
    pub async fn fetch_history(&self, commit: &str) -> Result<(), Error> {
        self.bring(Wanted::History(CommitName::parse(commit)?)).await
    }

    async fn bring(&self, wanted: Wanted) -> Result<(), Error> {
        loop {
            if self.has(&wanted).await? {
                return Ok(());
            }
            match self.turn() {
                Turn::Mine(tell) => return self.run(wanted, tell).await,
                Turn::Join(mut outcome) => {
                    let ended = outcome.wait_for(Option::is_some).await.map(|ended| ended.clone());
                    // What the host or its network did would be the same again; what it said to others need not be.
                    if let Ok(Some(Err(error @ (Error::Unreachable { .. } | Error::TimedOut { .. })))) = ended {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Returns the text at `path` in a commit; `None`: the commit has to be fetched first. Never uses the network.
    ///
    /// # Errors
    /// The text cannot be read, or `path` or `commit` is not valid; with [`Error::Damaged`] fetching helps.
    pub async fn file_at(&self, commit: &str, path: &str, limit: usize) -> Result<Option<String>, FileError> {
        let name = CommitName::parse(commit)?;
        if !self.shared.place.exists() {
            return Ok(None);
        }
        let read = file::read(&self.shared.place, &name, path, limit).await;
        if let Err(FileError::Git(error)) = &read {
            self.notice(error);
        }
        read
    }

    /// What a change from commit `old` to commit `new` brings and takes, at most `most` of each listed: none means that the history
    /// of one of them has to be fetched first. Never uses the network.
    ///
    /// # Errors
    /// When `old` or `new` are no commits; with [`Error::Damaged`] fetching helps.
    pub async fn commits_between(&self, old: &str, new: &str, most: usize) -> Result<Option<Changes>, Error> {
        let (old, new) = (CommitName::parse(old)?, CommitName::parse(new)?);
        let place = store::history(&self.shared.place);
        if !place.exists() {
            return Ok(None);
        }
        changes::between(&place, &old, &new, most).await.inspect_err(|error| self.notice(error))
    }

    /// When each of these commits was committed, by its whole id in small letters; what the mirror does not have is left out.
    /// Never uses the network.
    ///
    /// # Errors
    /// When the mirror cannot be read.
    pub async fn times_of(&self, commits: &[&str]) -> Result<Vec<(String, Millis)>, Error> {
        let names: Vec<CommitName> = commits.iter().filter_map(|commit| CommitName::parse(commit).ok()).collect();
        let mut times = Vec::new();
        for place in [self.shared.place.clone(), store::history(&self.shared.place)] {
            if place.exists() {
                times.extend(changes::times(&place, &names).await.inspect_err(|error| self.notice(error))?);
            }
        }
        Ok(times)
    }

    async fn has(&self, wanted: &Wanted) -> Result<bool, Error> {
        let (place, name, with_files) = match wanted {
            Wanted::Files(name) => (self.shared.place.clone(), name, true),
            Wanted::History(name) => (store::history(&self.shared.place), name, false),
        };
        if self.shared.damaged.load(Ordering::Relaxed) || !place.exists() {
            return Ok(false);
        }
        match name.find(&place, with_files).await {
            Ok(found) => Ok(found != Found::Missing),
            Err(error @ Error::Damaged { .. }) => {
                self.notice(&error);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn notice(&self, error: &Error) {
        if matches!(error, Error::Damaged { .. }) {
            self.shared.damaged.store(true, Ordering::Relaxed);
        }
    }

    fn lanes(&self) -> Arc<Semaphore> {
        let mut lanes = self.all.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.entry(self.remote.address.server()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))).clone()
    }

    fn turn(&self) -> Turn {
        let mut newest = self.shared.newest.lock().unwrap_or_else(PoisonError::into_inner);
        // A fetch that has finished, or whose caller was dropped, does not block a new one.
        let running = newest.as_ref().filter(|outcome| outcome.borrow().is_none() && outcome.has_changed().is_ok());
        if let Some(outcome) = running {
            return Turn::Join(outcome.clone());
        }
        let (tell, outcome) = watch::channel(None);
        *newest = Some(outcome);
        Turn::Mine(tell)
    }

    async fn run(&self, wanted: Wanted, tell: watch::Sender<Outcome>) -> Result<(), Error> {
        let lane = self.lanes().acquire_owned().await.map_err(|_| Error::Interrupted)?;
        let mut outcome = tell.subscribe();
        let (shared, limits, ssh) = (self.shared.clone(), self.all.limits, self.all.ssh.clone());
        let (place, remote, anew) = (shared.place.clone(), self.remote.clone(), shared.damaged.load(Ordering::Relaxed));
        let job = Job { place, remote, wanted, limits, ssh, anew };
        // A thread and no blocking task: the end of the process need not wait for it, because a killed fetch is no harm.
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let outcome = match runtime {
                Ok(runtime) => runtime.block_on(job.run()),
                Err(_) => Err(Error::Interrupted),
            };
            if matches!(outcome, Ok(()) | Err(Error::NoCommit { .. })) {
                shared.damaged.store(false, Ordering::Relaxed);
            }
            drop(lane);
            tell.send_replace(Some(outcome));
        };
        std::thread::Builder::new().name("git".to_owned()).spawn(run).map_err(|_| Error::Interrupted)?;
        let ended = outcome.wait_for(Option::is_some).await.map(|ended| ended.clone());
        ended.ok().flatten().unwrap_or(Err(Error::Interrupted))
    }
}
