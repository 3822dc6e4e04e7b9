//! `status`, `why`, `history`: looking.

use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;

use super::{
    block,
    client::{Answer, Connection, Server},
    follow,
    rail::Rail,
    screen::{coloured, harmless, say},
    table,
    told::History,
};
use crate::{
    clock::Clock,
    machine::{EnvironmentId, Millis},
    telling,
    text::parse_duration,
};

/// What is looked at.
#[derive(Args)]
#[group(skip)]
pub struct Status {
    /// The environment, written pipeline/environment [default: all, on one screen]
    environment: Option<EnvironmentId>,
    /// Follow the deployment that is under way there; the exit code says how it ended
    #[arg(long, visible_alias = "wait", requires = "environment")]
    watch: bool,
    /// How long to wait; then the exit code is 124
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = |t: &str| parse_duration(t))]
    timeout: Millis,
}

/// All environments on one screen, or one, or its deployment step by step.
pub async fn status(server: &Server, wish: Status) -> anyhow::Result<ExitCode> {
    let connection = server.connect()?;
    match wish.environment {
        Some(id) if wish.watch => watch(server, &connection, &id, wish.timeout).await,
        Some(id) => one(server, &connection, &id).await,
        None => all(server, &connection).await,
    }
}

async fn all(server: &Server, connection: &Connection) -> anyhow::Result<ExitCode> {
    #[derive(Deserialize)]
    struct All {
        environments: Vec<table::Row>,
    }
    let (all, bytes) = connection.text::<All>("/v1/environments").await?;
    if server.json {
        say(String::from_utf8_lossy(&bytes));
        return Ok(ExitCode::SUCCESS);
    }
    if all.environments.is_empty() {
        say("there is no pipeline yet; `pointsman init` writes one");
        return Ok(ExitCode::SUCCESS);
    }
    say(table::drawn(&all.environments, Clock::real().host(), super::screen::width(), super::screen::colours()));
    Ok(ExitCode::SUCCESS)
}

async fn one(server: &Server, connection: &Connection, id: &EnvironmentId) -> anyhow::Result<ExitCode> {
    let answer = follow::look(connection, id).await?.json;
    say(if server.json { answer.to_string() } else { block::lines(&answer).join("\n") });
    Ok(ExitCode::SUCCESS)
}

/// Also when the deployment began long ago. What waits in the queue counts as under way.
async fn watch(
    server: &Server,
    connection: &Connection,
    id: &EnvironmentId,
    timeout: Millis,
) -> anyhow::Result<ExitCode> {
    let state = follow::look(connection, id).await?.body;
    let next = state.candidate.as_ref().or(state.queue.first());
    let Some(number) = next.map(|next| next.number) else {
        let none = serde_json::json!({ "environment": id, "deployment": null });
        say(if server.json { none.to_string() } else { format!("nothing is under way in {id}") });
        return Ok(ExitCode::SUCCESS);
    };
    let begin = ["accepted", "rollback_requested"];
    follow::watch(Rail::new(connection, server.json, &format!("{id}/{number}"), &begin)?, timeout).await
}

/// What users see, what is being done and until when, and the command that helps.
pub async fn why(server: &Server, id: &EnvironmentId) -> anyhow::Result<ExitCode> {
    let answer = follow::look(&server.connect()?, id).await?.json;
    let as_json = serde_json::json!({
        "environment": id, "next": answer["next"], "situation": answer["situation"],
        "waits_for": answer["waits_for"], "until": answer["until"], "who": answer["who"],
    });
    if server.json {
        say(as_json);
        return Ok(ExitCode::SUCCESS);
    }
    for (name, line) in block::situation(&answer["situation"]) {
        say(format!("{name:8} {}", harmless(&line)));
    }
    Ok(ExitCode::SUCCESS)
}

/// What happened in an environment.
pub async fn history(server: &Server, id: &EnvironmentId, last: usize) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/history?environment={id}&last={last}");
    let Answer { body, json: answer, .. } = server.connect()?.look::<History>(&path).await?;
    if server.json {
        say(answer);
        return Ok(ExitCode::SUCCESS);
    }
    for (number, entry) in body.records.iter().enumerate() {
        let (at, event) = (crate::text::format_time(Millis(entry.at)), &answer["records"][number]["event"]);
        let (kind, by) = (&entry.event.kind, &entry.by);
        let number = entry.event.number.map_or("-".to_owned(), |n| n.to_string());
        let reason = telling::about(event);
        let (kind, by) = (format!("{:20}", kind.replace('_', " ")), harmless(by));
        say(format!("{at}  {number:>5}  {}  {by:16}  {reason}", coloured(&kind)).trim_end());
        telling::said(event).iter().for_each(|line| say(format!("{:33}{line}", "")));
    }
    Ok(ExitCode::SUCCESS)
}
