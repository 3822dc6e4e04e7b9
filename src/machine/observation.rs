//! What was seen of the world at one moment: the only thing, besides people, that makes the machine move.

use std::sync::Arc;

use super::{
    hook::HookView,
    ids::{Generation, Number, Seq},
};

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
}

impl Observation {
    pub(crate) fn stack(&self, number: Number) -> Option<&StackView> {
        self.stacks.as_ref()?.iter().find(|stack| stack.number == number)
    }

    /// Whether the stack was looked for and is not there.
    pub(crate) fn lacks(&self, number: Number) -> bool {
        self.stacks.is_some() && self.stack(number).is_none()
    }

    pub(crate) fn ready(&self, number: Number, health: Health) -> bool {
        self.stack(number).is_some_and(|stack| stack.condition == Condition::Ready && stack.health == health)
    }
}
