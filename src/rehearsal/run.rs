//! The run of a story: look, tick, record, act, on virtual time. Time jumps to whatever comes next.

use std::sync::Arc;

use super::{Story, Terms, people::People, stage::Stage};
use crate::{
    machine::{
        Ask, CONTROLLER, DeploymentState, Entry, Environment, Event, Generation, Illegal, Key, Millis, Number,
        Observation, Plan, Promise, Refusal, Release, ReleaseDraft, StackView, Trigger,
    },
    telling::{Glimpse, Outlook, situation},
    text::{format_duration, format_time, parse_time},
};

/// The moment at which the deployment is asked for.
pub(crate) const BEGIN: Millis = Millis(946_684_800_000);
/// Since when the stack is live that is live at the beginning.
const BEFORE: Millis = Millis(BEGIN.0 - 86_400_000);
/// How long nothing happens before it is said what it waits for, as `--watch` does.
const QUIET: Millis = Millis(5_000);
/// How long nothing is recorded before the story is over, whatever is still under way.
const ENOUGH: Millis = Millis(86_400_000);
/// The most records: whatever goes on for ever is seen by then.
const MOST: usize = 2_000;
/// The pauses between looks while nothing is known to come.
const SHORTEST: Millis = Millis(500);
const LONGEST: Millis = Millis(60_000);

/// Something that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A record of the journal.
    Record(Entry),
    /// The story's own turn.
    Turn(String),
    /// What is waited for.
    Waits(String),
    /// The deployment has ended so, for that reason where there is one.
    Ended(DeploymentState, Option<String>),
}

/// A story that was played to its end.
#[derive(Debug)]
pub(crate) struct Rehearsed {
    /// Number of the deployment.
    pub(crate) number: Number,
    /// What happened, and when, in its order.
    pub(crate) moments: Vec<(Millis, Moment)>,
    /// How the deployment is at the end.
    pub(crate) state: DeploymentState,
    /// What users see at the end.
    pub(crate) users: String,
    /// The last moment.
    pub(crate) end: Millis,
}

/// Why a story cannot be played: the machine does not take its beginning.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotPlayed {
    /// An event does not fit.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// The deployment is refused.
    #[error("{0}")]
    Refused(Refusal),
    /// The deployment has no state: it was forgotten before the story ended.
    #[error("deployment {0} was forgotten before the story ended")]
    Forgotten(Number),
}

struct Run<'t> {
    terms: &'t Terms,
    state: Environment,
    stage: Stage<'t>,
    people: People,
    now: Millis,
    moments: Vec<(Millis, Moment)>,
    records: usize,
    number: Number,
    /// How the deployment ended, while it has.
    ended: Option<DeploymentState>,
    /// When something was last recorded, and whether it was said since then what it waits for.
    last: Millis,
    said: bool,
    pause: Millis,
}

/// Plays a story to its end.
///
/// # Errors
/// That the machine does not take its beginning.
pub(crate) fn rehearse(terms: &Terms, story: &Story) -> Result<Rehearsed, NotPlayed> {
    let mut state = Environment::default();
    if !story.first {
        begin_with_live(&mut state, &terms.plan)?;
    }
    let live = state.live().map(|stack| stack.number);
    let number = state.last_number().next();
    let stage = Stage::new(terms, story, number, live);
    let people = People::new(story, number);
    let (now, moments) = (BEGIN, Vec::new());
    let (records, ended, last, said, pause) = (0, None, BEGIN, false, SHORTEST);
    let mut run = Run { terms, state, stage, people, now, moments, records, number, ended, last, said, pause };
    let release = ReleaseDraft::New(Release {
        source: terms.source.clone(),
        commit: terms.source.is_some().then(|| "as the story tells".into()),
        ..Release::draft("v2")
    });
    let key = Key([u8::MAX; 16]);
    let ask = Ask::Deploy { key, build_number: None, release, plan: terms.plan.clone(), trigger: terms.trigger };
    let by = if terms.trigger == Trigger::Build { "webhook:build" } else { "asker" };
    let event = run.state.command(&ask.into(), by).map_err(NotPlayed::Refused)?;
    run.record(event, by.into())?;
    while !run.is_over() {
        run.round()?;
    }
    let (state, _) = run.state.deployment_state(number).ok_or(NotPlayed::Forgotten(number))?;
    let seen = run.stage.look(&run.state, run.now);
    let users = run.in_words(&seen).0;
    Ok(Rehearsed { number, state, users, end: run.now, moments: run.moments })
}

/// Release 1 is live and was found good.
fn begin_with_live(state: &mut Environment, plan: &Plan) -> Result<(), Illegal> {
    let number = Number(1);
    let hooks = plan.hooks.iter().filter(|hook| hook.at.is_after_the_end()).cloned().collect();
    let plan = Plan { before_provisioning: None, before_cutover: None, steps: Vec::new(), hooks, ..plan.clone() };
    let accepted = Event::Accepted {
        number,
        key: Key([0; 16]),
        build_number: None,
        release: Arc::new(Release { number: 1, ..Release::draft("v1") }),
        plan: Arc::new(plan),
        trigger: Trigger::Person,
        reason: None,
        stranger: false,
    };
    let rest = [
        Event::Started { number },
        Event::Provisioned { number },
        Event::Checked { number, answers: Vec::new() },
        Event::CutOverOrdered { number, generation: Generation(1), share: None },
        Event::WentLive { number, host: None },
        Event::Succeeded { number },
    ];
    let entries = std::iter::once(accepted).chain(rest);
    entries.into_iter().try_for_each(|event| state.apply(&Entry { at: BEFORE, by: CONTROLLER.into(), event }))
}

