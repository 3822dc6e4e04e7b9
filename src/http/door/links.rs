//! Links that are good once: the first user is added, the holder of the local token comes in, and a user chooses a password. Must
//! not make one.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;

use super::{
    App, Form, Peer, Way, let_in, message, noted,
    page::{Choose, Welcome, render},
    too_many,
};
use crate::access::{
    self, Digest, Grant, Refused, Role,
    audit::Act,
    kept,
    limits::Origin,
    links::Purpose,
    password::{self, PasswordHash},
    users::User,
};

#[derive(Deserialize)]
pub(super) struct Code {
    code: Option<String>,
}

/// Signs the holder of the local token in.
pub(super) async fn enter(
    State(app): State<Arc<App>>,
    method: Method,
    (way, peer): (Way, Peer),
    headers: HeaderMap,
    Query(Code { code }): Query<Code>,
) -> Response {
    let code = code.unwrap_or_default();
    // Who only looks what the link leads to does not use it up.
    let enters = method == Method::GET;
    match redeem(&app, peer, &code, enters) {
        Ok(Purpose::Enter(_)) if !enters => StatusCode::OK.into_response(),
        Ok(Purpose::Enter(name)) => let_in(&app, &way, peer, &headers, app.access.local_holder(&name), "/").await,
        Ok(Purpose::Welcome | Purpose::Choose { .. }) => refused(&Refused::BadLink),
        Err(page) => page,
    }
}

/// Shows the form for the first user.
pub(super) async fn welcome(State(app): State<Arc<App>>, peer: Peer, Query(Code { code }): Query<Code>) -> Response {
    let code = code.unwrap_or_default();
    match redeem(&app, peer, &code, false) {
        Ok(Purpose::Welcome) => render(StatusCode::OK, &Welcome { code: &code, user: "", wrong: None }),
        Ok(Purpose::Enter(_) | Purpose::Choose { .. }) => refused(&Refused::BadLink),
        Err(page) => page,
    }
}

/// Adds the first user, and signs them in.
pub(super) async fn add(
    State(app): State<Arc<App>>,
    (way, peer): (Way, Peer),
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Form::read(&body);
    let code = form.field("code");
    match redeem(&app, peer, code, false) {
        Ok(Purpose::Welcome) => {}
        Ok(Purpose::Enter(_) | Purpose::Choose { .. }) => return refused(&Refused::BadLink),
        Err(page) => return page,
    }
    let user = form.field("user").trim();
    let wrong = |status, why: &str| render(status, &Welcome { code, user, wrong: Some(why) });
    let (name, password) = (access::name(user), form.field("password").to_owned());
    let name = match name.and_then(|name| password::check(&password).map(|()| name)) {
        Ok(name) => name,
        Err(why) => return wrong(StatusCode::BAD_REQUEST, &why),
    };
    if let Err(page) = redeem(&app, peer, code, true) {
        return page;
    }
    let (now, by) = (app.clock.host(), name.clone());
    let added = noted(&app, (&by, peer, Act::UserAdded), move |app| {
        let password = PasswordHash::of(password.as_bytes()).map_err(|error| error.to_string())?;
        let user = User { name, password, grants: [Grant { role: Role::Admin, only: None }].into(), created: now };
        kept::add_first(app.access.state(), user.clone()).map_err(|error| error.to_string())?;
        let to = format!("{}: admin", user.name);
        Ok::<_, String>((user, Some(to)))
    });
    match added.await {
        Ok(Ok(user)) => let_in(&app, &way, peer, &headers, app.access.holder(&user), "/").await,
        Ok(Err(why)) => message(StatusCode::CONFLICT, "Not added", &why, Some(("/sign-in", "Sign in"))),
        Err(defect) => defect.into_response(),
    }
}

/// Shows the form in which a user chooses a password.
pub(super) async fn choose(State(app): State<Arc<App>>, peer: Peer, Query(Code { code }): Query<Code>) -> Response {
    let code = code.unwrap_or_default();
    match chooser(&app, peer, &code) {
        Ok((user, _)) => render(StatusCode::OK, &Choose { code: &code, user: &user.name, wrong: None }),
        Err(page) => page,
    }
}

/// Keeps the password that a user has chosen, and signs them in.
pub(super) async fn chosen(
    State(app): State<Arc<App>>,
    (way, peer): (Way, Peer),
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Form::read(&body);
    let code = form.field("code");
    let (user, stamp) = match chooser(&app, peer, code) {
        Ok(found) => found,
        Err(page) => return page,
    };
    let password = form.field("password").to_owned();
    if let Err(why) = password::check(&password) {
        return render(StatusCode::BAD_REQUEST, &Choose { code, user: &user.name, wrong: Some(&why) });
    }
    let name = user.name.clone();
    let kept = noted(&app, (&user.name, peer, Act::PasswordSet), move |app| {
        let password = PasswordHash::of(password.as_bytes()).map_err(|error| error.to_string())?;
        let mut changed = None;
        kept::edit(app.access.state(), |users: &mut Vec<User>| {
            // Two who use the link at the same moment: the second finds another stamp.
            let user = users.iter_mut().find(|user| user.name == name && app.access.may_choose(user, stamp));
            if let Some(user) = user {
                user.password = password;
                changed = Some(user.clone());
            }
            Ok(())
        })
        .map_err(|error| error.to_string())?;
        let user = changed.ok_or_else(|| Refused::BadLink.to_string())?;
        Ok::<_, String>((user, Some(name.to_string())))
    });
    match kept.await {
        Ok(Ok(user)) => let_in(&app, &way, peer, &headers, app.access.holder(&user), "/").await,
        Ok(Err(why)) => message(StatusCode::CONFLICT, "Not kept", &why, Some(("/sign-in", "Sign in"))),
        Err(defect) => defect.into_response(),
    }
}

/// The user for whom a link to choose a password is good, and the stamp by which it is.
fn chooser(app: &App, peer: Peer, code: &str) -> Result<(User, Digest), Response> {
    let Purpose::Choose { name, stamp } = redeem(app, peer, code, false)? else {
        return Err(refused(&Refused::BadLink));
    };
    app.access.chooser(&name, stamp, app.clock.host()).map(|user| (user, stamp)).map_err(|why| refused(&why))
}

/// A link that is wrong counts as a failure of its address.
fn redeem(app: &App, peer: Peer, code: &str, take: bool) -> Result<Purpose, Response> {
    app.access.redeem(code, app.clock.host(), take).map_err(|why| {
        match app.limits.failures.take(&Origin::api(peer.0), app.clock.now()) {
            Ok(()) => refused(&why),
            Err(wait) => too_many(wait),
        }
    })
}

fn refused(why: &Refused) -> Response {
    message(StatusCode::UNAUTHORIZED, "This link is not good", &why.to_string(), Some(("/sign-in", "Sign in")))
}
