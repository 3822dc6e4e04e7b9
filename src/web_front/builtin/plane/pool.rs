//! Idle connections to one endpoint, for one worker. Must not wait, and must not choose endpoints.

use std::sync::{Mutex, PoisonError};

use hyper::client::conn::http1::SendRequest;

use super::body::RequestBody;

/// A connection to a stack.
pub(super) type Upstream = SendRequest<RequestBody>;

/// More idle connections than this are not kept.
const KEPT: usize = 512;
/// Unused for this long, in ticks: closed. Most servers give up on them later than that.
const STALE: u32 = 300;

/// The last used comes first, so that what a burst needed gets old and goes.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Idle>>);

struct Idle {
    upstream: Upstream,
    since: u32,
}

impl Pool {
    /// A connection that was used within the last `age` ticks and is not known to be dead.
    pub(super) fn take(&self, now: u32, age: u32) -> Option<Upstream> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(last) = idle.pop() {
            if last.since.saturating_add(age) < now {
                idle.push(last);
                return None;
            }
            if last.upstream.is_ready() {
                return Some(last.upstream);
            }
        }
        None
    }

    /// Gives back a connection whose response is complete.
    pub(super) fn put(&self, upstream: Upstream, now: u32) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.first().is_some_and(|oldest| oldest.since + STALE < now) {
            idle.retain(|idle| idle.since + STALE >= now);
        }
        if idle.len() < KEPT {
            idle.push(Idle { upstream, since: now });
        }
    }
}