impl Run<'_> {
    /// One look, and what is made of it.
    fn round(&mut self) -> Result<(), Illegal> {
        self.turns();
        if let Some((command, by)) = self.people.asks(&self.state, self.now) {
            match self.state.command(&command, &by) {
                Ok(event) => return self.record(event, by),
                Err(why) => {
                    self.moments.push((self.now, Moment::Turn(format!("{by} is refused: {why}"))));
                }
            }
        }
        self.stage.probe(self.now);
        let seen = self.stage.look(&self.state, self.now);
        if let Some(event) = self.state.tick(&seen, self.now) {
            let event = match event {
                Event::Checked { number, .. } => Event::Checked { number, answers: self.stage.check_answers(number) },
                event => event,
            };
            return self.record(event, CONTROLLER.into());
        }
        let effects = self.state.effects(&seen, self.now);
        self.stage.act(&effects, self.now);
        self.turns();
        if !self.said && self.now.since(self.last) >= QUIET && self.state.active().is_some() {
            self.said = true;
            let doing = self.in_words(&seen).1;
            self.moments.push((self.now, Moment::Waits(doing)));
        }
        self.now = self.next();
        Ok(())
    }

    /// What comes about by itself, or as the story tells.
    fn turns(&mut self) {
        for turn in self.stage.pass(self.now) {
            self.moments.push((self.now, Moment::Turn(turn)));
            self.pause = SHORTEST;
        }
    }

    fn record(&mut self, event: Event, by: Arc<str>) -> Result<(), Illegal> {
        let entry = Entry { at: self.now, by, event };
        self.state.apply(&entry)?;
        self.moments.push((self.now, Moment::Record(entry)));
        self.records += 1;
        let (how, why) = self.state.deployment_state(self.number).unzip();
        let ended = how.filter(|how| how.is_final());
        if let Some(how) = ended.filter(|_| self.ended != ended) {
            let why = why.flatten().filter(|why| !why.is_empty()).map(str::to_owned);
            self.moments.push((self.now, Moment::Ended(how, why)));
        }
        self.ended = ended;
        (self.last, self.said, self.pause) = (self.now, false, SHORTEST);
        Ok(())
    }

    /// When it looks again: when something is known to come, or after a pause that grows.
    fn next(&mut self) -> Millis {
        let pause = self.now.plus(self.pause);
        self.pause = Millis((self.pause.0 * 2).min(LONGEST.0));
        let says = (!self.said).then(|| self.last.plus(QUIET));
        let known = [self.stage.next(self.now), self.people.next(&self.state), self.deadline(), says, Some(pause)];
        known.into_iter().flatten().filter(|at| *at > self.now).min().unwrap_or(pause)
    }

    /// When a time limit is over.
    fn deadline(&self) -> Option<Millis> {
        let state = &self.state;
        let active = state.active().and_then(|d| d.deadline());
        let promise = state.standby().and_then(|s| match s.promise {
            Promise::Until(time) => Some(time),
            Promise::WhileBaking | Promise::UntilNext => None,
        });
        let drained = state.retiring().iter().map(|r| r.since.plus(r.drain_within));
        let recovers = state.down().zip(state.live()).map(|(down, live)| down.since.plus(live.plan.recover.after));
        let all = active.into_iter().chain(promise).chain(drained).chain(recovers);
        all.filter(|at| *at > self.now).min()
    }

    /// Whether all has come to rest, or does not any more.
    fn is_over(&self) -> bool {
        let state = &self.state;
        let promised = state.standby().is_some_and(|s| matches!(s.promise, Promise::Until(_)));
        let rests = state.active().is_none()
            && state.queue().is_empty()
            && state.retiring().is_empty()
            && state.down().is_none()
            && state.drift().is_none()
            && !promised;
        let told = self.stage.is_told();
        let later = self.deadline().is_some();
        (rests && told) || self.records >= MOST || told && !later && self.now.since(self.last) >= ENOUGH
    }

    /// What users see, and what is waited for, with the times of the story.
    fn in_words(&self, seen: &Observation) -> (String, String) {
        let stacks = seen.stacks.iter().flatten();
        let glimpse = |stack: &'_ StackView| Glimpse {
            number: stack.number,
            condition: stack.condition,
            health: stack.health,
            remark: None,
        };
        let outlook = Outlook {
            now: self.now,
            looked: Some(self.now),
            stacks_at: Some(self.now),
            shows: seen.front.as_ref().map(|front| front.traffic),
            stacks: stacks.map(glimpse).collect(),
            trouble: self.stage.trouble(),
            front_silent: seen.front.is_none().then_some("it does not answer"),
            ..Outlook::default()
        };
        let situation = situation(&self.terms.id, &self.state, &outlook);
        (in_story_time(&situation.users), in_story_time(&situation.doing))
    }
}

/// Replaces the times in a sentence by how long after the beginning they are.
fn in_story_time(text: &str) -> String {
    let word = format_time(BEGIN).len();
    let mut said = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let time = rest.get(..word).and_then(parse_time).filter(|at| *at >= BEFORE);
        let length = match time {
            Some(at) => {
                said += &format!("T+{}", format_duration(at.since(BEGIN)));
                word
            }
            None => {
                let length = rest.chars().next().map_or(1, char::len_utf8);
                said += &rest[..length];
                length
            }
        };
        rest = &rest[length..];
    }
    said
}
