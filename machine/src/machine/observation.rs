//! What was seen of the world at one moment: the only thing, besides people, that makes the machine move.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    hook::{HookState, HookView},
    ids::{Generation, Millis, Number, Seq},
    rules::Rules,
    traffic::Traffic,
};

/// How much of a long time, such as that of a gate or a retention, must have been watched before it is over.
const AT_LEAST: Millis = Millis(600_000);
/// How long a life of the controller has to look, at most, before the time of earlier ones counts against anybody: checks
/// take a while to say something.
const SETTLED: Millis = Millis(15_000);
/// How often a time limit must have passed for it to be over however short the lives of the controller are.
const IN_ANY_CASE: u64 = 3;

/// One look at the world of one environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Observation {
    /// How many events the environment had folded when this look began.
    pub as_of: Seq,
    /// Every stack of the environment; `None` when the provider did not answer.
    pub stacks: Option<Vec<StackView>>,
    /// The front; `None` when it did not answer.
    pub front: Option<FrontView>,
    /// Stack that answered at the front's public address; `None` when none did, or when it was not asked.
    pub public: Option<Number>,
    /// What is known of the stack definition that the candidate awaits.
    pub definition: DefinitionView,
    /// The runs of hooks that [`super::Environment::hooks_ordered`] names, as far as they were begun, whether or not they are over.
    pub hooks: Vec<HookView>,
    /// The instances of the live stack, by their number, while it is started again.
    pub instances: Vec<InstanceView>,
    /// No order that was ever sent to the front can still change it ([`super::Fencing::quiet`]).
    pub quiet: bool,
    /// Stacks that a request of ours can still make or start, although none was seen to.
    pub may_rise: Vec<Number>,
    /// Stacks that a request of ours can still stop, by an order that is not their last one.
    pub may_fall: Vec<Number>,
    /// What became of the last order to the front that this life of the controller has given.
    pub order: Option<OrderView>,
    /// Since when, and with which breaks, this life of the controller looks.
    pub looked: Looked,
}

/// One instance of a stack that is started again, as seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct InstanceView {
    /// The highest order for which it was ended and started again; 0: for none.
    pub started_for: u64,
    /// The highest order for which it is being ended, or was.
    pub ending_for: u64,
    /// It runs.
    pub up: bool,
    /// It passed all checks in this very look.
    pub passes: bool,
    /// How often it has ended by itself in a row since then.
    pub ends: u32,
    /// How it last ended, or why it does not pass, in one sentence.
    pub said: Option<Arc<str>>,
}

/// An order to the front, as whoever gave it knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderView {
    /// Generation of the order.
    pub generation: Generation,
    /// What the front said, in its own words, where it did not work.
    pub said: Option<Arc<str>>,
    /// Giving it again without a change is pointless.
    pub refused: bool,
}

/// Since when, and with which breaks, one life of the controller has looked. Time in which nobody could look counts for
/// nobody (rule R41): not that between two lives, when the clock may have jumped, nor that in which one was stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Looked {
    /// When it began.
    pub since: Millis,
    /// When earlier lives looked and the provider answered; oldest first, and none reaches into the next or into this life.
    pub before: Arc<[(Millis, Millis)]>,
    /// When nobody looked, from and until; oldest first, and none reaches into the next.
    pub breaks: Arc<[(Millis, Millis)]>,
    /// When the provider did not answer, in the same way.
    pub silent: Arc<[(Millis, Millis)]>,
    /// When the live stack was seen good, in the same way, until it was not.
    pub good: Arc<[(Millis, Millis)]>,
    /// Since when it is seen good, where it is.
    pub good_since: Millis,
}

/// How much of the time between was not within any of these.
fn outside(from: Millis, now: Millis, gaps: &[&[(Millis, Millis)]]) -> Millis {
    let clipped = gaps.iter().copied().flatten().map(|(begin, end)| ((*begin).max(from), (*end).min(now)));
    let mut clipped: Vec<_> = clipped.filter(|(begin, end)| begin < end).collect();
    clipped.sort_unstable();
    let (mut lost, mut until) = (0, from);
    for (begin, end) in clipped {
        lost += end.since(begin.max(until)).0;
        until = until.max(end);
    }
    now.since(from).since(Millis(lost))
}

