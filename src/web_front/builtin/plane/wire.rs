//! The wire to a client as hyper sees it: notes what goes on, puts request targets into the form that our parser reads,
//! and ends gently. Must not know requests.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Timeout, timeout},
};
use tokio_rustls::server::TlsStream;

use super::{activity::Activity, target::Targets};

/// How a connection that wants HTTP/2 without TLS begins; no HTTP/1 method begins like that.
const PREFACE: &[u8] = b"PRI ";
/// A client that is still sending when we are done is listened to for so long, so that it reads our answer before it
/// meets a closed connection.
const LINGER: Duration = Duration::from_secs(10);

/// Bytes to and from a client.
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Reads enough to tell HTTP/2 from HTTP/1; what was read is to be read again.
pub(super) async fn sniff(stream: &mut TcpStream) -> io::Result<(Vec<u8>, bool)> {
    let mut begin = Vec::with_capacity(1024);
    while begin.len() < PREFACE.len() && PREFACE.starts_with(&begin) {
        if stream.read_buf(&mut begin).await? == 0 {
            break;
        }
    }
    let http2 = begin.starts_with(PREFACE);
    Ok((begin, http2))
}

/// Notes what goes on.
pub(super) struct Watched {
    wire: Wire,
    activity: Arc<Activity>,
    targets: Targets,
    /// Read already, and read again from here.
    again: Option<(Vec<u8>, usize)>,
    linger: Option<Pin<Box<Timeout<std::future::Pending<()>>>>>,
}

impl Watched {
    /// Reads `begin` first.
    pub(super) fn new(wire: Wire, begin: Vec<u8>, activity: Arc<Activity>) -> Self {
        let mut watched = Self { wire, activity, targets: Targets::new(), again: None, linger: None };
        if !begin.is_empty() {
            let changed = watched.look(&begin);
            watched.again = Some((changed.unwrap_or(begin), 0));
        }
        watched
    }

    /// Notes that bytes came in. Returns what to read instead, if anything has to change.
    fn look(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let targets = self.activity.is_http1().then_some(&mut self.targets);
        let changed = targets.and_then(|targets| targets.read(self.activity.awaits_head(), bytes));
        self.activity.read();
        changed
    }

    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Send + Unpin)> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream),
            Wire::Tls(stream) => Pin::new(stream),
        }
    }

    /// Whether the client sends no more, whatever of what it sent is still to be read.
    fn has_hung_up(&self) -> bool {
        let stream = match &self.wire {
            Wire::Plain(stream) => stream,
            Wire::Tls(stream) => stream.get_ref().0,
        };
        let mut polled = [PollFd::new(stream, PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut polled, Some(&now)).is_ok() && !polled[0].revents().is_empty()
    }

    /// Reads what still comes, for nothing: closing now would destroy what the client has not read yet.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let linger = self.linger.get_or_insert_with(|| Box::pin(timeout(LINGER, std::future::pending())));
        if linger.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let stream = match &mut self.wire {
            Wire::Plain(stream) => stream,
            Wire::Tls(stream) => stream.get_mut().0,
        };
        let mut space = [0; 4096];
        // So much at a time, and others are served in between.
        for _ in 0..16 {
            let mut buf = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some((bytes, at)) = &mut this.again {
            let count = buf.remaining().min(bytes.len() - *at);
            buf.put_slice(&bytes[*at..*at + count]);
            *at += count;
            if *at == bytes.len() {
                this.again = None;
            }
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = match &mut this.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if buf.filled().len() > before
            && let Some(changed) = this.look(&buf.filled()[before..])
        {
            buf.set_filled(before);
            let fits = buf.remaining().min(changed.len());
            buf.put_slice(&changed[..fits]);
            this.again = (fits < changed.len()).then_some((changed, fits));
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = this.writer().poll_write(cx, buf);
        this.activity.wrote(wrote.is_pending());
        wrote
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = this.writer().poll_write_vectored(cx, bufs);
        this.activity.wrote(wrote.is_pending());
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Plain(stream) => stream.is_write_vectored(),
            Wire::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper comes by here whenever somebody looks at the connection, and reads nothing meanwhile.
        if this.activity.waits() && this.has_hung_up() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        this.writer().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(this.writer().poll_shutdown(cx))?;
        }
        if this.activity.is_unread() {
            ready!(this.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}
