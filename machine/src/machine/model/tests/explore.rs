//! Every state that can be reached, by stateright.

use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::{
    actions::Action,
    config::Config,
    promises::PROMISES,
    walk::crueler,
    world::World,
    worlds::{large_worlds, worlds},
};

impl Model for Config<'static> {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.start()]
    }

    fn actions(&self, world: &World, out: &mut Vec<Action>) {
        self.all_actions(world, out);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        self.step(world, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! always {
            ($($i:literal)*) => {{
                const { assert!([$($i),*].len() == PROMISES.len(), "a promise is not judged") };
                vec![$(Property::always(PROMISES[$i].0, |c: &Config<'static>, w: &World| (PROMISES[$i].1)(c, w))),*]
            }};
        }
        always!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
            33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52)
    }
}

/// Result of an exploration.
pub(super) struct Found {
    pub(super) states: usize,
    pub(super) took: Duration,
    /// The promise that was broken, and how.
    pub(super) broken: Option<(&'static str, Vec<Action>)>,
}

#[expect(clippy::disallowed_methods, reason = "how long an exploration took")]
pub(super) fn explore_up_to(config: Config<'static>, threads: usize, cap: usize) -> Found {
    let began = std::time::Instant::now();
    let checker = config
        .checker()
        .threads(threads)
        .target_state_count(cap)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let broken = checker.discoveries().into_iter().map(|(name, path)| (name, path.into_actions()));
    let broken = broken.min_by_key(|(name, path)| (path.len(), *name));
    Found { states: checker.unique_state_count(), took: began.elapsed(), broken }
}

#[expect(clippy::print_stdout, reason = "the figures are what one runs this for")]
pub(super) fn assert_kept(config: Config<'static>, cap: usize) -> usize {
    let found = explore_up_to(config, 2, cap);
    println!("{}: {} states in {:.1} s", config.name, found.states, found.took.as_secs_f64());
    if let Some((promise, path)) = found.broken {
        let mut world = config.start();
        for action in &path {
            world = config.step(&world, *action).unwrap();
            println!("  {action:?}");
        }
        println!("  ends in {world:#?}");
        panic!("{}: broken after {} steps: {promise}", config.name, path.len());
    }
    found.states
}

/// Where to stop: after `MODEL_CAP` generated states, while the model is being worked on.
fn cap(usual: usize) -> usize {
    std::env::var("MODEL_CAP").ok().and_then(|cap| cap.parse().ok()).unwrap_or(usual)
}

/// Whether all of it is to be explored, as `tests/run` and CI do; else the first steps of each world are.
pub(super) fn whole() -> bool {
    std::env::var_os("POINTSMAN_MODEL").is_some_and(|how| how == "whole")
}

#[test]
fn every_promise_is_kept_in_every_world() {
    let only = std::env::var("MODEL_ONLY").unwrap_or_default();
    let worlds = worlds().filter(|w| w.name.contains(&only));
    let usual = if whole() { usize::MAX } else { 20_000 };
    let states: usize = worlds.map(|w| assert_kept(w, cap(usual))).sum();
    let large = large_worlds().filter(|w| w.name.contains(&only));
    large.for_each(|w| _ = assert_kept(w, cap(usual.min(400_000))));
    assert!(states >= 17_000_000 || !only.is_empty() || !whole(), "only {states} states");
}

#[test]
#[ignore = "the long run: the same worlds, crueler, the first 8 million steps of each"]
fn every_promise_is_kept_in_crueler_worlds() {
    large_worlds().for_each(|w| _ = assert_kept(w, cap(usize::MAX)));
    let states: usize = worlds().map(|w| assert_kept(crueler(&w), cap(8_000_000))).sum();
    assert!(states >= 20_000_000, "only {states} states");
}
