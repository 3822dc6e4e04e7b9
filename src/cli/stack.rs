//! `stack list`, `stack adopt` and `stack retire`: the stacks that are there, and what becomes of those that the journal does
//! not know.

use std::process::ExitCode;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    act,
    client::{Connection, Server, Terms},
    follow::{Follow, refused},
    screen::{harmless, say},
    status::Place,
    told::{Accepted, Environments},
};
use crate::{
    clock::Clock,
    machine::{Condition, EnvironmentId, Health, Millis},
    text::{format_duration, parse_time},
};

/// What is asked about stacks.
#[derive(Subcommand)]
pub enum Stack {
    /// List the stacks that there are, also those that the journal does not know
    List {
        /// The environment, written pipeline/environment, or a pipeline [default: all]
        place: Option<Place>,
    },
    /// Make a stack live that the journal does not know
    ///
    /// It becomes the candidate of a deployment with its own number: it is checked, gets the traffic as it is, and is watched;
    /// what is live now is the way back. One that fails is left as it is. While something else is queued or under way it is
    /// refused.
    Adopt {
        /// The environment, written pipeline/environment
        environment: EnvironmentId,
        /// The stack, by its number or its name (7 or shop-prod-7)
        stack: String,
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// The version that it runs; needed where its provider does not keep what it was made from
        #[arg(long)]
        version: Option<String>,
        /// The same key again is the same adoption [default: none]
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
        /// Whether to wait for its end
        #[command(flatten)]
        follow: Follow,
    },
    /// End a stack that the journal does not know
    ///
    /// It is torn down once a look shows that the front does not send users to it. What is live, kept for a rollback or on its
    /// way is refused.
    Retire {
        /// The environment, written pipeline/environment
        environment: EnvironmentId,
        /// The stack, by its number or its name (7 or shop-prod-7)
        stack: String,
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Does it.
pub async fn run(server: &Server, request: Stack) -> anyhow::Result<ExitCode> {
    match request {
        Stack::List { place } => list(server, place).await,
        Stack::Adopt { environment, stack, reason, version, idempotency_key, follow } => {
            let mut body = json!({ "number": numbered(&environment, &stack)?, "reason": reason });
            if let Some(version) = version {
                body["version"] = version.into();
            }
            let connection = server.connect()?;
            let (path, terms) =
                (format!("/v1/environments/{environment}/stacks/adopt"), Terms { key: idempotency_key, seen: None });
            match connection.send::<Accepted>(&path, &body, terms).await {
                Ok(answer) => follow.outcome(&connection, server, answer.deployment(), &["accepted"]).await,
                Err(error) => refused(server, error),
            }
        }
        Stack::Retire { environment, stack, reason } => {
            let number = numbered(&environment, &stack)?;
            act::record(server, &environment, "stacks/retire", &json!({ "number": number, "reason": reason })).await
        }
    }
}

/// The number that is meant.
fn numbered(id: &EnvironmentId, stack: &str) -> anyhow::Result<u32> {
    if let Ok(number) = stack.parse() {
        return Ok(number);
    }
    let own =
        stack.strip_prefix(&format!("{}-{}-", id.pipeline, id.environment)).and_then(|number| number.parse().ok());
    let other =
        || format!("{stack} is not a stack of {id}; name it by its number or its name: `pointsman stack list {id}`");
    own.ok_or_else(|| anyhow::anyhow!(other()))
}

/// The stacks of one environment.
#[derive(Deserialize)]
struct Stacks {
    environment: EnvironmentId,
    stacks: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    number: u32,
    name: String,
    part: String,
    version: Option<String>,
    driver: String,
    condition: Condition,
    health: Health,
    made: Option<String>,
    endpoints: Vec<String>,
    reached: Option<bool>,
    remark: Option<String>,
}

async fn list(server: &Server, place: Option<Place>) -> anyhow::Result<ExitCode> {
    let connection = server.connect()?;
    let ids = match place {
        Some(Place::Environment(id)) => vec![id],
        of => places(&connection, of).await?,
    };
    let (mut rows, mut answers, mut example) = (Vec::new(), Vec::new(), None);
    for id in &ids {
        let answer = connection.look::<Stacks>(&format!("/v1/environments/{id}/stacks")).await?;
        answers.push(answer.json);
        example = example.or_else(|| {
            let stranger = answer.body.stacks.iter().find(|row| row.part == "stranger")?;
            Some(format!("{} {}", answer.body.environment, stranger.number))
        });
        rows.extend(answer.body.stacks);
    }
    if server.json {
        say(Value::from(answers));
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        say("there is no stack");
        return Ok(ExitCode::SUCCESS);
    }
    say(drawn(&rows, Clock::real().host()));
    if let Some(example) = example {
        say(format!(
            "\nA stranger bears our mark and is not in the journal; nothing is done to it. To make one live as it is, or to end \
             it:\n  pointsman stack adopt {example} --reason TEXT\n  pointsman stack retire {example} --reason TEXT"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The environments of one pipeline, or all.
async fn places(connection: &Connection, of: Option<Place>) -> anyhow::Result<Vec<EnvironmentId>> {
    let all = connection.look::<Environments>("/v1/environments").await?.body.environments;
    let mut ids: Vec<EnvironmentId> = all.into_iter().map(|e| e.environment).collect();
    if let Some(Place::Pipeline(pipeline)) = of {
        ids.retain(|id| id.pipeline == pipeline);
        if ids.is_empty() {
            anyhow::bail!("there is no pipeline {pipeline}; `pointsman status` shows those that there are");
        }
    }
    Ok(ids)
}

const HEAD: [&str; 8] = ["STACK", "PART", "VERSION", "USERS", "CONDITION", "AGE", "DRIVER", "AT"];

fn drawn(rows: &[Row], now: Millis) -> String {
    let cells: Vec<[String; 8]> = rows.iter().map(|row| row.cells(now)).collect();
    let mut widths = HEAD.map(str::len);
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; 8]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(HEAD)];
    for (row, cells) in rows.iter().zip(&cells) {
        lines.push(line(cells.each_ref().map(String::as_str)));
        lines.extend(row.remark.as_deref().map(|remark| format!("  {}", harmless(remark))));
    }
    lines.join("\n")
}

impl Row {
    fn cells(&self, now: Millis) -> [String; 8] {
        let age = self.made.as_deref().and_then(parse_time).map(|made| format_duration(now.since(made)));
        let users = match self.reached {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        };
        [
            harmless(&self.name),
            harmless(&self.part.replace('_', " ")),
            self.version.as_deref().map_or("-".to_owned(), harmless),
            users.to_owned(),
            format!("{}, {}", self.condition, self.health),
            age.unwrap_or("-".to_owned()),
            harmless(&self.driver),
            harmless(&self.endpoints.join(" ")),
        ]
    }
}
