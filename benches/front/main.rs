//! `cargo bench --bench front`: the built-in front beside nginx, both in one run, what a thousand cutovers under load
//! do, and what becomes of long responses, events and WebSockets. `cargo bench --bench front -- crowd`: more clients than it may
//! open files. Loopback only; everything that is started here is ended here.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, missing_docs, reason = "a benchmark")]

mod backend;
mod crowd;
mod long;

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use pointsman::{
    cli::front::{FrontArgs, run},
    machine::{Generation, Number, StackName},
    web_front::{
        Route, Target,
        builtin::control::{Answer, Order, ask},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixListener, UnixStream},
};

const CLIENTS: usize = 48;
const ROUND: Duration = Duration::from_secs(3);
/// Pairs of rounds, nginx and the front in turn.
const PAIRS: usize = 9;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("front") => {
            let folder = arguments[3].clone().into();
            run(&FrontArgs { folder, take_over: arguments.iter().any(|a| a == "--take-over"), kept: false }).unwrap();
        }
        Some("backend") => runtime().block_on(backend::serve(arguments[2].parse().unwrap(), arguments[3].clone())),
        Some("crowd") => runtime().block_on(bench(true)),
        _ => runtime().block_on(bench(false)),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Ends with us.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    fn ourselves(arguments: &[&str]) -> Self {
        Self::start(Command::new(std::env::current_exe().unwrap()).args(arguments))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        self.0.wait().ok();
    }
}

fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn up(address: SocketAddr) {
    for _ in 0..500 {
        if TcpStream::connect(address).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    unreachable!("{address} does not come up");
}

fn nginx(folder: &Path, listen: SocketAddr, backend: SocketAddr) -> Option<Process> {
    Command::new("nginx").arg("-v").stderr(Stdio::null()).status().ok()?;
    let run = folder.display();
    let text = format!(
        "daemon off; worker_processes 2; pid {run}/pid; error_log {run}/err warn;\nevents {{ worker_connections 1024; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {run}/b; proxy_temp_path {run}/p;\n\
         fastcgi_temp_path {run}/f; uwsgi_temp_path {run}/u; scgi_temp_path {run}/s;\n\
         upstream app {{ server {backend}; keepalive 256; keepalive_requests 1000000000; }}\n\
         server {{ listen {listen}; location / {{ proxy_pass http://app; proxy_http_version 1.1;\n\
         proxy_set_header Host $host; proxy_set_header Connection ''; proxy_set_header X-Forwarded-Proto $scheme;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Host $host; }} }} }}\n"
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, text).unwrap();
    Some(Process::start(Command::new("nginx").arg("-p").arg(folder).arg("-c").arg(&path)))
}

/// Counts of what the clients saw.
#[derive(Default)]
struct Tally {
    requests: u64,
    failed: u64,
    resets: u64,
    late: u64,
}

/// Which colour may still answer: 0 none was acknowledged, otherwise the number of cutovers.
type Acknowledged = Arc<AtomicU64>;

async fn load(address: SocketAddr, rate: f64, stop: Arc<AtomicBool>, acknowledged: Acknowledged) -> Tally {
    let one = |index: usize| {
        let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
        tokio::spawn(async move {
            let mut tally = Tally::default();
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let begin = Instant::now();
            let mut due = index as f64 / rate.max(1.0);
            let mut buffer = vec![0; 4096];
            while !stop.load(SeqCst) {
                if rate > 0.0 {
                    let wait = due - begin.elapsed().as_secs_f64();
                    if wait > 0.0 {
                        tokio::time::sleep(Duration::from_secs_f64(wait)).await;
                    }
                    due += CLIENTS as f64 / rate;
                }
                let least = acknowledged.load(SeqCst);
                tally.requests += 1;
                match exchange(&mut stream, &mut buffer).await {
                    Ok(answer) => {
                        let green = answer.contains("x-color: green");
                        tally.failed += u64::from(!answer.starts_with("HTTP/1.1 200"));
                        // Unless another cutover was ordered meanwhile, the colour must be that of the last one.
                        let stale = least != 0 && acknowledged.load(SeqCst) == least && ordered(least) != green;
                        tally.late += u64::from(stale && !PENDING.load(SeqCst));
                    }
                    Err(_) => {
                        tally.resets += 1;
                        stream = TcpStream::connect(address).await.unwrap();
                    }
                }
            }
            tally
        })
    };
    let clients: Vec<_> = (0..CLIENTS).map(one).collect();
    let mut sum = Tally::default();
    for client in clients {
        let tally = client.await.unwrap();
        sum.requests += tally.requests;
        sum.failed += tally.failed;
        sum.resets += tally.resets;
        sum.late += tally.late;
    }
    sum
}

/// An order is on its way: both colours may answer.
static PENDING: AtomicBool = AtomicBool::new(false);

fn ordered(generation: u64) -> bool {
    generation.is_multiple_of(2)
}

async fn exchange(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await?;
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..]).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        filled += count;
        let text = std::str::from_utf8(&buffer[..filled]).unwrap_or_default();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|l| l.lines().next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Ok(text.replace("X-Color", "x-color"));
            }
        }
    }
}

async fn throughput(address: SocketAddr) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let begin = Instant::now();
    let running = tokio::spawn(load(address, 0.0, stop.clone(), Acknowledged::default()));
    tokio::time::sleep(ROUND).await;
    stop.store(true, SeqCst);
    let tally = running.await.unwrap();
    assert_eq!(tally.failed + tally.resets, 0);
    tally.requests as f64 / begin.elapsed().as_secs_f64()
}

