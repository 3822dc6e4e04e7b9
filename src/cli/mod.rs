//! The commands, one file each.

pub mod sample;
pub mod stack_run;
