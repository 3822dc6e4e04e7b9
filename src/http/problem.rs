//! Errors as `application/problem+json`: what, and what to do.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use crate::{journal::CommandError, machine::Refusal};

/// An answer that is no success.
#[derive(Debug)]
pub struct Problem {
    status: u16,
    detail: String,
}

impl Problem {
    /// With this status; `detail` says what is wrong and what to do.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
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

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let title = status.canonical_reason().unwrap_or("Error");
        let body = serde_json::json!({ "title": title, "status": self.status, "detail": self.detail }).to_string();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        // A full disk takes a person to put right.
        let again = match self.status {
            503 => Some("2"),
            507 => Some("60"),
            _ => None,
        };
        if let Some(seconds) = again {
            response.headers_mut().insert(header::RETRY_AFTER, http::HeaderValue::from_static(seconds));
        }
        response
    }
}
