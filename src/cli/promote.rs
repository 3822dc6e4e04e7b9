//! `promote`: what would change is shown, and what was shown is what is sent.

use std::{io::IsTerminal, process::ExitCode};

use clap::Args;
use serde_json::json;

use super::{
    ask,
    changes::lines,
    client::{Server, Terms},
    follow::{Follow, plain, refused},
    screen::{harmless, say},
    told::{Accepted, Changes},
};
use crate::{cli::USAGE, machine::EnvironmentId};

/// A promotion.
#[derive(Args)]
#[group(skip)]
pub struct Promote {
    /// The environment that the release goes to, written pipeline/environment
    environment: EnvironmentId,
    /// The version, or the number, of the release that is meant; refused when another one is live in the environment before
    #[arg(conflicts_with = "release")]
    version: Option<String>,
    /// The number of the release that is meant; refused when another one is live in the environment before
    #[arg(long, value_name = "N")]
    release: Option<u64>,
    /// It repairs an incident: the five figures count it as rework and as the recovery from what was live before
    #[arg(long)]
    repairs: bool,
    /// Do not ask; needed where there is no terminal to ask at
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    follow: Follow,
}

/// Shows, asks, sends.
pub async fn promote(server: &Server, request: Promote) -> anyhow::Result<ExitCode> {
    let (connection, id) = (server.connect()?, &request.environment);
    let changes = match connection.look::<Changes>(&format!("/v1/environments/{id}/changes")).await {
        Ok(answer) => answer,
        Err(error) => return refused(server, error.into()),
    };
    if !server.json {
        lines(&changes.json).iter().for_each(say);
    }
    if !changes.body.promotable {
        if server.json {
            say(&changes.json);
        }
        let why = plain(&changes.json["why"]);
        let helps = if why.contains('`') { String::new() } else { format!(" (`pointsman why {id}`)") };
        anyhow::bail!("nothing was promoted: {why}{helps}");
    }
    if let Some(wanted) = &request.version {
        meant(id, &changes.json, wanted)?;
    }
    if !request.yes
        && let Some(code) = refusal(id).await?
    {
        return Ok(code);
    }
    let mut body = json!({});
    if let Some(release) = request.release.or_else(|| changes.body.to.as_ref().map(|to| to.number)) {
        body["release"] = release.into();
    }
    if let Some(version) = request.version {
        body["version"] = version.into();
    }
    if request.repairs {
        body["repairs"] = true.into();
    }
    let terms = Terms { key: None, seen: changes.etag };
    match connection.send::<Accepted>(&format!("/v1/environments/{id}/promote"), &body, terms).await {
        Ok(answer) => request.follow.outcome(&connection, server, answer.deployment(), &["accepted"]).await,
        Err(error) => refused(server, error),
    }
}

/// Refuses, before anybody is asked, what is not what was named.
fn meant(id: &EnvironmentId, changes: &serde_json::Value, wanted: &str) -> anyhow::Result<()> {
    let (to, before) = (&changes["to"], plain(&changes["before"]));
    if to["version"] == wanted || wanted.parse::<u64>().is_ok_and(|number| to["number"] == number) {
        return Ok(());
    }
    let there = format!("{} (release {})", plain(&to["version"]), to["number"]);
    let wanted = harmless(wanted);
    anyhow::bail!(
        "nothing was promoted: {there} is live in {before} and would be promoted to {id}, not {wanted}; \
         `pointsman history {before}` shows what there was"
    )
}

/// Asks a person. Without one the answer is no.
async fn refusal(id: &EnvironmentId) -> anyhow::Result<Option<ExitCode>> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        super::complain("nothing was promoted: there is no terminal to ask at; say --yes if this is what you want");
        return Ok(Some(ExitCode::from(USAGE)));
    }
    let otherwise = format!("nothing was promoted; `pointsman promote {id}` asks again");
    ask::agreed(format!("Promote to {id}?"), &otherwise).await
}
