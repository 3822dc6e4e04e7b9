//! Fronts, stacks and clients for the tests.

use std::{
    convert::Infallible,
    future::Future,
    net::{SocketAddr, TcpListener as StdListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    client::conn::http2,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use secrecy::ExposeSecret;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
};

use crate::{
    clock::Clock,
    machine::{Generation, Number, StackName},
    web_front::{
        CutOver, FrontDriver, Route, Split, Target,
        builtin::{BuiltinFront, process},
        secret,
    },
};

pub(super) fn stack(number: u32) -> StackName {
    StackName { environment: "shop/qa".parse().unwrap(), number: Number(number) }
}

pub(super) fn target(number: u32, addresses: &[SocketAddr]) -> Target {
    Target { stack: stack(number), reach: addresses.iter().copied().collect() }
}

pub(super) fn route(generation: u64, target: Target) -> Route {
    Route::whole(Generation(generation), Some(target))
}

/// A route that gives the second target a share.
pub(super) fn shared(generation: u64, target: Target, second: Target, percent: i64) -> Route {
    let split = Split { target: second, share: percent.try_into().unwrap() };
    Route { split: Some(split), ..route(generation, target) }
}

/// Waits until it is so; ten seconds at most.
pub(super) async fn until<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) {
    let end = Instant::now() + Duration::from_secs(10);
    while !so().await {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) fn free_address() -> SocketAddr {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A front on a thread of its own.
pub(super) struct Front {
    pub(super) folder: Arc<tempfile::TempDir>,
    pub(super) driver: BuiltinFront,
    pub(super) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), process::FrontError>>>,
}

impl Front {
    pub(super) async fn start(settings: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::start_in(folder, free_address(), settings, false).await
    }

    /// Starts a front with a clock of its own.
    pub(super) async fn start_at(settings: &str, clock: Clock) -> Self {
        let start = process::Start { clock, ..process::Start::default() };
        Self::begin(Arc::new(tempfile::tempdir().unwrap()), free_address(), settings, start).await
    }

    pub(super) async fn start_in(
        folder: Arc<tempfile::TempDir>,
        address: SocketAddr,
        settings: &str,
        take_over: bool,
    ) -> Self {
        Self::begin(folder, address, settings, process::Start { take_over, ..process::Start::default() }).await
    }

    async fn begin(folder: Arc<tempfile::TempDir>, address: SocketAddr, settings: &str, start: process::Start) -> Self {
        let table: toml::Table = format!("listen = '{address}'\nflush = false\n{settings}").parse().unwrap();
        let driver = BuiltinFront::run_by("/nowhere".into(), &table, folder.path()).unwrap();
        std::fs::write(folder.path().join("settings.toml"), &driver.text).unwrap();
        driver.bring_key_in();
        let (stop, stopped) = oneshot::channel::<()>();
        let place = folder.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(process::run(place.path(), start, async { drop(stopped.await) }))
        });
        let front = Self { folder, driver, address, stop: Some(stop), thread: Some(thread) };
        let wanted = process::digest(&front.driver.text);
        until("the front serves", async || front.driver.seen().await.is_ok_and(|s| s.settings == wanted)).await;
        front
    }

    pub(super) async fn live(&self, generation: u64, number: u32, addresses: &[SocketAddr]) {
        self.driver.cut_over(&route(generation, target(number, addresses))).await.unwrap();
    }

    /// Nobody gets the users. `hold`: their requests wait for the next route.
    pub(super) async fn off(&self, generation: u64, hold: bool) {
        let nobody = Route { hold, ..Route::whole(Generation(generation), None) };
        assert_eq!(self.driver.cut_over(&nobody).await.unwrap(), CutOver::Applied);
    }

    /// The key of its preview.
    pub(super) fn key(&self) -> String {
        self.driver.shown_preview().unwrap().key.unwrap().expose_secret().to_owned()
    }

    /// The header of those who may know which stack answers.
    pub(super) fn probe(&self) -> String {
        format!("x-pointsman-probe: {}\r\n", secret::of_probes(self.folder.path()).unwrap().to_str().unwrap())
    }

    /// Waits for its end.
    pub(super) async fn ended(mut self) -> Result<(), process::FrontError> {
        let thread = self.thread.take().unwrap();
        until("the front ends", async || thread.is_finished()).await;
        thread.join().unwrap()
    }

    pub(super) async fn stop(mut self) {
        drop(self.stop.take());
        self.ended().await.unwrap();
    }
}

/// A stack of one server. What it answers: its name at `/`; `/headers` what it was sent; `/gate` when let through;
/// `/large` a megabyte; `/echo` what it is sent, as it comes; `/deaf` nothing; `/events` an endless stream; `/upgrade` an echo; `/body` how much came.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) hits: Arc<AtomicU64>,
    pub(super) gate: Arc<Notify>,
    /// Events are sent when this is notified.
    pub(super) beat: Arc<Notify>,
}

type Body = BoxBody<Bytes, Infallible>;

impl Server {
    pub(super) async fn start(name: &'static str) -> Self {
        Self::start_at(name, "127.0.0.1:0".parse().unwrap()).await
    }

    /// How many requests came.
    pub(super) fn hits(&self) -> u64 {
        self.hits.load(Ordering::SeqCst)
    }

