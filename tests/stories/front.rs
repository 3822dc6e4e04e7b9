//! The built-in front as real processes: started, replaced, killed, refused and ended, with users at it.

use std::{
    convert::Infallible,
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use pointsman::{
    machine::{Generation, Number, StackName},
    web_front::{CutOver, FrontDriver, Route, Target, builtin::BuiltinFront},
};
use rustix::process::{Pid, Signal, kill_process};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::JoinSet,
    time::{interval, timeout},
};
use tokio_rustls::TlsConnector;

use crate::support::soon::soon;

pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_pointsman");
/// However slow the machine, this long is a failure.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port")
}

pub(super) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let mut pace = interval(Duration::from_millis(10));
    let looks = async {
        while !so().await {
            pace.tick().await;
        }
    };
    timeout(PATIENCE, looks).await.unwrap_or_else(|_| panic!("never: {what}"));
}

pub(super) fn route(generation: u64, stack: &Stack) -> Route {
    let name = StackName { environment: "shop/qa".parse().expect("a name"), number: Number(stack.number) };
    let reach = stack.address.into();
    Route::whole(Generation(generation), Some(Target { stack: name, reach }))
}

/// A folder in which fronts run; none outlives it.
pub(super) struct Place(tempfile::TempDir);

impl Place {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn driver(&self, settings: &str) -> BuiltinFront {
        let table = settings.parse().expect("TOML");
        BuiltinFront::run_by(BINARY.into(), &table, self.path()).expect("good settings")
    }

    /// A front that is our child, so that its end can be seen.
    fn front(&self) -> Child {
        let mut command = Command::new(BINARY);
        command.arg("front").arg("--folder").arg(self.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
    }

    /// The processes that serve this folder, ended ones that nobody asked about yet excepted.
    pub(super) fn processes(&self) -> Vec<Pid> {
        let ours = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|b| *b == 0).any(|argument| argument.starts_with(self.path().as_os_str().as_encoded_bytes()))
        };
        let pids = fs::read_dir("/proc").expect("Linux").filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(ours).filter_map(Pid::from_raw).collect()
    }
}

impl Place {
    /// Kills all, as the end of the host would: again, for a supervisor may just have started another front.
    fn kill_all(&self) {
        soon(|| {
            let left = self.processes();
            for pid in &left {
                // It may just have ended.
                let _ = kill_process(*pid, Signal::KILL);
            }
            left.is_empty()
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// A stack of one server: its number at `/`, and at `/slow` when let through.
pub(super) struct Stack {
    pub(super) number: u32,
    pub(super) address: SocketAddr,
    pub(super) gate: Arc<Notify>,
    pub(super) waiting: Arc<AtomicBool>,
    /// How many requests came.
    pub(super) asked: Arc<AtomicU64>,
    _running: JoinSet<()>,
}

impl Stack {
    pub(super) async fn start(number: u32) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (gate, waiting) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let asked = Arc::new(AtomicU64::new(0));
        let door = (gate.clone(), waiting.clone(), asked.clone());
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let door = door.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let (gate, waiting, asked) = door.clone();
                    async move {
                        asked.fetch_add(1, SeqCst);
                        if request.uri().path() == "/slow" {
                            waiting.store(true, SeqCst);
                            gate.notified().await;
                        }
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(number.to_string()))))
                    }
                });
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { number, address, gate, waiting, asked, _running: running }
    }
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A user: keeps its connection until it is asked to go.
pub(super) struct User {
    address: SocketAddr,
    tls: Option<TlsConnector>,
    stream: Option<Box<dyn Io>>,
}

impl User {
    pub(super) fn at(address: SocketAddr) -> Self {
        Self { address, tls: None, stream: None }
    }

    /// Returns the stack that answered; everything else is a failed request.
    pub(super) async fn ask(&mut self, path: &str) -> Result<u32, String> {
        timeout(PATIENCE, self.talk(path)).await.map_err(|_| "no answer")?
    }

