//! The loop of one environment: look, tick, append, act. It keeps nothing that it could not lose: whatever must
//! survive is in the journal, and a restart is one more look.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::watch;

use super::{
    board::STARTING_FRONT,
    lives::Lives,
    looking::{Looking, Pulse},
    pacing::{Backoff, Pacing, Slot},
    requests::Requests,
    watching::{Probed, Watching},
    world::{Look, World},
};
use crate::{
    journal::{Journal, NotRecorded},
    machine::{
        CONTROLLER, Effect, Entry, Environment, Event, Generation, Looked, Millis, Number, OrderView, Phase, Promise,
        Seq, Traffic,
    },
    stacks::StepError,
};

/// How long a stop waits for calls that are under way. Whatever they did is seen after the restart.
const LAST_CALLS: Duration = Duration::from_secs(5);
const WRITING: &str = "writing the state file";
const KEEPING: &str = "writing down how long it was looked";

/// The loop.
pub(super) struct Loop {
    world: Arc<World>,
    journal: Journal,
    states: watch::Receiver<Arc<Environment>>,
    stop: watch::Receiver<bool>,
    /// Rings when something of the stacks may have changed, where their driver tells.
    changes: Option<watch::Receiver<u64>>,
    watching: Watching,
    pacing: Pacing,
    backoff: Backoff,
    /// The state that was looked at last, and a mark from when it was first seen: listings begun later are newer.
    seen: Option<(Seq, u64)>,
    /// When an order was last sent to the front, or might have been: by whoever ran before this began.
    last_order: Millis,
    /// The last order to the front that this life has given, and what became of it.
    order: Option<OrderView>,
    /// Requests to the provider that may still land.
    requests: Requests,
    looking: Looking,
    lives: Lives,
    effects: FuturesUnordered<BoxFuture<'static, Call>>,
    /// What a driver will never do for the candidate, and why.
    refused: Option<(Slot, Arc<str>)>,
    /// The steps of effects that did not work when they were tried last.
    failing: Vec<String>,
    probes: FuturesUnordered<BoxFuture<'static, Probed>>,
    /// Something has happened to the front since it was brought up.
    front_changed: bool,
}

/// A call of a driver that has come back.
struct Call {
    slot: Slot,
    step: String,
    result: Result<(), StepError>,
    /// What was to be done; nothing where a front was brought up.
    effect: Option<Effect>,
}

/// Result of one round.
enum Round {
    /// Something happened: look again at once.
    Again,
    /// The runner rests until this time at the latest, unless something happens.
    Rest(Millis),
    /// The journal takes no more; the process is about to end.
    Over,
    /// The journal and the code do not agree. Only this environment stops.
    Broken,
}

impl Loop {
    /// A loop that has not begun.
    pub(super) fn new(world: Arc<World>, journal: Journal, pulse: Pulse, stop: watch::Receiver<bool>) -> Self {
        let states = journal.watch(&world.id);
        let watching = Watching::new(world.clone());
        let changes = world.stacks.driver().changes(&world.id);
        let last_order = world.clock.now();
        let requests = Requests::new(world.stacks.driver().lands_within(), last_order);
        let looking = Looking::new(pulse, last_order);
        let (lives, read) = Lives::open(&world.lives, last_order);
        world.note(KEEPING, &read.map_err(|why| cannot_keep(&world, &why)));
        Self {
            world,
            journal,
            states,
            stop,
            changes,
            watching,
            pacing: Pacing::default(),
            backoff: Backoff::new(),
            seen: None,
            last_order,
            order: None,
            requests,
            looking,
            lives,
            effects: FuturesUnordered::new(),
            refused: None,
            failing: Vec::new(),
            probes: FuturesUnordered::new(),
            front_changed: false,
        }
    }

    /// Runs until it is told to stop (`true`) or cannot go on (`false`).
    pub(super) async fn run(mut self) -> bool {
        let up = self.world.bring_front_up().await;
        self.world.note(STARTING_FRONT, &up);
        while !*self.stop.borrow() {
            match self.round().await {
                Round::Again => self.backoff.reset(),
                Round::Rest(until) => self.rest(until).await,
                Round::Over => return true,
                Round::Broken => return false,
            }
        }
        let all = async { while self.effects.next().await.is_some() {} };
        tokio::select! {
            () = all => {}
            () = self.world.clock.wait(LAST_CALLS) => {}
        }
        true
    }

