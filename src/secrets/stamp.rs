//! When a secret need not be read again to know its fingerprint: its file is the one that was read, and was not changed since. So
//! whoever looks at a page, and whoever follows it, has no secret read.

use std::{fs, os::unix::fs::MetadataExt, time::Duration};

use crate::{clock::Stopwatch, pipelines::SecretSource};

/// How long a file must have had the same stamp between two readings, so that every later change gives it another one: the clock of
/// a file system may be as coarse as this.
const SETTLED: Duration = Duration::from_secs(2);

/// What changes with the content of a file. A variable of our own process does not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp(Option<(u64, u64, u64, i64, i64)>);

impl Stamp {
    /// Returns that of the source; none when it is not there.
    pub(super) fn of(source: &SecretSource) -> Option<Self> {
        match source {
            SecretSource::Env(_) => Some(Self(None)),
            SecretSource::File(path) => {
                let file = fs::metadata(path).ok()?;
                Some(Self(Some((file.dev(), file.ino(), file.len(), file.ctime(), file.ctime_nsec()))))
            }
        }
    }
}

/// A reading: the stamp before it, and whether the one before had the same, long enough ago.
#[derive(Debug)]
pub(super) struct Reading {
    stamp: Stamp,
    first: Stopwatch,
    settled: bool,
}

impl Reading {
    /// Notes a reading of what had this stamp before it.
    pub(super) fn note(before: Option<Self>, stamp: Stamp) -> Self {
        match before {
            Some(before) if before.stamp == stamp => {
                Self { settled: before.settled || before.first.elapsed() > SETTLED, ..before }
            }
            Some(_) | None => Self { stamp, first: Stopwatch::start(), settled: false },
        }
    }

    /// Whether what was read is what there is.
    pub(super) fn holds(&self, stamp: &Stamp) -> bool {
        self.settled && self.stamp == *stamp
    }

    /// Acts as if it had been read for the first time longer ago.
    #[cfg(test)]
    pub(super) fn settle(&mut self) {
        self.settled = true;
    }
}