/// How long it was looked: by this life of the controller, and by all of them together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    life: Millis,
    pub(super) all: Millis,
}

impl Watched {
    /// Whether a time limit is over. Where the lives of the controller are short, their time counts together: once this one
    /// has looked for a while, and in any case after several times the limit (rule R62).
    pub(super) fn reaches(self, limit: Millis) -> bool {
        let settled = Millis(limit.0 / 2).min(SETTLED);
        let many = Millis(limit.0.saturating_mul(IN_ANY_CASE));
        self.life >= limit || self.all >= limit && self.life >= settled || self.all >= many
    }
}

/// The stack definition that a release awaits, as it was found in the source repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DefinitionView {
    /// It was not read yet, or nobody awaits one; with what stands in the way, where that is known.
    Unread(Option<Arc<str>>),
    /// It was read and is kept, by this SHA-256 of its text.
    Kept(Arc<str>),
    /// It will not be had by asking again: it is not there, or nothing can be made from it. Why, in one sentence.
    Refused(Arc<str>),
}

impl Default for DefinitionView {
    fn default() -> Self {
        Self::Unread(None)
    }
}

/// One stack as seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StackView {
    /// Number of the deployment that owns the stack.
    pub number: Number,
    /// How far it is.
    pub condition: Condition,
    /// Health, by its checks.
    pub health: Health,
    /// Why it failed or what stands out.
    pub remark: Option<Arc<str>>,
    /// The highest order to stop or start it that it has obeyed; 0: none.
    pub obeyed: u64,
}

/// How far a stack is: the one type for it, from what a driver shows to the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Being created.
    Creating,
    /// All of it is there; whether it is well is for the checks to say.
    Ready,
    /// It will not become complete by waiting.
    Failed,
    /// Being deleted.
    Deleting,
    /// Being stopped.
    Stopping,
    /// Nothing of it runs; all of it is kept and can be started again.
    Stopped,
}

/// What the checks say, thresholds and grace already taken into account: the one type for it, from a check to the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Too little was seen to say.
    #[default]
    Unknown,
    /// The last checks passed.
    Passing,
    /// The last checks failed.
    Failing,
}

impl StackView {
    /// Whether it is known not to do its work.
    pub fn is_bad(&self) -> bool {
        self.condition.is_bad(self.health)
    }
}

impl Condition {
    /// Returns whether a stack that is so far and in that health can take traffic.
    pub fn is_good(self, health: Health) -> bool {
        (self, health) == (Self::Ready, Health::Passing)
    }

    /// Whether a stack that is seen so, with checks that say this, is known not to do its work. What is neither good nor bad is
    /// not known, or on its way, or was stopped: then checks that fail say nothing.
    pub fn is_bad(self, health: Health) -> bool {
        match self {
            Self::Failed => true,
            Self::Stopping | Self::Stopped => false,
            Self::Creating | Self::Ready | Self::Deleting => health == Health::Failing,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Deleting => "deleting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        })
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Passing => "passing",
            Self::Failing => "failing",
        })
    }
}

/// The front as seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FrontView {
    /// Who gets the traffic.
    pub traffic: Traffic,
    /// The last order that it accepted.
    pub generation: Generation,
    /// The candidate that it is ready to serve.
    pub staged: Option<Number>,
    /// What it serves, or has staged, at another reach than the one that is seen now.
    pub outdated: Vec<Outdated>,
    /// Stacks with requests still in flight.
    pub busy: Vec<Number>,
    /// Who gets the traffic, in words, where a number does not say it.
    pub words: Option<Arc<str>>,
    /// The host that it was found on, by name and identity, where it tells.
    pub host: Option<Arc<str>>,
}

/// A stack that the front has at another reach than the one it has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outdated {
    /// Number of the deployment that owns the stack.
    pub number: Number,
    /// Nothing of what the front has leads to the stack any more.
    pub lost: bool,
}

impl FrontView {
    /// How the front is behind a stack's reach, if it is.
    pub(super) fn outdated(&self, number: Number) -> Option<&Outdated> {
        self.outdated.iter().find(|outdated| outdated.number == number)
    }
}

