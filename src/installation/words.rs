//! What people are told of a state folder that is not where it was, or whose journal is not its own: what was found, what
//! Pointsman does, and which command says what it is.

use std::path::Path;

use super::{
    decide::{Finding, JournalIs, There, Verdict},
    place::Place,
    record::{FILE, Record, Unread},
};
use crate::journal::Head;

const UNTOUCHED: &str = "Nothing was changed, and no stack or front was touched.";
const CLONE: &str = "If this is a copy that is to be an installation of its own: `pointsman serve --new-installation`.";

/// Why a person is asked where a state folder belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PlaceWhy {
    /// It is to be another installation, but this one is at work in it.
    RunsHere,
    /// The other one has a controller.
    Served,
    /// A person has moved it away from here.
    MovedAway,
    /// The one that it was copied from is still there.
    Copy,
    /// Another folder is at the same path now.
    Replaced,
    /// It is another folder at another path, and nobody knows what became of the first.
    Elsewhere,
    /// It does not say where it was made, and this runs for another folder.
    RunsElsewhere(String),
}

impl PlaceWhy {
    pub(super) fn words(&self, finding: &Finding<'_>, state: &Path) -> String {
        let Finding { record, host, there, running, .. } = finding;
        let (here, before) = (state.display(), record.place.path.display());
        let moved = format!("If it was moved here and {before} is not served any more: `pointsman serve --moved`.");
        match self {
            Self::RunsHere => runs_here(state, running),
            Self::Served => {
                let by = match there {
                    There::Other { held_by: Some(process) } => process.as_str(),
                    There::Other { held_by: None } | There::Here | There::Nothing | There::Closed => "unknown",
                };
                format!(
                    "{here} is a copy of {before}, where a controller is at work (process {by}). {UNTOUCHED} If it is to move here, \
                     stop that one first, then `pointsman serve --moved`. {CLONE}"
                )
            }
            Self::MovedAway => {
                let to = record.moved_to.as_deref().unwrap_or(state).display();
                format!(
                    "the installation of {here} was moved to {to}. {UNTOUCHED} If it was moved back and is not served there any more: \
                     `pointsman serve --moved`. {CLONE}"
                )
            }
            Self::Copy => format!(
                "{here} is a copy of {before}, which is still there and may be served. {UNTOUCHED} {moved} {CLONE}"
            ),
            Self::Replaced => format!(
                "{here} is not the folder that was served here: it was restored from a backup, or replaced. {UNTOUCHED} What happened \
                 since the copy was made is not known here. If it is to go on from there: `pointsman serve --restored`. {CLONE}"
            ),
            Self::Elsewhere => {
                let on = if record.host.is(host) { String::new() } else { format!(" on host {}", record.host.name) };
                format!(
                    "{here} was last served at {before}{on}, and is another folder than it was: a copy, or moved to another disk or \
                     host. {UNTOUCHED} {moved} {CLONE}"
                )
            }
            Self::RunsElsewhere(process) => runs_elsewhere(state, process),
        }
    }

    /// The same of a folder that does not say where it was served.
    pub(super) fn unrecorded_words(&self, state: &Path, running: &[String]) -> String {
        match self {
            Self::RunsElsewhere(process) => runs_elsewhere(state, process),
            Self::RunsHere | Self::Served | Self::MovedAway | Self::Copy | Self::Replaced | Self::Elsewhere => {
                runs_here(state, running)
            }
        }
    }
}

/// It does not say where it was made, and this runs for another folder.
fn runs_elsewhere(state: &Path, process: &str) -> String {
    format!(
        "{} may be a copy: {process} runs for another folder of the same installation. {UNTOUCHED} If it was moved here and \
         the other folder is not served any more: `pointsman serve --moved`. {CLONE}",
        state.display()
    )
}

pub(super) fn runs_here(state: &Path, running: &[String]) -> String {
    let what = running.join(", ");
    format!(
        "{} is an installation that is at work, and no copy: {what} would be left behind. {UNTOUCHED} Start without \
         `--new-installation`",
        state.display()
    )
}

pub(super) fn unread(state: &Path, why: &Unread) -> String {
    format!(
        "{}/{FILE}, which says where this installation was served, cannot be used: {why}. {UNTOUCHED} Put it back from a \
         backup. Without one, if no other folder is served as this installation: `pointsman serve --moved`. {CLONE}",
        state.display()
    )
}

