//! `--watch`: every step of a deployment as its record says, and the exit code of the end. No step is missed, however
//! short: the records are read again after each change.

use std::process::ExitCode;

use serde_json::Value;

use super::client::{Connection, coloured, say};
use crate::{access::is_person, machine::EnvironmentId};

/// How many records are read at once: more than one deployment ever writes.
const RECORDS: usize = 200;

/// One deployment that is watched.
pub struct Rail<'a> {
    connection: &'a Connection,
    as_json: bool,
    environment: EnvironmentId,
    number: u64,
    /// The last record that was shown.
    shown: u64,
    began: u64,
    last: u64,
}

impl<'a> Rail<'a> {
    /// Of the deployment `pipeline/environment/number`.
    pub fn new(connection: &'a Connection, as_json: bool, deployment: &str) -> anyhow::Result<Self> {
        let unreadable = || anyhow::anyhow!("the controller named a deployment {deployment:?}, which is none");
        let (environment, number) = deployment.rsplit_once('/').ok_or_else(unreadable)?;
        let (environment, number) = (environment.parse()?, number.parse().map_err(|_| unreadable())?);
        Ok(Self { connection, as_json, environment, number, shown: 0, began: 0, last: 0 })
    }

    /// Shows each step until the end.
    pub async fn watch(mut self) -> anyhow::Result<ExitCode> {
        let mut seen = String::new();
        loop {
            let path = format!("/v1/deployments/{}/{}?wait=30s&seen={seen}", self.environment, self.number);
            let now = self.connection.get(&path).await?;
            self.show_steps().await?;
            let state = now["state"].as_str().unwrap_or_default();
            let code = match state {
                "succeeded" => Some(0),
                "rolled_back" => Some(3),
                "aborted" => Some(4),
                "awaiting_approval" => Some(5),
                "superseded" => Some(6),
                "failed" => Some(1),
                _ => None,
            };
            if let Some(code) = code {
                self.show_end(&now, state);
                return Ok(ExitCode::from(code));
            }
            state.clone_into(&mut seen);
        }
    }

    async fn show_steps(&mut self) -> anyhow::Result<()> {
        let path = format!("/v1/history?environment={}&last={RECORDS}", self.environment);
        let answer = self.connection.get(&path).await?;
        let records = answer["records"].as_array().map_or(&[][..], Vec::as_slice);
        if self.shown == 0 {
            // What was asked for just now begins here; a rollback's deployment has a long history before it.
            let asked = |r: &&Value| self.is_ours(r) && r["by"].as_str().is_some_and(is_person);
            let begin = records.iter().rev().find(asked).and_then(|record| record["seq"].as_u64());
            self.shown = begin.map_or(0, |seq| seq.saturating_sub(1));
        }
        for record in records {
            let (event, seq) = (&record["event"], record["seq"].as_u64().unwrap_or_default());
            if seq <= self.shown || !self.is_ours(record) {
                continue;
            }
            self.shown = seq;
            if self.as_json {
                say(record);
                continue;
            }
            let at = record["at"].as_u64().unwrap_or_default();
            if self.began == 0 {
                (self.began, self.last) = (at, at);
                say(format!("{}/{}", self.environment, self.number));
            }
            let kind = format!("{:20}", event["kind"].as_str().unwrap_or_default().replace('_', " "));
            let reason = event["reason"].as_str().unwrap_or_default();
            let line = format!("  +{:>8}  {}  {reason}", seconds(at.saturating_sub(self.last)), coloured(&kind));
            say(line.trim_end());
            self.last = at;
        }
        Ok(())
    }

    fn is_ours(&self, record: &Value) -> bool {
        let event = &record["event"];
        event["number"] == self.number || event["by"] == self.number
    }

    fn show_end(&self, now: &Value, state: &str) {
        if self.as_json {
            return say(now);
        }
        let reason = now["reason"].as_str().filter(|r| !r.is_empty()).map(|r| format!(": {r}")).unwrap_or_default();
        let (whole, state) = (seconds(self.last.saturating_sub(self.began)), coloured(state));
        say(format!("{}/{}  {state} after {whole}{reason}", self.environment, self.number));
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}
