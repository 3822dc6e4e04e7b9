//! The folder of one run: who has the lock runs it, `begun` says that it was begun, `unwanted` that nobody waits for it any
//! more, `output-…` what it has said (`lines.rs`), and `outcome.json` what came of it. From these alone anybody can tell how it is.
//!
//! Must not run anything, and nothing in it may hold a secret.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::io::{FdFlags, fcntl_setfd};
use serde::{Deserialize, Serialize};

/// Outcome of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The reason, if it failed.
    pub failed: Option<String>,
    /// The end of its output, without secrets.
    pub said: String,
}

/// How a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// It was not begun.
    Absent,
    /// The lock is held: by its process, or by what that has left behind.
    Running,
    /// It was begun, nobody has the lock, and nothing came of it.
    Interrupted,
    /// It was given up before it was begun, and never will be.
    GivenUp,
    /// It is over.
    Done(Outcome),
}

/// One run's folder.
#[derive(Debug, Clone)]
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    /// Makes it, so that it survives the host: what was begun in it must not be begun again.
    pub(super) fn make(&self) -> io::Result<()> {
        if self.0.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&self.0)?;
        self.0.ancestors().skip(1).take(4).try_for_each(|above| File::open(above)?.sync_all())
    }

    /// Whether nobody has begun it, or has given it up. Only who has the lock can be sure.
    pub(super) fn is_new(&self) -> io::Result<bool> {
        Ok(!self.0.join("begun").try_exists()? && self.outcome()?.is_none() && !self.is_given_up())
    }

    /// How the run is.
    pub(super) fn look(&self) -> io::Result<Found> {
        match self.outcome() {
            Ok(Some(outcome)) => return Ok(Found::Done(outcome)),
            // Whether it can be read or not, as long as it runs there is more to come.
            Ok(None) | Err(_) if self.is_locked()? => return Ok(Found::Running),
            Ok(None) | Err(_) => {}
        }
        // It may have come to its end between the two looks.
        if let Some(outcome) = self.outcome()? {
            return Ok(Found::Done(outcome));
        }
        Ok(match self.0.join("begun").try_exists()? {
            true => Found::Interrupted,
            false if self.is_given_up() => Found::GivenUp,
            false => Found::Absent,
        })
    }

    /// The lock, for the whole run; nothing when somebody has it. What is started from now on has it too, and so has all
    /// that is started by that: when the process of the run is killed, the lock is free only once they have ended.
    pub(super) fn lock(&self) -> io::Result<Option<File>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.0.join("lock"))?;
        match file.try_lock() {
            Ok(()) => {
                fcntl_setfd(&file, FdFlags::empty())?;
                Ok(Some(file))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether anybody has begun it.
    pub(super) fn has_begun(&self) -> bool {
        self.0.join("begun").exists()
    }

    fn is_locked(&self) -> io::Result<bool> {
        let file = match File::open(self.0.join("lock")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Marks the run as begun, which holds whatever crashes.
    pub(super) fn begin(&self) -> io::Result<()> {
        self.put("begun", b"")
    }

    /// What came of it, whole or not at all.
    pub(super) fn end(&self, outcome: &Outcome) -> io::Result<()> {
        self.put("outcome.json", &serde_json::to_vec(outcome).map_err(io::Error::other)?)
    }

    /// Marks the run as abandoned. A run that was cleared away is as good.
    pub(super) fn give_up(&self) -> io::Result<()> {
        if self.is_given_up() || !self.0.is_dir() { Ok(()) } else { self.put("unwanted", b"") }
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.0.join("unwanted").exists()
    }

    fn outcome(&self) -> io::Result<Option<Outcome>> {
        let path = self.0.join("outcome.json");
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| told(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(told(error)),
        }
    }

    fn put(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let draft = self.0.join(format!(".{name}.new"));
        let mut file = File::create(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, self.0.join(name))?;
        File::open(&self.0)?.sync_all()
    }
}

/// Takes a folder away with all in it; that it is gone already is as good.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
