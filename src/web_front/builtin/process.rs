//! The front process: one per folder. Applies orders to the data plane one after the other, remembers them, and
//! hands over to its successor. Must not decide what is ordered.

mod faults;
mod follow;
mod orders;
mod start;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    future::Future,
    io,
    os::unix::net::UnixStream as StdUnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::{
    io::BufReader,
    net::{UnixListener, UnixStream},
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    time::{interval, timeout},
};

use self::faults::Faults;
use super::{
    control::{Answer, Handed, Kept, Order, is_ours, receive, send},
    handoff,
    plane::{Plane, detach},
    settings::Settings,
    store::{Memory, Store},
};
use crate::{
    clock::Clock,
    descriptors::{AcceptErrors, Reserve, is_shortage},
};

/// The settings, in the front's folder.
pub(super) const SETTINGS: &str = "settings.toml";
/// A front of another version is replaced.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Longest wait for the successor to begin.
const SUCCESSION: Duration = Duration::from_secs(10);
/// Longest wait for requests in flight when the front is told to end.
const FAREWELL: Duration = Duration::from_secs(30);
/// How often certificate and pages are looked at for changes.
const WATCH: Duration = Duration::from_secs(5);

/// Descriptors that are held for the control socket, for when all others are in use.
const RESERVE: usize = 16;

/// How many descriptors a front needs for other things than connections, generously: its files, runtimes and listening
/// sockets, the reserve, what orders need, and a front that takes over.
pub(super) fn fixed_files(threads: usize, addresses: usize) -> u64 {
    (RESERVE + 32 + 8 * (threads + 1) + 3 * addresses) as u64
}

/// An error that keeps a front from starting, or ends it.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// Something about its folder or its sockets.
    #[error("{what}: {error}")]
    Io {
        /// Action that failed.
        what: String,
        /// Cause, as the system reports it.
        error: io::Error,
    },
    /// The settings in the folder.
    #[error("{}: {}", path.display(), mistakes.join("; "))]
    Settings {
        /// Their file.
        path: PathBuf,
        /// All that is wrong.
        mistakes: Vec<String>,
    },
    /// A front serves this folder already.
    #[error("a front is running for {} already; stop it, or replace it with --take-over", .0.display())]
    Running(PathBuf),
    /// A worker thread is gone.
    #[error("{0}")]
    Died(String),
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> FrontError {
    let what = what.into();
    move |error| FrontError::Io { what, error }
}

/// A short digest of the settings' text.
pub(super) fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..16])
}

/// A running front.
struct Front {
    digest: String,
    settings: Settings,
    lock: File,
    control: UnixListener,
    store: Option<Store>,
    memory: Memory,
    /// What is in force is not on the disk yet, and nothing failed since.
    flush_due: bool,
    /// Orders whose answer waits for the disk.
    waiting: Vec<(Order, oneshot::Sender<Answer>)>,
    plane: Plane,
    /// Fronts that handed over to us and still serve the connections that they have.
    followers: Vec<Follower>,
    /// The connection by which the supervisor sees our end.
    supervisor: Option<BufReader<UnixStream>>,
    watched: Vec<Option<std::time::SystemTime>>,
    /// What lets orders in when clients have taken all descriptors.
    reserve: Reserve,
    /// Faults of a front that serves nevertheless.
    faults: Faults,
}

/// A front that handed over to us.
struct Follower {
    link: BufReader<UnixStream>,
    pid: u32,
}

/// What comes in over the control socket.
enum Message {
    Order(Order, oneshot::Sender<Answer>),
    HandOff(BufReader<UnixStream>),
    Keep(BufReader<UnixStream>),
}

/// How a front begins.
#[derive(Debug)]
pub struct Start {
    /// Whether it takes the place of the one that runs for this folder.
    pub take_over: bool,
    /// Listening sockets that outlived the front before come over this connection.
    pub kept: Option<StdUnixStream>,
    /// The time, by which certificates end.
    pub clock: Clock,
}

