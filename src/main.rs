//! The binary: exit codes only.

use std::process::ExitCode;

use clap::Parser;
use pointsman::cli::{sample, stack_run};

#[derive(Parser)]
#[command(name = "pointsman", version)]
enum Cli {
    #[command(hide = true)]
    StackRun(stack_run::RunArgs),
    #[command(hide = true)]
    StackExec(stack_run::ExecArgs),
    #[command(hide = true)]
    Sample(sample::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse() {
        Cli::StackRun(args) => stack_run::run(args).map(|()| ExitCode::SUCCESS),
        Cli::StackExec(args) => Ok(stack_run::exec(args)),
        Cli::Sample(args) => sample::run(args).map(|()| ExitCode::SUCCESS),
    }
}
