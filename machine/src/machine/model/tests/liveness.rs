//! Every run ends: the graph of what can happen has no cycle, and every end of it is clean. (`eventually` of stateright
//! is sound on paths without cycles only; so that there are none is shown here.)

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use stateright::Model;

use super::{
    actions::Action,
    config::{Budget, Config},
    explore::whole,
    promises::PROMISES,
    world::World,
    worlds::{NOTHING_WRONG, PLAIN, worlds},
};

fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

struct Visit {
    world: World,
    print: u64,
    actions: Vec<Action>,
    longest: u32,
}

fn visit(config: &Config<'static>, world: World, print: u64) -> Visit {
    let mut actions = Vec::new();
    config.actions(&world, &mut actions);
    if actions.is_empty() {
        let (what, holds) = PROMISES[10];
        assert!(holds(config, &world), "{}: {what}: {world:#?}", config.name);
    }
    Visit { world, print, actions, longest: 0 }
}

/// Depth first; returns the states and the length of the longest run.
fn every_run_ends(config: &Config<'static>) -> (usize, u32) {
    let (mut done, mut on_path) = (HashMap::new(), HashSet::new());
    let start = config.start();
    let print = fingerprint(&start);
    on_path.insert(print);
    let mut path = vec![visit(config, start, print)];
    while let Some(top) = path.last_mut() {
        let Some(action) = top.actions.pop() else {
            let Visit { print, longest, .. } = *top;
            on_path.remove(&print);
            done.insert(print, longest);
            path.pop();
            if let Some(parent) = path.last_mut() {
                parent.longest = parent.longest.max(longest + 1);
            }
            continue;
        };
        let Some(next) = config.step(&top.world, action) else { continue };
        let print = fingerprint(&next);
        if let Some(longest) = done.get(&print) {
            top.longest = top.longest.max(longest + 1);
        } else {
            assert!(on_path.insert(print), "{}: {action:?} closes a cycle: {next:#?}", config.name);
            path.push(visit(config, next, print));
        }
    }
    (done.len(), done[&fingerprint(&config.start())])
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are what one runs this for")]
fn every_run_ends_cleanly() {
    let some = if whole() { usize::MAX } else { 1 };
    for world in worlds().take(some) {
        let b = world.budget;
        let one = |n: u8| n.min(1);
        let budget = Budget {
            hooks: [1, world.builds.saturating_sub(1), 0],
            crash: 0,
            lose: one(b.lose),
            wishes: one(b.wishes) * u8::from(world.builds == 1 && b.lose + b.takeover + b.drift + b.stale == 0),
            takeover: one(b.takeover),
            drift: one(b.drift),
            stale: one(b.stale),
            die: one(b.die),
            revive: one(b.revive),
            stop_fails: one(b.stop_fails),
            refuse: one(b.refuse),
            run_fails: one(b.run_fails),
            rewrite: one(b.rewrite),
            away: one(b.away),
            ..NOTHING_WRONG
        };
        let builds = if world.numbered { world.builds } else { 1 };
        let (states, longest) = every_run_ends(&Config { budget, builds, ..world });
        println!("{}: {states} states, the longest run has {longest} steps", world.name);
    }
    let cruel = Budget { resend: 1, create_fails: 1, wishes: 1, ..NOTHING_WRONG };
    let (states, longest) = every_run_ends(&Config { budget: cruel, ..PLAIN });
    println!("everything once: {states} states, the longest run has {longest} steps");
}
