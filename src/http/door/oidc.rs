//! Signing in and out by the OpenID Connect provider: to it, back from it, and what a browser is shown where it fails. Must not
//! believe anything that the provider module has not checked.

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    App, Peer, SESSION, Way, begin, message, own_path,
    page::{SignIn, render},
    see,
    sign_in::{Next, is_name, onward},
    too_many,
};
use crate::{
    access::{
        Caller, Digest,
        limits::{Origin, Wait},
        sessions::Holder,
    },
    http::transport::authority,
    machine::Millis,
    oidc::{Begun, Failure, GOOD, Moment, Provider, words},
};

/// The cookie of a sign-in that was begun.
const BEGUN: &str = "pointsman-oidc";
/// What stands for the account where nobody knows it yet.
const UNKNOWN: &str = "(oidc)";
/// The path to which the provider sends people back.
pub(super) const BACK: &str = "/sign-in/oidc/back";
/// The longest path that is kept over a sign-in, in bytes: the cookie has it, and a browser keeps 4096 bytes.
const LONGEST: usize = 1500;

/// Query with which the provider sends a browser back.
#[derive(Deserialize)]
pub(super) struct Answer {
    code: Option<SecretString>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Begins a sign-in at the provider; redirects whoever is signed in already.
pub(super) async fn start(
    State(app): State<Arc<App>>,
    (way, peer): (Way, Peer),
    Query(next): Query<Next>,
    parts: Parts,
) -> Response {
    let Some(provider) = &app.door.oidc else { return not_set_up() };
    let press = next.press.as_deref().filter(|press| is_name(press)).unwrap_or_default();
    let then = Some(own_path(next.then.as_deref())).filter(|then| then.len() <= LONGEST).unwrap_or("/");
    let moment = moment(&app);
    let shown = way.read_cookie(&parts.headers, SESSION);
    if shown.is_some_and(|secret| app.access.signed_in(secret.as_bytes(), &peer.0.to_string(), moment.host).is_ok()) {
        return see(&onward(Some(then), press));
    }
    // A page of another site does not sign anybody in: here is the button.
    if parts.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site") {
        return see(&sign_in_path(then, press));
    }
    let base = match base(&app, &way, &parts) {
        Ok(base) => base,
        Err(elsewhere) => return see(&elsewhere),
    };
    let sealed =
        Begun::new(then, press, moment.host).and_then(|begun| provider.sealed(&begun).map(|sealed| (begun, sealed)));
    let (begun, sealed) = match sealed {
        Ok(made) => made,
        Err(error) => {
            tracing::error!(%error, "nobody can sign in by OpenID Connect");
            return failed(&app, provider, (then, press), &Failure::Own("no sign-in can be begun"));
        }
    };
    match provider.address(&begun, &format!("{base}{BACK}"), moment).await {
        Ok(url) => {
            let cookie = [(header::SET_COOKIE, way.set_returning_cookie(BEGUN, &sealed, GOOD.0 / 1000))];
            (cookie, lead(url.as_str())).into_response()
        }
        Err(failure) => failed(&app, provider, (then, press), &failure),
    }
}

/// Takes the provider's answer. The browser sends no cookie of a session with it, since it comes from another site; so who is in
/// then is led on by a page of ours, with which it does.
pub(super) async fn back(
    State(app): State<Arc<App>>,
    (way, peer): (Way, Peer),
    Query(answer): Query<Answer>,
    parts: Parts,
) -> Response {
    let Some(provider) = &app.door.oidc else { return not_set_up() };
    let moment = moment(&app);
    if let Err(wait) = app.limits.failures.look(&Origin::api(peer.0), moment.now) {
        return too_many(wait);
    }
    // So many of one address at once: those that look at the limit together do not pass it together.
    let Some(_place) = app.door.waiting.take(Origin::api(peer.0)) else { return too_many(Wait(Millis(3000))) };
    let mut next = ("/".to_owned(), String::new());
    let told = take(&app, provider, (&way, peer), answer, &parts, &mut next, moment).await;
    let mut response = match told {
        Ok(response) => response,
        Err(failure) => {
            refuse(&app, peer, &failure, moment);
            failed(&app, provider, (&next.0, &next.1), &failure)
        }
    };
    // The code is in the address of this page: nobody is told it as the page before.
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let over = way.set_returning_cookie(BEGUN, &SecretString::from(String::new()), 0);
    response.headers_mut().append(header::SET_COOKIE, over);
    response
}

