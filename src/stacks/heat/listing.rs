//! One list of everything that is ours in a cloud, and how long it may be used. Must not ask about single stacks.
//!
//! The runner looks as often as it likes; Heat is asked as often as there may be news. Whatever we do ourselves makes the
//! list old at once, so a list never misses our own doing; that of others is noticed a little later than it happened.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use serde::Deserialize;

use super::{
    Heat,
    client::Failure,
    kept::Known,
    pace,
    tags::{self, Tagged},
    usual::Waits,
};
use crate::{
    clock::Stopwatch,
    machine::{Millis, StackName},
    stacks::StepError,
    text::parse_time,
};

/// How old a list may be for standing a stack up that we have not touched since.
const FRESH: Duration = Duration::from_secs(5);
/// The shortest pause while we are changing something: how that ends makes a list old anyway.
const MEANWHILE: Duration = Duration::from_secs(1);
/// The pauses after a list that could not be had: they double.
const RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// A stack that carries all our tags.
#[derive(Debug, Clone)]
pub(super) struct Ours {
    pub(super) tagged: Tagged,
    /// Name in Heat.
    pub(super) called: String,
    pub(super) id: String,
    /// The status as Heat writes it, such as `CREATE_IN_PROGRESS`.
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) created: Option<Millis>,
}

impl Ours {
    pub(super) fn is_going(&self) -> bool {
        self.status == "DELETE_IN_PROGRESS"
    }

    /// Heat answers before it begins: a stack that waits for its turn is "complete" in its beginnings.
    pub(super) fn is_coming(&self) -> bool {
        self.status == "CREATE_IN_PROGRESS" || self.status.starts_with("INIT_")
    }

    /// Whether it is being stopped or started again.
    pub(super) fn is_turning(&self) -> bool {
        self.status == "SUSPEND_IN_PROGRESS" || self.status == "RESUME_IN_PROGRESS"
    }

    /// How long ago Heat made it, by Heat's own clock.
    pub(super) fn age(&self, now: Option<Millis>) -> Duration {
        now.zip(self.created).map_or(Duration::ZERO, |(now, then)| Duration::from_millis(now.since(then).0))
    }
}

/// All of ours at one moment.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) stacks: Vec<Ours>,
    /// Time by Heat's clock.
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
    /// The count at which a stack of ours was last changed; the highest possible while that goes on.
    touched: HashMap<StackName, u64>,
    /// How long what is under way has been so.
    pub(super) waits: Waits,
    failing: Option<Failing>,
}

/// Lists cannot be had at the moment.
struct Failing {
    since: Stopwatch,
    pause: Duration,
    why: String,
}

impl Seen {
    /// Returns an empty listing; what was learned is in that folder.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { waits: Waits::in_folder(folder), ..Self::default() }
    }

    /// How long ago the last list was begun.
    pub(super) fn age(&self) -> Duration {
        self.last.as_ref().map_or(Duration::ZERO, |(_, began, _)| began.elapsed())
    }

    /// The last list, if it still holds.
    fn holds(&mut self) -> Option<Arc<Listing>> {
        let (changes, at, listing) = self.last.as_ref()?;
        let under_way = self.waits.pause().map(|pause| pause.max(listing.took * 2));
        let pause = under_way.unwrap_or_else(|| pace::idle(self.changed.map_or(Duration::ZERO, Stopwatch::elapsed)));
        let pause = if self.changing > 0 { pause.max(MEANWHILE) } else { pause };
        let holds = *changes == self.changes && at.elapsed() <= pause;
        holds.then(|| listing.clone())
    }

    /// The last list, if it holds for this stack: whatever we have done to others since.
    fn holds_for(&self, name: &StackName) -> Option<Arc<Listing>> {
        let (changes, at, listing) = self.last.as_ref()?;
        let touched = self.touched.get(name).is_some_and(|touched| touched > changes);
        (!touched && at.elapsed() <= FRESH).then(|| listing.clone())
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
        seen.waits.touched(&self.name);
        // What a newer list knows need not be remembered.
        let known = seen.last.as_ref().map_or(0, |(changes, _, _)| *changes);
        seen.touched.retain(|_, touched| *touched > known);
    }
}

#[derive(Deserialize)]
struct Answered {
    stacks: Vec<Listed>,
}

/// Anybody's stack.
#[derive(Deserialize, Clone)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) stack_name: String,
    pub(super) stack_status: String,
    pub(super) stack_status_reason: Option<String>,
    creation_time: Option<String>,
    pub(super) tags: Option<Vec<String>>,
}

