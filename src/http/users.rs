//! Local users: added, given other grants, let choose a password, and removed by admins. The same file as `pointsman user` keeps.
//! Must not know a password.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};

use super::{
    App, Problem,
    authentication::Peer,
    door, requests,
    responses::{DoneAtTheDoor, MadeUser},
};
use crate::access::{
    self, Caller, Grant, Refused,
    audit::Act,
    kept,
    links::Purpose,
    password::PasswordHash,
    users::{User, leaves_an_admin},
};

/// The most users that are made here: a file that grows without end would be refused as a whole one day.
const MOST: usize = 1_000;

/// Add a user
///
/// The answer has a link by which they choose a password. A token adds no user: it takes a person who is signed in, or the local
/// token.
#[utoipa::path(
    post, path = "/v1/people/add", tag = "access",
    request_body(content = requests::Granted, content_type = "application/json"),
    responses(
        (status = 201, description = "They are added", body = MadeUser),
        (status = 409, description = "There is one of this name, or there are too many", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 507, description = "It cannot be written down", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    peer: Peer,
    body: Bytes,
) -> Result<Response, Problem> {
    let (name, grants) = granted(&body)?;
    by_a_person(&caller)?;
    let may = words(&grants);
    let (password, created) = (PasswordHash::nobody().clone(), app.clock.host());
    let user = User { name: name.clone(), password, grants, created };
    let (row, said) = (user.clone(), format!("{name}: {may}"));
    let added = door::noted(&app, (&caller.by, peer, Act::UserAdded), move |app| {
        kept::edit(app.access.state(), |users: &mut Vec<User>| match users.len() >= MOST {
            true => Err(kept::Error::TooMany { kind: "user", most: MOST }),
            false => kept::push(users, row),
        })?;
        Ok::<_, kept::Error>(((), Some(said)))
    });
    added.await??;
    linked(&app, &user, may)
}

/// Make a link by which a user chooses another password
///
/// Their password stays until they use it. It is good once, for a day, and as long as their grants stay.
#[utoipa::path(
    post, path = "/v1/people/password", tag = "access",
    request_body(content = requests::Named, content_type = "application/json"),
    responses(
        (status = 201, description = "It is made", body = MadeUser),
        (status = 404, description = "There is no user of this name", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 507, description = "It cannot be written down", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn password(
    State(app): State<Arc<App>>,
    caller: Caller,
    peer: Peer,
    body: Bytes,
) -> Result<Response, Problem> {
    let requests::Named { name } = requests::read(&body)?;
    by_a_person(&caller)?;
    let found = door::noted(&app, (&caller.by, peer, Act::PasswordLinkMade), move |app| {
        let user = kept::read::<User>(app.access.state())?.into_iter().find(|user| *user.name == *name);
        let user = user.ok_or_else(|| kept::Error::Missing { kind: "user", name: name.clone() })?;
        Ok::<_, kept::Error>((user, Some(name)))
    });
    let user = found.await??;
    let may = words(&user.grants);
    linked(&app, &user, may)
}

/// Change what a user may do
///
/// All their sessions end. The last user who is admin everywhere stays one.
#[utoipa::path(
    post, path = "/v1/people/grant", tag = "access",
    request_body(content = requests::Granted, content_type = "application/json"),
    responses(
        (status = 200, description = "It holds from now on", body = DoneAtTheDoor),
        (status = 404, description = "There is no user of this name", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 409, description = "They are the last admin", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 507, description = "It cannot be written down", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn grant(
    State(app): State<Arc<App>>,
    caller: Caller,
    peer: Peer,
    body: Bytes,
) -> Result<Json<DoneAtTheDoor>, Problem> {
    let (name, grants) = granted(&body)?;
    by_a_person(&caller)?;
    let said = format!("{name}: {}", words(&grants));
    let (changed, note) = (name.clone(), said.clone());
    let done = door::noted(&app, (&caller.by, peer, Act::GrantsSet), move |app| {
        kept::edit(app.access.state(), |users: &mut Vec<User>| {
            let before = users.clone();
            let user = users.iter_mut().find(|user| user.name == changed);
            let missing = || kept::Error::Missing { kind: "user", name: changed.to_string() };
            user.ok_or_else(missing)?.grants = grants;
            leaves_an_admin(&before, users, &changed)
        })?;
        Ok::<_, kept::Error>(((), Some(note)))
    });
    done.await??;
    Ok(Json(DoneAtTheDoor { said: format!("{said}; all their sessions have ended"), name: name.to_string() }))
}

/// Remove a user
///
/// All their sessions end. The last user who is admin everywhere stays.
#[utoipa::path(
    post, path = "/v1/people/remove", tag = "access",
    request_body(content = requests::Named, content_type = "application/json"),
    responses(
        (status = 200, description = "They cannot sign in any more", body = DoneAtTheDoor),
        (status = 404, description = "There is no user of this name", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 409, description = "They are the last admin", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 507, description = "It cannot be written down", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    peer: Peer,
    body: Bytes,
) -> Result<Json<DoneAtTheDoor>, Problem> {
    let requests::Named { name } = requests::read(&body)?;
    let removed = name.clone();
    let done = door::noted(&app, (&caller.by, peer, Act::UserRemoved), move |app| {
        kept::edit(app.access.state(), |users: &mut Vec<User>| {
            let before = users.clone();
            kept::take(users, &removed)?;
            leaves_an_admin(&before, users, &removed)
        })?;
        Ok::<_, kept::Error>(((), Some(removed)))
    });
    done.await??;
    let said = format!("`{name}` cannot sign in any more, and all their sessions have ended");
    Ok(Json(DoneAtTheDoor { said, name }))
}

/// Reads a name and grants.
fn granted(body: &[u8]) -> Result<(Arc<str>, Arc<[Grant]>), Problem> {
    let requests::Granted { name, grants } = requests::read(body)?;
    let name = access::name(&name).map_err(|why| Problem::new(400, &*why).about("name", why))?;
    let bad = |why: String| Problem::new(400, &*why).about("grants", why);
    let grants: Vec<Grant> = grants.iter().map(|grant| grant.parse()).collect::<Result<_, _>>().map_err(bad)?;
    if grants.is_empty() {
        return Err(bad("`grants` is empty: name a role, for example \"deployer=shop\"".to_owned()));
    }
    Ok((name, grants.into()))
}

/// Whoever has a token could make it live on in a user.
fn by_a_person(caller: &Caller) -> Result<(), Refused> {
    match caller.token() {
        Some(_) => Err(Refused::NotByToken { by: caller.by.clone() }),
        None => Ok(()),
    }
}

fn words(grants: &[Grant]) -> String {
    grants.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Answers with a link to choose a password.
fn linked(app: &App, user: &User, may: String) -> Result<Response, Problem> {
    let code = app.access.link_to_choose(user, app.clock.host());
    let code = code.map_err(|error| Problem::new(503, format!("the system has no random numbers: {error}")))?;
    let link = format!("{}?code={code}", Purpose::CHOOSE);
    let made = MadeUser { name: user.name.to_string(), may, link };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(made)).into_response())
}
