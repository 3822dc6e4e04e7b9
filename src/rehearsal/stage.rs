//! The surroundings of a story: a provider, a front, checks and hooks that do what the story tells, and what a look at them shows.
//! A look is put together as the runner does it, and judged by the checks' own rules.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{Story, Terms, run::BEGIN};
use crate::{
    checks::{At, KnownAs, NoPass, Watch},
    machine::{
        Condition, DefinitionView, Effect, Environment, FrontView, Generation, Health, HookState, HookView, Looked,
        Millis, Number, Observation, OrderView, Rules, StackName, Traffic,
    },
    reach::Reach,
    runner::{Looking, Verdict, Verdicts, known_as, public_question, refresh, stack_view, step_name},
    stacks::SeenStack,
    telling::Hindrance,
};

/// How long the run of a hook takes, and the reading of a definition.
const WORK: Millis = Millis(2_000);
/// How long a stack takes to be gone.
const TEAR_DOWN: Millis = Millis(5_000);
/// How long a stack takes to be stopped.
const STOP: Millis = Millis(2_000);
/// How long a check takes to answer.
const ANSWER: Duration = Duration::from_millis(20);
/// Why the front does not obey while it is silent.
const NO_ANSWER: &str = "it does not answer, as the story tells";

/// How far a stack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It comes up, until then.
    Starting(Millis),
    Up,
    Dead,
    /// It is torn down, until then.
    Leaving(Millis),
    /// It is being stopped, until then.
    Stopping(Millis),
    Stopped,
}

/// The front, as it is.
#[derive(Debug, Default)]
struct Front {
    traffic: Traffic,
    generation: Generation,
    staged: Option<Number>,
}

/// What the story still has to tell of itself.
#[derive(Debug)]
struct Cue {
    at: Millis,
    what: Turn,
}

#[derive(Debug, Clone, Copy)]
enum Turn {
    Dies(Number),
    Fails,
    Recovers,
    FrontSilent,
    FrontAnswers,
}

/// All of it.
pub(super) struct Stage<'t> {
    terms: &'t Terms,
    story: &'t Story,
    candidate: Number,
    stacks: BTreeMap<Number, State>,
    /// The last order to stop or to start each stack.
    obeyed: BTreeMap<Number, u64>,
    front: Front,
    /// When the front does not answer, from and until; nothing before that is known.
    silent: Option<(Millis, Millis)>,
    /// The runs of hooks, and when each ends.
    hooks: Vec<(Number, Arc<str>, Millis)>,
    /// When the definition is read.
    read: Option<Millis>,
    watches: HashMap<Number, Watch>,
    looking: Looking,
    last_order: Millis,
    order: Option<OrderView>,
    /// Since when the front does not obey, and what.
    disobeys: Option<(Millis, String)>,
    cues: Vec<Cue>,
}

impl<'t> Stage<'t> {
    /// Returns the surroundings of a deployment with that number at the beginning.
    pub(super) fn new(terms: &'t Terms, story: &'t Story, candidate: Number, live: Option<Number>) -> Self {
        let at = |at: Millis, what| Cue { at: BEGIN.plus(at), what };
        let mut cues = Vec::new();
        cues.extend(story.dies.map(|time| at(time, Turn::Dies(candidate))));
        cues.extend(story.live_dies.zip(live).map(|(time, live)| at(time, Turn::Dies(live))));
        if let Some(failing) = story.failing {
            cues.push(at(failing.at, Turn::Fails));
            cues.extend(failing.length.map(|length| at(failing.at.plus(length), Turn::Recovers)));
        }
        let mut stage = Self {
            terms,
            story,
            candidate,
            stacks: live.into_iter().map(|live| (live, State::Up)).collect(),
            obeyed: BTreeMap::new(),
            front: Front {
                traffic: Traffic::whole(live),
                generation: Generation(u64::from(live.is_some())),
                staged: None,
            },
            silent: None,
            hooks: Vec::new(),
            read: None,
            watches: HashMap::new(),
            looking: Looking::without_breaks(BEGIN),
            last_order: BEGIN,
            order: None,
            disobeys: None,
            cues,
        };
        if let Some(from) = story.silence.and_then(|silence| silence.at) {
            stage.falls_silent(BEGIN.plus(from));
        }
        stage
    }

