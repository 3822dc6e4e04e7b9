//! `--watch`: every step of a deployment as its record says, and the exit code of the end. No step is missed, however
//! short: what was recorded since is read after each change. A controller that is away for a while is waited for.

use std::{process::ExitCode, time::Duration};

use serde_json::Value;

use super::{
    client::{Answer, ClientError, Connection, Told},
    screen::{coloured, harmless, say, width, wrapped},
    told::{self, Deployment, Event, History, Record},
};
use crate::{
    clock::Clock,
    machine::EnvironmentId,
    telling::{about, said},
};

/// How long nothing happens before it is said what it waits for.
const LOOK: &str = "5s";
/// How many records are read at once: more than one deployment ever writes.
const RECORDS: usize = 200;
/// How long a controller may be away, and the pause before it is asked again.
const AWAY: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(250);

/// What stands before a line that is no step.
const BESIDE: &str = "               ";
/// The characters of a step before its reason.
const HEAD: usize = 37;

/// The record of a rollback whose stack had to be stood up anew, by a deployment of its own.
const WENT_COLD: &str = "rollback_went_cold";
/// The record that a deployment was asked for.
const ASKED: &str = "rollback_requested";
/// The code of a deployment that was rolled back.
const ROLLED_BACK: u8 = 3;

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
    /// It is the deployment that stands up anew what a rollback found cold.
    cold: bool,
    /// The last one that was read.
    read: u64,
    lines: Lines,
}

/// The lines of a rail: a deployment's records with the time since the one before, and its end.
#[derive(Default)]
pub(super) struct Lines {
    began: Option<u64>,
    last: u64,
}

impl Lines {
    /// Returns the lines of a record of a deployment, at a time in milliseconds; before the first one stands which
    /// deployment it is.
    pub(super) fn record(
        &mut self,
        deployment: &str,
        at: u64,
        (kind, event, about): (&str, &Value, &str),
    ) -> Vec<String> {
        let mut lines = Vec::new();
        if self.began.is_none() {
            (self.began, self.last) = (Some(at), at);
            lines.push(deployment.to_owned());
        }
        let kind = format!("{:20}", kind.replace('_', " "));
        let head = format!("  +{:>10}  {}  ", seconds(at.saturating_sub(self.last)), coloured(&kind));
        let reason = wrapped(about, width(), HEAD);
        let (first, more) = reason.split_first().map_or(("", &[][..]), |(first, more)| (first.trim_start(), more));
        lines.push(format!("{head}{first}").trim_end().to_owned());
        lines.extend_from_slice(more);
        lines.extend(said(event).iter().map(|line| format!("{BESIDE}{line}")));
        self.last = at;
        lines
    }

    /// Returns the lines that say what is between two records.
    pub(super) fn between(text: &str) -> Vec<String> {
        wrapped(text, width(), BESIDE.len())
    }

    /// Returns the last line: how the deployment ended, and why.
    pub(super) fn end(&self, deployment: &str, state: &str, reason: Option<&str>) -> String {
        let reason = reason.filter(|r| !r.is_empty()).map(|r| format!(": {}", harmless(r))).unwrap_or_default();
        let whole = seconds(self.last.saturating_sub(self.began.unwrap_or(self.last)));
        format!("{deployment}  {} after {whole}{reason}", coloured(&state.replace('_', " ")))
    }
}

/// The exit code that says how a deployment ended; `None` while it goes on by itself.
pub(super) fn exit_code(state: &str) -> Option<u8> {
    match state {
        "succeeded" => Some(0),
        "failed" => Some(1),
        "rolled_back" => Some(ROLLED_BACK),
        "aborted" => Some(4),
        "awaiting_approval" => Some(5),
        "superseded" => Some(6),
        _ => None,
    }
}

/// The exit code of a deployment that keeps its share until somebody lets it go on: as at a gate, a person is asked.
const PAUSED: u8 = 5;

