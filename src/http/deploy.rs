//! What becomes of a request for a deployment, whoever makes it: recorded, known from before, superseded or refused. Must not
//! know how the request arrived.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::{
    App, Problem,
    act::{self, LOOKS},
    deployable, requests,
    responses::{self, Done, Ignored},
    shown::{Action, IfMatch, Look},
};
use crate::{
    intake::build::Build,
    journal::{Accepted, NotRecorded},
    machine::{Ask, Command, Environment, EnvironmentId, Event, Key, Number, Refusal, ReleaseDraft, Trigger},
    pipelines::{
        EnvironmentDefinition,
        release::{self, Refused},
    },
    telling,
};

/// What was recorded. The API answers with it as JSON, the page with what is so now.
pub(super) enum Recorded {
    /// A deployment that is on its way, or was recorded before.
    Deployment(responses::Accepted),
    /// Anything else.
    Done(Done),
    /// The build is ignored, for a reason that is not an error.
    Ignored(Ignored),
}

impl IntoResponse for Recorded {
    fn into_response(self) -> Response {
        match self {
            Self::Deployment(accepted) => {
                let location = format!("/v1/deployments/{}", accepted.deployment);
                (StatusCode::ACCEPTED, [(header::LOCATION, location)], axum::Json(accepted)).into_response()
            }
            Self::Done(done) => axum::Json(done).into_response(),
            Self::Ignored(ignored) => axum::Json(ignored).into_response(),
        }
    }
}

/// How something is deployed.
pub(super) struct Terms {
    /// It repairs an incident.
    pub repairs: bool,
    /// The reason, if one was given.
    pub reason: Option<Arc<str>>,
    /// What whoever asks was shown, where they say so.
    pub shown: IfMatch,
    /// Who begins it.
    pub trigger: Trigger,
}

impl Terms {
    /// Returns those of a build that is announced.
    pub(super) fn announced() -> Self {
        Self { repairs: false, reason: None, shown: IfMatch::default(), trigger: Trigger::Build }
    }
}

/// Records a new build; one that was recorded before is answered with its deployment.
pub(super) async fn deploy(
    app: &App,
    entry: &EnvironmentDefinition,
    key: Key,
    build: Build,
    by: &str,
    terms: &Terms,
) -> Result<Recorded, Problem> {
    let pipeline =
        app.pipelines.get(&entry.id.pipeline).ok_or_else(|| Problem::not_found("there is no such pipeline"))?;
    // A number counts whoever says it: build servers deploy by the command line as well. The counts of several jobs say
    // nothing about which build is older; an announced one has lost its number by now.
    let build_number = build.number.filter(|_| terms.trigger == Trigger::Build || pipeline.webhook.jobs.len() <= 1);
    let release = release::of_build(pipeline, entry, &build, &app.secrets);
    let release = match release {
        Ok(release) => ReleaseDraft::New(release),
        Err(why) => {
            let state = app.journal.state(&entry.id);
            // What was recorded before is answered as it was, though the artifact may be gone by now.
            return match state.deployment_of(&key).filter(|_| matches!(why, Refused::Artifact(_))) {
                Some(number) => Ok(known(&state, &entry.id, number)),
                None => Err(refused(&why)),
            };
        }
    };
    let plan = requests::terms(&entry.plan, terms.repairs);
    let command = Ask::Deploy { key, build_number, release, plan, trigger: terms.trigger };
    let before = app.journal.state(&entry.id);
    match recorded(app, &entry.id, by, command.because(terms.reason.clone()), &terms.shown).await? {
        Err(NotRecorded::Refused(Refusal::Duplicate(number))) => {
            Ok(known_build(app, entry, (&key, build_number), number))
        }
        Err(NotRecorded::Refused(Refusal::Stale { build_number, newest })) => {
            let by = app.journal.state(&entry.id).deployment_of_build(newest);
            let by = by.map(|number| format!("{}/{number}", entry.id));
            let named = by.as_ref().map_or_else(String::new, |by| format!(" as {by}"));
            let why = format!("build {build_number} is older than build {newest}, which was accepted before{named}");
            let reset = format!("`pointsman builds reset {} --reason REASON`", entry.id);
            if terms.trigger != Trigger::Build {
                let how = "leave out `build` (`--build`) to deploy it deliberately";
                return Err(Problem::new(409, format!("{why}; {how}; if the job counts from 1 again: {reset}")));
            }
            // No mistake of the build server's: two of its builds ran side by side, and this one took longer.
            tracing::info!(environment = %entry.id, why, "an announced build is superseded");
            let how = "if it is wanted, deploy it by hand, without its number";
            let ignored = format!("superseded: {why}; {how}; if the job counts from 1 again: {reset}");
            Ok(Recorded::Ignored(Ignored { ignored, superseded_by: by }))
        }
        recorded => deployment(app, &entry.id, &before, recorded),
    }
}