    /// What has come about until now. Returns what the story tells of that.
    pub(super) fn pass(&mut self, now: Millis) -> Vec<String> {
        for state in self.stacks.values_mut() {
            match state {
                State::Starting(until) if now >= *until => *state = State::Up,
                State::Stopping(until) if now >= *until => *state = State::Stopped,
                _ => {}
            }
        }
        self.stacks.retain(|_, state| !matches!(state, State::Leaving(until) if now >= *until));
        let (due, later) = std::mem::take(&mut self.cues).into_iter().partition(|cue| now >= cue.at);
        self.cues = later;
        let due: Vec<Cue> = due;
        due.into_iter().map(|cue| self.turn(cue.what)).collect()
    }

    fn turn(&mut self, what: Turn) -> String {
        let candidate = self.candidate;
        match what {
            Turn::Dies(number) => match self.stacks.get_mut(&number) {
                Some(state @ (State::Starting(_) | State::Up)) => {
                    *state = State::Dead;
                    format!("stack {number} dies")
                }
                Some(State::Dead | State::Leaving(_) | State::Stopping(_) | State::Stopped) | None => {
                    format!("stack {number} would die, and is not there or not up")
                }
            },
            Turn::Fails => format!("the checks of stack {candidate} begin to fail"),
            Turn::Recovers => format!("the checks of stack {candidate} pass again"),
            Turn::FrontSilent => "the front stops answering".to_owned(),
            Turn::FrontAnswers => "the front answers again".to_owned(),
        }
    }

    /// The front does not answer from then on, for as long as the story tells.
    fn falls_silent(&mut self, from: Millis) {
        let Some(silence) = self.story.silence.filter(|_| self.silent.is_none()) else { return };
        let until = from.plus(silence.length);
        self.silent = Some((from, until));
        self.cues.push(Cue { at: from, what: Turn::FrontSilent });
        self.cues.push(Cue { at: until, what: Turn::FrontAnswers });
    }

    fn is_silent(&self, now: Millis) -> bool {
        self.silent.is_some_and(|(from, until)| now >= from && now < until)
    }

    /// One look at all of it.
    pub(super) fn look(&mut self, state: &Environment, now: Millis) -> Observation {
        self.follow(state, now);
        let mut verdicts: Verdicts = self.watches.iter().map(|(number, watch)| (*number, verdict(watch))).collect();
        if let Some(number) = state.must_probe().filter(|number| self.is_up(*number)) {
            refresh(&mut verdicts, number, self.answers(number, now).map(drop).map_err(NoPass::said));
        }
        let stacks = self.stacks.iter().map(|(number, how)| stack_view(self.seen(*number, *how), &verdicts, None));
        let front = (!self.is_silent(now)).then(|| FrontView {
            traffic: self.front.traffic,
            generation: self.front.generation,
            staged: self.front.staged,
            ..FrontView::default()
        });
        let public = public_question(state, front.as_ref());
        let mut seen = Observation {
            as_of: state.seq(),
            stacks: Some(stacks.collect()),
            front,
            public,
            definition: self.definition(state, now),
            hooks: self.hook_views(now),
            quiet: self.terms.fencing.quiet(self.last_order, now, Rules::default()),
            order: self.order.clone(),
            ..Observation::default()
        };
        let live = state.live().map(|stack| stack.number);
        seen.looked = Looked { before: Arc::default(), ..self.looking.looked(&seen, live, now) };
        seen
    }

