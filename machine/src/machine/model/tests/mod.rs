//! The explorations of the normal run: every world whole, each rule's removal found, every run ended, random schedules, and the
//! transitions frozen.
//!
//! - `explore`: stateright, and the explorer that ships held against it; `worlds`, `step_worlds`, `stop_worlds`: what is explored
//! - `liveness`: every run ends; `walk`: random schedules
//! - `defects`, `step_defects`, `stop_defects`: each rule's removal is found; `table`: the transitions
//! - `cases`: worlds of an environment's own terms, as they ship
//! - `promotion`: two environments and the rule between them

mod cases;
mod defects;
mod explore;
mod explorers;
mod liveness;
mod promotion;
mod step_defects;
mod step_worlds;
mod stop_defects;
mod stop_worlds;
mod table;
mod walk;
mod worlds;

use super::{actions, canon, cases as shipped, config, explorer, plain, promises, source, world};
