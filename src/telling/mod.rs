//! What an event, a wait, a refusal, a trouble and a whole situation are called for people: written once, for the CLI, the API,
//! the page, notifications and logs. Pure: it knows the machine's types, the
//! facts that a front tells of itself and what was seen of the world, and decides nothing.

mod behind;
mod beside;
mod done;
mod event;
mod front;
mod halting;
mod light;
mod moves;
mod names;
mod rail;
mod refusal;
mod situation;
mod steps;
mod story;
mod strangers;
mod wait;
mod way_back;
mod who;

pub(crate) use behind::behind;
pub(crate) use done::done;
pub(crate) use event::{about, answer, hook_end, named, said};
pub(crate) use front::front;
pub(crate) use halting::{PageUp, pages};
pub(crate) use light::{Light, Need, NeedKind, fresh_for, light, needs};
pub(crate) use moves::moved;
pub(crate) use names::{release, releases, shown, version};
pub(crate) use rail::{Step, StepKind, StepState, StepWhat, Sums, rail, sums};
pub(crate) use refusal::refusal;
pub(crate) use situation::{Situation, last_failure, situation};
pub(crate) use story::{Story, UNREAD, deployment_of, stories, take as tell};
pub(crate) use strangers::{strangers, unknown};
pub(crate) use wait::{Readiness, WaitsFor, no_way_back, no_way_back_from, one_way, rollback, sentence, waits};
pub(crate) use way_back::way_back;
pub(crate) use who::{WhoCan, who_can};

use crate::{
    machine::{Condition, Health, Millis, Number, Traffic},
    web_front::FrontTrouble,
};

/// What was seen of an environment a moment ago, as far as sentences need it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outlook<'a> {
    /// When this is said, and for how long a look counts until then.
    pub now: Millis,
    pub fresh: Millis,
    /// When the world was looked at last; none when nobody looked since the controller started.
    pub looked: Option<Millis>,
    /// When the stacks were as the provider showed them last; none when it has not since the controller started.
    pub stacks_at: Option<Millis>,
    /// Why the provider cannot be asked for the stacks, where it cannot.
    pub stacks_silent: Option<&'a str>,
    /// Who gets users' requests; nothing where the front did not answer.
    pub shows: Option<Traffic>,
    /// The stacks that are there.
    pub stacks: Vec<Glimpse<'a>>,
    /// What stands in the way, the newest.
    pub trouble: Option<Hindrance<'a>>,
    /// Why the front cannot be asked, where it cannot.
    pub front_silent: Option<&'a str>,
    /// What is wrong with the front although it may serve, the most pressing last.
    pub front: Vec<&'a FrontTrouble>,
}

/// Why it is not known what users see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blind<'a> {
    /// There was no look since the controller started.
    Never,
    /// The last look ended that long ago.
    Stale(Millis),
    /// The front cannot be asked, and says why.
    Front(&'a str),
    /// The provider cannot be asked for the stacks, and says why.
    Provider(&'a str),
}

/// One stack, as it was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Glimpse<'a> {
    /// The deployment that made it.
    pub number: Number,
    /// How far it is.
    pub condition: Condition,
    /// Health, by its checks.
    pub health: Health,
    /// Remark on what stands out.
    pub remark: Option<&'a str>,
}

/// A step that does not work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hindrance<'a> {
    /// Step that failed.
    pub step: &'a str,
    /// Why it did not work, as the other side says.
    pub why: &'a str,
    /// Since when.
    pub since: Millis,
}

impl Glimpse<'_> {
    /// Returns whether it is up and passes its checks.
    pub(crate) fn is_good(&self) -> bool {
        self.condition.is_good(self.health)
    }

    /// Returns whether it is known not to do its work.
    pub(crate) fn is_bad(&self) -> bool {
        self.condition.is_bad(self.health)
    }
}

impl<'a> Outlook<'a> {
    /// Returns why it is not known what users see, where it is not: nobody looked lately, or one of those that were asked did not
    /// answer. What was seen before that is not an answer.
    pub(crate) fn blind(&self) -> Option<Blind<'a>> {
        let Some(looked) = self.looked else { return Some(Blind::Never) };
        let ago = self.now.since(looked);
        let stale = (ago > self.fresh).then_some(Blind::Stale(ago));
        stale.or(self.front_silent.map(Blind::Front)).or(self.stacks_silent.map(Blind::Provider))
    }

    /// Returns how the stack of that deployment was seen, if it was.
    pub(crate) fn stack(&self, number: Number) -> Option<Glimpse<'_>> {
        self.stacks.iter().find(|stack| stack.number == number).copied()
    }
}
