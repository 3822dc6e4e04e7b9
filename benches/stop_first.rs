//! `cargo bench --bench stop_first [ROUNDS]`: an application that must never run twice, deployed and rolled back by the real
//! program while clients ask all the while: without and with requests held by the built-in front. Seconds that users get the
//! page or wait, and what became of each request. Loopback only; everything that is started here is ended here.
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
#[path = "../tests/support/house.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod house;
#[path = "../tests/support/processes.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod processes;
#[path = "../tests/support/soon.rs"]
mod soon;
#[path = "../tests/support/waiting.rs"]
mod waiting;
#[path = "../tests/support/wire.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod wire;

use std::time::Duration;

use self::{
    house::House,
    waiting::{Got, Waiting},
};

const CLIENTS: usize = 16;
const TERMS: &str = "strategy = \"stop-first\"\nbake = \"200ms\"\nretain = \"until-next\"";

fn main() {
    let rounds = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(5);
    println!("a deployment and its rollback, {rounds} times, with {CLIENTS} clients that ask all the while");
    println!("  hold    | what       | downtime s | requests | failed | got the page | longest wait s");
    for (name, front) in [("without", ""), ("with", ", hold = { within = \"30s\", requests = 1000 }")] {
        let house = live(front);
        for round in 0..rounds {
            let version = format!("v{}", round + 2);
            row(name, "deployment", &house, || {
                house.push(&version, "");
                house.settle();
                house.assert_live(&version);
            });
            row(name, "rollback", &house, || {
                let out = house.run(&["rollback", "shop/live", "--reason", "measured", "--watch"]);
                assert!(out.status.success(), "{out:?}");
                house.settle();
                house.assert_live("v1");
            });
            // A rollback holds the environment, so that no build undoes it.
            assert!(house.run(&["resume", "shop/live"]).status.success());
        }
    }
}

/// A house with v1 live, whose application ends at once where another one of it runs.
fn live(front: &str) -> House {
    let house = House::with(TERMS);
    let pipeline = std::fs::read_to_string(house.path("pipelines/shop.toml")).unwrap();
    house.write("pipelines/shop.toml", &pipeline.replacen(":8080\"", &format!(":8080\"{front}"), 1));
    let lock = house.path("lock").display().to_string();
    house.write(
        "stacks/process/app.toml",
        &house.definition(&format!(
            "exec flock --nonblock --no-fork --conflict-exit-code 42 {lock} {{pointsman}} sample --listen \
             {{address}}:{{port}} --version {{version}}"
        )),
    );
    house.start();
    house.push("v1", "");
    house.settle();
    house.assert_live("v1");
    house
}

fn row(hold: &str, what: &str, house: &House, act: impl FnOnce()) {
    let clients = Waiting::at(house.front(), CLIENTS);
    act();
    let all = clients.end();
    let sum = |of: fn(&Got) -> u64| all.iter().map(of).sum::<u64>();
    let longest = all.iter().map(|got| got.longest).max().unwrap_or(Duration::ZERO);
    println!(
        "  {hold:7} | {what:10} | {:10.2} | {:8} | {:6} | {:12} | {:.2}",
        house.environment().unwrap()["last_downtime"].as_f64().unwrap() / 1000.0,
        sum(|got| got.sent),
        sum(|got| got.failed.len() as u64),
        sum(|got| got.paged),
        longest.as_secs_f64(),
    );
}
