//! What can be looked at.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use http::header;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    App, Problem,
    place::{OfDeployment, Place},
    releases,
    responses::{Deployment, Environment, Environments, History},
    shown::Look,
    view,
};
use crate::{
    access::{Caller, Role},
    journal::LastRecords,
    machine::{self, DeploymentState, EnvironmentId, Number},
    text::format_time,
    units::parse_duration,
};

/// How many bytes of the state file are read for one question at most: what is asked for may lie far back among the records of
/// others.
const BYTES: u64 = 256 << 20;

/// All environments
#[utoipa::path(
    get, path = "/v1/environments", tag = "looking",
    responses((status = 200, description = "Those that the caller may see", body = Environments)),
)]
pub(super) async fn environments(State(app): State<Arc<App>>, caller: Caller) -> Json<Environments> {
    let all = app.pipelines.environments().filter(|e| caller.sees(&e.id)).map(|e| view::environment(&app, e));
    Json(Environments { environments: all.collect(), warnings: app.door.warnings() })
}

/// One environment
///
/// The `ETag` says in full what a decision rests on; sent back as `If-Match` it holds the decision to that.
#[utoipa::path(
    get, path = "/v1/environments/{pipeline}/{environment}", tag = "looking", params(Place),
    responses((status = 200, description = "How it is", body = Environment, headers(("etag" = String, description = "For `If-Match`")))),
)]
pub(super) async fn environment(State(app): State<Arc<App>>, Path(place): Path<Place>) -> Result<Response, Problem> {
    let definition = place.find(&app)?;
    let look = Look::at(&app, &definition.id);
    let shown = view::state(&app, &definition, &look.state);
    Ok(([(header::ETAG, look.shown.tag())], Json(shown)).into_response())
}

/// Query of a wait: for what, and how long.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wait {
    /// Wait this long, a minute at most, until it has ended: `500ms`, `30s`, `1m`.
    #[param(pattern = "^[0-9]{1,5}(ms|s|m|h|d)$", example = "0s")]
    wait: Option<String>,
    /// The state that was seen: the answer comes when it is another one.
    seen: Option<String>,
}

/// One deployment
#[utoipa::path(
    get, path = "/v1/deployments/{pipeline}/{environment}/{number}", tag = "looking", params(OfDeployment, Wait),
    responses((status = 200, description = "How far it is", body = Deployment)),
)]
pub(super) async fn deployment(
    State(app): State<Arc<App>>,
    Path(place): Path<OfDeployment>,
    Query(query): Query<Wait>,
) -> Result<Json<Deployment>, Problem> {
    let (definition, number) = place.find(&app)?;
    let (id, number) = (&definition.id, Number(number));
    let wait = query.wait.as_deref().map_or(Ok(Default::default()), parse_duration);
    let wait = wait.map_err(|e| Problem::new(400, e.to_string()))?.0.min(60_000);
    let mut states = app.journal.watch(id);
    let settled = |state: &Arc<machine::Environment>| {
        let now = state.deployment_state(number).map(|(s, _)| s);
        let changed = query.seen.as_ref().is_some_and(|seen| now.is_some_and(|s| s.to_string() != *seen));
        changed || now.is_none_or(DeploymentState::is_final)
    };
    // The time being over is an answer as well.
    let _ = tokio::time::timeout(Duration::from_millis(wait), states.wait_for(settled)).await;
    let state = states.borrow().clone();
    let gone = || {
        Problem::not_found(&format!(
            "deployment {number} is unknown, or longer ago than the last ten; `pointsman history {id}` shows those before"
        ))
    };
    let (is, reason) = state.deployment_state(number).ok_or_else(gone)?;
    let release = state.release_of(number);
    let pause = state.active().filter(|d| d.number == number).and_then(machine::Deployment::pause);
    Ok(Json(Deployment {
        deployment: format!("{id}/{number}"),
        number: number.0,
        state: is,
        r#final: is.is_final(),
        reason: reason.map(str::to_owned),
        release: release.map(|r| r.number),
        version: release.map(|r| r.version.to_string()),
        paused_until: pause.map(|pause| format_time(pause.until())),
    }))
}

/// Query of the history.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only those of this environment.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?/[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", example = "shop/prod")]
    environment: Option<EnvironmentId>,
    /// How many, a thousand at most.
    #[param(maximum = 4_294_967_295_u32, example = 50)]
    last: Option<u32>,
    /// Only those after this one, by its `seq`: who asks again need not be told everything again.
    #[param(example = 0)]
    since: Option<u64>,
    /// Only those before this one, by its `seq`: so the whole history is read page by page.
    #[param(example = 100_000)]
    before: Option<u64>,
}

/// What happened
#[utoipa::path(
    get, path = "/v1/history", tag = "looking", params(Which),
    responses((status = 200, description = "The last records, oldest first", body = History)),
)]
pub(super) async fn history(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(which): Query<Which>,
) -> Result<Json<History>, Problem> {
    let Which { environment, last, since, before } = which;
    let last = last.unwrap_or(50);
    let read = records(&app, &caller, environment, last, (since, before)).await?;
    Ok(Json(History { records: read.records, more: read.more }))
}

/// The last records that the caller may see, oldest first.
pub(super) async fn records(
    app: &Arc<App>,
    caller: &Caller,
    environment: Option<EnvironmentId>,
    last: u32,
    (since, before): (Option<u64>, Option<u64>),
) -> Result<LastRecords, Problem> {
    const MOST: usize = 1000;
    let last = usize::try_from(last).unwrap_or(MOST).min(MOST);
    if let Some(id) = &environment {
        caller.may(Role::Viewer, id)?;
        // What happened in one that was taken out of the files can still be looked at.
        if app.journal.state(id).seq().0 == 0 {
            app.known_environment(caller, &id.to_string())?;
        }
    }
    let (journal, caller) = (app.journal.clone(), caller.clone());
    releases::reading(move || {
        let wanted = |id: &EnvironmentId| environment.as_ref().is_none_or(|only| only == id) && caller.sees(id);
        journal.history_within(&wanted, last, (since.unwrap_or(0), before.unwrap_or(u64::MAX)), BYTES)
    })
    .await
}
