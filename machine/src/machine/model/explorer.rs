//! All states of a world, breadth first. What follows from a state is worked out apart from what is known, so that several
//! threads may each do a part; whoever drives it says when it is enough. Must not read a clock, nor start a thread.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher},
};

use super::{
    actions::{Action, Due, LAST, away},
    config::{CLOCKS, Config},
    promises::PROMISES,
    world::{Hand, Request, World},
};
use crate::machine::Event;

/// Goes through the states of one world.
#[derive(Debug)]
pub struct Explorer<'t> {
    config: Config<'t>,
    /// Every state that is known, and the one from which it was reached first, by their fingerprints.
    known: HashMap<u64, u64, BuildHasherDefault<Print>>,
    /// The states of which it is not known what follows, nearest first.
    open: VecDeque<Open>,
    /// The most actions to a state that is known.
    depth: u32,
    broken: Option<(usize, u64)>,
}

/// A state of which it is not known what follows.
#[derive(Debug)]
pub struct Open {
    print: u64,
    depth: u32,
    world: World,
}

/// A state that follows from another one.
#[derive(Debug)]
pub struct Found {
    from: u64,
    open: Open,
    /// The promise that it breaks, by its place in the list.
    breaks: Option<usize>,
}

/// One step of the way to a broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Action that was taken.
    pub action: Action,
    /// What a controller did in it.
    pub turn: Turn,
}

/// What a controller does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// No controller is concerned, or none does anything.
    None,
    /// It records an event.
    Records(Event),
    /// It takes requests in hand.
    Takes(Vec<Request>),
}

/// Takes a fingerprint for its own hash.
#[derive(Debug, Default)]
pub(super) struct Print(u64);

impl Hasher for Print {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }
    fn write_u64(&mut self, print: u64) {
        self.0 = print;
    }
}

/// Returns the fingerprint of a state. Two states with one fingerprint would count as one: among ten million that happens
/// once in three hundred thousand explorations.
fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

impl<'t> Explorer<'t> {
    pub(super) fn new(config: Config<'t>) -> Self {
        let world = config.start();
        let print = fingerprint(&world);
        let mut explorer = Self { config, known: HashMap::default(), open: VecDeque::new(), depth: 0, broken: None };
        let breaks = explorer.breaks(&world);
        explorer.take(vec![Found { from: print, open: Open { print, depth: 0, world }, breaks }]);
        explorer
    }

    /// Returns the next states of which it is not known what follows, at most so many; none once a promise was broken. They are
    /// followed, and what is found is taken, before the next ones are asked for.
    pub fn next(&mut self, most: usize) -> Vec<Open> {
        if self.broken.is_some() {
            return Vec::new();
        }
        self.open.drain(..most.min(self.open.len())).collect()
    }

    /// Works out what follows from these, as far as that is not known.
    pub fn follow(&self, open: &[Open]) -> Vec<Found> {
        let (mut found, mut actions) = (Vec::new(), Vec::new());
        for Open { print: from, depth, world } in open {
            actions.clear();
            self.config.all_actions(world, &mut actions);
            for action in actions.drain(..) {
                let Some(world) = self.config.step(world, action) else { continue };
                let print = fingerprint(&world);
                if !self.known.contains_key(&print) {
                    let breaks = self.breaks(&world);
                    found.push(Found { from: *from, open: Open { print, depth: depth + 1, world }, breaks });
                }
            }
        }
        found
    }

    /// Takes what was found, in the order in which the states were asked for. The first one that breaks a promise is one of
    /// those that do in the fewest steps.
    pub fn take(&mut self, found: Vec<Found>) {
        for Found { from, open, breaks } in found {
            if self.broken.is_some() || self.known.contains_key(&open.print) {
                continue;
            }
            self.known.insert(open.print, from);
            self.depth = self.depth.max(open.depth);
            self.broken = breaks.map(|promise| (promise, open.print));
            self.open.push_back(open);
        }
    }

    /// Number of the states that are known.
    pub fn states(&self) -> usize {
        self.known.len()
    }

    /// The most actions that lead to one of them.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// Number of states of which it is not known what follows; 0: all are known that there are.
    pub fn left(&self) -> usize {
        self.open.len()
    }

    /// The promise that can be broken, if one was found.
    pub fn broken(&self) -> Option<&'static str> {
        self.broken.map(|(promise, _)| PROMISES[promise].0)
    }

    /// Returns the shortest way to what breaks a promise; none where nothing does.
    pub fn way(&self) -> Vec<Moved> {
        let mut prints: Vec<u64> = Vec::new();
        let mut print = self.broken.map(|(_, print)| print);
        while let Some(at) = print {
            prints.push(at);
            print = self.known.get(&at).copied().filter(|from| *from != at);
        }
        let mut world = self.config.start();
        let mut way = Vec::new();
        for print in prints.into_iter().rev().skip(1) {
            let mut actions = Vec::new();
            self.config.all_actions(&world, &mut actions);
            let leads = |action: Action| {
                let next = self.config.step(&world, action).filter(|next| fingerprint(next) == print)?;
                Some((Moved { action, turn: self.turn(&world, action) }, next))
            };
            let Some((moved, next)) = actions.into_iter().find_map(leads) else { break };
            way.push(moved);
            world = next;
        }
        way
    }

    fn breaks(&self, world: &World) -> Option<usize> {
        PROMISES.iter().position(|(_, holds)| !holds(&self.config, world))
    }

    /// What a controller does in an action.
    fn turn(&self, world: &World, action: Action) -> Turn {
        let records = |event: Option<Event>| event.map_or(Turn::None, Turn::Records);
        let takes = |hand: Hand| Turn::Takes(hand.iter().collect());
        let look = |c: usize| world.controllers[c].seen.as_ref();
        match action {
            Action::Obey(c, wish) => records(self.config.answer(world, c, wish)),
            Action::Act(c, clock) | Action::ActAgain(c, clock) => {
                let Some(look) = look(c) else { return Turn::None };
                let core = self.config.base(world, c);
                match self.config.due(world, c, core, &look.observation(), CLOCKS[clock]) {
                    Due::Event(event) => records(Some(event)),
                    Due::Effects(mut useful, idle) => {
                        if matches!(action, Action::ActAgain(..)) {
                            idle.iter().for_each(|request| useful.add(request));
                        }
                        takes(useful)
                    }
                }
            }
            Action::ActAway(c, watched) => {
                let core = self.config.base(world, c);
                records(look(c).and_then(|look| core.env.tick(&away(look, watched), CLOCKS[LAST])))
            }
            Action::Send(c) => takes(world.controllers[c].hand),
            _ => Turn::None,
        }
    }
}
