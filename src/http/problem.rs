//! Errors as `application/problem+json` (RFC 9457): what, and what to do.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    access::{Refused, kept, limits::Wait},
    journal::NotRecorded,
    machine::{EnvironmentId, Refusal},
    telling,
    text::did_you_mean,
};

/// How many environments a refusal lists.
const LISTED: usize = 12;

/// An answer that is no success.
#[derive(Debug, Clone)]
pub struct Problem {
    status: u16,
    detail: String,
    /// When to ask again, where the status alone does not say it.
    again: Option<Wait>,
    kind: Kind,
    changed: Vec<Difference>,
    /// What is wrong with which field of the request, so that a form can say it beside that field.
    fields: Vec<(String, String)>,
}

/// What kind of problem it is, for scripts; the status says the rest.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
enum Kind {
    /// The status says everything.
    #[serde(rename = "about:blank")]
    Plain,
    /// What was shown is no longer so: `changed` says what.
    #[serde(rename = "urn:pointsman:changed")]
    Changed,
    /// The `Idempotency-Key` was used before for another request.
    #[serde(rename = "urn:pointsman:key-used")]
    KeyUsed,
}

/// One thing that is no longer as it was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Difference {
    /// The thing that has changed.
    #[schema(example = "live")]
    pub what: &'static str,
    /// How it was shown.
    #[schema(example = "deployment 7 with release 5 (v1.4.0)")]
    pub shown: String,
    /// How it is now.
    #[schema(example = "deployment 8 with release 6 (v1.5.0)")]
    pub now: String,
}

/// Why a request was not granted, and what to do instead.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Told<'a> {
    r#type: Kind,
    /// The status in words.
    title: &'a str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, and what to do.
    detail: &'a str,
    /// What is no longer as it was shown, when that is the reason.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    changed: &'a [Difference],
}

impl Problem {
    /// Returns a problem with this status; `detail` says what is wrong and what to do.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), again: None, kind: Kind::Plain, changed: Vec::new(), fields: Vec::new() }
    }

    /// Too often; `what` says of what.
    pub(super) fn too_many(what: &str, again: Wait) -> Self {
        let seconds = again.0.0.div_ceil(1000).max(1);
        Self { again: Some(again), ..Self::new(429, format!("too many {what}; ask again in {seconds} s")) }
    }

    /// It is not as it was shown.
    pub(super) fn changed(changed: Vec<Difference>) -> Self {
        let what: Vec<_> = changed.iter().map(|d| format!("{} is now {}, not {}", d.what, d.now, d.shown)).collect();
        let detail = format!("it is no longer what was shown: {}; look again before you confirm", what.join("; "));
        Self { kind: Kind::Changed, changed, ..Self::new(409, detail) }
    }

    /// The key belongs to another request.
    pub(super) fn key_used() -> Self {
        let why = "this `Idempotency-Key` was used before for another request; give each request a key of its own";
        Self { kind: Kind::KeyUsed, ..Self::new(409, why) }
    }

    pub(super) fn no_environment() -> Self {
        Self::not_found("there is no such environment; GET /v1/environments lists them (`pointsman status`)")
    }

    /// There is no environment of this name; `all` are those that the caller may see.
    pub(super) fn unknown_environment(wanted: &str, all: &[String]) -> Self {
        let shown: String = wanted.chars().filter(|c| !c.is_control()).take(90).collect();
        let guess = did_you_mean(wanted, all.iter().map(String::as_str));
        let guess = guess.map(|guess| format!("; did you mean {guess}?")).unwrap_or_default();
        let listed = all.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
        let listed = match all.len() {
            0 => "there is none that you may see".to_owned(),
            count if count > LISTED => format!("there are {count}: {listed}, …"),
            _ => format!("there are: {listed}"),
        };
        Self::not_found(&format!("there is no environment {shown}{guess}; {listed} (`pointsman status` shows them)"))
    }

    /// A request about that environment was not granted.
    pub(super) fn refused(id: &EnvironmentId, error: NotRecorded) -> Self {
        let detail = match &error {
            NotRecorded::Refused(refusal) => telling::refusal(id, refusal),
            NotRecorded::Moved => format!("{error}; `pointsman status {id}`"),
            NotRecorded::NoSpace | NotRecorded::Stopped | NotRecorded::Illegal(_) => error.to_string(),
        };
        Self { detail, ..error.into() }
    }

    /// The same, and what else there is to know.
    pub(super) fn and(mut self, more: &str) -> Self {
        if !more.is_empty() {
            self.detail = format!("{}; {more}", self.detail);
        }
        self
    }

    /// The same, where this is what is wrong with a field.
    pub(super) fn about(mut self, field: impl Into<String>, why: impl Into<String>) -> Self {
        self.fields.push((field.into(), why.into()));
        self
    }

    /// Returns what is wrong with which field of the request.
    pub(super) fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    pub(super) fn not_found(detail: &str) -> Self {
        Self::new(404, detail)
    }
}

impl From<NotRecorded> for Problem {
    fn from(error: NotRecorded) -> Self {
        let status = match &error {
            NotRecorded::Refused(Refusal::NotUnderWay { ended: None, .. }) => 404,
            NotRecorded::Refused(Refusal::NotTheirs { .. } | Refusal::SelfApproval(_)) => 403,
            NotRecorded::Refused(_) | NotRecorded::Moved => 409,
            NotRecorded::NoSpace => 507,
            NotRecorded::Stopped => 503,
            NotRecorded::Illegal(_) => 500,
        };
        Self::new(status, error.to_string())
    }
}

impl From<kept::Error> for Problem {
    fn from(error: kept::Error) -> Self {
        let status = match &error {
            kept::Error::Taken { .. }
            | kept::Error::NotFirst(_)
            | kept::Error::TooMany { .. }
            | kept::Error::LastAdmin { .. } => 409,
            kept::Error::Missing { .. } => 404,
            kept::Error::Locked { .. } | kept::Error::Mistakes(_) => 503,
            kept::Error::Io { .. } => 507,
        };
        Self::new(status, error.to_string())
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = match &refused {
            Refused::Unknown | Refused::Expired { .. } | Refused::WrongPassword | Refused::Ended | Refused::BadLink => {
                401
            }
            Refused::BadUser => 400,
            Refused::TooSmall { .. } | Refused::Outside { .. } | Refused::NotByToken { .. } => 403,
            Refused::Unreadable => 503,
        };
        Self::new(status, refused.to_string())
    }
}

impl Problem {
    /// Returns the HTTP status.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Returns what is wrong, and what to do.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns what is no longer as it was shown, where that is the reason.
    pub(super) fn differences(&self) -> &[Difference] {
        &self.changed
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let title = status.canonical_reason().unwrap_or("Error");
        let Self { kind, detail, changed, .. } = &self;
        let told = Told { r#type: *kind, title, status: self.status, detail, changed };
        let body = serde_json::to_vec(&told).expect("a problem is texts and a number");
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        let again = match (self.again, self.status) {
            (Some(wait), _) => Some(wait.0.0.div_ceil(1000).max(1)),
            (None, 503) => Some(2),
            // A full disk takes a person to put right.
            (None, 507) => Some(60),
            _ => None,
        };
        if let Some(seconds) = again {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // Whoever makes a page of it need not read it again.
        response.extensions_mut().insert(self);
        response
    }
}
