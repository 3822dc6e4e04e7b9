//! `check` and `plan`: pipeline files, offline.

use std::{path::PathBuf, process::ExitCode};

use super::client::say;
use crate::{
    machine::{EnvironmentId, Millis, Retain},
    pipelines::{DeployOn, Loaded, Registry, load},
    settings::Settings,
    text::format_duration,
};

/// Which files.
#[derive(clap::Args)]
pub struct Args {
    /// A folder of pipelines or one file [default: what pointsman.toml says]
    path: Option<PathBuf>,
    /// The settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn read(args: &Args) -> anyhow::Result<Loaded> {
    let settings = Settings::load(args.config.as_deref()).map_err(super::mistakes)?;
    Ok(load(&Registry::all(&settings.state), args.path.as_deref().unwrap_or(&settings.pipelines)))
}

/// Every mistake of every file, or how many files are good.
pub fn check(args: &Args) -> anyhow::Result<ExitCode> {
    let loaded = read(args)?;
    if loaded.mistakes.is_empty() {
        say(format!("{} files, {} environments: good", loaded.files, loaded.pipelines.environments().count()));
        return Ok(ExitCode::SUCCESS);
    }
    loaded.mistakes.iter().for_each(say);
    Ok(ExitCode::FAILURE)
}

/// What a deployment to an environment would do, step by step.
pub fn plan(args: &Args, id: &EnvironmentId) -> anyhow::Result<ExitCode> {
    let loaded = read(args)?;
    if !loaded.mistakes.is_empty() {
        return Err(super::mistakes(loaded.mistakes));
    }
    let e = loaded.pipelines.environment(id).ok_or_else(|| anyhow::anyhow!("there is no environment {id}"))?;
    let (plan, within) = (&e.plan, |length: Millis| format!("within {}", format_duration(length)));
    let from = if e.deploy == DeployOn::Build { "a build is announced" } else { "a release is promoted" };
    say(format!("{id}: when {from}"));
    if let Some(gate) = &plan.before_provisioning {
        say(format!("  approve   {}", within(gate.timeout)));
    }
    let path = match &e.stack.definition {
        crate::pipelines::DefinitionSource::File(file) => file.path.display().to_string(),
        crate::pipelines::DefinitionSource::Git(path) => format!("{path} in git"),
    };
    say(format!("  provision {id}-N by {} from {path}, {}", e.stack.driver, within(plan.provision_within)));
    say(format!("  check     {} checks, {}", e.checks.list.len(), within(plan.check_within)));
    if let Some(gate) = &plan.before_cutover {
        say(format!("  approve   {}", within(gate.timeout)));
    }
    say(format!("  cut over  the front {}, {}", e.front.driver, within(plan.cut_over_within)));
    say(format!("  bake      {}", format_duration(plan.bake)));
    say(match plan.retain {
        Retain::None => "  retire    the previous stack at once".to_owned(),
        Retain::UntilNext => "  keep      the previous stack until the next deployment".to_owned(),
        Retain::For(length) => format!("  keep      the previous stack {}", format_duration(length)),
    });
    Ok(ExitCode::SUCCESS)
}