    async fn round(&mut self) -> Round {
        let state = self.states.borrow_and_update().clone();
        if self.seen.is_none_or(|(seq, _)| seq != state.seq()) {
            self.seen = Some((state.seq(), self.world.stacks.mark()));
        }
        self.watching.follow(&state.watched());
        let look = self.look(state.clone()).await;
        // A command came in meanwhile: what was seen is older than the state, and the machine would not take it.
        if self.states.has_changed().unwrap_or(true) {
            return Round::Again;
        }
        let now = self.world.clock.now();
        let kept = self.lives.keep(&look.observation.looked, has_limits(&state), now).await;
        self.world.note(KEEPING, &kept.map_err(|why| cannot_keep(&self.world, &why)));
        if let Some(event) = state.tick(&look.observation, now) {
            let event = match event {
                Event::Checked { number, .. } => Event::Checked { number, answers: look.answers },
                event => event,
            };
            return self.append(&state, event, now).await;
        }
        let due = state.effects(&look.observation, now);
        self.forget_failures(&due, &look);
        let mut slots: Vec<Slot> = due.iter().map(Slot::from).collect();
        // One that is ours to run may have died, or could not begin before.
        slots.extend((look.observation.front.is_none() || self.front_changed).then_some(Slot::Front));
        let outdated = look.observation.front.as_ref().is_some_and(|front| !front.outdated.is_empty());
        self.act(&due, &state, look, now);
        self.pause(&state, &slots, outdated, now)
    }

    /// Looks, while calls that are under way go on.
    async fn look(&mut self, state: Arc<Environment>) -> Look {
        let (world, verdicts, last_order) = (self.world.clone(), self.watching.verdicts(), self.last_order);
        let idle = state.active().is_none() && state.queue().is_empty() && !in_transit(&state);
        let mark = self.seen.map(|(_, mark)| mark).filter(|_| idle);
        let live = state.live().map(|stack| stack.number);
        let candidate = state.active().filter(|d| d.phase.before_cutover()).map(|d| d.number);
        // As old as the verdicts.
        let judged = state.active().filter(|d| matches!(d.phase, Phase::Checking)).map(|d| d.number);
        let mut answers = judged.map_or_else(Vec::new, |number| self.watching.answers(number));
        for answer in &mut answers {
            answer.asked = world.without_secrets(&answer.asked, judged).into();
        }
        let (may_rise, may_fall) = self.requests.open(&state, self.world.clock.now());
        let mut look = async move { world.look(&state, verdicts, last_order, mark).await }.boxed();
        loop {
            tokio::select! {
                mut look = &mut look => {
                    let looked = self.looking.looked(&look.observation, live, self.world.clock.now());
                    look.observation.looked = Looked { before: self.lives.before(), ..looked };
                    look.observation.order = self.order.clone();
                    (look.observation.may_rise, look.observation.may_fall) = (may_rise, may_fall);
                    look.answers = answers;
                    self.watching.serve_at(&look.reach, look.at_front.as_deref(), candidate);
                    if let Some((number, why)) = candidate.and_then(|n| Some((n, self.refusal(n)?))) {
                        look.observation.refused(number, why);
                    }
                    return look;
                }
                Some(call) = self.effects.next() => self.came_back(&call),
                Some(probed) = self.probes.next() => self.watching.record(probed),
            }
        }
    }

    async fn append(&mut self, state: &Environment, event: Event, now: Millis) -> Round {
        let id = &self.world.id;
        let entry = Entry { at: now, by: CONTROLLER.into(), event };
        let result = self.journal.append(id, state.seq(), entry).await;
        match result {
            Ok(_) => {
                self.world.note(WRITING, &Ok(()));
                Round::Again
            }
            Err(NotRecorded::Moved | NotRecorded::Refused(_)) => Round::Again,
            Err(NotRecorded::NoSpace) => {
                let full: Result<(), _> = Err(StepError::Unavailable("the disk is full".into()));
                self.world.note(WRITING, &full);
                Round::Rest(now.plus(Millis(1000)))
            }
            Err(NotRecorded::Stopped) => Round::Over,
            Err(NotRecorded::Illegal(why)) => {
                tracing::error!(environment = %id, %why, "{id}: an event does not fit the state: {why}");
                Round::Broken
            }
        }
    }

