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
    /// Whether no byte of the present request was given to the kernel.
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

/// Returns whether there is anything to read where nothing is expected: the connection is of no use, most often at its
/// end.
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

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test waits for the system")]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A connection to a stack, and the stack's end of it.
    async fn connection() -> (Line, Arc<Facts>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (theirs, _) = listener.accept().await.unwrap();
        let facts = Arc::new(Facts::default());
        (Line::new(ours, facts.clone()), facts, theirs)
    }

    async fn news(line: &Line) {
        while !has_news(&line.stream) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn what_cannot_be_repeated_is_not_written_to_a_stack_that_has_hung_up() {
        for says in [&b""[..], b"HTTP/1.1 408 Request Timeout\r\n\r\n"] {
            let (mut line, facts, mut stack) = connection().await;
            stack.write_all(says).await.unwrap();
            drop(stack);
            news(&line).await;
            facts.begin(true);
            let error = line.write_all(b"POST / HTTP/1.1\r\n").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
            assert!(facts.untouched(), "so it can be sent elsewhere");
            facts.begin(false);
            assert!(line.write_all(b"GET / HTTP/1.1\r\n").await.is_ok(), "what can be repeated is not looked for");
            assert!(!facts.untouched());
        }
    }

    #[tokio::test]
    async fn a_stack_that_waits_gets_all_of_it_with_one_look() {
        let (mut line, facts, mut stack) = connection().await;
        facts.begin(true);
        line.write_all(b"POST / ").await.unwrap();
        // An answer before the end of the request is no reason to stop.
        stack.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        news(&line).await;
        line.write_all(b"HTTP/1.1").await.unwrap();
        let mut came = [0; 15];
        stack.read_exact(&mut came).await.unwrap();
        assert_eq!(&came, b"POST / HTTP/1.1");
    }
}
