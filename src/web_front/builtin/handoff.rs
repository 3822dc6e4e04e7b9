//! Passes open sockets from a front to its successor, along with what it remembers (SCM_RIGHTS).
//! Must not know what the sockets are for beyond their order: the lock, the control socket, the listening ones.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::{
    io::{BufReader, Interest},
    net::UnixStream,
};

use super::control::{Answer, Handed};

/// As many as one message can carry (SCM_MAX_FD is 253).
const MOST: usize = 64;
const LINE: usize = 256 << 10;

/// Writes the line; the sockets travel with its first byte.
pub(super) async fn give(
    stream: &mut BufReader<UnixStream>,
    handed: Handed,
    sockets: &[BorrowedFd<'_>],
) -> io::Result<()> {
    if sockets.len() > MOST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many listening sockets to hand over"));
    }
    let mut line = serde_json::to_vec(&Answer::HandOff(handed))?;
    line.push(b'\n');
    let stream = stream.get_mut();
    let sent = stream
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(sockets)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            Ok(sendmsg(stream.as_fd(), &[IoSlice::new(&line)], &mut control, SendFlags::NOSIGNAL)?)
        })
        .await?;
    tokio::io::AsyncWriteExt::write_all(stream, &line[sent..]).await
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
