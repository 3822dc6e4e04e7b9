//! Pointsman: a blue-green deployment orchestrator. See ARCHITECTURE.md for the map.

pub mod journal;
pub mod machine;
pub mod stacks;
pub mod web_front;
