//! What a front must remember across its own death: the route in force, the candidate, maintenance.
//!
//! One file with four slots, written in place, so that a full disk cannot stop a cutover. What was written survives
//! the front; what was flushed survives the host too. A write goes to a slot that is neither, nor on its way to the
//! disk: torn, it spoils nothing that counts, and it need not wait for the flush before it. Must not know how traffic is served.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::web_front::{Route, Target};

const SLOT: usize = 64 << 10;
const SLOTS: usize = 4;
/// Checksum in hexadecimal, and a newline after it.
const SUM: usize = 65;

/// Contents of the front's file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Counts the writes; the slot with the highest counts.
    pub(super) written: u64,
    /// The last route that was applied.
    pub(super) route: Option<Route>,
    /// The candidate.
    pub(super) staged: Option<Target>,
    /// Users get the maintenance page.
    pub(super) maintenance: bool,
}

/// How a flush is done; tests have it wait, or fail.
pub(super) type Sync = fn(&File) -> io::Result<()>;

/// The file.
pub(super) struct Store {
    file: Arc<File>,
    flush: bool,
    sync: Sync,
    /// The highest number that was given to a write.
    count: u64,
    /// The slot of the last write that did not fail.
    last: usize,
    /// The slot of the last write that is known to be on the disk.
    flushed: usize,
    flushing: Option<Flushing>,
}

/// A flush under way, and the slot that is on the disk when it is done.
struct Flushing {
    slot: usize,
    flush: JoinHandle<io::Result<()>>,
}

impl Store {
    /// Opens or makes the file. Reads what it remembers; a slot that is not whole does not count. With `flush`, what
    /// is returned is on the disk: whoever wrote it may have died before that.
    pub(super) fn open(folder: &Path, flush: bool) -> io::Result<(Self, Memory)> {
        let path = folder.join("route");
        let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let there = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if there < SLOTS * SLOT {
            // Real blocks, so that later writes in place need no space.
            file.write_all_at(&vec![b'\n'; SLOTS * SLOT - there], there as u64)?;
            file.sync_all()?;
            File::open(folder)?.sync_all()?;
        }
        let (mut last, mut newest) = (0, Memory::default());
        for slot in 0..SLOTS {
            if let Some(memory) = read_slot(&file, slot)?.filter(|memory| memory.written > newest.written) {
                (last, newest) = (slot, memory);
            }
        }
        if flush {
            file.sync_data()?;
        }
        let count = newest.written;
        let (file, sync) = (Arc::new(file), File::sync_data as Sync);
        Ok((Self { file, flush, sync, count, last, flushed: last, flushing: None }, newest))
    }

    /// Writes the memory under the next number. When this returns, a restart of the front finds it; when it fails, a
    /// restart finds what was there before. Whether a restart of the host does, [`Store::flushed`] tells.
    pub(super) fn write(&mut self, memory: &mut Memory) -> io::Result<()> {
        self.count = self.count.max(memory.written) + 1;
        memory.written = self.count;
        let json = serde_json::to_vec(memory)?;
        if json.len() + SUM + 1 > SLOT {
            let error = format!("a route of {} bytes does not fit into {} bytes", json.len(), SLOT - SUM - 1);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
        }
        let mut record = hex::encode(Sha256::digest(&json)).into_bytes();
        record.push(b'\n');
        record.extend_from_slice(&json);
        record.push(b'\n');
        let on_its_way = self.flushing.as_ref().map(|flushing| flushing.slot);
        let counts = |slot: &usize| *slot == self.last || *slot == self.flushed || Some(*slot) == on_its_way;
        // Three of four at most count.
        let free = (0..SLOTS).find(|slot| !counts(slot)).unwrap_or(0);
        if let Err(error) = self.file.write_all_at(&record, start(free)) {
            // What did arrive must not count, however much of it that was.
            let _ = self.file.write_all_at(b"\n", start(free));
            return Err(error);
        }
        self.last = free;
        if !self.flush {
            self.flushed = free;
        }
        Ok(())
    }

    /// Whether the last write is on the disk, or need not be.
    pub(super) fn is_flushed(&self) -> bool {
        self.last == self.flushed
    }

