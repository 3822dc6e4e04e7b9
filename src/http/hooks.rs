//! `POST /v1/hooks/{pipeline}`: signature, then replay window, then the build, then the journal.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};

use super::{App, Problem, caller::Peer, shape::Ignored};
use crate::{
    access::limits::Origin,
    intake::{self, Announcement, build::Build, keys::Keys, signature},
    journal::{Accepted, CommandError},
    machine::{Command, EnvironmentId, Event, Key, Name, Number, Refusal, ReleaseDraft, Trigger},
    pipelines::{
        EnvironmentDefinition,
        release::{self, Refused},
    },
    telling,
};

/// Announce a build
///
/// Proven by a signature (Standard Webhooks, or `X-Pointsman-Signature` over timestamp and body) or by one of the
/// pipeline's keys as bearer token. The same build announced again gets the same deployment back. What Jenkins'
/// Notification plugin, GitHub and GitLab send is understood as well, with the proofs that they send.
#[utoipa::path(
    post, path = "/v1/hooks/{pipeline}", tag = "builds",
    params(
        ("pipeline" = String, Path, description = "The name of the pipeline", pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length = 40, example = "shop"),
        ("webhook-id" = Option<String>, Header, description = "The sender's name for this delivery (Standard Webhooks)"),
        ("webhook-timestamp" = Option<String>, Header, description = "Seconds since 1970 (Standard Webhooks)"),
        ("webhook-signature" = Option<String>, Header, description = "`v1,BASE64` of the HMAC-SHA256 of `id.timestamp.body`"),
        ("x-pointsman-timestamp" = Option<String>, Header, description = "Seconds since 1970"),
        ("x-pointsman-signature" = Option<String>, Header, description = "`sha256=HEX` of the HMAC-SHA256 of `timestamp.body`"),
    ),
    request_body(content = super::wish::Build, content_type = "application/json"),
    responses(
        (status = 200, description = "Nothing to deploy, and why: another branch, a build that failed", body = Ignored),
        (status = 202, description = "It is recorded, or was before", body = super::shape::Accepted, headers(("location" = String, description = "The deployment"))),
        (status = 422, description = "A field is missing or wrong; the detail names each", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 409, description = "A newer build was announced before, the release is vetoed, or the delivery was used for another build", body = super::problem::Told, content_type = "application/problem+json"),
    ),
    security((), ("webhook" = [])),
)]
pub(super) async fn hook(
    State(app): State<Arc<App>>,
    Path(pipeline): Path<String>,
    peer: Peer,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let unknown = || Problem::not_found("there is no pipeline of this name that takes webhooks");
    let name = pipeline.parse::<Name>().ok();
    let known = name.as_ref().and_then(|name| Some((name, app.pipelines.get(name)?, app.keys.get(name)?)));
    // Whoever has no key is not to learn which pipelines there are, by the answer or by the time it takes.
    let nobodys = known.is_none().then(Keys::nobodys);
    let keys = known.map(|(_, _, keys)| keys).or(nobodys.as_ref()).ok_or_else(unknown)?;
    // Not the journal's time, which waits for the last record when the host's clock was put back.
    let now = app.clock.host();
    // The limits must not wait for a clock that was put back.
    let moment = app.clock.now();
    let origin = known.map_or_else(|| Origin::api(peer.0), |(name, ..)| Origin::webhook(peer.0, name));
    let unproven = |wait| Problem::too_many("webhooks from this address that prove nothing", wait);
    app.limits.failures.look(&origin, moment).map_err(unproven)?;
    let proof = signature::verify(&headers, &body, keys, now).map_err(|e| {
        // Refused for what it is this time; what comes next is not looked at when there were too many.
        let _ = app.limits.failures.take(&origin, moment);
        // A name that is none may be a token that slipped into the address.
        let pipeline = known.map_or("none of that name", |(name, ..)| name.as_str());
        tracing::info!(address = %peer.0, pipeline, why = %e, "a webhook that proves nothing was refused");
        Problem::new(401, e.to_string())
    })?;
    let (name, pipeline, _) = known.ok_or_else(unknown)?;
    app.limits.webhooks.take(name, moment).map_err(|wait| Problem::too_many("webhooks of this pipeline", wait))?;
    let entry = pipeline.entry().ok_or_else(unknown)?;
    let said = intake::read(&headers, &body, &pipeline.webhook, now);
    match said.map_err(|e| Problem::new(e.status(), e.to_string()))? {
        Announcement::Ignored(ignored) => Ok(axum::Json(Ignored { ignored }).into_response()),
        Announcement::Build(announced) => {
            let key = announced.key(name, proof.delivery, &body);
            deploy(&app, entry, key, announced.build, announced.by, Trigger::Build).await
        }
    }
}

