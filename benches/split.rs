//! `cargo bench --bench split [REQUESTS]`: a share of the users on a second stack, by the built-in front and by nginx: how many
//! of so many requests of new users reach it at 5 %, and whether any of 200 users with a cookie fails or is moved back while
//! the share grows to all and is taken back. Loopback only; everything that is started here is ended here.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a benchmark"
)]

#[path = "../tests/support/address.rs"]
mod address;
#[path = "../tests/support/git.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod git;
#[path = "../tests/support/herd.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod herd;
#[path = "../tests/support/nginx.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod nginx;
#[path = "../tests/support/peers.rs"]
mod peers;
#[path = "../tests/support/soon.rs"]
mod soon;
#[path = "../tests/support/wire.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod wire;

use std::{
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant},
};

use pointsman::{
    cli::front::{FrontArgs, run},
    web_front::{CutOver, FrontDriver, Route, Target, builtin::BuiltinFront},
};
use rustix::process::{Pid, Signal, kill_process};

use self::{
    herd::{route, shared, stack},
    nginx::Nginx,
    soon::soon,
    wire::{Answer, Wire},
};

const CLIENTS: usize = 8;
const USERS: usize = 200;
/// How long users ask at each step.
const STEP: Duration = Duration::from_secs(1);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|word| word == "front") {
        run(&FrontArgs { folder: arguments[3].clone().into(), take_over: false, kept: false }).unwrap();
        return;
    }
    let requests = arguments.iter().find_map(|word| word.parse().ok()).unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let own = Own::start();
    measure("built-in", &runtime, &own.driver, own.listen, requests);
    drop(own);
    match Nginx::sticky("cookie") {
        Some(nginx) => measure("nginx", &runtime, &*nginx.driver(), nginx.plain(), requests),
        None => println!("nginx: SKIPPED, it is not installed"),
    }
}

/// A built-in front. Ends with us.
struct Own {
    process: Child,
    driver: BuiltinFront,
    listen: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Own {
    fn start() -> Self {
        let (folder, ourselves) = (tempfile::tempdir().unwrap(), std::env::current_exe().unwrap());
        let listen = SocketAddr::from((address::own(), 8081));
        let settings = format!("listen = '{listen}'\n");
        std::fs::write(folder.path().join("settings.toml"), &settings).unwrap();
        let mut command = Command::new(&ourselves);
        let process = command.args(["front", "--folder"]).arg(folder.path()).stdin(Stdio::null()).spawn().unwrap();
        assert!(soon(|| TcpStream::connect(listen).is_ok()), "the front does not come up");
        let driver = BuiltinFront::run_by(ourselves, &settings.parse().unwrap(), folder.path()).unwrap();
        Self { process, driver, listen, _folder: folder }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

/// A front, and the two stacks behind it.
struct Front<'f> {
    runtime: &'f tokio::runtime::Runtime,
    driver: &'f dyn FrontDriver,
    at: SocketAddr,
    one: Target,
    two: Target,
}

impl Front<'_> {
    /// Returns how long the order took.
    fn order(&self, route: &Route) -> Duration {
        self.runtime.block_on(async {
            let given = Instant::now();
            assert_eq!(self.driver.cut_over(route).await.unwrap(), CutOver::Applied);
            let took = given.elapsed();
            assert_eq!(self.driver.observe().await.unwrap().unwrap().route, *route);
            took
        })
    }
}

fn measure(name: &str, runtime: &tokio::runtime::Runtime, driver: &dyn FrontDriver, at: SocketAddr, requests: usize) {
    let front = Front { runtime, driver, at, one: stack(1), two: stack(2) };
    front.order(&route(1, &front.one));
    runtime.block_on(driver.stage(&front.two)).unwrap();
    new_users(name, &front, requests);
    pinned(name, &front);
}

/// Asks as somebody who never came before.
fn new_users(name: &str, front: &Front<'_>, requests: usize) {
    front.order(&shared(2, &front.one, &front.two, 5));
    let (second, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut wire = None;
                for _ in 0..requests / CLIENTS {
                    match ask(front.at, &mut wire, "") {
                        Ok(answer) => second.fetch_add(u64::from(version(&answer) == 2), SeqCst),
                        Err(_) => failed.fetch_add(1, SeqCst),
                    };
                }
            });
        }
    });
    let (asked, second) = (requests / CLIENTS * CLIENTS, second.into_inner());
    println!(
        "{name}: {asked} requests of new users at 5 %, {:.0}/s: {second} on the second stack = {:.3} %, {} failed (wanted: 4.5 \
         to 5.5 %, 0)",
        asked as f64 / begun.elapsed().as_secs_f64(),
        second as f64 * 100.0 / asked as f64,
        failed.into_inner()
    );
}

