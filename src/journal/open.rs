//! The start: the newest snapshot that is good, the segments after it, and the repair of a torn end.

use std::{collections::HashSet, io, path::Path};

use super::{
    advice::advise,
    fold::Folded,
    problem::{Fault, OpenError, Problem},
    read::End,
    snapshot,
    storage::{Storage, numbers, segment_name, snapshot_name},
};

/// Journal as it was found at the start.
#[derive(Debug, Default)]
pub struct Opened {
    /// How many records the state file holds.
    pub records: u64,
    /// How many of them were read; the snapshot stands for the others.
    pub read: u64,
    /// The environments that have records.
    pub environments: usize,
    /// The snapshot that was used.
    pub snapshot: Option<String>,
    /// Newer snapshots that were not used, and why. They can be removed.
    pub ignored: Vec<Problem>,
    /// The line without an end that was cut off: it was never acknowledged.
    pub torn: Option<Torn>,
    /// Segments before the snapshot that are not there: the state is whole, the history is not.
    pub missing: Vec<Problem>,
}

/// A line without an end, left by a crash or a loss of power.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The file it was in.
    pub file: String,
    /// Where it began.
    pub offset: u64,
    /// How long it was.
    pub bytes: u64,
}

/// All that a writer needs to go on.
pub(super) struct Start {
    pub folded: Folded,
    /// The newest segment.
    pub segment: u32,
    /// Its good length.
    pub length: u64,
    /// How many records it holds.
    pub lines: u64,
    pub opened: Opened,
}

/// Reads what there is in this folder, as [`read`] does. What is wrong comes with advice.
pub(super) fn read_in(storage: &dyn Storage, folder: &Path) -> Result<Start, OpenError> {
    read(storage).map_err(|problem| advise(problem, storage, folder)).map_err(damaged(folder))
}

/// Reads what there is. Changes nothing; [`Start::opened`] says whether the newest segment must be cut.
pub(super) fn read(storage: &dyn Storage) -> Result<Start, Problem> {
    let names = storage.names().map_err(|error| Problem::whole(".", Fault::Io(error)))?;
    let (segments, snapshots) = numbers(&names);
    let mut ignored = Vec::new();
    let good = snapshots.iter().rev().find_map(|&number| match snapshot::read(storage, number) {
        Ok(folded) => Some((number, folded)),
        Err(fault) => {
            ignored.push(Problem::whole(&snapshot_name(number), fault));
            None
        }
    });
    let used = good.as_ref().map(|(number, _)| snapshot_name(*number));
    let (first, mut folded) = good.unwrap_or((1, Folded::default()));
    // A snapshot is only written once its segment is there.
    let last = segments.iter().chain(&snapshots).copied().max().unwrap_or(0);
    let before = folded.seq;
    let mut end = End { sum: folded.sum, length: 0, lines: 0, torn: 0 };
    let present: HashSet<u32> = segments.into_iter().collect();
    for number in first..=last {
        if !present.contains(&number) {
            return Err(Problem::whole(&segment_name(number), Fault::Missing));
        }
        end = folded.segment(storage, number, number == last)?;
    }
    let missing = (1..first).filter(|number| !present.contains(number));
    let missing = missing.map(|number| Problem::whole(&segment_name(number), Fault::Missing)).collect();
    let segment = last.max(1);
    let file = segment_name(segment);
    folded.check(&file)?;
    let End { length, lines, torn, .. } = end;
    let torn = (torn > 0).then_some(Torn { file, offset: length, bytes: torn });
    let (records, environments) = (folded.seq, folded.states.len());
    let opened = Opened { records, read: records - before, environments, snapshot: used, ignored, torn, missing };
    Ok(Start { folded, segment, length, lines, opened })
}

/// Cuts a torn end off, for good.
pub(super) fn repair(
    storage: &dyn Storage,
    start: &Start,
    torn: bool,
) -> io::Result<Box<dyn super::storage::Appender>> {
    let mut file = storage.appender(&segment_name(start.segment))?;
    if torn {
        file.truncate(start.length)?;
    }
    // Also what is whole may only be in memory yet: the process that wrote it may have died before its flush.
    file.flush()?;
    Ok(file)
}

fn damaged(folder: &Path) -> impl FnOnce(Problem) -> OpenError {
    |problem| OpenError::Damaged { folder: folder.to_owned(), problem: Box::new(problem) }
}
