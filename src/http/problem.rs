//! Errors as `application/problem+json`: what, and what to do.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::{
    access::{Refused, limits::Wait},
    journal::CommandError,
    machine::Refusal,
};

/// An answer that is no success.
#[derive(Debug)]
pub struct Problem {
    status: u16,
    detail: String,
    /// When to ask again, where the status alone does not say it.
    again: Option<Wait>,
}

impl Problem {
    /// With this status; `detail` says what is wrong and what to do.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), again: None }
    }

    /// Too often; `what` says of what.
    pub(super) fn too_many(what: &str, again: Wait) -> Self {
        let seconds = again.0.0.div_ceil(1000).max(1);
        Self { again: Some(again), ..Self::new(429, format!("too many {what}; ask again in {seconds} s")) }
    }

    pub(super) fn no_environment() -> Self {
        Self::not_found("there is no such environment; GET /v1/environments lists them")
    }

    pub(super) fn not_found(detail: &str) -> Self {
        Self::new(404, detail)
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let status = match &error {
            CommandError::Refused(Refusal::NotUnderWay { ended: None, .. }) => 404,
            CommandError::Refused(Refusal::NotTheirs { .. } | Refusal::OwnWish(_)) => 403,
            CommandError::Refused(_) | CommandError::Moved => 409,
            CommandError::NoSpace => 507,
            CommandError::Stopped => 503,
            CommandError::Illegal(_) => 500,
        };
        Self::new(status, error.to_string())
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = match &refused {
            Refused::Unknown | Refused::Expired { .. } => 401,
            Refused::BadUser => 400,
            Refused::TooSmall { .. } | Refused::Outside { .. } => 403,
            Refused::Unreadable => 503,
        };
        Self::new(status, refused.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let title = status.canonical_reason().unwrap_or("Error");
        let body = serde_json::json!({ "title": title, "status": self.status, "detail": self.detail }).to_string();
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
        response
    }
}
