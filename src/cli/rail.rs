//! `--watch`: every step of a deployment as its record says, and the exit code of the end. No step is missed, however
//! short: what was recorded since is read after each change. A controller that is away for a while is waited for.

use std::{process::ExitCode, time::Duration};

use serde_json::Value;

use super::{
    client::{ClientError, Connection},
    screen::{coloured, harmless, say},
};
use crate::{clock::Clock, machine::EnvironmentId};

/// How many records are read at once: more than one deployment ever writes.
const RECORDS: usize = 200;
/// How long a controller may be away, and the pause before it is asked again.
const AWAY: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(250);

/// One deployment that is watched.
pub struct Rail<'a> {
    connection: &'a Connection,
    as_json: bool,
    environment: EnvironmentId,
    number: u64,
    /// The kinds of record at which the story begins.
    begin: Vec<String>,
    /// The last record that was shown.
    shown: u64,
    /// The last one that was read.
    read: u64,
    began: u64,
    last: u64,
}

/// The exit code that says how a deployment ended; `None` while it goes on by itself.
pub fn exit_code(state: &str) -> Option<u8> {
    match state {
        "succeeded" => Some(0),
        "failed" => Some(1),
        "rolled_back" => Some(3),
        "aborted" => Some(4),
        "awaiting_approval" => Some(5),
        "superseded" => Some(6),
        _ => None,
    }
}

impl<'a> Rail<'a> {
    /// Of the deployment `pipeline/environment/number`, from the last record of one of the kinds `begin`.
    pub fn new(connection: &'a Connection, as_json: bool, deployment: &str, begin: &[&str]) -> anyhow::Result<Self> {
        let unreadable = || anyhow::anyhow!("the controller named a deployment {deployment:?}, which is none");
        let (environment, number) = deployment.rsplit_once('/').ok_or_else(unreadable)?;
        let (environment, number) = (environment.parse()?, number.parse().map_err(|_| unreadable())?);
        let begin = begin.iter().map(|kind| (*kind).to_owned()).collect();
        Ok(Self { connection, as_json, environment, number, begin, shown: 0, read: 0, began: 0, last: 0 })
    }

    /// Shows each step until the end.
    pub async fn watch(mut self) -> anyhow::Result<ExitCode> {
        let mut seen = String::new();
        loop {
            let path = format!("/v1/deployments/{}/{}?wait=30s&seen={seen}", self.environment, self.number);
            let now = self.ask(&path).await?;
            self.show_steps().await?;
            let state = now["state"].as_str().unwrap_or_default();
            if let Some(code) = exit_code(state) {
                self.show_end(&now, state);
                return Ok(ExitCode::from(code));
            }
            state.clone_into(&mut seen);
        }
    }

    /// Asks, and goes on asking while nobody answers: the deployment goes on when the controller is back.
    async fn ask(&self, path: &str) -> Result<Value, ClientError> {
        let clock = Clock::real();
        let begun = clock.now();
        loop {
            match self.connection.get(path).await {
                Err(error) if error.may_pass() && u128::from(clock.now().since(begun).0) < AWAY.as_millis() => {
                    clock.wait(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    async fn show_steps(&mut self) -> anyhow::Result<()> {
        let path = format!("/v1/history?environment={}&last={RECORDS}&since={}", self.environment, self.read);
        let answer = self.ask(&path).await?;
        let records = answer["records"].as_array().map_or(&[][..], Vec::as_slice);
        if self.shown == 0 {
            // What was asked for just now begins here; a rollback's deployment has a long history before it.
            let begins = |r: &&Value| {
                self.is_ours(r) && r["event"]["kind"].as_str().is_some_and(|kind| self.begin.iter().any(|b| b == kind))
            };
            let begin = records.iter().rev().find(begins).and_then(|record| record["seq"].as_u64());
            self.shown = begin.map_or(0, |seq| seq.saturating_sub(1));
        }
        for record in records {
            let (event, seq) = (&record["event"], record["seq"].as_u64().unwrap_or_default());
            self.read = self.read.max(seq);
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
            let reason = harmless(event["reason"].as_str().unwrap_or_default());
            let line = format!("  +{:>10}  {}  {reason}", seconds(at.saturating_sub(self.last)), coloured(&kind));
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
        let reason = now["reason"].as_str().filter(|r| !r.is_empty()).map(|r| format!(": {}", harmless(r)));
        let (whole, reason) = (seconds(self.last.saturating_sub(self.began)), reason.unwrap_or_default());
        let (state, begins) = (coloured(&state.replace('_', " ")), format!("{}/{}", self.environment, self.number));
        say(format!("{begins}  {state} after {whole}{reason}"));
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}