/// Signs in whom the provider vouches for. `next`: where they were, as soon as it is known.
async fn take(
    app: &Arc<App>,
    provider: &Provider,
    (way, peer): (&Way, Peer),
    answer: Answer,
    parts: &Parts,
    next: &mut (String, String),
    moment: Moment,
) -> Result<Response, Failure> {
    let cookie = way.read_cookie(&parts.headers, BEGUN).ok_or(Failure::NotBegun)?;
    let begun = provider.taken(cookie, answer.state.as_deref().unwrap_or_default(), moment)?;
    *next = (begun.then.clone(), begun.press.clone());
    provider.is_from_it(answer.iss.as_deref(), moment).await?;
    if let Some(error) = answer.error {
        let why = answer.error_description.filter(|why| !why.is_empty()).map(|why| format!(" ({})", words(&why)));
        return Err(Failure::Declined(format!("{}{}", words(&error), why.unwrap_or_default())));
    }
    let code = answer.code.filter(|code| !code.expose_secret().is_empty());
    let code = code.ok_or_else(|| Failure::Declined("neither a code nor an error".to_owned()))?;
    let Ok(base) = base(app, way, parts) else { return Err(Failure::NotBegun) };
    let proven = provider.person(&begun, &format!("{base}{BACK}"), code, moment).await?;
    let Some(holder) = app.access.openid().and_then(|openid| openid.holder(&proven.person)) else {
        let account = Holder::Openid {
            issuer: provider.issuer().into(),
            subject: proven.person.subject.clone(),
            name: proven.person.name.clone(),
            groups: Vec::new(),
            stamp: Digest::of(b""),
        };
        tracing::info!(by = %account.by(), "somebody whose groups have no grant was refused");
        app.door.failed.count(&account.by(), &peer.0.to_string());
        return Err(provider.no_group(&proven.person));
    };
    let by = holder.by();
    let account = format!("{} at {}", words(&proven.person.subject), provider.issuer());
    let (cookie, session) = match begin(app, way, peer, &parts.headers, (holder, &account)).await {
        Ok(begun) => begun,
        Err(page) => return Ok(page),
    };
    provider.hints().keep(session, proven.hint);
    let then = onward(Some(&begun.then), &begun.press);
    let page = message(StatusCode::OK, "Signed in", &format!("You are {by}."), Some((&then, "Go on")));
    let refresh = HeaderValue::try_from(format!("0; url={then}"));
    let refresh = refresh.unwrap_or(HeaderValue::from_static("0; url=/"));
    Ok(([(header::SET_COOKIE, cookie), (header::REFRESH, refresh)], page).into_response())
}

#[derive(Deserialize)]
pub(super) struct Offer {
    key: Option<String>,
}

/// Leads to where somebody signs out of the provider as well.
pub(super) async fn out(State(app): State<Arc<App>>, way: Way, Query(offer): Query<Offer>, parts: Parts) -> Response {
    let Some(provider) = &app.door.oidc else { return not_set_up() };
    let moment = moment(&app);
    let Ok(base) = base(&app, &way, &parts) else { return see("/sign-in") };
    let hint = provider.hints().take(offer.key.as_deref().unwrap_or_default(), moment.now);
    match provider.farewell(hint.as_ref(), &format!("{base}/sign-in"), moment).await {
        Ok(Some(url)) => lead(url.as_str()),
        Ok(None) => {
            let name = provider.name();
            let text = format!(
                "{name} has no address at which other programs sign you out. Open {name} itself to sign out there."
            );
            message(StatusCode::NOT_FOUND, "Signed out here only", &text, Some(("/sign-in", "To the sign-in")))
        }
        Err(failure) => {
            let text = format!("You are signed out here, and not at {}: {failure}.", provider.name());
            message(StatusCode::BAD_GATEWAY, "Signed out here only", &text, Some(("/sign-in", "To the sign-in")))
        }
    }
}

