//! `cargo bench --bench openstack [ROUNDS]`: one deployment on a real Heat behind a real nginx, by the classical script with
//! OpenStack's own clients, by Pointsman, and by what a bare REST client needs at least; and what waiting costs with twenty
//! deployments. Loopback only. `benches/openstack/install.sh` installs the clients once.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a benchmark"
)]

#[path = "../../tests/support/address.rs"]
mod address;
#[path = "../../tests/support/cloud.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod cloud;
#[path = "../../tests/support/faults.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod faults;
#[path = "../../tests/support/git.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod git;
#[path = "../../tests/support/house.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod house;
#[path = "../../tests/support/nginx.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod nginx;
#[path = "../../tests/support/peers.rs"]
mod peers;
#[path = "../../tests/support/processes.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod processes;
#[path = "../../tests/support/soon.rs"]
mod soon;
#[path = "../../tests/support/wire.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod wire;

mod sides;
mod waiting;

use std::time::Duration;

use self::{
    cloud::cloud,
    faults::Proxy,
    sides::{Classical, Floor, Ours},
};

/// Times of one deployment.
#[derive(Clone, Default)]
struct Took {
    traffic: Duration,
    total: Duration,
    calls: usize,
    lists: usize,
    cpu: f64,
}

/// The one in the middle.
fn median(all: &[Took], what: impl Fn(&Took) -> f64) -> f64 {
    let mut values: Vec<f64> = all.iter().map(what).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn row(name: &str, all: &[Took]) {
    println!(
        "  {name:<34} {:>8.2} s {:>8.2} s {:>6.0} {:>6.0} {:>8.2} s",
        median(all, |t| t.traffic.as_secs_f64()),
        median(all, |t| t.total.as_secs_f64()),
        median(all, |t| t.calls as f64),
        median(all, |t| t.lists as f64),
        median(all, |t| t.cpu),
    );
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn main() {
    let rounds: u32 = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(5);
    let Some(cloud) = cloud() else { return };
    // Each asks through a proxy of its own, which counts.
    let (Some(mut classical), Some(mut ours)) = (Classical::set_up(cloud), Ours::set_up(cloud)) else { return };
    let mut floor = Floor::new(cloud);
    let (mut floors, mut scripts, mut pointsman) = (Vec::new(), Vec::new(), Vec::new());
    println!("{rounds} deployments of each, in turn; load before: {}", load());
    // The first of each replaces nothing, and is not counted.
    for round in 0..=rounds {
        let version = format!("v{round}");
        let took = (floor.deploy(&version), classical.deploy(&version), ours.deploy(&version));
        if round > 0 {
            floors.push(took.0);
            scripts.push(took.1);
            pointsman.push(took.2);
            let seconds = |took: &[Took]| took.last().map_or(0.0, |t| t.traffic.as_secs_f64());
            let (floor, script, ours) = (seconds(&floors), seconds(&scripts), seconds(&pointsman));
            println!("  {round}: to traffic {floor:.2} s, {script:.2} s, {ours:.2} s; load {}", load());
        }
    }
    println!("  median of each {:>28} {:>10} {:>6} {:>6} {:>10}", "traffic", "old gone", "calls", "lists", "CPU");
    row("floor: bare REST, no front", &floors);
    row("classical script", &scripts);
    row("Pointsman", &pointsman);
    let traffic = |of: &[Took]| median(of, |t| t.traffic.as_secs_f64());
    println!("  time to traffic: {:.2} times the floor", traffic(&pointsman) / traffic(&floors));
    println!("  the script takes {:.1} times as long to traffic", traffic(&scripts) / traffic(&pointsman));
    println!("  Pointsman's last: {}", ours.phases());
    println!("  load after: {}", load());
    ours.end();
    waiting::measure(cloud, &Proxy::before(cloud));
}
