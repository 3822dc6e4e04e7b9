//! The binary: exit codes only.

use std::{io::Write, process::ExitCode};

use clap::Parser;
use pointsman::cli;

fn main() -> ExitCode {
    cli::run(cli::Cli::parse()).unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "pointsman: {error:#}");
        ExitCode::FAILURE
    })
}
