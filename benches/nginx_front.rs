//! `cargo bench --bench nginx_front [DEPLOYMENTS]`: deployments through an nginx front while users ask all the time, by two
//! slots and a flag, and in the same run as it is usually done: the include is rewritten and nginx reloaded. Loopback
//! only; everything that is started here is ended here.
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
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use pointsman::web_front::{CutOver, Target};

use self::{
    herd::{route, stack},
    nginx::Nginx,
    wire::Wire,
};

const CLIENTS: usize = 16;
/// Pause between two requests of one client.
const PACE: Duration = Duration::from_millis(10);
/// Pause between two deployments, and between stage and cutover.
const PAUSE: Duration = Duration::from_millis(150);

/// A request that was answered, or not.
struct Asked {
    sent: Instant,
    done: Instant,
    /// The stack that answered; 0: anything but 200; none: the connection was reset.
    answer: Option<u32>,
}

/// When an order was given and when it was acknowledged.
struct Order {
    to: u32,
    given: Instant,
    acknowledged: Instant,
}

struct Users {
    over: Arc<AtomicBool>,
    all: Vec<JoinHandle<Vec<Asked>>>,
}

impl Users {
    fn of(front: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let one = |_| {
            let over = over.clone();
            std::thread::spawn(move || ask(front, &over))
        };
        Self { all: (0..CLIENTS).map(one).collect(), over }
    }

    fn end(self) -> Vec<Asked> {
        self.over.store(true, SeqCst);
        self.all.into_iter().flat_map(|user| user.join().unwrap()).collect()
    }
}

fn ask(front: SocketAddr, over: &AtomicBool) -> Vec<Asked> {
    let (mut asked, mut kept) = (Vec::new(), None);
    while !over.load(SeqCst) {
        let wire = kept.take().map_or_else(|| Wire::open(front), Ok);
        let sent = Instant::now();
        let answer = wire.and_then(|mut wire: Wire| {
            let answer = wire.ask("GET", "/", "", "")?;
            kept = answer.headers.get("connection").is_none_or(|c| c != "close").then_some(wire);
            Ok(answer)
        });
        let version = |answer: wire::Answer| answer.headers.get("x-version").and_then(|v| v.parse().ok()).unwrap_or(0);
        let answer = answer.ok().map(|answer| if answer.status == 200 { version(answer) } else { 0 });
        asked.push(Asked { sent, done: Instant::now(), answer });
        std::thread::sleep(PACE);
    }
    asked
}

fn milliseconds(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3;
    format!("p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99))
}

fn tell(name: &str, asked: &[Asked], orders: &[Order]) -> usize {
    let errors = asked.iter().filter(|a| a.answer == Some(0)).count();
    let resets = asked.iter().filter(|a| a.answer.is_none());
    let during = |a: &&Asked| orders.iter().any(|o| a.done >= o.given && a.sent <= o.acknowledged);
    let (all, at_orders) = (resets.clone().count(), resets.filter(during).count());
    let (mut late, mut last_old) = (0, Vec::new());
    for (index, order) in orders.iter().enumerate() {
        let until = orders.get(index + 1).map(|next| next.given);
        let old = |a: &&Asked| a.sent >= order.given && until.is_none_or(|u| a.done < u) && is_old(a, order.to);
        let old: Vec<_> = asked.iter().filter(old).collect();
        late += old.iter().filter(|a| a.sent > order.acknowledged).count();
        last_old.push(old.iter().map(|a| a.sent - order.given).max().unwrap_or_default());
    }
    let took = orders.iter().map(|o| o.acknowledged - o.given).collect();
    println!("{name}: {} deployments, {} requests", orders.len(), asked.len());
    println!(
        "  5xx {errors}, resets {all} (while an order was under way {at_orders}), old answers after it returned {late}"
    );
    println!("  the order returned: {}", milliseconds(took));
    println!("  last old request sent after the order was given: {}", milliseconds(last_old));
    all
}

fn is_old(asked: &Asked, to: u32) -> bool {
    asked.answer.is_some_and(|version| version != 0 && version != to)
}

/// Two slots: the reload comes long before, and the cutover is a rename.
async fn by_flag(deployments: u32) -> Option<usize> {
    let nginx = Nginx::start()?;
    let driver = nginx.driver();
    driver.ensure_running().await.unwrap();
    assert_eq!(driver.cut_over(&route(1, &stack(1))).await.unwrap(), CutOver::Applied);
    let users = Users::of(nginx.plain());
    let (mut orders, mut staged) = (Vec::new(), Vec::new());
    for to in 2..deployments + 2 {
        std::thread::sleep(PAUSE);
        let candidate = stack(to);
        let begun = Instant::now();
        driver.stage(&candidate).await.unwrap();
        staged.push(begun.elapsed());
        std::thread::sleep(PAUSE);
        let given = Instant::now();
        assert_eq!(driver.cut_over(&route(to.into(), &candidate)).await.unwrap(), CutOver::Applied);
        orders.push(Order { to, given, acknowledged: Instant::now() });
    }
    std::thread::sleep(PAUSE);
    let resets = tell("two slots and a flag", &users.end(), &orders);
    println!("  staging, which nobody waits for: {}", milliseconds(staged));
    Some(resets)
}

/// One include, rewritten, and a reload.
fn by_reload(deployments: u32) -> Option<usize> {
    let nginx = Nginx::set_up()?;
    let include = nginx.path("conf.d/app.inc");
    let write = |target: &Target| {
        let text = format!("upstream app {{ server {}; keepalive 64; }}\n", target.reach.addresses()[0]);
        fs::write(nginx.path("app.new"), text).unwrap();
        fs::rename(nginx.path("app.new"), &include).unwrap();
    };
    write(&stack(1));
    let plain = fs::read_to_string(nginx.path("conf.d/plain.conf")).unwrap();
    let plain = plain.replace("proxy_pass http://$pointsman_slot;", "proxy_pass http://app;");
    fs::write(nginx.path("conf.d/plain.conf"), format!("include {};\n{plain}", include.display())).unwrap();
    nginx.run();
    let users = Users::of(nginx.plain());
    let mut orders = Vec::new();
    for to in 2..deployments + 2 {
        std::thread::sleep(PAUSE * 2);
        let target = stack(to);
        let given = Instant::now();
        write(&target);
        assert!(nginx.command(&["-t"]).status.success());
        assert!(nginx.command(&["-s", "reload"]).status.success());
        orders.push(Order { to, given, acknowledged: Instant::now() });
    }
    std::thread::sleep(PAUSE);
    Some(tell("include and reload", &users.end(), &orders))
}

#[tokio::main]
async fn main() {
    let deployments = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(50);
    let (Some(ours), Some(theirs)) = (by_flag(deployments).await, by_reload(deployments)) else { return };
    println!("resets in all: {ours} by two slots, {theirs} by reloads");
}
