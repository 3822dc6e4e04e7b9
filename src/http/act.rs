//! What people ask for: each names the deployment it means, and may say what it was shown.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
};

use super::{
    App, Problem,
    deploy::{self, Recorded},
    idempotency::Key,
    place::{OfDeployment, Place},
    requests,
    responses::{Accepted, Done},
    shown::{Action, IfMatch, Look},
};
use crate::{
    access::Caller,
    intake::{Identity, json, key},
    journal::NotRecorded,
    machine::{
        self, Ask, Command, EnvironmentId, Event, GateName, Number, Refusal, ReleaseDraft, Seq, Trigger,
        promotion::{Why, is_reverting},
    },
    telling,
};

/// How often a request is looked at again because the environment moved for reasons of its own.
pub(super) const LOOKS: usize = 32;

/// Deploy a build
///
/// The first environment of a pipeline takes new builds; the others get releases promoted. A build with a number is
/// refused when a newer one was accepted before; without one it is deployed deliberately. With `release`, any environment deploys
/// a release again that it had before: its build, definition and parameters as they were, the secrets of today.
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/deploy", tag = "acting", params(Place, requests::How),
    request_body(content = requests::Build, content_type = "application/json"),
    responses(
        (status = 202, description = "It is recorded", body = Accepted, headers(("location" = String, description = "The deployment"))),
        (status = 422, description = "The stack definition is read from git, and the commit is missing or not named in full", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 409, description = "It is no longer what was shown (`changed`), the environment takes no builds, a newer build was accepted before, the release is vetoed, or the `Idempotency-Key` was used before", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn deploy(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    Query(requests::How { repairs, reason, release }): Query<requests::How>,
    caller: Caller,
    given: Key,
    shown: IfMatch,
    body: Bytes,
) -> Result<Recorded, Problem> {
    let definition = place.find(&app)?;
    let terms = deploy::Terms { repairs, reason: requests::said(reason.as_ref())?, shown, trigger: Trigger::Person };
    let pipeline = &definition.id.pipeline;
    if let Some(release) = release {
        if !matches!(body.trim_ascii(), b"" | b"{}") {
            let why = "with `release`, which deploys a release again as it is, the body must be empty or {}";
            return Err(Problem::new(400, why));
        }
        let sender = format!("again:{}:{}", definition.id, caller.by);
        let key = given.of_deployment(pipeline, &sender, || app.clock.now().0.to_string(), &release.to_be_bytes());
        return deploy::again(&app, &definition, key, release, &caller.by, &terms).await;
    }
    let entry = app.pipelines.get(&definition.id.pipeline).and_then(|p| p.entry());
    if entry.is_none_or(|entry| entry.id != definition.id) {
        let id = &definition.id;
        let why = "only the first environment of a pipeline takes new builds; promote from the one before instead";
        let why = format!("{why} (`pointsman promote {id}`)");
        return Err(Problem::new(409, why));
    }
    let build = json::parse(&body).map_err(|error| {
        let fields = error.fields().iter();
        let problem = Problem::new(400, error.to_string());
        fields.fold(problem, |problem, bad| problem.about(bad.field.clone(), bad.to_string()))
    })?;
    // Without a name of its own, two requests of the same moment are still two when they say different things.
    let otherwise = || format!("{} {}", app.clock.now().0, String::from_utf8_lossy(&body));
    let key = given.of_deployment(pipeline, &format!("person:{}", caller.by), otherwise, &body);
    deploy::deploy(&app, &definition, key, build, &caller.by, &terms).await
}

/// Promote the release that is live in the environment before
///
/// The same frozen release goes live here, not a new build. What it would change is shown by `GET .../changes`, whose
/// `ETag` goes into `If-Match`.
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/promote", tag = "acting", params(Place),
    request_body(content = requests::Promote, content_type = "application/json"),
    responses(
        (status = 202, description = "It is recorded", body = Accepted, headers(("location" = String, description = "The deployment"))),
        (status = 409, description = "It is no longer what was shown (`changed`), there is nothing to promote, it is being rolled back in the environment before, or it is vetoed on either side", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn promote(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    caller: Caller,
    given: Key,
    shown: IfMatch,
    body: Bytes,
) -> Result<Recorded, Problem> {
    let definition = place.find(&app)?;
    let asked: requests::Promote = requests::read(&body)?;
    let reason = requests::said(asked.reason.as_ref())?;
    let make = |look: &Look| {
        let release = look.promoted.clone().map_err(|why| Problem::new(409, why))?;
        if asked.release.is_some_and(|wanted| wanted != release.number) {
            let why = format!("release {} would be promoted now; look again before you confirm", release.number);
            return Err(Problem::new(409, format!("{why} (`pointsman promote {}`)", definition.id)));
        }
        if let Some(wanted) = asked.version.as_deref().filter(|wanted| !release.is_called(wanted)) {
            let name = format!("{} (release {})", release.version, release.number);
            let why = format!("{name} would be promoted to {}, not {}", definition.id, telling::shown(wanted));
            return Err(Problem::new(
                409,
                format!("{why}; nothing was promoted (`pointsman status {}`)", definition.id.pipeline),
            ));
        }
        // Without a key, the next one of this release is another one as soon as this one is recorded.
        let again = look.state.last_number().next();
        let (sender, identity) = match &given.0 {
            Some(key) => (format!("promotion:{}:{}", definition.id, caller.by), key.to_string()),
            None => ("promotion".to_owned(), format!("promote {} {} {again}", definition.id, release.number)),
        };
        let content: &[u8] = if given.0.is_some() { &body } else { &[] };
        let key = key(&definition.id.pipeline, &sender, Identity::Delivery(&identity), content);
        // What was granted before is answered as it was then.
        if let Some(why) = barred(look, release.number).filter(|_| !look.state.knows(&key)) {
            return Err(Problem::new(409, why));
        }
        let command = Ask::Deploy {
            key,
            build_number: None,
            release: ReleaseDraft::Existing(release),
            plan: requests::terms(&definition.plan, asked.repairs == Some(true)),
            trigger: Trigger::Person,
        };
        Ok(command.because(reason.clone()))
    };
    record(&app, &definition.id, &caller, (&shown, Action::Promote), make).await
}

/// Why nobody promotes a release as things are, neither a person nor a rule: what is banned on either side, or is just
/// being taken back where it was tried, goes no further.
pub(super) fn barred(look: &Look, release: u32) -> Option<String> {
    let veto = |state: &machine::Environment| {
        let veto = state.vetoes().iter().find(|veto| veto.release == release)?;
        Some(Refusal::Vetoed(veto.release, veto.reason.clone()).to_string())
    };
    let before = look.before.as_deref();
    if before.is_some_and(is_reverting) {
        return Some(format!("{}; look again when that has ended (`pointsman status`)", Why::RollingBack));
    }
    before.and_then(veto).map(|why| format!("in the environment before, {why}")).or_else(|| veto(&look.state))
}

/// Put back what was live before
///
/// Holds the environment and vetoes the release, so that nothing automatic brings it back.
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/rollback", tag = "acting", params(Place),
    request_body(content = requests::Rollback, content_type = "application/json"),
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
) -> Result<Recorded, Problem> {
    let definition = place.find(&app)?;
    let asked: requests::Rollback = requests::read(&body)?;
    let number = asked.number.ok_or_else(|| Problem::new(428, "name the deployment you mean: {\"number\": N}"))?;
    let command = Command::from(Ask::Rollback(Number(number), requests::reason(asked.reason.as_ref())?));
    let make = |look: &Look| match asked.to.as_deref() {
        Some(to) => {
            let sight = app.board.sight(&definition.id);
            goes_to((&definition.id, number), look, &sight.outlook(), to).map(|()| command.clone())
        }
        None => Ok(command.clone()),
    };
    record(&app, &definition.id, &caller, (&shown, Action::Rollback), make).await
}

/// Refuses a rollback that goes elsewhere than somebody thinks. What is refused for itself is left to the journal.
fn goes_to(
    (id, number): (&EnvironmentId, u32),
    look: &Look,
    seen: &telling::Outlook<'_>,
    wanted: &str,
) -> Result<(), Problem> {
    // What has a share of the users gives them back to what is live.
    let shared = look.state.active().filter(|d| d.number.0 == number && d.ordered_share() > 0);
    let live = look.state.live().filter(|live| shared.is_some() && live.number.0 != number);
    let release = match live {
        Some(live) => Some(live.release.clone()),
        None => telling::way_back(&look.state, seen).map(|back| back.release),
    };
    let Some(release) = release.filter(|release| !release.is_called(wanted)) else { return Ok(()) };
    let to = format!("{} (release {})", release.version, release.number);
    let wanted = telling::shown(wanted);
    let live = look.state.live().is_some_and(|live| live.release.is_called(&wanted));
    let why = match live {
        true => {
            format!("{wanted} is what is live in {id}; a rollback of it goes back to {to}: `pointsman rollback {id}`")
        }
        false => format!(
            "a rollback of {id} goes back to {to}, not to {wanted} (`pointsman history {id}` shows what there was)"
        ),
    };
    Err(Problem::new(409, format!("{why}; nothing was rolled back")))
}

/// Open the gate that a deployment waits at
#[utoipa::path(
    post, path = "/v1/deployments/{pipeline}/{environment}/{number}/approve", tag = "acting", params(OfDeployment),
    request_body(content = requests::Approve, content_type = "application/json"),
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
) -> Result<Recorded, Problem> {
    let (definition, number) = place.find(&app)?;
    let asked: requests::Approve = requests::read(&body)?;
    let number = requests::same(number, asked.number)?;
    let reason = requests::said(asked.reason.as_ref())?;
    let named = asked.gate.map(GateName::from);
    let make = |look: &Look| {
        let at = look.state.active().filter(|d| d.number == number).and_then(|d| d.gate());
        let pinned = look.state.pin().filter(|pin| at.is_some() && look.release_of(number) != Some(*pin));
        if let Some(pin) = pinned {
            let pin = telling::release(&look.state, pin);
            let why = format!(
                "{id} is pinned to {pin}, so deployment {number} would wait on after its approval",
                id = definition.id
            );
            let lift = format!("`pointsman pin {} --lift`", definition.id);
            let abort = format!("`pointsman abort {}`", definition.id);
            return Err(Problem::new(
                409,
                format!("{why}; lift the pin first ({lift}) or abort the deployment ({abort})"),
            ));
        }
        // Who does not say which gate means the one that stands now; at none, the answer is the same refusal.
        let gate = named.or(at).unwrap_or(GateName::BeforeCutover);
        Ok(Ask::Approve(number, gate).because(reason.clone()))
    };
    record(&app, &definition.id, &caller, (&shown, Action::Approve), make).await
}

/// Stop a deployment before users see it
#[utoipa::path(
    post, path = "/v1/deployments/{pipeline}/{environment}/{number}/abort", tag = "acting", params(OfDeployment),
    request_body(content = requests::Abort, content_type = "application/json"),
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
) -> Result<Recorded, Problem> {
    let (definition, number) = place.find(&app)?;
    let asked: requests::Abort = requests::read(&body)?;
    let command =
        Command::from(Ask::Abort(requests::same(number, asked.number)?, requests::reason(asked.reason.as_ref())?));
    record(&app, &definition.id, &caller, (&shown, Action::Abort), |_| Ok(command.clone())).await
}

/// Let a deployment go on before the time is over for which it is watched
///
/// A deployment that has a share of the users gets its next share, or all of them, as soon as it is seen good, and a pause is
/// over; one that is live and watched counts as soon as it is seen good.
#[utoipa::path(
    post, path = "/v1/deployments/{pipeline}/{environment}/{number}/proceed", tag = "acting", params(OfDeployment),
    request_body(content = requests::Proceed, content_type = "application/json"),
    responses(
        (status = 200, description = "It is recorded", body = Done),
        (status = 409, description = "It is no longer what was shown (`changed`), or is not being watched", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn proceed(
    State(app): State<Arc<App>>,
    Path(place): Path<OfDeployment>,
    caller: Caller,
    shown: IfMatch,
    body: Bytes,
) -> Result<Recorded, Problem> {
    let (definition, number) = place.find(&app)?;
    let asked: requests::Proceed = requests::read(&body)?;
    let what = Ask::Proceed(requests::same(number, asked.number)?);
    step(&app, &definition.id, &caller, &shown, what.because(requests::said(asked.reason.as_ref())?)).await
}

/// Keep the share of the users that a deployment has
///
/// Until somebody lets it go on (`proceed`) or aborts it; without an answer in time, what `otherwise` says happens.
#[utoipa::path(
    post, path = "/v1/deployments/{pipeline}/{environment}/{number}/pause", tag = "acting", params(OfDeployment),
    request_body(content = requests::Pause, content_type = "application/json"),
    responses(
        (status = 200, description = "It is recorded", body = Done),
        (status = 409, description = "It is no longer what was shown (`changed`), or has no share of the users", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn pause(
    State(app): State<Arc<App>>,
    Path(place): Path<OfDeployment>,
    caller: Caller,
    shown: IfMatch,
    body: Bytes,
) -> Result<Recorded, Problem> {
    let (definition, number) = place.find(&app)?;
    let asked: requests::Pause = requests::read(&body)?;
    let what = Ask::Pause(requests::same(number, asked.number)?, requests::pause(&asked)?);
    step(&app, &definition.id, &caller, &shown, what.because(requests::said(asked.reason.as_ref())?)).await
}

/// Records what somebody decides at a share of the users, if it is still the share that they were shown.
async fn step(
    app: &App,
    id: &EnvironmentId,
    caller: &Caller,
    shown: &IfMatch,
    command: Command,
) -> Result<Recorded, Problem> {
    record(app, id, caller, (shown, Action::Step), |_| Ok(command.clone())).await
}

/// Records what is made of a look, if that look shows what the caller was shown. Looks again when the environment moved
/// in between: a step of the controller's own is no reason to refuse.
async fn record(
    app: &App,
    id: &EnvironmentId,
    caller: &Caller,
    (shown, action): (&IfMatch, Action),
    make: impl Fn(&Look) -> Result<Command, Problem>,
) -> Result<Recorded, Problem> {
    for _ in 0..LOOKS {
        let look = Look::at(app, id);
        let still = shown.still(&look.shown, action);
        let command = match (make(&look), &still) {
            (Ok(command), _) => command,
            // What has changed says more than that it cannot be done any more.
            (Err(problem), _) => return Err(still.err().unwrap_or(problem)),
        };
        let said = match still {
            Ok(said) => said,
            // Asked again after it was done: that it was done is what has changed.
            Err(problem) => return known(&look, id, &command, &caller.by).ok_or(problem),
        };
        let looked_at = if said { look.at_which(app, id, action) } else { Vec::new() };
        match app.journal.command_on(id, &caller.by, app.clock.now(), command, &looked_at).await {
            Ok(accepted) => return Ok(answer(id, &look.state, accepted.event)),
            Err(NotRecorded::Moved) => {}
            Err(NotRecorded::Refused(Refusal::Duplicate(number))) => {
                let now = Look::at(app, id);
                // Somebody else may have asked for the same on the same look: then it has changed for this one.
                let mine = make(&now).ok().and_then(|command| known(&now, id, &command, &caller.by));
                return match (mine, shown.still(&now.shown, action)) {
                    (None, Err(problem)) => Err(problem),
                    (mine, _) => Ok(mine.unwrap_or_else(|| deploy::known(&now.state, id, number))),
                };
            }
            Err(error) => return Err(Problem::refused(id, error)),
        }
    }
    Err(too_fast(id))
}

/// The environment moved again at each look.
pub(super) fn too_fast(id: &EnvironmentId) -> Problem {
    let why = "the environment moves too fast to be held against what was shown; ask again";
    Problem::new(503, format!("{why} (`pointsman status {id}`)"))
}

impl Look {
    fn release_of(&self, number: Number) -> Option<u32> {
        self.state.release_of(number).map(|release| release.number)
    }

    /// The states that `action` is decided on.
    pub(super) fn at_which(&self, app: &App, id: &EnvironmentId, action: Action) -> Vec<(EnvironmentId, Seq)> {
        let before = app.pipelines.get(&id.pipeline).and_then(|p| p.before(id)).map(|before| before.id.clone());
        let before = before.zip(self.before.as_ref()).filter(|_| matches!(action, Action::Promote));
        let before = before.map(|(before, state)| (before, state.seq()));
        before.into_iter().chain([(id.clone(), self.state.seq())]).collect()
    }
}

/// The answer to what this very request came to, if it was recorded before.
fn known(look: &Look, id: &EnvironmentId, command: &Command, by: &str) -> Option<Recorded> {
    match look.state.command(command, by) {
        Err(Refusal::Duplicate(number)) => Some(deploy::known(&look.state, id, number)),
        _ => None,
    }
}

/// The same for what nobody is shown before.
pub(super) async fn record_plain(
    app: &App,
    id: &EnvironmentId,
    caller: &Caller,
    command: impl Into<Command>,
) -> Result<Recorded, Problem> {
    let before = app.journal.state(id);
    let accepted = app.journal.command(id, &caller.by, app.clock.now(), command).await;
    let accepted = accepted.map_err(|error| Problem::refused(id, error))?;
    Ok(answer(id, &before, accepted.event))
}

/// `before`: how the environment was when it was asked for.
fn answer(id: &EnvironmentId, before: &machine::Environment, event: Event) -> Recorded {
    let said = telling::done(id, before, &event);
    match event {
        Event::Accepted { number, .. } => deploy::answer(id, number, "queued", said),
        Event::ColdRollbackQueued { by, .. } => deploy::mindful(id, by, "queued", (said, telling::one_way(before))),
        event => {
            let goes_back = matches!(event, Event::RollbackRequested { .. } | Event::RevertRequested { .. });
            let one_way = if goes_back { telling::one_way(before) } else { Vec::new() };
            Recorded::Done(Done { environment: id.to_string(), event, said, one_way })
        }
    }
}
