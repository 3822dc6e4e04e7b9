//! What can be looked at.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, Query, State},
    response::sse::{self, Sse},
};
use futures_util::{Stream, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::{App, Problem, view};
use crate::{
    access::{Caller, Role},
    machine::{DeploymentState, Environment, EnvironmentId, Number},
    text::parse_duration,
};

pub(super) async fn environments(State(app): State<Arc<App>>, caller: Caller) -> Json<Value> {
    let all = app.pipelines.environments().filter(|e| caller.sees(&e.id)).map(|e| view::environment(&app, &e.id));
    Json(json!({ "environments": all.collect::<Vec<_>>() }))
}

pub(super) async fn environment(
    State(app): State<Arc<App>>,
    Path((pipeline, environment)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let id = &app.environment(&pipeline, &environment)?.id;
    Ok(Json(view::environment(&app, id)))
}

#[derive(Deserialize)]
pub(super) struct Wait {
    wait: Option<String>,
    /// The state that was seen: the answer comes when it is another one.
    seen: Option<String>,
}

pub(super) async fn deployment(
    State(app): State<Arc<App>>,
    Path((pipeline, environment, number)): Path<(String, String, u32)>,
    Query(query): Query<Wait>,
) -> Result<Json<Value>, Problem> {
    let id = app.environment(&pipeline, &environment)?.id.clone();
    let wait = query.wait.as_deref().map_or(Ok(Default::default()), parse_duration);
    let wait = wait.map_err(|e| Problem::new(400, e.to_string()))?.0.min(60_000);
    let mut states = app.journal.watch(&id);
    let settled = |state: &Arc<Environment>| {
        let now = state.deployment_state(Number(number)).map(|(s, _)| s);
        let changed = query.seen.as_ref().is_some_and(|seen| now.is_some_and(|s| s.to_string() != *seen));
        changed || now.is_none_or(DeploymentState::is_final)
    };
    // The time being over is an answer as well.
    let _ = tokio::time::timeout(Duration::from_millis(wait), states.wait_for(settled)).await;
    let state = states.borrow().clone();
    let gone = || Problem::not_found("this deployment is unknown, or longer ago than the last ten; see the history");
    let (is, reason) = state.deployment_state(Number(number)).ok_or_else(gone)?;
    let release = state.release_of(Number(number)).map(|r| (r.number, r.version.clone()));
    Ok(Json(json!({ "deployment": format!("{id}/{number}"), "number": number, "state": is, "final": is.is_final(),
        "reason": reason, "release": release.as_ref().map(|r| r.0), "version": release.as_ref().map(|r| &r.1) })))
}

#[derive(Deserialize)]
pub(super) struct Which {
    environment: Option<EnvironmentId>,
    last: Option<usize>,
}

pub(super) async fn history(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(which): Query<Which>,
) -> Result<Json<Value>, Problem> {
    const MOST: usize = 1000;
    let last = which.last.unwrap_or(50).min(MOST);
    if let Some(id) = &which.environment {
        caller.may(Role::Viewer, id)?;
    }
    // Among many, those that the caller may see have to be looked for.
    let looked = if which.environment.is_none() && caller.only.is_some() { MOST } else { last };
    let read = tokio::task::spawn_blocking(move || app.journal.history(which.environment.as_ref(), looked));
    let records = read.await.map_err(|e| Problem::new(500, e.to_string()))?;
    let mut records = records.map_err(|e| Problem::new(500, format!("the state file can not be read: {e}")))?;
    records.retain(|record| caller.sees(&record.environment));
    records.drain(..records.len().saturating_sub(last));
    Ok(Json(json!({ "records": records })))
}

/// Every record of what the caller may see, as it is made; ends when the caller's token does.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let begin = (app.journal.follow(), app, caller);
    let records = stream::unfold(begin, |(mut records, app, caller)| async move {
        let event = loop {
            let record = records.recv().await;
            if !app.access.still(&caller, app.clock.host()) {
                return None;
            }
            match record {
                Ok(record) if !caller.sees(&record.environment) => {}
                Ok(record) => {
                    let event = sse::Event::default().id(record.seq.to_string()).event("record");
                    break event.json_data(&*record).unwrap_or_default();
                }
                Err(RecvError::Lagged(missed)) => break sse::Event::default().event("missed").data(missed.to_string()),
                Err(RecvError::Closed) => return None,
            }
        };
        Some((Ok(event), (records, app, caller)))
    });
    Sse::new(records).keep_alive(sse::KeepAlive::default())
}