    async fn talk(&mut self, path: &str) -> Result<u32, String> {
        let failed = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
        let mut stream: Box<dyn Io> = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address).await.map_err(failed("connect"))?;
                match &self.tls {
                    None => Box::new(stream),
                    Some(tls) => Box::new(tls.connect(host(), stream).await.map_err(failed("TLS"))?),
                }
            }
        };
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.map_err(failed("send"))?;
        let mut answer = Vec::new();
        let (head, body) = loop {
            if stream.read_buf(&mut answer).await.map_err(failed("receive"))? == 0 {
                return Err(format!("the end instead of an answer: {}", String::from_utf8_lossy(&answer)));
            }
            let text = String::from_utf8_lossy(&answer);
            // One digit is all that a stack says.
            match text.split_once("\r\n\r\n") {
                Some((head, body)) if !body.is_empty() => break (head.to_owned(), body.to_owned()),
                _ => {}
            }
        };
        if !head.contains("connection: close") {
            self.stream = Some(stream);
        }
        let number = if head.starts_with("HTTP/1.1 200") { body.parse().ok() } else { None };
        number.ok_or(format!("{head}\n{body}"))
    }
}

fn host() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a name")
}

/// Users who never pause.
struct Crowd {
    users: JoinSet<Vec<String>>,
    over: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
}

impl Crowd {
    fn at(address: SocketAddr, tls: Option<&TlsConnector>) -> Self {
        let (over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut users = JoinSet::new();
        for _ in 0..8 {
            let (over, served) = (over.clone(), served.clone());
            let mut user = User { address, tls: tls.cloned(), stream: None };
            users.spawn(async move {
                let mut failures = Vec::new();
                while !over.load(SeqCst) && failures.len() < 10 {
                    match user.ask("/").await {
                        Ok(_) => drop(served.fetch_add(1, SeqCst)),
                        Err(why) => failures.push(why),
                    }
                }
                failures
            });
        }
        Self { users, over, served }
    }

    async fn served_more(&self) {
        let before = self.served.load(SeqCst);
        until("more users are served", async || self.served.load(SeqCst) > before + 100).await;
    }

    async fn failures(self) -> Vec<String> {
        self.over.store(true, SeqCst);
        self.users.join_all().await.concat()
    }
}

pub(super) async fn order(driver: &BuiltinFront, generation: u64, stack: &Stack) {
    assert_eq!(driver.cut_over(&route(generation, stack)).await.expect("it obeys"), CutOver::Applied);
}

pub(super) async fn generation(driver: &BuiltinFront) -> u64 {
    driver.observe().await.expect("it answers").expect("it has a route").route.generation.0
}

#[tokio::test]
async fn a_changed_setting_is_taken_up_by_a_new_process_and_no_user_notices() {
    let (one, two) = (Stack::start(1).await, Stack::start(2).await);
    let (place, address, another) = (Place::new(), free(), free());
    let driver = place.driver(&format!("listen = '{address}'"));
    driver.ensure_running().await.unwrap();
    let first = driver.seen().await.unwrap().pid;
    driver.ensure_running().await.unwrap();
    assert_eq!(driver.seen().await.unwrap().pid, first, "it runs already");
    order(&driver, 7, &one).await;
    let crowd = Crowd::at(address, None);
    crowd.served_more().await;
    let driver = place.driver(&format!("listen = ['{address}', '{another}']"));
    driver.ensure_running().await.unwrap();
    assert_ne!(driver.seen().await.unwrap().pid, first);
    assert_eq!(generation(&driver).await, 7);
    crowd.served_more().await;
    order(&driver, 8, &two).await;
    assert_eq!(User::at(another).ask("/").await, Ok(2), "the new address is served");
    crowd.served_more().await;
    assert_eq!(crowd.failures().await, [""; 0]);
    until("the first process is gone", async || place.processes().len() == 2).await;
    assert_eq!(driver.ask_public().await.unwrap().unwrap().number, Number(2));
}

#[tokio::test]
async fn another_certificate_is_taken_up_without_a_failed_handshake() {
    let (place, address, stack) = (Place::new(), free(), Stack::start(1).await);
    let mut roots = RootCertStore::empty();
    let mut certificates = Vec::new();
    let mut settings = Vec::new();
    for name in ["old", "new"] {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, key) = (place.path().join(name), place.path().join(format!("{name}.key")));
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        settings.push(format!("listen = '{address}'\ntls = {{ certificate = {certificate:?}, key = {key:?} }}"));
        roots.add(made.cert.der().clone()).unwrap();
        certificates.push(made.cert.der().clone());
    }
    let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = versions.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let tls = TlsConnector::from(Arc::new(config.with_no_client_auth()));
    let driver = place.driver(&settings[0]);
    driver.ensure_running().await.unwrap();
    order(&driver, 1, &stack).await;
    assert_eq!(shown(address, &tls).await, certificates[0]);
    let crowd = Crowd::at(address, Some(&tls));
    crowd.served_more().await;
    let driver = place.driver(&settings[1]);
    driver.ensure_running().await.unwrap();
    crowd.served_more().await;
    assert_eq!(shown(address, &tls).await, certificates[1]);
    assert_eq!(crowd.failures().await, [""; 0]);
    assert_eq!(driver.ask_public().await.unwrap().unwrap().number, Number(1));
}

