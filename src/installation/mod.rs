//! The identity of an installation: where it was made, and which journal is its own. Looked at before the controller
//! acts.
//!
//! A state folder can be copied, moved, restored and half lost, and each copy says that it is the one. What says otherwise
//! is where it is: `installation.json` names the folder in which it was served last, and the newest record of its journal.
//! Where both are as they were, `serve` goes on; where the other one may live, or the journal is not the one that it was,
//! it refuses (exit code 78) until a person says what it is. `decide.rs` holds both decisions, without I/O.
//!
//! Must not know a driver, and change nothing before it has decided.

mod aside;
mod decide;
mod keep;
mod place;
mod record;
#[cfg(test)]
mod tests;
mod traces;
mod words;

use std::path::{Path, PathBuf};

use self::{
    decide::{JournalIs, JournalVerdict, There, Verdict},
    place::{Host, Place},
    record::Unread,
};
pub(crate) use self::{
    decide::{ToldOfJournal, ToldOfPlace},
    keep::keep,
    record::{FILE, Record},
};
use crate::journal::{self, Locked, OpenError};

/// What a person has said about this state folder, by flags.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    /// What it is, where the folder is elsewhere than it was.
    pub place: Option<ToldOfPlace>,
    /// What the journal is, where it is not the one that it was.
    pub journal: Option<ToldOfJournal>,
}

/// Why the controller does not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The folder or its journal is not what it was, and a person has to say what it is.
    #[error("{0}")]
    Ask(String),
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// Something on the disk cannot be used.
    #[error("{doing} {}: {source}; nothing was changed", path.display())]
    Io {
        /// Action that failed.
        doing: &'static str,
        /// File that could not be read or written.
        path: PathBuf,
        /// Cause, as the system reports it.
        source: std::io::Error,
    },
}

