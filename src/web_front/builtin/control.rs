//! What the driver and the front say to one another: JSON lines over a unix socket in the front's folder, mode 0600.
//! Both sides use these types. Must not decide anything.

use std::{
    fs::{File, Permissions},
    io,
    os::{
        fd::AsRawFd,
        unix::{fs::PermissionsExt, net::UnixListener as StdUnixListener},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::timeout,
};

use super::store::Memory;
use crate::{
    stacks::StepError,
    web_front::{CutOver, FrontTrouble, Route, SeenFront, Target},
};

/// The longest line.
const LINE: u64 = 256 << 10;

/// Order to a front.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Order {
    /// Know this candidate.
    Stage {
        /// Stack that is made known.
        candidate: Target,
    },
    /// Apply this route, unless a higher generation was applied.
    CutOver {
        /// Route that is ordered.
        route: Route,
    },
    /// Say what is served, once that is on the disk.
    Observe,
    /// Say who is there. The route that is told along may not be on the disk yet.
    Greet,
    /// The maintenance page for everybody, or no longer.
    Maintenance {
        /// Whether it is on.
        on: bool,
    },
    /// Read certificate and pages again.
    Reload,
    /// Give the listening sockets to the one who asks.
    HandOff,
    /// The one who took over serves.
    TakenOver,
    /// Give the supervisor a second handle to the listening sockets, and keep this connection until the front ends: so
    /// the supervisor sees the end at once.
    Keep,
}

/// Answer of a front.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// It is so.
    Done,
    /// What became of the order to cut over.
    CutOver {
        /// Result of the order.
        result: CutOver,
    },
    /// State of the front.
    Seen(Seen),
    /// No, and asking again will not help.
    Refused {
        /// Reason, as a sentence for people.
        why: String,
    },
    /// Temporarily unavailable.
    Unavailable {
        /// Reason, as a sentence for people.
        why: String,
    },
    /// The sockets come with this line.
    HandOff(Handed),
    /// Listening sockets come with this line, one for each address.
    Kept(Kept),
}

/// How a front is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seen {
    /// What it serves; `None`: it has never been given a route.
    pub front: Option<SeenFront>,
    /// Users get the maintenance page.
    pub maintenance: bool,
    /// The version of its program.
    pub version: String,
    /// The settings that it was started with: a digest of their text.
    pub settings: String,
    /// Its process.
    pub pid: u32,
    /// Client connections.
    pub connections: usize,
    /// What it understands: `PROTOCOL` of its program.
    #[serde(default)]
    pub protocol: u32,
    /// What is wrong although it serves, the most pressing last.
    #[serde(default)]
    pub trouble: Vec<FrontTrouble>,
}

/// Raised when a front or a supervisor has to understand more than before. One that says less is replaced.
pub(super) const PROTOCOL: u32 = 3;

/// What goes along with the sockets: the lock, the control socket, then the listening ones in the order of `listen`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Handed {
    /// Their addresses, as the settings wrote them.
    pub(super) listen: Vec<std::net::SocketAddr>,
    /// Memory of the front, which must not be lost.
    pub(super) memory: Memory,
    /// The process that hands over. The socket names who made it, which may have been one before.
    #[serde(default)]
    pub(super) pid: u32,
}

/// What goes along with listening sockets alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// Their addresses, as the settings wrote them, in the order of the sockets.
    pub(super) listen: Vec<std::net::SocketAddr>,
    /// The process of the front that they come from; 0 from a supervisor.
    pub(super) pid: u32,
}

/// The name of a front's control socket, in its folder.
pub(super) const CONTROL: &str = "control";

/// Where a front's control socket is.
pub fn socket(folder: &Path) -> PathBuf {
    folder.join(CONTROL)
}

/// A unix socket's address has 108 bytes at most; a folder below a long path is reached through its descriptor.
pub(super) fn reachable(folder: &Path, name: &str) -> io::Result<(Option<File>, PathBuf)> {
    let plain = folder.join(name);
    if plain.as_os_str().len() < 100 {
        return Ok((None, plain));
    }
    let folder = File::open(folder)?;
    let path = Path::new(&format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    Ok((Some(folder), path))
}

/// Binds a socket of this name, which nobody else than our own user can reach.
pub(super) fn bind(folder: &Path, name: &str) -> io::Result<StdUnixListener> {
    let (_open, path) = reachable(folder, name)?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = StdUnixListener::bind(&path)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Connects to a socket of this name.
pub(super) async fn connect(folder: &Path, name: &str) -> io::Result<BufReader<UnixStream>> {
    let (_open, path) = reachable(folder, name)?;
    Ok(BufReader::new(UnixStream::connect(path).await?))
}

/// Whether the other side is our own user, or root. The mode of socket and folder says so too; this says it of the peer.
pub(super) fn is_ours(stream: &UnixStream) -> bool {
    let peer = rustix::net::sockopt::socket_peercred(stream);
    peer.is_ok_and(|peer| peer.uid.is_root() || peer.uid == rustix::process::geteuid())
}

/// Asks the front of this folder one thing.
pub async fn ask(folder: &Path, order: &Order, limit: Duration) -> Result<Answer, StepError> {
    let unreachable = |error: io::Error| {
        StepError::Unavailable(format!("the front at {} does not answer: {error}", socket(folder).display()))
    };
    let talk = async {
        let mut stream = connect(folder, CONTROL).await?;
        send(&mut stream, order).await?;
        receive::<Answer>(&mut stream).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    };
    match timeout(limit, talk).await {
        Ok(answer) => answer.map_err(unreachable),
        Err(_) => Err(unreachable(io::ErrorKind::TimedOut.into())),
    }
}

/// Writes one line.
pub(super) async fn send<T: Serialize>(stream: &mut BufReader<UnixStream>, message: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.get_mut().write_all(&line).await
}

/// Reads one line; `None`: the other side has gone.
pub(super) async fn receive<T: for<'a> Deserialize<'a>>(stream: &mut BufReader<UnixStream>) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    let mut limited = tokio::io::AsyncReadExt::take(&mut *stream, LINE);
    if limited.read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line that does not end"));
    }
    Ok(Some(serde_json::from_slice(&line)?))
}
