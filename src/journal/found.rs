//! What is in a state folder before anything is written to it: for whoever has to judge whether it is the right one.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    Journal, Opened, Options,
    disk::Disk,
    history,
    open::{self, Start},
    problem::OpenError,
    record::{self, Sum},
    storage::{Storage, segment_name},
};

/// A record by which one journal is told from another, and an older state of it from a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The sum of its first record; none when the file that began with it was taken away.
    pub first: Option<Sum>,
    /// The count of a later record.
    pub seq: u64,
    /// The sum of that one.
    pub sum: Sum,
}

/// Journal that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its newest record; none when it has none.
    pub head: Option<Head>,
    /// How many bytes without an end follow the last record.
    pub torn: u64,
}

/// A state folder that is locked and read, and to which nothing was written.
pub struct Locked {
    disk: Arc<Disk>,
    lock: File,
    start: Start,
    folder: PathBuf,
}

impl Locked {
    /// Locks and reads the state folder, which is made if need be. Blocks while it reads.
    ///
    /// # Errors
    /// When somebody else has it, or it is not whole.
    pub fn at(folder: &Path) -> Result<Self, OpenError> {
        let (disk, lock) = Disk::lock(folder)?;
        let start = open::read_in(&disk, folder)?;
        Ok(Self { disk: Arc::new(disk), lock, start, folder: folder.to_owned() })
    }

    /// Returns what is in it.
    ///
    /// # Errors
    /// When its first record cannot be read.
    pub fn found(&self) -> io::Result<Found> {
        found(&*self.disk, &self.start)
    }

    /// Returns the sum of the record of this count; none when there is no such record.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn sum_of(&self, seq: u64) -> io::Result<Option<Sum>> {
        sum_of(&*self.disk, seq, self.start.folded.seq)
    }

    /// Starts the writer.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn begin(self, options: Options) -> Result<(Journal, Opened), OpenError> {
        Journal::start(self.disk, Some(self.lock), self.start, options, &self.folder)
    }
}

/// Reads a state folder without locking it, and returns what is in it and the sum of the record of this count.
///
/// # Errors
/// When it is not whole.
pub fn at(folder: &Path, seq: u64) -> Result<(Found, Option<Sum>), OpenError> {
    let disk = Disk::unlocked(folder);
    let start = open::read_in(&disk, folder)?;
    let failed = |source| OpenError::Io { doing: "reading", path: folder.to_owned(), source };
    let found = found(&disk, &start).map_err(failed)?;
    Ok((found, sum_of(&disk, seq, start.folded.seq).map_err(failed)?))
}

/// Returns the process that holds the lock of a state folder, as it wrote it there; none when nobody does.
pub fn holder(folder: &Path) -> Option<String> {
    Disk::holder(folder)
}

/// Puts a state folder away as `to`, whatever is in it, so that another one can begin in its place.
///
/// # Errors
/// When a controller has it, or it cannot be moved.
pub fn set_aside(folder: &Path, to: &Path) -> Result<(), OpenError> {
    let (_disk, _lock) = Disk::lock(folder)?;
    fs::rename(folder, to).map_err(|source| OpenError::Io { doing: "putting away", path: folder.to_owned(), source })
}

fn found(storage: &dyn Storage, start: &Start) -> io::Result<Found> {
    let torn = start.opened.torn.as_ref().map_or(0, |torn| torn.bytes);
    let folded = &start.folded;
    if folded.seq == 0 {
        return Ok(Found { head: None, torn });
    }
    Ok(Found { head: Some(Head { first: first(storage)?, seq: folded.seq, sum: folded.sum }), torn })
}

/// The sum of the first record.
fn first(storage: &dyn Storage) -> io::Result<Option<Sum>> {
    let reader = match storage.reader(&segment_name(1)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        reader => reader?,
    };
    let mut line = Vec::new();
    BufReader::new(reader).read_until(b'\n', &mut line)?;
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    Ok(record::checked(line, Sum::default()))
}

fn sum_of(storage: &dyn Storage, seq: u64, newest: u64) -> io::Result<Option<Sum>> {
    let Some(after) = seq.checked_sub(1) else { return Ok(None) };
    let query = history::Query {
        wanted: &|_| true,
        most: usize::MAX,
        after,
        before: u64::MAX,
        newest,
        all: newest.saturating_sub(after),
        bytes: u64::MAX,
    };
    let records = history::last(storage, &query)?.records;
    Ok(records.first().filter(|record| record.seq == seq).map(|record| record.sum))
}
