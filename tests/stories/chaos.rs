//! Chaos: controller, front, supervisors and instances are killed and stopped at random under load, and the clock jumps, while
//! builds come and go. Users meet no failure that nothing explains, every deployment ends, and nothing is left over.
//!
//! `POINTSMAN_CHAOS=3600` plays an hour; `POINTSMAN_SEED` plays the same moves again, as far as the host's own timing lets it.

use std::{
    fs,
    hash::{BuildHasher, Hasher},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
    time::Duration,
};

use pointsman::clock::Stopwatch;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    house::House,
    peers,
    processes::Process,
    users::{Met, Users},
};

const SECONDS: u64 = 15;
const TERMS: &str = "bake = \"400ms\"\nretain = \"10m\"\ndeadlines = { provision = \"20s\", check = \"3s\" }";
const APPLICATION: &str = "exec {pointsman} sample --listen {address}:{port} --version {version} {parameters.extra}";

/// The library that lets the wall clock of one process jump, where Debian's package puts it.
fn faketime() -> Option<String> {
    let folders = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    let file = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|path| path.is_file())?;
    Some(file.to_str()?.to_owned())
}

/// Random numbers from a seed that is printed.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let given = std::env::var("POINTSMAN_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = given.unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish()) | 1;
        println!("POINTSMAN_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn pause(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.below(most))
    }
}

/// Part that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Controller,
    Front,
    Supervisor,
    Instance,
}

const PARTS: [Part; 4] = [Part::Controller, Part::Front, Part::Supervisor, Part::Instance];

impl Part {
    /// Whether requests may be lost that are under way when it is killed. New ones never are.
    fn carries_requests(self) -> bool {
        matches!(self, Self::Front | Self::Instance)
    }

    fn of(self, house: &House) -> Vec<Process> {
        let is = |p: &Process| match self {
            Self::Controller => p.runs("serve"),
            Self::Front => p.runs("front"),
            Self::Supervisor => p.runs("stack-run"),
            Self::Instance => p.runs("sample"),
        };
        house.processes().into_iter().filter(is).collect()
    }
}

#[test]
fn users_and_deployments_come_through_whatever_is_killed_stopped_or_moved_in_time() {
    let Some(faketime) = faketime() else { return peers::left_out("libfaketime is not installed") };
    let mut random = Random::new();
    let seconds = std::env::var("POINTSMAN_CHAOS").ok().and_then(|s| s.parse().ok()).unwrap_or(SECONDS);
    let house = House::with(TERMS);
    house.write("stacks/process/app.toml", &(house.definition(APPLICATION) + "instances = 2\n"));
    house.start();
    house.push("v0", "");
    house.settle();
    house.assert_live("v0");

    let (over, counts, users) = (AtomicBool::new(false), Counts::default(), Users::of(house.front()));
    let began = Stopwatch::start();
    thread::scope(|scope| {
        let seed = Random(random.below(u64::MAX) | 1);
        scope.spawn(|| deploy_at_random(&house, seed, &over, &counts));
        while began.elapsed() < Duration::from_secs(seconds) {
            break_something(&house, &users, &mut random, (&counts, &faketime));
            thread::sleep(random.pause(300));
        }
        over.store(true, SeqCst);
    });

    deploy(&house, "last", "", &counts);
    house.settle();
    house.assert_live("last");
    let met = users.end();
    println!("{counts:?} served {} explained {} in {} s", met.served, met.explained.len(), began.elapsed().as_secs());
    assert_all_is_well(&house, &met);
}

#[derive(Debug, Default)]
struct Counts {
    kills: AtomicU64,
    stops: AtomicU64,
    jumps: AtomicU64,
    deployments: AtomicU64,
    rollbacks: AtomicU64,
}

fn break_something(house: &House, users: &Users, random: &mut Random, (counts, faketime): (&Counts, &str)) {
    let part = PARTS[usize::try_from(random.below(4)).expect("small")];
    let processes = part.of(house);
    if processes.is_empty() {
        return;
    }
    let one = &processes[usize::try_from(random.below(processes.len() as u64)).expect("small")];
    if random.below(3) == 0 {
        counts.stops.fetch_add(1, SeqCst);
        one.signal(Signal::STOP);
        thread::sleep(random.pause(400));
        one.signal(Signal::CONT);
        return;
    }
    counts.kills.fetch_add(1, SeqCst);
    match part {
        Part::Controller => {
            house.kill();
            thread::sleep(random.pause(500));
            restart(house, random, (counts, faketime));
        }
        part if part.carries_requests() => users.weather.storm(|| one.kill(), || until_served(house)),
        _ => one.kill(),
    }
}

