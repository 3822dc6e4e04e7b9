//! `deploy`: a build is announced by hand or by a script.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    client::{Server, Terms},
    follow::{Follow, refused},
    told::Accepted,
};
use crate::machine::EnvironmentId;

/// A build to make live.
#[derive(Args)]
#[group(skip)]
pub struct Deploy {
    /// The first environment of a pipeline, written pipeline/environment
    environment: EnvironmentId,
    /// What people call it
    #[arg(long, required_unless_present = "release")]
    version: Option<String>,
    /// Where it is: a path (from here, where the controller runs on this host), or a name that the stack driver knows
    #[arg(long, required_unless_present = "release")]
    artifact: Option<String>,
    /// Instead of a build: a release that was in this environment before, by its number, as it was
    #[arg(long, value_name = "N", conflicts_with_all = ["version", "artifact", "commit", "build", "link", "parameters"])]
    release: Option<u32>,
    /// The commit it was built from
    #[arg(long)]
    commit: Option<String>,
    /// The build's number; one that was accepted before is answered with its deployment, an older one is refused: leave it out to deploy one deliberately
    #[arg(long, value_name = "N")]
    build: Option<u64>,
    /// Where the build can be looked at (http or https)
    #[arg(long, value_name = "URL")]
    link: Option<String>,
    /// A parameter of the stack; may be given more than once
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// A reason, for the history
    #[arg(long)]
    reason: Option<String>,
    /// It repairs an incident: the five figures count it as rework and as the recovery from what was live before
    #[arg(long)]
    repairs: bool,
    /// The same key again is the same deployment: a build server gives the name of its build [default: none]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    follow: Follow,
}

pub(super) fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it NAME=VALUE")?;
    if name.is_empty() {
        Err("the name before `=` is empty".to_owned())
    } else {
        Ok((name.to_owned(), value.to_owned()))
    }
}

/// A path that is meant from the folder of whoever asks, from the top; what is not there may be a name and stays as it is.
fn whole_path(artifact: &str) -> anyhow::Result<String> {
    let is_path = artifact.contains('/') || artifact == "." || artifact == "..";
    let folder = std::env::current_dir().context("the folder from which --artifact is meant")?;
    let there = folder.join(artifact);
    if artifact.starts_with('/') || artifact.contains("://") || !there.exists() {
        return Ok(artifact.to_owned());
    }
    if !is_path {
        super::complain(&format!("--artifact {artifact} is sent as a name; for what is here write ./{artifact}"));
        return Ok(artifact.to_owned());
    }
    let whole = there.canonicalize().with_context(|| format!("--artifact {artifact}"))?;
    whole.into_os_string().into_string().map_err(|path| {
        anyhow::anyhow!("--artifact {}: not UTF-8; rename it, and `pointsman deploy` it again", path.display())
    })
}

/// Announces it.
pub async fn deploy(server: &Server, request: Deploy) -> anyhow::Result<ExitCode> {
    let connection = server.connect()?;
    let artifact = match request.artifact {
        Some(artifact) if server.is_here() => Some(whole_path(&artifact)?),
        artifact => artifact,
    };
    let mut body = json!({});
    let optional = [
        ("version", request.version.map(Value::from)),
        ("artifact", artifact.map(Value::from)),
        ("commit", request.commit.map(Value::from)),
        ("build", request.build.map(Value::from)),
        ("link", request.link.map(Value::from)),
    ];
    for (name, value) in optional.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        body[name] = value;
    }
    if !request.parameters.is_empty() {
        let all: Map<String, Value> = request.parameters.into_iter().map(|(k, v)| (k, v.into())).collect();
        body["parameters"] = all.into();
    }
    let mut how = form_urlencoded::Serializer::new(String::new());
    how.extend_pairs(request.repairs.then_some(("repairs", "true")));
    how.extend_pairs(request.reason.map(|reason| ("reason", reason)));
    how.extend_pairs(request.release.map(|release| ("release", release.to_string())));
    let path = format!("/v1/environments/{}/deploy?{}", request.environment, how.finish());
    match connection.send::<Accepted>(&path, &body, Terms { key: request.idempotency_key, seen: None }).await {
        Ok(answer) => request.follow.outcome(&connection, server, answer.deployment(), &["accepted"]).await,
        Err(error) => refused(server, error),
    }
}
