//! The pages of the door, and the headers of every page of it. Must not decide anything.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use crate::http::Problem;

/// Content security policy: nothing is loaded from elsewhere, and forms go nowhere else.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "door/message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
    link: Option<(&'a str, &'a str)>,
}

#[derive(Template)]
#[template(path = "door/sign-in.html")]
pub(super) struct SignIn<'a> {
    pub user: &'a str,
    pub then: &'a str,
    pub press: &'a str,
    /// Something that was pressed waits for the sign-in.
    pub waits: bool,
    pub wrong: Option<&'a str>,
    /// What the provider is called, and the path that begins a sign-in at it.
    pub oidc: Option<(&'a str, String)>,
    /// Why nobody was signed in by the provider.
    pub failed: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "door/welcome.html")]
pub(super) struct Welcome<'a> {
    pub code: &'a str,
    pub user: &'a str,
    pub wrong: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "door/choose.html")]
pub(super) struct Choose<'a> {
    pub code: &'a str,
    pub user: &'a str,
    pub wrong: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "door/again.html")]
pub(super) struct Again<'a> {
    pub path: &'a str,
    pub csrf: &'a str,
    pub fields: &'a [(String, String)],
}

/// Returns a page that says one thing, and may lead on.
pub(in crate::http) fn message(status: StatusCode, title: &str, text: &str, link: Option<(&str, &str)>) -> Response {
    render(status, &Message { title, text, link })
}

pub(super) fn render(status: StatusCode, page: &impl Template) -> Response {
    let Ok(text) = page.render() else {
        return Problem::new(500, "a defect of pointsman: a page could not be made; report this").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ];
    (status, headers, text).into_response()
}
