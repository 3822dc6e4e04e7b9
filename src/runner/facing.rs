//! The front as the runner faces it: what it shows, by numbers for the machine, and one order to it. Must not decide anything.

use std::collections::HashMap;

use super::{board::Counted, shared::within, world::World};
use crate::{
    machine::{FrontView, Number, Outdated, Share, StackName, Traffic},
    reach::Reach,
    stacks::StepError,
    web_front::{CutOver, Route, SeenFront, Split, Target},
};

/// Whatever is at a front that is not ours to name: no deployment ever has this number.
const FOREIGN: Number = Number(u32::MAX);

impl World {
    /// Gives an order to the front.
    pub(super) async fn order(&self, route: Route) -> Result<(), StepError> {
        match within(self.front.call_limit(), self.front.cut_over(&route)).await? {
            CutOver::Applied => Ok(()),
            CutOver::Stale { applied } => {
                Err(StepError::Unavailable(format!("the front has accepted generation {applied} before")))
            }
        }
    }

    /// Asks the front what it serves.
    pub(super) async fn see_front(&self) -> Result<Option<SeenFront>, StepError> {
        within(self.front.call_limit(), self.front.observe()).await
    }

    /// What the front has counted, by number.
    fn counted(&self, seen: &SeenFront) -> Counted {
        let number = |name: &StackName| if name.environment == self.id { name.number } else { FOREIGN };
        match (self.front.does_not_count(), &seen.counted) {
            (Some(why), _) => Counted::Not(why),
            (None, None) => Counted::Not("the front that runs is of an earlier version, which did not count"),
            (None, Some(counted)) => Counted::Since {
                at: counted.since,
                cutover: counted.cutover,
                sides: counted.sides.iter().map(|s| (number(&s.stack), s.requests, s.failed)).collect(),
            },
        }
    }

    /// What the front serves, by number. A stack that is reached elsewhere now is still that stack; somebody else's change, which
    /// the driver tells, is not.
    pub(super) fn front_view(&self, seen: Option<&SeenFront>, reach: &HashMap<Number, Reach>) -> FrontView {
        let Some(seen) = seen else { return FrontView::default() };
        let ours = |name: &StackName| if name.environment == self.id { name.number } else { FOREIGN };
        let now = |target: &Target| reach.get(&ours(&target.stack)).filter(|reach| !reach.is_empty());
        let outdated = |target: &Target| {
            let now = now(target).filter(|now| **now != target.reach)?;
            Some(Outdated { number: target.stack.number, lost: now.has_left(&target.reach) })
        };
        let target = seen.route.target.as_ref();
        let split = seen.route.split.as_ref();
        let served = || target.into_iter().chain(split.map(|split| &split.target));
        let altered = seen.altered && served().any(|target| now(target) != Some(&target.reach));
        let staged = seen.staged_at.as_ref().filter(|staged| target.is_none_or(|target| target.stack != staged.stack));
        let known = served().filter(|_| !altered).chain(staged);
        let number = |target: &Target| if altered { FOREIGN } else { ours(&target.stack) };
        self.board.update(&self.id, |sight| {
            sight.open = seen.open.iter().map(|(n, c)| (ours(n), *c)).collect();
            sight.counted = self.counted(seen);
        });
        FrontView {
            traffic: traffic(target.map(number), split.map(|split| (number(&split.target), split.share))),
            generation: seen.route.generation,
            staged: seen.staged.as_ref().map(ours),
            outdated: known.filter_map(outdated).collect(),
            busy: seen.open.iter().filter(|(_, open)| *open > 0).map(|(name, _)| ours(name)).collect(),
            words: target.map(|t| in_words(t, split).into()),
            host: self.front.place().map(Into::into),
        }
    }

    /// Asks at the front's public address which stack answers.
    pub(super) async fn ask_public(&self, expected: Number) -> Option<Number> {
        let answer = within(self.front.call_limit(), self.front.ask_public()).await;
        self.note("asking the front's public address", &answer);
        match answer {
            Ok(Some(name)) => Some(if name.environment == self.id { name.number } else { FOREIGN }),
            // The front does not tell; that it shows the order is all there is to know.
            Ok(None) => Some(expected),
            Err(_) => None,
        }
    }
}

/// Who gets users' requests, by numbers.
fn traffic(base: Option<Number>, candidate: Option<(Number, Share)>) -> Traffic {
    match (base, candidate) {
        (Some(base), Some((candidate, share))) => Traffic::Split { base, candidate, share },
        (whole, _) => Traffic::whole(whole),
    }
}

/// A target as people read it.
fn in_words(target: &Target, split: Option<&Split>) -> String {
    if let Some(Split { target: candidate, share }) = split {
        return format!("{}, with {share} for {}", in_words(target, None), in_words(candidate, None));
    }
    match target.reach.words().first() {
        Some(first) => format!("{} at {first}", target.stack),
        None => target.stack.to_string(),
    }
}
