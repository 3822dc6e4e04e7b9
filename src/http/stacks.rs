//! The stacks of an environment as their provider shows them: those that the journal knows, and strangers, which a person may
//! end.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, Problem, act::record_plain, deploy::Recorded, place::Place, requests, responses::Done};
use crate::{
    access::Caller,
    machine::{self, Ask, Condition, EnvironmentId, Health, Number},
    runner::Sight,
    telling,
    text::format_time,
};

/// What a stack is to its environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Part {
    /// It has the traffic.
    Live,
    /// It is kept warm for a rollback.
    Standby,
    /// A deployment brings it up.
    Candidate,
    /// It is being torn down.
    Retiring,
    /// It bears our mark, and the journal does not know it.
    Stranger,
    /// It was to be adopted and was let go: it is not ours.
    LetGo,
    /// The journal has not caught up with it yet.
    Unaccounted,
}

/// A stack as its provider shows it.
#[derive(Serialize, ToSchema)]
struct StackThere {
    /// The deployment that made it.
    number: u32,
    #[schema(example = "shop-prod-7")]
    name: String,
    part: Part,
    /// The version that it runs, where the journal knows it.
    #[schema(required)]
    version: Option<String>,
    driver: String,
    condition: Condition,
    health: Health,
    /// When it was made, where its provider tells.
    #[schema(required)]
    made: Option<String>,
    /// Where it serves: its addresses, or the one thing of its provider that stands for them.
    #[schema(example = json!(["127.0.0.1:20001"]))]
    endpoints: Vec<String>,
    /// The front sends users to it; null when the front did not answer at the last look.
    #[schema(required)]
    reached: Option<bool>,
    /// Remark on what stands out.
    #[schema(required)]
    remark: Option<String>,
}

/// The stacks of an environment.
#[derive(Serialize, ToSchema)]
pub(super) struct Stacks {
    #[schema(example = "shop/prod")]
    environment: String,
    /// When they were so, as their provider showed them last; null when it has not since the controller started.
    #[schema(required)]
    looked: Option<String>,
    stacks: Vec<StackThere>,
}

/// The stacks of an environment
///
/// All that its provider shows with our mark: those that the journal knows, with their part, and strangers, which it does not
/// know: they are left alone until somebody ends them.
#[utoipa::path(
    get, path = "/v1/environments/{pipeline}/{environment}/stacks", tag = "looking", params(Place),
    responses((status = 200, description = "As they were at the last look", body = Stacks)),
)]
pub(super) async fn stacks(State(app): State<Arc<App>>, Path(place): Path<Place>) -> Result<Json<Stacks>, Problem> {
    let definition = place.find(&app)?;
    let (state, sight) = (app.journal.state(&definition.id), app.board.sight(&definition.id));
    let of = |stack: &crate::runner::StackSight| StackThere {
        number: stack.number.0,
        name: machine::StackName { environment: definition.id.clone(), number: stack.number }.to_string(),
        part: part(&state, stack.number),
        version: state.release_of(stack.number).map(|release| release.version.to_string()),
        driver: definition.stack.driver.clone(),
        condition: stack.condition,
        health: stack.health,
        made: stack.made.map(format_time),
        endpoints: stack.reach.words(),
        reached: sight.traffic.map(|traffic| traffic.reaches(stack.number)),
        remark: stack.remark.clone(),
    };
    Ok(Json(Stacks {
        environment: definition.id.to_string(),
        looked: sight.seen.stacks.map(format_time),
        stacks: sight.stacks.iter().map(of).collect(),
    }))
}

fn part(state: &machine::Environment, number: Number) -> Part {
    match () {
        () if state.live().is_some_and(|s| s.number == number) => Part::Live,
        () if state.standby().is_some_and(|s| s.stack.number == number) => Part::Standby,
        () if state.active().is_some_and(|d| d.number == number) => Part::Candidate,
        () if state.retiring().iter().any(|r| r.number == number) => Part::Retiring,
        () if state.unknown_stacks().any(|n| n == number) => Part::Stranger,
        () if state.strangers().contains(&number) => Part::LetGo,
        () => Part::Unaccounted,
    }
}

/// End a stack that the journal does not know
///
/// For a stack that bears our mark and is a stranger, as after an older journal was put back. It is torn down once a fresh look
/// shows that the front does not send users to it and its last requests are answered. What is live, a standby, a candidate, or
/// what the front serves is refused.
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/stacks/retire", tag = "acting", params(Place),
    request_body(content = requests::RetireStack, content_type = "application/json"),
    responses(
        (status = 200, description = "It is recorded", body = Done),
        (status = 409, description = "It is not a stranger, or users are sent to it", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 428, description = "The body does not name the stack", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn retire(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    caller: Caller,
    body: Bytes,
) -> Result<Recorded, Problem> {
    let id = &place.find(&app)?.id;
    let asked: requests::RetireStack = requests::read(&body)?;
    let number = asked.number.ok_or_else(|| Problem::new(428, "name the stack you mean: {\"number\": N}"))?;
    let reason = requests::reason(asked.reason.as_ref())?;
    let (state, sight) = (app.journal.state(id), app.board.sight(id));
    served(id, &state, &sight, Number(number))?;
    let recorded = record_plain(&app, id, &caller, Ask::DismissStranger(Number(number), reason)).await;
    recorded.map_err(|problem| problem.and(&telling::strangers(id, &state, &sight.outlook())))
}

/// Refuses what users are sent to now. A later look decides all the same: this only says it at once.
fn served(id: &EnvironmentId, state: &machine::Environment, sight: &Sight, number: Number) -> Result<(), Problem> {
    let stranger = state.unknown_stacks().any(|n| n == number);
    if !stranger || !sight.traffic.is_some_and(|traffic| traffic.reaches(number)) {
        return Ok(());
    }
    let next = match state.live() {
        Some(_) => {
            format!("the front is being sent to what is live (`pointsman why {id}`); ask again when that is done")
        }
        None => format!(
            "deploy first, so that users have another one (`pointsman deploy {id} --version VERSION --artifact ARTIFACT`)"
        ),
    };
    Err(Problem::new(409, format!("users are sent to stack {number} of {id} now, so it is not ended: {next}")))
}
