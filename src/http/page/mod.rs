//! The operators' page: HTML made of the same views as the API's answers. Whole without any script; with it, what has changed
//! comes by itself. Must not show what the API does not, and must not decide anything.

mod act;
mod assets;
mod chart;
mod deploy;
mod deployment;
mod environment;
mod figures;
mod frame;
mod history;
mod live;
mod logs;
mod others;
mod overview;
mod people;
mod promote;
mod rail;
mod release;
mod tokens;
mod tracks;
mod visitor;
mod words;

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    extract::{Form, Request, State},
    middleware::{Next, from_fn},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::{HeaderName, HeaderValue, Method, header};
use tower_http::compression::CompressionLayer;

pub(super) use act::Api;
pub(super) use assets::addresses;

use self::{
    frame::Frame,
    visitor::{Theme, Visitor},
};
use super::{App, Problem, door, roles::Roles};
use crate::access::Role;

/// Content security policy: only what the page brings itself, no other host, no inline script or style, no frame around
/// it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The pages that take somebody who is known.
pub(super) fn known(roles: &mut Roles) -> Router<Arc<App>> {
    let mut look = |path: &'static str| {
        roles.note(Role::Viewer, Method::GET, path);
        path
    };
    let looks = Router::new()
        .route(look("/"), get(overview::page))
        .route(look("/live"), get(live::of_overview))
        .route(look("/environments/{pipeline}/{environment}"), get(environment::page))
        .route(look("/environments/{pipeline}/{environment}/live"), get(live::of_environment))
        .route(look("/environments/{pipeline}/{environment}/deploy"), get(deploy::page).post(deploy::press))
        .route(look("/environments/{pipeline}/{environment}/promote"), get(promote::page).post(act::press))
        .route(look("/deployments/{pipeline}/{environment}/{number}"), get(deployment::page))
        .route(look("/history"), get(history::page))
        .route(look("/releases/{pipeline}/{number}"), get(release::page))
        .route(look("/figures"), get(figures::page))
        .route(look("/me"), get(people::me))
        .route("/people", get(people::page))
        .route("/tokens", get(tokens::page).post(tokens::make))
        .route("/environments/{pipeline}/{environment}/logs", get(logs::page))
        .route("/environments/{pipeline}/{environment}/logs/live", get(logs::stream));
    for (role, path) in [
        (Role::Admin, "/people"),
        (Role::Admin, "/tokens"),
        (Role::Deployer, "/environments/{pipeline}/{environment}/logs"),
        (Role::Deployer, "/environments/{pipeline}/{environment}/logs/live"),
    ] {
        roles.note(role, Method::GET, path);
    }
    let of_pages = ["/environments/{pipeline}/{environment}/deploy", "/environments/{pipeline}/{environment}/promote"];
    for path in of_pages.into_iter().chain(["/tokens"]) {
        roles.note(Role::Viewer, Method::POST, path);
    }
    // The role that it takes is the API's to ask for.
    let acts = ["rollback", "hold", "maintenance", "resume", "pin", "veto", "restart"];
    let acts = acts.map(|act| format!("/environments/{{pipeline}}/{{environment}}/{act}")).into_iter();
    let acts = acts
        .chain(
            ["approve", "abort", "proceed", "pause"]
                .map(|act| format!("/deployments/{{pipeline}}/{{environment}}/{{number}}/{act}")),
        )
        .chain(["/tokens/revoke", "/people/sign-out", "/me/sessions/end"].map(str::to_owned));
    let all = acts.fold(looks, |all, path| {
        roles.note(Role::Viewer, Method::POST, &path);
        all.route(&path, post(act::press))
    });
    let users = ["add", "grant", "password", "remove"].map(|act| format!("/people/{act}"));
    let all = users.iter().fold(all, |all, path| {
        roles.note(Role::Viewer, Method::POST, path);
        all.route(path, post(people::press))
    });
    all.layer(CompressionLayer::new()).layer(from_fn(secured))
}

/// What is for everybody: what pages load.
pub(super) fn open() -> Router<Arc<App>> {
    Router::new()
        .route("/assets/{digest}/{name}", get(assets::asset))
        .route("/theme", post(theme))
        .layer(CompressionLayer::new())
        .layer(from_fn(secured))
}

/// Makes a page of a refusal, for a browser that asked for one.
pub(super) async fn refusals(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let wants = door::wants_page(request.headers()) && !request.uri().path().starts_with("/v1/");
    let theme = Theme::of(request.headers());
    let response = next.run(request).await;
    let problem = response.extensions().get::<Problem>().cloned().filter(|_| wants);
    let Some(problem) = problem else { return response };
    let frame = Frame { theme, ..Frame::new("Nothing was done", "/", app.clock.now()) };
    let page = act::refused(frame, &problem, response.headers(), "/".to_owned(), None);
    page.map(secure).unwrap_or(response)
}

/// What browsers are told of every page.
async fn secured(request: Request, next: Next) -> Response {
    secure(next.run(request).await)
}

fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let all = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in all {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// One part of a page, by its name.
fn part(name: &str, template: &impl Template) -> Result<live::Part, Problem> {
    Ok((name.to_owned(), template.render().map_err(unwritable)?))
}

/// What stands in the tab, as a part.
fn title(frame: &Frame) -> live::Part {
    ("title".to_owned(), format!("<title>{}</title>", words::escape(&frame.title)))
}

/// Makes an answer of a template.
fn page(template: &impl Template) -> Result<Response, Problem> {
    Ok(Html(template.render().map_err(unwritable)?).into_response())
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed over")]
fn unwritable(error: askama::Error) -> Problem {
    tracing::error!(%error, "a page cannot be written");
    Problem::new(500, "a defect of pointsman: this page cannot be written; its log says more")
}

/// What somebody chose, and where they were.
#[derive(serde::Deserialize)]
struct Chosen {
    theme: String,
    then: String,
}

/// Keeps the theme where the browser brings it along, so that the first paint is right.
async fn theme(Form(Chosen { theme, then }): Form<Chosen>) -> Response {
    let kept = match Theme::named(&theme) {
        Some(theme) => format!("theme={}; Path=/; Max-Age=31536000; SameSite=Strict", theme.name()),
        None => "theme=; Path=/; Max-Age=0; SameSite=Strict".to_owned(),
    };
    ([(header::SET_COOKIE, kept)], Redirect::to(door::own_path(Some(&then)))).into_response()
}
