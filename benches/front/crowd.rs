//! A front that may open 1,024 files, 24 clients with 200 HTTP/2 streams each that read nothing, and 2,000 that keep a connection
//! each: whether it lives and obeys, and how long others wait.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use super::{Process, cut_over, free, percentile, up};

const FILES: usize = 1024;
const GREEDY: usize = 24;
const STREAMS: usize = 200;
const KEEPING: usize = 2000;
/// Others ask so often, one after the other, each on a new connection.
const OTHERS: usize = 300;
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn crowd(backends: [SocketAddr; 2]) {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let (place, listen) = (tempfile::tempdir().unwrap(), free());
    std::fs::write(place.path().join("settings.toml"), format!("listen = '{listen}'\n")).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {FILES} && exec \"$@\""), "sh"]);
    command.arg(std::env::current_exe().unwrap()).args(["front", "--folder"]).arg(place.path());
    let mut front = Process::start(&mut command);
    up(listen).await;
    cut_over(place.path(), 1, backends).await;

    let mut connections = JoinSet::new();
    let mut streams = Vec::new();
    for _ in 0..GREEDY {
        let stream = TcpStream::connect(listen).await.unwrap();
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let (mut sender, connection) =
            builder.initial_stream_window_size(0).handshake(TokioIo::new(stream)).await.unwrap();
        connections.spawn(async move { drop(connection.await) });
        for _ in 0..STREAMS {
            let request = Request::get("http://app.test/events").body(Empty::<Bytes>::new()).unwrap();
            if timeout(Duration::from_millis(100), sender.ready()).await.is_err() {
                break;
            }
            streams.push(sender.send_request(request));
        }
    }
    let mut keeping = Vec::new();
    for _ in 0..KEEPING {
        let mut stream = TcpStream::connect(listen).await.unwrap();
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        keeping.push(stream);
    }
    println!(
        "{FILES} files: {GREEDY} clients have {} HTTP/2 streams and read nothing, {KEEPING} keep a connection",
        streams.len()
    );
    others(place.path(), listen, backends).await;
    assert!(front.0.try_wait().unwrap().is_none(), "the front ended");
    drop((streams, connections, keeping));
    println!("afterwards:");
    others(place.path(), listen, backends).await;
    assert!(front.0.try_wait().unwrap().is_none(), "the front ended");
}

/// What others get, and how long orders take meanwhile.
async fn others(folder: &Path, front: SocketAddr, backends: [SocketAddr; 2]) {
    let (mut served, mut busy, mut unanswered) = (Vec::new(), 0, 0);
    let mut orders = Vec::new();
    for round in 0..OTHERS {
        if round % 10 == 0 {
            let now = Instant::now();
            cut_over(folder, 100 + GENERATION.fetch_add(1, std::sync::atomic::Ordering::SeqCst), backends).await;
            orders.push(now.elapsed());
        }
        let asked = Instant::now();
        match timeout(PATIENCE, ask(front)).await {
            Ok(Ok(200)) => served.push(asked.elapsed()),
            Ok(Ok(503)) => busy += 1,
            _ => unanswered += 1,
        }
    }
    assert!(!served.is_empty(), "none of {OTHERS} others was served: {busy} got 503, {unanswered} no answer");
    println!(
        "  of {OTHERS} others {} were served, {busy} got 503, {unanswered} no answer; p50 {:.0} µs, p99 {:.0} µs, most {:.0} µs; \
         orders p50 {:.0} µs, most {:.0} µs",
        served.len(),
        percentile(&mut served, 0.5),
        percentile(&mut served, 0.99),
        percentile(&mut served, 1.0),
        percentile(&mut orders, 0.5),
        percentile(&mut orders, 1.0),
    );
}

static GENERATION: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

async fn ask(front: SocketAddr) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(front).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(std::io::ErrorKind::InvalidData.into())
}
