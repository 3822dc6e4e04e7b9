//! The door: signing in and out, the links that are good once, and what happens to a press whose session had ended. Must not
//! know what the pages behind it show.

mod links;
mod oidc;
mod own_path;
mod page;
mod presses;
mod sign_in;
mod sign_out;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, watch};

use self::presses::Presses;
pub(super) use self::{own_path::own_path, page::message, presses::LARGEST};
use super::{
    App, Problem,
    authentication::{self, Peer},
    blocking::blocking,
    guard,
    roles::Roles,
    transport::{Way, is_forwarded, is_from_here},
};
use crate::{
    access::{
        Digest, Role,
        at_once::AtOnce,
        audit::{self, Act},
        failed::{Failed, SUMMED},
        limits::{Origin, Wait},
        links::Purpose,
        sessions::{self, Holder},
    },
    oidc::Provider,
    settings::Public,
};

/// The cookie of a session, and the one by which a browser proves that a press is its own.
pub(super) const SESSION: &str = "pointsman";
const PRESS: &str = "pointsman-press";
/// How many passwords are tried at once: each takes a core for a tenth of a second, and 19 MiB.
const AT_ONCE: usize = 2;
/// How many sign-ins of one address wait for their turn, and how many of all: some two seconds' worth.
const WAIT_OF_ONE: usize = 8;
const WAIT_IN_ALL: usize = 32;
/// Where this session is ended.
const SIGN_OUT: &str = "/sign-out";

/// State that the handlers of the door share.
pub struct Door {
    /// Where people reach the page, by TLS.
    pub(super) public: Option<Public>,
    /// Where plain HTTP is answered that other hosts reach.
    exposed: Option<SocketAddr>,
    /// The provider at which people sign in as well.
    oidc: Option<Provider>,
    presses: Presses,
    trying: Arc<Semaphore>,
    waiting: AtOnce<Origin>,
    acts: audit::Acts,
    failed: Failed,
}

impl Door {
    /// Opens it; `public`: where people reach the page, by TLS.
    pub fn new(public: Option<Public>) -> Self {
        Self {
            public,
            exposed: None,
            oidc: None,
            presses: Presses::default(),
            trying: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: AtOnce::new(WAIT_OF_ONE, WAIT_IN_ALL),
            acts: audit::Acts::default(),
            failed: Failed::default(),
        }
    }

    /// Lets people in by this provider as well.
    #[must_use]
    pub fn with_oidc(self, oidc: Option<Provider>) -> Self {
        Self { oidc, ..self }
    }

    /// The same, where the server listens at this address.
    #[must_use]
    pub fn at(self, address: SocketAddr) -> Self {
        let exposed = (!address.ip().to_canonical().is_loopback()).then_some(address);
        Self { exposed, ..self }
    }

    /// Returns what people should know of the ways in, in sentences.
    pub fn warnings(&self) -> Vec<String> {
        let exposed = |address: SocketAddr| {
            format!(
                "the API and the webhooks are answered over plain HTTP at {address}, which other hosts reach, so a token can be read on \
                 the way: use https from other hosts (`server.tls`), or listen at 127.0.0.1 behind a TLS proxy"
            )
        };
        self.exposed.map(exposed).into_iter().collect()
    }
}

#[cfg(test)]
impl Door {
    /// Returns how many sign-ins wait or are tried.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.count()
    }

    /// Writes the sums of failed sign-ins down now.
    pub(super) fn write_failed(&self, app: &App) {
        self.failed.write(app.access.state(), app.clock.host()).expect("it can be written");
    }
}

/// Returns the routes; those behind the sign-in with the role that they take.
pub(super) fn router(app: &Arc<App>, roles: &mut Roles) -> Router<Arc<App>> {
    let open = Router::new()
        .route("/sign-in", get(sign_in::form).post(sign_in::try_it))
        .route("/sign-in/oidc", get(oidc::start))
        .route(oidc::BACK, get(oidc::back))
        .route("/sign-in/oidc/out", get(oidc::out))
        .route("/welcome", get(links::welcome).post(links::add))
        .route("/enter", get(links::enter))
        .route(Purpose::CHOOSE, get(links::choose).post(links::chosen))
        .layer(from_fn(guard::arrived_small))
        .layer(from_fn_with_state(app.clone(), closed));
    for path in [SIGN_OUT, "/sign-out-everywhere"] {
        roles.note(Role::Viewer, Method::POST, path);
    }
    roles.note(Role::Viewer, Method::GET, "/again");
    let inside = Router::new()
        .route(SIGN_OUT, post(sign_out::this_one))
        .route("/sign-out-everywhere", post(sign_out::everywhere))
        .route("/again", get(sign_in::again))
        .layer(from_fn(guard::arrived))
        .layer(from_fn_with_state(app.clone(), authentication::authorised));
    open.merge(inside)
}

