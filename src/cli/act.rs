//! `rollback abort approve hold resume pin veto`: wishes about an environment.

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::{
    client::{Answer, Connection, Server, Terms},
    follow::{Follow, look, refused},
    screen::{harmless, say},
    told::{Done, Environments, Recorded},
};
use crate::{cli::USAGE, machine::EnvironmentId};

/// The records at which the story of a wish begins.
const BEGIN: [&str; 3] = ["accepted", "approved", "rollback_requested"];

/// A wish about one deployment of an environment.
#[derive(Args)]
pub struct One {
    /// The environment, written pipeline/environment
    environment: EnvironmentId,
    /// The deployment that is meant [default: the one that is seen to be live or under way]
    #[arg(long, value_name = "N")]
    number: Option<u64>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    follow: Follow,
}

/// The wish to go back.
#[derive(Args)]
#[group(skip)]
pub struct Back {
    #[command(flatten)]
    one: One,
    /// Do not ask, whatever going back does not undo; without a terminal nobody is asked
    #[arg(long, short)]
    yes: bool,
}

/// A wish about an environment as a whole.
#[derive(Args)]
pub struct Whole {
    /// The environment, written pipeline/environment
    environment: EnvironmentId,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// A wish about a release.
#[derive(Args)]
pub struct Ban {
    /// The environment, written pipeline/environment
    environment: EnvironmentId,
    /// The release that is meant, by its version or its number
    #[arg(required_unless_present_any = ["lift", "number"], conflicts_with = "number")]
    release: Option<String>,
    /// The release that is meant, by its number alone
    #[arg(id = "number", long = "release", value_name = "N")]
    number: Option<u64>,
    /// Take it back
    #[arg(long)]
    lift: bool,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// What is asked about the count of builds.
#[derive(clap::Subcommand)]
pub enum Builds {
    /// Take the next build for the newest, whatever its number
    ///
    /// For a job that was made again and counts from 1, or a number announced by mistake: builds with a smaller number
    /// than the newest are refused until then.
    Reset(Reset),
}

/// The count of builds, from the beginning.
#[derive(Args)]
pub struct Reset {
    /// The pipeline, or its first environment, which takes the builds
    pipeline: String,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// `builds reset`.
pub async fn reset_builds(server: &Server, wish: Reset) -> anyhow::Result<ExitCode> {
    let id = match wish.pipeline.contains('/') {
        true => wish.pipeline.parse()?,
        false => {
            let all = server.connect()?.look::<Environments>("/v1/environments").await?.body.environments;
            let mut own = all.into_iter().map(|e| e.environment).filter(|id| *id.pipeline.as_str() == *wish.pipeline);
            own.next().ok_or_else(|| anyhow::anyhow!("there is no pipeline {}: pointsman status", wish.pipeline))?
        }
    };
    record(server, &id, "builds/reset", &json!({ "reason": wish.reason })).await
}

/// `rollback`. What it does not undo is said before it is asked for.
pub async fn back(server: &Server, wish: Back) -> anyhow::Result<ExitCode> {
    one(server, "rollback", wish.one, wish.yes).await
}

/// Says what going back does not undo, and asks whoever sits at a terminal. In a script the wish is enough: nothing may
/// stand in the way of a rollback.
fn mindful(server: &Server, id: &EnvironmentId, limits: &[String], yes: bool) -> anyhow::Result<bool> {
    if limits.is_empty() || server.json {
        return Ok(true);
    }
    limits.iter().for_each(|limit| say(format!("mind that {}", harmless(limit))));
    if yes || !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Ok(true);
    }
    let question = dialoguer::Confirm::new().with_prompt(format!("Roll {id} back all the same?")).default(false);
    let agreed = question.interact().context("asking at the terminal")?;
    if !agreed {
        super::complain("nothing was rolled back");
    }
    Ok(agreed)
}

/// `rollback`, `abort`, `approve`: each names the deployment that it means, and the state it was made on.
pub async fn one(server: &Server, verb: &str, wish: One, yes: bool) -> anyhow::Result<ExitCode> {
    let (connection, id) = (server.connect()?, &wish.environment);
    let role = if verb == "rollback" { "live" } else { "candidate" };
    let Answer { body: state, etag: seen, .. } = look(&connection, id).await?;
    let seen_there = if role == "live" { &state.live } else { &state.candidate };
    let number = wish.number.or(seen_there.as_ref().map(|there| there.number));
    let number = number.ok_or_else(|| anyhow::anyhow!("{id} has no {role} deployment to {verb}"))?;
    if verb == "rollback" && !mindful(server, id, &state.one_way, yes)? {
        return Ok(ExitCode::from(USAGE));
    }
    let path = match role {
        "candidate" => format!("/v1/deployments/{id}/{number}/{verb}"),
        _ => format!("/v1/environments/{id}/{verb}"),
    };
    let mut body = json!({ "number": number });
    if let Some(reason) = wish.reason {
        body["reason"] = reason.into();
    }
    let Answer { body: recorded, mut json, .. } =
        match connection.send::<Recorded>(&path, &body, Terms { key: None, seen }).await {
            Ok(answer) => answer,
            Err(error) => return refused(server, error),
        };
    let deployment = match recorded {
        Recorded::Accepted(accepted) => accepted.deployment,
        Recorded::Done(_) => format!("{id}/{number}"),
    };
    json["deployment"] = deployment.as_str().into();
    let code = wish.follow.outcome(&connection, server, (&deployment, &json), &BEGIN).await?;
    // What was asked for is no failure.
    let wanted = (verb == "rollback" && code == ExitCode::from(3)) || (verb == "abort" && code == ExitCode::from(4));
    Ok(if wanted { ExitCode::SUCCESS } else { code })
}

/// `hold` and `resume`.
pub async fn whole(server: &Server, verb: &str, wish: Whole) -> anyhow::Result<ExitCode> {
    let mut body = json!({});
    if let Some(reason) = wish.reason {
        body["reason"] = reason.into();
    }
    record(server, &wish.environment, verb, &body).await
}

/// `pin` and `veto`.
pub async fn ban(server: &Server, verb: &str, wish: Ban) -> anyhow::Result<ExitCode> {
    let mut body = json!({ "lift": wish.lift });
    if let Some(number) = wish.number {
        body["release"] = number.into();
    }
    if let Some(version) = wish.release {
        body["version"] = version.into();
    }
    if let Some(reason) = wish.reason {
        body["reason"] = reason.into();
    }
    record(server, &wish.environment, verb, &body).await
}

pub(super) async fn record(server: &Server, id: &EnvironmentId, verb: &str, body: &Value) -> anyhow::Result<ExitCode> {
    let connection: Connection = server.connect()?;
    match connection.send::<Done>(&format!("/v1/environments/{id}/{verb}"), body, Terms::default()).await {
        Ok(answer) => {
            if answer.body.environment != *id {
                anyhow::bail!("{id} was asked about, and the answer is about {}", answer.body.environment);
            }
            let said = answer.json["said"].as_str().map_or_else(|| "done".to_owned(), harmless);
            super::screen::say(if server.json { answer.json.to_string() } else { said });
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => refused(server, error),
    }
}
