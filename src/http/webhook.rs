//! `POST /v1/hooks/{pipeline}`: signature, then replay window, then the build, then the journal.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    App, Problem,
    authentication::Peer,
    deploy::{Recorded, Terms, deploy},
    guard::{self, Pieces},
    responses::Ignored,
};
use crate::{
    access::limits::Origin,
    intake::{
        self, Announced, Announcement, Delivery,
        keys::Keys,
        signature::{self, Verifier},
    },
    machine::{Key, Name},
    pipelines::Pipeline,
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
    request_body(content = super::requests::Build, content_type = "application/json"),
    responses(
        (status = 200, description = "Nothing to deploy, and why: another event or branch, a build that failed, one that a newer build superseded", body = Ignored),
        (status = 202, description = "It is recorded, or was before", body = super::responses::Accepted, headers(("location" = String, description = "The deployment"))),
        (status = 422, description = "A field is missing or wrong; the detail names each", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 409, description = "The release is vetoed, or the delivery was used for another build", body = super::problem::Told, content_type = "application/problem+json"),
    ),
    security((), ("webhook" = [])),
)]
pub(super) async fn webhook(
    State(app): State<Arc<App>>,
    Path(pipeline): Path<String>,
    peer: Peer,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let arrived = arrive(&app, &pipeline, peer, &parts.headers, body).await;
    // Where the body was not read to its end, the connection is of no more use.
    let arrived = arrived.map_err(|problem| ([(header::CONNECTION, "close")], problem).into_response());
    match arrived {
        Err(refused) => refused,
        Ok(arrived) => {
            guard::note_arrival(&parts.extensions);
            taken(&app, arrived).await.into_response()
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
async fn taken(app: &App, arrived: Arrived<'_>) -> Result<Recorded, Problem> {
    match arrived {
        Arrived::Ignored(ignored) => Ok(Recorded::Ignored(Ignored { ignored, superseded_by: None })),
        Arrived::Build(pipeline, said, key) => {
            let entry = pipeline.entry().ok_or_else(|| Problem::not_found("the pipeline takes no builds"))?;
            deploy(app, entry, key, said.build, said.by, &Terms::announced()).await
        }
    }
}
