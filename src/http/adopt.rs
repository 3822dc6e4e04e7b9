//! Taking over a stack that somebody else made. It is a deployment like others: recorded here, done by the runner.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
};

use super::{
    App, Problem,
    deploy::{self, Recorded},
    idempotency::Key,
    place::Place,
    requests,
    responses::Accepted,
};
use crate::{
    access::Caller,
    machine::{Adopts, Ask, ReleaseDraft, Trigger},
    pipelines::release,
};

/// Take over a stack that is there already
///
/// For an environment in which nothing is live: the stack that has its traffic today becomes its live stack, by a deployment
/// of its own that checks it and sends the front to where it leads already. Nothing is stood up. Once it was found good it is
/// Pointsman's, which also means that it is torn down when its time is over; an adoption that fails leaves it alone.
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/adopt", tag = "acting", params(Place),
    request_body(content = requests::Adopt, content_type = "application/json"),
    responses(
        (status = 202, description = "It is recorded", body = Accepted, headers(("location" = String, description = "The deployment"))),
        (status = 409, description = "Something is live, queued or under way, or the `Idempotency-Key` was used before", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 422, description = "The driver of its stacks cannot take any over, or the output has to be named", body = super::problem::Told, content_type = "application/problem+json"),
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
    let asked: requests::Adopt = requests::read(&body)?;
    let no_stack = || Problem::new(400, "name the stack you mean: {\"stack\": \"NAME\"}");
    let stack = requests::named("stack", asked.stack.as_deref().ok_or_else(no_stack)?)?;
    let output = asked.output.as_deref().map(|output| requests::named("output", output)).transpose()?;
    let version = asked.version.as_deref().map_or(Ok(stack.clone()), |version| requests::named("version", version))?;
    let reason = requests::said(asked.reason.as_ref())?;
    if let Some(why) = definition.stack.cannot_adopt() {
        let deploy = format!("`pointsman deploy {} --version VERSION --artifact ARTIFACT`", definition.id);
        return Err(Problem::new(
            422,
            format!("{why}; a first deployment needs no adoption: {deploy} goes live beside what was there"),
        ));
    }
    if output.is_none() && definition.stack.file().is_none() {
        let why =
            "the stack definition is in git, so `output` has to say which of the stack's outputs tells where it serves";
        let with = format!("`pointsman adopt {} {stack} --output NAME`", definition.id);
        return Err(Problem::new(422, format!("{why}: {with}")));
    }
    let again = app.journal.state(&definition.id).last_number().next();
    let otherwise = || format!("adopt {} {stack} {again}", definition.id);
    let sender = format!("adoption:{}:{}", definition.id, caller.by);
    let key = given.of_deployment(&definition.id.pipeline, &sender, otherwise, &body);
    let release = release::adopted(&definition, Adopts { stack, output }, version);
    let command = Ask::Deploy {
        key,
        build_number: None,
        release: ReleaseDraft::New(release),
        plan: definition.plan.clone(),
        trigger: Trigger::Person,
    };
    let command = command.because(reason);
    let before = app.journal.state(&definition.id);
    let recorded = app.journal.command(&definition.id, &caller.by, app.clock.now(), command).await;
    deploy::deployment(&app, &definition.id, &before, recorded)
}
