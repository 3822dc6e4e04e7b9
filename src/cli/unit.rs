//! `unit`: a systemd unit for the controller, with a sandbox.
use std::path::PathBuf;
/// x
#[derive(clap::Args)]
pub struct Args {
    /// y
    #[arg(long)]
    config: Option<PathBuf>,
}
/// z
pub fn run(_args: &Args) -> anyhow::Result<()> {
    Ok(())
}
