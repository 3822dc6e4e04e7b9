//! The server: limits on time and number, so that slow or many clients stop nobody else. When it is full, whoever has
//! sent no whole request for longest makes room, and then whoever only follows what happens.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use axum::{Extension, Router, middleware::AddExtension};
use hyper::server::conn::{http1, http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;
use tower::Layer;

use super::{
    authentication::Peer,
    guard::Activity,
    identity::Local,
    tls::{Tls, is_encrypted},
    transport::Encrypted,
};
use crate::descriptors::{AcceptErrors, is_shortage};

/// How long a client may take to send the head of a request.
pub(super) const HEAD: Duration = Duration::from_secs(5);
/// How long open requests may take once a stop was asked for.
const LAST: Duration = Duration::from_secs(3);
/// How long it takes at most to see that a slot has become free.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a client of HTTP/2 may take until its first request: browsers connect ahead of what they are told to open.
const FIRST: Duration = Duration::from_secs(30);
/// How often a connection that can have several requests is asked whether it is still there.
const ALIVE: Duration = Duration::from_secs(20);
/// The most requests that one connection may have open at once, where it can have several (HTTP/2).
const STREAMS: u32 = 100;

/// Serves until `stop` says true, then lets open requests finish. `tls`: also encrypted, at the same port.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections: usize,
    tls: Option<Arc<Tls>>,
    mut stop: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let (mut slots, mut tasks) = (Slots::new(connections), JoinSet::new());
    let mut errors = AcceptErrors::at("the API");
    'serving: loop {
        while tasks.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                if slots.are_taken() {
                    // Whoever has sent its request meanwhile is not to be taken for one that sends nothing.
                    tokio::task::yield_now().await;
                }
                while !slots.make_room() {
                    // Everybody is being answered: this one waits until one of them is done.
                    let done = tokio::time::timeout(PAUSE, tasks.join_next());
                    tokio::select! {
                        _ = done => {}
                        _ = stop.wait_for(|stop| *stop) => break 'serving,
                    }
                }
                let activity = Arc::new(Activity::new(&slots.count));
                let _ = stream.set_nodelay(true); // Slower without, not wrong.
                let client = Client {
                    peer: Peer(peer.ip()),
                    // Only a connection that is gone already has no address.
                    local: stream.local_addr().ok().map(Local),
                    activity: activity.clone(),
                    router: router.clone(),
                    watcher: graceful.watcher(),
                };
                let task = tasks.spawn(client.served(stream, tls.clone()));
                slots.taken.push(Slot { activity, task });
            }
            Err(error) => {
                if is_shortage(&error) {
                    slots.send_away();
                }
                tokio::select! {
                    () = errors.wait(&error) => {}
                    _ = stop.wait_for(|stop| *stop) => break,
                }
            }
        }
    }
    let _ = tokio::time::timeout(LAST, graceful.shutdown()).await;
}

type Known = AddExtension<AddExtension<Router, Arc<Activity>>, Peer>;
type Service = TowerToHyperService<AddExtension<AddExtension<Known, Option<Local>>, Option<Encrypted>>>;

/// Who is at the other end, and what serves them.
struct Client {
    peer: Peer,
    local: Option<Local>,
    activity: Arc<Activity>,
    router: Router,
    watcher: Watcher,
}

impl Client {
    /// Serves a connection to its end. What a client does to its own connection concerns nobody else.
    async fn served(self, stream: TcpStream, tls: Option<Arc<Tls>>) {
        let Some(tls) = tls else { return self.http1(stream, None).await };
        match tokio::time::timeout(HEAD, is_encrypted(&stream)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return self.http1(stream, None).await,
            // It said nothing in time, or has gone.
            Ok(Err(_)) | Err(_) => return,
        }
        let Ok(Ok(stream)) = tokio::time::timeout(HEAD, TlsAcceptor::from(tls.config()).accept(stream)).await else {
            return;
        };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.http2(stream).await;
        } else {
            self.http1(stream, Some(Encrypted)).await;
        }
    }

    async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, encrypted: Option<Encrypted>) {
        let service = self.service(encrypted);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(64 << 10)
            .serve_connection(TokioIo::new(stream), service);
        let _ = self.watcher.watch(connection).await;
    }

    async fn http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = self.service(Some(Encrypted));
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(64 << 10)
            .keep_alive_interval(ALIVE)
            .serve_connection(TokioIo::new(stream), service);
        let activity = self.activity;
        let silent = async {
            if tokio::time::timeout(FIRST, activity.asked()).await.is_ok() {
                std::future::pending::<()>().await;
            }
        };
        // Whoever says nothing at all once it is encrypted is waited for no longer than others.
        tokio::select! { _ = self.watcher.watch(connection) => {} () = silent => {} }
    }

    fn service(&self, encrypted: Option<Encrypted>) -> Service {
        let service = Extension(self.peer).layer(Extension(self.activity.clone()).layer(self.router.clone()));
        TowerToHyperService::new(Extension(encrypted).layer(Extension(self.local).layer(service)))
    }
}

/// The connections there are.
struct Slots {
    most: usize,
    taken: Vec<Slot>,
    count: Arc<AtomicU64>,
}

struct Slot {
    activity: Arc<Activity>,
    task: AbortHandle,
}

impl Slots {
    fn new(most: usize) -> Self {
        Self { most: most.max(1), taken: Vec::new(), count: Arc::default() }
    }

    fn are_taken(&mut self) -> bool {
        if self.taken.len() >= self.most {
            self.taken.retain(|slot| !slot.task.is_finished());
        }
        self.taken.len() >= self.most
    }

    /// Whether one more can be taken in.
    fn make_room(&mut self) -> bool {
        !self.are_taken() || self.send_away()
    }

    /// Ends the connection that has sent no whole request for longest; where all have, the oldest of a follower. Those who
    /// follow are never to have more than half of the slots when others want one.
    fn send_away(&mut self) -> bool {
        let turns = || self.taken.iter().enumerate().filter_map(|(i, slot)| Some((slot.activity.turn()?, i)));
        let followers = || turns().filter(|((following, _), _)| *following);
        let crowded = followers().count() * 2 > self.most;
        let Some((_, first)) = (if crowded { followers().min() } else { turns().min() }) else { return false };
        self.taken.swap_remove(first).task.abort();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_over_http2_is_not_waited_for() {
        let (graceful, (ours, theirs)) = (GracefulShutdown::new(), tokio::io::duplex(1024));
        let client = Client {
            peer: Peer(std::net::Ipv4Addr::LOCALHOST.into()),
            local: None,
            activity: Arc::new(Activity::new(&Arc::default())),
            router: Router::new(),
            watcher: graceful.watcher(),
        };
        tokio::time::timeout(2 * FIRST, client.http2(ours)).await.expect("it is waited for");
        drop(theirs);
    }
}
