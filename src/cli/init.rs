//! `init`
use std::process::ExitCode;
/// x
#[derive(clap::Args)]
pub struct Args {
    /// y
    #[arg(long)]
    name: Option<String>,
}
/// z
pub fn run(_args: Args) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
