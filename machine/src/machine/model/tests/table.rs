//! The transitions of the core as they are reached in small worlds, frozen: a change of behaviour that keeps every
//! promise still shows here. `BLESS=1 cargo test --lib machine::model::tests::table` writes the file anew.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    fmt::Write,
};

use stateright::Model;

use super::{
    actions::{Action, Due, LAST, away},
    canon::Core,
    config::{Budget, CLOCKS, Config, Obedience, People},
    source::Repository,
    step_worlds::{ONE_STEP, STEPS},
    stop_worlds::{MAINTENANCE, STOP_FIRST},
    world::World,
    worlds::{NOTHING_WRONG, PLAIN},
};
use crate::machine::{Back, Event, HookPoint::*, HookProgress, Otherwise, Phase, Promise, RecoverTo, Retain};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/machine/model/tests/transitions.txt");

/// How far each is followed, breadth first.
const ENOUGH: usize = 40_000;

const B: Budget = NOTHING_WRONG;

/// Small worlds that together reach every kind of event.
const SMALL: [Config<'static>; 33] = [
    Config { stranger: true, budget: Budget { wishes: 2, ..B }, ..PLAIN },
    Config { budget: Budget { wishes: 1, flap: 1, ..B }, ..PLAIN },
    Config { retain: Retain::None, budget: Budget { create_fails: 1, retire_fails: 1, ..B }, ..PLAIN },
    Config { gate_start: Some(Otherwise::Abort), gate_cutover: Some(Otherwise::Approve), budget: B, ..PLAIN },
    Config { retain: Retain::UntilNext, budget: Budget { die: 2, ..B }, ..PLAIN },
    Config { live_at_start: false, budget: Budget { wishes: 1, ..B }, ..PLAIN },
    Config { people: People::HoldPinVeto, budget: Budget { wishes: 2, ..B }, ..PLAIN },
    Config { budget: Budget { drift: 1, ..B }, ..PLAIN },
    Config { fenced: false, long_requests: true, budget: Budget { blind: 1, repeat: 1, ..B }, ..PLAIN },
    Config {
        builds: 2,
        numbered: true,
        gate_cutover: Some(Otherwise::Abort),
        budget: Budget { hooks: [2, 1, 0], ..B },
        ..PLAIN
    },
    Config {
        people: People::HoldPinVeto,
        gate_cutover: Some(Otherwise::Approve),
        budget: Budget { wishes: 2, ..B },
        ..PLAIN
    },
    Config { source: Repository::Answers, budget: Budget { refuse: 1, wishes: 1, ..B }, ..PLAIN },
    Config {
        guarded: true,
        gate_start: Some(Otherwise::Approve),
        gate_cutover: Some(Otherwise::Abort),
        budget: Budget { wishes: 2, ..B },
        ..PLAIN
    },
    Config { hooks: &[BeforeProvisioning, AfterChecks, BeforeCutover], budget: Budget { run_fails: 1, ..B }, ..PLAIN },
    Config { hooks: &[AfterCutover, OnRollback, OnRetire], budget: Budget { run_fails: 1, wishes: 1, ..B }, ..PLAIN },
    Config { live_at_start: false, adopts: 1, budget: Budget { flap: 1, wishes: 1, ..B }, ..PLAIN },
    Config { live_at_start: false, adopts: 1, builds: 2, retain: Retain::None, budget: B, ..PLAIN },
    Config {
        recover: RecoverTo::Standby,
        retain: Retain::UntilNext,
        budget: Budget { die: 1, wishes: 1, ..B },
        ..PLAIN
    },
    Config {
        live_at_start: false,
        fenced: false,
        always_on: true,
        builds: 2,
        budget: Budget { wishes: 1, ..B },
        ..PLAIN
    },
    Config { front: Obedience::Refuses, budget: Budget { wishes: 2, ..B }, ..PLAIN },
    Config { strayed: 4, people: People::HoldPinVeto, budget: Budget { drift: 2, wishes: 1, ..B }, ..PLAIN },
    Config { stranger: true, builds: 0, budget: Budget { wishes: 2, flap: 1, ..B }, ..PLAIN },
    Config {
        stranger: true,
        live_at_start: false,
        unknown_at_start: true,
        builds: 0,
        budget: Budget { wishes: 2, ..B },
        ..PLAIN
    },
    Config { slow_checks: true, budget: Budget { away: 1, flap: 1, ..B }, ..PLAIN },
    Config { flapped: 1, builds: 0, budget: Budget { flap: 3, ..B }, ..PLAIN },
    Config { looped: true, budget: Budget { flap: 1, ..B }, ..PLAIN },
    Config { people: People::Restart, builds: 0, budget: Budget { die: 1, wishes: 2, ..B }, ..PLAIN },
    Config { budget: Budget { flap: 1, wishes: 1, ..B }, ..STEPS },
    Config { budget: Budget { flap: 1, die: 1, wishes: 2, ..B }, ..ONE_STEP },
    Config { pause: Some(Otherwise::Abort), builds: 2, budget: Budget { drift: 1, ..B }, ..ONE_STEP },
    Config { budget: Budget { flap: 1, wishes: 2, ..B }, ..STOP_FIRST },
    Config { live_at_start: false, builds: 2, budget: Budget { stop_fails: 1, create_fails: 1, ..B }, ..STOP_FIRST },
    Config { budget: Budget { wishes: 3, ..B }, ..MAINTENANCE },
];

