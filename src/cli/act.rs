//! `rollback abort approve hold resume maintenance pin veto`: requests about an environment.

use std::{io::IsTerminal, process::ExitCode};

use clap::Args;
use serde_json::{Value, json};

use super::{
    ask,
    client::{Answer, Connection, Server, Terms},
    follow::{Follow, look, plain, refused},
    screen::{harmless, say},
    told::{Done, Environments, Recorded},
};
use crate::machine::EnvironmentId;

/// The records at which the story of a request begins.
const BEGIN: [&str; 6] = ["accepted", "approved", "rollback_requested", "revert_requested", "proceeded", "paused"];

/// A request about one deployment of an environment.
#[derive(Args)]
pub struct One {
    /// The environment, written pipeline/environment
    environment: EnvironmentId,
    /// The deployment that is meant [default: the one that is seen to be live or under way]
    #[arg(long, value_name = "N")]
    number: Option<u64>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    follow: Follow,
}

/// A request about a deployment that is under way.
#[derive(Args)]
#[group(skip)]
pub struct Under {
    #[command(flatten)]
    one: One,
    /// The version, or the number, of the release whose deployment is meant
    #[arg(conflicts_with = "number")]
    version: Option<String>,
}

/// The request to keep a share of the users.
#[derive(Args)]
#[group(skip)]
pub struct Pause {
    #[command(flatten)]
    under: Under,
    /// How long at most
    #[arg(long = "for", value_name = "TIME", default_value = "1h")]
    length: String,
    /// What happens when nobody lets it go on in time: `abort` sends all users back, `approve` goes on
    #[arg(long, value_name = "WHAT", default_value = "abort", value_parser = ["abort", "approve"])]
    otherwise: String,
}

/// The request to go back.
#[derive(Args)]
#[group(skip)]
pub struct Rollback {
    #[command(flatten)]
    one: One,
    /// The version, or the number, of the release to go back to; refused when a rollback goes elsewhere
    to: Option<String>,
    /// Do not ask, whatever going back does not undo; without a terminal nobody is asked
    #[arg(long, short)]
    yes: bool,
}

/// A request about an environment as a whole.
#[derive(Args)]
pub struct Whole {
    /// The environment, written pipeline/environment
    environment: EnvironmentId,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// A request about the maintenance page.
#[derive(Args)]
pub struct PageTurn {
    /// The environment, written pipeline/environment
    environment: EnvironmentId,
    /// Whether users get the page
    state: Turned,
    /// Hold requests for a while before they get the page, where the front can
    #[arg(long)]
    hold: bool,
    /// Why, for the history; needed to turn it on
    #[arg(long, value_name = "TEXT", required_if_eq("state", "on"))]
    reason: Option<String>,
}

/// How something is turned.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Turned {
    On,
    Off,
}

