//! Finds the release that is meant, by its version or its number. An unknown one is refused with what
//! there is. And the story of deployments.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};

use super::{
    App, Problem,
    blocking::blocking,
    events::READERS,
    place::Place,
    responses::{State as Name, Why},
};
use crate::{
    access::Caller,
    chronicle::Book,
    machine::{DeploymentState, EnvironmentId, Event, Release, Trigger},
    telling::{self, Story},
    text::{did_you_mean, format_time},
};

/// How many records are read for a release, or for stories, at most.
const MOST: usize = 10_000;
/// How many bytes of the state file are read for stories at most: those of a quiet environment may lie far back.
const BYTES: u64 = 64 << 20;
/// How many releases a refusal lists.
const LISTED: usize = 8;

/// A release that is known somewhere.
struct Known {
    version: String,
    /// Whether it is in an environment that whoever asks may see. Only then is it told to them.
    seen: bool,
}

/// The releases of a pipeline that its environments remember, or that were ever accepted in them.
async fn known(
    app: &Arc<App>,
    caller: &Caller,
    id: &EnvironmentId,
    all: bool,
) -> Result<BTreeMap<u32, Known>, Problem> {
    let of_pipeline = |other: &EnvironmentId| other.pipeline == id.pipeline;
    let mut found = BTreeMap::new();
    let mut note = |environment: &EnvironmentId, release: &Release| {
        let known = || Known { version: release.version.to_string(), seen: false };
        found.entry(release.number).or_insert_with(known).seen |= caller.sees(environment);
    };
    for environment in app.journal.environments().into_iter().filter(|other| of_pipeline(other)) {
        let state = app.journal.state(&environment);
        telling::releases(&state).for_each(|release| note(&environment, release));
    }
    if all {
        let (journal, pipeline) = (app.journal.clone(), id.pipeline.clone());
        let records =
            reading(move || journal.history_where(&|other| other.pipeline == pipeline, MOST, (0, u64::MAX))).await?;
        for record in records {
            if let Event::Accepted { release, .. } | Event::ColdRollbackQueued { release, .. } = &record.event {
                note(&record.environment, release);
            }
        }
    }
    Ok(found)
}

pub(super) async fn reading<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let turn = READERS.acquire().await.map_err(|e| Problem::new(503, e.to_string()))?;
    let read = blocking(move || {
        // The reading goes on without a caller who hangs up.
        let _turn = turn;
        work()
    });
    let read = read.await?;
    read.map_err(|e| Problem::new(500, format!("the state file cannot be read: {e}; `pointsman journal verify`")))
}

/// Whose turn it is to look at the past: the first look after a start reads for seconds, and whoever waits for it must not
/// take the place of others who read the state file.
static LOOKING: Semaphore = Semaphore::const_new(1);

/// Looks at the past as it is kept in memory, with all that is recorded. Reads what came since the last look.
pub(super) async fn past<T: Send + 'static>(
    app: &Arc<App>,
    look: impl FnOnce(&App, &Book) -> T + Send + 'static,
) -> Result<T, Problem> {
    let turn = LOOKING.acquire().await.map_err(|e| Problem::new(503, e.to_string()))?;
    let app = app.clone();
    let work = move || {
        let _turn = turn;
        Ok(app.chronicle.look(&app.journal, |book| look(&app, book)))
    };
    reading(work).await
}

/// The release that is meant, if there is one.
pub(super) async fn meant(
    app: &Arc<App>,
    caller: &Caller,
    id: &EnvironmentId,
    number: Option<u32>,
    version: Option<&str>,
) -> Result<u32, Problem> {
    if number.is_none() && version.is_none() {
        return Err(Problem::new(400, "name the release you mean: {\"version\": \"1.4.2\"} or {\"release\": 7}"));
    }
    let mut all = known(app, caller, id, false).await?;
    for last in [false, true] {
        if last {
            all = known(app, caller, id, true).await?;
        }
        match (number, version) {
            (Some(number), None) if all.contains_key(&number) => return Ok(number),
            (Some(number), Some(version)) if all.contains_key(&number) => {
                let Known { version: known, seen } = &all[&number];
                return if known == version || version == number.to_string() {
                    Ok(number)
                } else {
                    let is = if *seen { known.as_str() } else { "another one" };
                    let why = format!("release {number} is {is}, which is not the `version` named beside it");
                    Err(Problem::new(409, format!("{why}: name one of the two (`pointsman history {id}` shows them)")))
                };
            }
            (Some(_), _) | (None, None) => {}
            (None, Some(version)) => {
                let of: Vec<u32> = all.iter().filter(|(_, known)| known.version == version).map(|(n, _)| *n).collect();
                match (&*of, version.parse::<u32>()) {
                    ([one], _) => return Ok(*one),
                    ([], Ok(number)) if all.contains_key(&number) => return Ok(number),
                    ([], _) => {}
                    (several, _) => {
                        let several: Vec<String> = several.iter().map(|n| format!("--release {n}")).collect();
                        let why = format!("several releases are called {version}; name one: {}", several.join(", "));
                        return Err(Problem::new(409, format!("{why} (`pointsman history {id}` shows them)")));
                    }
                }
            }
        }
    }
    Err(unknown(id, &version.map_or_else(|| number.unwrap_or(0).to_string(), str::to_owned), &all))
}

