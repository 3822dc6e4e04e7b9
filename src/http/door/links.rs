//! Links that are good once: the first user is added, and the holder of the local token comes in. Must not make one.

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
    page::{Welcome, render},
    too_many,
};
use crate::access::{
    self, Grant, Refused, Role,
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
        Ok(Purpose::Welcome) => refused(&Refused::BadLink),
        Err(page) => page,
    }
}

/// Shows the form for the first user.
pub(super) async fn welcome(State(app): State<Arc<App>>, peer: Peer, Query(Code { code }): Query<Code>) -> Response {
    let code = code.unwrap_or_default();
    match redeem(&app, peer, &code, false) {
        Ok(Purpose::Welcome) => render(StatusCode::OK, &Welcome { code: &code, user: "", wrong: None }),
        Ok(Purpose::Enter(_)) => refused(&Refused::BadLink),
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
        Ok(Purpose::Enter(_)) => return refused(&Refused::BadLink),
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
