//! The wire to a stack as hyper sees it, and what is known about it: whether anything of a request was written yet, and
//! whether the stack has hung up. Must not know requests.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use rustix::net::{RecvFlags, recv};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// What is known about a connection to a stack, for those who use it.
#[derive(Default)]
pub(super) struct Facts {
    /// The next bytes begin a request that cannot be repeated.
    careful: AtomicBool,
    /// Nothing of the present request has been given to the kernel.
    untouched: AtomicBool,
    killed: AtomicBool,
    writer: AtomicWaker,
}

impl Facts {
    /// Begins a request. `careful`: look whether the stack has hung up right before the first byte is written.
    pub(super) fn begin(&self, careful: bool) {
        self.untouched.store(true, Relaxed);
        self.careful.store(careful, Relaxed);
    }

    /// Returns true while the stack cannot have seen anything of the present request.
    pub(super) fn untouched(&self) -> bool {
        self.untouched.load(Relaxed)
    }

    /// Makes the connection fail at its next write, also one that waits.
    pub(super) fn kill(&self) {
        self.killed.store(true, Relaxed);
        self.writer.wake();
    }
}

/// The wire.
pub(super) struct Line {
    stream: TcpStream,
    facts: Arc<Facts>,
    /// The stack takes no more. What it said before that is still to be read, so what is written is dropped.
    sunk: bool,
}

impl Line {
    pub(super) fn new(stream: TcpStream, facts: Arc<Facts>) -> Self {
        Self { stream, facts, sunk: false }
    }

    fn write(
        &mut self,
        cx: &mut Context<'_>,
        length: usize,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.facts.killed.load(Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if self.sunk {
            return Poll::Ready(Ok(length));
        }
        if self.facts.careful.load(Relaxed) {
            if has_news(&self.stream) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            self.facts.careful.store(false, Relaxed);
        }
        match write(Pin::new(&mut self.stream), cx) {
            Poll::Ready(Ok(count)) => {
                self.facts.untouched.store(false, Relaxed);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) if is_hang_up(&error) && !self.facts.untouched() => {
                self.sunk = true;
                Poll::Ready(Ok(length))
            }
            Poll::Pending => {
                self.facts.writer.register(cx.waker());
                Poll::Pending
            }
            failed => failed,
        }
    }
}

/// On a connection on which nothing is expected, anything to read means that it is of no use: most often its end.
fn has_news(stream: &TcpStream) -> bool {
    let looked = recv(stream, &mut [0u8; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    !matches!(looked, Err(rustix::io::Errno::AGAIN))
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().write(cx, buf.len(), |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        self.get_mut().write(cx, length, |stream, cx| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