/// Lets nothing in that travelled unencrypted, and no form that a page of another site sent.
async fn closed(State(app): State<Arc<App>>, way: Way, request: Request, next: axum::middleware::Next) -> Response {
    if way == Way::Plain {
        return unencrypted(&app, request.headers());
    }
    let (parts, body) = request.into_parts();
    if !parts.method.is_safe() && !is_from_here(&parts.headers, super::transport::authority(&parts)) {
        return foreign();
    }
    next.run(Request::from_parts(parts, body)).await
}

/// Returns scheme and host at which people reach the page: those of the settings, else those that this browser uses.
pub(super) fn address(app: &App, way: &Way, parts: &Parts) -> String {
    match (&app.door.public, way) {
        (Some(public), _) => public.to_string(),
        (None, Way::Loopback(_)) => format!("http://{}", super::transport::authority(parts).unwrap_or_default()),
        (None, Way::Tls | Way::Plain) => format!("https://{}", super::transport::authority(parts).unwrap_or_default()),
    }
}

/// The answer to who asks for a page over plain HTTP from another host.
pub(super) fn unencrypted(app: &App, headers: &HeaderMap) -> Response {
    let public = match &app.door.public {
        Some(public) => format!("at {public}, the address that `server.public` in pointsman.toml names"),
        None => "behind TLS, once `server.public` in pointsman.toml names the address (it names none)".to_owned(),
    };
    let proxy = match is_forwarded(headers) {
        true => {
            " This request came through a proxy (it has `Forwarded`, `X-Forwarded-...` or `Via`), so it counts as one from \
                 another host."
        }
        false => "",
    };
    let text = format!(
        "This page is not shown over plain HTTP beyond the controller's own host: a password or a session could be read on the \
         way. Open it {public}, or on the controller's host at http://localhost or http://127.0.0.1 with its port: `pointsman \
         page` prints a link.{proxy}"
    );
    match wants_page(headers) {
        true => message(StatusCode::MISDIRECTED_REQUEST, "Not over plain HTTP", &text, None),
        false => Problem::new(421, text).into_response(),
    }
}

/// The answer to a form that a page of another site sent, or of another session.
pub(super) fn foreign() -> Response {
    let text = "This form was not sent by a page of yours from here, or by one of an earlier session. Nothing was done. Go \
                back, load the page again, and send it from there.";
    message(StatusCode::FORBIDDEN, "Not from here", text, Some(("/", "To the overview")))
}

/// Returns whether a browser asks for a page. The stream of one is none: its script is told by the status what to do.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    let accepts = |kind: &[u8]| {
        let mut accepted = headers.get_all(header::ACCEPT).iter();
        accepted.any(|value| value.as_bytes().windows(kind.len()).any(|part| part == kind))
    };
    accepts(b"text/html") && !accepts(b"text/event-stream")
}

/// Sends a browser without a session to sign in. A form that it sent is kept until then.
pub(super) async fn to_sign_in(app: &App, peer: Peer, way: &Way, request: Request) -> Response {
    let now = app.clock.now();
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    if parts.method.is_safe() {
        return led(&parts, way, &path);
    }
    if !is_from_here(&parts.headers, super::transport::authority(&parts)) || !is_form(&parts.headers) {
        return foreign();
    }
    if path == SIGN_OUT {
        // The session has ended already, which is what was asked for.
        return ([(header::SET_COOKIE, forget(way))], see("/sign-in")).into_response();
    }
    if let Err(wait) = app.limits.failures.take(&Origin::api(peer.0), now) {
        return Problem::too_many("forms from this address without a session", wait).into_response();
    }
    let body = match guard::read(&parts.headers, body, LARGEST as u64).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    match app.door.presses.keep(own_path(Some(&path)), &body, now) {
        Ok(name) => {
            let cookie = [(header::SET_COOKIE, way.set_cookie(PRESS, &name.clone().into(), 600))];
            (cookie, see(&format!("/sign-in?press={name}"))).into_response()
        }
        Err(error) => {
            Problem::new(503, format!("the form cannot be kept: {error}; sign in and send it again")).into_response()
        }
    }
}

/// A browser does not send the cookie of a session when a link of another site leads here (SameSite=Strict). So a page of ours
/// leads it once more, and only then is there no session.
fn led(parts: &Parts, way: &Way, path: &str) -> Response {
    let path = own_path(Some(path));
    let from_elsewhere = parts.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if from_elsewhere && way.read_cookie(&parts.headers, SESSION).is_none() {
        let page = message(
            StatusCode::OK,
            "One moment",
            "This leads to the page that you asked for.",
            Some((path, "Go there")),
        );
        let refresh = http::HeaderValue::try_from(format!("0; url={path}"));
        return match refresh {
            Ok(refresh) => ([(header::REFRESH, refresh)], page).into_response(),
            Err(_) => page,
        };
    }
    let then: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
    see(&format!("/sign-in?then={then}"))
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes());
    kind.is_some_and(|kind| kind.starts_with(b"application/x-www-form-urlencoded"))
}

