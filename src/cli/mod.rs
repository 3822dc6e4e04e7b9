//! The commands, one file each.
pub mod sample;
pub mod stack_run;
//! The command line: one file per command. Must not decide anything.
pub mod front;
