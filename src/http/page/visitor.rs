//! Who looks at a page, and how their browser wants it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::{HeaderMap, header, request::Parts};

use crate::{
    access::Caller,
    http::{Problem, authentication::Session},
    random,
};

/// Who looks at a page.
#[derive(Clone)]
pub(super) struct Visitor {
    pub caller: Caller,
    pub theme: Option<Theme>,
    /// Proves that a form is ours; none where a token asks.
    pub csrf: Option<Arc<str>>,
    /// The name of this look: what is pressed on two pages are two requests, though both showed the same.
    pub look: Arc<str>,
}

/// A theme that somebody chose; without one, the page has that of their system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Light,
    Dark,
}

impl Theme {
    /// Returns the theme of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Light, Self::Dark].into_iter().find(|theme| theme.name() == name)
    }

    /// Returns its name, in forms, cookies and pages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Returns the theme that the browser kept.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = all.flat_map(|all| all.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == "theme").and_then(|(_, kept)| Self::named(kept))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let csrf = parts.extensions.get::<Session>().map(|session| session.csrf.clone());
        let look = random::hex_of(8).map_err(|error| Problem::new(503, format!("no randomness for forms: {error}")))?;
        Ok(Self { caller, theme: Theme::of(&parts.headers), csrf, look: look.into() })
    }
}