/// Tells a browser that others at its address, or itself, failed too often. A proxy and a script read when to come again, too.
fn too_many(wait: Wait) -> Response {
    let seconds = wait.0.0.div_ceil(1000).max(1);
    let text = format!("Too many failures from this address. Try again in {seconds} s.");
    let way = Some(("/sign-in", "To the sign-in"));
    let page = message(StatusCode::TOO_MANY_REQUESTS, "Too many failures", &text, way);
    ([(header::RETRY_AFTER, seconds.to_string())], page).into_response()
}

/// Leads to another page of ours, by GET.
fn see(path: &str) -> Response {
    let headers = [(header::LOCATION, path), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// Does something to the doors and notes it in the record, as one piece of work that ends though whoever asked has gone. `work`
/// returns what came of it, with what the record says; `None`: there is nothing to note. The line is on the disk then, or in the log.
///
/// # Errors
/// That the work met a defect, and within, that it could not be done.
pub(super) async fn noted<T: Send + 'static, E: Send + 'static>(
    app: &Arc<App>,
    (by, peer, act): (&str, Peer, Act),
    work: impl FnOnce(&App) -> Result<(T, Option<String>), E> + Send + 'static,
) -> Result<Result<T, E>, Problem> {
    let (app, at, by) = (app.clone(), app.clock.host(), by.to_owned());
    blocking(move || {
        let (done, to) = work(&app)?;
        let Some(to) = to else { return Ok(done) };
        let from = peer.0.to_string();
        let entry = audit::Entry { at, by: &by, from: &from, act, to: &to };
        if let Err(error) = app.door.acts.note(app.access.state(), &entry) {
            tracing::error!(%error, "the audit record cannot be written; these lines are only here");
        }
        Ok(done)
    })
    .await
}

/// Writes down, each minute and at the end, what is only in memory: failed sign-ins, and when sessions were used last.
pub async fn write_down(app: Arc<App>, mut stop: watch::Receiver<bool>) -> bool {
    loop {
        let pause = tokio::time::timeout(Duration::from_millis(SUMMED.0), stop.wait_for(|stop| *stop));
        let over = pause.await.is_ok();
        let (writing, now) = (app.clone(), app.clock.host());
        let written = tokio::task::spawn_blocking(move || {
            if let Err(error) = writing.door.failed.write(writing.access.state(), now) {
                tracing::error!(%error, "failed sign-ins cannot be written to the audit record");
            }
            writing.access.write_uses(now);
        });
        if written.await.is_err() {
            return false;
        }
        if over {
            return true;
        }
    }
}

/// Begins a session instead of the one that the browser had, and redirects.
async fn let_in(app: &Arc<App>, way: &Way, peer: Peer, headers: &HeaderMap, holder: Holder, then: &str) -> Response {
    match begin(app, way, peer, headers, (holder, "")).await {
        Ok((cookie, _)) => ([(header::SET_COOKIE, cookie)], see(then)).into_response(),
        Err(page) => page,
    }
}

/// Begins a session instead of the one that the browser had, and records it; with the holder comes what the record has
/// besides the name. Gives the header that sets its cookie, and what the session is recognised by.
async fn begin(
    app: &Arc<App>,
    way: &Way,
    peer: Peer,
    headers: &HeaderMap,
    (holder, account): (Holder, &str),
) -> Result<(http::HeaderValue, Digest), Response> {
    let (now, by, to) = (app.clock.host(), holder.by(), account.to_owned());
    let before = way.read_cookie(headers, SESSION).map(|secret| Digest::of(secret.as_bytes()));
    let begun = noted(app, (&by, peer, Act::SignedIn), move |app| {
        let secret = app.access.sessions().begin_instead(before, holder, &peer.0.to_string(), now)?;
        Ok::<_, sessions::Error>((secret, Some(to)))
    });
    match begun.await.map_err(IntoResponse::into_response)? {
        Ok(secret) => Ok((session_cookie(way, &secret), Digest::of(secret.expose_secret().as_bytes()))),
        Err(error) => {
            tracing::error!(%error, "nobody can sign in");
            let text = format!("Nobody can sign in now: {error}. The controller's log says more.");
            Err(message(StatusCode::INSUFFICIENT_STORAGE, "Not signed in", &text, Some(("/sign-in", "Try again"))))
        }
    }
}

/// The session itself says when it ends; the browser keeps it as long as any may last.
fn session_cookie(way: &Way, secret: &SecretString) -> http::HeaderValue {
    const YEAR: u64 = 365 * 86_400;
    way.set_cookie(SESSION, secret, YEAR)
}

/// The header that makes a browser forget its session.
fn forget(way: &Way) -> http::HeaderValue {
    way.set_cookie(SESSION, &SecretString::from(String::new()), 0)
}

/// The fields of a form.
struct Form(Vec<(String, SecretString)>);

impl Form {
    fn read(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).map(|(key, value)| (key.into_owned(), value.into_owned().into())).collect())
    }

    fn field(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.expose_secret())
    }
}
