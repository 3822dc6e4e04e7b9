//! What people ask for: each names the deployment it means.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use serde::Deserialize;

use super::{App, Problem, hooks};
use crate::{
    access::Caller,
    intake::{Identity, json, key},
    machine::{Command, EnvironmentId, Event, GateName, Number, ReleaseDraft, Trigger},
    pipelines::EnvironmentDefinition,
};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// The deployment that is meant.
    number: Option<u32>,
    /// The release that is meant.
    release: Option<u32>,
    reason: Option<String>,
    /// The gate that is meant.
    gate: Option<GateName>,
    /// Takes a pin or a veto back.
    #[serde(default)]
    lift: bool,
}

impl Wish {
    fn read(body: &[u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(body).map_err(|e| {
            Problem::new(400, format!("the body can not be read: {e}; it may have number, release, reason, lift"))
        })
    }

    fn reason(&self) -> Result<Arc<str>, Problem> {
        let reason = self.reason.as_deref().unwrap_or("no reason given");
        let good = reason.chars().count() <= 500 && !reason.chars().any(char::is_control);
        let why = "`reason` must have 500 characters at most, without control characters";
        good.then(|| reason.into()).ok_or_else(|| Problem::new(400, why))
    }

    fn number(&self) -> Result<Number, Problem> {
        self.number.map(Number).ok_or_else(|| Problem::new(428, "name the deployment you mean: {\"number\": N}"))
    }

    fn release(&self) -> Result<u32, Problem> {
        self.release.ok_or_else(|| Problem::new(400, "name the release you mean: {\"release\": N}"))
    }
}

pub(super) async fn environment(
    State(app): State<Arc<App>>,
    Path((pipeline, environment, action)): Path<(String, String, String)>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let definition = app.environment(&pipeline, &environment)?;
    if action == "deploy" {
        return deploy(&app, &definition, &caller, &headers, &body).await;
    }
    let wish = Wish::read(&body)?;
    let command = match (&*action, wish.lift) {
        ("promote", _) => promote(&app, &definition, &wish)?,
        ("rollback", _) => Command::Rollback(wish.number()?, wish.reason()?),
        ("hold", _) => Command::Hold(wish.reason()?),
        ("resume", _) => Command::Resume,
        ("pin", false) => Command::Pin(wish.release()?),
        ("pin", true) => Command::Unpin,
        ("veto", false) => Command::Veto(wish.release()?, wish.reason()?),
        ("veto", true) => Command::Unveto(wish.release()?),
        _ => return Err(Problem::not_found("no such action: deploy, promote, rollback, hold, resume, pin, veto")),
    };
    record(&app, &definition.id, &caller, command).await
}

pub(super) async fn deployment(
    State(app): State<Arc<App>>,
    Path((pipeline, environment, number, action)): Path<(String, String, u32, String)>,
    caller: Caller,
    body: Bytes,
) -> Result<Response, Problem> {
    let definition = app.environment(&pipeline, &environment)?;
    let wish = Wish::read(&body)?;
    let command = match &*action {
        "approve" => {
            let state = app.journal.state(&definition.id);
            let at = state.active().filter(|d| d.number == Number(number)).and_then(|d| d.gate());
            // Who does not say which gate means the one that stands now; at none, the answer is the same refusal.
            Command::Approve(Number(number), wish.gate.or(at).unwrap_or(GateName::BeforeCutover))
        }
        "abort" => Command::Abort(Number(number), wish.reason()?),
        _ => return Err(Problem::not_found("no such action: approve, abort")),
    };
    record(&app, &definition.id, &caller, command).await
}

async fn record(app: &App, id: &EnvironmentId, caller: &Caller, command: Command) -> Result<Response, Problem> {
    let accepted = app.journal.command(id, &caller.by, app.clock.now(), command).await?;
    Ok(match &accepted.event {
        Event::Accepted { number, .. } => hooks::answer(id, *number, "queued"),
        Event::RollbackWentCold { by, .. } => hooks::answer(id, *by, "queued"),
        event => axum::Json(serde_json::json!({ "environment": id, "event": event })).into_response(),
    })
}

async fn deploy(
    app: &App,
    definition: &EnvironmentDefinition,
    caller: &Caller,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Problem> {
    let entry = app.pipelines.get(&definition.id.pipeline).and_then(|p| p.entry());
    if entry.is_none_or(|entry| entry.id != definition.id) {
        let why = "only the first environment of a pipeline takes new builds; promote from the one before instead";
        return Err(Problem::new(409, why));
    }
    let build = json::parse(body).map_err(|e| Problem::new(400, e.to_string()))?;
    // Without a name of its own, two wishes of the same moment are still two when they say different things.
    let otherwise = format!("{} {}", app.clock.now().0, String::from_utf8_lossy(body));
    let key = key(&definition.id.pipeline, "person", identity(headers, &otherwise), body);
    hooks::deploy(app, definition, key, build, &caller.by, Trigger::Person).await
}

/// The release that is live in the environment before goes to this one, as it is.
fn promote(app: &App, to: &EnvironmentDefinition, wish: &Wish) -> Result<Command, Problem> {
    let pipeline = app.pipelines.get(&to.id.pipeline);
    let from = pipeline.and_then(|p| p.before(&to.id));
    let from = from.ok_or_else(|| Problem::new(409, "the first environment has none before it; deploy a build"))?;
    let state = app.journal.state(&from.id);
    let live = state.live().ok_or_else(|| Problem::new(409, format!("nothing is live in {}", from.id)))?;
    if wish.release.is_some_and(|release| release != live.release.number) {
        let why = format!("release {} is live in {} now; look again before you confirm", live.release.number, from.id);
        return Err(Problem::new(409, why));
    }
    let again = app.journal.state(&to.id).last_number().next();
    let identity = format!("promote {} {} {again}", to.id, live.release.number);
    Ok(Command::Deploy {
        key: key(&to.id.pipeline, "promotion", Identity::Delivery(&identity), &[]),
        order: None,
        release: ReleaseDraft::Existing(live.release.clone()),
        plan: to.plan.clone(),
        trigger: Trigger::Person,
    })
}

fn identity<'a>(headers: &'a HeaderMap, otherwise: &'a str) -> Identity<'a> {
    let given = headers.get("idempotency-key").and_then(|v| v.to_str().ok());
    Identity::Delivery(given.unwrap_or(otherwise))
}