/// Records that a release which was here before is deployed again as it is, with the secrets of today.
pub(super) async fn again(
    app: &App,
    definition: &EnvironmentDefinition,
    key: Key,
    number: u32,
    by: &str,
    terms: &Terms,
) -> Result<Recorded, Problem> {
    let id = &definition.id;
    let pipeline = app.pipelines.get(&id.pipeline).ok_or_else(Problem::no_environment)?;
    let look = Look::at(app, id);
    let release = deployable::known(&look.state).get(&number).copied().ok_or_else(|| {
        let why = format!("release {number} is not known in {id}, or is not its own");
        Problem::not_found(&format!("{why}; `pointsman history {id}` shows what there was")).about("release", why)
    })?;
    if let Some(why) = act::barred(&look, number).filter(|_| !look.state.knows(&key)) {
        return Err(Problem::new(409, &*why).about("release", why));
    }
    let release = release::again(pipeline, definition, release, &app.secrets).map_err(|why| refused(&why))?;
    let plan = requests::terms(&definition.plan, terms.repairs);
    let release = ReleaseDraft::Existing(Arc::new(release));
    let command = Ask::Deploy { key, build_number: None, release, plan, trigger: terms.trigger };
    let recorded = recorded(app, id, by, command.because(terms.reason.clone()), &terms.shown).await?;
    deployment(app, id, &look.state, recorded)
}

/// Records a command for a deployment, where what was shown is still so.
async fn recorded(
    app: &App,
    id: &EnvironmentId,
    by: &str,
    command: Command,
    shown: &IfMatch,
) -> Result<Result<Accepted, NotRecorded>, Problem> {
    if shown.is_empty() {
        return Ok(app.journal.command(id, by, app.clock.now(), command).await);
    }
    for _ in 0..LOOKS {
        let look = Look::at(app, id);
        match shown.still(&look.shown, Action::Deploy) {
            Ok(_) => {}
            // Asked again after it was done: that it was done is what has changed.
            Err(problem) => match look.state.command(&command, by) {
                Err(refusal @ Refusal::Duplicate(_)) => return Ok(Err(NotRecorded::Refused(refusal))),
                _ => return Err(problem),
            },
        }
        let looked_at = look.at_which(app, id, Action::Deploy);
        match app.journal.command_on(id, by, app.clock.now(), command.clone(), &looked_at).await {
            Err(NotRecorded::Moved) => {}
            recorded => return Ok(recorded),
        }
    }
    Err(act::too_fast(id))
}

/// The answer to a request for a deployment. One that was recorded before is answered with that.
pub(super) fn deployment(
    app: &App,
    id: &EnvironmentId,
    before: &Environment,
    recorded: Result<Accepted, NotRecorded>,
) -> Result<Recorded, Problem> {
    match recorded {
        // Not the last number of the state: that may be a later one's, made safe by the same flush.
        Ok(Accepted { event: event @ Event::Accepted { number, .. }, .. }) => {
            Ok(answer(id, number, "queued", telling::done(id, before, &event)))
        }
        Ok(other) => Err(Problem::new(500, format!("a deployment was recorded as {:?}; report this", other.event))),
        Err(NotRecorded::Refused(Refusal::Duplicate(number))) => Ok(known(&app.journal.state(id), id, number)),
        Err(error) => Err(Problem::refused(id, error)),
    }
}

fn refused(why: &Refused) -> Problem {
    match why {
        Refused::Parameters(all) => {
            let problem = Problem::new(400, why.to_string());
            all.iter().fold(problem, |problem, (name, why)| problem.about(format!("parameter.{name}"), why))
        }
        Refused::Artifact(_) => Problem::new(422, why.to_string()).about("artifact", why.to_string()),
        Refused::NoCommit(_) | Refused::ShortCommit(_) => {
            Problem::new(422, why.to_string()).about("commit", why.to_string())
        }
    }
}

/// The answer to what was recorded before.
pub(super) fn known(state: &Environment, id: &EnvironmentId, number: Number) -> Recorded {
    let name = state.deployment_state(number).map_or("ended".to_owned(), |(s, _)| s.to_string());
    answer(id, number, &name, String::new())
}

/// The same for a build, by its name or by its number. Who gave it another name is told how it is deployed again.
fn known_build(
    app: &App,
    entry: &EnvironmentDefinition,
    (key, build_number): (&Key, Option<u64>),
    number: Number,
) -> Recorded {
    let (state, id) = (app.journal.state(&entry.id), &entry.id);
    let said = match build_number.filter(|_| state.deployment_of(key).is_none()) {
        Some(build_number) => format!(
            "build {build_number} is deployed already, as {id}/{number}; leave out `build` (`--build`) to deploy it once \
             more"
        ),
        None => String::new(),
    };
    let name = state.deployment_state(number).map_or("ended".to_owned(), |(s, _)| s.to_string());
    answer(id, number, &name, said)
}

/// 202 and where to look.
pub(super) fn answer(id: &EnvironmentId, number: Number, state: &str, said: String) -> Recorded {
    mindful(id, number, state, (said, Vec::new()))
}

/// The same, with what a rollback does not undo.
pub(super) fn mindful(
    id: &EnvironmentId,
    number: Number,
    state: &str,
    (said, one_way): (String, Vec<String>),
) -> Recorded {
    let deployment = format!("{id}/{number}");
    Recorded::Deployment(responses::Accepted { deployment, number: number.0, state: state.to_owned(), said, one_way })
}
