//! Stories: what users do and what they get, told against a whole controller.

mod deploy;
mod rollback;
mod trouble;
