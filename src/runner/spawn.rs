//! The only place that spawns tasks of the controller, so that none can die unnoticed: a task that must live is begun
//! again when it ends, and one that keeps dying takes nothing else with it.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use tokio::task::JoinSet;

use crate::clock::Clock;

/// How long a task that died is left alone before it is begun again.
const PAUSE: Duration = Duration::from_secs(5);

/// Does what may block where it holds nobody up; none when it panicked or the process ends.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// Tasks that must live.
pub(super) struct Tasks {
    set: JoinSet<()>,
    clock: Clock,
}

impl Tasks {
    /// Returns a set without tasks.
    pub(super) fn new(clock: Clock) -> Self {
        Self { set: JoinSet::new(), clock }
    }

    /// Runs what `begin` makes until it returns `true`; when it returns `false` or panics it is begun again after a
    /// pause. State lives in the journal, so a new beginning loses nothing.
    pub(super) fn keep_alive<F>(&mut self, name: String, mut begin: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let clock = self.clock.clone();
        self.set.spawn(async move {
            loop {
                match AssertUnwindSafe(begin()).catch_unwind().await {
                    Ok(true) => return,
                    Ok(false) => tracing::error!(task = name, "a task that must live has ended; it is begun again"),
                    Err(_) => tracing::error!(task = name, "a task that must live has panicked; it is begun again"),
                }
                clock.wait(PAUSE).await;
            }
        });
    }

    /// Waits until all have returned.
    pub(super) async fn all(mut self) {
        while self.set.join_next().await.is_some() {}
    }
}
