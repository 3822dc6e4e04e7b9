//! The clock: the only reader of the time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::machine::Millis;

/// Tells the time.
#[derive(Clone, Debug, Default)]
pub struct Clock;

impl Clock {
    /// The machine's clock.
    pub fn real() -> Self {
        Self
    }

    /// The time.
    pub fn now(&self) -> Millis {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
        let now = SystemTime::now();
        Millis(u64::try_from(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX))
    }
}
