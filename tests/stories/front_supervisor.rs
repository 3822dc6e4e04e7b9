//! The supervisor of the built-in front: whatever ends, nobody who connects is refused, and the front is back at once,
//! with no controller there.

use std::{
    fs,
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use pointsman::{
    clock::Clock,
    web_front::{FrontDriver, FrontTrouble, builtin::BuiltinFront},
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use super::front::{BINARY, PATIENCE, Place, Stack, User, free, generation, order, until};

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process")).expect("a process");
    kill_process(pid, signal).expect("it is ours");
}

async fn front_of(driver: &BuiltinFront) -> u32 {
    driver.seen().await.expect("it answers").pid
}

/// The one process of the folder that runs at this command.
fn process_at(place: &Place, command: &str) -> Option<u32> {
    let runs = |pid: &Pid| {
        let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
        line.split(|b| *b == 0).nth(1) == Some(command.as_bytes())
    };
    let found: Vec<Pid> = place.processes().into_iter().filter(runs).collect();
    assert!(found.len() <= 1, "{found:?} run at {command}");
    found.first().and_then(|pid| pid.as_raw_nonzero().get().try_into().ok())
}

async fn another_front(driver: &BuiltinFront, before: u32) {
    until("another front answers", async || driver.seen().await.is_ok_and(|seen| seen.pid != before)).await;
}

/// Somebody who connects anew for every request, and counts.
struct Newcomers {
    over: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    tasks: JoinSet<Vec<String>>,
}

impl Newcomers {
    fn at(address: SocketAddr) -> Self {
        let (over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tasks = JoinSet::new();
        for _ in 0..4 {
            let (over, served) = (over.clone(), served.clone());
            tasks.spawn(async move {
                let mut refused = Vec::new();
                while !over.load(SeqCst) {
                    match User::at(address).ask("/").await {
                        Ok(_) => drop(served.fetch_add(1, SeqCst)),
                        // Whoever is being answered when the front is killed loses the connection; nobody else does.
                        Err(why) if why.starts_with("connect") => refused.push(why),
                        Err(_) => {}
                    }
                }
                refused
            });
        }
        Self { over, served, tasks }
    }

    async fn more(&self) {
        let before = self.served.load(SeqCst);
        until("more are served", async || self.served.load(SeqCst) > before + 20).await;
    }

    async fn refused(self) -> Vec<String> {
        self.over.store(true, SeqCst);
        self.tasks.join_all().await.concat()
    }
}

#[tokio::test]
async fn a_killed_front_is_back_with_its_route_and_nobody_is_refused() {
    let (place, address, stack) = (Place::new(), free(), Stack::start(1).await);
    let driver = place.driver(&format!("listen = '{address}'"));
    driver.ensure_running().await.unwrap();
    order(&driver, 7, &stack).await;
    let newcomers = Newcomers::at(address);
    for _ in 0..5 {
        newcomers.more().await;
        let before = front_of(&driver).await;
        signal(before, Signal::KILL);
        another_front(&driver, before).await;
        assert_eq!(generation(&driver).await, 7);
    }
    newcomers.more().await;
    assert_eq!(newcomers.refused().await, [""; 0]);
}

#[tokio::test]
async fn the_controller_learns_of_an_end_at_once() {
    let (place, address) = (Place::new(), free());
    let driver = place.driver(&format!("listen = '{address}'"));
    driver.ensure_running().await.unwrap();
    // Its beginning may be told after it answers; then nothing is, until something happens.
    until("nothing more is told", async || timeout(Duration::from_millis(200), driver.changed()).await.is_err()).await;
    let before = front_of(&driver).await;
    signal(before, Signal::KILL);
    timeout(PATIENCE, driver.changed()).await.expect("the front's end is told");
    another_front(&driver, before).await;
    signal(process_at(&place, "front-run").expect("it is there"), Signal::KILL);
    timeout(PATIENCE, async {
        while process_at(&place, "front-run").is_some() {
            driver.changed().await;
        }
    })
    .await
    .expect("the supervisor's end is told");
}

#[tokio::test]
async fn the_front_outlives_its_supervisor_and_the_next_one_holds_its_sockets() {
    let (place, address, stack) = (Place::new(), free(), Stack::start(1).await);
    let driver = place.driver(&format!("listen = '{address}'"));
    driver.ensure_running().await.unwrap();
    order(&driver, 3, &stack).await;
    let newcomers = Newcomers::at(address);
    for how in [Signal::KILL, Signal::TERM] {
        let (front, supervisor) = (front_of(&driver).await, process_at(&place, "front-run").expect("it is there"));
        signal(supervisor, how);
        until("it is gone", async || process_at(&place, "front-run").is_none()).await;
        newcomers.more().await;
        driver.ensure_running().await.unwrap();
        assert_eq!(front_of(&driver).await, front, "the front is the same");
        signal(front, Signal::KILL);
        another_front(&driver, front).await;
        newcomers.more().await;
    }
    assert_eq!(newcomers.refused().await, [""; 0]);
}

#[tokio::test]
async fn a_front_that_hangs_is_replaced_and_whoever_connects_meanwhile_is_answered() {
    let (place, address, stack) = (Place::new(), free(), Stack::start(1).await);
    let driver = place.driver(&format!("listen = '{address}'"));
    driver.ensure_running().await.unwrap();
    order(&driver, 4, &stack).await;
    // One whose control socket was handed over: who made that is somebody else.
    let driver = place.driver(&format!("listen = '{address}'\nthreads = 1"));
    driver.ensure_running().await.unwrap();
    let before = front_of(&driver).await;
    signal(before, Signal::STOP);
    until("it is stopped", async || {
        fs::read_to_string(format!("/proc/{before}/stat")).is_ok_and(|stat| stat.contains(") T "))
    })
    .await;
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { User::at(address).ask("/").await });
    another_front(&driver, before).await;
    assert_eq!(waiting.join_all().await, [Ok(1)]);
    assert_eq!(generation(&driver).await, 4);
    driver.ensure_running().await.unwrap();
    let trouble = driver.trouble(Clock::real().host());
    let why = trouble.iter().find_map(|trouble| match trouble {
        FrontTrouble::Ended { why, .. } => Some(why.as_str()),
        _ => None,
    });
    assert!(why.is_some_and(|why| why.contains("did not answer") && why.contains("it was stopped")), "{trouble:?}");
}

#[tokio::test]
async fn a_front_that_left_and_does_not_obey_is_ended_however_often_the_sockets_were_handed_on() {
    let (place, address, blue, green) = (Place::new(), free(), Stack::start(1).await, Stack::start(2).await);
    let front = async |threads: u32| {
        let driver = place.driver(&format!("listen = '{address}'\nthreads = {threads}"));
        driver.ensure_running().await.unwrap();
        driver
    };
    front(1).await;
    // The control socket says of this one that it is the first.
    let second = front(2).await;
    order(&second, 1, &blue).await;
    let pid = front_of(&second).await;
    let mut slow = JoinSet::new();
    slow.spawn(async move { User::at(address).ask("/slow").await });
    until("a user waits", async || blue.waiting.load(SeqCst)).await;
    let third = front(3).await;
    signal(pid, Signal::STOP);
    order(&third, 2, &green).await;
    until("it is gone", async || !fs::exists(format!("/proc/{pid}")).unwrap()).await;
    assert_eq!(User::at(address).ask("/").await, Ok(2));
}

#[tokio::test]
async fn when_both_are_killed_the_controller_is_told_and_starts_both() {
    let (place, address, stack) = (Place::new(), free(), Stack::start(1).await);
    let driver = place.driver(&format!("listen = '{address}'"));
    driver.ensure_running().await.unwrap();
    order(&driver, 6, &stack).await;
    until("nothing more is told", async || timeout(Duration::from_millis(200), driver.changed()).await.is_err()).await;
    signal(process_at(&place, "front-run").expect("it is there"), Signal::KILL);
    signal(front_of(&driver).await, Signal::KILL);
    timeout(PATIENCE, driver.changed()).await.expect("it is told");
    driver.ensure_running().await.unwrap();
    assert_eq!(User::at(address).ask("/").await, Ok(1));
    assert_eq!(generation(&driver).await, 6);
}

#[tokio::test]
async fn there_is_one_supervisor_however_many_are_started() {
    let (place, address) = (Place::new(), free());
    let drivers = [(); 4].map(|()| place.driver(&format!("listen = '{address}'")));
    let all = futures_util::future::join_all(drivers.iter().map(|driver| driver.ensure_running())).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    let more = Command::new(BINARY).args(["front-run", "--folder"]).arg(place.path()).status().unwrap();
    assert!(more.success(), "one more makes way");
    assert_eq!(place.processes().len(), 2, "a supervisor and a front");
}

#[tokio::test]
async fn a_front_that_is_told_to_end_finishes_beside_the_next_one() {
    let (place, address, stack) = (Place::new(), free(), Stack::start(1).await);
    let driver = place.driver(&format!("listen = '{address}'"));
    driver.ensure_running().await.unwrap();
    order(&driver, 1, &stack).await;
    let mut slow = JoinSet::new();
    slow.spawn(async move { User::at(address).ask("/slow").await });
    until("a user waits", async || stack.waiting.load(SeqCst)).await;
    let newcomers = Newcomers::at(address);
    newcomers.more().await;
    let before = front_of(&driver).await;
    signal(before, Signal::TERM);
    another_front(&driver, before).await;
    newcomers.more().await;
    stack.gate.notify_one();
    assert_eq!(slow.join_all().await, [Ok(1)], "what was open was finished");
    assert_eq!(newcomers.refused().await, [""; 0]);
}

#[tokio::test]
async fn whoever_connects_while_no_front_can_begin_waits_and_is_answered_by_the_next() {
    let (place, address, stack) = (Place::new(), free(), Stack::start(1).await);
    let settings = format!("listen = '{address}'");
    let driver = place.driver(&settings);
    driver.ensure_running().await.unwrap();
    order(&driver, 2, &stack).await;
    let file = place.path().join("settings.toml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, "listen = 'nowhere'").unwrap();
    signal(front_of(&driver).await, Signal::KILL);
    until("none answers", async || driver.seen().await.is_err()).await;
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { User::at(address).ask("/").await });
    until("it was tried more than once", async || {
        fs::read_to_string(place.path().join("last-words")).is_ok_and(|said| said.matches("nowhere").count() > 1)
    })
    .await;
    fs::write(&file, good).unwrap();
    driver.ensure_running().await.unwrap();
    assert_eq!(waiting.join_all().await, [Ok(1)]);
}

#[tokio::test]
async fn after_a_change_of_address_a_killed_front_is_back_at_the_new_one() {
    let (place, old, new) = (Place::new(), free(), free());
    let driver = place.driver(&format!("listen = '{old}'"));
    driver.ensure_running().await.unwrap();
    let driver = place.driver(&format!("listen = '{new}'"));
    driver.ensure_running().await.unwrap();
    let before = front_of(&driver).await;
    signal(before, Signal::KILL);
    another_front(&driver, before).await;
    assert!(TcpStream::connect(new).await.is_ok());
    until("nobody listens at the old one", async || TcpStream::connect(old).await.is_err()).await;
}

#[tokio::test]
async fn a_folder_that_was_moved_is_found_again() {
    let (place, address) = (Place::new(), free());
    let (before, after) = (place.path().join("before"), place.path().join("after"));
    let table = format!("listen = '{address}'").parse().unwrap();
    let driver = BuiltinFront::run_by(BINARY.into(), &table, &before).unwrap();
    driver.ensure_running().await.unwrap();
    fs::rename(&before, &after).unwrap();
    let driver = BuiltinFront::run_by(BINARY.into(), &table, &after).unwrap();
    let front = front_of(&driver).await;
    signal(front, Signal::KILL);
    another_front(&driver, front).await;
    driver.ensure_running().await.unwrap();
    driver.ensure_running().await.unwrap();
    assert!(TcpStream::connect(address).await.is_ok());
}

#[tokio::test]
async fn both_end_when_told_so_with_the_supervisor_there_and_without() {
    let (place, address) = (Place::new(), free());
    let driver = place.driver(&format!("listen = '{address}'"));
    for supervised in [true, false] {
        driver.ensure_running().await.unwrap();
        if !supervised {
            signal(process_at(&place, "front-run").expect("it is there"), Signal::KILL);
        }
        let ended = Command::new(BINARY).args(["front-run", "--end", "--folder"]).arg(place.path()).status().unwrap();
        assert!(ended.success());
        until("both are gone", async || place.processes().is_empty()).await;
        // A process that ends loses its command line first, and its sockets after that.
        until("nobody listens", async || TcpStream::connect(address).await.is_err()).await;
    }
    let again = Command::new(BINARY).args(["front-run", "--end", "--folder"]).arg(place.path()).status().unwrap();
    assert!(again.success(), "there is nothing left to end");
}

#[tokio::test]
async fn a_front_that_has_hardly_begun_ends_with_its_supervisor_too() {
    let (place, address) = (Place::new(), free());
    let driver = place.driver(&format!("listen = '{address}'"));
    driver.ensure_running().await.unwrap();
    for _ in 0..5 {
        signal(front_of(&driver).await, Signal::KILL);
        let ended = Command::new(BINARY).args(["front-run", "--end", "--folder"]).arg(place.path()).status().unwrap();
        assert!(ended.success());
        until("both are gone", async || place.processes().is_empty()).await;
        driver.ensure_running().await.unwrap();
    }
}
