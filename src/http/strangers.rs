//! Adopting a stack that bears our mark and that the journal does not know. It is a deployment like others: recorded here, done
//! by the runner.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
};

use super::{
    App, Problem,
    blocking::blocking,
    deploy::{self, Recorded},
    idempotency::Key,
    place::Place,
    requests,
    responses::Accepted,
};
use crate::{
    access::Caller,
    journal::NotRecorded,
    machine::{Adopts, Ask, Number, Refusal, Release, StackName},
    pipelines::{EnvironmentDefinition, release},
    telling,
};

/// Make a stack live that the journal does not know
///
/// For a stranger, as after an older journal was put back: it becomes the candidate of a deployment with its own number, which
/// checks it and gives it the traffic as it is; nothing is stood up. What is live now is the way back then. While something
/// else is queued or under way it is refused. A stranger that fails is left as it is, and is a stranger again.
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/stacks/adopt", tag = "acting", params(Place),
    request_body(content = requests::AdoptStack, content_type = "application/json"),
    responses(
        (status = 202, description = "It is recorded", body = Accepted, headers(("location" = String, description = "The deployment"))),
        (status = 409, description = "It is not a stranger, something else is under way, its release is vetoed, or the `Idempotency-Key` was used before", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 422, description = "Its provider does not keep what it was made from, and the version is not said", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 428, description = "The body does not name the stack", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 503, description = "Its provider cannot be asked now", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 507, description = "Its definition cannot be kept, since the disk is full", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn adopt(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    caller: Caller,
    given: Key,
    body: Bytes,
) -> Result<Recorded, Problem> {
    let definition = place.find(&app)?;
    let id = &definition.id;
    let asked: requests::AdoptStack = requests::read(&body)?;
    let number =
        asked.number.map(Number).ok_or_else(|| Problem::new(428, "name the stack you mean: {\"number\": N}"))?;
    let version = asked.version.as_deref().map(|version| requests::named("version", version)).transpose()?;
    let reason = requests::reason(asked.reason.as_ref())?;
    let before = app.journal.state(id);
    let otherwise = || format!("adopt stack {id} {number} {}", before.seq().0);
    let key = given.of_deployment(&id.pipeline, &format!("stranger:{id}:{}", caller.by), otherwise, &body);
    let command = |release| {
        let plan = definition.plan.clone();
        Ask::AdoptStranger { number, key, release, plan }.because(Some(reason.clone()))
    };
    // What is refused whatever the stack runs needs no look at it.
    if let Err(refusal) = before.command(&command(Release::draft("")), &caller.by) {
        return refused(&app, &definition, refusal);
    }
    let release = made_from(&app, &definition, number, version).await?;
    match app.journal.command(id, &caller.by, app.clock.now(), command(release)).await {
        Err(NotRecorded::Refused(refusal)) => refused(&app, &definition, refusal),
        recorded => deploy::deployment(&app, id, &before, recorded),
    }
}

/// The same for what was recorded before, or is not granted, with what strangers there are.
fn refused(app: &App, definition: &EnvironmentDefinition, refusal: Refusal) -> Result<Recorded, Problem> {
    let (id, state) = (&definition.id, app.journal.state(&definition.id));
    if let Refusal::Duplicate(number) = refusal {
        return Ok(deploy::known(&state, id, number));
    }
    let there_are = telling::strangers(id, &state, &app.board.sight(id).outlook());
    Err(Problem::refused(id, NotRecorded::Refused(refusal)).and(&there_are))
}

/// What the stack runs: as its provider keeps it, or as far as the person says.
async fn made_from(
    app: &App,
    definition: &EnvironmentDefinition,
    number: Number,
    version: Option<Arc<str>>,
) -> Result<Release, Problem> {
    let (id, name) = (&definition.id, StackName { environment: definition.id.clone(), number });
    if app.board.sight(id).stacks.iter().all(|stack| stack.number != number) {
        let why = format!("stack {number} of {id} was not seen at the last look, so it is not adopted");
        return Err(Problem::new(409, format!("{why} (what there is: `pointsman stack list {id}`)")));
    }
    let made = app.instances.made_from(&name).await.map_err(|why| {
        let status = if why.is_refusal() { 409 } else { 503 };
        let (what, again) =
            (format!("stack {number} of {id} is not adopted: {why}"), format!("`pointsman stack list {id}`"));
        Problem::new(status, format!("{what} (what there is: {again})"))
    })?;
    match (made, version) {
        (Some(made), Some(said)) if *said != *made.release.version => {
            let (why, runs) = (format!("stack {number} of {id} does not run version {said}"), &made.release.version);
            let with = format!("pointsman stack adopt {id} {number} --reason TEXT");
            Err(Problem::new(409, format!("{why} but {runs}: leave the version away (`{with}`)")))
        }
        (Some(made), _) => {
            let (frozen, text) = (app.frozen.clone(), made.definition);
            let kept = blocking(move || frozen.freeze(&text)).await?;
            let digest = kept.map_err(|error| Problem::new(507, error.to_string()))?;
            Ok(Release { definition: digest, ..made.release })
        }
        (None, Some(version)) => {
            let adopts = Adopts { stack: name.to_string().into(), output: None };
            Ok(release::adopted(definition, adopts, version))
        }
        (None, None) => {
            let driver = &definition.stack.driver;
            let why = format!("the driver {driver:?} does not keep what stack {number} was made from");
            let with = format!("pointsman stack adopt {id} {number} --version VERSION --reason TEXT");
            Err(Problem::new(422, format!("{why}, so say which version it runs: `{with}`")))
        }
    }
}
