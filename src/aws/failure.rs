//! Why AWS gave no answer that helps, in AWS's own words. Must not know what was asked for.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::{outgoing::root_cause, stacks::StepError, text::one_line};

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It was answered, and said no.
    Said(Said),
    /// The request may have been received, or not.
    Unheard(String),
    /// It was not asked: there are no credentials, or they are no longer good.
    Unknown(String),
}

/// What AWS says when it says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// Status of the answer.
    pub(super) status: u16,
    /// The error's code, such as `ClusterNotFoundException`; empty where the answer had none.
    pub(super) code: String,
    /// The error's message.
    pub(super) message: String,
    /// Id of the request, by which AWS's support finds it.
    pub(super) request: Option<String>,
}

/// Codes of an account that is asked too often.
const THROTTLED: [&str; 6] = [
    "ThrottlingException",
    "Throttling",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "SlowDown",
];
/// Codes of credentials that are not known, or not any more.
const EXPIRED: [&str; 7] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "AuthFailure",
    "SignatureDoesNotMatch",
];
/// Codes of what is not allowed.
const DENIED: [&str; 4] = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedException"];

impl Failure {
    /// Reads an answer that is an error.
    pub(super) fn said(said: Said) -> Self {
        match said.code.as_str() {
            code if EXPIRED.contains(&code) => Self::Unknown(said.to_string()),
            _ => Self::Said(said),
        }
    }

    /// The code that AWS gave; `None`: there was no answer, or one without.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Said(said) => Some(said.code.as_str()).filter(|code| !code.is_empty()),
            Self::Unheard(_) | Self::Unknown(_) => None,
        }
    }

    /// What AWS said.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Said(said) => &said.message,
            Self::Unheard(text) | Self::Unknown(text) => text,
        }
    }

    /// Whether the account was asked too often.
    pub(super) fn is_throttle(&self) -> bool {
        self.code().is_some_and(|code| THROTTLED.contains(&code))
    }

    /// Whether asking again may help, without a change of what is asked.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Said(said) => self.is_throttle() || said.status >= 500,
            Self::Unheard(_) => true,
            Self::Unknown(_) => false,
        }
    }

    /// Makes a step's error of it. `doing`: what was tried, for people.
    pub(crate) fn step(self, doing: &str) -> StepError {
        let throttled = self.is_throttle();
        let passes = self.may_pass();
        match self {
            Self::Said(said) if throttled => {
                StepError::Unavailable(format!("{doing}: AWS limits how often it is asked: {said}"))
            }
            Self::Said(said) if passes => {
                StepError::Unavailable(format!("{doing}: AWS is temporarily unavailable: {said}"))
            }
            Self::Said(said) if DENIED.contains(&said.code.as_str()) => {
                StepError::Refused(format!("{doing}: AWS does not allow it: {said}"))
            }
            Self::Said(said) => StepError::Refused(format!("{doing}: AWS refuses: {said}")),
            Self::Unheard(why) => StepError::Unavailable(format!("{doing}: {why}")),
            // Credentials are renewed outside of the pipeline, by a file or a role: then the next try is good.
            Self::Unknown(why) => {
                StepError::Unavailable(format!("{doing}: AWS does not accept the credentials: {why}"))
            }
        }
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = if self.code.is_empty() { format!("status {}", self.status) } else { self.code.clone() };
        write!(f, "{code}: {}", one_line(&self.message))?;
        self.request.as_ref().map_or(Ok(()), |id| write!(f, " (request {id})"))
    }
}

impl<E: ProvideErrorMetadata + Error + Send + Sync + 'static> From<SdkError<E, HttpResponse>> for Failure {
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        if let SdkError::ServiceError(refusal) = &error {
            let meta = refusal.err().meta();
            return Self::said(Said {
                status: refusal.raw().status().as_u16(),
                code: meta.code().unwrap_or_default().to_owned(),
                message: meta.message().unwrap_or("no reason given").to_owned(),
                request: meta.extra("aws_request_id").map(str::to_owned),
            });
        }
        if let Some(why) = credentials(&error) {
            return Self::Unknown(why);
        }
        match &error {
            SdkError::TimeoutError(_) => Self::Unheard("no answer in time".to_owned()),
            SdkError::ResponseError(answer) => {
                let status = answer.raw().status().as_u16();
                Self::Unheard(format!("the answer, status {status}, cannot be read: {}", root_cause(&error)))
            }
            _ => Self::Unheard(root_cause(&error)),
        }
    }
}

/// Why there are no credentials, if that is the reason.
fn credentials(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = error;
    while !cause.is::<CredentialsError>() {
        cause = cause.source()?;
    }
    Some(format!("there are none that can be used: {}", root_cause(cause)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, code: &str) -> Failure {
        let (message, request) = ("the reason".to_owned(), Some("8f-1".to_owned()));
        Failure::said(Said { status, code: code.to_owned(), message, request })
    }

    #[test]
    fn what_may_pass_is_asked_again_and_the_rest_is_refused_in_the_words_of_aws() {
        for (status, code, refused, part) in [
            (400, "ClusterNotFoundException", true, "ClusterNotFoundException: the reason (request 8f-1)"),
            (400, "ThrottlingException", false, "AWS limits how often it is asked"),
            (503, "ServiceUnavailable", false, "temporarily unavailable"),
            (502, "", false, "status 502: the reason"),
            (403, "ExpiredTokenException", false, "does not accept the credentials"),
            (403, "AccessDenied", true, "does not allow it"),
        ] {
            let step = said(status, code).step("making x");
            assert_eq!(step.is_refusal(), refused, "{code}: {step}");
            assert!(step.to_string().starts_with("making x: ") && step.to_string().contains(part), "{code}: {step}");
        }
    }
}
