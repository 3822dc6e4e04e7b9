//! The pages that the front itself answers with. Each says which it is in `x-pointsman-front`, so that nobody takes
//! it for an answer of the application. Must not choose when.

use std::{io, path::PathBuf};

use bytes::Bytes;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};

use super::proxy::Page;
use crate::web_front::{
    builtin::settings::Settings,
    maintenance::{self, MediaType, OwnPage, html, problem},
};

/// Says that the front itself answers, and why.
pub(in crate::web_front::builtin) const FRONT_NAME: &str = "x-pointsman-front";
static FRONT: HeaderName = HeaderName::from_static(FRONT_NAME);

/// Pages that the operator may replace.
pub(super) struct Pages {
    maintenance: Option<Own>,
    no_route: Option<Own>,
    /// What `Retry-After` says on the maintenance page, and on others.
    back: HeaderValue,
    retry_after: HeaderValue,
}

/// A page of the operator's.
struct Own {
    media_type: MediaType,
    body: Bytes,
}

impl From<OwnPage> for Own {
    fn from(page: OwnPage) -> Self {
        Self { media_type: page.media_type, body: page.text.into() }
    }
}

impl Pages {
    /// The pages without those of the operator.
    pub(super) fn ours(settings: &Settings) -> Self {
        Self {
            maintenance: None,
            no_route: None,
            back: settings.maintenance.seconds().into(),
            retry_after: settings.retry_after.as_secs().max(1).into(),
        }
    }

    /// Reads the files that the settings name.
    pub(super) fn load(settings: &Settings) -> io::Result<Self> {
        let read =
            |path: &Option<PathBuf>| path.as_deref().map(OwnPage::read).transpose().map(|own| own.map(Own::from));
        let (maintenance, no_route) = (read(&settings.maintenance.page)?, read(&settings.no_route_page)?);
        Ok(Self { maintenance, no_route, ..Self::ours(settings) })
    }

    /// The page, as JSON for those who ask for that.
    pub(super) fn answer(&self, page: Page, json: bool) -> Response<Bytes> {
        let (status, name, title, text) = words(page);
        let (own, retry_after) = match page {
            Page::Maintenance => (self.maintenance.as_ref(), &self.back),
            Page::NoRoute => (self.no_route.as_ref(), &self.retry_after),
            _ => (None, &self.retry_after),
        };
        let (kind, body) = match own.filter(|own| !json || own.media_type == MediaType::Json) {
            Some(own) => (own.media_type.name(), own.body.clone()),
            None if json => ("application/problem+json", problem(status.as_u16(), title, text).into()),
            None => (MediaType::Html.name(), html(status.as_u16(), title, text).into()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(&FRONT, HeaderValue::from_static(name));
        // For what is wrong with the request itself, waiting is no help.
        if status.is_server_error() {
            headers.insert(header::RETRY_AFTER, retry_after.clone());
        }
        response
    }
}

/// Whether JSON is asked for, and HTML is not.
pub(super) fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("json") && !accept.contains("html")
}

fn words(page: Page) -> (StatusCode, &'static str, &'static str, &'static str) {
    match page {
        Page::NoRoute => (
            StatusCode::SERVICE_UNAVAILABLE,
            "no-route",
            "Nothing is here yet",
            "No release is live at this address. Please try again in a moment.",
        ),
        Page::Maintenance => (StatusCode::SERVICE_UNAVAILABLE, "maintenance", maintenance::TITLE, maintenance::TEXT),
        Page::NoCandidate => (
            StatusCode::SERVICE_UNAVAILABLE,
            "no-candidate",
            "There is no such candidate",
            "A preview was asked for, and the front knows no candidate of that name.",
        ),
        Page::Unreachable => (
            StatusCode::BAD_GATEWAY,
            "unreachable",
            "The service did not answer",
            "The connection to the service failed. Please try again in a moment.",
        ),
        Page::Timeout => {
            (StatusCode::GATEWAY_TIMEOUT, "timeout", "The service took too long", "The service did not answer in time.")
        }
        Page::Crowded => (
            StatusCode::SERVICE_UNAVAILABLE,
            "crowded",
            "Too many connections",
            "The front has as many connections as it may have. Please try again in a moment.",
        ),
        Page::Busy => (
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "The service is busy",
            "It answers as many requests as it can. Please try again in a moment.",
        ),
        Page::BadAnswer => (
            StatusCode::BAD_GATEWAY,
            "bad-answer",
            "The service gave a wrong answer",
            "The answer of the service cannot be passed on.",
        ),
        Page::Stalled => (
            StatusCode::REQUEST_TIMEOUT,
            "stalled",
            "The request did not arrive",
            "The rest of the request was waited for too long.",
        ),
        Page::LengthRequired => (
            StatusCode::LENGTH_REQUIRED,
            "length-required",
            "The length is missing",
            "The service needs to know how long a request of this size is. Send a Content-Length.",
        ),
        Page::BadRequest(why) => (StatusCode::BAD_REQUEST, "bad-request", "The request is not understood", why),
    }
}
