//! People and their sessions: who is signed in where, and the end of it. Must not change who may what: the command line does that.

use std::sync::Arc;

use axum::{Json, body::Bytes, extract::State};

use super::{
    App, Problem,
    authentication::Peer,
    blocking::blocking,
    door, requests,
    responses::{DoneAtTheDoor, Me, Noted, Notes, People},
    view_of_people as view,
};
use crate::access::{
    Caller,
    audit::{self, Act},
    sessions::{self, Session},
};

/// How many lines of the record are shown.
const LINES: usize = 100;

/// Everybody who is known by name, and where they are signed in
#[utoipa::path(
    get, path = "/v1/people", tag = "access",
    responses((status = 200, description = "Users, and whoever else is signed in", body = People)),
)]
pub(super) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<People>, Problem> {
    Ok(Json(view::people(&app, &caller).await?))
}

/// End all sessions of a person
///
/// They sign in again, as far as they still may: `pointsman user remove` and `pointsman user password` see to that.
#[utoipa::path(
    post, path = "/v1/people/sign-out", tag = "access",
    request_body(content = requests::Named, content_type = "application/json"),
    responses(
        (status = 200, description = "None of their sessions goes on", body = DoneAtTheDoor),
        (status = 404, description = "Nobody of this name is known, or signed in", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 507, description = "It cannot be written down", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn sign_out(
    State(app): State<Arc<App>>,
    caller: Caller,
    peer: Peer,
    body: Bytes,
) -> Result<Json<DoneAtTheDoor>, Problem> {
    let requests::Named { name } = requests::read(&body)?;
    let (by, now) = (name.clone(), app.clock.host());
    let ended = door::noted(&app, (&caller.by, peer, Act::SignedOutEverywhere), move |app| {
        let ended = app.access.sessions().end(|session| session.holder.is(&by)).map_err(unwritten)?;
        // Only now: the sessions of somebody can be ended also while the users cannot be read.
        if ended == 0 && app.access.people(now)?.iter().all(|person| *person.name != *by) {
            let shown: String = by.chars().filter(|c| !c.is_control()).take(90).collect();
            let why = format!("nobody called {shown} is known here or signed in; `GET /v1/people` lists them");
            return Err(Problem::not_found(&why));
        }
        Ok((ended, Some(by)))
    });
    let ended = ended.await??;
    let sessions = if ended == 1 { "1 session".to_owned() } else { format!("{ended} sessions") };
    Ok(Json(DoneAtTheDoor { said: format!("{sessions} of `{name}` ended"), name }))
}

/// Who asks, what they may, and where else they are signed in
#[utoipa::path(
    get, path = "/v1/me", tag = "access",
    responses((status = 200, description = "The one who asks", body = Me)),
)]
pub(super) async fn me(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Me>, Problem> {
    Ok(Json(view::me(&app, &caller).await?))
}

/// End one of one's own sessions
#[utoipa::path(
    post, path = "/v1/me/sessions/end", tag = "access",
    request_body(content = requests::OwnSession, content_type = "application/json"),
    responses(
        (status = 200, description = "It has ended", body = DoneAtTheDoor),
        (status = 404, description = "It is none of the caller's, or has ended", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 507, description = "It cannot be written down", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn end_own(
    State(app): State<Arc<App>>,
    caller: Caller,
    peer: Peer,
    body: Bytes,
) -> Result<Json<DoneAtTheDoor>, Problem> {
    let requests::OwnSession { id } = requests::read(&body)?;
    let (by, wanted) = (caller.by.clone(), id.clone());
    let own = move |session: &Session| session.holder.is(&by) && session.digest.id() == wanted;
    let ended = door::noted(&app, (&caller.by, peer, Act::SignedOut), move |app| {
        let ended = app.access.sessions().end(own).map_err(unwritten)?;
        Ok::<_, Problem>((ended, (ended > 0).then(|| "another session".to_owned())))
    });
    if ended.await?? == 0 {
        return Err(Problem::not_found("there is no such session of yours, or not any more (`GET /v1/me` lists them)"));
    }
    Ok(Json(DoneAtTheDoor { said: "the session ended".to_owned(), name: caller.by.to_string() }))
}

/// What was done to the doors
///
/// The last hundred sign-ins, sign-outs and changes of users and tokens, the newest first; all of them stand in `state/audit`.
#[utoipa::path(
    get, path = "/v1/audit", tag = "access",
    responses((status = 200, description = "The newest first", body = Notes)),
)]
pub(super) async fn notes(State(app): State<Arc<App>>) -> Result<Json<Notes>, Problem> {
    Ok(Json(Notes { notes: noted(&app, LINES).await? }))
}

/// Reads the last lines of the record.
pub(super) async fn noted(app: &Arc<App>, most: usize) -> Result<Vec<Noted>, Problem> {
    let reading = app.clone();
    let read = blocking(move || audit::last(reading.access.state(), most)).await?;
    let lines = read.map_err(|error| Problem::new(503, format!("the audit record cannot be read: {error}")))?;
    // What a crash tore says so itself, and is nothing for a table.
    Ok(lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed over")]
fn unwritten(error: sessions::Error) -> Problem {
    Problem::new(507, format!("{error}; the sessions go on"))
}