impl<'a> Rail<'a> {
    /// Follows the deployment `pipeline/environment/number`, from the last record of one of the kinds `begin`.
    pub fn new(connection: &'a Connection, as_json: bool, deployment: &str, begin: &[&str]) -> anyhow::Result<Self> {
        let unreadable = || {
            anyhow::anyhow!(
                "the controller named a deployment {deployment:?}, which is not the name of one: `pointsman status` shows what there is"
            )
        };
        let (environment, number) = deployment.rsplit_once('/').ok_or_else(unreadable)?;
        let (environment, number) = (environment.parse()?, number.parse().map_err(|_| unreadable())?);
        let begin = begin.iter().map(|kind| (*kind).to_owned()).collect();
        let (shown, read, cold, lines) = (0, 0, false, Lines::default());
        Ok(Self { connection, as_json, environment, number, begin, shown, read, cold, lines })
    }

    /// Where it is.
    pub fn place(&self) -> EnvironmentId {
        self.environment.clone()
    }

    /// Shows each step until the end.
    pub async fn watch(mut self) -> anyhow::Result<ExitCode> {
        let (mut seen, mut waits) = (String::new(), String::new());
        loop {
            let path = format!("/v1/deployments/{}/{}?wait={LOOK}&seen={seen}", self.environment, self.number);
            let Answer { body: told, json: now, .. } = self.ask::<Deployment>(&path).await?;
            let before = self.number;
            self.show_steps().await?;
            if self.number != before {
                seen.clear();
                continue;
            }
            let state = told.state.as_str();
            if let Some(code) = exit_code(state) {
                self.show_end(&now, state);
                // What a rollback stood up anew was rolled back in turn: that is not what was wanted.
                let failed = self.cold && code == ROLLED_BACK;
                return Ok(if failed { ExitCode::FAILURE } else { ExitCode::from(code) });
            }
            if let Some(until) = &told.paused_until {
                self.show_pause(&now, until);
                return Ok(ExitCode::from(PAUSED));
            }
            if seen == state && !self.as_json {
                self.show_wait(&mut waits).await?;
            }
            state.clone_into(&mut seen);
        }
    }

    /// Says what it waits for, once while that stays the same.
    async fn show_wait(&self, told: &mut String) -> Result<(), ClientError> {
        let now = self.ask::<told::Environment>(&format!("/v1/environments/{}", self.environment)).await?.json;
        if let Some(doing) = now["situation"]["doing"].as_str().filter(|doing| *doing != told) {
            doing.clone_into(told);
            Lines::between(&harmless(doing)).iter().for_each(say);
        }
        Ok(())
    }

    async fn ask<T: Told>(&self, path: &str) -> Result<Answer<T>, ClientError> {
        patiently(self.connection, path).await
    }

    async fn show_steps(&mut self) -> anyhow::Result<()> {
        let path = format!("/v1/history?environment={}&last={RECORDS}&since={}", self.environment, self.read);
        let Answer { body: History { records }, json, .. } = self.ask::<History>(&path).await?;
        if self.shown == 0 {
            // What was asked for just now begins here; a rollback's deployment has a long history before it.
            let begins = |(place, r): &(usize, &Record)| {
                self.is_ours(&json["records"][*place]) && self.begin.contains(&r.event.kind)
            };
            let begin = records.iter().enumerate().rev().find(begins).map(|(_, record)| record.seq);
            self.shown = begin.map_or(0, |seq| seq.saturating_sub(1));
        }
        for (place, Record { seq, at, event: Event { kind, .. }, .. }) in records.iter().enumerate() {
            let (record, seq, at) = (&json["records"][place], *seq, *at);
            let event = &record["event"];
            self.read = self.read.max(seq);
            if seq <= self.shown || !self.is_ours(record) {
                continue;
            }
            self.shown = seq;
            // Whoever asked for the rollback waits for what it leads to; for others the deployment has ended.
            if event["kind"] == WENT_COLD && event["number"] == self.number && self.begin.iter().any(|b| b == ASKED) {
                (self.number, self.cold) = (event["by"].as_u64().unwrap_or(self.number), true);
            }
            if self.as_json {
                say(record);
                continue;
            }
            let deployment = format!("{}/{}", self.environment, self.number);
            self.lines.record(&deployment, at, (kind, event, &about(event))).iter().for_each(say);
        }
        Ok(())
    }

