//! One deployment whole: who asked for what and why, its steps with what each took, how it ended, and its records. And what the
//! last deployments of an environment took, kept in memory as long as nothing new is recorded there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
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
};
use crate::{
    journal::Record,
    machine::{Environment, EnvironmentId, Event, Number, Plan, Seq},
    telling::{self, Step, StepState},
};

/// How many records are read for it at most.
const MOST: usize = 10_000;
/// How many deployments of the past are told with an environment.
const PAST: usize = 10;

/// One deployment whole.
#[derive(Serialize, ToSchema)]
pub(super) struct Whole {
    #[schema(example = "shop/prod")]
    pub environment: String,
    pub deployment: PastDeployment,
    /// What it did and does, in its order.
    pub steps: Vec<Step>,
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
    let records = records(app, id).await?;
    let state = app.journal.state(id);
    let told = telling::stories(records.iter().map(|r| (r.at, &r.by, &r.event)), &state);
    let told = told.into_iter().find(|story| story.number == number);
    let unknown = || {
        let why = format!("deployment {number} of {id} is unknown, or longer ago than its last {MOST} records");
        Problem::not_found(&format!("{why}; `pointsman history {id}` shows the last ones"))
    };
    let deployment = shown(told.ok_or_else(unknown)?, &state);
    let steps = steps(&records, number);
    let own = |record: &Record| telling::deployment_of(&record.event) == Some(number);
    Ok(Whole { environment: id.to_string(), deployment, steps, records: records.into_iter().filter(own).collect() })
}

async fn records(app: &Arc<App>, id: &EnvironmentId) -> Result<Vec<Record>, Problem> {
    let (journal, id) = (app.journal.clone(), id.clone());
    reading(move || journal.history(Some(&id), MOST)).await
}

fn steps(records: &[Record], number: Number) -> Vec<Step> {
    let own = || records.iter().filter(|record| telling::deployment_of(&record.event) == Some(number));
    let plan: Option<&Plan> = own().find_map(|record| match &record.event {
        Event::Accepted { plan, .. } => Some(&**plan),
        _ => None,
    });
    // A cold rollback is accepted by the record of the deployment that it takes back.
    let cold = records.iter().find_map(|record| match &record.event {
        Event::ColdRollbackQueued { by, plan, .. } if *by == number => Some((record, &**plan)),
        _ => None,
    });
    let first = cold.map(|(record, _)| record);
    let Some(plan) = plan.or(cold.map(|(_, plan)| plan)) else { return Vec::new() };
    telling::rail(plan, first.into_iter().chain(own()).map(|record| (record.at, &record.event)))
}

/// What the last deployments of an environment did, and took.
#[derive(Default)]
pub(super) struct Past {
    /// The last ones, newest first.
    pub deployments: Vec<PastDeployment>,
    /// The steps of the one under way, or of the last one.
    pub steps: Vec<Step>,
    /// How long the last cutover took, in milliseconds.
    pub cut_over: Option<u64>,
    /// How long it took at last until a stack was up and checked, in milliseconds.
    pub stood_up: Option<u64>,
}

/// What is kept in memory of the past, by environment.
#[derive(Default)]
pub struct Pasts(Mutex<HashMap<EnvironmentId, Kept>>);

/// The past and the state that it is of. Whoever holds it reads for all who wait.
type Kept = Arc<Turn<Option<(Seq, Arc<Past>)>>>;

impl Pasts {
    /// Returns the past of an environment in that state; it is read from the disk once when something was recorded since.
    pub(super) async fn of(
        &self,
        app: &Arc<App>,
        id: &EnvironmentId,
        state: &Environment,
    ) -> Result<Arc<Past>, Problem> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default().clone();
        let mut kept = kept.lock().await;
        if let Some((seq, past)) = &*kept
            && *seq >= state.seq()
        {
            return Ok(past.clone());
        }
        let past = Arc::new(past(&records(app, id).await?, state));
        *kept = Some((state.seq(), past.clone()));
        Ok(past)
    }
}

fn past(records: &[Record], state: &Environment) -> Past {
    let told = telling::stories(records.iter().map(|r| (r.at, &r.by, &r.event)), state);
    let last = state.active().map(|d| d.number).or(told.last().map(|story| story.number));
    let (mut cut_over, mut stood_up) = (None, None);
    for number in told.iter().rev().filter(|story| story.live.is_some()).map(|story| story.number).take(1) {
        let steps = steps(records, number);
        let took = |name: &str| steps.iter().find(|step| step.name == name).and_then(|step| step.took);
        cut_over = took("Cut over");
        stood_up = took("Provision").zip(took("Check")).map(|(one, other)| one + other);
    }
    Past {
        steps: last.map(|number| steps(records, number)).unwrap_or_default(),
        deployments: told.into_iter().rev().take(PAST).map(|story| shown(story, state)).collect(),
        cut_over,
        stood_up,
    }
}

impl Step {
    /// Whether somebody is at work on it.
    pub(super) fn is_now(&self) -> bool {
        self.state == StepState::Now
    }
}
