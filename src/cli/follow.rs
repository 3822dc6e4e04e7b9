//! Waiting for what becomes of a request, and telling what the controller said of it.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{
    client::{Answer, ClientError, Connection, Server},
    rail::Rail,
    screen::{harmless, say},
    told::Environment,
};
use crate::{
    machine::{EnvironmentId, Millis},
    text::format_duration,
    units::parse_duration,
};

/// What the exit code says when the time was over.
const TIMED_OUT: u8 = 124;

/// What the exit code says after Ctrl-C, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// Whether to wait.
#[derive(Args)]
pub struct Follow {
    /// Show the steps until the end; the exit code says how it ended
    #[arg(long, visible_alias = "wait")]
    watch: bool,
    /// How long to wait; then the exit code is 124, and the deployment goes on
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = |t: &str| parse_duration(t))]
    timeout: Millis,
}

impl Follow {
    /// Tells what was recorded, and follows the deployment if that is wanted.
    pub async fn outcome(
        &self,
        connection: &Connection,
        server: &Server,
        (deployment, answer): (&str, &Value),
        begin: &[&str],
    ) -> anyhow::Result<ExitCode> {
        if !self.watch {
            let said = answer["said"].as_str().filter(|said| !said.is_empty());
            let said = said.map(|said| format!(": {}", harmless(said))).unwrap_or_default();
            say(if server.json { answer.to_string() } else { format!("deployment {deployment}{said}") });
            return Ok(ExitCode::SUCCESS);
        }
        let rail = Rail::new(connection, server.json, deployment, begin)?;
        watch(rail, self.timeout).await
    }
}

/// Shows each step until the end, or until the time is over.
pub async fn watch(rail: Rail<'_>, timeout: Millis) -> anyhow::Result<ExitCode> {
    let (limit, place) = (std::time::Duration::from_millis(timeout.0), rail.place());
    let watched = async {
        tokio::select! {
            ended = rail.watch() => Some(ended),
            _ = tokio::signal::ctrl_c() => None,
        }
    };
    match tokio::time::timeout(limit, watched).await {
        Ok(Some(ended)) => ended,
        Ok(None) => {
            super::complain(&format!(
                "watching ended; the deployment goes on in the controller: `pointsman status {place} --watch` follows it again, \
                 `pointsman abort {place}` stops it before users see it"
            ));
            Ok(ExitCode::from(INTERRUPTED))
        }
        Err(_) => {
            let after = format_duration(timeout);
            super::complain(&format!("not ended within {after}; the deployment goes on: pointsman why {place}"));
            Ok(ExitCode::from(TIMED_OUT))
        }
    }
}

/// How an environment is, with the tag by which a request says what it was made on.
pub async fn look(connection: &Connection, id: &EnvironmentId) -> Result<Answer<Environment>, ClientError> {
    connection.look(&format!("/v1/environments/{id}")).await
}

/// What was refused, with all that the controller says of it: what changed since it was looked at.
pub fn refused(server: &Server, error: anyhow::Error) -> anyhow::Result<ExitCode> {
    let Some(ClientError::Refused { problem, .. }) = error.downcast_ref() else { return Err(error) };
    if server.json {
        say(problem);
        return Err(error);
    }
    for change in problem["changed"].as_array().into_iter().flatten() {
        let part = |name: &str| plain(&change[name]);
        say(format!("  {}: shown was {}, now it is {}", part("what"), part("shown"), part("now")));
    }
    Err(error)
}

/// A value as people read it.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => harmless(text),
        other => harmless(&other.to_string()),
    }
}
