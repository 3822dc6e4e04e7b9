//! Repositories: a bare mirror of each one below `state/git`, from which a definition is read at a release's commit and
//! from which the commits between two releases are listed.
//!
//! What is in the mirror never needs the network again; every step over the network has time limits, on a thread of its
//! own. Must not know a pipeline, the journal or a driver, and is never in the way of a rollback: nothing here is
//! needed to go back to a release that once ran, because what it was made from is frozen in the release.
//!
//! Everything is done by the `git` program of this host, with the operator's own configuration, ssh, known hosts, agent and
//! credential helpers: so whatever git can read (SHA-256, partial and shallow clones, malformed commits) can be deployed from.
//! Each run is a process group of its own, with limits on its time and on what it may bring.

pub mod address;
mod changes;
mod fetch;
mod file;
mod mirrors;
mod name;
mod program;
mod store;
mod words;

use std::{fmt, path::Path, sync::Arc, time::Duration};

use secrecy::SecretString;

pub use address::BadAddress;
pub use changes::{Changes, Commit};
pub use file::FileError;
pub use mirrors::{Mirror, Mirrors};
pub use name::CommitName;

use crate::{machine::Millis, text::format_duration};

/// The password of a remote. It is read each time one is fetched from, so that it can be changed without a restart.
#[derive(Clone)]
pub struct Password {
    place: String,
    read: Arc<dyn Fn() -> Result<SecretString, String> + Send + Sync>,
}

impl Password {
    /// One that `read` gives and that is kept at `place`, which says whose password it is: what was fetched with it is read
    /// only by who names the same place. The error of `read` names the place, not the value.
    pub fn kept_at(place: String, read: impl Fn() -> Result<SecretString, String> + Send + Sync + 'static) -> Self {
        Self { place, read: Arc::new(read) }
    }
}

/// One repository somewhere, and how to get in.
#[derive(Clone)]
pub struct Remote {
    address: address::Address,
    user: Option<String>,
    password: Option<Password>,
}

impl Remote {
    /// Checks the address without asking anybody: `https://`, `http://`, `ssh://`, `user@host:path`, `file://` or an
    /// absolute path. A user and a password are for http and https; with ssh the user stands in the address.
    ///
    /// # Errors
    /// When the address is none, or holds a password.
    pub fn new(url: &str, user: Option<String>, password: Option<Password>) -> Result<Self, BadAddress> {
        let address = address::Address::beside(url, user.is_some() || password.is_some())?;
        Ok(Self { address, user, password })
    }

    /// Returns what identifies address and credentials: what was fetched belongs to these.
    fn identity(&self) -> String {
        let place = self.password.as_ref().map(|password| &password.place);
        format!("{:?}", (self.address.to_string(), &self.user, place))
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({})", self.address)
    }
}

/// How long a fetch may take, and how much it may bring.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest time until there is a connection.
    pub connect: Duration,
    /// Longest time without a byte.
    pub stall: Duration,
    /// All of it, when there is a mirror.
    pub whole: Duration,
    /// All of it, when the mirror is still to be made.
    pub first: Duration,
    /// Bytes that a remote may send in one fetch.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let second = Duration::from_secs;
        Self { connect: second(5), stall: second(10), whole: second(60), first: second(600), bytes: 2 << 30 }
    }
}

/// An error of fetching or finding a commit. Never holds a secret; foreign text in it is short and harmless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What was given is no commit's id.
    #[error("{0} is not a commit: write its id, 7 to 64 hexadecimal digits")]
    NotACommit(String),
    /// Several objects begin like this.
    #[error("several objects begin with {0}: give the whole id of the commit")]
    Ambiguous(String),
    /// The server cannot be reached.
    #[error("{place} cannot be reached: {why}")]
    Unreachable {
        /// The repository.
        place: String,
        /// Cause, as the network reports it.
        why: String,
    },
    /// Wrong or missing credentials.
    #[error("{place} refused access ({why}): check user and password of the source, or the key for ssh")]
    Refused {
        /// The repository.
        place: String,
        /// Answer of the server.
        why: String,
    },
    /// There is a server, and not this repository.
    #[error("there is no repository at {0}, or none that these credentials may see")]
    NoRepository(String),
    /// The repository has no such commit.
    #[error(
        "commit {commit} is not in {place}: it was not pushed, or a force-push removed it{}",
        if commit.len() < 40 { "; only a whole id can be asked for when no branch or tag leads to it" } else { "" }
    )]
    NoCommit {
        /// The one wanted.
        commit: String,
        /// The repository.
        place: String,
    },
    /// A limit was reached.
    #[error("{place} {what} within {}", format_duration(Millis(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))))]
    TimedOut {
        /// The repository.
        place: String,
        /// Words for what the server did not do in time.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// It is elsewhere, and nobody is followed there.
    #[error(
        "{place} redirects to somewhere else ({why}): write the address that it redirects to as `git` of the source, often \
         with .git at its end"
    )]
    Moved {
        /// The repository.
        place: String,
        /// Answer of the server.
        why: String,
    },
    /// The program is missing on this host.
    #[error("the program git is not installed on this host: install it (for example `apt install git`)")]
    NoProgram,
    /// It speaks, but not so that anything could be made of it.
    #[error("what {place} sent cannot be used: {why}")]
    Broken {
        /// The repository.
        place: String,
        /// Reason why it cannot be used.
        why: String,
    },
    /// It sends without end.
    #[error("{place} sent more than {} MB: that is not fetched", limit >> 20)]
    TooLarge {
        /// The repository.
        place: String,
        /// Largest size in bytes.
        limit: u64,
    },
    /// The password is not there.
    #[error("{0}")]
    Password(String),
    /// The host's own disk.
    #[error("the mirror {folder} cannot be written: {why}")]
    Disk {
        /// The folder of the mirror.
        folder: String,
        /// Cause, as the system reports it.
        why: String,
    },
    /// The mirror cannot be read.
    #[error("the mirror {folder} is damaged ({why}): the next fetch makes it again")]
    Damaged {
        /// The folder of the mirror.
        folder: String,
        /// Output of git.
        why: String,
    },
    /// Our own part was stopped.
    #[error("reading the repository was interrupted: it is tried again")]
    Interrupted,
}

impl Error {
    /// Whether the same may go well later without anybody doing anything.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Broken { .. } | Self::Interrupted => true,
            Self::Damaged { .. } | Self::Disk { .. } => true,
            Self::NotACommit(_) | Self::Ambiguous(_) | Self::Refused { .. } | Self::NoRepository(_) => false,
            Self::Moved { .. } | Self::NoProgram => false,
            Self::NoCommit { .. } | Self::TooLarge { .. } | Self::Password(_) => false,
        }
    }

    fn damaged(folder: &Path, why: &str) -> Self {
        Self::Damaged { folder: folder.display().to_string(), why: crate::text::excerpt(why) }
    }

    fn disk(folder: &Path, why: &impl fmt::Display) -> Self {
        Self::Disk { folder: folder.display().to_string(), why: why.to_string() }
    }
}
