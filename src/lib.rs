//! Pointsman: a blue-green deployment orchestrator. See ARCHITECTURE.md for the map.

#![cfg_attr(not(test), warn(unreachable_pub))]

pub mod access;
#[cfg(feature = "aws")]
mod aws;
pub mod checks;
mod chronicle;
pub mod cli;
pub mod clock;
mod descriptors;
#[cfg(test)]
mod docs_tests;
mod evidence;
#[cfg(test)]
mod fixture_tests;
pub mod git;
mod holder;
pub mod hooks;
pub mod http;
mod installation;
mod intake;
pub mod journal;
mod log_file;
pub use pointsman_machine::machine;
mod notify;
pub mod oidc;
mod outgoing;
pub mod pipelines;
mod program;
mod random;
pub mod reach;
mod rehearsal;
pub mod runner;
pub mod secrets;
pub mod settings;
mod signals;
pub mod stacks;
mod telling;
mod text;
mod tls;
pub mod toml_file;
mod units;
pub mod web_front;
mod yaml;
