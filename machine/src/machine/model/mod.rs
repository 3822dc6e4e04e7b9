//! The exhaustive exploration of the core: the real `apply`, `command`, `tick`, `effects` and `check` in a world that
//! does whatever a network, a cloud, a front, people and a second controller may do to them.
//!
//! It must not decide anything that the core decides; it only brings about, and watches the promises. Time is abstract:
//! events happen at time 0, and a look may be acted upon at any of four clocks, from "no deadline has passed" to
//! "all have", which covers every clock.
//!
//! It ships: [`cases()`] makes worlds of an environment's own terms, and [`Explorer`] goes through one of them. Rules can be
//! switched off in the tests only, which explore far more.
//!
//! - `world`: what there is; `config`: how hostile, and which rules are off; `canon`: states made comparable
//! - `actions`: what may happen next; `step`: what becomes of it; `promises`: what must always hold
//! - `runs`: runs of hooks, and a stack that is there to be adopted
//! - `alive`: what is live and dies, fronts that go astray or never obey, controllers that were away
//! - `ways`: traffic that moves in steps; `stops`: stacks that are stopped, and two that must not run
//! - `people`: who wants what, and may; `source`: the repository that definitions come from
//! - `explorer`: all states, breadth first; `cases`: worlds of an environment's terms

#![cfg_attr(
    not(test),
    allow(clippy::wildcard_enum_match_arm, reason = "the model watches the events that a promise is about")
)]

mod actions;
mod alive;
mod canon;
mod cases;
mod config;
mod explorer;
mod people;
mod plain;
mod promises;
mod restarts;
mod runs;
mod source;
mod step;
mod stops;
#[cfg(test)]
mod tests;
mod ways;
mod world;

pub use actions::Action;
pub use cases::{Case, Cases, Terms, cases};
pub use explorer::{Explorer, Found, Moved, Open, Turn};
pub use ways::Way;
pub use world::{Id, Person, Request, Wish};
