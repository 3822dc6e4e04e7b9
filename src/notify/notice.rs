//! What is told, and how it is found in the records: pure.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::{
    journal::Record,
    machine::{Environment, EnvironmentId, Event, Matter, Millis, Number},
    telling::Situation,
    text::format_time,
};

/// How many notices of one environment wait at most. The oldest is given up for one more.
const MOST: usize = 64;

/// Subject of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// The live stack is down.
    LiveDown,
    /// A person is needed.
    OperatorNeeded,
    /// The trouble that was told before is over.
    Over,
}

/// One thing that is told: what the program reads, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notice {
    /// The version of this shape.
    pub v: u32,
    pub what: What,
    /// What was the matter, where this says that it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<What>,
    pub environment: EnvironmentId,
    /// The number of the stack, and of the deployment that made it.
    pub stack: Number,
    /// The version that it runs; null when it is not remembered.
    pub version: Option<String>,
    /// Since when it is, or was, so.
    pub since: String,
    /// When this was found.
    pub at: String,
    pub reason: String,
    /// What is said at night, in three lines.
    #[serde(flatten)]
    pub situation: Situation,
    /// The record it was found in.
    pub seq: u64,
    /// How many notices before this one were lost because the program failed for a day.
    pub missed: u64,
    /// When this was found, in milliseconds.
    #[serde(rename = "at_ms")]
    pub noticed: Millis,
}

/// A notice without its three lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    what: What,
    was: Option<What>,
    environment: EnvironmentId,
    stack: Number,
    version: Option<String>,
    since: Millis,
    at: Millis,
    reason: String,
    seq: u64,
    missed: u64,
}

impl Found {
    pub(super) fn told(self, situation: Situation) -> Notice {
        Notice {
            v: 1,
            what: self.what,
            was: self.was,
            environment: self.environment,
            stack: self.stack,
            version: self.version,
            since: format_time(self.since),
            at: format_time(self.at),
            reason: self.reason,
            situation,
            seq: self.seq,
            missed: self.missed,
            noticed: self.at,
        }
    }
}

/// What was told and is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Open {
    what: What,
    /// What a person is needed for, where that is not a deployment or a tear-down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    about: Option<Matter>,
    number: Number,
    since: Millis,
    reason: String,
    version: Option<String>,
}

/// Contents of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// The last record that was read.
    pub read: u64,
    /// Open notices, by environment.
    pub open: BTreeMap<EnvironmentId, Vec<Open>>,
    /// What nobody was told yet, oldest first.
    pub waiting: VecDeque<Notice>,
    /// Notices that were given up, by environment.
    pub missed: BTreeMap<EnvironmentId, u64>,
}

impl Kept {
    /// What a record tells. `state`: how the environment is after it, or later.
    pub(super) fn hear(&mut self, record: &Record, state: &Environment) -> Vec<Found> {
        let id = &record.environment;
        let begins = match &record.event {
            Event::LiveDown { number, reason } => Some((Wrong::live_down(*number), reason)),
            Event::OperatorNeeded { number, reason, about } => {
                Some((Wrong { what: What::OperatorNeeded, about: *about, number: *number }, reason))
            }
            _ => None,
        };
        let mut found = Vec::new();
        if let Some((wrong, reason)) = begins {
            found.push(self.begin(id, state, (wrong, reason, record.at), (record.at, record.seq)));
        }
        found.extend(self.end(id, state, (record.at, record.seq)));
        found
    }

    /// What is wrong and was not told, and what was told and is over.
    pub(super) fn hold_against(
        &mut self,
        id: &EnvironmentId,
        state: &Environment,
        now: Millis,
        seq: u64,
    ) -> Vec<Found> {
        let mut found = Vec::new();
        for (wrong, since, reason) in wrong_in(state) {
            if !self.open.get(id).is_some_and(|open| open.iter().any(|open| open.is(wrong))) {
                found.push(self.begin(id, state, (wrong, &reason, since), (now, seq)));
            }
        }
        found.extend(self.end(id, state, (now, seq)));
        found
    }

