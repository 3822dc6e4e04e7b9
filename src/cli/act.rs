//! `deploy promote rollback abort approve hold resume pin veto`: wishes, and waiting for what becomes of them.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{
    client::{Connection, Server, say},
    rail::Rail,
};
use crate::{machine::EnvironmentId, text::parse_duration};

/// What is asked for in an environment.
#[derive(Args)]
pub struct Wish {
    /// The environment, written pipeline/environment
    environment: EnvironmentId,
    /// The deployment that is meant [default: the one that is seen to be live or under way]
    #[arg(long)]
    number: Option<u64>,
    /// The release that is meant
    #[arg(long)]
    release: Option<u64>,
    /// Why, for the history
    #[arg(long)]
    reason: Option<String>,
    /// Take a pin or a veto back
    #[arg(long)]
    lift: bool,
    #[command(flatten)]
    follow: Follow,
}

/// A build to make live.
#[derive(Args)]
#[group(skip)]
pub struct Deploy {
    /// The first environment of a pipeline, written pipeline/environment
    environment: EnvironmentId,
    /// What people call it
    #[arg(long)]
    version: String,
    /// Where it is; the stack driver knows what it means
    #[arg(long)]
    artifact: String,
    /// The commit it was built from
    #[arg(long)]
    commit: Option<String>,
    #[command(flatten)]
    follow: Follow,
}

/// Whether to wait.
#[derive(Args)]
struct Follow {
    /// Show the steps until the end; the exit code says how it ended
    #[arg(long, visible_alias = "wait")]
    watch: bool,
    /// How long to wait
    #[arg(long, default_value = "1h", value_parser = |t: &str| parse_duration(t))]
    timeout: crate::machine::Millis,
}

/// `deploy`.
pub async fn deploy(server: &Server, wish: Deploy) -> anyhow::Result<ExitCode> {
    let connection = server.connect()?;
    let mut body = json!({ "version": wish.version, "artifact": wish.artifact });
    if let Some(commit) = wish.commit {
        body["commit"] = commit.into();
    }
    let answer = connection.post(&format!("/v1/environments/{}/deploy", wish.environment), &body).await?;
    outcome(&connection, server, &answer, &wish.follow).await
}

/// Any other verb.
pub async fn act(server: &Server, verb: &str, wish: Wish) -> anyhow::Result<ExitCode> {
    let connection = server.connect()?;
    let id = &wish.environment;
    let mut body = json!({});
    let named = [("number", wish.number.map(Value::from)), ("release", wish.release.map(Value::from))];
    let named = named.into_iter().chain([("reason", wish.reason.map(Value::from))]);
    for (key, value) in named.filter_map(|(key, value)| Some((key, value?))) {
        body[key] = value;
    }
    if wish.lift {
        body["lift"] = true.into();
    }
    let of = match verb {
        "rollback" => Some("live"),
        "approve" | "abort" => Some("candidate"),
        _ => None,
    };
    if let Some(role) = of
        && wish.number.is_none()
    {
        let state = connection.get(&format!("/v1/environments/{id}")).await?;
        let number = state[role]["number"].as_u64();
        body["number"] = number.ok_or_else(|| anyhow::anyhow!("{id} has no {role} deployment to {verb}"))?.into();
    }
    let number = body["number"].as_u64().unwrap_or_default();
    let path = match of {
        Some("candidate") => format!("/v1/deployments/{id}/{number}/{verb}"),
        _ => format!("/v1/environments/{id}/{verb}"),
    };
    let mut answer = connection.post(&path, &body).await?;
    if of.is_some() && answer["deployment"].is_null() {
        answer["deployment"] = format!("{id}/{number}").into();
    }
    let code = outcome(&connection, server, &answer, &wish.follow).await?;
    // What was asked for is no failure.
    let wanted = matches!((verb, code), ("rollback", c) if c == ExitCode::from(3))
        || (verb == "abort" && code == ExitCode::from(4));
    Ok(if wanted { ExitCode::SUCCESS } else { code })
}

async fn outcome(
    connection: &Connection,
    server: &Server,
    answer: &Value,
    follow: &Follow,
) -> anyhow::Result<ExitCode> {
    let Some(deployment) = answer["deployment"].as_str().filter(|_| follow.watch) else {
        let plain = answer["deployment"].as_str().map_or("done".to_owned(), |d| format!("deployment {d}"));
        say(if server.json { answer.to_string() } else { plain });
        return Ok(ExitCode::SUCCESS);
    };
    let limit = std::time::Duration::from_millis(follow.timeout.0);
    let rail = Rail::new(connection, server.json, deployment)?;
    tokio::time::timeout(limit, rail.watch()).await.unwrap_or(Ok(ExitCode::from(124)))
}
