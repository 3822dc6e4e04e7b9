//! What was seen of the world at one moment: the only thing, besides people, that makes the machine move.

use std::sync::Arc;

use super::{
    hook::{HookState, HookView},
    ids::{Generation, Millis, Number, Seq},
    rules::Rules,
};

/// How much of a long time, such as that of a gate or a retention, must have been watched before it is over.
const AT_LEAST: Millis = Millis(600_000);

/// One look at the world of one environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Observation {
    /// How many events the environment had folded when this look began.
    pub as_of: Seq,
    /// Every stack of the environment; `None` when the provider did not answer.
    pub stacks: Option<Vec<StackView>>,
    /// The front; `None` when it did not answer.
    pub front: Option<FrontView>,
    /// Which stack answered at the front's public address; `None` when none did, or when it was not asked.
    pub public: Option<Number>,
    /// What is known of the stack definition that the candidate awaits.
    pub definition: DefinitionView,
    /// The runs of hooks that [`super::Environment::hooks_ordered`] names, as far as they were begun, whether or not they are over.
    pub hooks: Vec<HookView>,
    /// No order that was ever sent to the front can still change it ([`super::Fencing::quiet`]).
    pub quiet: bool,
    /// What became of the last order to the front that this life of the controller has given.
    pub order: Option<OrderView>,
    /// Since when, and with which breaks, this life of the controller looks.
    pub looked: Looked,
}

/// An order to the front, as whoever gave it knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderView {
    /// Which.
    pub generation: Generation,
    /// What the front said, in its own words, where it did not work.
    pub said: Option<Arc<str>>,
    /// Giving it again without a change is pointless.
    pub refused: bool,
}

/// Since when, and with which breaks, one life of the controller has looked. Time in which nobody could look counts for
/// nobody (rule R41): not the time before it began, when the clock may have jumped, nor that in which it was stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Looked {
    /// When it began.
    pub since: Millis,
    /// When nobody looked, from and until; oldest first, and none reaches into the next.
    pub breaks: Arc<[(Millis, Millis)]>,
    /// When the provider did not answer, in the same way.
    pub silent: Arc<[(Millis, Millis)]>,
}

impl Looked {
    /// How much of the time between was not within any of these.
    fn outside<'a>(from: Millis, now: Millis, gaps: impl Iterator<Item = &'a (Millis, Millis)>) -> Millis {
        let within = |(begin, end): &(Millis, Millis)| (*end).min(now).since((*begin).max(from)).0;
        let lost = gaps.map(within).fold(0, u64::saturating_add);
        now.since(from).since(Millis(lost))
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
    /// Whose.
    pub number: Number,
    /// How far it is.
    pub condition: Condition,
    /// What its checks say.
    pub health: Health,
    /// Why it failed or what stands out.
    pub remark: Option<Arc<str>>,
}

/// How far a stack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// On its way.
    Creating,
    /// Complete.
    Ready,
    /// It will not become complete by waiting.
    Failed,
    /// On its way out.
    Deleting,
}

/// What the checks say, thresholds and grace already taken into account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// Not enough was seen.
    #[default]
    Unknown,
    /// Good.
    Passing,
    /// Bad.
    Failing,
}

/// The front as seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FrontView {
    /// Who gets the traffic.
    pub serves: Option<Number>,
    /// The last order that it accepted.
    pub generation: Generation,
    /// The candidate that it is ready to serve.
    pub staged: Option<Number>,
    /// Stacks with requests still in flight.
    pub busy: Vec<Number>,
    /// Who gets the traffic, in words, where a number does not say it.
    pub words: Option<Arc<str>>,
}

impl Observation {
    pub(crate) fn stack(&self, number: Number) -> Option<&StackView> {
        self.stacks.as_ref()?.iter().find(|stack| stack.number == number)
    }

    pub(crate) fn hook(&self, number: Number, hook: &str) -> Option<&HookState> {
        self.hooks.iter().find(|view| view.number == number && *view.hook == *hook).map(|view| &view.state)
    }

    /// How much of the time since then counts: that in which somebody looked (rule R41).
    pub(super) fn watched(&self, since: Millis, now: Millis, rules: Rules) -> Millis {
        if !rules.r41() {
            return now.since(since);
        }
        Looked::outside(since.max(self.looked.since), now, self.looked.breaks.iter())
    }

    /// The same for what only the provider can tell.
    pub(super) fn watched_stacks(&self, since: Millis, now: Millis, rules: Rules) -> Millis {
        if !rules.r41() {
            return now.since(since);
        }
        let Looked { since: began, breaks, silent } = &self.looked;
        Looked::outside(since.max(*began), now, breaks.iter().chain(silent.iter()))
    }

    /// Whether a long time is over by the clock, and enough of it was watched at its end for somebody to have acted.
    pub(super) fn is_over(&self, since: Millis, limit: Millis, now: Millis, rules: Rules) -> bool {
        now.since(since) >= limit && self.watched(since, now, rules) >= limit.min(AT_LEAST)
    }

    /// What this life of the controller knows of giving that order, if it has given it (rule R42).
    pub(super) fn given(&self, generation: Generation) -> Option<&OrderView> {
        self.order.as_ref().filter(|order| order.generation == generation)
    }

    /// Whether the stack was looked for and is not there.
    pub(crate) fn lacks(&self, number: Number) -> bool {
        self.stacks.is_some() && self.stack(number).is_none()
    }

    pub(crate) fn ready(&self, number: Number, health: Health) -> bool {
        self.stack(number).is_some_and(|stack| stack.condition == Condition::Ready && stack.health == health)
    }
}
