//! What becomes of the world when something happens.

use super::{
    actions::{self, Action, Due},
    canon::{self, Core, id},
    config::{CLOCKS, Config, Obedience},
    people::{ASKER, issue},
    promises::Promise,
    runs::Run,
    source::Repository,
    ways::Way,
    world::{Cloud, Controller, Front, Hand, Ids, Look, Request, STRANGER, Thing, Told, UNKNOWN, World},
};
use crate::machine::{Ask, Condition, Event, Health, Key, Number, Phase, Refusal, Release, ReleaseDraft, Trigger};

impl Config<'_> {
    pub(super) fn start(&self) -> World {
        let mut cloud = Cloud::default();
        let (mut told, mut before) = (Told::default(), (Way::default(), 0));
        if self.live_at_start {
            cloud.stacks[self.slot(1)] = Some(Thing::new(1, Condition::Ready, Health::Passing));
            cloud.front = Front { way: Way::whole(1), generation: 1, staged: 1, ..Front::default() };
            let one = Ids::of(1);
            told = Told { passed: one, may_start: one, may_serve: one, obeyed: 1, ..told };
            told.defined[1] = 1;
            before = (Way::whole(1), 1);
        }
        if self.unknown_at_start {
            (cloud.front.way, told.by_hand) = (Way::whole(if self.stranger { STRANGER } else { UNKNOWN }), true);
        }
        if self.stranger {
            let owner = STRANGER;
            cloud.stacks[self.slot(owner)] = Some(Thing::new(owner, Condition::Ready, Health::Passing));
            // Whoever made it knew that it may have the traffic.
            told.passed.add(owner);
        }
        cloud.adoptee = (self.adopts > 0).then_some(0);
        let core = canon::start(self);
        let mut controllers = [Controller { leads: true, ..Controller::default() }, Controller::default()];
        if self.controllers > 1 && !self.on(16) {
            controllers[0].view = Some(core.clone());
        }
        let (net, wishes) = Default::default();
        World { core, cloud, before, net, controllers, wishes, left: self.budget, told }
    }

    /// The world after an action.
    pub(super) fn step(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        let w = &mut next;
        match action {
            Action::Hook(c, build) => self.hook(w, c, build),
            Action::Issue(wish) => issue(w, wish),
            Action::Obey(c, wish) => self.obey(w, c, wish),
            Action::Look(c) => w.controllers[c].seen = Some(self.look(world, c)),
            Action::StaleLook(c, listed) => {
                w.left.stale -= 1;
                w.controllers[c].seen = Some(self.stale_look(world, c, listed));
            }
            Action::BlindLook(c, front) => {
                w.left.blind -= 1;
                let (stacks_answer, front_answers) = (front, !front);
                w.controllers[c].seen = Some(Look { stacks_answer, front_answers, ..self.look(world, c) });
            }
            Action::Act(c, k) => self.act(w, c, k, false),
            Action::ActAgain(c, k) => self.act(w, c, k, true),
            Action::ActAway(c, watched) => self.act_away(w, c, watched),
            Action::Send(c) => self.send(w, c),
            Action::Sync(c) => w.core = w.controllers[c].view.take()?,
            Action::Crash(c) => self.crash(w, c),
            Action::TakeLease(c) => self.take_lease(w, c),
            Action::Deliver(request) => {
                w.net.remove(request);
                self.arrive(w, request);
            }
            Action::Repeat(request) => {
                w.left.repeat -= 1;
                self.arrive(w, request);
            }
            Action::Lose(request) => {
                w.left.lose -= 1;
                w.net.remove(request);
            }
            _ => self.by_itself(w, action)?,
        }
        Some(next)
    }

    /// What a cloud, a front and their people do without us.
    fn by_itself(&self, w: &mut World, action: Action) -> Option<()> {
        let stacks = &mut w.cloud.stacks;
        match action {
            Action::Progress(slot) => {
                stacks[slot] = stacks[slot]?.progressed(self.slow_checks);
            }
            Action::CreateFails(slot) => {
                w.left.create_fails -= 1;
                stacks[slot].as_mut()?.condition = Condition::Failed;
            }
            Action::RetireFails(slot) => {
                w.left.retire_fails -= 1;
                stacks[slot].as_mut()?.condition = Condition::Failed;
            }
            Action::Flap(slot) => {
                w.left.flap -= 1;
                let health = &mut stacks[slot].as_mut()?.health;
                *health = if *health == Health::Failing { Health::Passing } else { Health::Failing };
            }
            Action::Vanish(slot) => {
                w.left.die -= 1;
                stacks[slot] = None;
            }
            Action::Break(slot) => {
                w.left.die -= 1;
                stacks[slot].as_mut()?.condition = Condition::Failed;
            }
            Action::Replace(slot) => {
                w.left.replace -= 1;
                let thing = stacks[slot].as_mut()?;
                // Its checks have not asked there yet.
                (thing.moved, thing.health) = (!thing.moved, Health::Unknown);
            }
            Action::Revived(slot) | Action::StopFails(slot) => {
                let left = &mut w.left;
                *(if matches!(action, Action::Revived(_)) { &mut left.revive } else { &mut left.stop_fails }) -= 1;
                stacks[slot].as_mut()?.comes_up();
            }
            Action::Drained(id) => w.cloud.front.busy.remove(id),
            Action::Repoint(to, newer) => {
                w.left.drift -= 1;
                w.cloud.front.way = to;
                w.cloud.front.generation += u8::from(newer);
                (w.told.by_hand, w.told.rollback) = (true, 0);
            }
            Action::Amnesia => {
                w.left.drift -= 1;
                w.cloud.front = Front { busy: w.cloud.front.busy, ..Front::default() };
                (w.told.by_hand, w.told.rollback) = (true, 0);
            }
            Action::RunEnds(id, hook) => w.cloud.runs.set(id, hook, Run::Passed),
            Action::RunFails(id, hook) => {
                w.left.run_fails -= 1;
                w.cloud.runs.set(id, hook, Run::Failed);
            }
            Action::NotThere(id) => {
                w.left.refuse -= 1;
                w.net.remove(Request::Fetch(id));
                w.cloud.source.refuse(id);
            }
            Action::Rewrite => {
                w.left.rewrite -= 1;
                w.cloud.source.rewrite();
            }
            _ => return None,
        }
        Some(())
    }

    fn hook(&self, w: &mut World, c: usize, build: u8) {
        w.left.hooks[usize::from(build)] -= 1;
        let build_number = self.numbered.then(|| u64::from(build) + 1);
        let adopts = (build < self.adopts).then(canon::adopts);
        let by_hand = self.by_hand == w.left.hooks[usize::from(build)] + 1;
        let mut key = [build + 1; 16];
        if by_hand {
            // The first byte is the build, and this one is of its name.
            key[15] = u8::MAX;
        }
        let command = Ask::Deploy {
            key: Key(key),
            build_number,
            release: ReleaseDraft::New(Release { adopts, ..canon::draft(self) }),
            plan: self.plan(),
            trigger: if by_hand { Trigger::Person } else { Trigger::Build },
        };
        match self.base(w, c).env.command(&command.into(), ASKER) {
            Ok(event) => self.commit(w, c, &event, None, self.on(2)),
            Err(Refusal::Duplicate(_)) => {}
            Err(_) => return,
        }
        w.told.acked.add(build);
    }

    fn act(&self, w: &mut World, c: usize, k: usize, again: bool) {
        let Some(look) = w.controllers[c].seen.take() else { return };
        let seen = look.observation();
        match self.due(w, c, self.base(w, c), &seen, CLOCKS[k]) {
            Due::Event(event) => {
                let flaps = self.base(w, c).env.flaps();
                let too_soon = flaps.is_some_and(|flaps| CLOCKS[k] < flaps.settle());
                if matches!(event, Event::LiveUp { .. }) && too_soon {
                    w.told.broken = Some(Promise::CalledUpTooSoon);
                }
                let base = self.base(w, c).clone();
                self.judge_step(w, &base, &event, k);
                self.commit(w, c, &event, Some(&look), self.on(1));
                if self.on(5) {
                    return;
                }
                w.controllers[c].seen = None;
                self.keep_if_of_use(w, c, Look { old: true, ..look });
            }
            Due::Effects(useful, idle) => {
                w.controllers[c].hand = useful;
                if again {
                    w.left.resend -= 1;
                    idle.iter().for_each(|r| w.controllers[c].hand.add(r));
                }
                self.judge_effects(w, c, &look);
            }
        }
    }

    /// It acts after a time in which nobody could look.
    fn act_away(&self, w: &mut World, c: usize, watched: usize) {
        let Some(look) = w.controllers[c].seen.take() else { return };
        w.left.away -= 1;
        let env = &self.base(w, c).env;
        let Some(event) = env.tick(&actions::away(&look, watched), CLOCKS[actions::LAST]) else { return };
        if !self.judge_away(env, &event, &look, CLOCKS[watched]) {
            w.told.broken = Some(Promise::JudgedUnwatched);
        }
        self.commit(w, c, &event, Some(&look), self.on(1));
    }

    /// Writes an event into the journal, or only into memory where rule R1 or R2 is off.
    pub(super) fn commit(&self, w: &mut World, c: usize, event: &Event, look: Option<&Look>, durable: bool) {
        let base = w.controllers[c].view.clone().unwrap_or_else(|| w.core.clone());
        self.judge_event(w, &base, event, look);
        let Ok(next) = base.with(event) else {
            w.told.broken = Some(Promise::Refused);
            return;
        };
        if w.controllers[c].given != 0 && next.env.generation() != base.env.generation() {
            w.controllers[c].given = 0;
        }
        w.controllers[c].hand = if self.on(22) { Hand::default() } else { w.controllers[c].hand };
        if self.controllers > 1 && !self.on(16) {
            match w.core.with(event) {
                Ok(core) => w.core = core,
                Err(_) => w.told.broken = Some(Promise::Refused),
            }
            w.controllers[c].view = Some(next);
        } else if durable {
            (w.core, w.controllers[c].view) = (next, None);
        } else {
            if let (false, Some(look)) = (self.on(1), look)
                && let Due::Effects(hand, _) = self.due(w, c, &next, &look.observation(), CLOCKS[0])
            {
                w.controllers[c].hand = hand;
            }
            w.controllers[c].view = Some(next);
        }
        if let Some(look) = w.controllers[c].seen.take() {
            self.keep_if_of_use(w, c, Look { old: true, ..look });
        }
    }

    /// Whether an older look is thrown away is the core's own decision (rule R5).
    fn keep_if_of_use(&self, w: &mut World, c: usize, look: Look) {
        let (seen, env) = (look.observation(), &self.base(w, c).env);
        let used = CLOCKS.iter().any(|now| env.tick(&seen, *now).is_some() || !env.effects(&seen, *now).is_empty());
        w.controllers[c].seen = used.then_some(look);
    }

    fn send(&self, w: &mut World, c: usize) {
        let hand = std::mem::take(&mut w.controllers[c].hand);
        for request in hand.iter() {
            if let Request::CutOver(_, generation) | Request::Refresh(_, generation, _) = request {
                w.controllers[c].given = generation;
            }
            w.net.add(request);
            if !self.on(4) {
                self.close_on_reply(w, c, request);
            }
        }
    }

    /// What a controller would do that believes "200 OK" (rule R4 off).
    fn close_on_reply(&self, w: &mut World, c: usize, request: Request) {
        let base = self.base(w, c);
        let event = match (request, base.env.active().map(|d| &d.phase)) {
            (Request::CutOver(..), Some(Phase::CuttingOver { .. })) => {
                Event::WentLive { number: active(base), host: None }
            }
            (Request::CutOver(..), Some(Phase::Reverting { .. })) => {
                Event::Reverted { number: active(base), host: None }
            }
            (Request::Ensure(_), Some(Phase::Provisioning)) => Event::Provisioned { number: active(base) },
            (Request::Retire { id, .. }, _) => Event::Retired { number: Number(id.into()) },
            _ => return,
        };
        if base.with(&event).is_ok() {
            self.commit(w, c, &event, None, true);
        }
    }

    fn crash(&self, w: &mut World, c: usize) {
        w.left.crash -= 1;
        let mut forgot = Ids::default();
        if !self.on(21) {
            w.core.env.retiring().iter().for_each(|r| forgot.add(id(r.number)));
        }
        w.controllers[c] = Controller { leads: self.controllers == 1, forgot, ..Controller::default() };
    }

    fn take_lease(&self, w: &mut World, c: usize) {
        if w.controllers.iter().any(|c| c.leads) {
            w.left.takeover -= 1;
        }
        let core = w.core.clone();
        let view = || (!self.on(16)).then(|| core.clone());
        for (i, controller) in w.controllers.iter_mut().enumerate() {
            if i == c {
                *controller = Controller { leads: true, view: view(), hand: controller.hand, ..Controller::default() };
            } else if self.on(16) {
                // Its next commit fails: all it can still do is send what it has in hand, unless it watches its lease.
                let hand = if self.on(17) && !self.fenced { Hand::default() } else { controller.hand };
                *controller = Controller { hand, ..Controller::default() };
            }
        }
    }

    fn arrive(&self, w: &mut World, request: Request) {
        let before = w.cloud.front;
        match request {
            Request::Retire { id, patient } => self.judge_retire(w, id, patient),
            Request::Ensure(id) => self.judge_ensure(w, id),
            Request::Stop { id, order, patient } => self.judge_stop(w, id, order, patient),
            Request::Run(id, hook) => self.judge_run(w, id, hook),
            _ => {}
        }
        self.perform(&mut w.cloud, request);
        let after = w.cloud.front;
        if let Request::CutOver(to, generation) | Request::Refresh(to, generation, _) = request
            && (after.way, after.generation) == (to, generation)
        {
            w.told.by_hand = false;
            w.told.obeyed = w.told.obeyed.max(generation);
            if self.budget.stale > 0 && before != after {
                w.before = (before.way, before.generation);
            }
        }
    }

    /// What a request does to the cloud.
    pub(super) fn perform(&self, cloud: &mut Cloud, request: Request) {
        if let Request::Adopt(id) = request {
            return self.adopt(cloud, id);
        }
        if let Request::Run(id, hook) = request {
            return self.begin_run(cloud, id, hook);
        }
        let Cloud { stacks, front, source, .. } = cloud;
        match request {
            Request::Fetch(id) if self.source == Repository::Answers => source.fetch(id),
            Request::Fetch(_) | Request::Adopt(_) | Request::Run(..) => {}
            Request::Ensure(id) => {
                let slot = &mut stacks[self.slot(id)];
                let new = Thing::new(id, Condition::Creating, Health::Unknown);
                let again = |t: Thing| {
                    if t.condition == Condition::Failed { Thing { owner: t.owner, obeyed: t.obeyed, ..new } } else { t }
                };
                *slot = Some(slot.map_or(new, again));
            }
            Request::Revive(id) => {
                if let Some(thing) = stacks[self.slot(id)].as_mut().filter(|t| t.condition == Condition::Failed) {
                    (thing.condition, thing.health) = (Condition::Creating, Health::Unknown);
                }
            }
            Request::Stage(id) if stacks[self.slot(id)].is_some() => front.staged = id,
            Request::Stage(_) => {}
            Request::Restart(id, instance, order) => {
                if let Some(thing) = &mut stacks[self.slot(id)] {
                    thing.restart(usize::from(instance), order);
                }
            }
            Request::CutOver(..) if self.front != Obedience::Obeys => {}
            Request::CutOver(way, _) if way == Way::default() && self.always_on => {}
            Request::CutOver(to, generation) | Request::Refresh(to, generation, _) => {
                let (moved, same) = (matches!(request, Request::Refresh(_, _, true)), (front.way, front.generation));
                if self.fenced && self.on(7) && generation <= front.generation && (to, generation) != same {
                    return;
                }
                front.moved = moved;
                if self.long_requests {
                    front.way.stacks().filter(|n| !to.reaches(*n)).for_each(|n| front.busy.add(n));
                }
                (front.way, front.generation) = (to, generation);
            }
            Request::Stop { id, order, .. } => {
                if let Some(thing) = &mut stacks[self.slot(id)] {
                    thing.stop(order, self.counts);
                }
            }
            Request::Start(id, order) => {
                if let Some(thing) = &mut stacks[self.slot(id)] {
                    thing.start(order, self.counts);
                }
            }
            Request::Retire { id, .. } => {
                if let Some(thing) = &mut stacks[self.slot(id)] {
                    thing.condition = Condition::Deleting;
                }
            }
        }
    }
}

fn active(core: &Core) -> Number {
    Number(core.active().into())
}
