//! What counts as an answer: given by a Pointsman controller, which says so in a header, and of the shape that was asked
//! for. Whatever else answers is an error that names it. Must not take anything else for an answer.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    cli::screen::harmless,
    http::identity::{HEADER, VERSION},
    text::excerpt,
};

/// An answer's shape: what is read of it must be there.
pub trait Told: DeserializeOwned {}

impl<T: DeserializeOwned> Told for T {}

/// What was answered, with the tag of the state that it tells of.
#[derive(Debug)]
pub struct Answer<T> {
    /// Body of the answer.
    pub body: T,
    /// The same as it was sent, to be shown.
    pub json: Value,
    /// Entity tag, for `If-Match`.
    pub etag: Option<HeaderValue>,
}

/// Any JSON object.
pub(super) type Anything = serde_json::Map<String, Value>;

/// The reason why there is no answer, or not the one that was wanted.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing was answered: it may have been heard or not.
    #[error(
        "the controller at {base} cannot be reached ({why}); is `pointsman serve` running? (`systemctl status pointsman` where it is a service)"
    )]
    Unreachable {
        /// Where it was looked for.
        base: String,
        /// The innermost cause.
        why: String,
    },
    /// It said no.
    #[error("{}", problem["detail"].as_str().unwrap_or(status.canonical_reason().unwrap_or("the controller refused")))]
    Refused {
        /// Its status.
        status: StatusCode,
        /// The problem as it was told.
        problem: Value,
    },
    /// Something else answered, or what was answered cannot be read.
    #[error(
        "the answer of {url} is not one of a Pointsman controller: {what}; nothing is taken as done; check `--server` and \
         POINTSMAN_SERVER, and what answers there: curl -i {url}"
    )]
    Foreign {
        /// Address that was asked.
        url: String,
        /// The status.
        status: StatusCode,
        /// Status, content type and what is wrong with it.
        what: String,
    },
    /// The controller of this host did not prove that it is the one.
    #[error(
        "what answers at {base} did not prove that it is the controller of this folder ({why}); the local token was not \
         sent; check `pointsman serve`, or set POINTSMAN_TOKEN_FILE for a controller elsewhere"
    )]
    Unproven {
        /// Where it was looked for.
        base: String,
        /// Reason why the proof was not accepted.
        why: String,
    },
}

impl ClientError {
    /// Whether it may be another answer in a moment: nothing answered, or something in front of the controller did.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } | Self::Foreign { status, .. } => matches!(status.as_u16(), 502..=504),
            Self::Unproven { .. } => false,
        }
    }
}

/// One answer as it came.
pub(super) struct Raw {
    pub(super) url: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) bytes: bytes::Bytes,
}

impl Raw {
    /// Returns the id and the version of the controller that answered.
    pub(super) fn controller(&self) -> Result<(&str, &str), ClientError> {
        let value = self.headers.get(HEADER).ok_or_else(|| self.foreign(&format!("without the header `{HEADER}`")))?;
        let parts = value.to_str().ok().and_then(|text| text.split_once("; version="));
        parts
            .filter(|(id, _)| !id.is_empty())
            .ok_or_else(|| self.foreign(&format!("with a header `{HEADER}` of another kind")))
    }

    /// The same answer, if it is a controller's and says yes.
    pub(super) fn granted(self) -> Result<Self, ClientError> {
        self.controller()?;
        if self.status.is_success() {
            return Ok(self);
        }
        let problem = serde_json::from_slice::<Value>(&self.bytes);
        match problem {
            Ok(problem) if problem["detail"].is_string() => Err(ClientError::Refused { status: self.status, problem }),
            Ok(_) => Err(self.foreign("without `detail`")),
            Err(error) => Err(self.foreign(&format!("which cannot be read as JSON ({error})"))),
        }
    }

    /// Reads it.
    pub(super) fn read<T: Told>(&self) -> Result<Answer<T>, ClientError> {
        let json: Value = serde_json::from_slice(&self.bytes)
            .map_err(|error| self.foreign(&format!("which cannot be read as JSON ({error})")))?;
        let body = T::deserialize(&json).map_err(|error| self.other_shape(&error))?;
        Ok(Answer { body, json, etag: self.headers.get(header::ETAG).cloned() })
    }

    /// A line of it.
    pub(super) fn with(&self, line: &[u8]) -> Self {
        let (url, status, headers) = (self.url.clone(), self.status, self.headers.clone());
        Self { url, status, headers, bytes: bytes::Bytes::copy_from_slice(line) }
    }

    /// Reads it, and keeps nothing besides.
    pub(super) fn parse<T: Told>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.bytes).map_err(|error| self.other_shape(&error))
    }

    fn other_shape(&self, error: &serde_json::Error) -> ClientError {
        let versions = match self.controller() {
            Ok((_, version)) if version != VERSION => format!("; it has version {version}, this program {VERSION}"),
            _ => String::new(),
        };
        self.foreign(&format!("of another shape than expected ({error}{versions})"))
    }

    pub(super) fn foreign(&self, wrong: &str) -> ClientError {
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.map_or("no content type".to_owned(), |kind| excerpt(&harmless(kind)));
        let to = self.headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
        let to = to.map_or_else(String::new, |to| format!(", which leads to {}", excerpt(&harmless(to))));
        let what = format!("{}, {kind}, {} bytes{to}, {wrong}", self.status, self.bytes.len());
        ClientError::Foreign { url: self.url.clone(), status: self.status, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(status: u16, identity: Option<&str>, kind: &str, body: &str) -> Raw {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::try_from(kind).expect("good"));
        if let Some(identity) = identity {
            headers.insert(HEADER, HeaderValue::try_from(identity).expect("good"));
        }
        let status = StatusCode::from_u16(status).expect("a status");
        Raw { url: "http://x/v1".into(), status, headers, bytes: body.to_owned().into() }
    }

    #[test]
    fn whatever_is_not_a_controllers_answer_is_named_with_address_and_content_type() {
        let ours = Some("5f; version=9");
        for (identity, body) in [
            (None, "<html>Please sign in</html>"),
            (None, "{}"),
            (ours, ""),
            (ours, "[]"),
            (ours, "null"),
            (ours, "{\"environment\": 3"),
            (Some("; version=9"), "{}"),
            (Some("x"), "{}"),
        ] {
            let answer = raw(200, identity, "text/html", body);
            let error = answer.granted().and_then(|raw| raw.read::<Anything>()).expect_err(body).to_string();
            assert!(error.contains("http://x/v1") && error.contains("text/html"), "{error}");
            assert!(error.contains("nothing is taken as done"), "{error}");
        }
        raw(200, ours, "application/json", "{}").granted().and_then(|raw| raw.read::<Anything>()).expect("an object");
    }

    #[test]
    fn what_may_pass_is_told_from_what_may_not() {
        let refused = |status: u16, body: &str| {
            raw(status, Some("5f; version=9"), "application/problem+json", body).granted().err().expect("no")
        };
        let told = "{\"detail\": \"why\"}";
        assert!(refused(503, told).may_pass() && !refused(409, told).may_pass() && !refused(507, told).may_pass());
        assert_eq!(refused(409, told).to_string(), "why");
        assert!(matches!(refused(409, "no"), ClientError::Foreign { .. }));
        let proxy = |status| raw(status, None, "text/html", "<html>").granted().err().expect("no");
        assert!(proxy(502).may_pass() && !proxy(401).may_pass() && !proxy(302).may_pass());
    }
}
