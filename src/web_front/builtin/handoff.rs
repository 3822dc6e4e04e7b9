//! Passes open sockets along with a line (SCM_RIGHTS): from a front to its successor, and between a front and its
//! supervisor. Must not know what the sockets are for.

use std::{
    io::{self, IoSlice, IoSliceMut, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::{
    io::{BufReader, Interest},
    net::UnixStream,
};

use super::control::Answer;

/// The most sockets that are handed over in one message (SCM_MAX_FD is 253).
const MOST: usize = 64;
const LINE: usize = 256 << 10;

/// Writes the line; the sockets travel with its first byte.
pub(super) async fn give(
    stream: &mut BufReader<UnixStream>,
    answer: &Answer,
    sockets: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let line = line(answer, sockets)?;
    let stream = stream.get_mut();
    let sent = stream.async_io(Interest::WRITABLE, || post(stream.as_fd(), &line, sockets)).await?;
    tokio::io::AsyncWriteExt::write_all(stream, &line[sent..]).await
}

/// Writes a short line before anybody reads it.
pub(super) fn give_at_once(stream: &StdUnixStream, answer: &Answer, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let line = line(answer, sockets)?;
    let sent = post(stream.as_fd(), &line, sockets)?;
    (&*stream).write_all(&line[sent..])
}

fn line(answer: &Answer, sockets: &[BorrowedFd<'_>]) -> io::Result<Vec<u8>> {
    if sockets.len() > MOST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many listening sockets to hand over"));
    }
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    Ok(line)
}

fn post(stream: BorrowedFd<'_>, line: &[u8], sockets: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(sendmsg(stream, &[IoSlice::new(line)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Reads the line and the sockets.
pub(super) async fn take(stream: &mut BufReader<UnixStream>) -> io::Result<(Answer, Vec<OwnedFd>)> {
    let stream = stream.get_mut();
    let (mut line, mut sockets) = (Vec::new(), Vec::new());
    while line.last() != Some(&b'\n') {
        let read = stream.async_io(Interest::READABLE, || receive(stream, &mut line, &mut sockets)).await?;
        if read == 0 || line.len() > LINE {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((serde_json::from_slice(&line)?, sockets))
}

fn receive(stream: &UnixStream, line: &mut Vec<u8>, sockets: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut bytes = vec![0; 16 << 10];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(stream.as_fd(), &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            sockets.extend(received);
        }
    }
    line.extend_from_slice(&bytes[..got.bytes]);
    Ok(got.bytes)
}
