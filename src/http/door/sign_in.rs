//! Signing in with a password, and coming back to what was pressed before. Must not say whether a user exists.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Bytes,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    App, Form, PRESS, Peer, SESSION, Way, let_in, message, oidc, own_path,
    page::{Again, SignIn, render},
    see,
};
use crate::{
    access::{
        Refused,
        limits::{Origin, Wait},
        users::User,
    },
    http::authentication::Session,
};

/// How long a sign-in waits for its turn.
const TURN: Duration = Duration::from_secs(10);
/// Seconds after which a sign-in that found too many others may be tried again.
const BUSY: u64 = 3;
/// What stands for an account whose name is longer than any.
const NO_NAME: &str = "(too long)";

/// Where to go on.
#[derive(Deserialize)]
pub(super) struct Next {
    pub(super) then: Option<String>,
    pub(super) press: Option<String>,
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
    let oidc = button(&app, then, press);
    render(StatusCode::OK, &SignIn { user: "", then, press, waits, wrong: None, oidc, failed: None })
}

/// Takes the form.
pub(super) async fn try_it(
    State(app): State<Arc<App>>,
    (way, peer): (Way, Peer),
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Form::read(&body);
    let (user, press) = (form.field("user").trim(), form.field("press"));
    let press = if is_name(press) { press } else { "" };
    match user_of(&app, peer, user, form.field("password").to_owned().into()).await {
        Ok(found) => {
            let then = onward(Some(form.field("then")), press);
            let_in(&app, &way, peer, &headers, app.access.holder(&found), &then).await
        }
        Err(Refusal { status, why, again }) => {
            let waits = app.door.presses.find(press, app.clock.now()).is_some();
            let then = own_path(Some(form.field("then")));
            let oidc = button(&app, then, press);
            let page = render(status, &SignIn { user, then, press, waits, wrong: Some(&why), oidc, failed: None });
            match again {
                Some(seconds) => ([(header::RETRY_AFTER, seconds.to_string())], page).into_response(),
                None => page,
            }
        }
    }
}

/// What the provider is called, and the path that begins a sign-in at it.
fn button<'a>(app: &'a App, then: &str, press: &str) -> Option<(&'a str, String)> {
    app.door.oidc.as_ref().map(|provider| (provider.name(), oidc::start_path(then, press)))
}

struct Refusal {
    status: StatusCode,
    why: String,
    /// Seconds after which it may be tried again.
    again: Option<u64>,
}

impl Refusal {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into(), again: None }
    }

    /// Returns the answer for a moment in which too many sign in.
    fn busy() -> Self {
        let why = "Too many people sign in at this moment. Try again in a few seconds.";
        Self { again: Some(BUSY), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, why) }
    }
}

impl From<Wait> for Refusal {
    fn from(wait: Wait) -> Self {
        let seconds = wait.0.0.div_ceil(1000).max(1);
        let why = format!(
            "Too many sign-ins failed. Try again in {seconds} s; `pointsman page` on the controller's host always works."
        );
        Self { again: Some(seconds), ..Self::new(StatusCode::TOO_MANY_REQUESTS, why) }
    }
}

/// The user with this password, within the limits of the account and of the address.
async fn user_of(app: &Arc<App>, peer: Peer, user: &str, password: SecretString) -> Result<User, Refusal> {
    let account: Arc<str> = if user.len() > 64 { NO_NAME.into() } else { user.into() };
    limited(app, peer, &account)?;
    let _place = app.door.waiting.take(Origin::api(peer.0)).ok_or_else(Refusal::busy)?;
    let turn = tokio::time::timeout(TURN, app.door.trying.clone().acquire_owned()).await;
    let Ok(Ok(turn)) = turn else { return Err(Refusal::busy()) };
    // Those whose turn came before may have failed.
    limited(app, peer, &account)?;
    let trying = app.clone();
    let tried = tokio::task::spawn_blocking(move || {
        // To the end, also where whoever asked has gone: what fails is counted.
        let _turn = turn;
        tried(&trying, peer, &account, &password)
    });
    match tried.await {
        Ok(Ok(user)) => Ok(user),
        Ok(Err(Refused::WrongPassword)) => {
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

/// Refuses where too many sign-ins of the account or from the address have failed.
fn limited(app: &App, peer: Peer, account: &str) -> Result<(), Wait> {
    let now = app.clock.now();
    if let Err(wait) = app.limits.sign_ins.look(&app.access.account(account), now) {
        // Whoever fails on purpose must not keep out who works from a place that is known to be theirs.
        let (from, host) = (peer.0.to_string(), app.clock.host());
        if !app.access.sessions().is_known(account, &from, host) {
            return Err(wait);
        }
    }
    app.limits.failures.look(&Origin::api(peer.0), now)
}

/// Tries a password, and counts where it is wrong.
fn tried(app: &App, peer: Peer, account: &str, password: &SecretString) -> Result<User, Refused> {
    let (now, host) = (app.clock.now(), app.clock.host());
    let tried = app.access.user(account, password.expose_secret().as_bytes(), host);
    if matches!(tried, Err(Refused::WrongPassword)) {
        // What is over its limit already is refused all the same, and counts no further.
        let _ = app.limits.sign_ins.take(&app.access.account(account), now);
        let _ = app.limits.failures.take(&Origin::api(peer.0), now);
        app.door.failed.count(&app.access.called(account, host), &peer.0.to_string());
    }
    tried
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

pub(super) fn onward(then: Option<&str>, press: &str) -> String {
    if press.is_empty() { own_path(then).to_owned() } else { format!("/again?press={press}") }
}

pub(super) fn is_name(press: &str) -> bool {
    press.len() == 32 && press.bytes().all(|b| b.is_ascii_hexdigit())
}
