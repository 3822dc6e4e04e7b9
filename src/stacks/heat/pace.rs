//! How long a list of stacks may be used before Heat is asked again: a pure function of how long things have been under
//! way, and of how long they took the last time. Must not read a clock.
//!
//! What is new is looked at closely, because it may be quick. After that the pauses grow with the time that has passed, so
//! that the number of calls grows with its logarithm; and where it is known how long it took the last time, it is looked
//! at seldom before that, and closely around it. What takes long beyond that has a deadline that is near, and nobody here
//! knows it: the pauses grow no more then, so that it is not missed.

use std::time::Duration;

/// How long it took to stand up the stack before: longer than `from`, and not longer than `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usual {
    pub(super) from: Duration,
    pub(super) to: Duration,
}

const QUICKEST: Duration = Duration::from_millis(50);
/// Up to this time after the start of a change the looks are frequent.
const QUICK: Duration = Duration::from_secs(2);
/// What a person who waits for minutes does not mind.
const PATIENT: Duration = Duration::from_secs(50);

/// Age from which a stack is no longer asked for quickly: its deadline may be near.
const LONG: Duration = Duration::from_secs(300);
/// The longest pause after that.
const TENSE: Duration = Duration::from_secs(30);
/// The longest pause once it takes longer than usual, unless that is long itself.
const OVERDUE: Duration = Duration::from_secs(15);

/// The pause after a look at a stack that has been on its way up for that long.
pub(super) fn creating(since: Duration, usual: Option<Usual>) -> Duration {
    match usual {
        Some(usual) => expected(since, usual),
        None if since < QUICK => (since / 2).max(QUICKEST * 4),
        None => (since * 3 / 4).min(if since < LONG { PATIENT } else { TENSE }),
    }
}

fn expected(since: Duration, usual: Usual) -> Duration {
    let close = (usual.to / 32).max(QUICKEST * 2);
    let from = usual.from * 9 / 10;
    if since < from {
        // It may fail early, and what is not as usual may be quicker.
        return (since * 3 / 2).max(usual.to / 40).max(QUICKEST).min((from - since).max(QUICKEST));
    }
    close.max((since.saturating_sub(usual.to) / 2).min(OVERDUE))
}

/// The pause after a look at stacks of which some only go, for that long: nobody waits for that.
pub(super) fn going(since: Duration) -> Duration {
    (since * 2).clamp(Duration::from_millis(300), Duration::from_secs(60))
}

/// The pause after a look at a stack that has been stopped, or started again, for that long: users wait for the end.
pub(super) fn turning(since: Duration) -> Duration {
    (since / 8).clamp(QUICKEST * 4, Duration::from_secs(5))
}

/// The pause while nothing is under way, and nothing has been for that long. What others do is noticed then.
pub(super) fn idle(since: Duration) -> Duration {
    (since / 2).clamp(Duration::from_secs(15), Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often it is looked until something that takes this long is seen, with a look right after it was begun; and how
    /// late it is seen.
    fn looks(takes: Duration, pause: impl Fn(Duration) -> Duration) -> (usize, Duration) {
        let (mut at, mut looks) = (Duration::ZERO, 1);
        while at < takes {
            at += pause(at);
            looks += 1;
        }
        (looks, at - takes)
    }

    /// Returns what is usual after one that took so long was seen with that pace.
    fn after(takes: Duration, pause: impl Fn(Duration) -> Duration) -> Usual {
        let (mut from, mut to) = (Duration::ZERO, Duration::ZERO);
        while to < takes {
            (from, to) = (to, to + pause(to));
        }
        Usual { from, to }
    }

    #[test]
    fn the_first_of_its_kind_costs_calls_like_the_logarithm_of_its_time() {
        for (seconds, most, late) in [
            (0.4, 4, 0.2),
            (1.0, 7, 0.4),
            (10.0, 13, 7.5),
            (60.0, 15, 45.0),
            (300.0, 20, 50.0),
            (600.0, 28, 30.0),
            (1800.0, 68, 30.0),
        ] {
            let takes = Duration::from_secs_f64(seconds);
            let (looks, lateness) = looks(takes, |since| creating(since, None));
            assert!(looks <= most && lateness.as_secs_f64() <= late, "{seconds} s: {looks}, {lateness:?}");
        }
    }

    #[test]
    fn what_takes_as_long_as_the_last_time_is_seen_at_once_with_few_calls() {
        for seconds in [0.4, 1.0, 10.0, 60.0, 300.0, 1800.0] {
            let takes = Duration::from_secs_f64(seconds);
            let mut usual = after(takes, |since| creating(since, None));
            for round in 0..4 {
                let takes = takes.mul_f64([1.0, 0.97, 1.05, 1.0][round]);
                let (looks, lateness) = looks(takes, |since| creating(since, Some(usual)));
                assert!(looks <= if round == 0 { 20 } else { 13 }, "{seconds} s, round {round}: {looks}");
                assert!(lateness <= (takes / 25).max(QUICKEST * 2), "{seconds} s, round {round}: {lateness:?}");
                usual = after(takes, |since| creating(since, Some(usual)));
            }
        }
    }

    #[test]
    fn what_is_not_as_the_last_time_is_seen_in_proportion_and_never_late_once_it_is_overdue() {
        let usual = Usual { from: Duration::from_secs(295), to: Duration::from_secs(300) };
        for (seconds, most, late) in
            [(10, 5, 15), (60, 8, 90), (150, 9, 120), (450, 25, 15), (600, 35, 15), (1200, 75, 15), (3600, 235, 15)]
        {
            let takes = Duration::from_secs(seconds);
            let (looks, lateness) = looks(takes, |since| creating(since, Some(usual)));
            assert!(looks <= most && lateness.as_secs() <= late, "{seconds} s: {looks}, {lateness:?}");
        }
    }

    #[test]
    fn what_is_stopped_or_started_again_is_seen_soon_because_users_wait() {
        for (seconds, most) in [(1, 7), (30, 40), (300, 90)] {
            let takes = Duration::from_secs(seconds);
            let (looks, lateness) = looks(takes, turning);
            assert!(
                looks <= most && lateness <= Duration::from_millis(200).max(takes / 8),
                "{seconds} s: {looks}, {lateness:?}"
            );
        }
    }

    #[test]
    fn what_goes_and_what_rests_costs_little() {
        let (looks_at_it, _) = looks(Duration::from_secs(30), going);
        assert!(looks_at_it <= 7, "{looks_at_it}");
        let (of_an_hour, _) = looks(Duration::from_secs(3600), idle);
        assert!(of_an_hour <= 70, "{of_an_hour}");
    }
}
