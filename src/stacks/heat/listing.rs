//! One list of everything that is ours in a cloud, and how long it may be used. Must not ask about single stacks.
//!
//! The runner looks as often as it likes; Heat is asked as often as there may be news. Whatever we do ourselves makes the
//! list old at once, so a list never misses our own doing; that of others is noticed a little later than it happened.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::Deserialize;

use super::{
    Heat,
    tags::{self, Tagged},
};
use crate::{
    clock::Stopwatch,
    machine::{Millis, StackName},
    stacks::StepError,
    text::parse_time,
};

/// The shortest and the longest pause between two looks while something is under way.
const QUICKEST: Duration = Duration::from_millis(50);
const SLOWEST: Duration = Duration::from_secs(5);
/// The shortest while stacks only go: nobody waits for that.
const UNHURRIED: Duration = Duration::from_millis(250);

/// A stack that carries all our tags.
#[derive(Debug, Clone)]
pub(super) struct Ours {
    pub(super) tagged: Tagged,
    pub(super) id: String,
    /// As Heat writes it, such as `CREATE_IN_PROGRESS`.
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) created: Option<Millis>,
}

impl Ours {
    pub(super) fn is_going(&self) -> bool {
        self.status == "DELETE_IN_PROGRESS"
    }

    fn is_under_way(&self) -> bool {
        // Heat answers before it begins: a stack that waits for its turn is "complete" in its beginnings.
        self.status.ends_with("_IN_PROGRESS") || self.status.starts_with("INIT_")
    }
}

/// All of ours at one moment.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) stacks: Vec<Ours>,
    /// What Heat's clock showed.
    pub(super) at: Option<Millis>,
    took: Duration,
}

/// The last list, and what we have done since.
#[derive(Default)]
pub(super) struct Seen {
    last: Option<(u64, Stopwatch, Arc<Listing>)>,
    /// Counts the beginnings and the ends of what we do.
    changes: u64,
    changing: usize,
    changed: Option<Stopwatch>,
    /// Which count a stack of ours was last changed at; the highest there is while that goes on.
    touched: HashMap<StackName, u64>,
}

impl Seen {
    /// The last list, if it still holds.
    fn holds(&self) -> Option<Arc<Listing>> {
        let (changes, at, listing) = self.last.as_ref()?;
        let pause = if listing.stacks.iter().any(Ours::is_under_way) {
            // In step with how long things take: what has taken ten minutes does not end in the next second.
            let since = self.changed.map_or(SLOWEST, Stopwatch::elapsed);
            let only_going = listing.stacks.iter().all(|ours| ours.is_going() || !ours.is_under_way());
            let quickest = if only_going { UNHURRIED } else { QUICKEST };
            (since / 8).max(listing.took * 2).clamp(quickest, SLOWEST)
        } else {
            SLOWEST
        };
        let holds = self.changing == 0 && *changes == self.changes && at.elapsed() <= pause;
        holds.then(|| listing.clone())
    }

    /// The last list, if it holds for this stack: whatever we have done to others since.
    fn holds_for(&self, name: &StackName) -> Option<Arc<Listing>> {
        let (changes, at, listing) = self.last.as_ref()?;
        let touched = self.touched.get(name).is_some_and(|touched| touched > changes);
        (!touched && at.elapsed() <= SLOWEST).then(|| listing.clone())
    }
}

/// Something that we do, while it lasts, however it ends.
pub(super) struct Change<'a> {
    heat: &'a Heat,
    name: StackName,
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let mut state = self.heat.state();
        let seen = &mut state.seen;
        seen.changes += 1;
        seen.changing -= 1;
        seen.changed = Some(Stopwatch::start());
        seen.touched.insert(self.name.clone(), seen.changes);
        // What a newer list knows need not be remembered.
        let known = seen.last.as_ref().map_or(0, |(changes, _, _)| *changes);
        seen.touched.retain(|_, touched| *touched > known);
    }
}

