//! What people ask for: each names the deployment it means, and may say what it was shown.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
};

use super::{
    App, Problem,
    again::Key,
    hooks,
    place::{OfDeployment, Place},
    shape::{Accepted, Build, Done},
    shown::{Action, IfMatch, Look},
    wish,
};
use crate::{
    access::Caller,
    intake::{Identity, json, key},
    journal::CommandError,
    machine::{Command, EnvironmentId, Event, GateName, Number, Refusal, ReleaseDraft, Trigger},
    pipelines::{EnvironmentDefinition, release},
};

/// How often a wish is looked at again because the environment moved for reasons of its own.
const LOOKS: usize = 32;

/// Deploy a build
///
/// The first environment of a pipeline takes new builds; the others get releases promoted.
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/deploy", tag = "acting", params(Place),
    request_body(content = Build, content_type = "application/json"),
    responses(
        (status = 202, description = "It is recorded", body = Accepted, headers(("location" = String, description = "The deployment"))),
        (status = 409, description = "The environment takes no builds, the release is vetoed, or the `Idempotency-Key` was used before", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn deploy(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    caller: Caller,
    given: Key,
    body: Bytes,
) -> Result<Response, Problem> {
    let definition = place.find(&app)?;
    let entry = app.pipelines.get(&definition.id.pipeline).and_then(|p| p.entry());
    if entry.is_none_or(|entry| entry.id != definition.id) {
        let why = "only the first environment of a pipeline takes new builds; promote from the one before instead";
        return Err(Problem::new(409, why));
    }
    let build = json::parse(&body).map_err(|e| Problem::new(400, e.to_string()))?;
    // Without a name of its own, two wishes of the same moment are still two when they say different things.
    let otherwise = || format!("{} {}", app.clock.now().0, String::from_utf8_lossy(&body));
    let identity = given.0.as_deref().map_or_else(otherwise, str::to_owned);
    let sender = format!("person:{}", caller.by);
    let key = key(&definition.id.pipeline, &sender, Identity::Delivery(&identity), &body);
    hooks::deploy(&app, &definition, key, build, &caller.by, Trigger::Person).await
}

/// Promote the release that is live in the environment before
///
/// The same frozen release goes live here, not a new build. What it would change is shown by `GET .../changes`, whose
/// `ETag` goes into `If-Match`.
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/promote", tag = "acting", params(Place),
    request_body(content = wish::Promote, content_type = "application/json"),
    responses(
        (status = 202, description = "It is recorded", body = Accepted, headers(("location" = String, description = "The deployment"))),
        (status = 409, description = "It is no longer what was shown (`changed`), there is nothing to promote, or the release is vetoed", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn promote(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    caller: Caller,
    given: Key,
    shown: IfMatch,
    body: Bytes,
) -> Result<Response, Problem> {
    let definition = place.find(&app)?;
    let wish: wish::Promote = wish::read(&body)?;
    wish::reason(wish.reason.as_ref())?;
    let make = |look: &Look| {
        let release = promoted(&app, &definition, look)?;
        if wish.release.is_some_and(|wanted| wanted != release.number) {
            let why = format!("release {} would be promoted now; look again before you confirm", release.number);
            return Err(Problem::new(409, why));
        }
        // Without a key, the next one of this release is another wish as soon as this one is recorded.
        let again = look.state.last_number().next();
        let (sender, identity) = match &given.0 {
            Some(key) => (format!("promotion:{}:{}", definition.id, caller.by), key.to_string()),
            None => ("promotion".to_owned(), format!("promote {} {} {again}", definition.id, release.number)),
        };
        let content: &[u8] = if given.0.is_some() { &body } else { &[] };
        Ok(Command::Deploy {
            key: key(&definition.id.pipeline, &sender, Identity::Delivery(&identity), content),
            order: None,
            release: ReleaseDraft::Existing(release),
            plan: definition.plan.clone(),
            trigger: Trigger::Person,
        })
    };
    record(&app, &definition.id, &caller, (&shown, Action::Promote), make).await
}

/// The release that a promotion to `to` would bring, as it would be there.
pub(super) fn promoted(
    app: &App,
    to: &EnvironmentDefinition,
    look: &Look,
) -> Result<Arc<crate::machine::Release>, Problem> {
    let pipeline = app.pipelines.get(&to.id.pipeline).ok_or_else(Problem::no_environment)?;
    let from = pipeline.before(&to.id);
    let from = from.ok_or_else(|| Problem::new(409, "the first environment has none before it; deploy a build"))?;
    let live = look.before.as_ref().and_then(|before| before.live());
    let live = live.ok_or_else(|| Problem::new(409, format!("nothing is live in {}", from.id)))?;
    let release = release::promoted(pipeline, from, to, &live.release, &app.secrets);
    release.map(Arc::new).map_err(|why| Problem::new(409, why.to_string()))
}

/// Put back what was live before
///
/// Holds the environment and vetoes the release, so that nothing automatic brings it back.
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/rollback", tag = "acting", params(Place),
    request_body(content = wish::Rollback, content_type = "application/json"),
    responses(
        (status = 200, description = "It is recorded: the stack before gets the traffic back", body = Done),
        (status = 202, description = "It is recorded: an earlier release is stood up again", body = Accepted, headers(("location" = String, description = "The deployment"))),
        (status = 409, description = "It is no longer what was shown (`changed`), that deployment is not live, or there is nothing to go back to", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 428, description = "The body does not name the deployment", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn rollback(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    caller: Caller,
    shown: IfMatch,
    body: Bytes,
) -> Result<Response, Problem> {
    let definition = place.find(&app)?;
    let wish: wish::Rollback = wish::read(&body)?;
    let number = wish.number.ok_or_else(|| Problem::new(428, "name the deployment you mean: {\"number\": N}"))?;
    let command = Command::Rollback(Number(number), wish::reason(wish.reason.as_ref())?);
    record(&app, &definition.id, &caller, (&shown, Action::Rollback), |_| Ok(command.clone())).await
}

/// Open the gate that a deployment waits at
#[utoipa::path(
    post, path = "/v1/deployments/{pipeline}/{environment}/{number}/approve", tag = "acting", params(OfDeployment),
    request_body(content = wish::Approve, content_type = "application/json"),
    responses(
        (status = 200, description = "It is recorded", body = Done),
        (status = 409, description = "It is no longer what was shown (`changed`), or does not wait at that gate", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn approve(
    State(app): State<Arc<App>>,
    Path(place): Path<OfDeployment>,
    caller: Caller,
    shown: IfMatch,
    body: Bytes,
) -> Result<Response, Problem> {
    let (definition, number) = place.find(&app)?;
    let wish: wish::Approve = wish::read(&body)?;
    let number = wish::same(number, wish.number)?;
    wish::reason(wish.reason.as_ref())?;
    let named = wish.gate.map(GateName::from);
    let make = |look: &Look| {
        let at = look.state.active().filter(|d| d.number == number).and_then(|d| d.gate());
        // Who does not say which gate means the one that stands now; at none, the answer is the same refusal.
        Ok(Command::Approve(number, named.or(at).unwrap_or(GateName::BeforeCutover)))
    };
    record(&app, &definition.id, &caller, (&shown, Action::Approve), make).await
}

/// Stop a deployment before users see it
#[utoipa::path(
    post, path = "/v1/deployments/{pipeline}/{environment}/{number}/abort", tag = "acting", params(OfDeployment),
    request_body(content = wish::Abort, content_type = "application/json"),
    responses(
        (status = 200, description = "It is recorded", body = Done),
        (status = 409, description = "It is no longer what was shown (`changed`), or is live already", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn abort(
    State(app): State<Arc<App>>,
    Path(place): Path<OfDeployment>,
    caller: Caller,
    shown: IfMatch,
    body: Bytes,
) -> Result<Response, Problem> {
    let (definition, number) = place.find(&app)?;
    let wish: wish::Abort = wish::read(&body)?;
    let command = Command::Abort(wish::same(number, wish.number)?, wish::reason(wish.reason.as_ref())?);
    record(&app, &definition.id, &caller, (&shown, Action::Abort), |_| Ok(command.clone())).await
}

/// Records what is made of a look, if that look shows what the caller was shown. Looks again when the environment moved
/// in between: a step of the controller's own is no reason to refuse.
async fn record(
    app: &App,
    id: &EnvironmentId,
    caller: &Caller,
    (shown, action): (&IfMatch, Action),
    make: impl Fn(&Look) -> Result<Command, Problem>,
) -> Result<Response, Problem> {
    for _ in 0..LOOKS {
        let look = Look::at(app, id);
        let still = shown.still(&look.shown, action);
        let command = match (make(&look), &still) {
            (Ok(command), _) => command,
            // What has changed says more than that it can not be done any more.
            (Err(problem), _) => return Err(still.err().unwrap_or(problem)),
        };
        let said = match still {
            Ok(said) => said,
            // Asked again after it was done: that it was done is what has changed.
            Err(problem) => return known(&look, id, &command, &caller.by).ok_or(problem),
        };
        let expected = said.then(|| look.state.seq());
        match app.journal.command_on(id, &caller.by, app.clock.now(), command, expected).await {
            Ok(accepted) => return Ok(answer(id, accepted.event)),
            Err(CommandError::Moved) => {}
            Err(CommandError::Refused(Refusal::Duplicate(number))) => {
                let now = Look::at(app, id);
                // Somebody else may have asked for the same on the same look: then it has changed for this one.
                let mine = make(&now).ok().and_then(|command| known(&now, id, &command, &caller.by));
                return match (mine, shown.still(&now.shown, action)) {
                    (None, Err(problem)) => Err(problem),
                    (mine, _) => Ok(mine.unwrap_or_else(|| hooks::known(&now.state, id, number))),
                };
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::new(503, "the environment moves too fast to be held against what was shown; ask again"))
}

/// The answer to what this very wish came to, if it was recorded before.
fn known(look: &Look, id: &EnvironmentId, command: &Command, by: &str) -> Option<Response> {
    match look.state.command(command, by) {
        Err(Refusal::Duplicate(number)) => Some(hooks::known(&look.state, id, number)),
        _ => None,
    }
}

/// The same for what nobody is shown before.
pub(super) async fn record_plain(
    app: &App,
    id: &EnvironmentId,
    caller: &Caller,
    command: Command,
) -> Result<Response, Problem> {
    let accepted = app.journal.command(id, &caller.by, app.clock.now(), command).await?;
    Ok(answer(id, accepted.event))
}

fn answer(id: &EnvironmentId, event: Event) -> Response {
    match event {
        Event::Accepted { number, .. } => hooks::answer(id, number, "queued"),
        Event::RollbackWentCold { by, .. } => hooks::answer(id, by, "queued"),
        event => axum::Json(Done { environment: id.to_string(), event }).into_response(),
    }
}
