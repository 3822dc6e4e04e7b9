//! The only reader of the clock. Everything else is told the time, so that tests can let hours pass at once.
//!
//! Within a run time never goes back and never jumps: the wall clock is read once, and from then on a monotonic clock
//! carries it. Across a restart it does not go back behind the last record of the state file.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::Notify;

use crate::machine::Millis;

/// Tells the time; clones share it.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    wall: Millis,
    began: Instant,
    /// What tests have let pass, in milliseconds.
    ahead: AtomicU64,
    /// Only what tests let pass passes.
    #[cfg(test)]
    still: bool,
    moved: Notify,
}

impl Clock {
    /// The host's clock.
    pub fn real() -> Self {
        Self::not_before(Millis(0))
    }

    /// The host's clock, or `floor` where that has gone back behind it since the last run.
    #[expect(clippy::disallowed_methods, reason = "this is the reader of the clock")]
    pub fn not_before(floor: Millis) -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall = Millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX));
        if wall < floor {
            tracing::warn!(
                behind_ms = floor.since(wall).0,
                "the host's clock has gone back behind the last record; time goes on from that record"
            );
        }
        let ahead = AtomicU64::new(0);
        Self(Arc::new(Inner {
            wall: wall.max(floor),
            began: Instant::now(),
            ahead,
            #[cfg(test)]
            still: false,
            moved: Notify::new(),
        }))
    }

    /// A clock that stands at the host's time, for tests of what depends on how fast requests come: however slow the host is.
    #[cfg(test)]
    #[expect(clippy::disallowed_methods, reason = "this is the reader of the clock")]
    pub fn still() -> Self {
        let (wall, ahead) = (Self::real().now(), AtomicU64::new(0));
        Self(Arc::new(Inner { wall, began: Instant::now(), ahead, still: true, moved: Notify::new() }))
    }

    /// Milliseconds since the Unix epoch.
    pub fn now(&self) -> Millis {
        #[cfg(test)]
        if self.0.still {
            return self.0.wall.plus(Millis(self.0.ahead.load(Ordering::Relaxed)));
        }
        let passed = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.wall.plus(Millis(passed)).plus(Millis(self.0.ahead.load(Ordering::Relaxed)))
    }

    /// What the host's clock shows at this moment, whatever it showed before: to hold other hosts' times against.
    #[expect(clippy::disallowed_methods, reason = "this is the reader of the clock")]
    pub fn host(&self) -> Millis {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)).plus(Millis(self.0.ahead.load(Ordering::Relaxed)))
    }

    /// Lets time pass at once, for tests: deadlines that lie within are over, and whoever waits looks again.
    pub fn let_pass(&self, length: Duration) {
        let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        self.0.ahead.fetch_add(length, Ordering::Relaxed);
        self.0.moved.notify_waiters();
    }

    /// Waits that long, or until time was let pass.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that waits for time")]
    pub async fn wait(&self, length: Duration) {
        tokio::select! {
            () = tokio::time::sleep(length) => {}
            () = self.0.moved.notified() => {}
        }
    }
}

/// Done after this time. For programs of their own, which no test lets time pass for; the controller has a [`Clock`].
#[expect(clippy::disallowed_methods, reason = "this is the one place that waits for time")]
pub async fn after(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Measures a length of time that is shown or counted, but never recorded as a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    #[expect(clippy::disallowed_methods, reason = "this is the reader of the clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long it had been running when another one began.
    pub fn until(self, later: Self) -> Duration {
        later.0.saturating_duration_since(self.0)
    }

    /// How long ago it began.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_went_back_waits_for_the_last_record() {
        let day = Millis(86_400_000);
        let tomorrow = Clock::real().now().plus(day);
        let clock = Clock::not_before(tomorrow);
        assert!(clock.now() >= tomorrow);
        assert!(clock.now() < tomorrow.plus(Millis(60_000)));
    }

    #[test]
    fn the_hosts_own_time_is_not_held_back() {
        let clock = Clock::not_before(Clock::real().now().plus(Millis(86_400_000)));
        assert!(clock.host().plus(Millis(3_600_000)) < clock.now());
    }

    #[test]
    fn a_clock_that_stands_shows_only_what_was_let_pass() {
        let (still, other) = (Clock::still(), Clock::real());
        let before = still.now();
        while other.now() <= before.plus(Millis(2)) {
            std::hint::spin_loop();
        }
        assert_eq!(still.now(), before);
        still.let_pass(Duration::from_secs(10));
        assert_eq!(still.now().since(before), Millis(10_000));
    }

    #[test]
    fn hours_can_pass_at_once() {
        let clock = Clock::real();
        let before = clock.now();
        clock.let_pass(Duration::from_secs(7200));
        assert!(clock.now().since(before) >= Millis(7_200_000));
    }
}
