//! One deployment whole: who asked for what and why, its steps with what each took, how it ended, and its records. And what the
//! last deployments of an environment took, kept in memory as long as nothing new is recorded there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use tokio::sync::Mutex as Turn;
use utoipa::ToSchema;

use super::{
    App, Problem,
    place::OfDeployment,
    releases::{PastDeployment, reading, shown},
    responses::Counted,
    view,
};
use crate::{
    clock::Stopwatch,
    evidence,
    journal::{LastRecords, Record},
    machine::{Environment, EnvironmentId, Event, Number, Plan, Seq},
    telling::{self, Step, StepState, StepWhat, Story},
};

/// How many records of an environment are read for one deployment at most, and how many bytes of the state file: the records of a
/// quiet environment may lie far back among those of others.
const MOST: usize = 10_000;
const BYTES: u64 = 64 << 20;
/// The same for the past that is shown with an environment, which is read again whenever something was recorded.
const RECENT: usize = 1_000;
const RECENT_BYTES: u64 = 16 << 20;
/// How many deployments of the past are told with an environment.
const PAST: usize = 10;
/// How long a past that could not be read is not read again.
const RETRY: Duration = Duration::from_secs(5);

/// One deployment whole.
#[derive(Serialize, ToSchema)]
pub(super) struct Whole {
    #[schema(example = "shop/prod")]
    pub environment: String,
    pub deployment: PastDeployment,
    /// What it did and does, in its order.
    pub steps: Vec<Step>,
    /// What the front has counted since users were sent to its stack or from it; null where the last cutover was another one's, or
    /// nothing was counted.
    #[schema(required)]
    pub counted: Option<Counted>,
    /// Its records, oldest first.
    #[schema(value_type = Vec<super::responses::Record>)]
    pub records: Vec<Record>,
}

/// One deployment whole
///
/// Its steps with what each took and may take, how it ended, and its records.
#[utoipa::path(
    get, path = "/v1/deployments/{pipeline}/{environment}/{number}/story", tag = "looking", params(OfDeployment),
    responses((status = 200, description = "As far as records tell", body = Whole)),
)]
pub(super) async fn story(
    State(app): State<Arc<App>>,
    Path(place): Path<OfDeployment>,
) -> Result<Json<Whole>, Problem> {
    let (definition, number) = place.find(&app)?;
    whole(&app, &definition.id, Number(number)).await.map(Json)
}

pub(super) async fn whole(app: &Arc<App>, id: &EnvironmentId, number: Number) -> Result<Whole, Problem> {
    let LastRecords { records, more } = records(app, id, (MOST, BYTES)).await?;
    let state = app.journal.state(id);
    let told = telling::stories(records.iter().map(|r| (r.at, &r.by, &r.event)), &state);
    let Some(story) = told.into_iter().find(|story| story.number == number) else {
        return Err(unknown(id, number, more));
    };
    let steps = steps(&records, &story);
    let records = records.into_iter().filter(|record| is_of(&record.event, number)).collect();
    let of_it = |counted: &Counted| counted.sides.iter().any(|side| side.number == number.0);
    let counted = view::counted(&app.board.sight(id)).filter(of_it);
    Ok(Whole { environment: id.to_string(), deployment: shown(story, &state), steps, counted, records })
}

/// What is said of a deployment of which no record tells.
pub(super) fn unknown(id: &EnvironmentId, number: Number, more: bool) -> Problem {
    let why = match more {
        true => format!("deployment {number} of {id} is unknown, or longer ago than was looked through"),
        false => format!("deployment {number} of {id} is unknown"),
    };
    Problem::not_found(&format!("{why}; `pointsman history {id}` shows the last ones"))
}

/// The records of a deployment, oldest first; at least one.
pub(super) async fn about(app: &Arc<App>, id: &EnvironmentId, number: Number) -> Result<Vec<Record>, Problem> {
    let LastRecords { mut records, more } = records(app, id, (MOST, BYTES)).await?;
    records.retain(|record| evidence::is_about(record, number));
    if records.is_empty() { Err(unknown(id, number, more)) } else { Ok(records) }
}

async fn records(app: &Arc<App>, id: &EnvironmentId, (most, bytes): (usize, u64)) -> Result<LastRecords, Problem> {
    let (journal, id) = (app.journal.clone(), id.clone());
    reading(move || journal.history_within(&|other| *other == id, most, (0, u64::MAX), bytes)).await
}

