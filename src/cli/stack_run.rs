//! `pointsman stack-run` and `pointsman stack-exec`: the two programs behind a process stack. Hidden: only the
//! driver starts them.
//!
//! Must be run on the main thread, outside of any runtime: the kernel ends what is tied to its parent with the thread that
//! started it.

use std::{io::Write, path::PathBuf, process::ExitCode};

use crate::{log_file, stacks};

/// Keeps the processes of one stack running.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The stack's folder.
    #[arg(long)]
    folder: PathBuf,
}

/// Limits itself and becomes the command.
#[derive(Debug, clap::Args)]
pub struct ExecArgs {
    /// The process whose end ends this one.
    #[arg(long)]
    parent: Option<i32>,
    /// Bytes of private memory.
    #[arg(long)]
    memory: Option<u64>,
    /// Open files.
    #[arg(long)]
    files: Option<u64>,
    /// Processes of the user.
    #[arg(long)]
    processes: Option<u64>,
    /// The command.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Runs until the stack is retired or the process is told to stop.
///
/// # Errors
/// When the folder is not that of a stack.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    let shown = args.folder.display().to_string();
    log_file::install(&args.folder)?;
    tracing::info!(pid = std::process::id(), "the supervisor of the stack begins");
    let ran = stacks::supervise(args.folder);
    ran.inspect_err(|error| tracing::error!(%error, "the supervisor of the stack ends"))
        .map_err(|error| anyhow::anyhow!("the stack in {shown} cannot be run: {error}"))
}

/// Returns only when the command could not be started.
pub fn exec(args: ExecArgs) -> ExitCode {
    let ExecArgs { parent, memory, files, processes, command } = args;
    let why = stacks::exec(&stacks::Exec { parent, memory, files, processes, command });
    // The supervisor reads this line; there is nobody to tell that it could not be written.
    let _ = writeln!(std::io::stderr(), "{why}");
    ExitCode::from(127)
}