    fn begin(
        &mut self,
        id: &EnvironmentId,
        state: &Environment,
        (wrong, reason, since): (Wrong, &str, Millis),
        (at, seq): (Millis, u64),
    ) -> Found {
        let Wrong { what, about, number } = wrong;
        let version = state.release_of(number).map(|release| release.version.to_string());
        let open = self.open.entry(id.clone()).or_default();
        open.retain(|open| !open.is(wrong));
        open.push(Open { what, about, number, since, reason: reason.to_owned(), version: version.clone() });
        let (environment, missed) = (id.clone(), self.missed_of(id));
        Found {
            what,
            was: None,
            environment,
            stack: number,
            version,
            since,
            at,
            reason: reason.to_owned(),
            seq,
            missed,
        }
    }

    fn end(&mut self, id: &EnvironmentId, state: &Environment, (at, seq): (Millis, u64)) -> Vec<Found> {
        let Some(open) = self.open.get_mut(id) else { return Vec::new() };
        let wrong = wrong_in(state);
        let is_over = |open: &mut Open| !wrong.iter().any(|(wrong, ..)| open.is(*wrong));
        let over: Vec<Open> = open.extract_if(.., is_over).collect();
        if open.is_empty() {
            self.open.remove(id);
        }
        let missed = self.missed_of(id);
        let found = |open: Open| Found {
            what: What::Over,
            was: Some(open.what),
            environment: id.clone(),
            stack: open.number,
            version: open.version,
            since: open.since,
            at,
            reason: open.reason,
            seq,
            missed,
        };
        over.into_iter().map(found).collect()
    }

    fn missed_of(&self, id: &EnvironmentId) -> u64 {
        self.missed.get(id).copied().unwrap_or(0)
    }

    /// Gives the oldest notices of an environment up where too many wait.
    pub(super) fn bound(&mut self, id: &EnvironmentId) {
        while self.waiting.iter().filter(|n| n.environment == *id).count() > MOST {
            // The first may be under way.
            let Some((place, _)) = self.waiting.iter().enumerate().filter(|(_, n)| n.environment == *id).nth(1) else {
                return;
            };
            self.give_up(place);
        }
    }

    /// Gives one notice up, and has those after it say so.
    pub(super) fn give_up(&mut self, place: usize) {
        let Some(lost) = self.waiting.remove(place) else { return };
        *self.missed.entry(lost.environment.clone()).or_default() += 1;
        let later = self.waiting.iter_mut().filter(|n| n.environment == lost.environment);
        later.for_each(|notice| notice.missed += 1);
    }
}

/// What is told: that the live stack is down, or that a person is needed for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wrong {
    what: What,
    about: Option<Matter>,
    number: Number,
}

impl Wrong {
    fn live_down(number: Number) -> Self {
        Self { what: What::LiveDown, about: None, number }
    }

    fn needed(about: Option<Matter>, number: Number) -> Self {
        Self { what: What::OperatorNeeded, about, number }
    }
}

impl Open {
    /// Whether it is that. There is one front, whichever stack is live meanwhile.
    fn is(&self, wrong: Wrong) -> bool {
        let same = self.number == wrong.number || wrong.about == Some(Matter::Front);
        self.what == wrong.what && self.about == wrong.about && same
    }
}

/// What is wrong with an environment, with since when, and in words.
fn wrong_in(state: &Environment) -> Vec<(Wrong, Millis, String)> {
    let history = || "a person is needed; the history says why".to_owned();
    let live = state.live().map(|live| live.number);
    let mut wrong = Vec::new();
    if let Some((down, live)) = state.down().zip(live) {
        wrong.push((Wrong::live_down(live), down.since, down.reason.to_string()));
        if down.operator_needed {
            wrong.push((Wrong::needed(Some(Matter::Live), live), down.since, down.reason.to_string()));
        }
    }
    if let Some(straying) = state.straying().filter(|s| s.operator_needed) {
        let number = live.unwrap_or(state.last_number());
        wrong.push((Wrong::needed(Some(Matter::Front), number), straying.began, history()));
    }
    let active = state.active().filter(|d| d.operator_needed).map(|d| (d.number, d.since));
    let retiring = state.retiring().iter().filter(|r| r.operator_needed).map(|r| (r.number, r.since));
    wrong.extend(active.into_iter().chain(retiring).map(|(n, since)| (Wrong::needed(None, n), since, history())));
    wrong
}
