//! Both decisions about a state folder: whether it is where it was, and whether its journal is its own. Pure: what was
//! found goes in, what is to be done comes out.

use std::io;

use super::{
    place::{Host, Place},
    record::{self, Record},
    words::{JournalWhy, PlaceWhy},
};
use crate::journal::{self, Found, Head};

/// What a person says of where a state folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToldOfPlace {
    /// It is the one installation, and was moved here.
    Moved,
    /// It is a copy, and is to be another installation.
    NewInstallation,
}

/// What a person says of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToldOfJournal {
    /// It is lost, and another one is to begin beside what is there.
    New,
    /// An older one was put back.
    Restored,
}

/// What is at the place in which the folder was served last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum There {
    /// This very folder, by the same or another path.
    Here,
    /// No state folder of this installation.
    Nothing,
    /// Another state folder of this installation.
    Other {
        /// The process that holds the lock of its journal.
        held_by: Option<String>,
    },
    /// The folder cannot be read.
    Closed,
}

impl There {
    /// Looks at the place that the record names.
    pub(super) fn look(record: &Record, here: &Place) -> io::Result<Self> {
        let path = &record.place.path;
        let there = match Place::of(path) {
            Ok(there) if there.is_at_once(here) => return Ok(Self::Here),
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(Self::Closed),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Self::Nothing);
            }
            Err(error) => return Err(error),
        };
        match record::read(&there.path) {
            Ok(Some(other)) if other.installation == record.installation => {}
            Ok(_) => return Ok(Self::Nothing),
            Err(_) => return Ok(Self::Closed),
        }
        Ok(Self::Other { held_by: journal::holder(&there.path.join("journal")) })
    }
}

/// All that the decision about the place rests on.
pub(super) struct Finding<'a> {
    pub record: &'a Record,
    pub here: &'a Place,
    pub host: &'a Host,
    pub there: &'a There,
    /// Fronts and stacks that run for this very folder.
    pub running: &'a [String],
    pub told: Option<ToldOfPlace>,
    /// A person says that an older state was put back.
    pub restored: bool,
}

/// What is to be done with a state folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has no identity yet, and nothing of another one.
    Begin,
    /// It is where it was.
    Stay,
    /// It has another path now, and is the same folder.
    Moved,
    /// A person says that it was moved here, or an older version has left it: what was made elsewhere is its own.
    TakeOver,
    /// A person says that it becomes an installation of its own.
    Clone,
}

/// Decides about a folder that says where it was served last.
///
/// The folder alone proves where it is: a file system has it once. So it may be called otherwise now (renamed, mounted
/// elsewhere, reached by a link), and the host may be another (a container, a volume), without anybody being asked. Any
/// other folder is a copy or was restored, and only a person knows what became of the first.
pub(super) fn place(finding: &Finding<'_>) -> Result<Verdict, PlaceWhy> {
    let Finding { record, here, host, there, running, told, restored } = *finding;
    let here_still = is_same_folder(record, here, host, there);
    if told == Some(ToldOfPlace::NewInstallation) {
        let in_use = here_still && !running.is_empty();
        return if in_use { Err(PlaceWhy::RunsHere) } else { Ok(Verdict::Clone) };
    }
    let moved = told == Some(ToldOfPlace::Moved);
    if let There::Other { held_by: Some(_) } = there {
        return Err(PlaceWhy::Served);
    }
    match there {
        _ if moved && here_still && *there == There::Here && record.moved_to.is_none() => Ok(Verdict::Stay),
        _ if moved => Ok(Verdict::TakeOver),
        _ if record.moved_to.is_some() => Err(PlaceWhy::MovedAway),
        There::Other { .. } => Err(PlaceWhy::Copy),
        There::Here if here_still && record.place.path == here.path => Ok(Verdict::Stay),
        There::Here if here_still => Ok(Verdict::Moved),
        There::Nothing | There::Closed if here_still => Ok(Verdict::Moved),
        There::Here if restored => Ok(Verdict::TakeOver),
        There::Here => Err(PlaceWhy::Replaced),
        There::Nothing | There::Closed => Err(PlaceWhy::Elsewhere),
    }
}