async fn shown(address: SocketAddr, tls: &TlsConnector) -> CertificateDer<'static> {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let stream = tls.connect(host(), stream).await.expect("a certificate that we know");
    stream.get_ref().1.peer_certificates().expect("it shows one")[0].clone()
}

#[tokio::test]
async fn killed_it_comes_back_with_its_route_and_refuses_older_orders() {
    let (one, two) = (Stack::start(1).await, Stack::start(2).await);
    let (place, address) = (Place::new(), free());
    let driver = place.driver(&format!("listen = '{address}'"));
    driver.ensure_running().await.unwrap();
    for number in 1..=20 {
        let newest = if number % 2 == 0 { &two } else { &one };
        order(&driver, number, newest).await;
        // Right after the acknowledgement: the flush has hardly begun.
        place.kill_all();
        driver.ensure_running().await.unwrap();
        assert_eq!(generation(&driver).await, number);
        assert_eq!(User::at(address).ask("/").await, Ok(newest.number));
    }
    let late = driver.cut_over(&route(19, &one)).await.unwrap();
    assert_eq!(late, CutOver::Stale { applied: Generation(20) });
}

#[tokio::test]
async fn a_second_front_in_the_same_folder_is_refused() {
    let (place, address) = (Place::new(), free());
    let driver = place.driver(&format!("listen = '{address}'"));
    driver.ensure_running().await.unwrap();
    let second = place.front().wait_with_output().unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("a front is running for"), "{said}");
    assert!(driver.seen().await.is_ok(), "the first one goes on");
}

#[tokio::test]
async fn told_to_end_it_lets_users_finish() {
    let (place, address, stack) = (Place::new(), free(), Stack::start(1).await);
    let settings = format!("listen = '{address}'");
    fs::write(place.path().join("settings.toml"), &settings).unwrap();
    let driver = place.driver(&settings);
    let mut front = place.front();
    until("it answers", async || driver.seen().await.is_ok()).await;
    order(&driver, 1, &stack).await;
    let mut users = JoinSet::new();
    users.spawn(async move { User::at(address).ask("/slow").await });
    until("a user waits", async || stack.waiting.load(SeqCst)).await;
    kill_process(Pid::from_child(&front), Signal::TERM).unwrap();
    until("nobody new is let in", async || TcpStream::connect(address).await.is_err()).await;
    assert_eq!(front.try_wait().unwrap(), None, "somebody is still waiting");
    stack.gate.notify_one();
    assert_eq!(users.join_all().await, [Ok(1)]);
    until("it has ended", async || front.try_wait().unwrap().is_some()).await;
    assert!(front.wait().unwrap().success());
}
