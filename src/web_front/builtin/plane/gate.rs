//! How many connections a stack may have at once, and the short queue before it. Must not make connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::Shared;

/// The gate of one stack.
pub(super) struct Gate {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
}

impl Gate {
    /// Makes a gate for so many connections at once, and so many requests that wait for one.
    pub(super) fn new(connections: usize, queue: usize) -> Self {
        let free = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
        Self { free, waiting: AtomicUsize::new(0), queue }
    }

    /// Waits for room, no longer than this. `None`: the queue is full, or it took too long.
    pub(super) async fn enter(&self, shared: &Shared, limit: Duration) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = self.free.clone().try_acquire_owned() {
            return Some(permit);
        }
        shared.press();
        let _waiting = self.queue_up()?;
        timeout(limit, self.free.clone().acquire_owned()).await.ok()?.ok()
    }

    /// The same for one that does not count in the queue.
    pub(super) async fn enter_beyond_the_queue(
        &self,
        shared: &Shared,
        limit: Duration,
    ) -> Option<OwnedSemaphorePermit> {
        if self.free.available_permits() == 0 {
            shared.press();
        }
        timeout(limit, self.free.clone().acquire_owned()).await.ok()?.ok()
    }

    fn queue_up(&self) -> Option<Waiting<'_>> {
        let waiting = Waiting(&self.waiting);
        (self.waiting.fetch_add(1, Relaxed) < self.queue).then_some(waiting)
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
