//! How a front begins: alone, or in place of one that hands over to it. Must not answer orders.

use std::{
    collections::HashMap,
    fs::File,
    io,
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::OpenOptionsExt,
        net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream},
    },
    path::Path,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::BufReader,
    net::{UnixListener, UnixStream},
    time::{interval, timeout},
};

use super::{Faults, Follower, Front, FrontError, RESERVE, SETTINGS, SUCCESSION, Start, digest, io_error};
use crate::{
    descriptors::{Reserve, raise_limit},
    holder,
    web_front::{
        builtin::{
            control::{Answer, CONTROL, Order, bind, connect, receive, send, socket},
            handoff,
            plane::Plane,
            settings::Settings,
            store::{Memory, Store},
        },
        secret,
    },
};

/// How often the lock of the folder is tried, and with what pause: a second in all.
const LOCK_ATTEMPTS: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// State with which a front starts.
struct Inherited {
    lock: File,
    control: StdUnixListener,
    listeners: HashMap<SocketAddr, TcpListener>,
    memory: Option<Memory>,
    /// The one that hands over.
    link: Option<Follower>,
}

pub(super) async fn begin(folder: &Path, start: Start) -> Result<Front, FrontError> {
    let path = folder.join(SETTINGS);
    let text = std::fs::read_to_string(&path).map_err(io_error(format!("{} cannot be read", path.display())))?;
    let mut settings = read_settings(&path, &text)?;
    let short = settings.fit(raise_limit());
    if let Some(short) = &short {
        tracing::warn!("{short}");
    }
    let mut faults = Faults::new(folder, short, (settings.connections, settings.connections_per_stack), start.clock);
    let mut kept = match start.kept {
        Some(stream) => from_supervisor(stream).await.map_err(io_error("the supervisor hands over no sockets"))?,
        None => HashMap::new(),
    };
    let mut inherited = match if start.take_over { from_predecessor(folder).await? } else { None } {
        Some(inherited) => inherited,
        None => alone(folder).await?,
    };
    let mut listeners = Vec::new();
    for &address in &settings.listen {
        let listener = match inherited.listeners.remove(&address).or_else(|| kept.remove(&address)) {
            Some(listener) => listener,
            None => listen_patiently(address, inherited.link.is_none()).await.map_err(|error| {
                let in_use = error.kind() == io::ErrorKind::AddrInUse;
                let by =
                    in_use.then(|| format!(": {}", holder::in_use(address, folder.canonicalize().ok().as_deref())));
                io_error(format!("{address} cannot be listened on{}", by.unwrap_or_default()))(error)
            })?,
        };
        listeners.push((address, listener));
    }
    drop(kept);
    let (store, written) = Store::open(folder, settings.flush)
        .map_err(io_error(format!("the route in {} cannot be read", folder.display())))?;
    let memory = inherited.memory.filter(|handed| handed.written >= written.written).unwrap_or(written);
    let probe = secret::of_probes(folder).map_err(io_error("the probe secret cannot be read"))?;
    let mut plane = Plane::start(&settings, folder, probe, listeners).map_err(io_error("the front cannot start"))?;
    let pages = plane.read_pages();
    if let Err(error) = &pages {
        tracing::warn!(%error, "a page cannot be read; users get the built-in one");
    }
    faults.reloaded(&pages);
    plane.set(memory.route.as_ref(), memory.staged.as_ref(), memory.maintenance, faults.now());
    plane.accept().map_err(io_error("the front cannot accept connections"))?;
    let followers = match inherited.link {
        Some(link) => confirm(link).await?,
        None => Vec::new(),
    };
    let control = UnixListener::from_std(inherited.control).map_err(io_error("the control socket cannot be used"))?;
    let (digest, lock, store) = (digest(&text), inherited.lock, Some(store));
    let mut front = Front {
        digest,
        settings,
        lock,
        control,
        store,
        memory,
        flush_due: false,
        waiting: Vec::new(),
        plane,
        followers,
        supervisor: None,
        watched: Vec::new(),
        reserve: Reserve::of(RESERVE),
        faults,
    };
    front.watched = front.modified();
    let (pid, take_over) = (std::process::id(), start.take_over);
    tracing::info!(pid, listen = ?front.settings.listen, take_over, "serving");
    Ok(front)
}