#[derive(Deserialize)]
struct Answered {
    stacks: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    stack_name: String,
    stack_status: String,
    stack_status_reason: Option<String>,
    creation_time: Option<String>,
    tags: Option<Vec<String>>,
}

impl Heat {
    /// We are about to change this stack.
    pub(super) fn change(&self, name: &StackName) -> Change<'_> {
        let mut state = self.state();
        state.seen.changes += 1;
        state.seen.changing += 1;
        state.seen.touched.insert(name.clone(), u64::MAX);
        Change { heat: self, name: name.clone() }
    }

    /// Everything that is ours, as far as this stack is concerned.
    pub(super) async fn look_for(&self, name: &StackName) -> Result<Arc<Listing>, StepError> {
        let _one = self.looking.lock().await;
        let held = self.state().seen.holds_for(name);
        match held {
            Some(listing) => Ok(listing),
            None => self.ask().await,
        }
    }

    /// Everything that is ours; as it was a moment ago, where nothing of our doing is missing in that.
    pub(super) async fn look(&self) -> Result<Arc<Listing>, StepError> {
        let _one = self.looking.lock().await;
        let held = self.state().seen.holds();
        match held {
            Some(listing) => Ok(listing),
            None => self.ask().await,
        }
    }

    /// Everything that is ours, now.
    pub(super) async fn look_now(&self) -> Result<Arc<Listing>, StepError> {
        let _one = self.looking.lock().await;
        self.ask().await
    }

    /// Whether something of ours was on its way out when it was looked last.
    pub(super) fn is_making_room(&self) -> bool {
        self.state().seen.last.as_ref().is_some_and(|(_, _, listing)| listing.stacks.iter().any(Ours::is_going))
    }

    async fn ask(&self) -> Result<Arc<Listing>, StepError> {
        let changes = self.state().seen.changes;
        let began = Stopwatch::start();
        let doing = || format!("listing the stacks of cloud {}", self.client.cloud());
        let installation = self.installation()?;
        let tags = tags::of_installation(installation);
        let answer =
            self.client.look(&["stacks"], &[("tags", &tags)]).await.map_err(|failure| failure.step(&doing()))?;
        let listed: Answered = serde_json::from_value(answer.body)
            .map_err(|error| StepError::Unavailable(format!("{}: the answer is no list: {error}", doing())))?;
        let ours = |listed: Listed| {
            Some(Ours {
                tagged: Tagged::read(installation, &listed.stack_name, &listed.tags?)?,
                id: listed.id,
                status: listed.stack_status,
                reason: listed.stack_status_reason.unwrap_or_default(),
                created: listed.creation_time.as_deref().and_then(time),
            })
        };
        let gone = |ours: &Ours| ours.status == "DELETE_COMPLETE";
        let stacks = listed.stacks.into_iter().filter_map(ours).filter(|ours| !gone(ours)).collect();
        let listing = Arc::new(Listing { stacks, at: answer.at, took: began.elapsed() });
        let mut state = self.state();
        if let Some((_, _, last)) = &state.seen.last {
            let statuses = |l: &Listing| l.stacks.iter().map(|s| (s.id.clone(), s.status.clone())).collect::<Vec<_>>();
            if statuses(last) != statuses(&listing) {
                state.seen.changed = Some(Stopwatch::start());
            }
        }
        state.seen.last = Some((changes, began, listing.clone()));
        Ok(listing)
    }
}

/// A time as Heat writes it: with or without parts of a second, and with or without saying that it is UTC.
fn time(text: &str) -> Option<Millis> {
    let whole = text.trim_end_matches('Z').split('.').next()?;
    parse_time(&format!("{whole}.000Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_heat_is_read() {
        let expected = parse_time("2026-11-21T16:30:39.000Z");
        assert!(expected.is_some());
        for text in ["2026-11-21T16:30:39Z", "2026-11-21T16:30:39", "2026-11-21T16:30:39.000000"] {
            assert_eq!(time(text), expected, "{text}");
        }
        assert_eq!(time("yesterday"), None);
    }
}
