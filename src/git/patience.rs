//! The limits of one fetch, while it runs. Must not wait itself.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    time::Duration,
};

use super::{Error, Limits};
use crate::{clock::Stopwatch, text::excerpt};

/// How [`Patience::says`] begins.
pub(super) const SAYS: &str = "it says ";

/// What is left of the time and of the bytes, and a place where to wait for the network no longer than that.
pub(super) struct Patience {
    pub place: String,
    pub limits: Limits,
    whole: Duration,
    begun: Stopwatch,
    received: Cell<u64>,
    /// Never shut down by waiting: a name that does not resolve would hold it.
    runtime: RefCell<Option<tokio::runtime::Runtime>>,
}

impl Patience {
    /// Begins now. To be used on a thread of its own only.
    pub fn new(place: String, limits: Limits, first: bool) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = RefCell::new(Some(runtime.map_err(|_| Error::Interrupted)?));
        let whole = if first { limits.first } else { limits.whole };
        Ok(Self { place, limits, whole, begun: Stopwatch::start(), received: Cell::new(0), runtime })
    }

    /// How long the next step may take.
    pub fn left(&self) -> Result<Duration, Error> {
        let left = self.whole.saturating_sub(self.begun.elapsed());
        if left.is_zero() { Err(self.over()) } else { Ok(left.min(self.limits.stall)) }
    }

    fn over(&self) -> Error {
        let (place, over) = (self.place.clone(), self.begun.elapsed() >= self.whole);
        let (what, limit) = if over { ("did not send all", self.whole) } else { ("sent nothing", self.limits.stall) };
        Error::TimedOut { place, what, limit }
    }

    /// Waits for one step.
    pub fn wait<F: Future>(&self, step: F) -> Result<F::Output, Error> {
        let left = self.left()?;
        let runtime = self.runtime.borrow();
        let runtime = runtime.as_ref().ok_or(Error::Interrupted)?;
        runtime.block_on(async { tokio::time::timeout(left, step).await }).map_err(|_| self.over())
    }

    /// Waits a moment for something that is as good as done, even when the time is over.
    pub fn finish<F: Future>(&self, step: F) {
        if let Some(runtime) = self.runtime.borrow().as_ref() {
            let _ = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(1), step).await });
        }
    }

    /// That many bytes more have come.
    pub fn count(&self, bytes: usize) -> Result<(), Error> {
        self.received.set(self.received.get().saturating_add(bytes as u64));
        if self.received.get() > self.limits.bytes {
            return Err(Error::TooLarge { place: self.place.clone(), limit: self.limits.bytes });
        }
        Ok(())
    }

    pub fn broken(&self, why: impl Into<String>) -> Error {
        Error::Broken { place: self.place.clone(), why: why.into() }
    }

    /// The other side says that it will not do it.
    pub fn says(&self, words: &str) -> Error {
        self.broken(format!("{SAYS}{}", excerpt(words.trim())))
    }

    pub fn unreachable(&self, why: &str) -> Error {
        Error::Unreachable { place: self.place.clone(), why: excerpt(why) }
    }

    pub fn refused(&self, why: impl Into<String>) -> Error {
        Error::Refused { place: self.place.clone(), why: why.into() }
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
