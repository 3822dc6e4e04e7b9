//! The past as people ask for it: every deployment from who asked for it to its end, and every act, over all environments,
//! with the figures that are made of them. Folded from the journal once and kept in memory; each look adds only what was
//! recorded since. Holds so many entries and forgets the oldest, so that it never grows without end.
//!
//! Must not know a driver, or how it is asked for, and decides nothing.

mod chapter;
mod figures;
mod spans;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

pub(crate) use self::{
    chapter::{Approval, Chapter, Check, Went},
    figures::{Figures, Known, Share, figures},
    spans::{Counts, Span, counts},
};
use crate::{
    journal::{Journal, Record, Replay},
    machine::{EnvironmentId, Event, Millis, Number, Trigger},
    telling::{self, Story},
};

/// How many deployments and acts are kept.
const KEPT: usize = 100_000;
/// How many of the newest records are read for them at most.
const READ: u64 = 2_000_000;
/// How many records are read at once.
const BATCH: usize = 2_000;
/// How many deployments of an environment may still be changed by what comes.
const RECENT: usize = 40;
/// How many of those that were live are among them however old they are: one may be live, and one its standby.
const WERE_LIVE: usize = 3;

/// What is kept of the past, and how far it was read.
#[derive(Default)]
pub struct Chronicle(Mutex<Reading>);

#[derive(Default)]
struct Reading {
    replay: Option<Replay>,
    book: Book,
}

impl Chronicle {
    /// Reads what was recorded since the last look, and looks at all of it. What cannot be read is left out, and the book
    /// says so. Reads files and blocks.
    pub(crate) fn look<T>(&self, journal: &Journal, look: impl FnOnce(&Book) -> T) -> T {
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Reading { replay, book } = &mut *reading;
        let replay = replay.get_or_insert_with(|| journal.since(journal.newest().saturating_sub(READ)));
        loop {
            match replay.more(BATCH) {
                Ok(records) if records.is_empty() => break,
                Ok(records) => records.into_iter().for_each(|record| book.take(record, KEPT)),
                Err(error) => {
                    if !std::mem::replace(&mut book.unread, true) {
                        tracing::error!(%error, "a part of the state file cannot be read; the history goes on behind it");
                    }
                    if !goes_on(replay) {
                        break;
                    }
                }
            }
        }
        look(book)
    }
}

/// Leaves out what cannot be read; file by file, where the next one cannot be read either.
fn goes_on(replay: &mut Replay) -> bool {
    loop {
        match replay.skip() {
            Ok(more) => return more,
            Err(error) => tracing::error!(%error, "a file of the state cannot be read"),
        }
    }
}

/// All that is kept.
#[derive(Default)]
pub(crate) struct Book {
    environments: HashMap<EnvironmentId, Told>,
    /// Entries by the place of their first record.
    timeline: BTreeMap<u64, What>,
    /// Since when nothing is left out; none where that is so from the first record on.
    since: Option<Millis>,
    /// The place of the last record that was taken.
    newest: u64,
    /// A part of the journal cannot be read.
    unread: bool,
}

enum What {
    Deployment(EnvironmentId, Number),
    Act(Box<Record>),
}

/// Past of one environment.
#[derive(Default)]
struct Told {
    /// Stories that may still change.
    recent: Vec<Story>,
    chapters: BTreeMap<Number, Chapter>,
}

/// One entry of the timeline.
#[derive(Clone, Copy)]
pub(crate) enum Entry<'a> {
    Deployment(&'a EnvironmentId, &'a Chapter),
    Act(&'a Record),
}

impl Book {
    /// Returns all entries before that place, the newest first; without one, all there are.
    pub(crate) fn before(&self, place: Option<u64>) -> impl Iterator<Item = (u64, Entry<'_>)> {
        let entries = self.timeline.range(..place.unwrap_or(u64::MAX)).rev();
        entries.filter_map(|(place, what)| {
            Some(match what {
                What::Deployment(id, number) => (*place, Entry::Deployment(id, self.chapter(id, *number)?)),
                What::Act(record) => (*place, Entry::Act(record)),
            })
        })
    }

    /// Returns all deployments of an environment, in the order of their numbers.
    pub(crate) fn of(&self, id: &EnvironmentId) -> impl DoubleEndedIterator<Item = &Chapter> {
        self.environments.get(id).into_iter().flat_map(|told| told.chapters.values())
    }

    /// Returns one deployment.
    pub(crate) fn chapter(&self, id: &EnvironmentId, number: Number) -> Option<&Chapter> {
        self.environments.get(id)?.chapters.get(&number)
    }

    /// Returns the environments that had deployments.
    pub(crate) fn environments(&self) -> impl Iterator<Item = &EnvironmentId> {
        self.environments.keys()
    }

    /// Returns since when everything is there; none when nothing was left out.
    pub(crate) fn since(&self) -> Option<Millis> {
        self.since
    }