/// Starts the controller again, now and then with a wall clock that has jumped.
fn restart(house: &House, random: &mut Random, (counts, faketime): (&Counts, &str)) {
    let jump = ["+3600s", "-3600s", "+86400s", "+30s"][usize::try_from(random.below(4)).expect("small")];
    let variables = [("LD_PRELOAD", faketime), ("FAKETIME", jump), ("DONT_FAKE_MONOTONIC", "1")];
    let jumps = random.below(3) == 0;
    counts.jumps.fetch_add(u64::from(jumps), SeqCst);
    house.spawn_with(if jumps { &variables } else { &[] });
    house.until("the controller answers", || house.try_ask("GET", "/v1/environments", "").ok());
}

/// Waits until users are served by new connections, several times in a row.
fn until_served(house: &House) {
    house.until("users are served again", || (0..8).all(|_| house.live_version().is_some()).then_some(()));
}

fn deploy_at_random(house: &House, mut random: Random, over: &AtomicBool, counts: &Counts) {
    for number in 1.. {
        if over.load(SeqCst) {
            return;
        }
        match random.below(6) {
            0 => roll_back(house, counts),
            1 => deploy(house, &format!("sick{number}"), "--broken", counts),
            2 => deploy(house, &format!("crashing{number}"), "--crash-after 300ms", counts),
            _ => deploy(house, &format!("good{number}"), "", counts),
        }
        house.settle();
        thread::sleep(random.pause(500));
    }
}

fn deploy(house: &House, version: &str, extra: &str, counts: &Counts) {
    counts.deployments.fetch_add(1, SeqCst);
    let body = json!({ "version": version, "artifact": "none", "parameters": { "extra": extra } }).to_string();
    let accepted = |r: &Value| r["event"]["kind"] == "accepted" && r["event"]["release"]["version"] == *version;
    house.wish("/v1/environments/shop/live/deploy", &body, accepted);
}

fn roll_back(house: &House, counts: &Counts) {
    let Some(live) = house.environment().and_then(|now| now["live"]["number"].as_u64()) else { return };
    counts.rollbacks.fetch_add(1, SeqCst);
    let body = json!({ "number": live, "reason": "chaos" }).to_string();
    // Refused where nothing is left to go back to: that is an answer as well.
    house
        .until("the rollback is answered", || house.try_ask("POST", "/v1/environments/shop/live/rollback", &body).ok());
}

fn assert_all_is_well(house: &House, met: &Met) {
    assert!(met.served > 0);
    assert_eq!(met.unexplained, Vec::<String>::new(), "{}", house.log());
    assert_eq!(met.refused, 0, "no connection is refused: {:?}", met.explained);
    house.assert_nothing_left();
    let records = house.records();
    let of = |kind: &str| records.iter().filter(|r| r["event"]["kind"] == kind).collect::<Vec<_>>();
    for accepted in of("accepted") {
        let number = accepted["event"]["number"].as_u64().expect("a number");
        let ends = ["ended", "succeeded", "undone", "rollback_went_cold"];
        let ended = records.iter().any(|r| {
            ends.iter().any(|end| r["event"]["kind"] == *end) && r["event"]["number"].as_u64() == Some(number)
        });
        let superseded = house
            .try_ask("GET", &format!("/v1/deployments/shop/live/{number}"), "")
            .is_ok_and(|answer| ["superseded", "aborted"].iter().any(|end| answer.body.contains(end)));
        assert!(ended || superseded, "deployment {number} has no end\n{}", house.log());
    }
    let bad = |r: &Value| {
        let version = r["event"]["release"]["version"].as_str().unwrap_or_default();
        version.starts_with("sick") || version.starts_with("crashing")
    };
    let bad: Vec<u64> =
        of("accepted").iter().filter(|r| bad(r)).filter_map(|r| r["event"]["number"].as_u64()).collect();
    let good = of("succeeded").iter().filter_map(|r| r["event"]["number"].as_u64()).collect::<Vec<_>>();
    assert!(bad.iter().all(|number| !good.contains(number)), "bad {bad:?} among the good {good:?}");
    assert!(house.stop().success());
    house.assert_verified();
}
