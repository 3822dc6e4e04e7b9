//! One client connection: TLS, HTTP/1.1 or HTTP/2, and its end. Must not look at requests.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    Stage,
    activity::{Activity, Verdict},
    headers::Client,
    proxy::Connection,
    worker::Seat,
};

/// How a connection that wants HTTP/2 without TLS begins; no HTTP/1 method begins like that.
const PREFACE: &[u8] = b"PRI ";

/// Serves the connection until it ends.
pub(super) async fn serve(stream: std::net::TcpStream, peer: SocketAddr, seat: Seat, crowded: bool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = TcpStream::from_std(stream)?;
    let patience = seat.shared.settings.timeouts.header;
    let tls = seat.shared.tls.load_full();
    let secure = tls.is_some();
    let activity = Activity::new(&seat.shared);
    let greet = async {
        Ok::<_, io::Error>(match tls {
            None => sniff(stream).await?,
            Some(config) => {
                let stream = TlsAcceptor::from(config).accept(stream).await?;
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                (Wire::Tls(Box::new(stream)), http2)
            }
        })
    };
    let (wire, http2) = tokio::select! {
        greeted = timeout(patience, greet) => greeted??,
        _ = activity.told_to_go() => return Ok(()),
    };
    let client = Client::new(peer.ip(), secure, seat.shared.settings.behind_proxy);
    let connection = Arc::new(Connection { seat, client, activity: activity.clone(), crowded });
    let io = TokioIo::new(Watched { wire, activity: activity.clone() });
    let served = if http2 { serve_http2(io, connection).await } else { serve_http1(io, connection).await };
    // What has changed protocol lives on, and waits for no request.
    activity.retire();
    served
}

/// Reads enough to tell HTTP/2 from HTTP/1; what was read is read again.
async fn sniff(mut stream: TcpStream) -> io::Result<(Wire, bool)> {
    let mut begin = Vec::with_capacity(1024);
    while begin.len() < PREFACE.len() && PREFACE.starts_with(&begin) {
        if stream.read_buf(&mut begin).await? == 0 {
            break;
        }
    }
    let http2 = begin.starts_with(PREFACE);
    Ok((Wire::Plain(stream, Some((begin, 0))), http2))
}

async fn serve_http1(io: TokioIo<Watched>, connection: Arc<Connection>) -> io::Result<()> {
    let service = {
        let connection = connection.clone();
        service_fn(move |request: Request<Incoming>| {
            let connection = connection.clone();
            async move { Ok::<_, Infallible>(connection.answer(request).await) }
        })
    };
    let mut builder = http1::Builder::new();
    builder.half_close(false).header_read_timeout(None).timer(TokioTimer::new());
    builder.max_buf_size(connection.seat.shared.settings.header_bytes.max(8192));
    let serving = pin!(builder.serve_connection(io, service).with_upgrades());
    watch(serving, &connection, Stage::Closing, |serving| serving.graceful_shutdown()).await
}

async fn serve_http2(io: TokioIo<Watched>, connection: Arc<Connection>) -> io::Result<()> {
    let service = {
        let connection = connection.clone();
        service_fn(move |request: Request<Incoming>| {
            let connection = connection.clone();
            async move { Ok::<_, Infallible>(connection.answer(request).await) }
        })
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let header_bytes = u32::try_from(connection.seat.shared.settings.header_bytes).unwrap_or(u32::MAX);
    builder.timer(TokioTimer::new()).max_concurrent_streams(200).max_header_list_size(header_bytes);
    builder.keep_alive_interval(Duration::from_secs(30)).keep_alive_timeout(Duration::from_secs(20));
    let serving = pin!(builder.serve_connection(io, service));
    // GOAWAY loses nothing, so a connection of HTTP/2 goes at once.
    watch(serving, &connection, Stage::Leaving, |serving| serving.graceful_shutdown()).await
}

/// Drives the connection, shuts it down when the plane has reached `last`, and cuts it when it holds us up.
async fn watch<F: Future<Output = hyper::Result<()>>>(
    mut serving: Pin<&mut F>,
    connection: &Connection,
    last: Stage,
    shut_down: impl Fn(Pin<&mut F>),
) -> io::Result<()> {
    let timeouts = &connection.seat.shared.settings.timeouts;
    let mut stage = connection.seat.shared.stage.subscribe();
    let shortest = timeouts.header.min(timeouts.idle).min(timeouts.stall) / 4;
    let mut look = interval(shortest.clamp(Duration::from_millis(50), Duration::from_secs(5)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut going = false;
    loop {
        let verdict = tokio::select! {
            biased;
            ended = poll_fn(|cx| serving.as_mut().poll(cx)) => return ended.map_err(io::Error::other),
            _ = stage.wait_for(|&now| now >= last), if !going => {
                going = true;
                Verdict::Idle
            }
            verdict = connection.activity.told_to_go() => verdict,
            _ = look.tick() => connection.activity.verdict(timeouts),
        };
        match verdict {
            Verdict::Fine => {}
            Verdict::Idle => shut_down(serving.as_mut()),
            Verdict::Stuck => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Bytes to and from a client.
enum Wire {
    /// With what was read to see which protocol it is.
    Plain(TcpStream, Option<(Vec<u8>, usize)>),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Notes what goes on.
struct Watched {
    wire: Wire,
    activity: Arc<Activity>,
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = match &mut this.wire {
            Wire::Plain(_, Some((begin, at))) if *at < begin.len() => {
                let count = buf.remaining().min(begin.len() - *at);
                buf.put_slice(&begin[*at..*at + count]);
                *at += count;
                Poll::Ready(Ok(()))
            }
            Wire::Plain(stream, begin) => {
                *begin = None;
                Pin::new(stream).poll_read(cx, buf)
            }
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if buf.filled().len() > before {
            this.activity.read();
        }
        read
    }
}

impl Watched {
    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Send + Unpin)> {
        match &mut self.wire {
            Wire::Plain(stream, _) => Pin::new(stream),
            Wire::Tls(stream) => Pin::new(stream),
        }
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
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = this.writer().poll_write_vectored(cx, bufs);
        this.activity.wrote(wrote.is_pending());
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Plain(stream, _) => stream.is_write_vectored(),
            Wire::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().writer().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().writer().poll_shutdown(cx)
    }
}
