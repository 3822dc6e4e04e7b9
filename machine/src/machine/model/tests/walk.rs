//! Random schedules: worlds too hostile to be explored whole, walked to their end again and again.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::atomic::{AtomicU64, Ordering},
};

use stateright::Model;

use super::{
    config::{Budget, Config},
    explore::whole,
    promises::PROMISES,
    worlds::worlds,
};

/// A seed from `MODEL_SEED`, or a new one. The same seed walks the same schedules.
fn seed() -> u64 {
    let given = std::env::var("MODEL_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| RandomState::new().hash_one("seed"))
}

/// Every world with more of everything that may go wrong.
pub(super) fn crueler(world: &Config<'static>) -> Config<'static> {
    let more = |n: u8| n * 2;
    let b = world.budget;
    let budget = Budget {
        hooks: [2, 2, 1],
        crash: 2,
        lose: 2,
        repeat: 2,
        resend: 2,
        flap: 3,
        create_fails: 1,
        retire_fails: 1,
        die: more(b.die),
        revive: more(b.revive),
        stop_fails: more(b.stop_fails),
        replace: more(b.replace),
        takeover: more(b.takeover),
        stale: more(b.stale),
        blind: 1 + b.blind,
        drift: b.drift,
        refuse: b.refuse,
        run_fails: 1 + b.run_fails,
        rewrite: more(b.rewrite),
        away: more(b.away),
        wishes: 3,
    };
    Config { budget, builds: world.builds.max(2), ..*world }
}

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One schedule from beginning to end; how many steps it had.
fn walk(config: &Config<'static>, seed: u64) -> u64 {
    let (mut world, mut state, mut actions) = (config.start(), seed, Vec::new());
    let mut path = Vec::new();
    loop {
        if let Some((promise, _)) = PROMISES.iter().find(|(_, holds)| !holds(config, &world)) {
            panic!("{}, seed {seed}, {} steps: broke {promise}\n{path:?}", config.name, path.len());
        }
        actions.clear();
        config.actions(&world, &mut actions);
        if actions.is_empty() {
            return path.len() as u64;
        }
        let action = actions[(random(&mut state) % actions.len() as u64) as usize];
        path.push(action);
        if let Some(next) = config.step(&world, action) {
            world = next;
        }
    }
}

#[expect(clippy::print_stdout, reason = "a random test prints its seed")]
fn walk_all(schedules: u64) {
    let seed = seed();
    println!("MODEL_SEED={seed}");
    let worlds: Vec<Config<'static>> = worlds().collect();
    let (next, steps) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= schedules {
                return;
            }
            let world = crueler(&worlds[(n % worlds.len() as u64) as usize]);
            steps.fetch_add(walk(&world, random(&mut (seed ^ n))), Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    println!("{schedules} schedules, {} steps", steps.load(Ordering::Relaxed));
}

#[test]
fn no_random_schedule_breaks_a_promise() {
    walk_all(if whole() { 20_000 } else { 2_000 });
}

#[test]
#[ignore = "the long run: 20 million schedules"]
fn no_random_schedule_breaks_a_promise_in_the_long_run() {
    walk_all(20_000_000);
}
