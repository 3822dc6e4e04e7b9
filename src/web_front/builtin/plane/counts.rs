//! How many requests of users each stack had since the last cutover, and how many of them failed. Counted here, where users are, so
//! that nobody has to claim it. Must not decide what becomes of a request.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::proxy::Page;
use crate::{
    machine::{Millis, StackName},
    web_front::{Counted, Side},
};

/// The counts of one stack.
#[derive(Default)]
pub(super) struct Served {
    requests: AtomicU64,
    failed: AtomicU64,
}

impl Served {
    /// A request of a user has an answer.
    pub(super) fn answered(&self, failed: bool) {
        self.requests.fetch_add(1, Relaxed);
        self.failed.fetch_add(u64::from(failed), Relaxed);
    }

    /// An answer that was counted as a good one broke off.
    pub(super) fn broke(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    fn begin_anew(&self) {
        self.requests.store(0, Relaxed);
        self.failed.store(0, Relaxed);
    }
}

impl Page {
    /// Whether a user gets it because of the stack, and not of what the user or the front did.
    pub(super) fn is_failure(self) -> bool {
        match self {
            Self::Unreachable | Self::Timeout | Self::Busy | Self::BadAnswer => true,
            Self::NoRoute
            | Self::Maintenance
            | Self::NoCandidate
            | Self::Crowded
            | Self::Stalled
            | Self::LengthRequired
            | Self::BadRequest(_) => false,
        }
    }
}

/// The counts of all stacks, and what they are since.
#[derive(Default)]
pub(super) struct Counts {
    served: HashMap<StackName, Arc<Served>>,
    since: Option<Since>,
}

struct Since {
    at: Millis,
    cutover: bool,
    live: Option<StackName>,
    /// The stack that has a share.
    split: Option<StackName>,
    before: Option<StackName>,
}

impl Counts {
    /// The counts of a stack, the same for all that have its name.
    pub(super) fn of(&mut self, stack: &StackName) -> Arc<Served> {
        self.served.entry(stack.clone()).or_default().clone()
    }

    /// Users are sent there from now on, or to these two. Counting starts from zero when those are other stacks than before.
    pub(super) fn follow(&mut self, live: Option<&StackName>, split: Option<&StackName>, now: Millis) {
        let (cutover, before) = match &self.since {
            Some(since) if (since.live.as_ref(), since.split.as_ref()) == (live, split) => return,
            Some(Since { live: was, split: shared, .. }) if was.as_ref() == live => (true, shared.clone()),
            Some(since) => (true, since.live.clone()),
            None => (false, None),
        };
        // What no table has any more is forgotten.
        self.served.retain(|_, served| Arc::strong_count(served) > 1);
        self.served.values().for_each(|served| served.begin_anew());
        self.since = Some(Since { at: now, cutover, live: live.cloned(), split: split.cloned(), before });
    }

    /// Returns what was counted; nothing before there is anything to count.
    pub(super) fn told(&self) -> Option<Counted> {
        let Since { at, cutover, live, split, before } = self.since.as_ref()?;
        let side = |stack: &StackName| {
            let served = self.served.get(stack);
            let count = |count: fn(&Served) -> &AtomicU64| served.map_or(0, |served| count(served).load(Relaxed));
            Side { stack: stack.clone(), requests: count(|s| &s.requests), failed: count(|s| &s.failed) }
        };
        let sides = live.iter().chain(split.as_ref().or(before.as_ref())).map(side).collect();
        Some(Counted { since: *at, cutover: *cutover, sides })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Number;

    fn name(number: u32) -> StackName {
        StackName { environment: "shop/prod".parse().unwrap(), number: Number(number) }
    }

    fn sides(counts: &Counts) -> (u64, bool, Vec<(u32, u64, u64)>) {
        let Counted { since, cutover, sides } = counts.told().expect("there is something to count");
        (since.0, cutover, sides.iter().map(|s| (s.stack.number.0, s.requests, s.failed)).collect())
    }

    #[test]
    fn both_sides_are_counted_from_the_cutover_on() {
        let mut counts = Counts::default();
        assert_eq!(counts.told(), None);
        counts.follow(Some(&name(1)), None, Millis(5));
        let one = counts.of(&name(1));
        one.answered(true);
        assert_eq!(sides(&counts), (5, false, vec![(1, 1, 1)]), "since the front began");
        counts.follow(Some(&name(1)), None, Millis(6));
        assert_eq!(sides(&counts), (5, false, vec![(1, 1, 1)]), "the same again, as when it is put right");
        let two = counts.of(&name(2));
        counts.follow(Some(&name(2)), None, Millis(9));
        two.answered(false);
        two.answered(true);
        one.answered(false);
        one.broke();
        assert_eq!(sides(&counts), (9, true, vec![(2, 2, 1), (1, 1, 1)]));
        drop((one, two));
        counts.follow(None, None, Millis(12));
        assert_eq!(sides(&counts), (12, true, vec![(2, 0, 0)]));
    }

    #[test]
    fn both_stacks_of_a_split_are_counted_until_one_has_all_users() {
        let mut counts = Counts::default();
        counts.follow(Some(&name(1)), None, Millis(1));
        counts.follow(Some(&name(1)), Some(&name(2)), Millis(5));
        let (one, two) = (counts.of(&name(1)), counts.of(&name(2)));
        one.answered(false);
        two.answered(true);
        counts.follow(Some(&name(1)), Some(&name(2)), Millis(6));
        assert_eq!(sides(&counts), (5, true, vec![(1, 1, 0), (2, 1, 1)]), "a larger share keeps the counts");
        counts.follow(Some(&name(2)), None, Millis(8));
        assert_eq!(sides(&counts), (8, true, vec![(2, 0, 0), (1, 0, 0)]));
        counts.follow(Some(&name(2)), Some(&name(3)), Millis(9));
        counts.follow(Some(&name(2)), None, Millis(10));
        assert_eq!(sides(&counts), (10, true, vec![(2, 0, 0), (3, 0, 0)]), "undone: what had a share was before");
    }
}