    /// Watches what is to be watched, where it is.
    fn follow(&mut self, state: &Environment, now: Millis) {
        let watched = state.watched();
        self.watches.retain(|number, _| watched.contains(number));
        let at_front: Vec<Number> = self.front.traffic.stacks().chain(self.front.staged).collect();
        let candidate = state.active().filter(|d| d.phase.before_cutover()).map(|d| d.number);
        for number in watched {
            let reach = if self.is_up(number) { reach(number) } else { Reach::default() };
            let known: KnownAs = known_as(number, &at_front, candidate);
            let watch = self.watches.entry(number).or_insert_with(|| Watch::new(self.terms.checks.clone()));
            watch.set_endpoints(reach.addresses(), known, now);
        }
    }

    fn is_up(&self, number: Number) -> bool {
        self.stacks.get(&number) == Some(&State::Up)
    }

    fn seen(&self, number: Number, how: State) -> SeenStack {
        let name = StackName { environment: self.terms.id.clone(), number };
        let (condition, remark) = match how {
            State::Starting(_) => (Condition::Creating, None),
            State::Up => (Condition::Ready, None),
            State::Dead => (Condition::Failed, Some("it died, as the story tells".to_owned())),
            State::Leaving(_) => (Condition::Deleting, None),
            State::Stopping(_) => (Condition::Stopping, None),
            State::Stopped => (Condition::Stopped, None),
        };
        let reach = if how == State::Up { reach(number) } else { Reach::default() };
        let obeyed = self.obeyed.get(&number).copied().unwrap_or(0);
        SeenStack { obeyed, ..SeenStack::new(name, condition, reach).remarked(remark) }
    }

    /// What every check of a stack answers now.
    fn answers(&self, number: Number, now: Millis) -> Result<Duration, NoPass> {
        let fails = self.story.failing.filter(|_| number == self.candidate);
        let at = now.since(BEGIN);
        match fails {
            Some(failing) if failing.holds(at) => Err(NoPass::Failed("its check fails, as the story tells".to_owned())),
            _ => Ok(ANSWER),
        }
    }

    fn definition(&self, state: &Environment, now: Millis) -> DefinitionView {
        let awaits = state.active().is_some_and(|d| d.release.awaits_definition());
        match self.read {
            Some(at) if awaits && now >= at => DefinitionView::Kept("as the story tells".into()),
            _ => DefinitionView::default(),
        }
    }

    fn hook_views(&self, now: Millis) -> Vec<HookView> {
        let view = |(number, hook, ends): &(Number, Arc<str>, Millis)| HookView {
            number: *number,
            hook: hook.clone(),
            state: if now >= *ends { HookState::Passed { said: "".into() } } else { HookState::Running },
        };
        self.hooks.iter().map(view).collect()
    }

    /// Does what is due.
    pub(super) fn act(&mut self, effects: &[Effect], now: Millis) {
        self.disobeys.take_if(|(_, step)| !effects.iter().any(|effect| step_name(effect) == *step));
        for effect in effects {
            match effect {
                Effect::Freeze(_) => {
                    self.read.get_or_insert(now.plus(WORK));
                }
                Effect::Ensure(number) => self.stand_up(*number, now),
                Effect::RunHook { number, hook } => {
                    if !self.hooks.iter().any(|(of, name, _)| (of, name) == (number, hook)) {
                        self.hooks.push((*number, hook.clone(), now.plus(WORK)));
                    }
                }
                Effect::Stage(number) if !self.is_silent(now) => self.front.staged = Some(*number),
                // Nobody asks for a restart, and the reach of no stack changes.
                Effect::Stage(_) | Effect::Restart { .. } | Effect::Refresh { .. } => {}
                Effect::CutOver { to, generation } => self.order((*to, *generation), &step_name(effect), now),
                Effect::Retire(permit) => {
                    let state = self.stacks.get_mut(&permit.number());
                    if let Some(state) = state.filter(|state| !matches!(state, State::Leaving(_))) {
                        *state = State::Leaving(now.plus(TEAR_DOWN));
                    }
                }
                Effect::Stop(permit) => {
                    let known = self.obeyed.insert(permit.number(), permit.order()) == Some(permit.order());
                    if let Some(state) = self.stacks.get_mut(&permit.number()).filter(|_| !known) {
                        *state = State::Stopping(now.plus(STOP));
                    }
                }
                Effect::Start(permit) => {
                    let known = self.obeyed.insert(permit.number(), permit.order()) == Some(permit.order());
                    if let Some(state) = self.stacks.get_mut(&permit.number()).filter(|_| !known) {
                        *state = State::Starting(now.plus(self.story.start));
                    }
                }
            }
        }
    }

