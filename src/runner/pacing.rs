//! When an effect may be tried again: at once when it is new, then after growing pauses with jitter, so that a
//! provider that is down is not hammered by everybody at the same moment. Deadlines are the machine's.

use std::{collections::HashMap, hash::BuildHasher, time::Duration};

use crate::machine::{Effect, Millis, Number};

/// The first pause after a try.
const FIRST: Millis = Millis(200);
/// The longest pause.
const LONGEST: Millis = Millis(10_000);

/// What is tried: the generation of a cutover belongs to it, because a new order must not wait for an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Slot {
    /// The slot of [`Effect::Freeze`].
    Freeze(Number),
    /// The slot of [`Effect::Ensure`].
    Ensure(Number),
    /// [`Effect::RunHook`]: a deployment has one at a time.
    RunHook(Number),
    /// The slot of [`Effect::Stage`].
    Stage(Number),
    /// [`Effect::Restart`]: an instance, for an order.
    Restart(usize, u64),
    /// The slot of [`Effect::CutOver`].
    CutOver(u64),
    /// The slot of [`Effect::Refresh`].
    Refresh,
    /// The slot of [`Effect::Stop`] or [`Effect::Start`], by the order's number.
    Run(u64),
    /// The slot of [`Effect::Retire`].
    Retire(Number),
    /// Bringing up a front that does not answer.
    Front,
}

impl From<&Effect> for Slot {
    fn from(effect: &Effect) -> Self {
        match effect {
            Effect::Freeze(number) => Self::Freeze(*number),
            Effect::Ensure(number) => Self::Ensure(*number),
            Effect::RunHook { number, .. } => Self::RunHook(*number),
            Effect::Stage(number) => Self::Stage(*number),
            Effect::Restart { instance, order, .. } => Self::Restart(*instance, *order),
            Effect::CutOver { generation, .. } => Self::CutOver(generation.0),
            Effect::Refresh { .. } => Self::Refresh,
            Effect::Stop(permit) => Self::Run(permit.order()),
            Effect::Start(permit) => Self::Run(permit.order()),
            Effect::Retire(permit) => Self::Retire(permit.number()),
        }
    }
}

#[derive(Debug)]
struct Tries {
    count: u32,
    in_flight: bool,
    next: Millis,
}

/// The tries of one environment.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    tries: HashMap<Slot, Tries>,
}

impl Pacing {
    /// Whether to try now; notes that it is tried if so.
    pub(super) fn begin(&mut self, slot: Slot, now: Millis) -> bool {
        let tries = self.tries.entry(slot).or_insert(Tries { count: 0, in_flight: false, next: Millis(0) });
        let go = !tries.in_flight && now >= tries.next;
        if go {
            tries.in_flight = true;
            tries.count += 1;
        }
        go
    }

    /// Notes that a try has come back, however.
    pub(super) fn finish(&mut self, slot: Slot, now: Millis) {
        if let Some(tries) = self.tries.get_mut(&slot) {
            tries.in_flight = false;
            let pause = FIRST.0.saturating_mul(1 << tries.count.min(16).saturating_sub(1)).min(LONGEST.0);
            tries.next = now.plus(Millis(pause / 2 + jitter(slot, tries.count) % (pause / 2 + 1)));
        }
    }

    /// Forgets what is not due any more, and tells when the first of the rest may be tried again.
    pub(super) fn keep(&mut self, due: &[Slot]) -> Option<Millis> {
        self.tries.retain(|slot, tries| tries.in_flight || due.contains(slot));
        self.tries.values().filter(|t| !t.in_flight).map(|t| t.next).min()
    }
}

/// Differs by process, slot and try; needs to be no better than that.
fn jitter(slot: Slot, count: u32) -> u64 {
    thread_local!(static STATE: std::hash::RandomState = std::hash::RandomState::new());
    STATE.with(|state| state.hash_one((slot, count)))
}

/// How often the world is looked at while something is under way: at once after an event, then ever more seldom.
#[derive(Debug)]
pub(super) struct Backoff {
    pause: Duration,
}

impl Backoff {
    const QUICKEST: Duration = Duration::from_millis(10);
    const SLOWEST: Duration = Duration::from_millis(500);

    /// Starts quick.
    pub(super) fn new() -> Self {
        Self { pause: Self::QUICKEST }
    }

    /// Something happened.
    pub(super) fn reset(&mut self) {
        self.pause = Self::QUICKEST;
    }

    /// The pause before the next look.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (self.pause * 3 / 2).min(Self::SLOWEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_effect_is_tried_ever_more_seldom_but_for_ever() {
        let mut pacing = Pacing::default();
        let slot = Slot::Ensure(Number(1));
        let mut now = Millis(0);
        let mut waits = Vec::new();
        for _ in 0..20 {
            let begun = now;
            while !pacing.begin(slot, now) {
                now = now.plus(Millis(1));
            }
            waits.push(now.since(begun).0);
            assert!(!pacing.begin(slot, now), "never twice at once");
            pacing.finish(slot, now);
        }
        assert_eq!(waits[0], 0, "the first try waits for nothing");
        assert!(waits.iter().all(|w| *w <= LONGEST.0));
        assert!(waits[10..].iter().all(|w| *w >= LONGEST.0 / 2), "{waits:?}");
    }

    #[test]
    fn a_new_order_to_the_front_does_not_wait_for_an_old_one() {
        let mut pacing = Pacing::default();
        assert!(pacing.begin(Slot::CutOver(7), Millis(0)));
        assert!(pacing.begin(Slot::CutOver(8), Millis(0)));
    }
}