/// Records a new build; one that was recorded before is answered with its deployment.
pub(super) async fn deploy(
    app: &App,
    entry: &EnvironmentDefinition,
    key: Key,
    build: Build,
    by: &str,
    trigger: Trigger,
) -> Result<Response, Problem> {
    let pipeline =
        app.pipelines.get(&entry.id.pipeline).ok_or_else(|| Problem::not_found("there is no such pipeline"))?;
    // A number counts whoever says it: build servers deploy by the command line as well. The counts of several jobs say
    // nothing about which build is older; an announced one has lost its number by now.
    let order = build.number.filter(|_| trigger == Trigger::Build || pipeline.webhook.jobs.len() <= 1);
    let release = release::of_build(pipeline, entry, &build, &app.secrets);
    let release = match release {
        Ok(release) => ReleaseDraft::New(release),
        Err(why) => {
            let state = app.journal.state(&entry.id);
            // What was recorded before is answered as it was, though the artifact may be gone by now.
            return match state.deployment_of(&key).filter(|_| matches!(why, Refused::Artifact(_))) {
                Some(number) => Ok(known(&state, &entry.id, number)),
                None => Err(refused(&why)),
            };
        }
    };
    let command = Command::Deploy { key, order, release, plan: entry.plan.clone(), trigger };
    let before = app.journal.state(&entry.id);
    match app.journal.command(&entry.id, by, app.clock.now(), command).await {
        // Not the last number of the state: that may be a later build's, made safe by the same flush.
        Ok(Accepted { event: event @ Event::Accepted { number, .. }, .. }) => {
            let said = telling::done(&entry.id, &before, &event);
            Ok(answer(&entry.id, number, "queued", said))
        }
        Ok(other) => Err(Problem::new(500, format!("a build was recorded as {:?}; report this", other.event))),
        Err(CommandError::Refused(Refusal::Duplicate(number))) => {
            Ok(known(&app.journal.state(&entry.id), &entry.id, number))
        }
        Err(CommandError::Refused(Refusal::Stale { order, newest })) => {
            let why = format!("build {order} is older than build {newest}, which was accepted before");
            let how = match trigger {
                Trigger::Build => "if it is wanted, deploy it by hand, without its number",
                _ => "leave out `build` (`--build`) to deploy it deliberately",
            };
            let reset = format!("pointsman builds reset {} --reason ...", entry.id);
            Err(Problem::new(409, format!("{why}; {how}; if the job counts from 1 again: {reset}")))
        }
        Err(error) => Err(Problem::refused(&entry.id, error)),
    }
}

fn refused(why: &Refused) -> Problem {
    let status = if matches!(why, Refused::Parameters(_)) { 400 } else { 422 };
    Problem::new(status, why.to_string())
}

/// The answer to what was recorded before.
pub(super) fn known(state: &crate::machine::Environment, id: &EnvironmentId, number: Number) -> Response {
    let name = state.deployment_state(number).map_or("ended".to_owned(), |(s, _)| s.to_string());
    answer(id, number, &name, String::new())
}

/// 202 and where to look.
pub(super) fn answer(id: &EnvironmentId, number: Number, state: &str, said: String) -> Response {
    mindful(id, number, state, (said, Vec::new()))
}

/// The same, with what a rollback does not undo.
pub(super) fn mindful(
    id: &EnvironmentId,
    number: Number,
    state: &str,
    (said, one_way): (String, Vec<String>),
) -> Response {
    let location = format!("/v1/deployments/{id}/{number}");
    let deployment = format!("{id}/{number}");
    let body = super::shape::Accepted { deployment, number: number.0, state: state.to_owned(), said, one_way };
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], axum::Json(body)).into_response()
}
