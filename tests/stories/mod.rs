//! Stories: what users do and what they get, told against a whole controller.

mod bad_input;
mod canaries;
mod cli;
mod deploy;
mod front;
mod git;
mod heat;
mod heat_faults;
mod heat_house;
mod hook_runs;
mod hooks;
mod jenkins;
mod kill;
mod nginx;
mod nginx_house;
mod nginx_trouble;
mod openapi;
mod process;
mod promotion;
mod releases;
mod rollback;
mod secrets;
mod sources;
mod tokens;
mod trouble;
