//! What people lay down for an environment: holds, pins, vetoes.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
};

use super::{App, Problem, act::record_plain, deploy::Recorded, place::Place, releases, requests, responses::Done};
use crate::{access::Caller, machine::Ask};

/// Stop automatic deployments
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/hold", tag = "acting", params(Place),
    request_body(content = requests::Because, content_type = "application/json"),
    responses(
        (status = 200, description = "It is recorded", body = Done),
        (status = 409, description = "The `Idempotency-Key` was used before for another request", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn hold(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    caller: Caller,
    body: Bytes,
) -> Result<Recorded, Problem> {
    let id = &place.find(&app)?.id;
    let asked: requests::Because = requests::read(&body)?;
    record_plain(&app, id, &caller, Ask::Hold(requests::reason(asked.reason.as_ref())?)).await
}

/// Let automatic deployments go on
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/resume", tag = "acting", params(Place),
    request_body(content = requests::Because, content_type = "application/json"),
    responses(
        (status = 200, description = "It is recorded", body = Done),
        (status = 409, description = "Nothing is held", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn resume(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    caller: Caller,
    body: Bytes,
) -> Result<Recorded, Problem> {
    let id = &place.find(&app)?.id;
    let asked: requests::Because = requests::read(&body)?;
    let command = Ask::Resume.because(requests::said(asked.reason.as_ref())?);
    record_plain(&app, id, &caller, command).await
}

/// Show users the maintenance page, or give them what is live again
///
/// Nothing automatic takes the page away. Deployments go on behind it, and who has the preview gets through. Once it is off, users
/// get what is live as soon as that is seen good.
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/maintenance", tag = "acting", params(Place),
    request_body(content = requests::Maintenance, content_type = "application/json"),
    responses(
        (status = 200, description = "It is recorded", body = Done),
        (status = 409, description = "It is so already, the front has no such page, or an order to the front is open", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn maintenance(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    caller: Caller,
    body: Bytes,
) -> Result<Recorded, Problem> {
    let id = &place.find(&app)?.id;
    let asked: requests::Maintenance = requests::read(&body)?;
    let why = "`on` must say whether users get the maintenance page: true or false";
    let command = match asked.on.ok_or_else(|| Problem::new(400, why).about("on", why))? {
        true => {
            let reason = requests::reason(asked.reason.as_ref())?;
            Ask::BeginMaintenance { hold: asked.hold, reason }.into()
        }
        false => Ask::EndMaintenance.because(requests::said(asked.reason.as_ref())?),
    };
    record_plain(&app, id, &caller, command).await
}

/// Keep to one release
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/pin", tag = "acting", params(Place),
    request_body(content = requests::Pin, content_type = "application/json"),
    responses(
        (status = 200, description = "It is recorded", body = Done),
        (status = 409, description = "Nothing is pinned that could be lifted", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn pin(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    caller: Caller,
    body: Bytes,
) -> Result<Recorded, Problem> {
    let id = &place.find(&app)?.id;
    let asked: requests::Pin = requests::read(&body)?;
    let reason = requests::said(asked.reason.as_ref())?;
    let command = match asked.lift {
        true => Ask::Unpin,
        false => Ask::Pin(releases::meant(&app, &caller, id, asked.release, asked.version.as_deref()).await?),
    };
    record_plain(&app, id, &caller, command.because(reason)).await
}

/// Ban a release
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/veto", tag = "acting", params(Place),
    request_body(content = requests::Ban, content_type = "application/json"),
    responses(
        (status = 200, description = "It is recorded", body = Done),
        (status = 409, description = "That release is not vetoed and cannot be lifted", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn veto(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    caller: Caller,
    body: Bytes,
) -> Result<Recorded, Problem> {
    let id = &place.find(&app)?.id;
    let asked: requests::Ban = requests::read(&body)?;
    let release = releases::meant(&app, &caller, id, asked.release, asked.version.as_deref()).await?;
    let command = match asked.lift {
        true => Ask::Unveto(release).because(requests::said(asked.reason.as_ref())?),
        false => Ask::Veto(release, requests::reason(asked.reason.as_ref())?).into(),
    };
    record_plain(&app, id, &caller, command).await
}

/// Count builds from the beginning
///
/// For a job that was made again and counts from 1, or a build announced with a number by mistake: the next build that is
/// announced is the newest, whatever its number.
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/builds/reset", tag = "acting", params(Place),
    request_body(content = requests::Because, content_type = "application/json"),
    responses(
        (status = 200, description = "It is recorded", body = Done),
        (status = 409, description = "No build with a number was accepted there", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn reset_builds(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    caller: Caller,
    body: Bytes,
) -> Result<Recorded, Problem> {
    let id = &place.find(&app)?.id;
    let asked: requests::Because = requests::read(&body)?;
    record_plain(&app, id, &caller, Ask::ResetBuilds(requests::reason(asked.reason.as_ref())?)).await
}