    /// Whether a part of the journal could not be read. A deployment of which records are missing may look unfinished.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread
    }

    fn at(&self, what: &What) -> Millis {
        match what {
            What::Deployment(id, number) => self.chapter(id, *number).map_or(Millis(0), |chapter| chapter.story.at),
            What::Act(record) => record.at,
        }
    }

    fn take(&mut self, record: Record, kept: usize) {
        if record.seq != self.newest + 1 {
            // Older ones were not read, are not there any more, or cannot be read.
            self.since = self.since.max(Some(record.at));
        }
        self.newest = record.seq;
        let told = self.environments.entry(record.environment.clone()).or_default();
        telling::tell(&mut told.recent, (record.at, &record.by, &record.event));
        if let Some(number) = begun(&record.event)
            && let Some(story) = told.recent.iter().rev().find(|story| story.number == number)
        {
            told.chapters.insert(number, Chapter::new(story.clone(), &record));
            self.timeline.insert(record.seq, What::Deployment(record.environment.clone(), number));
        }
        told.note(&record);
        told.leave();
        if is_act(&record.event) {
            self.timeline.insert(record.seq, What::Act(Box::new(record)));
        }
        while self.timeline.len() > kept {
            self.forget();
        }
    }

    fn forget(&mut self) {
        let Some((_, oldest)) = self.timeline.pop_first() else { return };
        self.since = self.since.max(Some(self.at(&oldest)));
        if let What::Deployment(id, number) = oldest
            && let Some(told) = self.environments.get_mut(&id)
        {
            told.chapters.remove(&number);
        }
    }
}

impl Told {
    fn note(&mut self, record: &Record) {
        if let Event::WentLive { number, .. } = record.event
            && self.chapters.get(&number).is_some_and(|chapter| chapter.story.trigger == Trigger::Rollback)
        {
            // Until then users had what it takes back.
            let taken_back = self.chapters.values_mut().rev().find(|chapter| chapter.replaced_by == Some(number));
            taken_back.into_iter().for_each(|chapter| chapter.leave(record.at));
        }
        let others =
            matches!(record.event, Event::Accepted { .. } | Event::Vetoed { .. } | Event::RollbackRequested { .. });
        let others = others || matches!(record.event, Event::ColdRollbackQueued { .. });
        let about = telling::deployment_of(&record.event);
        for story in self.recent.iter().filter(|story| others || about == Some(story.number)) {
            if let Some(chapter) = self.chapters.get_mut(&story.number).filter(|chapter| chapter.story != *story) {
                chapter.story = story.clone();
            }
        }
        if let Some(chapter) = about.and_then(|number| self.chapters.get_mut(&number)) {
            chapter.note(record);
        }
    }

    /// Leaves those alone that nothing changes any more: that have ended, and are neither live nor the standby.
    fn leave(&mut self) {
        if self.recent.len() <= RECENT {
            return;
        }
        let gone = |number: &Number| self.chapters.get(number).is_some_and(Chapter::was_taken_back);
        let live = self.recent.iter().rev().filter(|story| story.live.is_some() && !gone(&story.number));
        let live: Vec<Number> = live.take(WERE_LIVE).map(|story| story.number).collect();
        let idle = |story: &Story| !live.contains(&story.number);
        let ended = self.recent.iter().position(|story| idle(story) && story.end.is_some());
        if let Some(at) = ended.or_else(|| self.recent.iter().position(idle)) {
            self.recent.remove(at);
        }
    }
}

/// The deployment that begins with this event.
fn begun(event: &Event) -> Option<Number> {
    match event {
        Event::Accepted { number, .. } => Some(*number),
        Event::ColdRollbackQueued { by, .. } => Some(*by),
        _ => None,
    }
}

/// Whether an event is told by itself, and not as a part of a deployment.
fn is_act(event: &Event) -> bool {
    match event {
        Event::RollbackRequested { .. }
        | Event::Proceeded { .. }
        | Event::Paused { .. }
        | Event::StrangerFound { .. }
        | Event::StrangerDismissed { .. }
        | Event::OrphanFound { .. }
        | Event::DriftSeen { .. }
        | Event::DriftMended
        | Event::LiveDown { .. }
        | Event::LiveUp { .. }
        | Event::Recovered { .. }
        | Event::RestartAsked { .. }
        | Event::RestartEnded { .. }
        | Event::OperatorNeeded { .. }
        | Event::MaintenanceBegun { .. }
        | Event::MaintenanceEnded { .. }
        | Event::Held { .. }
        | Event::Resumed { .. }
        | Event::Pinned { .. }
        | Event::Unpinned { .. }
        | Event::Vetoed { .. }
        | Event::Unvetoed { .. }
        | Event::BuildsReset { .. } => true,
        Event::Accepted { .. }
        | Event::Started { .. }
        | Event::Approved { .. }
        | Event::DefinitionFrozen { .. }
        | Event::Provisioned { .. }
        | Event::Checked { .. }
        | Event::HookOrdered { .. }
        | Event::HookFinished { .. }
        | Event::CutOverOrdered { .. }
        | Event::PageOrdered { .. }
        | Event::StopOrdered { .. }
        | Event::Stopped { .. }
        | Event::StartOrdered { .. }
        | Event::Shifted { .. }
        | Event::RevertRequested { .. }
        | Event::WentLive { .. }
        | Event::Succeeded { .. }
        | Event::Ended { .. }
        | Event::RevertOrdered { .. }
        | Event::Reverted { .. }
        | Event::ColdRollbackQueued { .. }
        | Event::StandbyReleased { .. }
        | Event::Retired { .. } => false,
    }
}
