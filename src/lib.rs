//! Pointsman: a blue-green deployment orchestrator. See ARCHITECTURE.md for the map.

pub mod cli;
pub mod machine;
pub mod stacks;
pub mod web_front;
