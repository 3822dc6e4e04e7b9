//! What is pressed on a page becomes the very request that a script would send to the API, so both are judged, recorded and
//! refused by the same code. Must not know what the acts do.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension, Router,
    body::Body,
    extract::{Form, FromRequest, Request, State},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts};
use serde_json::{Map, Value};
use tower::ServiceExt;

use super::{Visitor, frame::Frame, page as answer, words::filters};
use crate::{
    access::Role,
    http::{App, Problem, authentication, idempotency, problem::Difference, transport},
    machine::EnvironmentId,
};

/// The API, as it answers everybody.
#[derive(Clone)]
pub(in crate::http) struct Api(pub Router);

/// Fields that say how something is asked for; all others are the request's own.
const HOW: [&str; 5] = ["shown", "key", "csrf", "then", "new"];
/// Fields that are numbers, and those that are yes or no.
const NUMBERS: [&str; 3] = ["number", "release", "instance"];
/// Fields that are several texts, with commas between them.
const LISTS: [&str; 1] = ["only"];
const YES_OR_NO: [&str; 3] = ["lift", "repairs", "on"];
/// What goes along of the headers: who asks, and from where.
const KEPT: [header::HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::ORIGIN];
const KEPT_BY_NAME: [&str; 4] = ["sec-fetch-site", "x-forwarded-for", "x-forwarded-proto", authentication::USER];
/// What goes along of a refusal: it says what the sender has to do.
const KEPT_OF_REFUSALS: [header::HeaderName; 3] = [header::RETRY_AFTER, header::WWW_AUTHENTICATE, header::CONNECTION];

/// Why somebody with this role may not do what takes that one; none when they may.
pub(super) fn not_for(role: Option<Role>, needs: Role, id: &EnvironmentId) -> Option<String> {
    let allowed = role.is_some_and(|role| role >= needs);
    (!allowed).then(|| format!("Not for you: it takes the role {needs} on {id}."))
}

/// A form was sent.
pub(super) async fn press(
    State(app): State<Arc<App>>,
    Extension(Api(api)): Extension<Api>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, Problem> {
    let back = back(request.uri());
    let (fields, answered) = ask(api, request).await?;
    if answered.status().is_success() {
        return Ok(Redirect::to(&format!("{back}#next")).into_response());
    }
    let problem = told(&answered);
    let frame = Frame::new("Nothing was done", back.clone(), app.clock.now()).of(&visitor);
    let reason = fields.iter().find(|(name, _)| name == "reason").map(|(_, reason)| reason.clone());
    refused(frame, &problem, answered.headers(), back, reason)
}

/// Asks the API what a form asks for. Returns the fields of the form, and the answer.
pub(super) async fn ask(api: Router, request: Request) -> Result<(Vec<(String, String)>, Response), Problem> {
    let sent = Sent::read(request).await?;
    let mut body = Map::new();
    for (name, value) in sent.own() {
        body.insert(name.to_owned(), read(name, value)?);
    }
    let answered = sent.ask(api, "", body).await?;
    Ok((sent.fields, answered))
}

/// A form that was sent.
pub(super) struct Sent {
    parts: Parts,
    pub fields: Vec<(String, String)>,
}

impl Sent {
    pub(super) async fn read(request: Request) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let form = Form::<Vec<(String, String)>>::from_request(Request::from_parts(parts.clone(), body), &()).await;
        let Form(fields) = form.map_err(|error| Problem::new(400, error.body_text()))?;
        Ok(Self { parts, fields })
    }

    /// The head of the request.
    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The fields of the request itself that say something.
    pub(super) fn own(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.fields.iter().map(|(name, value)| (&**name, value.trim()));
        all.filter(|(name, value)| !HOW.contains(name) && !value.is_empty())
    }

    /// Asks the API at the same path; `query`: what stands behind it.
    pub(super) async fn ask(&self, api: Router, query: &str, body: Map<String, Value>) -> Result<Response, Problem> {
        let mut request = asked(&self.parts, &self.fields, query, body)?;
        transport::as_it_came(&self.parts.extensions, &mut request);
        let Ok(answered) = api.oneshot(request).await;
        Ok(answered)
    }
}

