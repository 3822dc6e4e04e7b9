//! What a deployment to an environment takes, before anybody presses anything: what a build may say, and which releases can be
//! deployed again. Must not record anything, and nothing here is needed to deploy.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::header;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    App, Problem, act, changes,
    place::Place,
    responses::{Gate, PlannedHook},
    shown::{Look, Shown},
    view,
};
use crate::{
    access::Caller,
    machine,
    pipelines::{DefinitionSource, EnvironmentDefinition, Pipeline},
    telling,
};

/// The most releases that are listed, the newest first.
const MOST: usize = 50;

/// What a deployment takes.
#[derive(Serialize, ToSchema)]
pub(super) struct Deployable {
    #[schema(example = "shop/qa")]
    pub environment: String,
    /// New builds are deployed here; elsewhere only releases that were here before.
    pub takes_builds: bool,
    /// The environment that takes new builds.
    #[schema(example = "shop/qa")]
    pub entry: String,
    /// A build has to name its commit in full: the stack definition is read from git.
    pub needs_commit: bool,
    /// The parameters that a build may set; null when it may set any.
    #[schema(required)]
    pub parameters: Option<Vec<Settable>>,
    /// The releases that were here and can be deployed again as they are, the newest first; 50 at most.
    pub releases: Vec<KnownRelease>,
    /// Where it would wait for someone, in order.
    pub gates: Vec<Gate>,
    /// What would be run besides, in order.
    pub hooks: Vec<PlannedHook>,
    /// What of that going back would not undo, in words.
    pub one_way: Vec<String>,
}

/// A parameter that a build may set.
#[derive(Serialize, ToSchema)]
pub(super) struct Settable {
    pub name: String,
    /// What it is where the build says nothing, as far as the pipeline says it.
    #[schema(required)]
    pub otherwise: Option<String>,
}

/// A release that was here.
#[derive(Serialize, ToSchema)]
pub(super) struct KnownRelease {
    pub number: u32,
    #[schema(example = "1.4.2")]
    pub version: String,
    #[schema(required)]
    pub commit: Option<String>,
    /// It is what is live.
    pub live: bool,
    /// Why it would be refused.
    #[schema(required)]
    pub barred: Option<String>,
}

/// What a deployment takes
///
/// With the `ETag` for `If-Match`, so that what is deployed goes where it was shown to go.
#[utoipa::path(
    get, path = "/v1/environments/{pipeline}/{environment}/deployable", tag = "looking", params(Place),
    responses((status = 200, description = "What a build may say, and the releases that can be deployed again", body = Deployable, headers(("etag" = String, description = "For `If-Match`")))),
)]
pub(super) async fn deployable(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    caller: Caller,
) -> Result<Response, Problem> {
    let definition = place.find(&app)?;
    let look = Look::at(&app, &definition.id);
    let (deployable, shown) = of(&app, &definition, &caller, &look)?;
    Ok(([(header::ETAG, shown.tag())], Json(deployable)).into_response())
}

/// What a deployment to this environment takes, and what a decision is held to.
pub(super) fn of<'l>(
    app: &App,
    definition: &EnvironmentDefinition,
    caller: &Caller,
    look: &'l Look,
) -> Result<(Deployable, &'l Shown), Problem> {
    let pipeline = app.pipelines.get(&definition.id.pipeline).ok_or_else(Problem::no_environment)?;
    let entry = pipeline.entry().ok_or_else(Problem::no_environment)?;
    let live = look.state.live().map(|live| live.release.number);
    let releases = known(&look.state).into_values().rev().take(MOST).map(|release| KnownRelease {
        number: release.number,
        version: release.version.to_string(),
        commit: release.commit.as_deref().map(str::to_owned),
        live: live == Some(release.number),
        barred: act::barred(look, release.number),
    });
    let in_git = |e: &Arc<EnvironmentDefinition>| matches!(e.stack.definition, DefinitionSource::Git(_));
    let deployable = Deployable {
        environment: definition.id.to_string(),
        takes_builds: entry.id == definition.id,
        entry: entry.id.to_string(),
        needs_commit: pipeline.environments.iter().any(in_git),
        parameters: settable(pipeline, entry),
        releases: releases.collect(),
        gates: changes::gates(definition, &caller.by),
        hooks: definition.plan.hooks.iter().map(view::hook).collect(),
        one_way: telling::no_way_back_from(&definition.plan, None),
    };
    Ok((deployable, &look.shown))
}

/// The releases that an environment remembers, by number. What was taken over is somebody else's and not made again.
pub(super) fn known(state: &machine::Environment) -> BTreeMap<u32, &machine::Release> {
    let own = telling::releases(state).filter(|release| release.adopts.is_none());
    own.map(|release| (release.number, release)).collect()
}

/// What a build may set: what the webhook's settings allow and the stack definition knows. `None`: anything.
fn settable(pipeline: &Pipeline, entry: &EnvironmentDefinition) -> Option<Vec<Settable>> {
    let needs = entry.stack.file().and_then(|file| file.needs.as_ref());
    let names: Vec<&str> = match (&pipeline.webhook.parameters, needs) {
        (None, None) => return None,
        (None, Some(needs)) => needs.parameters.iter().map(String::as_str).collect(),
        (Some(allowed), needs) => {
            let is_known = |name: &&str| needs.is_none_or(|needs| needs.parameters.contains(*name));
            allowed.iter().map(String::as_str).filter(is_known).collect()
        }
    };
    let otherwise = |name: &str| entry.stack.parameters.get(name).map(ToString::to_string);
    Some(names.into_iter().map(|name| Settable { name: name.to_owned(), otherwise: otherwise(name) }).collect())
}