impl Listed {
    fn ours(self, tagged: Tagged) -> Ours {
        Ours {
            tagged,
            called: self.stack_name,
            id: self.id,
            status: self.stack_status,
            reason: self.stack_status_reason.unwrap_or_default(),
            created: self.creation_time.as_deref().and_then(time),
        }
    }
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
        let (held, failing) = {
            let seen = &mut self.state().seen;
            let failing = seen.failing.as_ref().filter(|failing| failing.since.elapsed() < failing.pause);
            let failing = failing.map(|failing| failing.why.clone());
            (seen.holds(), failing)
        };
        match (held, failing) {
            (Some(listing), _) => Ok(listing),
            (None, Some(why)) => Err(StepError::Unavailable(why)),
            (None, None) => self.ask().await,
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
        let answer = self.list().await;
        let seen = &mut self.state().seen;
        seen.failing = answer.as_ref().err().map(|why| {
            let pause = seen.failing.as_ref().map_or(RETRY, |failing| (failing.pause * 2).min(LONGEST_RETRY));
            Failing { since: Stopwatch::start(), pause, why: why.to_string() }
        });
        answer
    }

    async fn list(&self) -> Result<Arc<Listing>, StepError> {
        let changes = self.state().seen.changes;
        let began = Stopwatch::start();
        let installation = self.installation()?;
        let tags = tags::of_installation(installation);
        let tagged = [("tags", tags.as_str())];
        let ((listed, at), kept) = futures_util::future::try_join(self.some(&tagged), self.unmarked_ones()).await?;
        let ours = |listed: Listed| {
            let tagged = Tagged::read(installation, (&listed.stack_name, &listed.id), listed.tags.as_deref()?)?;
            Some(listed.ours(tagged))
        };
        let marked = listed.into_iter().filter(|listed| kept.iter().all(|kept| kept.id != listed.id)).filter_map(ours);
        let stacks = marked.filter(|ours| ours.status != "DELETE_COMPLETE").collect::<Vec<_>>();
        let listing = Arc::new(Listing { stacks: [stacks, kept].concat(), at, took: began.elapsed() });
        let seen = &mut self.state().seen;
        let statuses = |l: &Listing| l.stacks.iter().map(|s| (s.id.clone(), s.status.clone())).collect::<Vec<_>>();
        if seen.last.as_ref().is_none_or(|(_, _, last)| statuses(last) != statuses(&listing)) {
            seen.changed = Some(Stopwatch::start());
        }
        seen.waits.saw(&listing, began);
        seen.last = Some((changes, began, listing.clone()));
        Ok(listing)
    }

    /// Stacks of the project, by filters that have to be checked again: Heat leaves out those that it does not know.
    pub(super) async fn some(&self, filters: &[(&str, &str)]) -> Result<(Vec<Listed>, Option<Millis>), StepError> {
        // Whoever asked says for what.
        let doing = || format!("cloud {}", self.client.cloud());
        let answer = self.client.look(&["stacks"], filters).await.map_err(|failure| failure.step(&doing()))?;
        let listed: Answered = serde_json::from_value(answer.body)
            .map_err(|error| StepError::Unavailable(format!("{}: the answer is not a list: {error}", doing())))?;
        Ok((listed.stacks, answer.at))
    }

    /// What is ours and could not be marked, in one more list as long as there is such a stack.
    async fn unmarked_ones(&self) -> Result<Vec<Ours>, StepError> {
        let kept = self.kept().all();
        if kept.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<_> = kept.iter().map(|kept| ("id", kept.id.as_str())).collect();
        let (listed, _) = self.some(&ids).await?;
        let mut ours = Vec::new();
        for kept in kept {
            match listed.iter().find(|listed| listed.id == kept.id && listed.stack_status != "DELETE_COMPLETE") {
                Some(listed) => ours.push(listed.clone().ours(kept.tagged)),
                None => self.forget_if_gone(&kept).await,
            }
        }
        Ok(ours)
    }

    /// Looks for the stack by its id first: being in no list is not enough, and without its file it would not be ours any more.
    async fn forget_if_gone(&self, kept: &Known) {
        let gone = match self.client.look(&["stacks", &kept.called, &kept.id], &[("resolve_outputs", "false")]).await {
            Ok(answer) => answer.body["stack"]["stack_status"] == "DELETE_COMPLETE",
            // Another project, or another Heat, does not know it either: the settings may be wrong for once.
            Err(Failure::Said { status: 404, .. }) => kept.place.is_some() && self.client.place().await == kept.place,
            Err(_) => false,
        };
        if gone {
            self.kept().forget(&kept.id);
        }
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
    fn a_list_holds_while_something_is_changed_until_that_ends() {
        let listing = Arc::new(Listing { stacks: Vec::new(), at: None, took: Duration::ZERO });
        let mut seen = Seen { changes: 1, changing: 1, ..Seen::default() };
        seen.last = Some((0, Stopwatch::start(), listing.clone()));
        assert!(seen.holds().is_none(), "it is from before");
        seen.last = Some((1, Stopwatch::start(), listing));
        assert!(seen.holds().is_some(), "however long Heat takes to answer");
        (seen.changes, seen.changing) = (2, 0);
        assert!(seen.holds().is_none(), "what was done is not in it");
    }

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
