//! What people lay down for an environment: holds, pins, vetoes.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::Response,
};

use super::{App, Problem, act::record_plain, place::Place, releases, shape::Done, wish};
use crate::{access::Caller, machine::Command};

/// Stop automatic deployments
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/hold", tag = "acting", params(Place),
    request_body(content = wish::Because, content_type = "application/json"),
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
) -> Result<Response, Problem> {
    let id = &place.find(&app)?.id;
    let wish: wish::Because = wish::read(&body)?;
    record_plain(&app, id, &caller, Command::Hold(wish::reason(wish.reason.as_ref())?)).await
}

/// Let automatic deployments go on
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/resume", tag = "acting", params(Place),
    request_body(content = wish::Because, content_type = "application/json"),
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
) -> Result<Response, Problem> {
    let id = &place.find(&app)?.id;
    let wish: wish::Because = wish::read(&body)?;
    let command = Command::Resume.because(wish::said(wish.reason.as_ref())?);
    record_plain(&app, id, &caller, command).await
}

/// Keep to one release
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/pin", tag = "acting", params(Place),
    request_body(content = wish::Pin, content_type = "application/json"),
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
) -> Result<Response, Problem> {
    let id = &place.find(&app)?.id;
    let wish: wish::Pin = wish::read(&body)?;
    let reason = wish::said(wish.reason.as_ref())?;
    let command = match wish.lift {
        true => Command::Unpin,
        false => Command::Pin(releases::meant(&app, id, wish.release, wish.version.as_deref()).await?),
    };
    record_plain(&app, id, &caller, command.because(reason)).await
}

/// Ban a release
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/veto", tag = "acting", params(Place),
    request_body(content = wish::Ban, content_type = "application/json"),
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
) -> Result<Response, Problem> {
    let id = &place.find(&app)?.id;
    let wish: wish::Ban = wish::read(&body)?;
    let release = releases::meant(&app, id, wish.release, wish.version.as_deref()).await?;
    let command = match wish.lift {
        true => Command::Unveto(release).because(wish::said(wish.reason.as_ref())?),
        false => Command::Veto(release, wish::reason(wish.reason.as_ref())?),
    };
    record_plain(&app, id, &caller, command).await
}

/// Count builds from the beginning
///
/// For a job that was made again and counts from 1, or a build announced with a number by mistake: the next build that is
/// announced is the newest, whatever its number.
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/builds/reset", tag = "acting", params(Place),
    request_body(content = wish::Because, content_type = "application/json"),
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
) -> Result<Response, Problem> {
    let id = &place.find(&app)?.id;
    let wish: wish::Because = wish::read(&body)?;
    record_plain(&app, id, &caller, Command::ResetBuilds(wish::reason(wish.reason.as_ref())?)).await
}