    pub(super) async fn start_at(name: &'static str, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, hits: Arc::default(), gate: Arc::default(), beat: Arc::default() };
        let (hits, gate, beat) = (server.hits.clone(), server.gate.clone(), server.beat.clone());
        let answer = move |request: Request<Incoming>| {
            hits.fetch_add(1, Ordering::SeqCst);
            let (gate, beat) = (gate.clone(), beat.clone());
            async move { Ok::<_, Infallible>(answer(name, request, gate, beat).await) }
        };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let service = service_fn(answer.clone());
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
                tokio::spawn(connection);
            }
        });
        server
    }
}

async fn answer(
    name: &'static str,
    request: Request<Incoming>,
    gate: Arc<Notify>,
    beat: Arc<Notify>,
) -> Response<Body> {
    let full = |text: String| Full::new(Bytes::from(text)).boxed();
    let response = Response::builder().header("x-name", name);
    match request.uri().path() {
        "/headers" => {
            let line = |(k, v): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
                format!("{k}: {}\n", v.to_str().unwrap())
            };
            let head = format!("{} {}\n", request.method(), request.uri());
            let text = head + &request.headers().iter().map(line).collect::<String>();
            let response = response.header("connection", "keep-alive, x-hop").header("x-hop", "1");
            response.header("x-pointsman-stack", "forged").body(full(text)).unwrap()
        }
        "/gate" => {
            gate.notified().await;
            response.body(full(name.to_owned())).unwrap()
        }
        "/body" => {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            response.body(full(format!("{name} {}", body.len()))).unwrap()
        }
        "/events" => {
            let events = stream::unfold(beat, async |beat| {
                beat.notified().await;
                Some((Ok(Frame::data(Bytes::from_static(b"data: tick\n\n"))), beat))
            });
            response.header("content-type", "text/event-stream").body(BodyExt::boxed(StreamBody::new(events))).unwrap()
        }
        "/large" => response.body(full("x".repeat(1 << 20))).unwrap(),
        "/echo" => {
            let body = request.into_body().map_err(|error| -> Infallible { panic!("the body broke: {error}") });
            response.body(BodyExt::boxed(body)).unwrap()
        }
        "/deaf" => std::future::pending().await,
        "/upgrade" => {
            tokio::spawn(async move {
                let mut io = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
                let mut buf = [0; 256];
                while let Ok(count @ 1..) = io.read(&mut buf).await {
                    io.write_all(&buf[..count]).await.unwrap();
                }
            });
            let response = response.status(101).header("connection", "upgrade").header("upgrade", "echo");
            response.body(full(String::new())).unwrap()
        }
        _ => response.body(full(name.to_owned())).unwrap(),
    }
}

/// A stack whose every connection is served by this, which is told how many came before.
pub(super) async fn raw<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream, usize) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, number));
        }
    });
    address
}

/// Reads a request head. None: the other side has hung up.
pub(super) async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// A stack that answers every request without a body like this, and closes when that says so.
pub(super) async fn says(answer: &'static str) -> SocketAddr {
    raw(move |mut stream, _| async move {
        while read_head(&mut stream).await.is_some() {
            stream.write_all(answer.as_bytes()).await.unwrap();
            if answer.contains("close") || answer.starts_with("HTTP/1.0") {
                return;
            }
        }
    })
    .await
}

/// A client that sees every byte.
pub(super) struct Client(TcpStream);

/// Reply that a client got.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub(super) async fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes()).await;
    }

    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Sends as much as the other side takes.
    pub(super) async fn try_send(&mut self, bytes: &[u8]) {
        let _ = tokio::time::timeout(Duration::from_secs(5), self.0.write_all(bytes)).await;
    }

    /// Sends a GET and reads the answer.
    pub(super) async fn get(&mut self, path: &str, headers: &str) -> Reply {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: app.test\r\n{headers}\r\n")).await;
        self.reply().await
    }

    pub(super) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("an answer, not the end"));
        }
        String::from_utf8(head).unwrap()
    }

    pub(super) async fn reply(&mut self) -> Reply {
        let head = tokio::time::timeout(Duration::from_secs(10), self.head()).await.expect("an answer in time");
        let status = head[9..12].parse().unwrap();
        let field = |name: &str| head.lines().find_map(|l| l.strip_prefix(name).map(|v| v.trim().to_owned()));
        let length = field("content-length:").map_or(0, |v| v.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        Reply { status, head, body: String::from_utf8(body).unwrap() }
    }

    /// Reads until these bytes have come.
    pub(super) async fn expect(&mut self, text: &str) {
        let mut got = Vec::new();
        while !String::from_utf8_lossy(&got).contains(text) {
            let byte = tokio::time::timeout(Duration::from_secs(10), self.0.read_u8()).await;
            got.push(byte.unwrap_or_else(|_| panic!("{text:?} never came")).unwrap());
        }
    }

    /// Whether the other side ends the connection, within ten seconds.
    pub(super) async fn is_cut(&mut self) -> bool {
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_secs(10), self.0.read_to_end(&mut rest)).await.is_ok()
    }
}

/// A client of HTTP/2 over one connection.
pub(super) struct Client2(http2::SendRequest<Full<Bytes>>);

impl Client2 {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// Sends a request and returns the answer's status and body.
    pub(super) fn ask(&self, method: &str, path: &str, body: &[u8]) -> impl Future<Output = (u16, String)> + use<> {
        let request = Request::builder().method(method).uri(format!("http://app.test{path}"));
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        let mut sender = self.0.clone();
        async move {
            let answer = sender.send_request(request).await.unwrap();
            let status = answer.status().as_u16();
            (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().into()).unwrap())
        }
    }
}

pub(super) async fn get(address: SocketAddr, path: &str, headers: &str) -> Reply {
    Client::connect(address).await.get(path, headers).await
}
