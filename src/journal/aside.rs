//! The copy of the state from before the first record of a newer format level: the way back to the release before.
//!
//! It is made by the writer, before that record, in a folder beside the journal: complete, flushed and only then renamed. A
//! record is never held up for ever by a copy that cannot be made: that is logged as an error, and the copy is tried again
//! at the next start, of the records up to the same one.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::storage::Storage;
use crate::machine::Millis;

/// The name of the file that says how far the journal was when its level rose.
pub(super) const LEVEL: &str = "level.json";

/// Where the copy is made, and what is copied besides the journal.
#[derive(Clone, Debug)]
pub struct Aside {
    /// The state folder, in which the copy gets a folder.
    pub state: PathBuf,
    /// The names in it of files and folders that go along, where they are there.
    pub beside: Vec<String>,
}

/// How far the journal was before the first record of a level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    /// The level that was about to begin.
    pub level: u32,
    /// The level up to there.
    pub was: u32,
    /// How many records there were.
    pub records: u64,
    /// When the next one happened.
    pub at: Millis,
    /// The newest segment, and its length in bytes.
    pub segment: u32,
    pub length: u64,
    /// Whether the copy was made. It may be removed by hand later, and is not made again then.
    pub copied: bool,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Before {
    /// The name of the folder with the copy.
    pub(super) fn folder(&self) -> String {
        format!("before-level-{}", self.level)
    }

    fn files(&self, storage: &dyn Storage) -> io::Result<Vec<(String, u64)>> {
        use super::storage::{numbers, segment_name, snapshot_name};
        let (segments, snapshots) = numbers(&storage.names()?);
        let whole = segments.into_iter().filter(|n| *n < self.segment).map(|n| (segment_name(n), u64::MAX));
        let snapshots = snapshots.into_iter().filter(|n| *n <= self.segment).map(|n| (snapshot_name(n), u64::MAX));
        Ok(whole.chain(snapshots).chain([(segment_name(self.segment), self.length)]).collect())
    }
}

impl Aside {
    /// Makes the copy and notes how far the journal was; says so, and loudly when it cannot be made.
    pub(super) fn keep(&self, storage: &dyn Storage, mut before: Before, leave: u64) {
        (before.copied, before.why) = (true, None);
        let (level, was) = (before.level, before.was);
        match self.copy(storage, &before, leave) {
            Ok(place) => {
                let (records, place) = (before.records, place.display());
                tracing::warn!(
                    "the journal is about to hold its first record of level {level}, which the release before cannot read: \
                     the state up to here ({records} records) was copied to {place}, with how-to-return.txt"
                );
            }
            Err(error) => {
                (before.copied, before.why) = (false, Some(error.to_string()));
                tracing::error!(
                    "there is NO copy of the state from before level {level}: {error}. What has to be recorded is recorded \
                     all the same, and a release that reads level {was} only will refuse the journal. Make room and restart \
                     the controller: the copy is tried again then"
                );
            }
        }
        let noted = serde_json::to_vec(&before).map_err(io::Error::from);
        if let Err(error) = noted.and_then(|text| storage.replace(LEVEL, &text)) {
            tracing::error!("{LEVEL} could not be written: {error}; if the copy failed, it is not tried again");
        }
    }

    /// Tries again what failed when the level rose.
    pub(super) fn keep_what_is_missing(&self, storage: &dyn Storage, level: u32, leave: u64) {
        let Ok(text) = super::read::all(storage.reader(LEVEL)) else { return };
        match serde_json::from_slice::<Before>(&text) {
            Ok(before) if !before.copied && before.level <= level => self.keep(storage, before, leave),
            Ok(_) => {}
            Err(error) => tracing::warn!("{LEVEL} cannot be read: {error}"),
        }
    }

    /// Copies what stands before that record; returns the folder. What an earlier attempt left is replaced.
    ///
    /// # Errors
    /// Also when there is not room for the copy and for `leave` bytes more.
    pub(super) fn copy(&self, storage: &dyn Storage, before: &Before, leave: u64) -> io::Result<PathBuf> {
        let place = self.state.join(before.folder());
        let draft = self.state.join(format!("{}.new", before.folder()));
        remove(&draft)?;
        self.has_room(storage, before, leave)?;
        let made = self.fill(&draft, storage, before).and_then(|()| {
            remove(&place)?;
            fs::rename(&draft, &place)?;
            File::open(&self.state)?.sync_all()
        });
        if made.is_err() {
            let _ = remove(&draft); // The next attempt begins with the same.
        }
        made.map(|()| place)
    }

    fn has_room(&self, storage: &dyn Storage, before: &Before, leave: u64) -> io::Result<()> {
        let mut needed = leave;
        for (name, most) in before.files(storage)? {
            let mut reader = storage.reader(&name)?;
            needed += reader.seek(io::SeekFrom::End(0))?.min(most);
        }
        for name in &self.beside {
            needed += size(&self.state.join(name))?;
        }
        let seen = rustix::fs::statvfs(&self.state)?;
        let free = seen.f_bavail.saturating_mul(seen.f_frsize);
        if free < needed {
            let (needed, free) = (needed.div_ceil(1 << 20), free >> 20);
            let why = format!("the copy needs {needed} MB of free space beside the state, and {free} MB are free");
            return Err(io::Error::new(io::ErrorKind::StorageFull, why));
        }
        Ok(())
    }

    fn fill(&self, draft: &Path, storage: &dyn Storage, before: &Before) -> io::Result<()> {
        let journal = draft.join("journal");
        folder(&journal)?;
        for (name, most) in before.files(storage)? {
            write(&journal.join(&name), &mut storage.reader(&name)?.take(most))?;
        }
        for name in &self.beside {
            copy_all(&self.state.join(name), &draft.join(name))?;
        }
        write(&draft.join("how-to-return.txt"), &mut super::way_back::instructions(&self.state, before).as_bytes())?;
        write(&draft.join(LEVEL), &mut &*serde_json::to_vec(before)?)?;
        File::open(&journal)?.sync_all()?;
        File::open(draft)?.sync_all()
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn write(path: &Path, from: &mut dyn Read) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::copy(from, &mut file)?;
    file.flush()?;
    file.sync_all()
}

/// Nothing, where there is none.
fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    match fs::metadata(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(seen) if seen.is_dir() => {
            folder(to)?;
            for entry in fs::read_dir(from)? {
                let entry = entry?;
                copy_all(&entry.path(), &to.join(entry.file_name()))?;
            }
            File::open(to)?.sync_all()
        }
        Ok(seen) if seen.is_file() => write(to, &mut File::open(from)?),
        Ok(_) => Ok(()),
    }
}

fn size(path: &Path) -> io::Result<u64> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
        Ok(seen) if seen.is_dir() => fs::read_dir(path)?.map(|entry| size(&entry?.path())).sum(),
        Ok(seen) => Ok(seen.len()),
    }
}
