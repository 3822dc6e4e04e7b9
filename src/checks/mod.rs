//! Checks: what a stack must pass before traffic, and what is watched while it bakes.
//!
//! [`Watch`] decides when to ask and what the answers mean; [`probe`] asks, once. Must not ask anyone but the endpoints
//! and the way through a front that it is given, and must not know drivers, journal or runner.

mod command;
mod http;
mod keys;
mod tcp;
mod via;
mod watch;

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use serde::Deserialize;

use crate::{
    clock::Stopwatch,
    machine::{CheckAnswer, StackName},
    outgoing::Way,
    units,
};

pub use command::CommandCheck;
pub use http::{HttpCheck, Scheme, StatusSet};
pub use keys::{WrongKey, wrong_keys};
pub use tcp::TcpCheck;
pub use via::{At, KnownAs, Via};
pub use watch::{Probe, Watch};

/// The checks of an environment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Checks {
    /// All of them must pass, at every endpoint. With none, a stack that is up counts as well.
    pub list: Vec<Check>,
    /// How often parts of a candidate may end by themselves, and be started again, before that counts as failing.
    #[serde(skip)]
    pub restarts_allowed: u64,
}

/// One check. Exactly one of `http`, `tcp` and `command` says what is asked.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Draft")]
pub struct Check {
    /// Kind of the check.
    pub kind: Kind,
    /// Which way the stack is asked.
    pub via: Via,
    /// How often, measured from one question to the next.
    pub every: Duration,
    /// How long an answer may take, connecting included.
    pub timeout: Duration,
    /// How many in a row must pass before it counts as passing.
    pub passes: u32,
    /// How many in a row must fail before it counts as failing.
    pub fails: u32,
    /// How long a stack that has never passed may fail before that counts.
    pub grace: Duration,
    /// What must be met, besides passing, before it counts as passing for the first time.
    pub warm_up: Option<WarmUp>,
}

/// Kind of the check.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A request and its response.
    Http(HttpCheck),
    /// Whether a connection is accepted.
    Tcp(TcpCheck),
    /// A program of this host, and its exit status.
    Command(CommandCheck),
}

/// Requires a number of answers in a row within a time, so that the first requests of a cold application are not those of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// How many.
    pub requests: u32,
    /// How long each may take.
    #[serde(deserialize_with = "units::duration")]
    pub within: Duration,
}

/// A check as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    http: Option<HttpCheck>,
    tcp: Option<TcpCheck>,
    command: Option<CommandCheck>,
    #[serde(default)]
    via: Via,
    #[serde(default = "five_seconds", deserialize_with = "units::duration")]
    every: Duration,
    #[serde(default = "two_seconds", deserialize_with = "units::duration")]
    timeout: Duration,
    #[serde(default = "three")]
    passes: u32,
    #[serde(default = "three")]
    fails: u32,
    #[serde(default = "thirty_seconds", deserialize_with = "units::duration")]
    grace: Duration,
    warm_up: Option<WarmUp>,
}

fn five_seconds() -> Duration {
    Duration::from_secs(5)
}
fn two_seconds() -> Duration {
    Duration::from_secs(2)
}
fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}
fn three() -> u32 {
    3
}

impl TryFrom<Draft> for Check {
    type Error = String;
    fn try_from(draft: Draft) -> Result<Self, String> {
        let kind =
            match (draft.http, draft.tcp, draft.command) {
                (Some(http), None, None) => Kind::Http(http),
                (None, Some(tcp), None) => Kind::Tcp(tcp),
                (None, None, Some(command)) => Kind::Command(command),
                _ => return Err(
                    "a check has exactly one of `http`, `tcp` and `command`, such as http = { path = \"/healthz\" }"
                        .to_owned(),
                ),
            };
        let Draft { via, every, timeout, passes, fails, grace, warm_up, .. } = draft;
        match &kind {
            Kind::Http(http) => http.validate(via)?,
            Kind::Tcp(_) | Kind::Command(_) if via == Via::Front => {
                return Err(
                    "`via = \"front\"` is for `http`: `tcp` and `command` ask at the stack's own addresses".to_owned()
                );
            }
            Kind::Tcp(_) | Kind::Command(_) => {}
        }
        if every < Duration::from_millis(50) {
            return Err("`every` is too short: 50ms is the least".to_owned());
        }
        if timeout.is_zero() {
            return Err("`timeout` must be longer than zero, for example \"2s\"".to_owned());
        }
        if passes == 0 || fails == 0 || warm_up.is_some_and(|warm_up| warm_up.requests == 0) {
            return Err("`passes`, `fails` and `warm_up.requests` count from 1".to_owned());
        }
        Ok(Self { kind, via, every, timeout, passes, fails, grace, warm_up })
    }
}

