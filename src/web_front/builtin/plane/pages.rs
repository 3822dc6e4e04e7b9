//! The pages that the front itself answers with. Each says which it is in `x-pointsman-front`, so that nobody takes
//! it for an answer of the application. Must not choose when.

use std::io;

use bytes::Bytes;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};

use super::proxy::Page;
use crate::web_front::builtin::settings::Settings;

/// Says that the front itself answers, and why.
pub(in crate::web_front::builtin) const FRONT_NAME: &str = "x-pointsman-front";
static FRONT: HeaderName = HeaderName::from_static(FRONT_NAME);

/// Pages that the operator may replace.
pub(super) struct Pages {
    maintenance: Option<Bytes>,
    no_route: Option<Bytes>,
    retry_after: HeaderValue,
}

impl Pages {
    /// Reads the files that the settings name.
    pub(super) fn load(settings: &Settings) -> io::Result<Self> {
        let read = |path: &Option<std::path::PathBuf>| match path {
            Some(path) => std::fs::read(path)
                .map(|content| Some(Bytes::from(content)))
                .map_err(|e| io::Error::new(e.kind(), format!("the page {} cannot be read: {e}", path.display()))),
            None => Ok(None),
        };
        Ok(Self {
            maintenance: read(&settings.maintenance_page)?,
            no_route: read(&settings.no_route_page)?,
            retry_after: HeaderValue::from(settings.retry_after.as_secs().max(1)),
        })
    }

    /// The page, as JSON for those who ask for that.
    pub(super) fn answer(&self, page: Page, json: bool) -> Response<Bytes> {
        let (status, name, title, text) = words(page);
        let own = match page {
            Page::Maintenance => self.maintenance.clone(),
            Page::NoRoute => self.no_route.clone(),
            _ => None,
        };
        let body = match own {
            _ if json => Bytes::from(format!(
                "{{\"type\":\"about:blank\",\"status\":{},\"title\":\"{title}\",\"detail\":\"{text}\"}}\n",
                status.as_u16()
            )),
            Some(own) => own,
            None => Bytes::from(html(status, title, text)),
        };
        let kind = if json { "application/problem+json" } else { "text/html; charset=utf-8" };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(&FRONT, HeaderValue::from_static(name));
        // For what is wrong with the request itself, waiting is no help.
        if status.is_server_error() {
            headers.insert(header::RETRY_AFTER, self.retry_after.clone());
        }
        response
    }
}

/// One template for all; it loads nothing from elsewhere, because elsewhere may be what is down.
fn html(status: StatusCode, title: &str, text: &str) -> String {
    let page =
        include_str!("../../../../web_front/builtin/page.html").replace("{title}", title).replace("{text}", text);
    page.replace("{status}", status.as_str())
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
        Page::Maintenance => (
            StatusCode::SERVICE_UNAVAILABLE,
            "maintenance",
            "Down for maintenance",
            "The service is being worked on. Please try again in a moment.",
        ),
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