fn unknown(id: &EnvironmentId, wanted: &str, all: &BTreeMap<u32, Known>) -> Problem {
    let told = || all.iter().filter(|(_, known)| known.seen).map(|(number, known)| (number, known.version.as_str()));
    let guess = did_you_mean(wanted, told().map(|(_, version)| version));
    let guess = guess.map(|guess| format!("; did you mean {guess}?")).unwrap_or_default();
    let shown: String = wanted.chars().filter(|c| !c.is_control()).take(60).collect();
    let listed: Vec<String> = told()
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .take(LISTED)
        .map(|(number, version)| format!("{version} (release {number})"))
        .collect();
    let listed = if listed.is_empty() { "none yet".to_owned() } else { listed.join(", ") };
    let why = format!("{} has no release {shown}{guess}; there are: {listed}", id.pipeline);
    Problem::not_found(&format!("{why} (`pointsman history {id}` shows them)"))
}

/// One deployment, from who asked for it to its end.
#[derive(Serialize, ToSchema)]
pub(super) struct PastDeployment {
    pub number: u32,
    /// The number of its release.
    pub release: u32,
    #[schema(example = "1.4.2")]
    pub version: String,
    #[schema(value_type = Why)]
    pub trigger: Trigger,
    #[schema(example = "alice")]
    pub asked_by: String,
    /// The stack of somebody else's making that it took over.
    #[schema(required)]
    pub adopts: Option<String>,
    /// When it was asked for.
    pub at: String,
    #[schema(required)]
    pub reason: Option<String>,
    /// When it got the traffic.
    #[schema(required)]
    pub live_at: Option<String>,
    /// The host on which the front was seen to send users to it, by name and identity, where the front tells.
    #[schema(required, example = "web1 (identity 5f2c9a7be01d4c33)")]
    pub live_on: Option<String>,
    /// Its state now, or how it ended; null when no record tells.
    #[schema(required, value_type = Option<Name>)]
    pub state: Option<DeploymentState>,
    /// It was aborted because its release was vetoed.
    pub vetoed: bool,
    #[schema(required)]
    pub ended_at: Option<String>,
    /// Why it ended so.
    #[schema(required)]
    pub why: Option<String>,
    /// Who asked for its rollback.
    #[schema(required)]
    pub rolled_back_by: Option<String>,
    /// How long users got the maintenance page for it, in milliseconds; null where they did not.
    #[schema(required, example = 41000)]
    pub downtime: Option<u64>,
    /// The largest share of the users that it had, in percent, where it never had all: what it cost; null where it had none.
    #[schema(required, example = 5)]
    pub share: Option<u8>,
}

/// The last deployments, oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Stories {
    pub deployments: Vec<PastDeployment>,
    /// There may be older ones: as many as were asked for were found, or enough of the state file was read.
    pub more: bool,
}

/// How many.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Last {
    /// How many deployments, 200 at most.
    #[param(maximum = 4_294_967_295_u32, example = 20)]
    last: Option<u32>,
}

/// The deployments of an environment
///
/// Who asked for which release, when and why, and how it ended: one entry for each deployment.
#[utoipa::path(
    get, path = "/v1/environments/{pipeline}/{environment}/deployments", tag = "looking", params(Place, Last),
    responses((status = 200, description = "The last ones, oldest first", body = Stories)),
)]
pub(super) async fn deployments(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    Query(Last { last }): Query<Last>,
) -> Result<Json<Stories>, Problem> {
    let id = place.find(&app)?.id.clone();
    let last = last.map_or(20, |last| usize::try_from(last).unwrap_or(200).min(200));
    let (journal, wanted) = (app.journal.clone(), id.clone());
    let read = reading(move || journal.history_within(&|other| *other == wanted, MOST, (0, u64::MAX), BYTES)).await?;
    let records = read.records;
    let state = app.journal.state(&id);
    let told = telling::stories(records.iter().map(|r| (r.at, &r.by, &r.event)), &state);
    let more = read.more || told.len() > last;
    let told = told.into_iter().rev().take(last).map(|story| shown(story, &state)).collect::<Vec<_>>();
    Ok(Json(Stories { deployments: told.into_iter().rev().collect(), more }))
}

pub(super) fn shown(story: Story, state: &crate::machine::Environment) -> PastDeployment {
    let now = state.deployment_state(story.number).map(|(now, _)| now);
    let is = story.end.as_ref().map(|end| end.outcome.into()).or(now);
    PastDeployment {
        number: story.number.0,
        release: story.release.number,
        version: story.release.version.to_string(),
        trigger: story.trigger,
        asked_by: story.by.to_string(),
        adopts: story.release.adopts.as_ref().map(|adopts| adopts.stack.to_string()),
        at: format_time(story.at),
        reason: story.reason.as_deref().map(str::to_owned),
        live_at: story.live.map(format_time),
        live_on: story.host.as_deref().map(str::to_owned),
        // A rollback on its way of a deployment that had succeeded.
        state: now.filter(|now| !now.is_final()).or(is),
        vetoed: story.end.as_ref().is_some_and(|end| end.vetoed),
        ended_at: story.end.as_ref().map(|end| format_time(end.at)),
        why: story.end.map(|end| end.why.to_string()).filter(|why| !why.is_empty()),
        rolled_back_by: story.rolled_back_by.as_deref().map(str::to_owned),
        share: story.share.filter(|_| story.live.is_none()),
        downtime: Some(story.downtime.0).filter(|downtime| *downtime > 0),
    }
}
