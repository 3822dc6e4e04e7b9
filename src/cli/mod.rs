//! The command line: one file per command. Must not decide anything.

pub mod front;
pub mod sample;
pub mod stack_run;
