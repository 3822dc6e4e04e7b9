//! `promote`: what would change is shown, and what was shown is what is sent.

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Context;
use clap::Args;
use http::HeaderValue;
use serde_json::{Value, json};

use super::{
    client::{ClientError, Connection, Server, Terms},
    follow::{Follow, plain, refused},
    screen::say,
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

/// What a promotion would change.
struct Shown {
    lines: Vec<String>,
    release: Option<u64>,
    seen: Option<HeaderValue>,
}

/// Shows, asks, sends.
pub async fn promote(server: &Server, wish: Promote) -> anyhow::Result<ExitCode> {
    let (connection, id) = (server.connect()?, &wish.environment);
    let shown = match changes(&connection, id).await {
        Ok(shown) => shown,
        Err(error) => return refused(server, error),
    };
    if !server.json {
        shown.lines.iter().for_each(say);
    }
    if !wish.yes && !agreed(id)? {
        return Ok(ExitCode::from(USAGE));
    }
    let mut body = json!({});
    if let Some(release) = wish.release.or(shown.release) {
        body["release"] = release.into();
    }
    let terms = Terms { key: None, seen: shown.seen };
    match connection.send(&format!("/v1/environments/{id}/promote"), &body, terms).await {
        Ok(answer) => wish.follow.outcome(&connection, server, &answer, &["accepted"]).await,
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

async fn changes(connection: &Connection, id: &EnvironmentId) -> anyhow::Result<Shown> {
    match connection.look(&format!("/v1/environments/{id}/changes")).await {
        Ok(answer) => {
            let release = ["/release/number", "/to/number", "/to/release/number", "/release"]
                .iter()
                .find_map(|place| answer.body.pointer(place)?.as_u64());
            Ok(Shown { lines: lines(&answer.body), release, seen: answer.etag })
        }
        Err(ClientError::Refused { status, .. }) if matches!(status.as_u16(), 404 | 405) => live(connection, id).await,
        Err(error) => Err(error.into()),
    }
}

/// What is live here and in the environment before, of a controller that does not tell changes.
async fn live(connection: &Connection, id: &EnvironmentId) -> anyhow::Result<Shown> {
    let answer = connection.get("/v1/environments").await?;
    let prefix = format!("{}/", id.pipeline);
    let all = answer["environments"].as_array().map_or(&[][..], Vec::as_slice);
    let own: Vec<&Value> =
        all.iter().filter(|e| e["environment"].as_str().is_some_and(|name| name.starts_with(&prefix))).collect();
    let place = own.iter().position(|e| e["environment"] == id.to_string());
    let place = place.with_context(|| format!("there is no environment {id}"))?;
    let before = place.checked_sub(1).and_then(|p| own.get(p)).map(|e| &e["live"]["release"]);
    let name = |release: &Value| match release["version"].as_str() {
        Some(version) => format!("{version} (release {})", release["number"]),
        None => "nothing".to_owned(),
    };
    let now = name(&own.get(place).map_or(Value::Null, |e| e["live"]["release"].clone()));
    let then = before.map_or("nothing".to_owned(), name);
    let lines = vec![format!("{id}: {now} is live; {then} would replace it")];
    Ok(Shown { lines, release: before.and_then(|r| r["number"].as_u64()), seen: None })
}

/// The answer as people read it: one line for a plain value, a block for a list, a text as it is.
fn lines(changes: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, value) in changes.as_object().into_iter().flatten() {
        let name = name.replace('_', " ");
        match value {
            Value::Null => {}
            Value::Array(list) if list.is_empty() => {}
            Value::Array(list) => {
                lines.push(format!("{name}:"));
                lines.extend(list.iter().map(|item| format!("  {}", row(item))));
            }
            Value::String(text) if text.contains('\n') => {
                lines.push(format!("{name}:"));
                lines.extend(text.lines().map(|line| format!("  {}", super::screen::harmless(line))));
            }
            other => lines.push(format!("{name}: {}", row(other))),
        }
    }
    lines
}

/// One thing on one line.
fn row(value: &Value) -> String {
    let Some(fields) = value.as_object() else { return plain(value) };
    let shown = fields.iter().filter(|(_, v)| !v.is_null()).map(|(name, v)| match v {
        Value::Object(_) => format!("{name} ({})", row(v)),
        _ => format!("{name} {}", plain(v)),
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_would_change_is_shown_and_nothing_of_it_reaches_the_terminal_as_an_order() {
        let changes = json!({
            "from": { "number": 3, "version": "v1" },
            "commits": [{ "id": "0123abc", "subject": "Say \u{1b}[2Jhello" }],
            "parameters": [],
            "definition": "@@ -1 +1 @@\n-a\n+b",
            "note": null,
        });
        assert_eq!(
            lines(&changes),
            [
                "from: number 3, version v1",
                "commits:",
                "  id 0123abc, subject Say \u{fffd}[2Jhello",
                "definition:",
                "  @@ -1 +1 @@",
                "  -a",
                "  +b",
            ]
        );
    }
}