/// Why a person is asked about a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JournalWhy {
    /// It has no records, and had some.
    Lost,
    /// It is to begin anew, but has records that read well.
    NotLost,
    /// It ends before what was recorded.
    Older,
    /// It has other records where it had those that were noted.
    Forked,
    /// It begins with another record.
    Another,
}

impl JournalWhy {
    /// `journal`: its folder, as commands name it.
    pub(super) fn words(self, is: &JournalIs, recorded: Option<&Head>, journal: &Path, traces: &[String]) -> String {
        let place = journal.display();
        let had = match (recorded, traces.first()) {
            (Some(head), _) => format!("it had {} records", head.seq),
            (None, Some(trace)) => format!("{trace} is there"),
            (None, None) => "it had records".to_owned(),
        };
        let restored = "then `pointsman serve --restored`";
        let seq = if let JournalIs::Read { head, .. } = is { head.seq } else { 0 };
        match self {
            Self::Lost => {
                let what = match is {
                    JournalIs::Empty { bytes: 0 } => "has no records".to_owned(),
                    JournalIs::Empty { bytes } => format!("has no records, only {bytes} bytes that are none"),
                    JournalIs::Missing | JournalIs::Read { .. } | JournalIs::Damaged | JournalIs::Unusable => {
                        "is not there".to_owned()
                    }
                };
                format!(
                    "the journal {place} {what}, though {had}. {UNTOUCHED} Put {place} back from a backup, {restored}. Without a \
                     backup: `pointsman serve --new-journal` begins anew beside what runs, which is left alone"
                )
            }
            Self::NotLost => format!(
                "the journal {place} reads well ({seq} records), so none begins in its place. {UNTOUCHED} Start without \
                 `--new-journal`; to begin anew all the same, move {place} away first"
            ),
            Self::Older => {
                let last = recorded.map_or(0, |head| head.seq);
                format!(
                    "the journal {place} ends with record {seq}, though it had {last}: an older one was put back, or its end was cut \
                     off. {UNTOUCHED} Put back one with all records if there is any. To go on without records {} to {last}: \
                     `pointsman serve --restored`",
                    seq + 1
                )
            }
            Self::Forked => format!(
                "the journal {place} has other records than it had (record {} differs): it was exchanged. {UNTOUCHED} Put back the \
                 right one. If this one is to be used: `pointsman serve --restored`",
                recorded.map_or(seq, |head| head.seq)
            ),
            Self::Another => format!(
                "the journal {place} is not the one of this installation: its first record is another. {UNTOUCHED} Put back the \
                 right one. If this one is to be used here: `pointsman serve --restored`"
            ),
        }
    }
}

/// What the log says of a folder that was found to be the right one.
pub(super) fn news_of(verdict: &Verdict, before: Option<&Record>, here: &Place) -> Vec<String> {
    let from = before.map(|record| record.place.path.display());
    let news = match (verdict, from) {
        (Verdict::Moved, Some(from)) => format!("the state folder was at {from} and is at {} now", here.path.display()),
        (Verdict::TakeOver, Some(from)) => {
            format!("the installation was moved from {from} to {}, as was said", here.path.display())
        }
        (Verdict::TakeOver, None) => "the state folder did not say where it was made; from now on it does".to_owned(),
        (Verdict::Clone, Some(from)) => format!("a copy of {from} becomes an installation of its own"),
        (Verdict::Clone, None) => "a copy becomes an installation of its own".to_owned(),
        (Verdict::Begin | Verdict::Stay | Verdict::Moved, _) => return Vec::new(),
    };
    vec![news]
}

pub(super) fn set_aside(to: &Path) -> String {
    format!(
        "what belongs to the first installation was set aside in {}; give the fronts in the pipeline files addresses of their own",
        to.display()
    )
}

pub(super) fn restored(recorded: Option<&Head>, is: &JournalIs) -> String {
    let seq = if let JournalIs::Read { head, .. } = is { head.seq } else { 0 };
    match recorded {
        Some(before) => format!("going on from record {seq}, as was said; record {} was noted before", before.seq),
        None => format!("going on from record {seq}, as was said"),
    }
}

pub(super) fn journal_set_aside(to: &Path) -> String {
    format!("a journal begins anew; what was in its place was set aside in {}", to.display())
}

/// What the log says of flags that were not needed.
pub(super) fn not_needed(flag: &str) -> String {
    format!(
        "nothing was wrong that `{flag}` would say something about: leave it away, lest it answers a later question"
    )
}
