//! What an event, a wait, a refusal, a trouble and a whole situation are called for people: written once, for the CLI, the API,
//! the page, notifications and logs. Pure: it knows the machine's types, the
//! facts that a front tells of itself and what was seen of the world, and decides nothing.

mod beside;
mod done;
mod event;
mod front;
mod light;
mod names;
mod rail;
mod refusal;
mod situation;
mod story;
mod strangers;
mod wait;

pub(crate) use done::done;
pub(crate) use event::{about, said};
pub(crate) use front::front;
pub(crate) use light::{Light, Need, NeedKind, fresh_for, light, needs};
pub(crate) use names::{release, releases, shown, version};
pub(crate) use rail::{Step, StepState, rail, sums};
pub(crate) use refusal::refusal;
pub(crate) use situation::{Situation, last_failure, situation};
pub(crate) use story::{Story, deployment_of, stories};
pub(crate) use strangers::{strangers, unknown};
pub(crate) use wait::{Readiness, WaitsFor, no_way_back, no_way_back_from, one_way, rollback, sentence, waits};

use crate::{
    machine::{Condition, Health, Millis, Number},
    web_front::FrontTrouble,
};

/// What was seen of an environment a moment ago, as far as sentences need it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outlook<'a> {
    /// When the world was looked at last; none when nobody looked since the controller started.
    pub looked: Option<Millis>,
    /// The stacks that are there.
    pub stacks: Vec<Glimpse<'a>>,
    /// What stands in the way, the newest.
    pub trouble: Option<Hindrance<'a>>,
    /// Why the front cannot be asked, where it cannot.
    pub front_silent: Option<&'a str>,
    /// What is wrong with the front although it may serve, the most pressing last.
    pub front: Vec<&'a FrontTrouble>,
}

/// One stack, as it was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Glimpse<'a> {
    /// The deployment that made it.
    pub number: Number,
    /// How far it is.
    pub condition: Condition,
    /// What its checks say.
    pub health: Health,
    /// What stands out.
    pub remark: Option<&'a str>,
}

/// A step that does not work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hindrance<'a> {
    /// What was tried.
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
}

impl Outlook<'_> {
    /// Returns how the stack of that deployment was seen, if it was.
    pub(crate) fn stack(&self, number: Number) -> Option<Glimpse<'_>> {
        self.stacks.iter().find(|stack| stack.number == number).copied()
    }
}
