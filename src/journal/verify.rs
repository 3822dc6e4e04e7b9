//! `pointsman journal verify`: reads all there is, from the first record, and holds every snapshot against it. Changes
//! nothing and takes no lock, so it may run beside a controller.

use std::path::Path;

use super::{
    advice::advise,
    disk::Disk,
    fold::Folded,
    open::Torn,
    problem::{Fault, Problem},
    snapshot,
    storage::{Storage, numbers, segment_name, snapshot_name},
};

/// Result of a verification without faults.
#[derive(Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records, each with a good sum, fold without a contradiction.
    pub records: u64,
    /// Number of files.
    pub segments: usize,
    /// How many snapshots say the same as the records before them.
    pub snapshots: usize,
    /// How many environments have records.
    pub environments: usize,
    /// A line without an end: being written just now, or left by a crash; the next start drops it.
    pub torn: Option<Torn>,
}

/// Verifies the state folder.
pub fn verify(folder: &Path) -> Result<Verified, Problem> {
    let disk = Disk::unlocked(folder);
    storage(&disk).map_err(|problem| advise(problem, &disk, folder))
}

pub(super) fn storage(storage: &dyn Storage) -> Result<Verified, Problem> {
    let names = storage.names().map_err(|error| Problem::whole(".", Fault::Io(error)))?;
    let (segments, snapshots) = numbers(&names);
    let last = segments.iter().chain(&snapshots).copied().max().unwrap_or(0);
    let (mut folded, mut torn) = (Folded::default(), None);
    for number in 1..=last {
        if snapshots.contains(&number) {
            let taken = snapshot::read(storage, number);
            let taken = taken.map_err(|fault| Problem::whole(&snapshot_name(number), fault))?;
            if taken != folded {
                let fault = Fault::Snapshot("it says something else than the records before it");
                return Err(Problem::whole(&snapshot_name(number), fault));
            }
        }
        let name = segment_name(number);
        if !segments.contains(&number) {
            return Err(Problem::whole(&name, Fault::Missing));
        }
        let end = folded.segment(storage, number, number == last)?;
        folded.check(&name)?;
        torn = (end.torn > 0).then_some(Torn { file: name, offset: end.length, bytes: end.torn });
    }
    let (records, environments) = (folded.seq, folded.states.len());
    Ok(Verified { records, segments: segments.len(), snapshots: snapshots.len(), environments, torn })
}
