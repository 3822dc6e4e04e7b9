//! What is around every page: who looks, where they are, and what the page loads.

use sha2::{Digest, Sha256};

use super::{
    assets::{self, Addresses},
    words::escape,
};
use crate::{
    access::Caller,
    http::shown::Shown,
    machine::Millis,
    pipelines::{EnvironmentDefinition, Tier},
    text::format_time,
};

/// The parts of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    Overview,
    History,
    Nowhere,
}

/// What is around a page.
pub(super) struct Frame {
    /// What a tab is called; prod comes first.
    pub title: String,
    pub here: Here,
    /// The environment that the page is about.
    pub place: String,
    pub tier: Option<Tier>,
    /// Empty where nobody is signed in.
    pub who: String,
    pub role: String,
    /// `light`, `dark`, or empty for what the system has.
    pub theme: String,
    /// Proves that the form which signs out is ours; empty where no session asks.
    pub csrf: String,
    pub now: Millis,
    /// Where changes of the page come from; empty where it has none.
    pub stream: String,
    /// The page's own address.
    pub address: String,
    /// A phone has both ways at its bottom.
    pub docked: bool,
    pub assets: &'static Addresses,
}

impl Frame {
    /// A page with this name, for nobody yet.
    pub(super) fn new(name: &str, now: Millis) -> Self {
        Self {
            title: format!("{name} · Pointsman"),
            here: Here::Nowhere,
            place: String::new(),
            tier: None,
            who: String::new(),
            role: String::new(),
            theme: String::new(),
            csrf: String::new(),
            now,
            stream: String::new(),
            address: "/".to_owned(),
            docked: false,
            assets: assets::addresses(),
        }
    }

    /// The same for somebody, who has some role somewhere.
    pub(super) fn of(self, caller: &Caller) -> Self {
        let role = caller.grants.iter().map(|grant| grant.role).max();
        Self { who: caller.by.to_string(), role: role.map(|role| role.to_string()).unwrap_or_default(), ..self }
    }

    /// The same for somebody at an environment.
    pub(super) fn at(self, caller: &Caller, definition: &EnvironmentDefinition) -> Self {
        let (id, tier) = (&definition.id, Tier::of(&definition.id.environment));
        let role = caller.role_in(id).map(|role| format!("{role} on {}", id.environment)).unwrap_or_default();
        let title = if tier == Tier::Prod { format!("PROD {}", self.title) } else { self.title };
        let (place, who) = (id.to_string(), caller.by.to_string());
        Self { title, place, tier: Some(tier), who, role, ..self }
    }

    /// The name of its tier.
    pub(super) fn tier_name(&self) -> &'static str {
        self.tier.map(Tier::name).unwrap_or_default()
    }

    /// The pipeline that the page is about.
    pub(super) fn pipeline(&self) -> &str {
        self.place.split('/').next().unwrap_or_default()
    }

    /// The environment of it.
    pub(super) fn environment(&self) -> &str {
        self.place.split('/').nth(1).unwrap_or_default()
    }

    /// Whether what is done here reaches users.
    pub(super) fn is_prod(&self) -> bool {
        self.tier == Some(Tier::Prod)
    }

    /// The navigation: name, address, and whether the page is there.
    pub(super) fn nav(&self) -> [(&'static str, &'static str, bool); 2] {
        [("Overview", "/", self.here == Here::Overview), ("History", "/history", self.here == Here::History)]
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
    key: String,
    csrf: String,
}

impl Fields {
    /// Those of a page that showed this of an environment with so many events.
    pub(super) fn new(shown: &Shown, seq: u64, csrf: &str) -> Self {
        let shown = shown.text();
        Self { key: hex::encode(&Sha256::digest(format!("{seq} {shown}"))[..16]), shown, csrf: csrf.to_owned() }
    }

    /// Returns them as hidden fields.
    pub(super) fn hidden(&self) -> String {
        let field =
            |name: &str, value: &str| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value));
        [field("shown", &self.shown), field("key", &self.key), field("csrf", &self.csrf)].concat()
    }
}
