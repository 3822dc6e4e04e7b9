//! `promote`: what would change is shown, and what was shown is what is sent.

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::{
    changes::lines,
    client::{Server, Terms},
    follow::{Follow, plain, refused},
    screen::say,
    told::{Accepted, Changes},
};
use crate::{cli::USAGE, machine::EnvironmentId};

/// A promotion.
#[derive(Args)]
#[group(skip)]
pub struct Promote {
    /// The environment that the release goes to, written pipeline/environment
    environment: EnvironmentId,
    /// The release that is meant; refused when another one is live in the environment before
    #[arg(long, value_name = "N")]
    release: Option<u64>,
    /// Do not ask; needed where there is no terminal to ask at
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    follow: Follow,
}

/// Shows, asks, sends.
pub async fn promote(server: &Server, wish: Promote) -> anyhow::Result<ExitCode> {
    let (connection, id) = (server.connect()?, &wish.environment);
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
        anyhow::bail!("nothing was promoted: {}", plain(&changes.json["why"]));
    }
    if !wish.yes && !agreed(id)? {
        return Ok(ExitCode::from(USAGE));
    }
    let mut body = json!({});
    if let Some(release) = wish.release.or_else(|| changes.body.to.as_ref().map(|to| to.number)) {
        body["release"] = release.into();
    }
    let terms = Terms { key: None, seen: changes.etag };
    match connection.send::<Accepted>(&format!("/v1/environments/{id}/promote"), &body, terms).await {
        Ok(answer) => wish.follow.outcome(&connection, server, answer.deployment(), &["accepted"]).await,
        Err(error) => refused(server, error),
    }
}

/// Asks a person. Without one the answer is no.
fn agreed(id: &EnvironmentId) -> anyhow::Result<bool> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        super::complain("nothing was promoted: there is no terminal to ask at; say --yes if this is what you want");
        return Ok(false);
    }
    let question = dialoguer::Confirm::new().with_prompt(format!("Promote to {id}?")).default(false);
    let yes = question.interact().context("asking at the terminal")?;
    if !yes {
        super::complain("nothing was promoted");
    }
    Ok(yes)
}
