//! Signing in with a password, and coming back to what was pressed before. Must not say whether a user exists.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Bytes,
    extract::{Query, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    App, Form, PRESS, Peer, SESSION, Way, let_in, message, own_path,
    page::{Again, SignIn, render},
    see,
};
use crate::{
    access::{Refused, limits::Origin, users::User},
    http::authentication::Session,
};

/// How long a sign-in waits for its turn.
const TURN: Duration = Duration::from_secs(10);
/// What stands for an account whose name is longer than any.
const NO_NAME: &str = "(too long)";

/// Where to go on.
#[derive(Deserialize)]
pub(super) struct Next {
    then: Option<String>,
    press: Option<String>,
}

/// Shows the form; who is signed in already is led on.
pub(super) async fn form(
    State(app): State<Arc<App>>,
    way: Way,
    peer: Peer,
    headers: HeaderMap,
    Query(next): Query<Next>,
) -> Response {
    let press = next.press.as_deref().filter(|press| is_name(press)).unwrap_or_default();
    let now = app.clock.host();
    let session = way.read_cookie(&headers, SESSION);
    if session.is_some_and(|secret| app.access.signed_in(secret.as_bytes(), &peer.0.to_string(), now).is_ok()) {
        return see(&onward(next.then.as_deref(), press));
    }
    let waits = app.door.presses.find(press, app.clock.now()).is_some();
    let then = own_path(next.then.as_deref());
    render(StatusCode::OK, &SignIn { user: "", then, press, waits, wrong: None })
}

/// Takes the form.
pub(super) async fn try_it(State(app): State<Arc<App>>, way: Way, peer: Peer, body: Bytes) -> Response {
    let form = Form::read(&body);
    let (user, press) = (form.field("user").trim(), form.field("press"));
    let press = if is_name(press) { press } else { "" };
    match user_of(&app, peer, user, form.field("password").to_owned().into()).await {
        Ok(found) => let_in(&app, &way, peer, found.holder(), &onward(Some(form.field("then")), press)).await,
        Err(Refusal { status, why }) => {
            let waits = app.door.presses.find(press, app.clock.now()).is_some();
            let then = own_path(Some(form.field("then")));
            render(status, &SignIn { user, then, press, waits, wrong: Some(&why) })
        }
    }
}

struct Refusal {
    status: StatusCode,
    why: String,
}

impl Refusal {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }
}

/// The user with this password, within the limits of the account and of the address.
async fn user_of(app: &Arc<App>, peer: Peer, user: &str, password: SecretString) -> Result<User, Refusal> {
    let account: Arc<str> = if user.len() > 64 { NO_NAME.into() } else { user.into() };
    let (now, host, from) = (app.clock.now(), app.clock.host(), peer.0.to_string());
    // Whoever fails on purpose must not keep out who works from a place that is known to be theirs.
    let known = app.access.sessions().list(host).iter().any(|s| s.from == from && s.holder.by() == account);
    let limited = || {
        if !known {
            app.limits.sign_ins.look(&account, now)?;
        }
        app.limits.failures.look(&Origin::api(peer.0), now)
    };
    if let Err(wait) = limited() {
        let seconds = wait.0.0.div_ceil(1000).max(1);
        let why = format!(
            "Too many sign-ins failed. Try again in {seconds} s; `pointsman page` on the controller's host always works."
        );
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, why));
    }
    let turn = tokio::time::timeout(TURN, app.door.trying.clone().acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        let why = "Too many people sign in at this moment. Try again in a few seconds.";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why));
    };
    let (trying, name) = (app.clone(), account.clone());
    let tried = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        trying.access.user(&name, secrecy::ExposeSecret::expose_secret(&password).as_bytes(), host)
    });
    match tried.await {
        Ok(Ok(user)) => Ok(user),
        Ok(Err(Refused::WrongPassword)) => {
            // What is over its limit already is refused all the same, and counts no further.
            let _ = app.limits.sign_ins.take(&account, now);
            let _ = app.limits.failures.take(&Origin::api(peer.0), now);
            app.door.failed.count(&account, &from);
            let why = "User or password is wrong. An admin sets a new one with `pointsman user password NAME`.";
            Err(Refusal::new(StatusCode::UNAUTHORIZED, why))
        }
        Ok(Err(refused)) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, refused.to_string())),
        Err(error) => {
            tracing::error!(%error, "a sign-in met a defect");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "A defect of pointsman; its log says more."))
        }
    }
}

/// Shows what was pressed before the sign-in, to be sent again or left.
pub(super) async fn again(
    State(app): State<Arc<App>>,
    way: Way,
    headers: HeaderMap,
    session: Option<Extension<Session>>,
    Query(next): Query<Next>,
) -> Response {
    let name = next.press.unwrap_or_default();
    // Only the browser that pressed is shown it: nobody is led to confirm what somebody else made up.
    let own = way.read_cookie(&headers, PRESS) == Some(name.as_str());
    match (app.door.presses.find(&name, app.clock.now()).filter(|_| own), session) {
        (Some(press), Some(Extension(session))) => {
            let page = Again { path: &press.path, csrf: &session.csrf, fields: &press.fields };
            render(StatusCode::OK, &page)
        }
        _ => {
            let text = "What you pressed is not kept any more: that is for ten minutes, and until the controller restarts. \
                        Nothing was done.";
            message(StatusCode::NOT_FOUND, "Nothing was done", text, Some(("/", "To the overview")))
        }
    }
}

fn onward(then: Option<&str>, press: &str) -> String {
    if press.is_empty() { own_path(then).to_owned() } else { format!("/again?press={press}") }
}

fn is_name(press: &str) -> bool {
    press.len() == 32 && press.bytes().all(|b| b.is_ascii_hexdigit())
}
