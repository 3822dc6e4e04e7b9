//! What a front must remember across its own death: the route in force, the candidate, maintenance.
//!
//! One file with two slots, written in turn and in place: a torn write spoils only the slot that does not count yet,
//! a flush is one flush of data, and a full disk can not stop a cutover. Must not know how traffic is served.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::web_front::{Route, Target};

const SLOT: usize = 64 << 10;
/// Checksum in hexadecimal, and a newline after it.
const SUM: usize = 65;

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Counts the writes; the higher of the two slots counts.
    pub(super) written: u64,
    /// The last route that was applied.
    pub(super) route: Option<Route>,
    /// The candidate.
    pub(super) staged: Option<Target>,
    /// Users get the maintenance page.
    pub(super) maintenance: bool,
}

/// The file.
pub(super) struct Store {
    file: File,
    flush: bool,
}

impl Store {
    /// Opens or makes the file. Reads what it remembers; a slot that is not whole does not count.
    pub(super) fn open(folder: &Path, flush: bool) -> io::Result<(Self, Memory)> {
        let path = folder.join("route");
        let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        if file.metadata()?.len() < 2 * SLOT as u64 {
            // Real blocks, so that later writes in place need no space.
            file.write_all_at(&vec![b'\n'; 2 * SLOT], 0)?;
            file.sync_all()?;
            File::open(folder)?.sync_all()?;
        }
        let newest = [0, 1]
            .into_iter()
            .filter_map(|slot| read_slot(&file, slot).transpose())
            .try_fold(Memory::default(), |best, memory| {
                memory.map(|memory| if memory.written > best.written { memory } else { best })
            })?;
        Ok((Self { file, flush }, newest))
    }

    /// Writes the memory under the next count. When this returns, a restart finds it; when it fails, a restart finds
    /// either this or what was there before.
    pub(super) fn write(&self, memory: &mut Memory) -> io::Result<()> {
        memory.written += 1;
        let json = serde_json::to_vec(memory)?;
        if json.len() + SUM + 1 > SLOT {
            let error = format!("a route of {} bytes does not fit into {} bytes", json.len(), SLOT - SUM - 1);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
        }
        let mut record = hex::encode(Sha256::digest(&json)).into_bytes();
        record.push(b'\n');
        record.extend_from_slice(&json);
        record.push(b'\n');
        self.file.write_all_at(&record, slot_start(memory.written))?;
        if self.flush { self.file.sync_data() } else { Ok(()) }
    }
}

fn slot_start(written: u64) -> u64 {
    (written % 2) * SLOT as u64
}

fn read_slot(file: &File, slot: u64) -> io::Result<Option<Memory>> {
    let mut bytes = vec![0; SLOT];
    file.read_exact_at(&mut bytes, slot_start(slot))?;
    let end = bytes.iter().skip(SUM).position(|&b| b == b'\n').map_or(SLOT, |at| at + SUM);
    let (sum, json) = (&bytes[..SUM - 1], &bytes[SUM..end]);
    if hex::encode(Sha256::digest(json)).as_bytes() != sum {
        return Ok(None);
    }
    Ok(serde_json::from_slice(json).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Generation;

    fn memory(generation: u64) -> Memory {
        Memory { route: Some(Route { generation: Generation(generation), target: None }), ..Memory::default() }
    }

    #[test]
    fn the_last_write_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut kept) = Store::open(folder.path(), true).unwrap();
        for generation in 1..=5 {
            kept.route = memory(generation).route;
            store.write(&mut kept).unwrap();
        }
        assert_eq!(Store::open(folder.path(), true).unwrap().1.route, memory(5).route);
    }

    #[test]
    fn a_write_torn_at_any_byte_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut kept) = Store::open(folder.path(), false).unwrap();
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
}
