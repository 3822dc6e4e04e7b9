//! `status`, `why`, `history`: looking.

use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;

use super::{
    block,
    client::{Answer, Connection, Server},
    follow::{self, plain},
    rail::Rail,
    screen::{coloured, harmless, say, width, wrapped},
    story, table, told,
};
use crate::{
    clock::Clock,
    machine::{self, EnvironmentId, Millis, Name},
    telling,
    text::did_you_mean,
    units::parse_duration,
};

/// What is looked at.
#[derive(Args)]
#[group(skip)]
pub struct Status {
    /// The environment, written pipeline/environment, or a pipeline [default: all, on one screen]
    environment: Option<Place>,
    /// Follow the deployment that is under way there; the exit code says how it ended
    #[arg(long, visible_alias = "wait", requires = "environment")]
    watch: bool,
    /// How long to wait; then the exit code is 124
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = |t: &str| parse_duration(t))]
    timeout: Millis,
}

/// An environment, or all of a pipeline.
#[derive(Clone)]
pub enum Place {
    /// A pipeline.
    Pipeline(Name),
    /// An environment.
    Environment(EnvironmentId),
}

impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.contains('/') {
            true => text.parse().map(Self::Environment).map_err(|why: machine::BadId| why.to_string()),
            false => text.parse().map(Self::Pipeline).map_err(|why: machine::BadName| why.to_string()),
        }
    }
}

/// All environments on one screen, or one, or its deployment step by step.
pub async fn status(server: &Server, request: Status) -> anyhow::Result<ExitCode> {
    let connection = server.connect()?;
    match request.environment {
        Some(Place::Pipeline(pipeline)) if request.watch => anyhow::bail!(
            "--watch follows one environment: `pointsman status {pipeline}/ENVIRONMENT --watch`; \
             `pointsman status {pipeline}` lists them"
        ),
        Some(Place::Pipeline(pipeline)) => all(server, &connection, Some(&pipeline)).await,
        Some(Place::Environment(id)) if request.watch => watch(server, &connection, &id, request.timeout).await,
        Some(Place::Environment(id)) => one(server, &connection, &id).await,
        None => all(server, &connection, None).await,
    }
}

async fn all(server: &Server, connection: &Connection, of: Option<&Name>) -> anyhow::Result<ExitCode> {
    #[derive(Deserialize)]
    struct All {
        environments: Vec<table::Row>,
        #[serde(default)]
        warnings: Vec<String>,
    }
    let (all, bytes) = match of {
        None => connection.text::<All>("/v1/environments").await?,
        Some(pipeline) => {
            let (all, _) = connection.text::<serde_json::Value>("/v1/environments").await?;
            let all = only(all, pipeline)?;
            (serde_json::from_value(all.clone())?, serde_json::to_vec(&all)?.into())
        }
    };
    if server.json {
        say(String::from_utf8_lossy(&bytes));
        return Ok(ExitCode::SUCCESS);
    }
    if all.environments.is_empty() {
        say("there is no pipeline yet; `pointsman init` writes one");
        return Ok(ExitCode::SUCCESS);
    }
    say(table::drawn(&all.environments, Clock::real().host(), super::screen::width(), super::screen::colours()));
    for warning in &all.warnings {
        wrapped(&format!("Warning: {}", harmless(warning)), width(), 0).iter().for_each(say);
    }
    Ok(ExitCode::SUCCESS)
}

/// Keeps the environments of one pipeline.
fn only(mut all: serde_json::Value, pipeline: &Name) -> anyhow::Result<serde_json::Value> {
    let list = all["environments"].as_array_mut();
    let list = list.ok_or_else(|| {
        anyhow::anyhow!(
            "the controller's answer has no environments: `pointsman --version` and that of the controller differ"
        )
    })?;
    let named =
        |e: &serde_json::Value| e["environment"].as_str().and_then(|id| id.split_once('/')).map(|(p, _)| p.to_owned());
    let mut pipelines: Vec<String> = list.iter().filter_map(named).collect();
    pipelines.dedup();
    list.retain(|e| named(e).as_deref() == Some(pipeline.as_str()));
    if list.is_empty() {
        let guess = did_you_mean(pipeline.as_str(), pipelines.iter().map(String::as_str));
        let guess = guess.map(|guess| format!("; did you mean {guess}?")).unwrap_or_default();
        let listed = pipelines.join(", ");
        anyhow::bail!("there is no pipeline {pipeline}{guess}; there are: {listed} (`pointsman status` shows them)");
    }
    Ok(all)
}

