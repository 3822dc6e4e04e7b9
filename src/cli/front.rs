//! `pointsman front`: runs the built-in front of one folder. Started by the controller; by hand only to look into
//! trouble. Must not know the controller.

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    path::PathBuf,
};

use anyhow::Context;

use crate::{
    clock::Clock,
    log_file,
    web_front::own_front::{self, Start},
};

/// Runs the built-in front whose folder this is, until it is told to stop (SIGTERM) or hands over to another.
#[derive(Debug, clap::Args)]
pub struct FrontArgs {
    /// The front's own folder: its settings, its route, its control socket, its log.
    #[arg(long, value_name = "DIR")]
    pub folder: PathBuf,
    /// Take over from the front that runs for this folder, without losing a request.
    #[arg(long)]
    pub take_over: bool,
    /// Listening sockets come over standard input.
    #[arg(long, hide = true)]
    pub kept: bool,
}

/// Runs the front; returns when it has ended in good order.
pub fn run(args: &FrontArgs) -> anyhow::Result<()> {
    // A session of its own, so that what ends the controller's terminal does not end users' traffic. Refused when
    // we lead one already, which is as good.
    let _ = rustix::process::setsid();
    log_file::install(&args.folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let stop = super::told_to_end()?;
        let kept = if args.kept { Some(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?)) } else { None };
        let start = Start { take_over: args.take_over, kept, clock: Clock::real() };
        let ran = own_front::run(&args.folder, start, stop).await;
        Ok(ran.inspect_err(|error| tracing::error!(%error, "the front ends"))?)
    })
}
