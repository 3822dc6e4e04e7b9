//! Stories: what users do and what they get, told against a whole controller.

mod deploy;
mod kill;
mod front;
mod process;
mod rollback;
mod trouble;