async fn cut_over(folder: &Path, generation: u64, backends: [SocketAddr; 2]) -> Duration {
    let address = backends[usize::from(ordered(generation))];
    let stack =
        StackName { environment: "bench/one".parse().unwrap(), number: Number(1 + u32::from(ordered(generation))) };
    let target = Some(Target { stack, reach: address.into() });
    let order = Order::CutOver { route: Route::whole(Generation(generation), target) };
    let begin = Instant::now();
    let answer = ask(folder, &order, Duration::from_secs(5)).await.unwrap();
    assert!(matches!(answer, Answer::CutOver { .. }), "{answer:?}");
    begin.elapsed()
}

fn percentile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6
}

async fn bench(crowded: bool) {
    let backends = [free(), free()];
    let _blue = Process::ourselves(&["backend", &backends[0].to_string(), "blue"]);
    let _green = Process::ourselves(&["backend", &backends[1].to_string(), "green"]);
    for backend in backends {
        up(backend).await;
    }
    if crowded {
        return crowd::crowd(backends).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let beside = free();
    let nginx = nginx(folder.path(), beside, backends[0]);
    let mut best = 0.0f64;
    for flush in [true, false] {
        let (place, listen) = (tempfile::tempdir().unwrap(), free());
        let settings = format!("listen = '{listen}'\nflush = {flush}\n");
        std::fs::write(place.path().join("settings.toml"), settings).unwrap();
        let _front = Process::ourselves(&["front", "--folder", &place.path().display().to_string()]);
        up(listen).await;
        cut_over(place.path(), 1, backends).await;
        if flush {
            best = side_by_side(listen, nginx.as_ref().map(|_| beside)).await;
            long::lived(place.path(), listen, backends).await;
        }
        cutovers(place.path(), listen, backends, best * 0.65, flush).await;
    }
}

async fn side_by_side(front: SocketAddr, nginx: Option<SocketAddr>) -> f64 {
    let Some(nginx) = nginx else {
        println!("throughput beside nginx: SKIPPED, nginx is not installed");
        return throughput(front).await;
    };
    up(nginx).await;
    let (mut ours, mut ratios) = (Vec::new(), Vec::new());
    for pair in 1..=PAIRS {
        let (their, our) = (throughput(nginx).await, throughput(front).await);
        println!("pair {pair}: nginx {their:.0}/s, front {our:.0}/s, ratio {:.2}", our / their);
        ours.push(our);
        ratios.push(our / their);
    }
    ratios.sort_unstable_by(f64::total_cmp);
    let (least, median, most) = (ratios[0], ratios[PAIRS / 2], ratios[PAIRS - 1]);
    println!("throughput: median ratio {median:.2}, {least:.2} to {most:.2} (wanted: 0.88)");
    ours.into_iter().fold(0.0, f64::max)
}

/// The controller is another process than the users: a thread of its own orders, so that what is measured is not how
/// long the load generator takes to look. A bare echo over a unix socket at the same moments tells the machine's share.
const PAUSE: Duration = Duration::from_millis(10);

fn serve_echo(path: &Path) {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let listener = UnixListener::from_std(listener).unwrap();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut byte = [0];
                stream.read_exact(&mut byte).await.unwrap();
                stream.write_all(&byte).await.unwrap();
            }
        });
    });
}

async fn echo(path: &Path) -> Duration {
    let begin = Instant::now();
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    begin.elapsed()
}

type Times = Vec<[Duration; 2]>;

/// Gives these orders on a thread of its own; how long each took, and an echo after it.
async fn order(
    folder: &Path,
    generations: std::ops::Range<u64>,
    backends: [SocketAddr; 2],
    acknowledged: &Acknowledged,
    pause: Duration,
) -> Times {
    let (folder, acknowledged) = (folder.to_owned(), acknowledged.clone());
    let orders = move || async move {
        let socket = folder.join(format!("echo-{}", generations.start));
        serve_echo(&socket);
        let mut times = Vec::new();
        for generation in generations {
            PENDING.store(true, SeqCst);
            let order = cut_over(&folder, generation, backends).await;
            acknowledged.store(generation, SeqCst);
            PENDING.store(false, SeqCst);
            tokio::time::sleep(pause / 2).await;
            times.push([order, echo(&socket).await]);
            tokio::time::sleep(pause / 2).await;
        }
        times
    };
    let thread = std::thread::spawn(|| runtime().block_on(orders()));
    tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap()
}

async fn cutovers(folder: &Path, listen: SocketAddr, backends: [SocketAddr; 2], rate: f64, flush: bool) {
    let acknowledged = Acknowledged::default();
    let row = order(folder, 10..210, backends, &acknowledged, Duration::ZERO).await;
    let idle = order(folder, 210..410, backends, &acknowledged, PAUSE).await;
    let stop = Arc::new(AtomicBool::new(false));
    let running = tokio::spawn(load(listen, rate, stop.clone(), acknowledged.clone()));
    let busy = order(folder, 410..1410, backends, &acknowledged, PAUSE).await;
    stop.store(true, SeqCst);
    let seen = running.await.unwrap();
    println!(
        "1,000 cutovers at {rate:.0}/s, flush {flush}: {} requests, {} failed, {} resets, {} old after the acknowledgement",
        seen.requests, seen.failed, seen.resets, seen.late
    );
    for (when, times) in [("idle, in a row", row), ("idle, every 10 ms", idle), ("under load", busy)] {
        let [order, bare] = [0, 1].map(|which| {
            let mut times: Vec<_> = times.iter().map(|pair| pair[which]).collect();
            [0.5, 0.99].map(|share| percentile(&mut times, share))
        });
        println!(
            "  {when}: acknowledgement p50 {:.0} us, p99 {:.0} us; a bare echo then p50 {:.0} us, p99 {:.0} us",
            order[0], order[1], bare[0], bare[1]
        );
    }
}
