//! Idle connections to one endpoint, for one worker. Must not wait, and must not choose endpoints.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::client::conn::http1::SendRequest;

use super::{line::Facts, upload::RequestBody};

/// A connection to a stack.
pub(super) struct Upstream {
    pub(super) sender: SendRequest<RequestBody>,
    pub(super) facts: Arc<Facts>,
}

/// Unused for this long, in ticks: closed. Most servers give up on them later than that.
const STALE: u32 = 300;

/// The last used comes first, so that what a burst needed gets old and goes.
pub(super) struct Pool {
    idle: Mutex<Vec<Idle>>,
    /// More are not kept.
    most: usize,
}

struct Idle {
    upstream: Upstream,
    since: u32,
}

impl Pool {
    /// An empty pool that keeps so many.
    pub(super) fn new(most: usize) -> Self {
        Self { idle: Mutex::default(), most }
    }

    /// A connection that is not known to be dead.
    pub(super) fn take(&self, now: u32) -> Option<Upstream> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(last) = idle.pop() {
            if last.since.saturating_add(STALE) < now {
                idle.clear();
            } else if last.upstream.sender.is_ready() {
                return Some(last.upstream);
            }
        }
        None
    }

    /// Closes all: their descriptors are wanted elsewhere.
    pub(super) fn clear(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Gives back a connection whose response is complete.
    pub(super) fn put(&self, upstream: Upstream, now: u32) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.first().is_some_and(|oldest| oldest.since + STALE < now) {
            idle.retain(|idle| idle.since + STALE >= now);
        }
        if idle.len() < self.most {
            idle.push(Idle { upstream, since: now });
        }
    }
}
