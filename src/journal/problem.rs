//! What can be wrong with a state file, said so that a person knows where to look and what to do.

use std::{io, path::PathBuf};

use super::{level::NEWEST, record::Unusable};
use crate::machine::{EnvironmentId, Illegal, Violation};

/// A state file that is not used as it is. Nothing is ever skipped: a missing record would fold to another state.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}; {}", self.place(), self.help())]
pub struct Problem {
    /// The name of the file within the state folder.
    pub file: String,
    /// The line, counted from 1; 0 when it is about the file as a whole.
    pub line: u64,
    /// Where that line begins, in bytes from the start of the file.
    pub offset: u64,
    /// Fault that was found.
    pub fault: Fault,
    /// What a person can do about it, once the files around it were looked at.
    advice: Option<String>,
}

/// Fault of a file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The line, or one before it, is not what was written.
    #[error("its checksum does not fit: the line was changed or damaged, or lines before it are missing")]
    BadSum,
    /// The last line of a file that is not the newest has no end.
    #[error("it has no end, though a later file follows")]
    Unfinished,
    /// Written by a newer program.
    #[error("it was written by a newer version of pointsman (format level {found}, this one reads up to {NEWEST})")]
    Newer {
        /// Its format level.
        found: u32,
    },
    /// It is not a record that this program knows.
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] serde_json::Error),
    /// The count does not go on.
    #[error("record {found} stands where record {expected} belongs")]
    OutOfOrder {
        /// The next count.
        expected: u64,
        /// Number that was found.
        found: u64,
    },
    /// The event contradicts those before it.
    #[error("{environment}: {illegal}")]
    DoesNotFit {
        /// Environment that it is about.
        environment: EnvironmentId,
        /// Reason why the event does not fit the state before it.
        illegal: Illegal,
    },
    /// All records fit, but what they add up to cannot be.
    #[error("{environment}: {violation}")]
    Inconsistent {
        /// Environment that it is about.
        environment: EnvironmentId,
        /// Promise that the state breaks.
        violation: Violation,
    },
    /// A file that must be there is not.
    #[error("the file is missing")]
    Missing,
    /// A snapshot is not what was written.
    #[error("the snapshot is damaged: {0}")]
    Snapshot(&'static str),
    /// The file could not be read.
    #[error("it cannot be read: {0}")]
    Io(#[source] io::Error),
}

impl Problem {
    pub(super) fn new(file: &str, line: u64, offset: u64, fault: Fault) -> Self {
        Self { file: file.to_owned(), line, offset, fault, advice: None }
    }

    /// About a file as a whole.
    pub(super) fn whole(file: &str, fault: Fault) -> Self {
        Self::new(file, 0, 0, fault)
    }

    /// Whether it is whole, and of a format level that this program does not read.
    pub fn newer(&self) -> bool {
        matches!(self.fault, Fault::Newer { .. })
    }

    /// The same, with this advice.
    pub(super) fn advised(self, advice: String) -> Self {
        Self { advice: Some(advice), ..self }
    }

    /// Whether the records from here on cannot be read.
    pub(super) fn ends_the_records(&self) -> bool {
        use Fault::{BadSum, OutOfOrder, Unfinished, Unreadable};
        matches!(self.fault, BadSum | Unfinished | Unreadable(_) | OutOfOrder { .. })
    }

    fn place(&self) -> String {
        match (self.file.as_str(), self.line) {
            (".", _) => "its folder".to_owned(),
            (file, 0) => file.to_owned(),
            (file, line) => format!("{file}, line {line} (byte {})", self.offset),
        }
    }

    /// Returns what a person can do about it, the same wherever it is told.
    pub fn help(&self) -> String {
        if let Some(advice) = &self.advice {
            return advice.clone();
        }
        match &self.fault {
            Fault::Newer { .. } => {
                "start the version that wrote it; `pointsman journal verify` says how to return".to_owned()
            }
            Fault::Missing => format!("nothing was changed; put {} back from a backup of the folder", self.file),
            Fault::Snapshot(_) => format!("remove it (`rm {}`): the records are folded instead", self.file),
            Fault::Io(_) => {
                "nothing was changed; see that the folder is there, and the rights on it, then start again".to_owned()
            }
            Fault::DoesNotFit { .. } | Fault::Inconsistent { .. } => {
                "keep the folder and report it: every checksum is right, so it is not the disk".to_owned()
            }
            Fault::BadSum | Fault::Unfinished | Fault::Unreadable(_) | Fault::OutOfOrder { .. } => {
                "nothing was changed; restore the folder from a backup".to_owned()
            }
        }
    }
}

impl From<Unusable> for Fault {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Newer(found) => Self::Newer { found },
            Unusable::Unreadable(error) => Self::Unreadable(error),
        }
    }
}

/// Why the state file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another controller has it.
    #[error("{} is in use by process {holder}; stop it first, or give this one a state folder of its own", folder.display())]
    Locked {
        /// The state folder.
        folder: PathBuf,
        /// The process that holds the lock, as it wrote it there; `unknown` if it did not get to that.
        holder: String,
    },
    /// Locks and flushes do not mean there what they must.
    #[error("{} is on a network file system ({kind}), where neither locks nor flushes can be trusted; use a local disk", folder.display())]
    NetworkFileSystem {
        /// The state folder.
        folder: PathBuf,
        /// Its kind.
        kind: &'static str,
    },
    /// The records are not whole.
    #[error("the state in {} is not used as it is: {problem}", folder.display())]
    Damaged {
        /// The state folder.
        folder: PathBuf,
        /// The problem, with its place.
        problem: Box<Problem>,
    },
    /// The folder could not be used.
    #[error("{} {}: {source}", doing, path.display())]
    Io {
        /// Action that failed.
        doing: &'static str,
        /// File that the problem is about.
        path: PathBuf,
        /// Cause, as the system reports it.
        source: io::Error,
    },
}

impl OpenError {
    /// Whether the records are whole, and of a format level that this program does not read.
    pub fn newer(&self) -> bool {
        matches!(self, Self::Damaged { problem, .. } if problem.newer())
    }
}
