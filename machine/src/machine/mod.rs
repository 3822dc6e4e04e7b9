//! The core: what an environment is, what can happen to it, what is to be done next. Pure: it imports nothing of ours
//! and no runtime; it has no async, no clock and no I/O, so that the very same code can be explored exhaustively.
//!
//! [`Environment::apply`] folds events. [`Environment::command`] answers people and webhooks with an event or a
//! refusal. [`Environment::tick`] looks at a fresh [`Observation`] and says at most one event;
//! [`Environment::effects`] says what the state, as it is recorded, wants done to the world. So an effect cannot
//! leave before its reason is durable.

#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod adoption;
mod alive;
mod apply;
mod at_the_front;
mod builds;
mod command;
mod deployment_state;
mod effect;
mod event;
mod going_back;
mod halting;
mod hook;
mod hook_steps;
mod ids;
mod invariants;
mod maintenance;
pub mod model;
mod observation;
mod phase;
pub mod promotion;
mod refusal;
mod release;
mod restarting;
mod rules;
mod state;
mod stepping;
mod stop_first;
mod strangers;
mod straying;
#[cfg(test)]
mod tests;
mod tick;
mod traffic;

pub use alive::{Down, Flaps, Taken};
pub use apply::Illegal;
pub use command::{Ask, Command, ReleaseDraft};
pub use deployment_state::DeploymentState;
pub use effect::{Effect, RetirePermit, StartPermit, StopPermit};
pub use event::{CONTROLLER, CheckAnswer, Entry, Event, Matter, Outcome, Trigger};
pub use halting::{Back, RunOrder};
pub use hook::{Hook, HookPoint, HookProgress, HookState, HookView};
pub use ids::{BadId, BadName, BadShare, EnvironmentId, Generation, Key, Millis, Name, Number, Seq, Share, StackName};
pub use invariants::Violation;
pub use maintenance::Maintenance;
pub use observation::{
    Condition, DefinitionView, FrontView, Health, InstanceView, Looked, Observation, OrderView, Outdated, StackView,
};
pub use phase::Phase;
pub use refusal::Refusal;
pub use release::{
    Adopts, Fencing, Gate, GateName, Otherwise, Plan, Recover, RecoverTo, Release, Retain, Step, Strategy,
};
pub use restarting::Restart;
pub use rules::Rules;
pub use state::{Deployment, Ended, Environment, Hold, Pause, Promise, Retiring, Stack, Standby, Veto};
pub use straying::Straying;
pub use traffic::Traffic;
