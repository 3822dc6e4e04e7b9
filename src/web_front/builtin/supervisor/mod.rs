//! The supervisor of a front: a small process of its own (`pointsman front-run --folder DIR`) that holds a second handle
//! to the front's listening sockets and starts the front again when it ends. It outlives the controller, and the front
//! outlives it.
//!
//! This file is what the driver needs: what a supervisor says, and how it is asked. Must not decide when.

mod hold;
mod process;
mod pulse;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

pub use process::run;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::{UnixStream, unix::OwnedReadHalf},
    time::timeout,
};

use super::{
    control::{Answer, CONTROL, Order, PROTOCOL, connect, receive, send},
    process::VERSION,
};
use crate::{machine::Millis, web_front::FrontTrouble};

/// The name of its socket, in the front's folder.
const SOCKET: &str = "supervisor";
/// Ends of the front that are remembered.
const ENDS: usize = 16;
/// How long an end of the front is told.
const TOLD: Millis = Millis(86_400_000);
/// Longest wait for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Request to a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ask {
    /// Say how things are, now and whenever they change, until this connection ends.
    Watch,
    /// Start a front at once where none runs.
    Start,
    /// Put a new front in the place of the one that runs.
    Renew,
    /// End, and leave the front to whoever comes.
    Leave,
    /// End the front, and end.
    End,
}

/// How a front and its supervisor are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Status {
    version: String,
    protocol: u32,
    /// The folder of the front, as the supervisor knows it.
    folder: PathBuf,
    /// The supervisor's process.
    pub(super) pid: u32,
    /// The front's process.
    pub(super) front: Option<u32>,
    /// How the front ended, unasked, newest last.
    pub(super) ends: Vec<End>,
    /// How often a front ended before it served.
    pub(super) failed: u64,
    /// How the last one of these ended.
    pub(super) why: String,
}

/// An end of the front that nobody had asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    /// Milliseconds since the Unix epoch.
    pub(super) at: Millis,
    pub(super) pid: u32,
    /// The reason, in the system's words.
    pub(super) why: String,
    /// How long nobody served.
    pub(super) away_ms: Option<u64>,
}

impl Status {
    /// Returns what is wrong with the front itself: that it does not begin, and its ends of the last day.
    pub(super) fn trouble(&self, now: Millis) -> (Option<FrontTrouble>, Option<FrontTrouble>) {
        let recent: Vec<&End> = self.ends.iter().filter(|end| now.since(end.at) < TOLD).collect();
        let ended = recent.last().map(|last| FrontTrouble::Ended {
            times: recent.len(),
            at: last.at,
            why: last.why.clone(),
            away_ms: last.away_ms,
            folder: self.folder.clone(),
        });
        let absent = self.front.is_none() && self.failed > 0;
        let not_starting = absent.then(|| FrontTrouble::NotStarting {
            times: self.failed,
            why: self.why.clone(),
            folder: self.folder.clone(),
        });
        (ended, not_starting)
    }

    /// Whether it is the supervisor of this folder, and of this program.
    fn is_right_for(&self, folder: &Path) -> bool {
        let same = |a: &Path, b: &Path| match (a.canonicalize(), b.canonicalize()) {
            (Ok(a), Ok(b)) => a == b,
            _ => a == b,
        };
        self.version == VERSION && self.protocol == PROTOCOL && same(&self.folder, folder)
    }
}

/// A connection to a supervisor, by which its end and that of the front are seen at once.
pub(super) struct Link {
    lines: Lines<BufReader<OwnedReadHalf>>,
    pub(super) status: Status,
    _open: tokio::net::unix::OwnedWriteHalf,
}

impl Link {
    /// Waits for news. `false`: the supervisor has gone. May be given up at any time.
    pub(super) async fn changed(&mut self) -> bool {
        let Ok(Some(line)) = self.lines.next_line().await else { return false };
        match serde_json::from_str(&line) {
            Ok(status) => self.status = status,
            Err(error) => {
                tracing::warn!(%error, "the answer of a front's supervisor cannot be read");
                return false;
            }
        }
        true
    }
}

/// Asks the supervisor of this folder how things are.
async fn watch(folder: &Path) -> io::Result<Link> {
    let talk = async {
        let mut stream = connect(folder, SOCKET).await?;
        send(&mut stream, &Ask::Watch).await?;
        let (reading, open) = stream.into_inner().into_split();
        let mut lines = BufReader::new(reading).lines();
        let line = lines.next_line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Link { lines, status: serde_json::from_str(&line)?, _open: open })
    };
    timeout(ANSWER_LIMIT, talk).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The supervisor of this folder, if it is right for it; else it is told to leave the front to another one.
pub(super) async fn find(folder: &Path) -> Option<Link> {
    let link = watch(folder).await.ok()?;
    if link.status.is_right_for(folder) {
        return Some(link);
    }
    tracing::info!(pid = link.status.pid, "another supervisor takes over the front in {}", folder.display());
    if let Err(error) = tell(folder, Ask::Leave).await {
        tracing::warn!(%error, "the supervisor of the front in {} does not leave", folder.display());
    }
    None
}

/// Has a front started where none runs, without a pause.
pub(super) async fn start(folder: &Path) -> io::Result<()> {
    tell(folder, Ask::Start).await
}

/// Has a new front put in the place of the one that runs.
pub(super) async fn renew(folder: &Path) -> io::Result<()> {
    tell(folder, Ask::Renew).await
}

/// Ends the front of this folder and its supervisor, as far as they are there. What is open may finish.
///
/// # Errors
/// When they cannot be reached.
pub async fn end(folder: &Path) -> io::Result<()> {
    match tell(folder, Ask::End).await {
        Ok(()) => return Ok(()),
        Err(error) if gone(&error) => {}
        Err(error) => return Err(error),
    }
    let stopped = match connect(folder, CONTROL).await {
        Ok(mut front) => {
            // The socket may be that of a front before it, so it says its number itself.
            let asked = async {
                send(&mut front, &Order::Greet).await?;
                receive::<Answer>(&mut front).await
            };
            match timeout(ANSWER_LIMIT, asked).await {
                Ok(Ok(Some(Answer::Seen(seen)))) => hold::signal(seen.pid, Signal::TERM),
                Ok(Ok(Some(_))) => Err(io::Error::other("the front does not say which process it is")),
                Ok(Ok(None)) => Ok(()),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            }
        }
        Err(error) => Err(error),
    };
    stopped.or_else(|error| if gone(&error) { Ok(()) } else { Err(error) })
}

/// Whether an error of a connection or of a signal says that the process is gone, or ended in that moment.
fn gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    matches!(error.kind(), NotFound | ConnectionRefused | ConnectionReset | BrokenPipe | UnexpectedEof)
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

async fn tell(folder: &Path, ask: Ask) -> io::Result<()> {
    let talk = async {
        let mut stream: BufReader<UnixStream> = connect(folder, SOCKET).await?;
        send(&mut stream, &ask).await?;
        match receive::<Result<(), String>>(&mut stream).await? {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => Err(io::Error::other(why)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    };
    timeout(ANSWER_LIMIT, talk).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
