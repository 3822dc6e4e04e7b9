//! How a supervisor gets hold of a front: of its listening sockets, its connection and its process. Must not decide when.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    path::Path,
};

use rustix::{
    net::sockopt::socket_peercred,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tokio::{io::BufReader, net::UnixStream, time::timeout};

use super::ANSWER_LIMIT;
use crate::web_front::builtin::{
    control::{Answer, CONTROL, Kept, Order, connect, send},
    handoff,
};

pub(super) type Attached = (BufReader<UnixStream>, Kept, Vec<OwnedFd>);

/// Takes handles to the sockets of the front that serves this folder. `None`: there is none.
pub(super) async fn attach(folder: &Path) -> io::Result<Option<Attached>> {
    let mut link = match connect(folder, CONTROL).await {
        Ok(link) => link,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let talk = async {
        send(&mut link, &Order::Keep).await?;
        handoff::take(&mut link).await
    };
    match timeout(ANSWER_LIMIT, talk).await {
        Ok(Ok((Answer::Kept(kept), sockets))) if kept.listen.len() == sockets.len() => Ok(Some((link, kept, sockets))),
        Ok(Ok(_)) => Err(io::Error::other("it gives no sockets: it is of another version")),
        // It ended in that moment.
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Puts the sockets where the front finds them when it has begun.
pub(super) fn give(stream: StdUnixStream, held: &Kept, sockets: &[OwnedFd]) -> io::Result<()> {
    let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    handoff::give_at_once(&stream, &Answer::Kept(held.clone()), &sockets)
}

/// Signals a front that has said its number itself, and that is still there because its connection is.
pub(super) fn signal(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(pidfd_send_signal(&process, signal)?)
}

/// Returns the process that made the control socket of this folder: the front that serves, unless that took it over from another one.
pub(super) async fn holder_of(folder: &Path) -> Option<u32> {
    let link = connect(folder, CONTROL).await.ok()?;
    socket_peercred(link.get_ref()).ok()?.pid.as_raw_nonzero().get().try_into().ok()
}

/// Whether this process runs the front of this folder.
pub(super) fn is_front_of(pid: u32, folder: &Path) -> bool {
    let is_ours = |line: Vec<u8>| {
        let mut words = line.split(|byte| *byte == 0).skip(1);
        words.next() == Some(b"front") && words.any(|word| word == folder.as_os_str().as_encoded_bytes())
    };
    // One that has ended has no line.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(is_ours)
}
