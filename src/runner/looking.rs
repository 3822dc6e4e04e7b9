//! When this life of the controller has looked, and when nobody could: its process was stopped, its host slept, or the
//! provider did not answer. The machine counts none of that against anybody. Nothing here decides anything.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    clock::{Clock, Stopwatch},
    machine::{Health, Looked, Millis, Number, Observation},
};

/// How often the pulse beats.
const BEAT: Duration = Duration::from_millis(500);
/// A beat that is this late means that nobody looked since the one before.
const STOPPED: Duration = Duration::from_secs(2);
/// How many breaks are remembered one by one; older ones are taken together.
const KEPT: usize = 64;

/// Notices when the whole process was stopped. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Pulse(Arc<Mutex<Beats>>);

#[derive(Debug)]
struct Beats {
    last: Stopwatch,
    breaks: Vec<(Millis, Millis)>,
}

impl Pulse {
    /// Starts at this moment.
    pub(super) fn start() -> Self {
        Self(Arc::new(Mutex::new(Beats { last: Stopwatch::start(), breaks: Vec::new() })))
    }

    /// Beats until the process ends.
    pub(super) async fn run(self, clock: Clock, mut stop: tokio::sync::watch::Receiver<bool>) -> bool {
        while !*stop.borrow() {
            self.beat(clock.now());
            tokio::select! {
                () = clock.wait(BEAT) => {}
                _ = stop.changed() => {}
            }
        }
        true
    }

    /// One beat; the breaks so far.
    fn beat(&self, now: Millis) -> Vec<(Millis, Millis)> {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gap = beats.last.elapsed();
        beats.last = Stopwatch::start();
        if gap > STOPPED {
            remember(&mut beats.breaks, (Millis(now.0.saturating_sub(Millis::from(gap).0)), now));
        }
        beats.breaks.clone()
    }
}

fn remember(gaps: &mut Vec<(Millis, Millis)>, gap: (Millis, Millis)) {
    if gaps.len() >= KEPT
        && let [first, second, ..] = &mut gaps[..]
    {
        second.0 = first.0;
        gaps.remove(0);
    }
    gaps.push(gap);
}

/// How one environment was looked at.
#[derive(Debug)]
pub(crate) struct Looking {
    pulse: Option<Pulse>,
    since: Millis,
    silent: Vec<(Millis, Millis)>,
    silent_since: Option<Millis>,
    live: Live,
}

/// When the live stack was seen good.
#[derive(Debug, Default)]
struct Live {
    number: Option<Number>,
    good: Vec<(Millis, Millis)>,
    /// Since when it is, and when it was seen so last.
    now: Option<(Millis, Millis)>,
}

impl Live {
    fn seen(&mut self, number: Option<Number>, good: bool, now: Millis) {
        if self.number != number {
            *self = Self { number, ..Self::default() };
        }
        match (good, self.now) {
            (true, since) => self.now = Some((since.map_or(now, |(since, _)| since), now)),
            (false, Some(span)) => {
                remember(&mut self.good, span);
                self.now = None;
            }
            (false, None) => {}
        }
    }
}

impl Looking {
    /// Starts at this moment: what was before was not seen by this process.
    pub(super) fn new(pulse: Pulse, now: Millis) -> Self {
        Self { pulse: Some(pulse), ..Self::without_breaks(now) }
    }

    /// The same on virtual time, in which nobody is ever stopped.
    pub(crate) fn without_breaks(now: Millis) -> Self {
        Self { pulse: None, since: now, silent: Vec::new(), silent_since: None, live: Live::default() }
    }

    /// Takes down whether the provider answered and how the live stack was, and tells what the machine is to know.
    pub(crate) fn looked(&mut self, seen: &Observation, live: Option<Number>, now: Millis) -> Looked {
        self.live.seen(live, live.is_some_and(|live| seen.ready(live, Health::Passing)), now);
        match (seen.stacks.is_some(), self.silent_since) {
            (false, None) => self.silent_since = Some(now),
            (true, Some(since)) => {
                remember(&mut self.silent, (since, now));
                self.silent_since = None;
            }
            (false, Some(_)) | (true, None) => {}
        }
        let breaks = self.pulse.as_ref().map_or_else(Vec::new, |pulse| pulse.beat(now));
        Looked {
            since: self.since,
            before: Arc::default(),
            breaks: breaks.into(),
            silent: self.silent.as_slice().into(),
            good: self.live.good.as_slice().into(),
            good_since: self.live.now.map_or(now, |(since, _)| since),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Condition, StackView};

    fn answers(answers: bool) -> Observation {
        Observation { stacks: answers.then(Vec::new), ..Observation::default() }
    }

    #[test]
    fn how_long_the_live_stack_was_good_is_kept_until_another_one_is_live() {
        let mut looking = Looking::new(Pulse::start(), Millis(0));
        let mut sees = |live, health, now| {
            let stack = StackView { number: Number(1), condition: Condition::Ready, health, remark: None, obeyed: 0 };
            let seen = Observation { stacks: Some(vec![stack]), ..Observation::default() };
            looking.looked(&seen, Some(Number(live)), Millis(now))
        };
        sees(1, Health::Failing, 5);
        sees(1, Health::Passing, 10);
        let good = sees(1, Health::Passing, 20);
        assert_eq!((good.good_since, good.good.len()), (Millis(10), 0));
        let bad = sees(1, Health::Failing, 30);
        assert_eq!(
            (bad.good_since, &*bad.good),
            (Millis(30), &[(Millis(10), Millis(20))][..]),
            "as far as it was seen"
        );
        let other = sees(2, Health::Passing, 40);
        assert_eq!((other.good_since, other.good.len()), (Millis(40), 0));
    }

    #[test]
    fn a_provider_that_is_silent_for_a_while_leaves_one_gap_and_old_gaps_are_taken_together() {
        let mut looking = Looking::new(Pulse::start(), Millis(5));
        assert!(looking.looked(&answers(true), None, Millis(10)).silent.is_empty());
        for now in [20, 30, 40] {
            assert!(looking.looked(&answers(false), None, Millis(now)).silent.is_empty(), "it is not over");
        }
        let seen = looking.looked(&answers(true), None, Millis(50));
        assert_eq!((seen.since, &*seen.silent), (Millis(5), &[(Millis(20), Millis(50))][..]));
        for round in 1..=100 {
            looking.looked(&answers(false), None, Millis(round * 100));
            looking.looked(&answers(true), None, Millis(round * 100 + 50));
        }
        let seen = looking.looked(&answers(true), None, Millis(20_000));
        assert_eq!(seen.silent.len(), KEPT);
        assert_eq!(seen.silent.first().map(|gap| gap.0), Some(Millis(20)));
        assert_eq!(seen.silent.last(), Some(&(Millis(10_000), Millis(10_050))));
        assert!(seen.breaks.is_empty());
    }
}
