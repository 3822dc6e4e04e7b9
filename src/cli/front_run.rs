//! `pointsman front-run`: the supervisor of the built-in front of one folder. Started by the controller; by hand only to
//! end a front for good. Must not know the controller.

use std::path::PathBuf;

use anyhow::Context;

use crate::{log_file, web_front::own_supervisor};

/// Keeps the built-in front of a folder running, and its listening sockets open, until it is told to stop (SIGTERM). The
/// front goes on then.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The front's own folder.
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// End the front of this folder and its supervisor; open requests may finish.
    #[arg(long)]
    end: bool,
}

/// Runs the supervisor until it is told to stop.
///
/// # Errors
/// When the folder cannot be used.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let shown = args.folder.display().to_string();
    if args.end {
        let ended = runtime.block_on(own_supervisor::end(&args.folder));
        return ended.with_context(|| format!("the front in {shown} cannot be ended"));
    }
    // A session of its own, so that what ends the controller's terminal does not end this. Refused when we lead one
    // already, which is as good.
    let _ = rustix::process::setsid();
    log_file::install(&args.folder)?;
    runtime.block_on(async {
        let stop = super::told_to_end()?;
        let ran = own_supervisor::run(&args.folder, stop).await;
        let ran = ran.inspect_err(|error| tracing::error!(%error, "the supervisor of the front ends"));
        ran.with_context(|| format!("the front in {shown} cannot be supervised"))
    })
}
