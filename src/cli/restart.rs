//! `restart`: starts what is live again, one instance after the other, and follows it to its end.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use serde_json::json;

use super::{
    client::{Answer, Connection, Server, Terms},
    complain,
    follow::{INTERRUPTED, look, refused},
    rail::patiently,
    screen::{harmless, say},
    told::{self, Done, Environment, History},
};
use crate::{clock::Clock, machine::EnvironmentId};

/// How often it is asked how far it is.
const PAUSE: Duration = Duration::from_millis(250);
/// How many records are read at its end.
const RECORDS: usize = 200;

/// The request to start what is live again.
#[derive(Args)]
pub struct Request {
    /// The environment, written pipeline/environment
    environment: EnvironmentId,
    /// The only instance that is meant, by its number as `pointsman logs` shows it [default: all, one after the other]
    instance: Option<u32>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Starts the instances of what is live again, one after the other.
pub async fn restart(server: &Server, request: Request) -> anyhow::Result<ExitCode> {
    let (connection, id) = (server.connect()?, &request.environment);
    let none = || {
        anyhow::anyhow!(
            "nothing is live in {id}, so nothing can be started again: `pointsman status {id}` shows how it is"
        )
    };
    let live = look(&connection, id).await?.body.live.ok_or_else(none)?;
    let mut body = json!({ "number": live.number });
    if let Some(instance) = request.instance {
        body["instance"] = instance.into();
    }
    if let Some(reason) = request.reason {
        body["reason"] = reason.into();
    }
    let answer = connection.send::<Done>(&format!("/v1/environments/{id}/restart"), &body, Terms::default()).await;
    let Answer { body: done, json, .. } = match answer {
        Ok(answer) => answer,
        Err(error) => return refused(server, error),
    };
    let order = done.event.order.filter(|_| done.environment == *id);
    let order = order.ok_or_else(|| {
        anyhow::anyhow!(
            "the answer names no restart of {id}; `pointsman history {id} --records` shows what was recorded"
        )
    })?;
    let said = json["said"].as_str().map_or_else(|| format!("the restart of {id} is recorded"), harmless);
    say(if server.json { json.to_string() } else { said });
    tokio::select! {
        ended = followed(&connection, server, id, order) => ended,
        _ = tokio::signal::ctrl_c() => {
            complain(&format!(
                "watching ended; the restart goes on in the controller: `pointsman status {id}` shows how far it is, \
                 `pointsman history {id} --records` how it ended"
            ));
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// Says how many instances are back, each time that one is, and how it ended.
async fn followed(
    connection: &Connection,
    server: &Server,
    id: &EnvironmentId,
    order: u64,
) -> anyhow::Result<ExitCode> {
    let (clock, mut said) = (Clock::real(), 0);
    loop {
        let now = patiently::<Environment>(connection, &format!("/v1/environments/{id}")).await?.body;
        let Some(going) = now.restart.filter(|going| going.order == order) else { break };
        if let Some((back, of)) = going.back.zip(going.of).filter(|(back, _)| *back > said && !server.json) {
            said = back;
            say(format!("  {back} of {of} back"));
        }
        clock.wait(PAUSE).await;
    }
    let path = format!("/v1/history?environment={id}&last={RECORDS}");
    let Answer { body: History { records }, json, .. } = patiently::<History>(connection, &path).await?;
    let of_it = |event: &told::Event| event.kind == "restart_ended" && event.order == Some(order);
    let ended = records.iter().enumerate().rev().find(|(_, record)| of_it(&record.event));
    let Some((place, record)) = ended else {
        anyhow::bail!(
            "how the restart of {id} ended is not among the last {RECORDS} records: `pointsman history {id} --records`"
        );
    };
    if server.json {
        say(&json["records"][place]);
    }
    match &record.event.reason {
        None if server.json => Ok(ExitCode::SUCCESS),
        None => {
            say("done");
            Ok(ExitCode::SUCCESS)
        }
        Some(why) => anyhow::bail!(
            "the restart of {id} ended: {}; the other instances were left as they are (`pointsman logs {id}`)",
            harmless(why)
        ),
    }
}
