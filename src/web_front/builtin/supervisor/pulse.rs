//! Whether a front that does not answer hangs, or is only slow. A thread that is stopped, or that waits for what never
//! comes, does nothing at all; one that is slow under load runs, or waits for its turn to. Must not end anybody.

use std::{fs, time::Duration};

use crate::clock::Stopwatch;

/// How often a front is asked.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// How long one answer is waited for.
pub(super) const LIMIT: Duration = Duration::from_secs(2);
/// Number of asks in a row without an answer after which it is judged.
const ASKS: u32 = 3;
/// A front that is silent for so long is replaced whatever it does.
const LONGEST: Duration = Duration::from_secs(60);

/// What a thread was doing when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Doing {
    /// The state in `/proc/PID/stat`: `R` runs, `S` waits, `D` waits for a disk, `T` is stopped.
    state: Option<char>,
    /// Time for which it has run, and has waited for its turn, in nanoseconds.
    effort: Option<(u64, u64)>,
}

impl Doing {
    /// Looks at the thread of a front that answers.
    pub(super) fn of(pid: u32) -> Self {
        let state = || {
            let line = fs::read_to_string(format!("/proc/{pid}/task/{pid}/stat")).ok()?;
            // The name before it may have anything in it.
            line.rsplit_once(')')?.1.trim_start().chars().next()
        };
        let effort = || {
            let line = fs::read_to_string(format!("/proc/{pid}/task/{pid}/schedstat")).ok()?;
            let mut numbers = line.split_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        };
        Self { state: state(), effort: effort() }
    }
}

/// What is known of a front's silence.
#[derive(Default)]
pub(super) struct Pulse {
    asks: u32,
    /// How many samples in a row found that it had done nothing since the one before.
    still: u32,
    since: Option<Stopwatch>,
    last: Doing,
}

impl Pulse {
    /// It has answered.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// It has not answered once more. Returns why it is to be replaced, when it is.
    pub(super) fn silent(&mut self, now: Doing) -> Option<String> {
        let since = *self.since.get_or_insert_with(Stopwatch::start);
        self.judge(now, since.elapsed() + LIMIT)
    }

    fn judge(&mut self, now: Doing, silent: Duration) -> Option<String> {
        self.asks += 1;
        let stands = now.effort.is_some() && now.effort == self.last.effort;
        self.still = if stands { self.still + 1 } else { 0 };
        self.last = now;
        let does_nothing = self.still + 1 >= ASKS;
        let how = match now.state {
            _ if self.asks < ASKS => return None,
            Some('T') => "it was stopped",
            Some('S') if does_nothing => "it waited for something that did not come",
            _ if silent >= LONGEST => "it was busy, or blocked, all the time",
            _ => return None,
        };
        Some(format!("it did not answer its supervisor for {} s ({how}), and was ended", silent.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Judges after each of these looks, five seconds apart.
    fn judged(looks: &[(char, u64, u64)]) -> Vec<bool> {
        let mut pulse = Pulse::default();
        let looks = looks.iter().zip(1..);
        looks
            .map(|(&(state, ran, waited), nth)| {
                let now = Doing { state: Some(state), effort: Some((ran, waited)) };
                pulse.judge(now, 5 * SECOND * nth).is_some()
            })
            .collect()
    }

    #[test]
    fn what_is_stopped_or_does_nothing_is_replaced_at_the_third_silence() {
        assert_eq!(judged(&[('T', 5, 5); 3]), [false, false, true]);
        assert_eq!(judged(&[('S', 5, 5); 3]), [false, false, true]);
        assert_eq!(judged(&[('S', 1, 1), ('S', 2, 1), ('S', 2, 1), ('S', 2, 1)]), [false, false, false, true]);
    }

    #[test]
    fn what_is_slow_is_left_alone_for_a_minute() {
        let slow = |state| (0..12).map(|nth| (state, nth, 1000 * nth)).collect::<Vec<_>>();
        for state in ['R', 'S', 'D'] {
            let judged = judged(&slow(state));
            assert_eq!(judged.iter().position(|replaced| *replaced), Some(11), "after 60 s: {state}");
        }
        let starved = [('R', 7, 7); 11];
        assert!(!judged(&starved).contains(&true), "it wants to run and is not let");
        let waits_its_turn: Vec<_> = (0..11).map(|nth| ('S', 7, nth)).collect();
        assert!(!judged(&waits_its_turn).contains(&true));
    }

    #[test]
    fn an_answer_begins_all_anew() {
        let mut pulse = Pulse::default();
        let stopped = Doing { state: Some('T'), effort: None };
        assert_eq!(pulse.judge(stopped, 5 * SECOND), None);
        assert_eq!(pulse.judge(stopped, 10 * SECOND), None);
        pulse.answered();
        assert_eq!(pulse.judge(stopped, 5 * SECOND), None);
        assert_eq!(pulse.judge(stopped, 10 * SECOND), None);
        let why = pulse.judge(stopped, 15 * SECOND).unwrap();
        assert_eq!(why, "it did not answer its supervisor for 15 s (it was stopped), and was ended");
    }

    #[test]
    fn a_thread_is_seen_as_it_is() {
        let doing = Doing::of(std::process::id());
        assert!(doing.state.is_some_and(|state| "RSD".contains(state)), "{doing:?}");
        assert_eq!(Doing::of(0), Doing::default(), "nobody");
    }
}
