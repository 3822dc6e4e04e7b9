//! `POST /v1/hooks/{pipeline}`: signature, then replay window, then the build, then the journal.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    App, Problem,
    caller::Peer,
    guard::{self, Activity, Pieces},
    shape::Ignored,
};
use crate::{
    access::limits::Origin,
    intake::{
        self, Announced, Announcement, Delivery,
        build::Build,
        keys::Keys,
        signature::{self, Verifier},
    },
    journal::{Accepted, CommandError},
    machine::{Command, Environment, EnvironmentId, Event, Key, Name, Number, Refusal, ReleaseDraft, Trigger},
    pipelines::{
        EnvironmentDefinition, Pipeline,
        release::{self, Refused},
    },
    telling,
};

/// Announce a build
///
/// Proven by a signature (Standard Webhooks, or `X-Pointsman-Signature` over timestamp and body) or by one of the
/// pipeline's keys as bearer token. The same build announced again gets the same deployment back. What the known build
/// servers and forges send is understood as well, with the proofs that they send. A delivery that is no build, or none
/// that counts, is answered 200 with the reason, whatever else is in it.
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
        (status = 200, description = "Nothing to deploy, and why: another event or branch, a build that failed, one that a newer build superseded", body = Ignored),
        (status = 202, description = "It is recorded, or was before", body = super::shape::Accepted, headers(("location" = String, description = "The deployment"))),
        (status = 422, description = "A field is missing or wrong; the detail names each", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 409, description = "The release is vetoed, or the delivery was used for another build", body = super::problem::Told, content_type = "application/problem+json"),
    ),
    security((), ("webhook" = [])),
)]
pub(super) async fn hook(
    State(app): State<Arc<App>>,
    Path(pipeline): Path<String>,
    peer: Peer,
    request: Request,
) -> Response {
    let activity = request.extensions().get::<Arc<Activity>>().cloned();
    let (parts, body) = request.into_parts();
    let arrived = arrive(&app, &pipeline, peer, &parts.headers, body).await;
    // Where the body was not read to its end, the connection is of no more use.
    let arrived = arrived.map_err(|problem| ([(header::CONNECTION, "close")], problem).into_response());
    match arrived {
        Err(refused) => refused,
        Ok(arrived) => {
            activity.inspect(|activity| activity.arrived());
            taken(&app, arrived).await.unwrap_or_else(IntoResponse::into_response)
        }
    }
}

/// A delivery that has arrived.
enum Arrived<'a> {
    /// It is proven, and does not tell of a build; or it is a trial that cannot be proven.
    Ignored(String),
    /// It is proven.
    Build(&'a Pipeline, Announced, Key),
}

/// Reads a delivery and checks its proof on the way. The body is kept only where it may tell of a build.
async fn arrive<'a>(
    app: &'a App,
    pipeline: &str,
    peer: Peer,
    headers: &HeaderMap,
    body: Body,
) -> Result<Arrived<'a>, Problem> {
    let unknown = || Problem::not_found("there is no pipeline of this name that takes webhooks");
    let name = pipeline.parse::<Name>().ok();
    let known = name.as_ref().and_then(|name| Some((name, app.pipelines.get(name)?, app.keys.get(name)?)));
    // Whoever has no key is not to learn which pipelines there are, by the answer or by the time it takes.
    let nobodys = known.is_none().then(Keys::nobodys);
    let keys = known.map(|(_, _, keys)| keys).or(nobodys.as_ref()).ok_or_else(unknown)?;
    // The limits must not wait for a clock that was put back.
    let moment = app.clock.now();
    let origin = known.map_or_else(|| Origin::api(peer.0), |(name, ..)| Origin::webhook(peer.0, name));
    let too_many = |wait| Problem::too_many("webhooks from this address that prove nothing", wait);
    app.limits.failures.look(&origin, moment).map_err(too_many)?;
    let delivery = Delivery::of(headers);
    let unproven = |e: signature::Error| {
        // Refused for what it is this time; what comes next is not looked at when there were too many.
        let _ = app.limits.failures.take(&origin, moment);
        // A name that is none may be a token that slipped into the address.
        let pipeline = known.map_or("none of that name", |(name, ..)| name.as_str());
        tracing::info!(address = %peer.0, pipeline, why = %e, "a webhook that proves nothing was refused");
        Problem::new(401, e.to_string())
    };
    // Not the journal's time, which waits for the last record when the host's clock was put back.
    let now = app.clock.host();
    let mut verifier = match Verifier::begin(headers, keys, now) {
        Err(signature::Error::Unsigned) if delivery.is_unsigned_ping() => {
            let why =
                "pong; the trial carries no proof, so it shows that the address answers and not that the secret fits";
            return Ok(Arrived::Ignored(why.to_owned()));
        }
        begun => begun.map_err(unproven)?,
    };
    let ignored = delivery.ignored();
    let largest = known.and_then(|(_, pipeline, _)| pipeline.webhook.largest).unwrap_or(intake::LARGEST);
    let mut pieces = Pieces::of(headers, body, largest)?;
    let mut kept = Kept::default();
    guard::in_time(async {
        while let Some(piece) = pieces.next().await? {
            verifier.update(&piece);
            if ignored.is_none() {
                kept.take(&piece).await;
            }
        }
        Ok(())
    })
    .await?;
    let proof = verifier.finish().map_err(unproven)?;
    let (name, pipeline, _) = known.ok_or_else(unknown)?;
    app.limits.webhooks.take(name, moment).map_err(|wait| Problem::too_many("webhooks of this pipeline", wait))?;
    let said = match ignored {
        Some(why) => Announcement::Ignored(why),
        None => delivery.read(&kept.bytes, &pipeline.webhook, now).map_err(|e| {
            tracing::warn!(pipeline = %name, why = %e, "a build was announced that cannot be taken");
            Problem::new(e.status(), e.to_string())
        })?,
    };
    let said = match said {
        Announcement::Ignored(why) => {
            tracing::info!(pipeline = %name, why, "a webhook was ignored");
            return Ok(Arrived::Ignored(why));
        }
        Announcement::Build(announced) => announced,
    };
    let key = said.key(name, proof.delivery, &kept.bytes);
    Ok(Arrived::Build(pipeline, said, key))
}

