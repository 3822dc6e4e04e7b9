//! Enumerates what may happen next.

use super::{
    canon::{Core, id},
    config::{CLOCKS, Config, Obedience},
    runs::{self, Run},
    ways::Way,
    world::{Cloud, Hand, Id, Ids, Look, N, Request, UNKNOWN, Wish, World, small},
};
use crate::machine::{Condition, Effect, Event, Fencing, Generation, Millis, Number, Observation};

/// One thing that happens. Controllers, clocks and slots are named by their index; the slot of a stack is its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The sender delivers a build's webhook to a controller.
    Hook(usize, u8),
    /// A person looks, decides, and sends a command.
    Issue(Wish),
    /// The command arrives.
    Obey(usize, Wish),
    /// A controller looks.
    Look(usize),
    /// It sees the front as it was before, and maybe not yet the newest stack.
    StaleLook(usize, bool),
    /// The provider does not answer, or the front does not.
    BlindLook(usize, bool),
    /// It acts on what it saw: an event, or what is due is taken in hand.
    Act(usize, usize),
    /// The same, where all deadlines are over by the clock and only so much was watched.
    ActAway(usize, usize),
    /// It takes in hand what would change nothing now.
    ActAgain(usize, usize),
    /// It sends what it has in hand.
    Send(usize),
    /// Its view reaches the disk (rules R1, R2 off).
    Sync(usize),
    /// It ends and is started again.
    Crash(usize),
    /// Another controller takes over.
    TakeLease(usize),
    /// A request arrives and is carried out.
    Deliver(Request),
    /// A request is carried out and is still on its way.
    Repeat(Request),
    /// A request is lost.
    Lose(Request),
    /// A stack comes up, passes its checks at last, is stopped at last, or is gone at last.
    Progress(usize),
    /// A stack cannot be made.
    CreateFails(usize),
    /// A stack cannot be torn down.
    RetireFails(usize),
    /// The checks of a stack change their mind.
    Flap(usize),
    /// A stack is gone.
    Vanish(usize),
    /// A stack dies.
    Break(usize),
    /// Whoever looks after it brings it up again.
    Revived(usize),
    /// It does not stop.
    StopFails(usize),
    /// Its provider replaces an instance.
    Replace(usize),
    /// The run of a deployment's hook ends well.
    RunEnds(Id, u8),
    /// The run of a deployment's hook ends badly.
    RunFails(Id, u8),
    /// The last request in flight on a stack is answered.
    Drained(Id),
    /// Somebody repoints the front, with a generation of their own or without.
    Repoint(Way, bool),
    /// The front forgets its route.
    Amnesia,
    /// The repository has no such definition.
    NotThere(Id),
    /// The repository is not the one it was.
    Rewrite,
}

impl Action {
    /// What happens in the end without anybody's ill will: a run is over when no such thing is left.
    pub(super) fn is_progress(self, world: &World) -> bool {
        match self {
            Self::Look(_) | Self::Act(..) | Self::Send(_) | Self::Sync(_) | Self::Obey(..) => true,
            Self::Deliver(_) | Self::Progress(_) | Self::Drained(_) | Self::RunEnds(..) => true,
            Self::TakeLease(_) => !world.controllers.iter().any(|c| c.leads),
            _ => false,
        }
    }
}

/// The last of the clocks.
pub(super) const LAST: usize = CLOCKS.len() - 1;

/// What a look shows when it comes at the last of the clocks and only the time of that one was watched.
pub(super) fn away(look: &Look, watched: usize) -> Observation {
    let mut seen = look.observation();
    seen.looked.since = Millis(CLOCKS[LAST].0 - CLOCKS[watched].0);
    seen
}

/// What a look shows when all time until it was watched, by lives of the controller that are over.
fn looped(seen: &Observation, now: Millis) -> Observation {
    let mut seen = seen.clone();
    (seen.looked.since, seen.looked.before) = (now, [(Millis(0), now)].into());
    seen
}

/// What a controller makes of a look.
pub(super) enum Due {
    Event(Event),
    /// What would change something, and what would not.
    Effects(Hand, Hand),
}