/// Whether a record is of a deployment. That which takes one back by a new deployment is of both: it is the acceptance of the
/// new one.
fn is_of(event: &Event, number: Number) -> bool {
    let accepts = matches!(event, Event::ColdRollbackQueued { by, .. } if *by == number);
    accepts || telling::deployment_of(event) == Some(number)
}

fn steps(records: &[Record], story: &Story) -> Vec<Step> {
    let own = || records.iter().filter(|record| is_of(&record.event, story.number));
    let plan: Option<&Plan> = own().find_map(|record| match &record.event {
        Event::Accepted { plan, .. } => Some(&**plan),
        Event::ColdRollbackQueued { by, plan, .. } if *by == story.number => Some(&**plan),
        _ => None,
    });
    let Some(plan) = plan else { return Vec::new() };
    telling::rail(story, plan, own().map(|record| (record.at, &record.event)))
}

/// What the last deployments of an environment did, and took.
#[derive(Default)]
pub(super) struct Past {
    /// The last ones, newest first.
    pub deployments: Vec<PastDeployment>,
    /// The one under way, or the last one, with its steps.
    pub current: Option<(PastDeployment, Vec<Step>)>,
    /// How long the last cutover took, in milliseconds.
    pub cut_over: Option<u64>,
    /// How long it took at last until a stack was up and checked, in milliseconds.
    pub stood_up: Option<u64>,
    /// There may be older ones than was looked through.
    pub more: bool,
    /// Why nothing of it could be read.
    pub unread: Option<String>,
}

/// What is kept in memory of the past, by environment.
#[derive(Default)]
pub struct Pasts(Mutex<HashMap<EnvironmentId, Kept>>);

/// The past, the state that it is of, and since when it is kept. Whoever holds it reads for all who wait.
type Kept = Arc<Turn<Option<(Seq, Stopwatch, Arc<Past>)>>>;

impl Pasts {
    /// Returns the past of an environment in that state; it is read from the disk once when something was recorded since. Where it
    /// cannot be read, it says so: how things are now is known without it.
    pub(super) async fn of(&self, app: &Arc<App>, id: &EnvironmentId, state: &Environment) -> Arc<Past> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default().clone();
        let mut kept = kept.lock().await;
        if let Some((seq, since, past)) = &*kept
            && *seq >= state.seq()
            && (past.unread.is_none() || since.elapsed() < RETRY)
        {
            return past.clone();
        }
        let past = match records(app, id, (RECENT, RECENT_BYTES)).await {
            Ok(read) => past(&read, state),
            Err(problem) => {
                tracing::warn!(environment = %id, why = problem.detail(), "the past of {id} cannot be read");
                Past { unread: Some(problem.detail().to_owned()), ..Past::default() }
            }
        };
        let past = Arc::new(past);
        *kept = Some((state.seq(), Stopwatch::start(), past.clone()));
        past
    }
}

fn past(LastRecords { records, more }: &LastRecords, state: &Environment) -> Past {
    let told = telling::stories(records.iter().map(|r| (r.at, &r.by, &r.event)), state);
    let active = state.active().map(|d| d.number);
    let current = match active {
        Some(number) => told.iter().find(|story| story.number == number),
        None => told.last(),
    };
    let current = current.map(|story| (shown(story.clone(), state), steps(records, story)));
    let live = told.iter().rev().find(|story| story.live.is_some());
    let (mut cut_over, mut stood_up) = (None, None);
    if let Some(steps) = live.map(|story| steps(records, story)) {
        let took = |what: StepWhat| steps.iter().find(|step| step.what == what).and_then(|step| step.took);
        cut_over = took(StepWhat::CutOver);
        stood_up = took(StepWhat::Provision).zip(took(StepWhat::Check)).map(|(one, other)| one + other);
    }
    let deployments = told.into_iter().rev().take(PAST).map(|story| shown(story, state)).collect();
    Past { current, deployments, cut_over, stood_up, more: *more, unread: None }
}

impl Step {
    /// Whether somebody is at work on it.
    pub(super) fn is_now(&self) -> bool {
        self.state == StepState::Now
    }
}