impl Check {
    /// The same as written in a file of that folder: its command runs there.
    #[must_use]
    pub fn within(self, folder: &std::path::Path) -> Self {
        let kind = match self.kind {
            Kind::Command(command) => Kind::Command(command.within(folder)),
            kind => kind,
        };
        Self { kind, ..self }
    }

    /// The question, in words.
    fn asked(&self) -> String {
        match &self.kind {
            Kind::Http(http) => http.asked() + self.via.in_words(),
            Kind::Tcp(_) => "TCP".to_owned(),
            Kind::Command(command) => command.asked(),
        }
    }

    /// What it says when it has passed at so many endpoints, each after so long.
    fn passed(&self, took: &[Duration]) -> CheckAnswer {
        let said = match &self.kind {
            Kind::Http(http) => http.status.to_string(),
            Kind::Tcp(_) => "a connection".to_owned(),
            Kind::Command(_) => "exit status 0".to_owned(),
        };
        let slowest = took.iter().max().copied().unwrap_or(Duration::ZERO).into();
        CheckAnswer { asked: self.asked().into(), said: said.into(), endpoints: took.len(), slowest }
    }
}

/// The stack whose health is asked for.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The stack.
    pub stack: StackName,
    /// Version of its release.
    pub version: String,
}

/// Where a check asks, once.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'w> {
    /// An address of the stack.
    Stack(SocketAddr),
    /// The front, which sends it to the stack.
    Front(&'w Way),
}

/// Why a question brought no pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoPass {
    /// The stack did not answer as it should: what was asked, where, what was expected and what was seen, in one sentence.
    Failed(String),
    /// The question did not come to the stack, for a reason that is the front's: it says nothing of the stack's health.
    NotReached(String),
}

impl NoPass {
    /// Returns the sentence.
    pub fn said(self) -> String {
        match self {
            Self::Failed(said) | Self::NotReached(said) => said,
        }
    }
}

/// Asks once. Returns how long the answer took; the time limit is kept here.
///
/// # Errors
/// Why it did not pass.
pub async fn probe(check: &Check, subject: &Subject, at: Asked<'_>) -> Result<Duration, NoPass> {
    let begun = Stopwatch::start();
    match (&check.kind, at) {
        (Kind::Http(http), at) => http.probe(at, check.timeout).await?,
        (Kind::Tcp(tcp), Asked::Stack(at)) => tcp.probe(at, check.timeout).await.map_err(NoPass::Failed)?,
        (Kind::Command(command), Asked::Stack(at)) => {
            command.probe(subject, at, check.timeout).await.map_err(NoPass::Failed)?;
        }
        (Kind::Tcp(_) | Kind::Command(_), Asked::Front(_)) => {
            return Err(NoPass::NotReached("only `http` asks through a front".to_owned()));
        }
    }
    Ok(begun.elapsed())
}

/// A fresh look: every check, once, wherever it asks, all at the same time. For the last look before traffic moves. `way`:
/// through the front, for the checks that go there.
///
/// # Errors
/// The first that did not pass.
pub async fn probe_now(
    checks: &Checks,
    subject: &Subject,
    endpoints: &[SocketAddr],
    known: KnownAs,
    way: impl Fn(&Check) -> Result<Way, String>,
) -> Result<(), String> {
    let ask = async |check: &Check, at: At| match at {
        At::Stack(at) => probe(check, subject, Asked::Stack(at)).await.map_err(NoPass::said),
        At::Front => probe(check, subject, Asked::Front(&way(check)?)).await.map_err(NoPass::said),
    };
    let places = checks.list.iter().map(|check| (check, check.via.places(endpoints, known)));
    if let Some((check, _)) = places.clone().find(|(check, at)| check.via == Via::Front && at.is_empty()) {
        return Err(via::waits(check));
    }
    let all = places.flat_map(|(check, at)| at.into_iter().map(move |at| (check, at)));
    join_all(all.map(|(check, at)| ask(check, at))).await.into_iter().try_for_each(|result| result.map(drop))
}

#[cfg(test)]
mod tests;