fn read_settings(path: &Path, text: &str) -> Result<Settings, FrontError> {
    let wrong = |mistakes| FrontError::Settings { path: path.to_owned(), mistakes };
    let table = text.parse::<toml::Table>().map_err(|e| wrong(vec![e.to_string()]))?;
    Settings::read(&table).map_err(wrong)
}

/// The lock says that nobody else serves this folder, so a socket that is there is a dead one's.
async fn alone(folder: &Path) -> Result<Inherited, FrontError> {
    let path = folder.join("lock");
    let lock = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let lock = lock.map_err(io_error(format!("{} cannot be opened", path.display())))?;
    // One that was killed holds it until its last thread has gone: users wait, so that is not for the next attempt.
    let mut attempts = LOCK_ATTEMPTS;
    let mut look = interval(LOCK_PAUSE);
    loop {
        look.tick().await;
        attempts -= 1;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK) if attempts > 0 => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(FrontError::Running(folder.to_owned())),
            Err(error) => return Err(io_error(format!("{} cannot be locked", path.display()))(error.into())),
        }
    }
    let control = bind(folder, CONTROL)
        .map_err(io_error(format!("the control socket {} cannot be made", socket(folder).display())))?;
    Ok(Inherited { lock, control, listeners: HashMap::new(), memory: None, link: None })
}

/// Listening sockets that outlived the front before.
async fn from_supervisor(stream: StdUnixStream) -> io::Result<HashMap<SocketAddr, TcpListener>> {
    stream.set_nonblocking(true)?;
    let mut stream = BufReader::new(UnixStream::from_std(stream)?);
    let (answer, sockets) = timeout(SUCCESSION, handoff::take(&mut stream))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    let Answer::Kept(kept) = answer else { return Err(io::ErrorKind::InvalidData.into()) };
    Ok(kept.listen.into_iter().zip(sockets.into_iter().map(TcpListener::from)).collect())
}

/// `None`: there is nobody to take over from.
async fn from_predecessor(folder: &Path) -> Result<Option<Inherited>, FrontError> {
    let failed = || io_error("the running front does not hand over");
    let Ok(mut link) = connect(folder, CONTROL).await else { return Ok(None) };
    let talk = async {
        send(&mut link, &Order::HandOff).await?;
        handoff::take(&mut link).await
    };
    let (answer, sockets) =
        timeout(SUCCESSION, talk).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed())?;
    let Answer::HandOff(handed) = answer else { return Err(failed()(io::ErrorKind::InvalidData.into())) };
    let mut sockets = sockets.into_iter();
    let (Some(lock), Some(control)) = (sockets.next(), sockets.next()) else {
        return Err(failed()(io::ErrorKind::UnexpectedEof.into()));
    };
    Ok(Some(Inherited {
        lock: lock.into(),
        control: control.into(),
        listeners: handed.listen.into_iter().zip(sockets.map(TcpListener::from)).collect(),
        memory: Some(handed.memory),
        link: Some(Follower { link, pid: handed.pid }),
    }))
}

/// Tells the predecessor that we serve. It then follows us, or is dead; a third does not exist, because then both
/// would accept.
async fn confirm(mut predecessor: Follower) -> Result<Vec<Follower>, FrontError> {
    let talk = async {
        send(&mut predecessor.link, &Order::TakenOver).await?;
        receive::<Answer>(&mut predecessor.link).await
    };
    match timeout(SUCCESSION, talk).await {
        Ok(Ok(Some(_))) => Ok(vec![predecessor]),
        Ok(_) => Ok(Vec::new()),
        Err(_) => Err(io_error("the running front does not let go")(io::ErrorKind::TimedOut.into())),
    }
}

/// A front that was killed a moment ago may not have closed all of its sockets yet. Nobody is waited for while users
/// wait for us to take over.
async fn listen_patiently(address: SocketAddr, patient: bool) -> io::Result<TcpListener> {
    let mut pace = interval(Duration::from_millis(20));
    let mut left = if patient { 50 } else { 0 };
    loop {
        match listen_on(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && left > 0 => left -= 1,
            done => return done,
        }
        pace.tick().await;
    }
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a front before us that are still winding up do not keep us from beginning.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}
