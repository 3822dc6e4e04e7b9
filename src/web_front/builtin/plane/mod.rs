//! The data plane: accepts users' connections and forwards their requests to the stack that the routing table names.
//! It must not know control sockets, files of routes or generations: [`Plane::set`] gives it a table, and from then
//! on every request that is read is answered by that table.
//!
//! Every worker is a thread with a runtime and client pools of its own; the table is all that they share.

mod activity;
mod body;
mod bucket;
mod certificate;
mod connection;
mod counts;
mod gate;
mod headers;
mod hold;
mod host;
mod line;
mod listener;
mod pages;
mod pool;
mod preview;
mod proxy;
mod room;
mod send;
mod streams;
mod table;
mod target;
mod tls;
mod upgrade;
mod upload;
mod wire;
mod worker;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use hyper::header::HeaderValue;
use subtle::ConstantTimeEq;
use tokio::sync::{mpsc, watch};

pub(super) use certificate::is_host;
pub(super) use headers::{PROBE_NAME, STACK_NAME};
pub(super) use listener::told;
pub(super) use pages::FRONT_NAME;
use pages::Pages;
use table::Table;
pub(super) use table::{label, parse_label};
pub(super) use worker::detach;

use self::{listener::Acceptor, preview::Door, table::Stacks, worker::Worker};
use super::settings::Settings;
use crate::{
    descriptors::Budget,
    machine::{Millis, StackName},
    web_front::{Counted, FrontTrouble, Route, Target},
};

/// How far the plane is from serving to closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Stage {
    /// It serves.
    Serving,
    /// Another process accepts: answer what comes and ask clients to go.
    Leaving,
    /// Finish what is open, close the rest.
    Closing,
}

/// State that all workers share.
struct Shared {
    settings: Settings,
    table: ArcSwap<Table>,
    pages: ArcSwap<Pages>,
    /// The way to the candidate.
    door: ArcSwap<Door>,
    tls: ArcSwapOption<tls::Loaded>,
    /// Tenths of a second since the start: good enough for timeouts, and reading it costs nothing.
    tick: AtomicU32,
    /// When a request last waited for a connection to a stack, in ticks.
    pressed: AtomicU32,
    /// Draws the bucket of a user who has none.
    draw: bucket::Draw,
    /// Counted on by whoever must not do the same as others.
    turn: AtomicUsize,
    /// The secret of probes: a request with it is told which stack answers.
    probe: HeaderValue,
    connections: AtomicUsize,
    /// Requests that were answered 503 because there are as many connections as there may be.
    crowded: AtomicU64,
    /// The same because the stack has as many as it may have.
    busy: AtomicU64,
    room: room::Room,
    /// Requests that wait for a route.
    waiting: Arc<hold::Waiting>,
    /// What descriptors there are for connections to stacks.
    stack_connections: Arc<Budget>,
    stage: watch::Sender<Stage>,
}

impl Shared {
    fn now(&self) -> u32 {
        self.tick.load(Ordering::Relaxed)
    }

    /// Whether there is room for one more connection, because one that waits for a request was told to go.
    fn make_room(&self) -> bool {
        self.room.make(self.now())
    }

    /// Returns true for the secret of those who probe.
    fn may_know(&self, secret: &HeaderValue) -> bool {
        secret.as_bytes().ct_eq(self.probe.as_bytes()).into()
    }

    /// A request has to wait for a connection to a stack.
    fn press(&self) {
        self.pressed.store(self.now(), Ordering::Relaxed);
    }

    /// Returns true when a request had to wait within the last three seconds.
    fn is_pressed(&self) -> bool {
        let pressed = self.pressed.load(Ordering::Relaxed);
        pressed != 0 && self.now().saturating_sub(pressed) < 30
    }
}

fn load_tls(settings: &Settings) -> io::Result<Option<Arc<tls::Loaded>>> {
    let hosts: Vec<String> = settings.preview.host.iter().cloned().collect();
    settings.tls.as_ref().map(|files| tls::load(files, &hosts)).transpose()
}

/// Running workers, and the sockets that they serve.
pub(super) struct Plane {
    shared: Arc<Shared>,
    /// The front's folder, with its secrets.
    folder: PathBuf,
    stacks: Stacks,
    counts: counts::Counts,
    workers: Arc<[Worker]>,
    listeners: Vec<(SocketAddr, TcpListener)>,
    acceptors: Vec<Acceptor>,
    died: mpsc::UnboundedReceiver<String>,
}

