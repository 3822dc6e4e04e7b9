//! The server: limits on time and number, so that slow or many clients stop nobody else.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// How long a client may take to send the head of a request, and a body to arrive with its answer's other half.
const HEAD: Duration = Duration::from_secs(5);
/// How long open requests may take once a stop was asked for.
const LAST: Duration = Duration::from_secs(3);

/// Serves until `stop` says true, then lets open requests finish.
pub async fn serve(listener: TcpListener, router: Router, connections: usize, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(connections));
    let graceful = GracefulShutdown::new();
    let mut tasks = JoinSet::new();
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let (stream, place) = tokio::select! {
            (accepted, place) = accepted => match (accepted, place) {
                (Ok((stream, _)), Ok(place)) => (stream, place),
                // Out of descriptors, or the client was gone again: the next one may be luckier.
                (Err(_), _) => { tokio::task::yield_now().await; continue }
                (_, Err(_)) => break,
            },
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let _ = stream.set_nodelay(true);
        while tasks.try_join_next().is_some() {}
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(64 << 10)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tasks.spawn(async move {
            // What a client does to its own connection concerns nobody else.
            let _ = connection.await;
            drop(place);
        });
    }
    let _ = tokio::time::timeout(LAST, graceful.shutdown()).await;
}
