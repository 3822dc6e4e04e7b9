//! All moves of the model upon an environment's own terms, on two threads, until all is known or a limit is met.

use std::thread;

use crate::machine::{
    Millis,
    model::{Explorer, Found, Moved, Open, Terms, cases},
};

/// How many states are worked out at once.
const PART: usize = 4_096;

/// When it is enough.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most states of one world.
    pub(crate) states: usize,
    /// The most states that are held until it is known what follows from them: each takes more than a kilobyte.
    pub(crate) held: usize,
    /// How long all of it may take.
    pub(crate) time: Millis,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Exploration {
    /// The worlds that were explored, in their order.
    pub(crate) worlds: Vec<World>,
    /// The promise that can be broken, in the last of them.
    pub(crate) broken: Option<Broken>,
}

/// One world that was explored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct World {
    /// What may go wrong in it.
    pub(crate) what: &'static str,
    /// Number of its states that are known.
    pub(crate) states: usize,
    /// Whether these are all that there are.
    pub(crate) whole: bool,
    /// The most actions that lead to one of them.
    pub(crate) depth: u32,
}

/// A promise that can be broken.
#[derive(Debug)]
pub(crate) struct Broken {
    /// The promise, in words.
    pub(crate) promise: &'static str,
    /// The shortest way there.
    pub(crate) way: Vec<Moved>,
}

/// Explores worlds of these terms, each in its share of the time that is left. `passed`: how long it has taken until now. Ends
/// with the first broken promise.
pub(crate) fn explore(terms: &Terms, limits: Limits, passed: impl Fn() -> Millis) -> Exploration {
    let cases = cases(terms);
    let all = cases.all();
    let mut worlds = Vec::new();
    for (place, case) in all.iter().enumerate() {
        let now = passed();
        let left = u64::try_from(all.len() - place).unwrap_or(u64::MAX).max(1);
        let until = now.plus(Millis(limits.time.since(now).0 / left));
        let mut explorer = case.explorer();
        let enough = |explorer: &Explorer<'_>| {
            explorer.states() >= limits.states || explorer.left() >= limits.held || passed() >= until
        };
        while !enough(&explorer) && step(&mut explorer) {}
        let (states, depth, whole) = (explorer.states(), explorer.depth(), explorer.left() == 0);
        worlds.push(World { what: case.name(), states, whole, depth });
        if let Some(promise) = explorer.broken() {
            return Exploration { worlds, broken: Some(Broken { promise, way: explorer.way() }) };
        }
    }
    Exploration { worlds, broken: None }
}

/// Works out a part of what is not known. Returns whether there was any.
fn step(explorer: &mut Explorer<'_>) -> bool {
    let open = explorer.next(PART);
    let (one, other) = open.split_at(open.len() / 2);
    let found = both(explorer, one, other);
    found.into_iter().for_each(|found| explorer.take(found));
    !open.is_empty()
}

/// Works out two halves at the same time.
fn both(explorer: &Explorer<'_>, one: &[Open], other: &[Open]) -> [Vec<Found>; 2] {
    thread::scope(|scope| {
        let first = scope.spawn(|| explorer.follow(one));
        let second = explorer.follow(other);
        // Whatever a thread died of would be met again here, and told.
        [first.join().unwrap_or_else(|_| explorer.follow(one)), second]
    })
}