impl Default for Start {
    fn default() -> Self {
        Self { take_over: false, kept: None, clock: Clock::real() }
    }
}

/// Runs the front of this folder until `stop` is ready, it has handed over, or something that must live has died.
pub async fn run(folder: &Path, start: Start, stop: impl Future<Output = ()>) -> Result<(), FrontError> {
    serve(start::begin(folder, start).await?, stop).await
}

async fn serve(mut front: Front, stop: impl Future<Output = ()>) -> Result<(), FrontError> {
    let mut stop = std::pin::pin!(stop);
    let mut hang_up = signal(SignalKind::hangup()).map_err(io_error("SIGHUP cannot be heard"))?;
    let mut watch = interval(WATCH);
    let mut errors = AcceptErrors::at("the control socket of the front");
    let (tell, mut told) = mpsc::channel(64);
    loop {
        tokio::select! {
            stream = accept(&front.control, &mut front.reserve, &mut errors) => detach(listen(stream, tell.clone())),
            Some(message) = told.recv() => match message {
                Message::Order(order, answer) => front.take(order, answer).await,
                Message::Keep(supervisor) => front.be_kept_by(supervisor).await,
                Message::HandOff(successor) => if let Some(link) = front.hand_over(successor).await {
                    drop(told);
                    return follow::until_drained(front, link, stop).await;
                },
            },
            flushed = orders::flushed(&mut front.store), if front.flush_due => front.answer_waiting(flushed).await,
            why = front.plane.died() => return Err(FrontError::Died(why)),
            () = &mut stop => {
                // Whoever has just asked learns at once that this front answers no more.
                drop(told);
                return front.farewell().await;
            }
            // A failure is logged.
            _ = hang_up.recv() => drop(front.reload()),
            _ = watch.tick() => {
                front.reserve.refill();
                front.faults.count(front.plane.refused());
                front.reload_if_changed();
            }
        }
    }
}

/// The next control connection, whatever stands in the way: the front goes on serving, and takes orders again when it can.
async fn accept(control: &UnixListener, reserve: &mut Reserve, errors: &mut AcceptErrors) -> UnixStream {
    loop {
        match control.accept().await {
            Ok((stream, _)) => return stream,
            // Somebody else may be faster to take what is let go here, but not as often as there is a reserve.
            Err(error) if is_shortage(&error) && reserve.release() => {}
            Err(error) => errors.wait(&error).await,
        }
    }
}

/// Tells the supervisor that this front goes in good order.
async fn part(supervisor: &mut Option<BufReader<UnixStream>>) {
    if let Some(mut supervisor) = supervisor.take() {
        // One that has gone need not know.
        let _ = timeout(Duration::from_secs(1), send(&mut supervisor, &Answer::Done)).await;
    }
}

/// Reads orders from one control connection.
async fn listen(stream: UnixStream, tell: mpsc::Sender<Message>) {
    if !is_ours(&stream) {
        tracing::warn!("refused a control connection of a user who is neither ours nor root");
        return;
    }
    let mut stream = BufReader::new(stream);
    loop {
        let order = match receive::<Order>(&mut stream).await {
            Ok(Some(Order::Keep)) => {
                let _ = tell.send(Message::Keep(stream)).await;
                return;
            }
            Ok(Some(Order::HandOff)) => {
                // Not delivered when we hand over to somebody else right now: the asker sees the end of the line.
                let _ = tell.send(Message::HandOff(stream)).await;
                return;
            }
            Ok(Some(order)) => order,
            Ok(None) => return,
            Err(error) => {
                let answer = Answer::Refused { why: format!("invalid order: {error}") };
                let _ = send(&mut stream, &answer).await;
                return;
            }
        };
        let (answer, said) = oneshot::channel();
        let _ = tell.send(Message::Order(order, answer)).await;
        let gone = || Answer::Unavailable { why: "this front hands over to another; ask again".to_owned() };
        let answer = said.await.unwrap_or_else(|_| gone());
        if send(&mut stream, &answer).await.is_err() {
            return;
        }
    }
}

