//! `pointsman hook-run`: the process of one run of a hook. Hidden: only the controller starts it.
//!
//! Must be run on the main thread, outside of any runtime: the kernel ends the hook with the thread that started it.

use std::path::PathBuf;

use crate::{hooks, log_file};

/// Runs a hook to its end.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run's folder.
    #[arg(long)]
    folder: PathBuf,
}

/// Runs until the hook is over and what came of it is written down.
///
/// # Errors
/// When the folder cannot be written, or the order not be read.
pub fn run(args: Args) -> anyhow::Result<()> {
    let shown = args.folder.display().to_string();
    log_file::install(&args.folder)?;
    let ran = hooks::run(args.folder);
    ran.inspect_err(|error| tracing::error!(%error, "the hook cannot be run"))
        .map_err(|error| anyhow::anyhow!("the hook in {shown} cannot be run: {error}"))
}
