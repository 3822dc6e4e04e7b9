//! A worker: one thread, one runtime. Here is the only place of the plane where tasks and threads are started.
//! Must not know what they do.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle},
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};

use super::Shared;

/// A task that ends by itself, with the connection that it serves.
#[expect(clippy::disallowed_methods, reason = "the data plane's one place to spawn; nothing waits for these tasks")]
pub(in crate::web_front::builtin) fn detach(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

/// Dropped: its thread ends, and with it what it serves.
pub(super) struct Worker {
    pub(super) handle: Handle,
    load: Arc<AtomicUsize>,
    _stop: oneshot::Sender<()>,
}

impl Worker {
    /// Starts the thread. Should it end unasked, `report` hears of it.
    pub(super) fn start(index: usize, shared: &Arc<Shared>, report: mpsc::UnboundedSender<String>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let clock = (index == 0).then(|| shared.clone());
        std::thread::Builder::new().name(format!("front-{index}")).spawn(move || {
            let work = std::panic::AssertUnwindSafe(|| {
                runtime.block_on(async {
                    tokio::select! {
                        _ = stopped => true,
                        () = keep_time(clock) => false,
                    }
                })
            });
            let asked = std::panic::catch_unwind(work).unwrap_or(false);
            if !asked {
                // Nobody listens any more when the whole plane goes.
                let _ = report.send(format!("worker {index} died"));
            }
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, load: Arc::new(AtomicUsize::new(0)), _stop: stop })
    }

    /// The place with the fewest connections.
    pub(super) fn least(workers: &[Worker], shared: &Arc<Shared>) -> Option<(Handle, Slot)> {
        let (index, worker) = workers.iter().enumerate().min_by_key(|(_, w)| w.load.load(Ordering::Relaxed))?;
        let slot = Slot { worker: index, shared: shared.clone(), load: worker.load.clone() };
        Some((worker.handle.clone(), slot))
    }
}

/// The first worker moves the coarse clock on.
async fn keep_time(shared: Option<Arc<Shared>>) {
    let Some(shared) = shared else { return std::future::pending().await };
    let mut pace = interval(Duration::from_millis(100));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        pace.tick().await;
        shared.tick.fetch_add(1, Ordering::Relaxed);
    }
}

/// Where a connection is served.
#[derive(Clone)]
pub(super) struct Slot {
    pub(super) worker: usize,
    pub(super) shared: Arc<Shared>,
    load: Arc<AtomicUsize>,
}

impl Slot {
    pub(super) fn now(&self) -> u32 {
        self.shared.now()
    }

    /// A number that differs from that of others, to spread what would happen at once.
    pub(super) fn jitter(&self) -> u64 {
        let turn = self.shared.turn.fetch_add(1, Ordering::Relaxed) as u64;
        turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40
    }

    /// Counts a connection until what is returned is dropped.
    pub(super) fn hold(&self) -> Held {
        self.load.fetch_add(1, Ordering::Relaxed);
        self.shared.connections.fetch_add(1, Ordering::SeqCst);
        Held(self.clone())
    }
}

/// A connection that counts.
pub(super) struct Held(Slot);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::Relaxed);
        self.0.shared.connections.fetch_sub(1, Ordering::SeqCst);
    }
}
