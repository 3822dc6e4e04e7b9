//! The five figures of DORA and the counts of deployments, for a pipeline or all of them, and a period.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json,
    extract::{Query, State},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, Problem, releases::past, timeline::unread};
use crate::{
    access::Caller,
    chronicle::{Book, Counts, Figures, Span, counts, figures},
    machine::{EnvironmentId, Millis, Name},
    pipelines::{Pipeline, Tier},
    text::format_time,
};

const DAY: u64 = 86_400_000;
/// How many days the figures are of, where nobody says, and at most.
const DAYS: u32 = 30;
const MOST_DAYS: u32 = 366;
/// The times of how many commits are asked for at one look.
const COMMITS: usize = 500;
/// How long the mirror of a repository may take to tell them.
const GIT: Duration = Duration::from_secs(5);

/// Query of the figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct WantedFigures {
    /// Only this pipeline.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[param(value_type = Option<String>, example = "shop")]
    pub pipeline: String,
    /// Environments of this name; where it is not given, those for users: of the tier prod, or else the last of a pipeline.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[param(value_type = Option<String>, example = "prod")]
    pub environment: String,
    /// The last so many days, 366 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(maximum = 4_294_967_295_u32, example = 30)]
    pub days: Option<u32>,
    /// How deployments are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Span>, inline)]
    pub by: Option<Span>,
}

/// The figures, and what they are of.
#[derive(Serialize, ToSchema)]
pub(super) struct FiguresOf {
    /// The environments that are counted.
    pub environments: Vec<String>,
    pub days: u32,
    pub from: String,
    pub to: String,
    pub figures: Figures,
    /// How deployments are counted.
    pub by: Span,
    /// The oldest span first.
    pub counts: Vec<Counts>,
    /// Since when everything is there, where the oldest was left out.
    #[schema(required)]
    pub since: Option<String>,
    /// Says that a part of the state file cannot be read; null where all of it can be.
    #[schema(required)]
    pub unread: Option<String>,
}

/// The five figures of DORA, and deployments by outcome
///
/// Change lead time, deployment frequency, failed deployment recovery time, change fail rate and deployment rework rate.
#[utoipa::path(
    get, path = "/v1/figures", tag = "looking", params(WantedFigures),
    responses((status = 200, description = "Of the environments that the caller may see", body = FiguresOf)),
)]
pub(super) async fn figures_of(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(wanted): Query<WantedFigures>,
) -> Result<Json<FiguresOf>, Problem> {
    of(&app, &caller, &wanted).await.map(Json)
}

pub(super) async fn of(app: &Arc<App>, caller: &Caller, wanted: &WantedFigures) -> Result<FiguresOf, Problem> {
    let (pipeline, environment) = (wanted.pipeline.trim(), wanted.environment.trim());
    let wanted_pipelines = app.pipelines.iter().filter(|p| pipeline.is_empty() || p.name.as_str() == pipeline);
    let ids: Vec<EnvironmentId> =
        wanted_pipelines.flat_map(|pipeline| for_users(pipeline, environment)).filter(|id| caller.sees(id)).collect();
    let days = wanted.days.unwrap_or(DAYS).clamp(1, MOST_DAYS);
    let (now, by) = (app.clock.now(), wanted.by.unwrap_or_default());
    let from = Millis(now.0.saturating_sub(u64::from(days) * DAY));
    let times = commit_times(app, &ids, from).await?;
    let environments = ids.iter().map(ToString::to_string).collect();
    let look = move |_: &App, book: &Book| {
        let committed =
            |pipeline: &Name, commit: &str| times.get(&(pipeline.clone(), commit.to_ascii_lowercase())).copied();
        // To the millisecond after now: what has just gone live counts.
        let made = figures(book, &ids, (from, now.plus(Millis(1))), &committed);
        (made, counts(book, &ids, by, now), (book.since(), unread(book)))
    };
    let (figures, counts, (since, unread)) = past(app, look).await?;
    let (from, to, since) = (format_time(from), format_time(now), since.map(format_time));
    Ok(FiguresOf { environments, days, from, to, figures, by, counts, since, unread })
}

/// The environments of a pipeline that have this name, or that are for users.
fn for_users(pipeline: &Pipeline, name: &str) -> Vec<EnvironmentId> {
    let all = || pipeline.environments.iter();
    if !name.is_empty() {
        return all().filter(|e| e.id.environment.as_str() == name).map(|e| e.id.clone()).collect();
    }
    let prod: Vec<EnvironmentId> = all().filter(|e| e.tier() == Some(Tier::Prod)).map(|e| e.id.clone()).collect();
    if prod.is_empty() { all().next_back().map(|e| e.id.clone()).into_iter().collect() } else { prod }
}

type Times = BTreeMap<(Name, String), Millis>;

/// When the commits were made that users got since then, as far as the mirrors of their repositories tell.
async fn commit_times(app: &Arc<App>, ids: &[EnvironmentId], from: Millis) -> Result<Times, Problem> {
    let ids: Vec<EnvironmentId> = ids.iter().filter(|id| app.mirrors.contains_key(&id.pipeline)).cloned().collect();
    if ids.is_empty() {
        return Ok(Times::new());
    }
    let look = move |_: &App, book: &Book| {
        let mut wanted: BTreeMap<Name, BTreeSet<String>> = BTreeMap::new();
        let chapters = ids.iter().flat_map(|id| book.of(id).rev().map(move |chapter| (id, chapter)));
        for (id, chapter) in chapters.filter(|(_, chapter)| chapter.story.live >= Some(from)).take(COMMITS) {
            if let Some(commit) = &chapter.story.release.commit {
                wanted.entry(id.pipeline.clone()).or_default().insert(commit.to_string());
            }
        }
        wanted
    };
    let wanted = past(app, look).await?;
    let mut times = Times::new();
    for (pipeline, commits) in wanted {
        let Some(mirror) = app.mirrors.get(&pipeline) else { continue };
        let commits: Vec<&str> = commits.iter().map(String::as_str).collect();
        // What a mirror does not tell, or not in time, is not known; the page says for how many.
        if let Ok(Ok(told)) = tokio::time::timeout(GIT, mirror.times_of(&commits)).await {
            times.extend(told.into_iter().map(|(commit, time)| ((pipeline.clone(), commit), time)));
        }
    }
    Ok(times)
}