impl Config<'_> {
    pub(super) fn base<'a>(&self, world: &'a World, c: usize) -> &'a Core {
        world.controllers[c].view.as_ref().unwrap_or(&world.core)
    }

    /// Where a stack is found (rule R6).
    pub(super) fn slot(&self, id: Id) -> usize {
        if self.on(6) { usize::from(id) } else { usize::from(id % 2) }
    }

    /// A fresh and complete look.
    pub(super) fn look(&self, world: &World, c: usize) -> Look {
        let order = |r: Request| matches!(r, Request::CutOver(..) | Request::Refresh(..));
        let known = |leads: bool| self.on(17) || leads;
        let hands = world.controllers.iter().filter(|c| known(c.leads)).flat_map(|c| c.hand.iter());
        let on_its_way = world.net.iter().chain(hands).any(order);
        let quiet = self.fencing().quiet(Millis(0), Millis((!on_its_way).into()), self.core_rules());
        let awaits = world.core.env.active().filter(|d| d.release.awaits_definition()).map_or(0, |d| id(d.number));
        let given = world.controllers[c].given;
        let given = if Generation(given.into()) == self.base(world, c).env.generation() { given } else { 0 };
        let refused = self.front == Obedience::Refuses;
        let (stacks_answer, front_answers, old) = (true, true, false);
        let restarts = self.base(world, c).env.restart().map_or(0, |r| id(r.number));
        let mut cloud = world.cloud;
        if !self.on(68) && cloud.outdated() {
            cloud.front.way = Way::whole(UNKNOWN);
        }
        let (may_rise, may_fall) = if self.stop_first { self.on_their_way(world, c) } else { Default::default() };
        Look { cloud, restarts, stacks_answer, front_answers, awaits, quiet, old, given, refused, may_rise, may_fall }
    }

    /// The stacks that a request can still make or start, and those that one can still stop by an order that is not their last.
    fn on_their_way(&self, world: &World, c: usize) -> (Ids, Ids) {
        let (mut may_rise, mut may_fall) = (Ids::default(), Ids::default());
        let env = &self.base(world, c).env;
        let last = |n: Id| env.run_order(Number(n.into())).map_or(0, |run| run.order);
        for request in world.net.iter().chain(world.controllers.iter().flat_map(|c| c.hand.iter())) {
            match request {
                Request::Ensure(n) | Request::Revive(n) | Request::Start(n, _) | Request::Adopt(n) => may_rise.add(n),
                Request::Stop { id, order, .. } if u64::from(order) < last(id) => may_fall.add(id),
                _ => {}
            }
        }
        (may_rise, may_fall)
    }

    /// An older look: the front before its last change, the newest stack perhaps not yet listed.
    pub(super) fn stale_look(&self, world: &World, c: usize, listed: bool) -> Look {
        let mut look = self.look(world, c);
        (look.cloud.front.way, look.cloud.front.generation) = world.before;
        if let Some(newest) = look.cloud.stacks.iter_mut().rev().find(|t| t.is_some())
            && !listed
        {
            *newest = None;
        }
        // The wait has to cover the staleness of reads (rule R23).
        look.quiet &= self.fencing() == Fencing::CompareAndSet || !self.on(23);
        look
    }

    pub(super) fn due(&self, world: &World, c: usize, core: &Core, seen: &Observation, now: Millis) -> Due {
        let again = self.looped.then(|| looped(seen, now));
        let seen = again.as_ref().unwrap_or(seen);
        if let Some(event) = core.env.tick(seen, now) {
            return Due::Event(event);
        }
        let (mut useful, mut idle) = (Hand::default(), Hand::default());
        for effect in core.env.effects(seen, now) {
            let request = match effect {
                Effect::Freeze(n) => Request::Fetch(id(n)),
                Effect::Ensure(n) if core.env.release_of(n).is_some_and(|r| r.adopts.is_some()) => {
                    Request::Adopt(id(n))
                }
                Effect::Ensure(n) if !core.env.may_make(n) => Request::Revive(id(n)),
                Effect::Ensure(n) => Request::Ensure(id(n)),
                Effect::RunHook { number, hook } => Request::Run(id(number), runs::hook(&hook)),
                Effect::Stage(n) => Request::Stage(id(n)),
                Effect::Restart { number, instance, order } => {
                    Request::Restart(id(number), small(instance), small(order))
                }
                Effect::CutOver { to, generation } | Effect::Refresh { to, generation } => {
                    let (way, refreshes) = (Way::of(to), matches!(effect, Effect::Refresh { .. }));
                    let moved = world.cloud.stack(way.base).is_some_and(|t| t.moved);
                    let generation = small(generation.0);
                    // Each order says where its stack is reached at that moment.
                    if moved || refreshes {
                        Request::Refresh(way, generation, moved)
                    } else {
                        Request::CutOver(way, generation)
                    }
                }
                Effect::Stop(permit) => {
                    Request::Stop { id: id(permit.number()), order: small(permit.order()), patient: now < CLOCKS[1] }
                }
                Effect::Start(permit) => Request::Start(id(permit.number()), small(permit.order())),
                Effect::Retire(permit) if world.controllers[c].forgot.has(id(permit.number())) => continue,
                Effect::Retire(permit) => Request::Retire { id: id(permit.number()), patient: now < CLOCKS[1] },
            };
            if world.net.has(request) {
                continue;
            }
            // A front that never obeys is told all the same.
            let told = |g: u8| self.front == Obedience::Obeys || world.controllers[c].given == g;
            let untold = matches!(request, Request::CutOver(_, g) if !told(g));
            if untold || self.changes(&world.cloud, request) { useful.add(request) } else { idle.add(request) }
        }
        Due::Effects(useful, idle)
    }

    fn changes(&self, cloud: &Cloud, request: Request) -> bool {
        let mut after = *cloud;
        self.perform(&mut after, request);
        after != *cloud
    }

    /// The clocks at which acting on a look does something, each different thing once.
    fn chances(&self, world: &World, c: usize, look: &Look) -> Vec<(usize, bool, bool)> {
        let (core, seen) = (self.base(world, c), look.observation());
        let mut chances: Vec<(usize, bool, bool)> = Vec::new();
        let mut last: Option<(Option<Event>, Hand, Hand)> = None;
        for (k, now) in CLOCKS.into_iter().enumerate() {
            let result = match self.due(world, c, core, &seen, now) {
                Due::Event(event) => (Some(event), Hand::default(), Hand::default()),
                Due::Effects(useful, idle) => (None, useful, idle),
            };
            if last.as_ref() != Some(&result) {
                chances.push((k, result.0.is_some() || !result.1.is_empty(), !result.2.is_empty()));
            }
            last = Some(result);
        }
        chances
    }

    fn is_useful(&self, world: &World, c: usize, look: &Look) -> bool {
        self.chances(world, c, look).iter().any(|chance| chance.1)
            || world.left.away > 0 && !self.chances_away(world, c, look).is_empty()
    }

    /// How much may have been watched for acting on a look to write something when all time is over by the clock.
    fn chances_away(&self, world: &World, c: usize, look: &Look) -> Vec<usize> {
        let core = self.base(world, c);
        let event = |j: &usize| core.env.tick(&away(look, *j), CLOCKS[LAST]).is_some();
        (0..LAST).filter(event).collect()
    }

    /// All that may happen next. Nothing does once a promise was broken.
    pub(super) fn all_actions(&self, world: &World, out: &mut Vec<Action>) {
        if world.told.broken.is_some() {
            return;
        }
        (0..self.controllers).for_each(|c| self.controller_actions(world, c, out));
        self.world_actions(world, out);
        self.people_actions(world, out);
    }

    fn controller_actions(&self, world: &World, c: usize, out: &mut Vec<Action>) {
        let controller = &world.controllers[c];
        if !controller.hand.is_empty() && world.net.has_room(controller.hand.len()) {
            out.push(Action::Send(c));
        }
        if !controller.leads {
            let nobody = !world.controllers.iter().any(|c| c.leads);
            if self.controllers > 1 && (world.left.takeover > 0 || nobody) {
                out.push(Action::TakeLease(c));
            }
            return;
        }
        if controller.view.as_ref().is_some_and(|v| *v != world.core) && (self.controllers == 1 || self.on(16)) {
            out.push(Action::Sync(c));
        }
        if world.left.crash > 0 {
            out.push(Action::Crash(c));
        }
        let builds = (0..self.builds).filter(|b| world.left.hooks[usize::from(*b)] > 0);
        out.extend(builds.map(|b| Action::Hook(c, b)));
        out.extend(world.wishes.iter().map(|w| Action::Obey(c, w)));
        if controller.hand.is_empty() {
            self.looking(world, c, out);
        }
    }

    fn looking(&self, world: &World, c: usize, out: &mut Vec<Action>) {
        if let Some(look) = &world.controllers[c].seen {
            let mut of_use = false;
            for (k, useful, idle) in self.chances(world, c, look) {
                of_use |= useful;
                if useful {
                    out.push(Action::Act(c, k));
                }
                if idle && world.left.resend > 0 {
                    out.push(Action::ActAgain(c, k));
                }
            }
            if world.left.away > 0 {
                let chances = self.chances_away(world, c, look);
                of_use |= !chances.is_empty();
                out.extend(chances.into_iter().map(|j| Action::ActAway(c, j)));
            }
            if of_use {
                return;
            }
        }
        let fresh = self.look(world, c);
        if self.is_useful(world, c, &fresh) {
            out.push(Action::Look(c));
        }
        if world.left.stale > 0 {
            for listed in [false, true] {
                let stale = self.stale_look(world, c, listed);
                if stale != fresh && self.is_useful(world, c, &stale) {
                    out.push(Action::StaleLook(c, listed));
                }
            }
        }
        if world.left.blind > 0 {
            let blind = [Look { stacks_answer: false, ..fresh }, Look { front_answers: false, ..fresh }];
            let useful = blind.iter().zip([false, true]).filter(|(look, _)| self.is_useful(world, c, look));
            out.extend(useful.map(|(_, front)| Action::BlindLook(c, front)));
        }
    }

    fn world_actions(&self, world: &World, out: &mut Vec<Action>) {
        for request in world.net.iter() {
            out.push(Action::Deliver(request));
            if world.left.repeat > 0 && self.changes(&world.cloud, request) {
                out.push(Action::Repeat(request));
            }
            if world.left.lose > 0 {
                out.push(Action::Lose(request));
            }
            if let Request::Fetch(id) = request
                && world.left.refuse > 0
            {
                out.push(Action::NotThere(id));
            }
        }
        if world.left.rewrite > 0 {
            out.push(Action::Rewrite);
        }
        for slot in 0..N {
            let Some(thing) = world.cloud.stacks[slot] else { continue };
            let left = &world.left;
            let mut may = |possible: bool, action| {
                if possible {
                    out.push(action)
                }
            };
            match thing.condition {
                Condition::Creating => {
                    may(true, Action::Progress(slot));
                    may(left.create_fails > 0, Action::CreateFails(slot));
                }
                Condition::Deleting => {
                    may(true, Action::Progress(slot));
                    may(left.retire_fails > 0, Action::RetireFails(slot));
                }
                Condition::Ready => {
                    may(thing.health == crate::machine::Health::Unknown, Action::Progress(slot));
                    may(left.flap > 0, Action::Flap(slot));
                    may(left.die > 0, Action::Vanish(slot));
                    may(left.die > 0, Action::Break(slot));
                    may(left.replace > 0, Action::Replace(slot));
                }
                Condition::Stopping => {
                    may(true, Action::Progress(slot));
                    may(left.stop_fails > 0, Action::StopFails(slot));
                }
                Condition::Failed => may(left.revive > 0, Action::Revived(slot)),
                Condition::Stopped => {}
            }
        }
        // Nobody looks at the run of a hook that is no longer wanted.
        let wanted = |n: Id, hook: u8| {
            world.core.env.hooks_ordered().any(|(number, h)| id(number) == n && runs::hook(&h.name) == hook)
        };
        let running = world.cloud.runs.begun().filter(|(_, _, run)| *run == Run::Running);
        for (id, hook, _) in running.filter(|(id, hook, _)| wanted(*id, *hook)) {
            out.extend(self.ends(hook).then_some(Action::RunEnds(id, hook)));
            out.extend((self.ends(hook) && world.left.run_fails > 0).then_some(Action::RunFails(id, hook)));
        }
        out.extend(world.cloud.front.busy.iter().map(Action::Drained));
        if world.left.drift > 0 {
            self.drifting(world, out);
        }
    }

    /// When someone repoints the front to a stack after it was seen elsewhere for the last time, nothing helps any more
    /// once its tear-down was allowed: then only others than that are modelled.
    fn drifting(&self, world: &World, out: &mut Vec<Action>) {
        let on_its_way = || world.net.iter().chain(world.controllers.iter().flat_map(|c| c.hand.iter()));
        let tear_down = on_its_way().any(|r| matches!(r, Request::Retire { .. } | Request::Stop { .. }));
        let held = world.controllers.iter().any(|c| c.seen.is_some());
        if !tear_down && !held {
            let ready = world.cloud.stacks.iter().flatten().filter(|t| t.condition == Condition::Ready);
            let known = ready.map(|t| t.owner).filter(|id| world.told.passed.has(*id));
            let now = world.cloud.front.way;
            let known: Vec<Id> = known.collect();
            let shared = known.iter().filter_map(|id| self.ways_by_hand(now, *id));
            let whole = known.iter().copied().chain([0]).map(Way::whole).filter(|way| *way != now);
            for way in whole.chain(shared) {
                out.push(Action::Repoint(way, false));
                out.push(Action::Repoint(way, true));
            }
        }
        if self.fenced
            && !held
            && !on_its_way().any(|r| matches!(r, Request::CutOver(..) | Request::Refresh(..)))
            && !tear_down
        {
            out.push(Action::Amnesia);
        }
    }

    /// Whether nothing happens any more unless somebody wants something or something breaks.
    pub(super) fn is_quiet(&self, world: &World) -> bool {
        let busy = !world.net.is_empty() || !world.wishes.is_empty() || !world.cloud.front.busy.is_empty();
        if busy || world.controllers.iter().any(|c| !c.hand.is_empty()) {
            return false;
        }
        let mut out = Vec::new();
        self.world_actions(world, &mut out);
        if out.iter().any(|a| a.is_progress(world)) {
            return false;
        }
        (0..self.controllers).for_each(|c| self.controller_actions(world, c, &mut out));
        !out.iter().any(|a| a.is_progress(world))
    }
}
