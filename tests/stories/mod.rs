//! Stories: what users do and what they get, told against a whole controller.

mod bad_input;
mod deploy;
mod front;
mod git;
mod kill;
mod openapi;
mod process;
mod rollback;
mod tokens;
mod trouble;
