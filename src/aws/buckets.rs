//! How often an account is asked: a token bucket for each kind of call, shared by all environments of an account and region. What
//! changes something goes first: what only looks leaves a part of the tokens to it. Must not know what a call is for.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::Kind;
use crate::clock::{Stopwatch, after};

/// The buckets of one account in one region.
#[derive(Debug)]
pub(super) struct Buckets {
    began: Stopwatch,
    all: Mutex<[Bucket; Kind::ALL.len()]>,
}

/// Tokens that come back with time.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    limit: Limit,
    tokens: f64,
    /// When that many were left.
    at: Duration,
}

/// How many calls of a kind an account may make.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limit {
    /// Calls at once.
    pub(super) burst: f64,
    /// Calls per second in the long run.
    pub(super) rate: f64,
}

/// What may wait leaves that part of a burst to what cannot.
const RESERVE: f64 = 0.25;

impl Default for Buckets {
    fn default() -> Self {
        let full = |kind: Kind| Bucket { limit: kind.limit(), tokens: kind.limit().burst, at: Duration::ZERO };
        Self { began: Stopwatch::start(), all: Mutex::new(Kind::ALL.map(full)) }
    }
}

impl Buckets {
    /// Waits until such a call may be made, and counts it. `patient`: it leaves the reserve to others.
    pub(super) async fn take(&self, kind: Kind, patient: bool) {
        while let Err(wait) = self.with(kind, |bucket, now| bucket.take(now, patient)) {
            after(wait).await;
        }
    }

    /// The account said that there were too many: nothing is left for now.
    pub(super) fn throttled(&self, kind: Kind) {
        self.with(kind, |bucket, now| bucket.drain(now));
    }

    fn with<T>(&self, kind: Kind, act: impl FnOnce(&mut Bucket, Duration) -> T) -> T {
        let now = self.began.elapsed();
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut all[kind as usize], now)
    }
}

impl Bucket {
    /// Takes a token, or says after which time one may be there.
    fn take(&mut self, now: Duration, patient: bool) -> Result<(), Duration> {
        self.refill(now);
        let floor = if patient { self.limit.burst * RESERVE } else { 0.0 };
        let missing = floor + 1.0 - self.tokens;
        if missing <= 0.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64(missing / self.limit.rate).max(Duration::from_millis(1)))
    }

    fn drain(&mut self, now: Duration) {
        self.refill(now);
        self.tokens = self.tokens.min(0.0);
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.limit.rate).min(self.limit.burst);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many such calls get a token at that time.
    fn taken(bucket: &mut Bucket, now: Duration, patient: bool) -> u32 {
        (0..).take_while(|_| bucket.take(now, patient).is_ok()).count().try_into().expect("a few")
    }

    fn full(burst: f64, rate: f64) -> Bucket {
        Bucket { limit: Limit { burst, rate }, tokens: burst, at: Duration::ZERO }
    }

    #[test]
    fn what_may_wait_leaves_a_reserve_to_what_cannot() {
        let (mut bucket, now) = (full(40.0, 10.0), Duration::ZERO);
        assert_eq!(taken(&mut bucket, now, true), 30);
        assert_eq!(taken(&mut bucket, now, false), 10);
        assert_eq!(bucket.take(now, false), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(now, true), Err(Duration::from_millis(1100)), "the reserve fills first");
        let later = Duration::from_secs(2);
        assert_eq!(taken(&mut bucket, later, true), 10);
        assert_eq!(taken(&mut bucket, Duration::from_secs(3600), false), 40, "no more than a burst is saved up");
    }

    #[test]
    fn an_account_that_says_too_many_is_left_in_peace() {
        let mut bucket = full(40.0, 10.0);
        bucket.drain(Duration::from_secs(5));
        assert_eq!(bucket.take(Duration::from_secs(5), false), Err(Duration::from_millis(100)));
        assert_eq!(taken(&mut bucket, Duration::from_secs(6), false), 10);
    }

    #[test]
    fn every_kind_has_a_place_of_its_own() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place, "{kind:?}");
            assert!(kind.limit().rate > 0.0 && kind.limit().burst >= 1.0);
        }
    }
}