    fn is_ours(&self, record: &Value) -> bool {
        let event = &record["event"];
        event["number"] == self.number || event["by"] == self.number
    }

    fn show_pause(&self, now: &Value, until: &str) {
        if self.as_json {
            return say(now);
        }
        let place = &self.environment;
        let what = format!(
            "until {until}; `pointsman proceed {place}` lets it go on, `pointsman abort {place}` sends all users back"
        );
        say(self.lines.end(&format!("{place}/{}", self.number), "paused", Some(&what)));
    }

    fn show_end(&self, now: &Value, state: &str) {
        if self.as_json {
            return say(now);
        }
        let deployment = format!("{}/{}", self.environment, self.number);
        say(self.lines.end(&deployment, state, now["reason"].as_str()));
    }
}

/// Asks, and goes on asking while nobody answers: what is under way goes on when the controller is back.
pub(super) async fn patiently<T: Told>(connection: &Connection, path: &str) -> Result<Answer<T>, ClientError> {
    let clock = Clock::real();
    let begun = clock.now();
    loop {
        match connection.look(path).await {
            Err(error) if error.may_pass() && u128::from(clock.now().since(begun).0) < AWAY.as_millis() => {
                clock.wait(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, extract::Path, middleware::map_response, response::Response, routing::get};
    use http::HeaderValue;
    use serde_json::json;

    use super::*;
    use crate::http::identity::HEADER;

    /// A controller whose deployment 2 was rolled back cold by deployment 3, which ended as `ended`.
    async fn controller(ended: &'static str) -> Connection {
        let paused = (ended == "shifting").then_some("T9");
        let state = move |Path(number): Path<u64>| async move {
            let state = if number == 2 { "failed" } else { ended };
            Json(json!({ "number": number, "state": state, "final": true, "reason": null, "paused_until": paused }))
        };
        let records = json!({ "records": [
            { "seq": 7, "at": 1, "by": "ann", "event": { "kind": ASKED, "number": 2 } },
            { "seq": 8, "at": 2, "by": "pointsman", "event": { "kind": WENT_COLD, "number": 2, "by": 3 } },
            { "seq": 9, "at": 3, "by": "pointsman", "event": { "kind": "started", "number": 3 } },
        ] });
        let router = Router::new()
            .route("/v1/deployments/shop/prod/{number}", get(state))
            .route("/v1/history", get(move || async move { Json(records) }))
            .layer(map_response(|mut response: Response| async move {
                response.headers_mut().insert(HEADER, HeaderValue::from_static("5f; version=0"));
                response
            }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        Connection::to(address)
    }

    async fn watched(ended: &'static str, begin: &[&str]) -> ExitCode {
        let connection = controller(ended).await;
        let rail = Rail::new(&connection, true, "shop/prod/2", begin).expect("a deployment");
        rail.watch().await.expect("it answers")
    }

    #[tokio::test]
    async fn who_follows_is_told_of_a_pause_as_of_a_gate() {
        let connection = controller("shifting").await;
        let rail = Rail::new(&connection, true, "shop/prod/3", &["started"]).expect("a deployment");
        assert_eq!(rail.watch().await.expect("it answers"), ExitCode::from(5));
    }

    #[tokio::test]
    async fn whoever_asked_for_a_rollback_waits_for_what_it_stands_up_anew() {
        assert_eq!(watched("succeeded", &[ASKED]).await, ExitCode::SUCCESS);
        assert_eq!(watched("rolled_back", &[ASKED]).await, ExitCode::FAILURE);
        assert_eq!(watched("succeeded", &["accepted"]).await, ExitCode::from(1), "for others it has ended");
    }
}