impl Refused {
    /// Whether the journal is whole, and of a format level that this program does not read.
    pub(crate) fn newer(&self) -> bool {
        matches!(self, Self::Journal(error) if error.newer())
    }
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Refused {
    let path = path.to_owned();
    move |source| Refused::Io { doing, path, source }
}

/// A state folder that was found to be the right one.
pub(crate) struct Entered {
    /// Its journal, locked and read.
    pub journal: Locked,
    /// What is kept about it from now on.
    pub record: Record,
    /// What was made here before belongs here, whatever it says: the folder was moved, or is of an older version.
    pub settle: bool,
    /// The folder on this host that was left, where there is one: what faces users for it makes way for this one.
    pub left: Option<PathBuf>,
    /// Lines for the log on what was done.
    pub news: Vec<String>,
}

/// Looks whether this state folder is where it was, with the journal that it had, and does what a person has told.
/// `elsewhere`: what runs of this installation at another place, for folders that do not say where they were made.
///
/// # Errors
/// When a person has to say what it is, or the folder or its journal cannot be used.
pub(crate) fn enter(state: &Path, told: Told, elsewhere: impl Fn() -> Vec<String>) -> Result<Entered, Refused> {
    let here = Place::of(state).map_err(io("looking at", state))?;
    let host = Host::here().map_err(io("reading the identity of the host for", state))?;
    let recorded = record::read(state);
    let verdict = place_verdict(state, &recorded, &here, &host, told, &elsewhere)?;
    let before = recorded.ok().flatten();
    let mut news = words::news_of(&verdict, before.as_ref(), &here);
    match (verdict, told.place) {
        (Verdict::Stay, Some(ToldOfPlace::Moved)) => news.push(words::not_needed("--moved")),
        (Verdict::Begin, Some(ToldOfPlace::NewInstallation)) => news.push(words::not_needed("--new-installation")),
        (Verdict::Begin | Verdict::Stay | Verdict::Moved | Verdict::TakeOver | Verdict::Clone, _) => {}
    }
    let known = match &verdict {
        Verdict::Clone => {
            let to = aside::clone(state, before.as_ref())
                .map_err(io("setting aside what belongs to the first in", state))?;
            news.push(words::set_aside(&to));
            None
        }
        Verdict::Begin | Verdict::Stay | Verdict::Moved | Verdict::TakeOver => before,
    };
    let journal = enter_journal(state, known.as_ref(), &verdict, told.journal, &mut news)?;
    let head = journal.found().map_err(io("reading", &state.join("journal")))?.head;
    let installation = match &known {
        Some(known) => known.installation.clone(),
        None => crate::random::hex_of(8).map_err(io("making an id for", state))?,
    };
    if matches!(verdict, Verdict::TakeOver)
        && let Some(known) = &known
    {
        record::leave_word(known, &here);
    }
    let settle = matches!(verdict, Verdict::TakeOver | Verdict::Moved) || known.is_none();
    let taken = known.as_ref().filter(|known| verdict == Verdict::TakeOver && known.host.boot == host.boot);
    let left = taken.filter(|known| known.place.path != here.path || !known.place.is_at_once(&here));
    let left = left.map(|known| known.place.path.clone());
    let begun_beside = told.journal == Some(ToldOfJournal::New) || known.is_some_and(|known| known.begun_beside);
    let mut record = Record::new(installation, here, host, head);
    record.begun_beside = begun_beside;
    Ok(Entered { journal, record, settle, left, news })
}

/// Looks whether a state folder is where it was, for whoever ends what runs of it. Changes nothing.
///
/// # Errors
/// When it may be a copy, and a person has to say what it is.
pub(crate) fn is_at_home(state: &Path, elsewhere: impl Fn() -> Vec<String>) -> Result<(), Refused> {
    let here = Place::of(state).map_err(io("looking at", state))?;
    let host = Host::here().map_err(io("reading the identity of the host for", state))?;
    place_verdict(state, &record::read(state), &here, &host, Told::default(), &elsewhere).map(drop)
}

impl Entered {
    /// Writes down where the folder is and which journal it has.
    ///
    /// # Errors
    /// When that cannot be made safe.
    pub(crate) fn note(&self, state: &Path) -> Result<(), Refused> {
        record::write(state, &self.record).map_err(io("writing", &state.join(FILE)))
    }
}

fn place_verdict(
    state: &Path,
    recorded: &Result<Option<Record>, Unread>,
    here: &Place,
    host: &Host,
    told: Told,
    elsewhere: &impl Fn() -> Vec<String>,
) -> Result<Verdict, Refused> {
    let running = traces::running_below(&here.path);
    match recorded {
        Err(why) => match told.place {
            Some(ToldOfPlace::Moved) => Ok(Verdict::TakeOver),
            Some(ToldOfPlace::NewInstallation) if running.is_empty() => Ok(Verdict::Clone),
            Some(ToldOfPlace::NewInstallation) => Err(Refused::Ask(words::runs_here(state, &running))),
            None => Err(Refused::Ask(words::unread(state, why))),
        },
        Ok(None) => {
            let judged = decide::unrecorded(&traces::of_a_journal(state), &elsewhere(), &running, told.place);
            judged.map_err(|why| Refused::Ask(why.unrecorded_words(state, &running)))
        }
        Ok(Some(record)) => {
            let there = There::look(record, here).map_err(io("looking at", &record.place.path))?;
            let restored = told.journal == Some(ToldOfJournal::Restored);
            let finding =
                decide::Finding { record, here, host, there: &there, running: &running, told: told.place, restored };
            decide::place(&finding).map_err(|why| Refused::Ask(why.words(&finding, state)))
        }
    }
}

/// Opens the journal, if it is the one that belongs here.
fn enter_journal(
    state: &Path,
    known: Option<&Record>,
    verdict: &Verdict,
    told: Option<ToldOfJournal>,
    news: &mut Vec<String>,
) -> Result<Locked, Refused> {
    let folder = state.join("journal");
    // What was replaced as a whole says nothing of what it was before.
    let recorded = known.and_then(|record| record.journal.as_ref());
    let traces = match verdict {
        Verdict::Clone => Vec::new(),
        Verdict::Begin | Verdict::Stay | Verdict::Moved | Verdict::TakeOver => traces::beside_the_journal(state, known),
    };
    let there = folder.try_exists().map_err(io("looking for", &folder))?;
    let opened = if there { Some(Locked::at(&folder)) } else { None };
    let is = match &opened {
        None => JournalIs::Missing,
        Some(Ok(locked)) => look_into(locked, recorded, &folder)?,
        Some(Err(OpenError::Damaged { .. })) => JournalIs::Damaged,
        Some(Err(_)) => JournalIs::Unusable,
    };
    let judged = decide::journal(recorded, &is, &traces, told);
    match judged.map_err(|why| Refused::Ask(why.words(&is, recorded, &folder, &traces)))? {
        how @ (JournalVerdict::GoOn | JournalVerdict::Restored) => {
            match (how, told) {
                (JournalVerdict::Restored, _) => news.push(words::restored(recorded, &is)),
                (_, Some(ToldOfJournal::New)) => news.push(words::not_needed("--new-journal")),
                (_, Some(ToldOfJournal::Restored)) if *verdict == Verdict::Stay => {
                    news.push(words::not_needed("--restored"));
                }
                (_, Some(ToldOfJournal::Restored) | None) => {}
            }
            match opened {
                Some(opened) => Ok(opened?),
                None => Ok(Locked::at(&folder)?),
            }
        }
        JournalVerdict::BeginAnew => {
            drop(opened);
            if there {
                let to = aside::free_name(&state.join("journal.aside"));
                journal::set_aside(&folder, &to)?;
                news.push(words::journal_set_aside(&to));
            }
            Ok(Locked::at(&folder)?)
        }
    }
}

fn look_into(locked: &Locked, recorded: Option<&journal::Head>, folder: &Path) -> Result<JournalIs, Refused> {
    let failed = || io("reading", folder);
    let found = locked.found().map_err(failed())?;
    let same = match recorded {
        Some(head) => locked.sum_of(head.seq).map_err(failed())? == Some(head.sum),
        None => true,
    };
    Ok(JournalIs::of(&found, same))
}

/// Looks whether a journal is the one that belongs beside the other files of its state folder, without a lock and without
/// changing anything. Returns what `serve` would say of it; nothing where it would go on, or what is wrong with the journal
/// says itself.
pub(crate) fn doubt(journal: &Path) -> Option<String> {
    let name = journal.file_name()?;
    if name != "journal" && !journal.exists() {
        // A name that was mistyped: no journal is missed there.
        return None;
    }
    let state = match journal.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let known = record::read(state).ok()?;
    let recorded = known.as_ref().and_then(|record| record.journal.as_ref());
    let is = match journal::at(&state.join(name), recorded.map_or(0, |head| head.seq)) {
        Ok((found, sum)) => JournalIs::of(&found, recorded.is_none_or(|head| sum == Some(head.sum))),
        Err(_) if !journal.exists() => JournalIs::Missing,
        Err(_) => return None,
    };
    let traces = traces::beside_the_journal(state, known.as_ref());
    // A backup that was taken while records came may have the note of a later one.
    let is_copy = known.as_ref().is_some_and(|known| Place::of(state).is_ok_and(|here| here.born != known.place.born));
    let judged = decide::journal(recorded, &is, &traces, None).err();
    judged
        .filter(|why| !(is_copy && *why == words::JournalWhy::Older))
        .map(|why| why.words(&is, recorded, journal, &traces))
}
