//! `logs`: what the instances of a stack, or a hook, wrote, and what they write. Lines go to standard output, all that is said about them
//! to standard error.

use std::{
    io::{Write, stderr, stdout},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde_json::Value;

use super::{
    client::{ClientError, Connection, Server},
    follow::{INTERRUPTED, refused},
    screen::harmless,
    told::Entry,
};
use crate::{
    clock::Clock,
    machine::{EnvironmentId, Name},
    telling,
};

/// The pause before a controller that does not answer is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// What is looked at.
#[derive(Args)]
#[group(skip)]
pub struct Logs {
    /// The environment, written pipeline/environment
    environment: EnvironmentId,
    #[command(flatten)]
    which: Which,
    /// The deployment for which the hook ran
    #[arg(long, value_name = "N", requires = "hook")]
    deployment: Option<u32>,
    /// Only what this instance wrote, counted from 0
    #[arg(long, value_name = "I")]
    instance: Option<u32>,
    /// The last so many lines of each stream of each instance
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    lines: u32,
    /// Go on with what is written from then on, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
}

/// Whose output it is [default: the stack that has the users' traffic]
#[derive(Args)]
#[group(multiple = false)]
struct Which {
    /// The stack of this deployment, also when it was torn down of late
    #[arg(long, value_name = "N")]
    stack: Option<u32>,
    /// The stack of the deployment that is under way
    #[arg(long)]
    candidate: bool,
    /// The stack before, which is kept warm
    #[arg(long)]
    standby: bool,
    /// The stack of the last deployment that failed or was rolled back
    #[arg(long)]
    failed: bool,
    /// Instead of a stack: the hook of this name, as it ran last
    #[arg(long, value_name = "NAME", conflicts_with = "instance")]
    hook: Option<Name>,
}

impl Logs {
    fn path(&self) -> String {
        let Which { stack, candidate, standby, failed, hook } = &self.which;
        let mut path = format!("/v1/environments/{}/logs?lines={}", self.environment, self.lines);
        let parts = [(*candidate, "candidate"), (*standby, "standby"), (*failed, "failed")];
        let of = parts.iter().find(|(wanted, _)| *wanted).map(|(_, part)| format!("&of={part}"));
        path.extend(of.or_else(|| stack.map(|stack| format!("&stack={stack}"))));
        path.extend(hook.as_ref().map(|hook| format!("&hook={hook}")));
        path.extend(self.deployment.map(|deployment| format!("&deployment={deployment}")));
        path.extend(self.instance.map(|instance| format!("&instance={instance}")));
        path.extend(self.follow.then_some("&follow=true"));
        path
    }
}

/// Shows what there is, and what comes where that is wanted.
pub async fn logs(server: &Server, request: Logs) -> anyhow::Result<ExitCode> {
    let connection = server.connect()?;
    let mut shown = Shown { id: &request.environment, as_json: server.json, stack: None };
    if !request.follow {
        let entries = match connection.lines::<Entry>(&request.path()).await {
            Ok(entries) => entries,
            Err(error) => return refused(server, error.into()),
        };
        let nothing = entries.iter().all(|entry| matches!(entry.body, Entry::Stack { .. } | Entry::Hook { .. }));
        for entry in &entries {
            if shown.show(&entry.body, &entry.json).is_err() {
                return Ok(ExitCode::SUCCESS);
            }
        }
        if nothing {
            shown.note(&format!(
                "it has written nothing yet; `pointsman status {}` shows how it is",
                request.environment
            ));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (id, path) = (&request.environment, request.path());
    tokio::select! {
        ended = follow(&connection, &path, &mut shown) => match ended {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => refused(server, error.into()),
        },
        _ = tokio::signal::ctrl_c() => {
            let (what, hook) = match &request.which.hook {
                Some(hook) => ("the hook goes", format!(" --hook {hook}")),
                None => ("the instances go", String::new()),
            };
            super::complain(&format!("following ended; {what} on: `pointsman logs {id}{hook} --follow` follows again"));
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// Follows until the stack is gone, the hook is over or the reader closes. Waits for a controller that is away.
async fn follow(connection: &Connection, path: &str, shown: &mut Shown<'_>) -> Result<(), ClientError> {
    let (mut last, mut away) = (None::<String>, false);
    loop {
        let why = match connection.follow(path, last.as_deref()).await {
            Ok(mut events) => loop {
                match events.next().await {
                    Ok(Some(heard)) => {
                        away = false;
                        last = heard.id.or(last);
                        let Ok(entry) = serde_json::from_value::<Entry>(heard.data.clone()) else { continue };
                        let read = shown.show(&entry, &heard.data);
                        if read.is_err() || matches!(entry, Entry::Ended { .. } | Entry::HookEnded { .. }) {
                            return Ok(());
                        }
                    }
                    Ok(None) => break "the stream ended".to_owned(),
                    Err(error) => break error.to_string(),
                }
            },
            Err(error) if error.may_pass() && last.is_some() => error.to_string(),
            Err(error) => return Err(error),
        };
        if !std::mem::replace(&mut away, true) {
            shown.note(&format!("{why}; retrying until it answers"));
        }
        Clock::real().wait(PAUSE).await;
    }
}

/// State of what was shown so far.
struct Shown<'a> {
    id: &'a EnvironmentId,
    as_json: bool,
    /// The stack whose lines these are.
    stack: Option<u64>,
}

impl Shown<'_> {
    /// Shows an entry.
    ///
    /// # Errors
    /// When nobody reads any more.
    fn show(&mut self, entry: &Entry, json: &Value) -> std::io::Result<()> {
        if self.as_json {
            return writeln!(stdout(), "{json}");
        }
        match entry {
            Entry::Line { instance, stream, text } => {
                let text = text.replace('\t', "    ");
                writeln!(stdout(), "{instance} {:3}  {}", harmless(stream), harmless(&text))
            }
            Entry::Stack { stack, of, version } => {
                let version = version.as_deref().map(|version| format!(" ({})", harmless(version)));
                let name = format!("stack {stack}{}", version.unwrap_or_default());
                let before = self.stack.replace(*stack);
                let part = match of.as_deref() {
                    Some("candidate") => "the candidate",
                    Some("standby") => "the standby",
                    Some("failed") => "the one that failed",
                    Some("live") => "live",
                    Some(_) | None => return self.say(&name),
                };
                let now = if before.is_some_and(|before| before != *stack) { " now" } else { "" };
                self.say(&format!("{name} is {part}{now}"))
            }
            Entry::Started { instance } => self.say(&format!("instance {instance} was started again")),
            Entry::Hook { deployment, hook } => {
                self.say(&format!("hook {} of deployment {deployment}", harmless(hook)))
            }
            Entry::HookLine { text } => writeln!(stdout(), "{}", harmless(&text.replace('\t', "    "))),
            Entry::HookEnded { hook, failed } => self.say(&harmless(&telling::hook_end(hook, failed.as_deref()))),
            Entry::Missed {} | Entry::HookMissed {} => {
                self.say("lines are missing here: they were removed before they could be read")
            }
            Entry::Ended { stack } => self.say(&format!("stack {stack} is gone; nothing more comes")),
            Entry::Other => Ok(()),
        }
    }

    fn say(&self, what: &str) -> std::io::Result<()> {
        writeln!(stderr(), "-- {}: {what} --", self.id)
    }

    fn note(&self, what: &str) {
        // Nobody is there to be told that it could not be said.
        let _ = self.say(what);
    }
}