    /// Starts what is due and not under way or just tried.
    fn act(&mut self, due: &[Effect], state: &Arc<Environment>, look: Look, now: Millis) {
        let front_due = look.observation.front.is_none() || self.front_changed;
        if front_due && self.pacing.begin(Slot::Front, now) {
            self.front_changed = false;
            let world = self.world.clone();
            let start = async move {
                let result = world.bring_front_up().await;
                Call { slot: Slot::Front, step: STARTING_FRONT.to_owned(), result, effect: None }
            };
            self.effects.push(start.boxed());
        }
        let look = Arc::new(look);
        for effect in due {
            if !self.pacing.begin(Slot::from(effect), now) {
                continue;
            }
            if let Effect::CutOver { generation, .. } = effect {
                self.last_order = now;
                self.gives(*generation);
            } else if matches!(effect, Effect::Refresh { .. }) {
                self.last_order = now;
            }
            self.requests.on_its_way(effect, now);
            let (world, state, look, effect) = (self.world.clone(), state.clone(), look.clone(), effect.clone());
            self.effects.push(Box::pin(async move {
                let result = world.perform(&effect, &state, &look).await.map_err(|why| world.harmless(why));
                Call { slot: Slot::from(&effect), step: step_name(&effect), result, effect: Some(effect) }
            }));
        }
    }

    /// An order to the front is given, maybe again.
    fn gives(&mut self, generation: Generation) {
        if self.order.as_ref().is_none_or(|order| order.generation != generation) {
            self.order = Some(OrderView { generation, said: None, refused: false });
        }
    }

    fn came_back(&mut self, call: &Call) {
        let now = self.world.clock.now();
        self.pacing.finish(call.slot, now);
        call.effect.iter().for_each(|effect| self.requests.on_its_way(effect, now));
        if matches!(call.slot, Slot::CutOver(_) | Slot::Refresh) {
            self.last_order = now;
        }
        if let Slot::CutOver(generation) = call.slot
            && let Some(order) = self.order.as_mut().filter(|order| order.generation.0 == generation)
        {
            order.said = call.result.as_ref().err().map(|why| why.to_string().into());
            order.refused = matches!(call.result, Err(StepError::Refused(_)));
        }
        self.note_refusal(call);
        self.backoff.reset();
        self.failing.retain(|step| *step != call.step);
        if call.result.is_err() {
            self.failing.push(call.step.clone());
        }
        self.world.note(&call.step, &call.result);
    }

    /// What a driver refuses it will always refuse: its candidate need not wait for its deadline.
    fn note_refusal(&mut self, call: &Call) {
        self.refused.take_if(|(slot, _)| *slot == call.slot);
        let what = match call.slot {
            Slot::Ensure(_) => "its stack cannot be stood up",
            Slot::Stage(_) => "the front refuses it",
            _ => return,
        };
        if let Err(StepError::Refused(why)) = &call.result {
            self.refused = Some((call.slot, format!("{what}: {why}").into()));
        }
    }

    fn refusal(&self, candidate: Number) -> Option<Arc<str>> {
        let (slot, why) = self.refused.as_ref()?;
        [Slot::Ensure(candidate), Slot::Stage(candidate)].contains(slot).then(|| why.clone())
    }

    /// What did not work and is not due any more, say because its deployment has ended, is in nobody's way.
    fn forget_failures(&mut self, due: &[Effect], look: &Look) {
        let whole = look.observation.stacks.is_some() && look.observation.front.is_some();
        if self.failing.is_empty() || !whole {
            return;
        }
        let due: Vec<String> = due.iter().map(step_name).collect();
        for step in self.failing.extract_if(.., |step| !due.contains(step)) {
            self.world.note(&step, &Ok(()));
        }
    }

