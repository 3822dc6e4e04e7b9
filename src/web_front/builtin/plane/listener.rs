//! Accepts connections and gives each to the worker that has the fewest. Must not read from them.

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::task::JoinHandle;

use super::{Shared, connection, worker::Worker};
use crate::{
    clock::after,
    descriptors::{AcceptErrors, is_shortage},
};

/// Connections beyond the limit that are told so at most; more wait in the kernel until one of those has gone.
const TOLD: usize = 64;
/// How often it is looked whether one has gone.
const LOOK: Duration = Duration::from_millis(20);

/// Accepts on one socket until it is dropped or stopped.
pub(super) struct Acceptor(JoinHandle<()>);

impl Acceptor {
    /// Starts on the first worker.
    pub(super) fn start(listener: TcpListener, shared: &Arc<Shared>, workers: &Arc<[Worker]>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let first = workers.first().ok_or(io::ErrorKind::NotFound)?.handle.clone();
        let (shared, workers) = (shared.clone(), workers.clone());
        Ok(Self(first.spawn(async move {
            let accepted = accept(listener, &shared, &workers).await;
            tracing::error!(error = ?accepted.err(), "a listening socket cannot be waited for");
        })))
    }

    /// Stops, and returns when no more connection can be accepted. One that was accepted is served.
    pub(super) async fn stop(mut self) {
        self.0.abort();
        let _ = (&mut self.0).await;
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The only points where this can be stopped are those where no connection is in our hands.
async fn accept(listener: TcpListener, shared: &Arc<Shared>, workers: &[Worker]) -> io::Result<Infallible> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut errors = AcceptErrors::at("a listening socket of the front");
    let limit = shared.settings.connections;
    let told = told(limit);
    loop {
        while shared.connections.load(Ordering::SeqCst) >= limit + told && !shared.make_room() {
            after(LOOK).await;
        }
        // Taken from this worker's runtime again, because another worker may be the one to serve it.
        match listener.accept().await.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            Ok((stream, peer)) => give(stream, peer, shared, workers),
            Err(error) => {
                // Idle connections hold descriptors too.
                if is_shortage(&error) {
                    shared.make_room();
                }
                errors.wait(&error).await;
            }
        }
    }
}

/// How many connections beyond the limit are told that there are too many.
pub(in crate::web_front::builtin) fn told(limit: usize) -> usize {
    (limit / 8).clamp(1, TOLD)
}

fn give(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>, workers: &[Worker]) {
    let full = shared.connections.load(Ordering::SeqCst) >= shared.settings.connections;
    let crowded = full && !shared.make_room();
    let Some((handle, slot)) = Worker::least(workers, shared) else { return };
    let held = slot.hold();
    handle.spawn(async move {
        let _held = held;
        if let Err(error) = connection::serve(stream, peer, slot, crowded).await {
            tracing::debug!(%error, %peer, "a client connection ended");
        }
    });
}