/// A request about a release.
#[derive(Args)]
pub struct Ban {
    /// The environment, written pipeline/environment
    environment: EnvironmentId,
    /// The release that is meant, by its version or its number
    #[arg(required_unless_present_any = ["lift", "number"], conflicts_with = "number")]
    release: Option<String>,
    /// The release that is meant, by its number alone
    #[arg(id = "number", long = "release", value_name = "N")]
    number: Option<u64>,
    /// Take it back
    #[arg(long)]
    lift: bool,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// What is asked about the count of builds.
#[derive(clap::Subcommand)]
pub enum Builds {
    /// Take the next build for the newest, whatever its number
    ///
    /// For a job that was made again and counts from 1, or a number announced by mistake: builds with a smaller number
    /// than the newest are refused until then.
    Reset(Reset),
}

/// The count of builds, from the beginning.
#[derive(Args)]
pub struct Reset {
    /// The pipeline, or its first environment, which takes the builds
    pipeline: String,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// `builds reset`.
pub async fn reset_builds(server: &Server, request: Reset) -> anyhow::Result<ExitCode> {
    let id = match request.pipeline.contains('/') {
        true => request.pipeline.parse()?,
        false => {
            let all = server.connect()?.look::<Environments>("/v1/environments").await?.body.environments;
            let mut own =
                all.into_iter().map(|e| e.environment).filter(|id| *id.pipeline.as_str() == *request.pipeline);
            own.next().ok_or_else(|| {
                anyhow::anyhow!("there is no pipeline {}: `pointsman status` lists them", request.pipeline)
            })?
        }
    };
    record(server, &id, "builds/reset", &json!({ "reason": request.reason })).await
}

/// `rollback`. What it does not undo is said before it is asked for.
pub async fn rollback(server: &Server, request: Rollback) -> anyhow::Result<ExitCode> {
    let more = request.to.map_or(json!({}), |to| json!({ "to": to }));
    one(server, "rollback", request.one, (more, request.yes)).await
}

/// `abort`, `approve` and `proceed`.
pub async fn under(server: &Server, verb: &str, request: Under) -> anyhow::Result<ExitCode> {
    under_with(server, verb, request, json!({})).await
}

/// The request to keep a share of the users.
pub async fn pause(server: &Server, request: Pause) -> anyhow::Result<ExitCode> {
    let more = json!({ "timeout": request.length, "otherwise": request.otherwise });
    under_with(server, "pause", request.under, more).await
}

async fn under_with(server: &Server, verb: &str, mut request: Under, more: Value) -> anyhow::Result<ExitCode> {
    if let Some(version) = &request.version {
        let now = look(&server.connect()?, &request.one.environment).await?.json;
        request.one.number = Some(named(&now, &request.one.environment, version)?);
    }
    one(server, verb, request.one, (more, false)).await
}

/// The deployment under way, or queued, of the release that is called so.
fn named(now: &Value, id: &EnvironmentId, version: &str) -> anyhow::Result<u64> {
    let queue = now["queue"].as_array().into_iter().flatten();
    let all: Vec<&Value> = Some(&now["candidate"]).into_iter().chain(queue).filter(|d| d["number"].is_u64()).collect();
    let called = |d: &&&Value| {
        let release = &d["release"];
        release["version"] == version || version.parse::<u64>().is_ok_and(|number| release["number"] == number)
    };
    let name = |d: &Value| format!("{} (deployment {})", plain(&d["release"]["version"]), d["number"]);
    let found: Vec<&&Value> = all.iter().filter(called).collect();
    match (found.as_slice(), all.as_slice()) {
        ([one], _) => one["number"].as_u64().ok_or_else(|| anyhow::anyhow!("the answer has no number")),
        (_, []) => anyhow::bail!("nothing is under way in {id}: `pointsman status {id}`"),
        (_, all) => {
            let listed: Vec<String> = all.iter().map(|d| name(d)).collect();
            let (version, listed) = (harmless(version), listed.join(", "));
            let which = if found.is_empty() { "no deployment" } else { "more than one deployment" };
            anyhow::bail!(
                "{which} of {version} is under way in {id}; there are: {listed}; name one with --number N (`pointsman status {id}`)"
            )
        }
    }
}

/// Says what going back does not undo, and asks whoever sits at a terminal. In a script the request is enough: nothing may
/// stand in the way of a rollback.
async fn mindful(
    server: &Server,
    id: &EnvironmentId,
    limits: &[String],
    yes: bool,
) -> anyhow::Result<Option<ExitCode>> {
    if limits.is_empty() || server.json {
        return Ok(None);
    }
    limits.iter().for_each(|limit| say(format!("mind that {}", harmless(limit))));
    if yes || !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Ok(None);
    }
    let otherwise = format!("nothing was rolled back; `pointsman rollback {id} --yes` does it without a question");
    ask::agreed(format!("Roll {id} back anyway?"), &otherwise).await
}

/// `rollback`, `abort`, `approve`, `proceed`, `pause`: each names the deployment that it means, and the state it was made on.
pub async fn one(
    server: &Server,
    verb: &str,
    request: One,
    (mut body, yes): (Value, bool),
) -> anyhow::Result<ExitCode> {
    let (connection, id) = (server.connect()?, &request.environment);
    let Answer { body: state, etag: seen, .. } = look(&connection, id).await?;
    // What has a share of the users is what a rollback means.
    let shares = state.candidate.as_ref().is_some_and(|there| there.has_a_share());
    let role = if verb == "rollback" && !shares { "live" } else { "candidate" };
    let seen_there = match role {
        "live" => state.live.as_ref().map(|there| there.number),
        _ => state.candidate.as_ref().map(|there| there.number),
    };
    let number = request.number.or(seen_there);
    let nothing = if role == "live" { "live" } else { "under way" };
    let none = || {
        anyhow::anyhow!(
            "nothing is {nothing} in {id}, so there is nothing to {verb}: `pointsman status {id}` shows how it is"
        )
    };
    let number = number.ok_or_else(none)?;
    if verb == "rollback"
        && let Some(code) = mindful(server, id, &state.one_way, yes).await?
    {
        return Ok(code);
    }
    let path = match role {
        "candidate" if verb != "rollback" => format!("/v1/deployments/{id}/{number}/{verb}"),
        _ => format!("/v1/environments/{id}/{verb}"),
    };
    body["number"] = number.into();
    if let Some(reason) = request.reason {
        body["reason"] = reason.into();
    }
    let Answer { body: recorded, mut json, .. } =
        match connection.send::<Recorded>(&path, &body, Terms { key: None, seen }).await {
            Ok(answer) => answer,
            Err(error) => return refused(server, error),
        };
    let deployment = match recorded {
        Recorded::Accepted(accepted) => accepted.deployment,
        Recorded::Done(_) => format!("{id}/{number}"),
    };
    json["deployment"] = deployment.as_str().into();
    let code = request.follow.outcome(&connection, server, (&deployment, &json), &BEGIN).await?;
    // What was asked for is no failure.
    let wanted = (verb == "rollback" && code == ExitCode::from(3)) || (verb == "abort" && code == ExitCode::from(4));
    Ok(if wanted { ExitCode::SUCCESS } else { code })
}

/// `hold` and `resume`.
pub async fn whole(server: &Server, verb: &str, request: Whole) -> anyhow::Result<ExitCode> {
    let mut body = json!({});
    if let Some(reason) = request.reason {
        body["reason"] = reason.into();
    }
    record(server, &request.environment, verb, &body).await
}

/// Runs `maintenance`: the page, on or off.
pub async fn maintenance(server: &Server, request: PageTurn) -> anyhow::Result<ExitCode> {
    let mut body = json!({ "on": request.state == Turned::On, "hold": request.hold });
    if let Some(reason) = request.reason {
        body["reason"] = reason.into();
    }
    record(server, &request.environment, "maintenance", &body).await
}

/// `pin` and `veto`.
pub async fn ban(server: &Server, verb: &str, request: Ban) -> anyhow::Result<ExitCode> {
    let mut body = json!({ "lift": request.lift });
    if let Some(number) = request.number {
        body["release"] = number.into();
    }
    if let Some(version) = request.release {
        body["version"] = version.into();
    }
    if let Some(reason) = request.reason {
        body["reason"] = reason.into();
    }
    record(server, &request.environment, verb, &body).await
}

pub(super) async fn record(server: &Server, id: &EnvironmentId, verb: &str, body: &Value) -> anyhow::Result<ExitCode> {
    let connection: Connection = server.connect()?;
    match connection.send::<Done>(&format!("/v1/environments/{id}/{verb}"), body, Terms::default()).await {
        Ok(answer) => {
            if answer.body.environment != *id {
                let other = answer.body.environment;
                anyhow::bail!(
                    "{id} was asked about, and the answer is about {other}; `pointsman history {id}` shows what was recorded"
                );
            }
            let said = answer.json["said"].as_str().map_or_else(|| "done".to_owned(), harmless);
            super::screen::say(if server.json { answer.json.to_string() } else { said });
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => refused(server, error),
    }
}