async fn one(server: &Server, connection: &Connection, id: &EnvironmentId) -> anyhow::Result<ExitCode> {
    let mut answer = follow::look(connection, id).await?.json;
    if server.json {
        say(answer);
        return Ok(ExitCode::SUCCESS);
    }
    if answer["front"]["preview"].is_object() {
        // Who may not see the key sees the rest.
        if let Ok(key) = connection.get(&format!("/v1/environments/{id}/preview")).await {
            answer["front"]["preview"]["link"] = key["link"].clone();
        }
    }
    say(block::lines(&answer, width()).join("\n"));
    Ok(ExitCode::SUCCESS)
}

/// Follows the deployment, also when it began long ago. What waits in the queue counts as under way.
async fn watch(
    server: &Server,
    connection: &Connection,
    id: &EnvironmentId,
    timeout: Millis,
) -> anyhow::Result<ExitCode> {
    let state = follow::look(connection, id).await?.body;
    let under_way = state.candidate.as_ref().map(|there| there.number);
    let Some(number) = under_way.or(state.queue.first().map(|next| next.number)) else {
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
        let mut lines = wrapped(&harmless(&line), width(), 9);
        if let Some(first) = lines.first_mut() {
            first.replace_range(..9, &format!("{name:8} "));
        }
        lines.iter().for_each(say);
    }
    Ok(ExitCode::SUCCESS)
}

/// The characters of a record before its reason.
const HEAD: usize = 73;

/// What happened in an environment: its deployments, or every record.
#[derive(Args)]
#[group(skip)]
pub struct History {
    /// The environment, written pipeline/environment
    environment: EnvironmentId,
    /// Only deployments of the release that is called so, by its version or its number
    #[arg(conflicts_with = "records")]
    version: Option<String>,
    /// How many deployments, or records
    #[arg(long, value_name = "N", default_value_t = 50)]
    last: usize,
    /// Every record of the state file instead of one entry for each deployment
    #[arg(long)]
    records: bool,
}

/// The deployments of one release.
fn of_release(
    all: Vec<serde_json::Value>,
    id: &EnvironmentId,
    version: &str,
) -> anyhow::Result<Vec<serde_json::Value>> {
    let is = |d: &serde_json::Value| {
        d["version"] == version || version.parse::<u64>().is_ok_and(|number| d["release"] == number)
    };
    if all.iter().any(is) {
        return Ok(all.into_iter().filter(is).collect());
    }
    let name = |d: &serde_json::Value| format!("{} (release {})", plain(&d["version"]), d["release"]);
    let mut known: Vec<String> = all.iter().rev().map(name).collect();
    known.dedup();
    known.truncate(8);
    let listed = if known.is_empty() { "none yet".to_owned() } else { known.join(", ") };
    let version = harmless(version);
    anyhow::bail!(
        "no deployment of {version} is among the last {} of {id}; there are: {listed} (`pointsman history {id} --last 200`)",
        all.len()
    )
}

/// Shows what happened in an environment.
pub async fn history(server: &Server, request: &History) -> anyhow::Result<ExitCode> {
    let (connection, id, last) = (server.connect()?, &request.environment, request.last);
    let path = format!("/v1/environments/{id}/deployments?last={last}");
    let deployments = connection.look::<told::Deployments>(&path).await;
    if !request.records && !server.json {
        let (mut all, width) = (deployments?.body.deployments, width());
        if let Some(version) = &request.version {
            all = of_release(all, id, version)?;
        }
        if all.is_empty() {
            say(format!("nothing was deployed to {id} yet; `pointsman status {id}` shows how it is"));
        }
        all.iter().flat_map(|deployment| story::lines(deployment, width)).for_each(say);
        return Ok(ExitCode::SUCCESS);
    }
    let path = format!("/v1/history?environment={id}&last={last}");
    let Answer { body, json: mut answer, .. } = connection.look::<told::History>(&path).await?;
    if server.json {
        // One whose file is gone has records and nothing else.
        answer["deployments"] = deployments.map_or(serde_json::Value::Null, |told| told.body.deployments.into());
        say(answer);
        return Ok(ExitCode::SUCCESS);
    }
    for (number, entry) in body.records.iter().enumerate() {
        let (at, event) = (crate::text::format_time(Millis(entry.at)), &answer["records"][number]["event"]);
        let (kind, by) = (&entry.event.kind, &entry.by);
        let number = entry.event.number.map_or("-".to_owned(), |n| n.to_string());
        let reason = telling::about(event);
        let (kind, by) = (format!("{:20}", kind.replace('_', " ")), harmless(by));
        let head = format!("{at}  {number:>5}  {}  {by:16}", coloured(&kind));
        match width() {
            // Beside all that there is no room for a sentence.
            Some(width) if width < HEAD + 40 => {
                say(head.trim_end());
                wrapped(&reason, Some(width), 6).iter().filter(|line| !line.is_empty()).for_each(say);
            }
            _ => say(format!("{head}  {reason}").trim_end()),
        }
        telling::said(event).iter().for_each(|line| say(format!("{:33}{line}", "")));
    }
    Ok(ExitCode::SUCCESS)
}
