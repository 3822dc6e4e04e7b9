//! One release: where it is, where it was, and every deployment of it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    App, Problem,
    releases::past,
    timeline::{Deployed, deployed, unread},
};
use crate::{
    access::Caller,
    chronicle::{Book, Chapter},
    machine::{Environment, EnvironmentId, Name, Release},
    text::format_time,
};

/// How many of its deployments are listed, the newest first.
const LISTED: usize = 200;

/// A release of a pipeline.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfRelease {
    /// The name of the pipeline.
    #[param(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length = 40, example = "shop")]
    pipeline: String,
    /// The number of the release.
    #[param(maximum = 4_294_967_295_u32, example = 7)]
    number: u32,
}

/// What a release is in an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReleasePart {
    /// Users have it.
    Live,
    /// It is kept warm as the way back.
    Standby,
    /// It is on its way.
    UnderWay,
    /// Users had it.
    WasLive,
    /// It was tried, and users never had it.
    Tried,
    /// It was never there.
    Never,
}

/// A release in one environment.
#[derive(Serialize, ToSchema)]
pub(super) struct Where {
    #[schema(example = "shop/prod")]
    pub environment: String,
    pub part: ReleasePart,
    /// Since when, or when users had it last.
    #[schema(required)]
    pub since: Option<String>,
    /// The deployment by which it is there, or was last.
    #[schema(required)]
    pub deployment: Option<u32>,
    /// It may not be deployed there, and why.
    #[schema(required)]
    pub vetoed: Option<String>,
}

/// One release, as far as the caller may see it.
#[derive(Serialize, ToSchema)]
pub(super) struct ReleaseStory {
    pub pipeline: String,
    pub release: u32,
    #[schema(example = "1.4.2")]
    pub version: String,
    pub artifact: String,
    #[schema(required)]
    pub commit: Option<String>,
    /// The build's own page.
    #[schema(required)]
    pub link: Option<String>,
    /// When it was asked for first, and by whom.
    pub at: String,
    pub by: String,
    pub environments: Vec<Where>,
    /// The newest first, 200 at most.
    pub deployments: Vec<Deployed>,
    /// Says that a part of the state file cannot be read; null where all of it can be.
    #[schema(required)]
    pub unread: Option<String>,
}

/// One release
///
/// Where it is live, where it was, and every deployment of it.
#[utoipa::path(
    get, path = "/v1/releases/{pipeline}/{number}", tag = "looking", params(OfRelease),
    responses((status = 200, description = "As far as records tell", body = ReleaseStory)),
)]
pub(super) async fn release(
    State(app): State<Arc<App>>,
    Path(place): Path<OfRelease>,
    caller: Caller,
) -> Result<Json<ReleaseStory>, Problem> {
    of(&app, &caller, place).await.map(Json)
}

pub(super) async fn of(app: &Arc<App>, caller: &Caller, place: OfRelease) -> Result<ReleaseStory, Problem> {
    let OfRelease { pipeline, number: release } = place;
    let unknown = || {
        let why =
            format!("{pipeline} has no release {release} that you may see, or it is longer ago than what is kept");
        Problem::not_found(&format!("{why} (`pointsman status {pipeline}`)"))
    };
    let Ok(pipeline) = pipeline.parse::<Name>() else { return Err(Problem::not_found("there is no such pipeline")) };
    let known = app.pipelines.get(&pipeline).ok_or_else(unknown)?;
    let ids: Vec<EnvironmentId> =
        known.environments.iter().map(|e| e.id.clone()).filter(|id| caller.sees(id)).collect();
    past(app, move |app, book| story(app, book, &ids, release)).await?.ok_or_else(unknown)
}

fn story(app: &App, book: &Book, ids: &[EnvironmentId], number: u32) -> Option<ReleaseStory> {
    let of = |id| book.of(id).filter(move |chapter| chapter.story.release.number == number);
    let mut all: Vec<(&EnvironmentId, &Chapter)> =
        ids.iter().flat_map(|id| of(id).map(move |chapter| (id, chapter))).collect();
    all.sort_by_key(|(_, chapter)| chapter.first);
    let (id, first) = *all.first()?;
    let release: &Release = &first.story.release;
    let newest = all.iter().rev().take(LISTED);
    Some(ReleaseStory {
        pipeline: id.pipeline.to_string(),
        release: number,
        version: release.version.to_string(),
        artifact: release.artifact.to_string(),
        commit: release.commit.as_deref().map(str::to_owned),
        link: release.link.as_deref().map(str::to_owned),
        at: format_time(first.story.at),
        by: first.story.by.to_string(),
        environments: ids.iter().map(|id| there(&app.journal.state(id), id, number, of(id).next_back())).collect(),
        deployments: newest.map(|(id, chapter)| deployed(app, chapter.first, id, chapter)).collect(),
        unread: unread(book),
    })
}

fn there(state: &Environment, id: &EnvironmentId, number: u32, last: Option<&Chapter>) -> Where {
    let vetoed = state.vetoes().iter().find(|veto| veto.release == number).map(|veto| veto.reason.to_string());
    let by = last.map(|chapter| chapter.story.number.0);
    let (part, since, deployment) = if let Some(live) = state.live().filter(|live| live.release.number == number) {
        (ReleasePart::Live, Some(live.since), Some(live.number.0))
    } else if let Some(standby) = state.standby().filter(|standby| standby.stack.release.number == number) {
        (ReleasePart::Standby, last.and_then(|chapter| chapter.story.live), Some(standby.stack.number.0))
    } else if let Some(moving) = state.active().into_iter().chain(state.queue()).find(|d| d.release.number == number) {
        (ReleasePart::UnderWay, Some(moving.since), Some(moving.number.0))
    } else {
        match last {
            Some(chapter) if chapter.story.live.is_some() => (ReleasePart::WasLive, chapter.story.live, by),
            Some(chapter) => (ReleasePart::Tried, Some(chapter.story.at), by),
            None => (ReleasePart::Never, None, None),
        }
    };
    Where { environment: id.to_string(), part, since: since.map(format_time), deployment, vetoed }
}
