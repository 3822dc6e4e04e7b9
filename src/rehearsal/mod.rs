//! Rehearsals: a deployment to an environment, under the environment's own terms, on virtual time and in surroundings that a told
//! story makes trouble in. What decides is the production machine, and the production judgement of checks. And all that the model
//! knows to go wrong, explored upon those terms.
//!
//! Must not reach anything, read the clock, or know a driver: the world of a story is made up here.

mod explore;
mod people;
mod run;
mod stage;
mod story;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use self::{
    explore::{Broken, Exploration, Limits, World, explore},
    run::{BEGIN, Moment, Rehearsed, rehearse},
    story::{Answers, Failing, Silence, Story},
};
use crate::{
    checks::Checks,
    machine::{EnvironmentId, Fencing, Plan, Trigger},
};

/// What of an environment a rehearsal goes by.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// Id of the environment.
    pub(crate) id: EnvironmentId,
    /// The terms that a deployment would be accepted with.
    pub(crate) plan: Arc<Plan>,
    /// Checks that a stack must pass.
    pub(crate) checks: Arc<Checks>,
    /// Whether its front can tell a late order from a new one.
    pub(crate) fencing: Fencing,
    /// Path of the stack definition in the source repository, where it is read from there.
    pub(crate) source: Option<Arc<str>>,
    /// What brings releases here.
    pub(crate) trigger: Trigger,
}
