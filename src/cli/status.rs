//! `status`, `why`, `history`: looking.

use std::process::ExitCode;

use serde_json::Value;

use super::{
    block,
    client::{Server, coloured, say},
};
use crate::machine::EnvironmentId;

/// All environments on one screen, or one.
pub async fn status(server: &Server, environment: Option<&EnvironmentId>) -> anyhow::Result<ExitCode> {
    let connection = server.connect()?;
    let answer = match environment {
        Some(id) => connection.get(&format!("/v1/environments/{id}")).await?,
        None => connection.get("/v1/environments").await?,
    };
    if server.json {
        say(answer);
        return Ok(ExitCode::SUCCESS);
    }
    let Some(all) = answer["environments"].as_array() else {
        say(block::lines(&answer).join("\n"));
        return Ok(ExitCode::SUCCESS);
    };
    let name = |e: &Value| e["environment"].as_str().unwrap_or_default().to_owned();
    let width = all.iter().map(|e| name(e).len()).max().unwrap_or_default().max(11);
    say(format!("{:width$}  {:16}  {:16}  {:16}  NEXT", "ENVIRONMENT", "LIVE", "STANDBY", "CANDIDATE"));
    for e in all {
        let role = |role: &str| match e[role]["release"]["version"].as_str() {
            Some(version) => format!("{version} ({})", e[role]["number"]),
            None => "-".to_owned(),
        };
        let (live, standby, candidate) = (role("live"), role("standby"), role("candidate"));
        let next = e["next"].as_str().unwrap_or_default();
        say(format!("{:width$}  {live:16}  {standby:16}  {candidate:16}  {next}", name(e)));
    }
    Ok(ExitCode::SUCCESS)
}

/// What an environment waits for, in one sentence.
pub async fn why(server: &Server, id: &EnvironmentId) -> anyhow::Result<ExitCode> {
    let answer = server.connect()?.get(&format!("/v1/environments/{id}")).await?;
    say(if server.json { answer["next"].to_string() } else { answer["next"].as_str().unwrap_or_default().to_owned() });
    Ok(ExitCode::SUCCESS)
}

/// What happened in an environment.
pub async fn history(server: &Server, id: &EnvironmentId, last: usize) -> anyhow::Result<ExitCode> {
    let answer = server.connect()?.get(&format!("/v1/history?environment={id}&last={last}")).await?;
    if server.json {
        say(answer);
        return Ok(ExitCode::SUCCESS);
    }
    for record in answer["records"].as_array().into_iter().flatten() {
        let at = crate::text::format_time(crate::machine::Millis(record["at"].as_u64().unwrap_or_default()));
        let event = &record["event"];
        let (kind, by) = (event["kind"].as_str().unwrap_or_default(), record["by"].as_str().unwrap_or_default());
        let number = event["number"].as_u64().map_or("-".to_owned(), |n| n.to_string());
        let reason = event["reason"].as_str().unwrap_or_default();
        let kind = format!("{:20}", kind);
        say(format!("{at}  {number:>5}  {}  {by:16}  {reason}", coloured(&kind)));
    }
    Ok(ExitCode::SUCCESS)
}