fn is_same_folder(record: &Record, here: &Place, host: &Host, there: &There) -> bool {
    let before = &record.place;
    match (before.born, here.born) {
        // No copy is made at the same nanosecond.
        (Some(before), Some(now)) => before == now,
        // The numbers alone: those of devices change with a start of the host, and the root of most volumes has the same.
        (None, _) | (_, None) => {
            let same_start = record.host.boot == host.boot;
            let known_here = *there == There::Here || record.host.is(host);
            before.inode == here.inode && (before.device == here.device || !same_start) && known_here
        }
    }
}

/// Decides about a folder that does not say where it was served: it is new, or an older version has made it.
/// `traces`: what is in it. `elsewhere`: what runs of it at another place. `running`: what runs for this very folder.
pub(super) fn unrecorded(
    traces: &[String],
    elsewhere: &[String],
    running: &[String],
    told: Option<ToldOfPlace>,
) -> Result<Verdict, PlaceWhy> {
    match told {
        Some(ToldOfPlace::Moved) => Ok(Verdict::TakeOver),
        None | Some(ToldOfPlace::NewInstallation) if traces.is_empty() => Ok(Verdict::Begin),
        Some(ToldOfPlace::NewInstallation) if running.is_empty() => Ok(Verdict::Clone),
        Some(ToldOfPlace::NewInstallation) => Err(PlaceWhy::RunsHere),
        None => match elsewhere.first() {
            Some(process) => Err(PlaceWhy::RunsElsewhere(process.clone())),
            None => Ok(Verdict::TakeOver),
        },
    }
}

/// State of the place where the journal belongs.
#[derive(Debug, Clone, Copy)]
pub(super) enum JournalIs {
    /// No folder.
    Missing,
    /// It has no record; so many bytes that are none.
    Empty { bytes: u64 },
    /// Records that read well. `same`: the one that was noted last is among them.
    Read { head: Head, same: bool },
    /// Something in it cannot be trusted.
    Damaged,
    /// It cannot be locked or read; its error says why.
    Unusable,
}

impl JournalIs {
    /// Returns the traces of what was found; `same`: with the record that was noted last.
    pub(super) fn of(found: &Found, same: bool) -> Self {
        match found.head {
            Some(head) => Self::Read { head, same },
            None => Self::Empty { bytes: found.torn },
        }
    }
}

/// What is to be done with a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JournalVerdict {
    GoOn,
    /// An older or another one takes the place of what was noted.
    Restored,
    /// What is there is set aside, and another one begins.
    BeginAnew,
}

/// Decides about a journal. `recorded`: the record of it that was noted last. `traces`: what else says that it had records.
pub(super) fn journal(
    recorded: Option<&Head>,
    is: &JournalIs,
    traces: &[String],
    told: Option<ToldOfJournal>,
) -> Result<JournalVerdict, JournalWhy> {
    let expected = recorded.is_some() || !traces.is_empty();
    match (is, told) {
        (JournalIs::Unusable, _) => Ok(JournalVerdict::GoOn),
        (JournalIs::Damaged, Some(ToldOfJournal::New)) => Ok(JournalVerdict::BeginAnew),
        // It says itself what is wrong.
        (JournalIs::Damaged, _) => Ok(JournalVerdict::GoOn),
        (JournalIs::Missing | JournalIs::Empty { .. }, _) if !expected => Ok(JournalVerdict::GoOn),
        (JournalIs::Missing | JournalIs::Empty { .. }, Some(ToldOfJournal::New)) => Ok(JournalVerdict::BeginAnew),
        (JournalIs::Missing | JournalIs::Empty { .. }, _) => Err(JournalWhy::Lost),
        (JournalIs::Read { .. }, Some(ToldOfJournal::New)) => Err(JournalWhy::NotLost),
        (JournalIs::Read { same: true, .. }, _) => Ok(JournalVerdict::GoOn),
        (JournalIs::Read { .. }, Some(ToldOfJournal::Restored)) => Ok(JournalVerdict::Restored),
        (JournalIs::Read { head, .. }, None) => Err(which(recorded, head)),
    }
}

fn which(recorded: Option<&Head>, head: &Head) -> JournalWhy {
    let firsts = recorded.and_then(|head| head.first).zip(head.first);
    match recorded {
        _ if firsts.is_some_and(|(before, now)| before != now) => JournalWhy::Another,
        Some(before) if head.seq < before.seq => JournalWhy::Older,
        Some(_) | None => JournalWhy::Forked,
    }
}
