//! The exhaustive exploration of the core: the real `apply`, `command`, `tick`, `effects` and `check` in a world that
//! does whatever a network, a cloud, a front, people and a second controller may do to them.
//!
//! It must not decide anything that the core decides; it only brings about, and watches the promises. Time is abstract:
//! events happen at time 0, and a look may be acted upon at any [`config::CLOCKS`], from "no deadline has passed" to
//! "all have", which covers every clock.
//!
//! - `world`: what there is; `config`: how hostile, and which rules are off; `canon`: states made comparable
//! - `actions`: what may happen next; `step`: what becomes of it; `promises`: what must always hold
//! - `runs`: runs of hooks, and a stack that is there to be adopted
//! - `alive`: what is live and dies, fronts that go astray or never obey, controllers that were away
//! - `ways`: traffic that moves in steps; `stops`: stacks that are stopped, and two that must not run
//! - `people`: who wants what, and may; `source`: the repository that definitions come from
//! - `promotion`: two environments and the rule between them
//! - `explore`: stateright; `liveness`: every run ends; `walk`: random schedules; `defects`: each rule's removal is found;
//!   `table`: the transitions, frozen

mod actions;
mod alive;
mod canon;
mod config;
mod defects;
mod explore;
mod liveness;
mod people;
mod plain;
mod promises;
mod promotion;
mod restarts;
mod runs;
mod source;
mod step;
mod step_defects;
mod step_worlds;
mod stop_defects;
mod stop_worlds;
mod stops;
mod table;
mod walk;
mod ways;
mod world;
mod worlds;