    fn stand_up(&mut self, number: Number, now: Millis) {
        let starting = State::Starting(now.plus(self.story.start));
        let state = self.stacks.entry(number).or_insert(starting);
        if *state == State::Dead {
            *state = starting;
        }
    }

    fn order(&mut self, (to, generation): (Traffic, Generation), step: &str, now: Millis) {
        if to.reaches(self.candidate) {
            self.falls_silent(now);
        }
        self.last_order = now;
        let said = self.is_silent(now).then(|| NO_ANSWER.into());
        if said.is_some() {
            self.disobeys.get_or_insert_with(|| (now, step.to_owned()));
        } else if generation > self.front.generation {
            (self.front.traffic, self.front.generation) = (to, generation);
        }
        self.order = Some(OrderView { generation, said, refused: false });
    }

    /// Asks the checks that are due.
    pub(super) fn probe(&mut self, now: Millis) {
        let numbers: Vec<Number> = self.watches.keys().copied().collect();
        for number in numbers {
            let answer = self.answers(number, now);
            let silent = self.is_silent(now);
            let Some(watch) = self.watches.get_mut(&number) else { continue };
            for probe in watch.due(now) {
                let answer = match probe.at {
                    At::Front if silent => Err(NoPass::NotReached(format!("the front: {NO_ANSWER}"))),
                    At::Front | At::Stack(_) => answer.clone(),
                };
                watch.record(now, probe, answer);
            }
        }
    }

    /// When something happens next of which the story knows now: nothing of it comes later.
    pub(super) fn next(&self, now: Millis) -> Option<Millis> {
        let stacks = self.stacks.values().filter_map(|state| match state {
            State::Starting(until) | State::Leaving(until) | State::Stopping(until) => Some(*until),
            State::Up | State::Dead | State::Stopped => None,
        });
        let hooks = self.hooks.iter().map(|(_, _, ends)| *ends);
        let cues = self.cues.iter().map(|cue| cue.at);
        // What a check says that has said so for long is not asked again and again.
        let unsettled = self.watches.iter().filter(|(number, watch)| {
            let settled = match self.answers(**number, now) {
                Ok(_) => Health::Passing,
                Err(_) => Health::Failing,
            };
            watch.health() != settled
        });
        let probes = unsettled.filter_map(|(_, watch)| watch.next_due());
        stacks.chain(hooks).chain(cues).chain(self.read).chain(probes).filter(|at| *at > now).min()
    }

    /// Whether the story has told all that it has to tell.
    pub(super) fn is_told(&self) -> bool {
        self.cues.is_empty()
    }

    /// What the checks of a stack answered.
    pub(super) fn check_answers(&self, number: Number) -> Vec<crate::machine::CheckAnswer> {
        self.watches.get(&number).map_or_else(Vec::new, Watch::answers)
    }

    /// Since when the front does not obey, what, and why.
    pub(super) fn trouble(&self) -> Option<Hindrance<'_>> {
        self.disobeys.as_ref().map(|(since, step)| Hindrance { step, why: NO_ANSWER, since: *since })
    }
}

fn verdict(watch: &Watch) -> Verdict {
    Verdict { health: watch.health(), remark: watch.remark(), ..Verdict::default() }
}

/// Where a stack of a story is reached: at an address that documentation may use.
fn reach(number: Number) -> Reach {
    let host = u8::try_from(number.0).unwrap_or(u8::MAX);
    [std::net::SocketAddr::from(([192, 0, 2, host], 80))].into_iter().collect()
}