/// What who has ended a session is shown, where the provider vouched for them: it still knows them.
pub(super) fn signed_out(app: &App, caller: &Caller, holder: Option<&Holder>) -> Option<Response> {
    let (provider, session) = (app.door.oidc.as_ref()?, caller.session()?);
    let Holder::Openid { .. } = holder? else { return None };
    let key = provider.hints().offer(session, app.clock.now()).unwrap_or_default();
    let name = provider.name();
    let text = format!(
        "Your session here has ended. {name} may still know you, and would let this browser in again without a password."
    );
    let link = format!("/sign-in/oidc/out?key={key}");
    let label = format!("Sign out of {name} too");
    Some(message(StatusCode::OK, "Signed out", &text, Some((&link, &label))))
}

/// Host and scheme at which the browser is; `Err`: it is to come to another address of ours first.
fn base(app: &App, way: &Way, parts: &Parts) -> Result<String, String> {
    let asked = authority(parts).unwrap_or_default();
    match (way, &app.door.public) {
        (Way::Loopback(_), _) => Ok(format!("http://{asked}")),
        (Way::Tls, Some(public)) if !public.authority().eq_ignore_ascii_case(asked) => Err(format!("{public}/sign-in")),
        (Way::Tls | Way::Plain, Some(public)) => Ok(public.to_string()),
        (Way::Tls | Way::Plain, None) => Ok(format!("https://{asked}")),
    }
}

fn moment(app: &App) -> Moment {
    Moment { now: app.clock.now(), host: app.clock.host() }
}

/// Counts what somebody failed at. What the provider fails at is nobody's guess.
fn refuse(app: &App, peer: Peer, failure: &Failure, moment: Moment) {
    tracing::info!(address = %peer.0, why = %failure, "a sign-in by OpenID Connect was refused");
    match failure {
        Failure::Own(_) | Failure::Away { .. } => {}
        Failure::NoGroup { .. } | Failure::NoClaim { .. } => {
            let _ = app.limits.failures.take(&Origin::api(peer.0), moment.now);
        }
        Failure::Declined(_) | Failure::Untrusted(_) | Failure::NotBegun => {
            let _ = app.limits.failures.take(&Origin::api(peer.0), moment.now);
            app.door.failed.count(UNKNOWN, &peer.0.to_string());
        }
    }
}

/// The sign-in page again, with what failed; local users sign in by it as ever.
fn failed(app: &App, provider: &Provider, (then, press): (&str, &str), failure: &Failure) -> Response {
    let status = match failure {
        Failure::Away { .. } => StatusCode::BAD_GATEWAY,
        Failure::Declined(_) | Failure::Untrusted(_) => StatusCode::UNAUTHORIZED,
        Failure::NotBegun => StatusCode::BAD_REQUEST,
        Failure::NoClaim { .. } | Failure::NoGroup { .. } => StatusCode::FORBIDDEN,
        Failure::Own(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let then = own_path(Some(then));
    let waits = app.door.presses.find(press, app.clock.now()).is_some();
    let failed = format!("Nobody was signed in by {}: {failure}.", provider.name());
    let oidc = Some((provider.name(), start_path(then, press)));
    render(status, &SignIn { user: "", then, press, waits, wrong: None, oidc, failed: Some(&failed) })
}

/// The path of the button.
pub(super) fn start_path(then: &str, press: &str) -> String {
    format!("/sign-in/oidc?{}", query(then, press))
}

fn sign_in_path(then: &str, press: &str) -> String {
    format!("/sign-in?{}", query(then, press))
}

fn query(then: &str, press: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("then", then).append_pair("press", press).finish()
}

fn not_set_up() -> Response {
    let text = "There is no OpenID Connect provider in the settings of this controller (`server.oidc`).";
    message(StatusCode::NOT_FOUND, "Not set up", text, Some(("/sign-in", "To the sign-in")))
}

/// Leads to an address of the provider, which may have in it what nobody else is to know.
fn lead(url: &str) -> Response {
    let Ok(mut location) = HeaderValue::try_from(url) else { return not_set_up() };
    location.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(header::LOCATION, location);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    (StatusCode::SEE_OTHER, headers).into_response()
}
