//! What is around every page: who looks, where they are, and what the page loads.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{
    assets::{self, Addresses},
    visitor::{Theme, Visitor},
    words::escape,
};
use crate::{
    access::Role,
    http::shown::Shown,
    machine::{EnvironmentId, Millis},
    pipelines::Tier,
    text::format_time,
};

/// The parts of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    Overview,
    History,
    People,
    Tokens,
    Me,
    Figures,
    Nowhere,
}

/// Frame around every page.
pub(super) struct Frame {
    /// What a tab is called; prod comes first.
    pub title: String,
    pub here: Here,
    /// The environment that the page is about.
    pub place: Option<Place>,
    /// Who looks; none before anybody is known.
    pub who: Option<Who>,
    pub theme: Option<Theme>,
    pub now: Millis,
    /// The address from which changes of the page come; none where it has none.
    pub stream: Option<String>,
    /// The page's own address.
    pub address: String,
    pub assets: &'static Addresses,
}

/// An environment that a page is about.
pub(super) struct Place {
    pub id: EnvironmentId,
    /// How near it is to users, where its name tells.
    pub tier: Option<Tier>,
}

/// Somebody who is signed in.
pub(super) struct Who {
    pub name: Arc<str>,
    /// Roles of the visitor in what the page shows.
    pub role: Option<String>,
    /// They look after the doors.
    pub is_admin: bool,
    /// Proves that the form which signs out is ours; none where a token asks.
    pub csrf: Option<Arc<str>>,
}

impl Frame {
    /// Frames a page with this name and address, for nobody yet.
    pub(super) fn new(name: &str, address: impl Into<String>, now: Millis) -> Self {
        Self {
            title: format!("{name} · Pointsman"),
            here: Here::Nowhere,
            place: None,
            who: None,
            theme: None,
            now,
            stream: None,
            address: address.into(),
            assets: assets::addresses(),
        }
    }

    /// Frames it for somebody.
    pub(super) fn of(self, visitor: &Visitor) -> Self {
        let role = visitor.caller.grants.iter().map(|grant| grant.role).max();
        self.seen_by(visitor, role.map(|role| role.to_string()))
    }

    /// Frames it for somebody, as a page about an environment.
    pub(super) fn at(self, visitor: &Visitor, id: &EnvironmentId) -> Self {
        let tier = Tier::of(&id.environment);
        let role = visitor.caller.role_in(id).map(|role| format!("{role} on {}", id.environment));
        let title = if tier == Some(Tier::Prod) { format!("PROD {}", self.title) } else { self.title };
        Self { title, place: Some(Place { id: id.clone(), tier }), ..self }.seen_by(visitor, role)
    }

    fn seen_by(self, visitor: &Visitor, role: Option<String>) -> Self {
        let is_admin = visitor.caller.may_everywhere(Role::Admin).is_ok();
        let who = Who { name: visitor.caller.by.clone(), role, is_admin, csrf: visitor.csrf.clone() };
        Self { who: Some(who), theme: visitor.theme, ..self }
    }

    /// Whether this theme was chosen.
    pub(super) fn has_theme(&self, name: &str) -> bool {
        self.theme.is_some_and(|theme| theme.name() == name)
    }

    /// Whether what is done here reaches users.
    pub(super) fn is_prod(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.tier == Some(Tier::Prod))
    }

    /// Whether a phone has both ways at its bottom: where there are acts, the page follows what happens.
    pub(super) fn is_docked(&self) -> bool {
        self.place.is_some() && self.stream.is_some()
    }

    /// The navigation: name, address, and whether the page is there.
    pub(super) fn nav(&self) -> Vec<(&'static str, &'static str, bool)> {
        let all = [
            ("Overview", "/", Here::Overview),
            ("History", "/history", Here::History),
            ("Figures", "/figures", Here::Figures),
        ];
        let doors = [("People", "/people", Here::People), ("Tokens", "/tokens", Here::Tokens)];
        let doors = doors.into_iter().filter(|_| self.who.as_ref().is_some_and(|who| who.is_admin));
        all.into_iter().chain(doors).map(|(name, address, here)| (name, address, self.here == here)).collect()
    }

    /// Whether this is the page of one's own sessions.
    pub(super) fn is_of_oneself(&self) -> bool {
        self.here == Here::Me
    }

    /// When the page was made.
    pub(super) fn time(&self) -> String {
        format_time(self.now)
    }

    #[expect(clippy::unused_self, reason = "the template asks it")]
    pub(super) fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

/// What every form carries: what it showed, a name by which it is done once, and that it is ours.
pub(super) struct Fields {
    shown: String,
    /// What the keys of a page's forms are made of.
    seed: String,
    csrf: Option<Arc<str>>,
}

impl Fields {
    /// Returns the hidden fields of a page that showed this of an environment with `seq` events.
    pub(super) fn new(shown: &Shown, seq: u64, visitor: &Visitor) -> Self {
        Self { shown: shown.text(), seed: format!("{} {seq}", visitor.look), csrf: visitor.csrf.clone() }
    }

    /// Returns them as hidden fields; `form`: which form of the page. One that is sent twice has the same key twice.
    pub(super) fn hidden(&self, form: &str) -> String {
        let key = hex::encode(&Sha256::digest(format!("{} {} {form}", self.seed, self.shown))[..16]);
        let field =
            |name: &str, value: &str| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value));
        let csrf = self.csrf.iter().map(|csrf| field("csrf", csrf));
        [field("shown", &self.shown), field("key", &key)].into_iter().chain(csrf).collect()
    }
}
