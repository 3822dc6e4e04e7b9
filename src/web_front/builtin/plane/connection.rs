//! One client connection: TLS, HTTP/1.1 or HTTP/2, and its end. Must not look at requests.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Stage,
    activity::{Activity, Verdict},
    headers::Client,
    proxy::Connection,
    streams::Streams,
    wire::{Watched, Wire, sniff},
    worker::Slot,
};

/// What a client may send of one HTTP/2 body before the stack takes it.
const STREAM_WINDOW: u32 = 128 << 10;
/// Serves the connection until it ends.
pub(super) async fn serve(stream: std::net::TcpStream, peer: SocketAddr, slot: Slot, crowded: bool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = TcpStream::from_std(stream)?;
    let limit = slot.shared.settings.timeouts.header;
    let tls = slot.shared.tls.load_full();
    let secure = tls.is_some();
    let activity = Activity::new(&slot.shared);
    let greet = async {
        Ok::<_, io::Error>(match tls {
            None => {
                let mut stream = stream;
                let (begin, http2) = sniff(&mut stream).await?;
                (Wire::Plain(stream), begin, http2)
            }
            Some(tls) => {
                let stream = TlsAcceptor::from(tls.config.clone()).accept(stream).await?;
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                (Wire::Tls(Box::new(stream)), Vec::new(), http2)
            }
        })
    };
    let (wire, begin, http2) = tokio::select! {
        greeted = timeout(limit, greet) => greeted??,
        _ = activity.told_to_go() => return Ok(()),
    };
    if http2 {
        activity.speaks_http2();
    }
    let client = Client::new(peer.ip(), secure, slot.shared.settings.behind_proxy);
    let io = TokioIo::new(Watched::new(wire, begin, activity.clone()));
    let crowded = AtomicBool::new(crowded);
    let connection = Arc::new(Connection { slot, client, activity: activity.clone(), crowded });
    let served = if http2 { serve_http2(io, connection).await } else { serve_http1(io, connection).await };
    // What has changed protocol lives on, and waits for no request.
    activity.retire();
    served
}

async fn serve_http1(io: TokioIo<Watched>, connection: Arc<Connection>) -> io::Result<()> {
    let service = {
        let connection = connection.clone();
        service_fn(move |request: Request<Incoming>| {
            let connection = connection.clone();
            async move { Ok::<_, Infallible>(connection.answer(request, None).await) }
        })
    };
    let mut builder = http1::Builder::new();
    builder.half_close(false).header_read_timeout(None).timer(TokioTimer::new());
    let settings = &connection.slot.shared.settings;
    builder.max_buf_size(settings.header_bytes.max(8192)).max_headers(settings.header_fields);
    let serving = pin!(builder.serve_connection(io, service).with_upgrades());
    watch(serving, &connection, Stage::Closing, None, |serving| serving.graceful_shutdown()).await
}

async fn serve_http2(io: TokioIo<Watched>, connection: Arc<Connection>) -> io::Result<()> {
    let streams = Streams::new(&connection.slot.shared);
    let service = {
        let (connection, streams) = (connection.clone(), streams.clone());
        service_fn(move |request: Request<Incoming>| {
            let (connection, stream) = (connection.clone(), streams.begin());
            async move { Ok::<_, Infallible>(connection.answer(request, Some(stream)).await) }
        })
    };
    let mut builder = http2::Builder::new(streams.clone());
    let settings = &connection.slot.shared.settings;
    let header_bytes = u32::try_from(settings.header_bytes).unwrap_or(u32::MAX);
    builder.timer(TokioTimer::new()).max_concurrent_streams(settings.streams).max_header_list_size(header_bytes);
    builder.keep_alive_interval(Duration::from_secs(30)).keep_alive_timeout(Duration::from_secs(20));
    // Uploads that nobody takes fill their own windows only: their neighbours always have room.
    builder.initial_stream_window_size(STREAM_WINDOW);
    builder.initial_connection_window_size(STREAM_WINDOW.saturating_mul(settings.streams.saturating_add(1)));
    let serving = pin!(builder.serve_connection(io, service));
    // GOAWAY loses nothing, so a connection of HTTP/2 goes at once.
    watch(serving, &connection, Stage::Leaving, Some(&streams), |serving| serving.graceful_shutdown()).await
}

/// Drives the connection, shuts it down when the plane has reached `last`, and cuts it when it holds us up.
async fn watch<F: Future<Output = hyper::Result<()>>>(
    mut serving: Pin<&mut F>,
    connection: &Connection,
    last: Stage,
    streams: Option<&Streams>,
    shut_down: impl Fn(Pin<&mut F>),
) -> io::Result<()> {
    let (timeouts, activity) = (&connection.slot.shared.settings.timeouts, &connection.activity);
    let mut stage = connection.slot.shared.stage.subscribe();
    let shortest = timeouts.header.min(timeouts.idle).min(timeouts.stall) / 4;
    let mut look = interval(shortest.clamp(Duration::from_millis(50), Duration::from_secs(5)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut going = false;
    // When it was asked to go because it was idle, in ticks.
    let mut asked: Option<u32> = None;
    loop {
        let verdict = tokio::select! {
            biased;
            ended = poll_fn(|cx| serving.as_mut().poll(cx)) => return ended.map_err(io::Error::other),
            _ = stage.wait_for(|&now| now >= last), if !going => {
                going = true;
                shut_down(serving.as_mut());
                continue;
            }
            verdict = activity.told_to_go() => verdict,
            _ = look.tick() => {
                if let Some(streams) = streams {
                    streams.cut_stuck(timeouts.stall);
                }
                activity.verdict(timeouts)
            }
        };
        match verdict {
            Verdict::Fine => asked = None,
            Verdict::Idle => {
                let since = *asked.get_or_insert_with(|| activity.now());
                let waited = Duration::from_millis(u64::from(activity.now().saturating_sub(since)) * 100);
                if waited >= timeouts.header.max(Duration::from_secs(1)) {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                shut_down(serving.as_mut());
            }
            Verdict::Stuck => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