    /// Waits until the last write is on the disk, and can be asked again when given up meanwhile. After an error only
    /// another write helps: the kernel may have forgotten the one that failed.
    pub(super) async fn flushed(&mut self) -> io::Result<()> {
        while !self.is_flushed() {
            let (file, slot, sync) = (&self.file, self.last, self.sync);
            let flushing = self.flushing.get_or_insert_with(|| {
                let file = file.clone();
                Flushing { slot, flush: spawn_blocking(move || sync(&file)) }
            });
            let done = (&mut flushing.flush).await.map_err(io::Error::other);
            let slot = flushing.slot;
            self.flushing = None;
            done??;
            self.flushed = slot;
        }
        Ok(())
    }
}

fn start(slot: usize) -> u64 {
    (slot * SLOT) as u64
}

fn read_slot(file: &File, slot: usize) -> io::Result<Option<Memory>> {
    let mut bytes = vec![0; SLOT];
    file.read_exact_at(&mut bytes, start(slot))?;
    let end = bytes.iter().skip(SUM).position(|&b| b == b'\n').map_or(SLOT, |at| at + SUM);
    let (sum, json) = (&bytes[..SUM - 1], &bytes[SUM..end]);
    if hex::encode(Sha256::digest(json)).as_bytes() != sum {
        return Ok(None);
    }
    Ok(serde_json::from_slice(json).ok())
}

#[cfg(test)]
impl Store {
    pub(super) fn flush_by(&mut self, sync: Sync) {
        self.sync = sync;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Generation;

    fn memory(generation: u64) -> Memory {
        Memory { route: Some(Route::whole(Generation(generation), None)), ..Memory::default() }
    }

    fn found(folder: &tempfile::TempDir) -> Option<Route> {
        Store::open(folder.path(), true).unwrap().1.route
    }

    #[test]
    fn the_last_write_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, mut kept) = Store::open(folder.path(), true).unwrap();
        for generation in 1..=5 {
            kept.route = memory(generation).route;
            store.write(&mut kept).unwrap();
        }
        assert_eq!(found(&folder), memory(5).route);
    }

    #[test]
    fn a_write_torn_at_any_byte_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, mut kept) = Store::open(folder.path(), false).unwrap();
        kept.route = memory(1).route;
        store.write(&mut kept).unwrap();
        let before = std::fs::read(folder.path().join("route")).unwrap();
        kept.route = memory(2).route;
        store.write(&mut kept).unwrap();
        let after = std::fs::read(folder.path().join("route")).unwrap();
        let last = (0..after.len()).rev().find(|&at| before[at] != after[at]).unwrap();
        for cut in 0..last {
            let torn: Vec<u8> = after[..cut].iter().chain(&before[cut..]).copied().collect();
            std::fs::write(folder.path().join("route"), torn).unwrap();
            let found = Store::open(folder.path(), false).unwrap().1.route;
            assert!(found == memory(1).route || found == memory(2).route, "cut at {cut}: {found:?}");
        }
    }

    /// What a power cut leaves: the slots that were flushed, and of the others anything.
    #[tokio::test]
    async fn until_a_flush_is_done_the_last_flushed_one_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, mut kept) = Store::open(folder.path(), true).unwrap();
        kept.route = memory(1).route;
        store.write(&mut kept).unwrap();
        store.flushed().await.unwrap();
        assert!(store.is_flushed());
        let disk = std::fs::read(folder.path().join("route")).unwrap();
        let slot = store.flushed * SLOT..(store.flushed + 1) * SLOT;
        store.flush_by(|_| Err(io::ErrorKind::StorageFull.into()));
        for generation in 2..=20 {
            kept.route = memory(generation).route;
            store.write(&mut kept).unwrap();
            if generation % 3 == 0 {
                store.flushed().await.unwrap_err();
            }
            assert!(!store.is_flushed(), "a flush that failed proves nothing");
            assert_eq!(std::fs::read(folder.path().join("route")).unwrap()[slot.clone()], disk[slot.clone()]);
            assert_eq!(found(&folder), memory(generation).route, "the front may be killed at any time");
        }
        store.flush_by(File::sync_data);
        store.write(&mut kept).unwrap();
        store.flushed().await.unwrap();
        assert!(store.is_flushed());
    }
}