    /// Returns until when nothing has to be done unless something happens. `outdated`: the front is to be given a new reach as soon
    /// as its stack passes there.
    fn pause(&mut self, state: &Environment, due: &[Slot], outdated: bool, now: Millis) -> Round {
        let retry = self.pacing.keep(due);
        let busy = state.active().is_some() || in_transit(state) || outdated;
        let look = if busy || !due.is_empty() { self.backoff.next() } else { self.world.watch };
        let look = now.plus(look.into());
        let promise = state.standby().and_then(|s| match s.promise {
            Promise::Until(time) => Some(time),
            Promise::WhileBaking | Promise::UntilNext => None,
        });
        let seldom = (!busy && due.is_empty()).then_some(self.world.watch);
        self.probes.extend(self.watching.due(state, now, seldom));
        let probe = self.watching.next_due(seldom);
        Round::Rest([Some(look), retry, promise, probe].into_iter().flatten().min().unwrap_or(look))
    }

    /// Waits for the time, or for anything that may change what is to be done.
    async fn rest(&mut self, until: Millis) {
        let now = self.world.clock.now();
        let length = Duration::from_millis(until.since(now).0);
        tokio::select! {
            changed = self.states.changed() => {
                self.backoff.reset();
                // The journal is gone; the process is about to end.
                if changed.is_err() {
                    self.world.clock.wait(Duration::from_secs(1)).await;
                }
            }
            Some(call) = self.effects.next() => self.came_back(&call),
            Some(probed) = self.probes.next() => self.watching.record(probed),
            () = self.world.front_changed() => {
                self.front_changed = true;
                self.backoff.reset();
            }
            _ = self.stop.changed() => {}
            () = rings(&mut self.changes) => {
                self.backoff.reset();
                // A listing from before does not show it.
                self.seen = None;
            }
            () = self.world.clock.wait(length) => {}
        }
    }
}

/// Returns when the driver tells of a change; never where it tells nothing.
async fn rings(changes: &mut Option<watch::Receiver<u64>>) {
    if let Some(bell) = changes
        && bell.changed().await.is_ok()
    {
        return;
    }
    *changes = None;
    std::future::pending().await
}

/// Whether something beside the deployments is still to come to its end.
fn in_transit(state: &Environment) -> bool {
    !state.retiring().is_empty() || state.drift().is_some() || state.down().is_some() || state.restart().is_some()
}

/// Whether anything has a time limit that counts only watched time.
fn has_limits(state: &Environment) -> bool {
    let promised = state.standby().is_some_and(|s| matches!(s.promise, Promise::Until(_)));
    state.active().is_some() || in_transit(state) || promised
}

fn cannot_keep(world: &World, why: &std::io::Error) -> StepError {
    let file = world.lives.display();
    StepError::Unavailable(format!("{file}: {why}; after a restart whatever is under way has its time again"))
}

/// Returns what is done, in words.
pub(crate) fn step_name(effect: &Effect) -> String {
    match effect {
        Effect::Freeze(number) => format!("reading the stack definition of deployment {number}"),
        Effect::Ensure(number) => format!("standing up stack {number}"),
        Effect::RunHook { number, hook } => format!("running the hook {hook} of deployment {number}"),
        Effect::Restart { number, instance, .. } => format!("starting instance {instance} of stack {number} again"),
        Effect::Stage(number) => format!("making stack {number} known to the front"),
        Effect::CutOver { to: Traffic::Whole(number), .. } => format!("pointing the front at stack {number}"),
        Effect::CutOver { to: Traffic::Split { candidate, share, .. }, .. } => {
            format!("pointing {share} of the users at stack {candidate}")
        }
        Effect::CutOver { to: Traffic::Nobody, .. } => "having the front show the maintenance page".to_owned(),
        Effect::Refresh { .. } => "giving the front the new reach of what it serves".to_owned(),
        Effect::Stop(permit) => format!("stopping stack {}", permit.number()),
        Effect::Start(permit) => format!("starting stack {}", permit.number()),
        Effect::Retire(permit) => format!("tearing down stack {}", permit.number()),
    }
}