/// Counts of one step.
#[derive(Default)]
struct Tally {
    requests: AtomicU64,
    failed: AtomicU64,
    moved_on: AtomicU64,
    moved_back: AtomicU64,
}

/// A browser with a cookie.
#[derive(Default)]
struct User {
    cookie: String,
    last: u32,
}

fn pinned(name: &str, front: &Front<'_>) {
    let mut users: Vec<User> = (0..USERS).map(|_| User { last: 1, ..User::default() }).collect();
    let (one, two) = (&front.one, &front.two);
    let steps = [
        ("5 %", shared(3, one, two, 5)),
        ("50 %", shared(4, one, two, 50)),
        ("100 %", route(5, two)),
        ("back to 0 %", route(6, one)),
        ("5 %", shared(7, one, two, 5)),
        ("undone", route(8, one)),
    ];
    println!("{name}: {USERS} users who ask all the while, each step for {STEP:?}");
    println!("  step        | order ms | requests | failed | moved on | moved back | on the second");
    for (step, order) in steps {
        let (tally, over) = (Tally::default(), AtomicBool::new(false));
        let took = std::thread::scope(|scope| {
            for group in users.chunks_mut(USERS / CLIENTS) {
                scope.spawn(|| browse(front.at, group, &tally, &over));
            }
            // Users are under way when the order comes.
            std::thread::sleep(STEP / 10);
            let took = front.order(&order);
            std::thread::sleep(STEP);
            over.store(true, SeqCst);
            took
        });
        let second = users.iter().filter(|user| user.last == 2).count();
        println!(
            "  {step:11} | {:8.1} | {:8} | {:6} | {:8} | {:10} | {second}",
            took.as_secs_f64() * 1e3,
            tally.requests.into_inner(),
            tally.failed.into_inner(),
            tally.moved_on.into_inner(),
            tally.moved_back.into_inner(),
        );
    }
}

fn browse(front: SocketAddr, users: &mut [User], tally: &Tally, over: &AtomicBool) {
    let mut wire = None;
    while !over.load(SeqCst) {
        for user in &mut *users {
            tally.requests.fetch_add(1, SeqCst);
            let Ok(answer) = ask(front, &mut wire, &user.cookie) else {
                tally.failed.fetch_add(1, SeqCst);
                continue;
            };
            if let Some(cookie) = answer.headers.get("set-cookie") {
                user.cookie = format!("cookie: {}\r\n", cookie.split(';').next().unwrap());
            }
            let now = version(&answer);
            tally.moved_on.fetch_add(u64::from(now > user.last), SeqCst);
            tally.moved_back.fetch_add(u64::from(now < user.last), SeqCst);
            user.last = now;
        }
    }
}

/// Asks over a kept connection; anything but 200 is an error.
fn ask(front: SocketAddr, kept: &mut Option<Wire>, headers: &str) -> std::io::Result<Answer> {
    let mut wire = kept.take().map_or_else(|| Wire::open(front), Ok)?;
    let answer = wire.ask("GET", "/", headers, "")?;
    if answer.headers.get("connection").is_none_or(|c| c != "close") {
        *kept = Some(wire);
    }
    if answer.status == 200 { Ok(answer) } else { Err(std::io::Error::other(answer.status.to_string())) }
}

fn version(answer: &Answer) -> u32 {
    answer.headers["x-version"].parse().unwrap()
}