/// How many bytes of large deliveries are kept at a time, over all of them: nobody has proven anything yet when they come.
static LARGE: Semaphore = Semaphore::const_new(LARGE_PIECES);
const LARGE_PIECES: usize = 512;
/// What a delivery may keep without asking, and what it asks for, in bytes.
const SMALL: usize = guard::LARGEST;

/// A body that is kept. Beyond what is small it waits until other large ones are done.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    large: Option<SemaphorePermit<'static>>,
}

impl Kept {
    async fn take(&mut self, piece: &[u8]) {
        let length = self.bytes.len() + piece.len();
        while length > SMALL * (1 + self.large.as_ref().map_or(0, SemaphorePermit::num_permits)) {
            let more = LARGE.acquire().await.expect("the semaphore is never closed");
            match &mut self.large {
                Some(large) => large.merge(more),
                none => *none = Some(more),
            }
        }
        if length > self.bytes.capacity() {
            self.bytes.reserve_exact(piece.len().max(SMALL));
        }
        self.bytes.extend_from_slice(piece);
    }
}

/// Answers a delivery.
async fn taken(app: &App, arrived: Arrived<'_>) -> Result<Response, Problem> {
    match arrived {
        Arrived::Ignored(ignored) => Ok(axum::Json(Ignored { ignored, superseded_by: None }).into_response()),
        Arrived::Build(pipeline, said, key) => {
            let entry = pipeline.entry().ok_or_else(|| Problem::not_found("the pipeline takes no builds"))?;
            deploy(app, entry, key, said.build, said.by, Trigger::Build).await
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
        Err(CommandError::Refused(Refusal::Duplicate(number))) => Ok(known_build(app, entry, (&key, order), number)),
        Err(CommandError::Refused(Refusal::Stale { order, newest })) => {
            let by = app.journal.state(&entry.id).deployment_of_build(newest);
            let by = by.map(|number| format!("{}/{number}", entry.id));
            let named = by.as_ref().map_or_else(String::new, |by| format!(" as {by}"));
            let why = format!("build {order} is older than build {newest}, which was accepted before{named}");
            let reset = format!("`pointsman builds reset {} --reason REASON`", entry.id);
            if trigger != Trigger::Build {
                let how = "leave out `build` (`--build`) to deploy it deliberately";
                return Err(Problem::new(409, format!("{why}; {how}; if the job counts from 1 again: {reset}")));
            }
            // No mistake of the build server's: two of its builds ran side by side, and this one took longer.
            tracing::info!(environment = %entry.id, why, "an announced build is superseded");
            let how = "if it is wanted, deploy it by hand, without its number";
            let ignored = format!("superseded: {why}; {how}; if the job counts from 1 again: {reset}");
            Ok(axum::Json(Ignored { ignored, superseded_by: by }).into_response())
        }
        recorded => deployment(app, &entry.id, &before, recorded),
    }
}

/// The answer to a wish for a deployment. One that was recorded before is answered with that.
pub(super) fn deployment(
    app: &App,
    id: &EnvironmentId,
    before: &Environment,
    recorded: Result<Accepted, CommandError>,
) -> Result<Response, Problem> {
    match recorded {
        // Not the last number of the state: that may be a later one's, made safe by the same flush.
        Ok(Accepted { event: event @ Event::Accepted { number, .. }, .. }) => {
            Ok(answer(id, number, "queued", telling::done(id, before, &event)))
        }
        Ok(other) => Err(Problem::new(500, format!("a deployment was recorded as {:?}; report this", other.event))),
        Err(CommandError::Refused(Refusal::Duplicate(number))) => Ok(known(&app.journal.state(id), id, number)),
        Err(error) => Err(Problem::refused(id, error)),
    }
}

fn refused(why: &Refused) -> Problem {
    let status = if matches!(why, Refused::Parameters(_)) { 400 } else { 422 };
    Problem::new(status, why.to_string())
}

/// The answer to what was recorded before.
pub(super) fn known(state: &Environment, id: &EnvironmentId, number: Number) -> Response {
    let name = state.deployment_state(number).map_or("ended".to_owned(), |(s, _)| s.to_string());
    answer(id, number, &name, String::new())
}

/// The same for a build, by its name or by its number. Who gave it another name is told how it is deployed again.
fn known_build(
    app: &App,
    entry: &EnvironmentDefinition,
    (key, order): (&Key, Option<u64>),
    number: Number,
) -> Response {
    let (state, id) = (app.journal.state(&entry.id), &entry.id);
    let said = match order.filter(|_| state.deployment_of(key).is_none()) {
        Some(order) => format!(
            "build {order} is deployed already, as {id}/{number}; leave out `build` (`--build`) to deploy it once more"
        ),
        None => String::new(),
    };
    let name = state.deployment_state(number).map_or("ended".to_owned(), |(s, _)| s.to_string());
    answer(id, number, &name, said)
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