impl Front {
    /// Gives everything to the successor. `None`: it did not begin, and we go on.
    async fn hand_over(&mut self, mut successor: BufReader<UnixStream>) -> Option<BufReader<UnixStream>> {
        self.plane.pause().await;
        match timeout(SUCCESSION, self.pass_on(&mut successor)).await {
            Ok(Ok(())) => {
                self.store = None;
                // They are told to ask again: the successor.
                self.waiting.clear();
                self.plane.leave();
                part(&mut self.supervisor).await;
                tracing::info!("handed over");
                // If it cannot be told it is dead, which is noticed next.
                let _ = send(&mut successor, &Answer::Done).await;
                return Some(successor);
            }
            Ok(Err(error)) => tracing::warn!(%error, "the successor did not begin; going on"),
            Err(_) => tracing::warn!("the successor did not begin in time; going on"),
        }
        if let Err(error) = self.plane.accept() {
            tracing::error!(%error, "cannot accept again");
        }
        None
    }

    async fn pass_on(&self, successor: &mut BufReader<UnixStream>) -> io::Result<()> {
        use std::os::fd::AsFd;
        let handed = Handed {
            listen: self.plane.listeners().iter().map(|(address, _)| *address).collect(),
            memory: self.memory.clone(),
            pid: std::process::id(),
        };
        let mut sockets = vec![self.lock.as_fd(), self.control.as_fd()];
        sockets.extend(self.plane.listeners().iter().map(|(_, listener)| listener.as_fd()));
        handoff::give(successor, &Answer::HandOff(handed), &sockets).await?;
        match receive::<Order>(successor).await? {
            Some(Order::TakenOver) => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Gives the supervisor a second handle to the sockets that users connect to. There is never more than one of them.
    async fn be_kept_by(&mut self, mut supervisor: BufReader<UnixStream>) {
        use std::os::fd::AsFd;
        let (listen, sockets): (Vec<_>, Vec<_>) =
            self.plane.listeners().iter().map(|(address, listener)| (*address, listener.as_fd())).unzip();
        let kept = Answer::Kept(Kept { listen, pid: std::process::id() });
        match timeout(SUCCESSION, handoff::give(&mut supervisor, &kept, &sockets)).await {
            Ok(Ok(())) => self.supervisor = Some(supervisor),
            Ok(Err(error)) => tracing::warn!(%error, "the supervisor could not be given the listening sockets"),
            Err(_) => tracing::warn!("the supervisor does not take the listening sockets"),
        }
    }

    /// Ends: what is open may finish. Another front may begin meanwhile.
    async fn farewell(mut self) -> Result<(), FrontError> {
        tracing::info!(open = self.plane.connections(), "ending");
        self.plane.close();
        self.followers.clear();
        drop(self.control);
        drop(self.lock);
        part(&mut self.supervisor).await;
        let empty = async {
            let mut look = interval(Duration::from_millis(20));
            while self.plane.connections() > 0 {
                look.tick().await;
            }
        };
        if timeout(FAREWELL, empty).await.is_err() {
            tracing::warn!(open = self.plane.connections(), "ending with connections open");
        }
        Ok(())
    }

    fn reload(&mut self) -> io::Result<()> {
        let reloaded = self.plane.reload();
        match &reloaded {
            Ok(()) => tracing::info!("certificate, pages and the key of the preview read again"),
            Err(error) => tracing::error!(%error, "nothing reloaded; serving with what was there"),
        }
        self.faults.reloaded(&reloaded);
        self.watched = self.modified();
        reloaded
    }

    fn reload_if_changed(&mut self) {
        if self.modified() != self.watched {
            // A failure is logged.
            let _ = self.reload();
        }
    }

    fn modified(&self) -> Vec<Option<std::time::SystemTime>> {
        let tls = self.settings.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]);
        let key = self.plane.key_file();
        let files = tls.chain(&self.settings.maintenance.page).chain(&self.settings.no_route_page).chain([&key]);
        files.map(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok()).collect()
    }
}