impl Observation {
    /// Returns how the stack of that deployment was seen, if it was.
    pub fn stack(&self, number: Number) -> Option<&StackView> {
        self.stacks.as_ref()?.iter().find(|stack| stack.number == number)
    }

    /// Returns how far the run of a deployment's hook was seen, if it was begun.
    pub fn hook(&self, number: Number, hook: &str) -> Option<&HookState> {
        self.hooks.iter().find(|view| view.number == number && *view.hook == *hook).map(|view| &view.state)
    }

    /// How much of the time since then counts: that in which somebody looked (rule R41).
    pub(super) fn watched(&self, since: Millis, now: Millis, rules: Rules) -> Watched {
        self.outside((since, now), rules, &[&self.looked.breaks])
    }

    /// The same for what only the provider can tell.
    pub(super) fn watched_stacks(&self, since: Millis, now: Millis, rules: Rules) -> Watched {
        self.outside((since, now), rules, &[&self.looked.breaks, &self.looked.silent])
    }

    /// The same, without the time in which the live stack was seen good.
    pub(super) fn watched_down(&self, since: Millis, now: Millis, rules: Rules) -> Watched {
        self.outside((since, now), rules, &[&self.looked.breaks, &self.looked.silent, &self.looked.good])
    }

    fn outside(&self, (since, now): (Millis, Millis), rules: Rules, gaps: &[&[(Millis, Millis)]]) -> Watched {
        if !rules.only_watched_time() {
            let all = now.since(since);
            return Watched { life: all, all };
        }
        let life = outside(since.max(self.looked.since), now, gaps);
        let within = |(begin, end): &(Millis, Millis)| (*end).min(now).since((*begin).max(since)).0;
        let earlier = self.looked.before.iter().map(within).fold(0, u64::saturating_add);
        Watched { life, all: if rules.add_up_lives() { life.plus(Millis(earlier)) } else { life } }
    }

    /// Whether a long time is over by the clock, and enough of it was watched at its end for somebody to have acted.
    pub(super) fn is_over(&self, since: Millis, limit: Millis, now: Millis, rules: Rules) -> bool {
        now.since(since) >= limit && self.watched_lately(since, now, rules) >= limit.min(AT_LEAST)
    }

    /// How much of the time since then counts, without what was before a long absence.
    fn watched_lately(&self, since: Millis, now: Millis, rules: Rules) -> Millis {
        let mut from = self.looked.since;
        for (begin, end) in self.looked.before.iter().rev() {
            if from.since(*end) > AT_LEAST {
                break;
            }
            from = *begin;
        }
        let from = if rules.only_watched_time() { from.max(since) } else { since };
        self.watched(from, now, rules).all
    }

    /// How long the live stack has been seen good without a break.
    pub(super) fn good_for(&self, now: Millis) -> Millis {
        outside(self.looked.good_since, now, &[&self.looked.breaks])
    }

    /// What this life of the controller knows of giving that order, if it has given it (rule R42).
    pub(super) fn given(&self, generation: Generation) -> Option<&OrderView> {
        self.order.as_ref().filter(|order| order.generation == generation)
    }

    /// Whether the stack was looked for and is not there.
    pub fn lacks(&self, number: Number) -> bool {
        self.stacks.is_some() && self.stack(number).is_none()
    }

    /// A stack will never be there, or never be known to the front: a driver said so.
    pub fn refused(&mut self, number: Number, why: Arc<str>) {
        let Some(stacks) = &mut self.stacks else { return };
        match stacks.iter_mut().find(|stack| stack.number == number) {
            Some(stack) => (stack.condition, stack.remark) = (Condition::Failed, Some(why)),
            None => stacks.push(StackView {
                number,
                condition: Condition::Failed,
                health: Health::Unknown,
                remark: Some(why),
                obeyed: 0,
            }),
        }
    }

    /// Returns whether the stack was seen up, with this health.
    pub fn ready(&self, number: Number, health: Health) -> bool {
        self.stack(number).is_some_and(|stack| stack.condition == Condition::Ready && stack.health == health)
    }
}