/// How far hooks are: how many are over, and whether one runs or failed.
fn hooks(progress: &HookProgress) -> String {
    match progress {
        HookProgress { done: 0, ordered: false, .. } => String::new(),
        HookProgress { failed: Some(_), .. } => " hook failed".to_owned(),
        HookProgress { done, ordered: true, .. } => format!(" hooks {done}+1"),
        HookProgress { done, .. } => format!(" hooks {done}"),
    }
}

/// A phase in a few words.
fn phase(phase: &Phase) -> String {
    let to = |back: Option<&Back>| back.map_or_else(String::new, |back| format!(" {:?}", back.outcome));
    match phase {
        Phase::Reverting { to, outcome, .. } => format!("Reverting {outcome:?} to {}", to.map_or(0, |n| n.0)),
        Phase::CuttingOver { share: Some(share), .. } => format!("CuttingOver {share}"),
        Phase::CuttingOver { .. } => "CuttingOver".to_owned(),
        Phase::Watching { share } => format!("Watching {share}"),
        Phase::RevertRequested { share, outcome, .. } => format!("RevertRequested {outcome:?} at {share}"),
        Phase::Paging { back, .. } => format!("Paging{}", to(back.as_ref())),
        Phase::Stopping { back, .. } => format!("Stopping{}", to(back.as_ref())),
        Phase::Starting { outcome, .. } => format!("Starting {outcome:?}"),
        Phase::RollbackRequested { .. } => "RollbackRequested".to_owned(),
        phase => format!("{phase:?}"),
    }
}