/// Returns why the API refused.
pub(super) fn told(answered: &Response) -> Problem {
    let told = answered.extensions().get::<Problem>().cloned();
    told.unwrap_or_else(|| Problem::new(answered.status().as_u16(), "the request was refused"))
}

/// Where somebody is sent after a press: the page of the environment, or the one whose form it was.
fn back(uri: &Uri) -> String {
    let parts: Vec<&str> = uri.path().split('/').collect();
    match parts.as_slice() {
        ["", page @ ("tokens" | "people" | "me"), ..] => format!("/{page}"),
        ["", _, pipeline, environment, ..] => format!("/environments/{pipeline}/{environment}"),
        _ => "/".to_owned(),
    }
}

fn asked(
    parts: &Parts,
    fields: &[(String, String)],
    query: &str,
    body: Map<String, Value>,
) -> Result<Request, Problem> {
    let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let body = serde_json::to_vec(&body).map_err(|error| Problem::new(400, error.to_string()))?;
    let mut request = Request::builder().method(Method::POST).uri(format!("/v1{}{query}", parts.uri.path()));
    // By HTTP/2 it stands in the address.
    if let Some(authority) = transport::authority(parts) {
        request = request.header(header::HOST, authority);
    }
    for (name, value) in &parts.headers {
        if KEPT.contains(name) || KEPT_BY_NAME.contains(&name.as_str()) {
            request = request.header(name, value);
        }
    }
    let given = [("if-match", field("shown")), (idempotency::HEADER, field("key")), ("x-csrf-token", field("csrf"))];
    for (name, value) in given.into_iter().filter_map(|(name, value)| Some((name, value.filter(|v| !v.is_empty())?))) {
        let value = HeaderValue::from_str(value);
        request = request.header(name, value.map_err(|_| Problem::new(400, "the form was changed on its way"))?);
    }
    let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body));
    request.map_err(|error| Problem::new(400, error.to_string()))
}

fn read(name: &str, value: &str) -> Result<Value, Problem> {
    let wrong = |what: &str| Problem::new(400, format!("`{name}` must be {what}"));
    if NUMBERS.contains(&name) {
        return value.parse::<u32>().map(Value::from).map_err(|_| wrong("a whole number"));
    }
    if YES_OR_NO.contains(&name) {
        return value.parse::<bool>().map(Value::from).map_err(|_| wrong("true or false"));
    }
    if LISTS.contains(&name) {
        return Ok(value.split(',').map(str::trim).filter(|one| !one.is_empty()).map(Value::from).collect());
    }
    Ok(Value::from(value))
}

/// A page that says that nothing was done, and why.
#[derive(Template)]
#[template(path = "refused.html")]
struct Refused<'a> {
    frame: Frame,
    heading: &'static str,
    detail: &'a str,
    changed: &'a [Difference],
    back: String,
    reason: Option<String>,
}

/// Answers with what stands in the way, as a page.
pub(super) fn refused(
    frame: Frame,
    problem: &Problem,
    headers: &HeaderMap,
    back: String,
    reason: Option<String>,
) -> Result<Response, Problem> {
    let changed = problem.differences();
    let heading = match problem.status() {
        _ if !changed.is_empty() => "Nothing was done: it has changed meanwhile",
        400..500 => "Nothing was done",
        _ => "This did not work",
    };
    let response = answer(&Refused { frame, heading, detail: problem.detail(), changed, back, reason })?;
    Ok(as_refusal(response, problem, headers))
}

/// Gives a page the status of a refusal, and what tells the sender what to do.
pub(super) fn as_refusal(mut response: Response, problem: &Problem, headers: &HeaderMap) -> Response {
    *response.status_mut() = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers.iter().filter(|(name, _)| KEPT_OF_REFUSALS.contains(name)) {
        response.headers_mut().insert(name, value.clone());
    }
    response
}
