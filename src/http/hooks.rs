//! `POST /v1/hooks/{pipeline}`: signature, then replay window, then the build, then the journal.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};

use super::{App, Problem, caller::Peer};
use crate::{
    access::limits::Origin,
    intake::{Identity, build::Build, json, key, signature},
    journal::{Accepted, CommandError},
    machine::{Command, EnvironmentId, Event, Key, Name, Number, Refusal, ReleaseDraft, Trigger},
    pipelines::{EnvironmentDefinition, release},
};

/// Announce a build
///
/// Proven by a signature (Standard Webhooks, or `X-Pointsman-Signature` over timestamp and body) or by one of the
/// pipeline's keys as bearer token. The same build announced again gets the same deployment back.
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
    request_body(content = super::shape::Build, content_type = "application/json"),
    responses(
        (status = 202, description = "It is recorded, or was before", body = super::shape::Accepted, headers(("location" = String, description = "The deployment"))),
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
    let name: Name = pipeline.parse().map_err(|_| unknown())?;
    let keys = app.keys.get(&name).ok_or_else(unknown)?;
    // Not the journal's time, which waits for the last record when the host's clock was put back.
    let now = app.clock.host();
    // The limits must not wait for a clock that was put back.
    let moment = app.clock.now();
    let origin = Origin::webhook(peer.0, &name);
    let unproven = |wait| Problem::too_many("webhooks from this address that prove nothing", wait);
    app.limits.failures.look(&origin, moment).map_err(unproven)?;
    let proof = signature::verify(&headers, &body, keys, now).map_err(|e| {
        // Refused for what it is this time; what comes next is not looked at when there were too many.
        let _ = app.limits.failures.take(&origin, moment);
        tracing::info!(address = %peer.0, pipeline = %name, why = %e, "a webhook that proves nothing was refused");
        Problem::new(401, e.to_string())
    })?;
    app.limits.webhooks.take(&name, moment).map_err(|wait| Problem::too_many("webhooks of this pipeline", wait))?;
    let build = json::parse(&body).map_err(|e| Problem::new(400, e.to_string()))?;
    let entry = app.pipelines.get(&name).and_then(|p| p.entry()).ok_or_else(unknown)?;
    let identity = match (proof.delivery, build.number) {
        (Some(id), _) => Identity::Delivery(id),
        (None, Some(number)) => Identity::Build(number),
        (None, None) => Identity::Content,
    };
    let key = key(&name, json::SENDER, identity, &body);
    deploy(&app, entry, key, build, "webhook:json", Trigger::Build).await
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
    let order = build.number.filter(|_| trigger == Trigger::Build);
    let pipeline =
        app.pipelines.get(&entry.id.pipeline).ok_or_else(|| Problem::not_found("there is no such pipeline"))?;
    let release = release::of_build(pipeline, entry, &build, &app.secrets);
    let release = ReleaseDraft::New(release.map_err(|why| Problem::new(400, why.to_string()))?);
    let command = Command::Deploy { key, order, release, plan: entry.plan.clone(), trigger };
    match app.journal.command(&entry.id, by, app.clock.now(), command).await {
        // Not the last number of the state: that may be a later build's, made safe by the same flush.
        Ok(Accepted { event: Event::Accepted { number, .. }, .. }) => Ok(answer(&entry.id, number, "queued")),
        Ok(other) => Err(Problem::new(500, format!("a build was recorded as {:?}; report this", other.event))),
        Err(CommandError::Refused(Refusal::Duplicate(number))) => {
            Ok(known(&app.journal.state(&entry.id), &entry.id, number))
        }
        Err(error) => Err(error.into()),
    }
}

/// The answer to what was recorded before.
pub(super) fn known(state: &crate::machine::Environment, id: &EnvironmentId, number: Number) -> Response {
    let name = state.deployment_state(number).map_or("ended".to_owned(), |(s, _)| s.to_string());
    answer(id, number, &name)
}

/// 202 and where to look.
pub(super) fn answer(id: &EnvironmentId, number: Number, state: &str) -> Response {
    let location = format!("/v1/deployments/{id}/{number}");
    let body = format!("{{\"deployment\":\"{id}/{number}\",\"number\":{number},\"state\":\"{state}\"}}");
    let headers = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::LOCATION, location)];
    (StatusCode::ACCEPTED, headers, body).into_response()
}