impl Plane {
    /// Starts the workers; nothing is accepted before [`Plane::accept`].
    pub(super) fn start(
        settings: &Settings,
        folder: &Path,
        probe: HeaderValue,
        listeners: Vec<(SocketAddr, TcpListener)>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            settings: settings.clone(),
            table: ArcSwap::from_pointee(Table::default()),
            pages: ArcSwap::from_pointee(Pages::ours(settings)),
            door: ArcSwap::from_pointee(Door::load(&settings.preview, folder)),
            tls: ArcSwapOption::new(load_tls(settings)?),
            tick: AtomicU32::new(1),
            pressed: AtomicU32::new(0),
            draw: bucket::Draw::default(),
            turn: AtomicUsize::new(0),
            probe,
            connections: AtomicUsize::new(0),
            crowded: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            room: room::Room::default(),
            waiting: Arc::default(),
            stack_connections: Budget::of(settings.stack_connections),
            stage: watch::Sender::new(Stage::Serving),
        });
        let (report, died) = mpsc::unbounded_channel();
        let workers = (0..settings.threads).map(|index| Worker::start(index, &shared, report.clone()));
        let workers = workers.collect::<io::Result<Arc<[Worker]>>>()?;
        let stacks = Stacks::new(table::Limits {
            workers: settings.threads,
            // Something is left for connections that are kept idle, and for the candidate.
            connections: settings.connections_per_stack.min(settings.stack_connections / 4 * 3).max(1),
            queue: settings.queue,
        });
        let counts = counts::Counts::default();
        let folder = folder.to_owned();
        Ok(Self { shared, folder, stacks, counts, workers, listeners, acceptors: Vec::new(), died })
    }

    /// Begins to accept, or begins again.
    pub(super) fn accept(&mut self) -> io::Result<()> {
        self.acceptors.clear();
        for (_, listener) in &self.listeners {
            self.acceptors.push(Acceptor::start(listener.try_clone()?, &self.shared, &self.workers)?);
        }
        Ok(())
    }

    /// Stops accepting. Connections wait in the kernel for whoever accepts next.
    pub(super) async fn pause(&mut self) {
        for acceptor in self.acceptors.drain(..) {
            acceptor.stop().await;
        }
    }

    /// The listening sockets, by the address that the settings gave.
    pub(super) fn listeners(&self) -> &[(SocketAddr, TcpListener)] {
        &self.listeners
    }

    /// Sets where every request goes that is read from now on. What has begun at a stack goes on there. `now`: by the host's clock.
    pub(super) fn set(&mut self, route: Option<&Route>, staged: Option<&Target>, maintenance: bool, now: Millis) {
        let live = route.and_then(|route| route.target.as_ref());
        let split = route.and_then(|route| route.split.as_ref());
        self.counts.follow(live.map(|target| &target.stack), split.map(|split| &split.target.stack), now);
        let mut get = |target: &Target| self.stacks.get(target, &mut self.counts);
        let (live, staged) = (live.map(&mut get), staged.map(&mut get));
        let split = split.map(|split| (get(&split.target), split.share.percent()));
        let nobody = route.filter(|route| route.target.is_none());
        let hold = !maintenance && nobody.is_some_and(|route| route.hold);
        let maintenance = maintenance || nobody.is_some();
        let table = Table { live, split, staged, maintenance, hold, known: self.stacks.known() };
        self.shared.table.store(Arc::new(table));
        self.shared.waiting.wake();
        self.stacks.forget_unused(&self.shared.table.load());
    }

    /// Requests and long-lived connections open, per stack.
    pub(super) fn open(&self) -> Vec<(StackName, u64)> {
        self.stacks.open()
    }

    /// Returns the counts of users' requests.
    pub(super) fn counted(&self) -> Option<Counted> {
        self.counts.told()
    }

    /// Requests that wait for a route.
    pub(super) fn held(&self) -> usize {
        self.shared.waiting.count()
    }

    /// Client connections.
    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Reads the pages of the operator. Without them users get ours: that is no reason to serve nobody.
    pub(super) fn read_pages(&self) -> io::Result<()> {
        self.shared.pages.store(Arc::new(Pages::load(&self.shared.settings)?));
        Ok(())
    }

    /// Reads certificate, pages and the key of the preview again; on error everything stays as it was.
    pub(super) fn reload(&self) -> io::Result<()> {
        let pages = Pages::load(&self.shared.settings)?;
        self.shared.tls.store(load_tls(&self.shared.settings)?);
        self.shared.pages.store(Arc::new(pages));
        self.shared.door.store(Arc::new(Door::load(&self.shared.settings.preview, &self.folder)));
        Ok(())
    }

    /// The file of the preview's key, which may change.
    pub(super) fn key_file(&self) -> PathBuf {
        self.shared.settings.preview.file(&self.folder)
    }

    /// What is wrong with the certificate at this time, the most pressing last.
    pub(super) fn certificate_trouble(&self, now: Millis) -> Vec<FrontTrouble> {
        self.shared.tls.load().as_ref().map(|tls| tls.certificate.trouble(now)).unwrap_or_default()
    }

    /// How many requests were answered 503 so far: for too many connections of clients, and for too many to a stack.
    pub(super) fn refused(&self) -> (u64, u64) {
        (self.shared.crowded.load(Ordering::Relaxed), self.shared.busy.load(Ordering::Relaxed))
    }

    /// Another process accepts on the same sockets: closes ours, and asks clients to go with their next answer.
    pub(super) fn leave(&mut self) {
        self.listeners.clear();
        self.shared.stage.send_replace(Stage::Leaving);
    }

    /// Idle connections are closed, the others when their answer is complete.
    pub(super) fn close(&mut self) {
        self.acceptors.clear();
        self.listeners.clear();
        self.shared.stage.send_replace(Stage::Closing);
        self.shared.waiting.wake();
    }

    /// Waits for a worker to die; says which and why.
    pub(super) async fn died(&mut self) -> String {
        self.died.recv().await.unwrap_or_else(|| "all workers are gone".to_owned())
    }
}
