//! `check` and `plan`: pipeline files, offline.

use std::{path::PathBuf, process::ExitCode};

use serde_json::json;

use super::screen::say;
use crate::{
    machine::{EnvironmentId, Millis, Retain},
    pipelines::{DeployOn, EnvironmentDefinition, Loaded, Registry, load},
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
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

fn read(args: &Args) -> anyhow::Result<Loaded> {
    let settings = Settings::load(args.config.as_deref()).map_err(super::mistakes)?;
    Ok(load(&Registry::all(&settings.state), args.path.as_deref().unwrap_or(&settings.pipelines)))
}

/// Every mistake of every file, or how many files are good.
pub fn check(args: &Args) -> anyhow::Result<ExitCode> {
    let loaded = read(args)?;
    let code = if loaded.mistakes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if args.json {
        let told = loaded
            .mistakes
            .iter()
            .map(|m| json!({ "file": m.file, "line": m.line, "column": m.column, "message": m.text }));
        say(serde_json::Value::from_iter(told));
        return Ok(code);
    }
    if loaded.mistakes.is_empty() {
        say(format!("{} files, {} environments: good", loaded.files, loaded.pipelines.environments().count()));
    }
    loaded.mistakes.iter().for_each(say);
    Ok(code)
}

/// What a deployment to an environment would do, step by step.
pub fn plan(args: &Args, id: &EnvironmentId) -> anyhow::Result<ExitCode> {
    let loaded = read(args)?;
    if !loaded.mistakes.is_empty() {
        return Err(super::mistakes(loaded.mistakes));
    }
    let e = loaded.pipelines.environment(id).ok_or_else(|| anyhow::anyhow!("there is no environment {id}"))?;
    let from = if e.deploy == DeployOn::Build { "a build is announced" } else { "a release is promoted" };
    let steps = steps(id, e);
    if args.json {
        let steps = steps.iter().map(|(step, what)| json!({ "step": step, "what": what }));
        say(json!({ "environment": id, "when": from, "steps": steps.collect::<Vec<_>>() }));
        return Ok(ExitCode::SUCCESS);
    }
    say(format!("{id}: when {from}"));
    steps.iter().for_each(|(step, what)| say(format!("  {step:9} {what}")));
    Ok(ExitCode::SUCCESS)
}

fn steps(id: &EnvironmentId, e: &EnvironmentDefinition) -> Vec<(&'static str, String)> {
    let (plan, within) = (&e.plan, |length: Millis| format!("within {}", format_duration(length)));
    let path = e.stack.path.display();
    let mut steps = Vec::new();
    steps.extend(plan.before_provisioning.map(|gate| ("approve", within(gate.timeout))));
    let provision = format!("{id}-N by {} from {path}, {}", e.stack.driver, within(plan.provision_within));
    steps.push(("provision", provision));
    steps.push(("check", format!("{} checks, {}", e.checks.list.len(), within(plan.check_within))));
    steps.extend(plan.before_cutover.map(|gate| ("approve", within(gate.timeout))));
    steps.push(("cut over", format!("the front {}, {}", e.front.driver, within(plan.cut_over_within))));
    steps.push(("bake", format_duration(plan.bake)));
    steps.push(match plan.retain {
        Retain::None => ("retire", "the previous stack at once".to_owned()),
        Retain::UntilNext => ("keep", "the previous stack until the next deployment".to_owned()),
        Retain::For(length) => ("keep", format!("the previous stack {}", format_duration(length))),
    });
    steps
}
