//! The command line: one file per command. Must not decide anything.

pub mod front;