/// A state in a few words.
fn words(core: &Core) -> String {
    let env = &core.env;
    let mut out = String::new();
    let mut say = |what: std::fmt::Arguments<'_>| out.write_fmt(what).unwrap();
    if let Some(d) = env.active() {
        let phase = phase(&d.phase);
        let called = if d.operator_needed { "!" } else { "" };
        let awaits = if d.release.awaits_definition() { " undefined" } else { "" };
        let stranger = if env.is_stranger(d.number) { " of before" } else { "" };
        let adopts = if d.release.adopts.is_some() { " adopts" } else { stranger };
        let hooks = hooks(&d.progress);
        let goes = if d.hurried { " hurried" } else { "" };
        let goes = if d.paused.is_some() { " paused" } else { goes };
        say(format_args!("{}:{phase}{called} {:?}{awaits}{adopts}{goes}{hooks} ", d.number, d.trigger));
    }
    env.queue().iter().for_each(|d| say(format_args!("queued {} ", d.number)));
    say(format_args!("gen {} live {}", env.generation(), core.live()));
    if env.live().is_some_and(|s| s.proven) {
        say(format_args!(" good"));
    }
    if let Some(standby) = env.standby() {
        let promise = match standby.promise {
            Promise::Until(_) => "Until",
            Promise::WhileBaking => "WhileBaking",
            Promise::UntilNext => "UntilNext",
        };
        let suspect = if standby.suspect { " suspect" } else { "" };
        say(format_args!(" standby {} {promise}{suspect}", standby.stack.number));
    }
    for r in env.retiring() {
        let hooks = hooks(&r.progress);
        say(format_args!(" retiring {}{}{hooks}", r.number, if r.operator_needed { "!" } else { "" }));
    }
    env.strangers().iter().for_each(|n| say(format_args!(" let go {n}")));
    if env.drift().is_some() {
        say(format_args!(" drift"));
    }
    if let Some(straying) = env.straying() {
        let called = if straying.operator_needed { "!" } else { "" };
        say(format_args!(" strayed {}{called}", straying.in_a_row));
    }
    if let Some(down) = env.down() {
        say(format_args!(" down{}", if down.operator_needed { "!" } else { "" }));
    }
    if let Some(flaps) = env.flaps() {
        say(format_args!(" went down {}", flaps.times));
    }
    if let Some(restart) = env.restart() {
        let one = if restart.instance.is_some() { " of one" } else { "" };
        say(format_args!(" restart {}{one}", restart.order));
    }
    for run in &env.runs {
        say(format_args!(" {} {} by {}", if run.stop { "stopped" } else { "started" }, run.number, run.order));
    }
    if env.maintenance().is_some() {
        say(format_args!(" maintenance"));
    }
    if env.hold().is_some() {
        say(format_args!(" held"));
    }
    env.pin().iter().for_each(|pin| say(format_args!(" pin {pin}")));
    env.vetoes().iter().for_each(|v| say(format_args!(" veto {}", v.release)));
    env.ended().iter().skip(1).for_each(|e| say(format_args!(" {}={:?}", e.number, e.outcome)));
    out
}

/// The event's name, without what it carries.
fn kind(event: &Event) -> String {
    let text = format!("{event:?}");
    text.split([' ', '{']).next().unwrap().to_owned()
}

/// What is done, and what it makes of the state.
fn row(config: &Config<'static>, world: &World, action: Action, next: &World) -> Option<String> {
    let before = &world.core;
    let what = match action {
        Action::Hook(..) => "hook".to_owned(),
        Action::Obey(_, wish) => format!("{wish:?}"),
        Action::Act(c, k) => {
            let seen = world.controllers[c].seen?.observation();
            match config.due(world, c, before, &seen, CLOCKS[k]) {
                Due::Event(event) => format!("{k} {}", kind(&event)),
                Due::Effects(hand, _) => format!("{k} {:?}", hand.iter().collect::<Vec<_>>()),
            }
        }
        Action::ActAway(c, watched) => {
            let look = world.controllers[c].seen?;
            let event = before.env.tick(&away(&look, watched), CLOCKS[LAST])?;
            format!("away {watched} {}", kind(&event))
        }
        _ => return None,
    };
    let after = if before == &next.core { "the same".to_owned() } else { words(&next.core) };
    Some(format!("{} | {what} | {after}", words(before)))
}

fn rows(config: &Config<'static>, out: &mut BTreeSet<String>) {
    let start = config.start();
    let (mut known, mut queue) = (HashSet::from([start.clone()]), VecDeque::from([start]));
    let mut actions = Vec::new();
    while let Some(world) = queue.pop_front()
        && known.len() < ENOUGH
    {
        actions.clear();
        config.actions(&world, &mut actions);
        for action in actions.drain(..) {
            let Some(next) = config.step(&world, action) else { continue };
            out.extend(row(config, &world, action, &next));
            if known.insert(next.clone()) {
                queue.push_back(next);
            }
        }
    }
}

#[test]
fn the_transitions_are_as_they_were() {
    let mut out = BTreeSet::new();
    SMALL.iter().for_each(|config| rows(config, &mut out));
    let table = out.into_iter().collect::<Vec<_>>().join("\n") + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(FILE, &table).unwrap();
    }
    let frozen = std::fs::read_to_string(FILE).unwrap();
    let changed =
        table.lines().filter(|row| !frozen.contains(row)).chain(frozen.lines().filter(|r| !table.contains(r)));
    let changed: Vec<_> = changed.take(5).collect();
    assert!(table == frozen, "changed, among others:\n{}", changed.join("\n"));
}
