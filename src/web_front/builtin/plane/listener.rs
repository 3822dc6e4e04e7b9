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

/// Connections beyond the limit that are told so; more are just closed.
const TOLD: usize = 64;
/// Out of descriptors, most often: what is open has to end first.
const PAUSE: Duration = Duration::from_millis(50);

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
            tracing::error!(error = ?accepted.err(), "a listening socket can not be waited for");
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
    loop {
        // Taken from this worker's runtime again, because another worker may be the one to serve it.
        match listener.accept().await.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            Ok((stream, peer)) => give(stream, peer, shared, workers),
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "can not accept connections, trying again");
                pause().await;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "there is no event for a free descriptor")]
async fn pause() {
    tokio::time::sleep(PAUSE).await;
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn give(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>, workers: &[Worker]) {
    let open = shared.connections.load(Ordering::SeqCst);
    let limit = shared.settings.connections;
    if open >= limit + TOLD {
        return;
    }
    let Some((handle, seat)) = Worker::least(workers, shared) else { return };
    let held = seat.hold();
    handle.spawn(async move {
        let _held = held;
        if let Err(error) = connection::serve(stream, peer, seat, open >= limit).await {
            tracing::debug!(%error, %peer, "a client connection ended");
        }
    });
}
