//! Who asks, once it is proven, and what that allows. Must not know how it was proven.

use std::sync::Arc;

use super::{Digest, Grant, Refused, Role, Scope, list, role_in};
use crate::machine::EnvironmentId;

/// Who asks, proven by a token or a session.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The name in the journal: the token's or the user's, or `local:NAME`.
    pub by: Arc<str>,
    /// Grants of the caller.
    pub grants: Arc<[Grant]>,
    /// What proved it, so that [`Access::still`](super::Access::still) finds it again.
    pub(super) credential: Credential,
}

/// Proof of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credential {
    /// The local token.
    Local,
    /// A token of the file.
    Token(Digest),
    /// A session.
    Session(Digest),
}

impl Caller {
    /// Returns whether the local token itself proved it.
    pub fn has_local_token(&self) -> bool {
        self.credential == Credential::Local
    }

    /// Returns the session that proved it.
    pub fn session(&self) -> Option<Digest> {
        match self.credential {
            Credential::Session(digest) => Some(digest),
            Credential::Local | Credential::Token(_) => None,
        }
    }

    /// Returns the token of the file that proved it.
    pub fn token(&self) -> Option<Digest> {
        match self.credential {
            Credential::Token(digest) => Some(digest),
            Credential::Local | Credential::Session(_) => None,
        }
    }

    /// Allows what takes this role in this environment, or refuses it.
    ///
    /// # Errors
    /// That none of the grants holds there, or that it takes a greater role.
    pub fn may(&self, needs: Role, id: &EnvironmentId) -> Result<(), Refused> {
        let role = self.role_in(id).ok_or_else(|| self.outside(&id.to_string()))?;
        self.suffices(role, needs)
    }

    /// Returns whether one of the grants holds in the environment.
    pub fn sees(&self, id: &EnvironmentId) -> bool {
        self.role_in(id).is_some()
    }

    /// Returns what tells apart what two callers may see: the places where their grants hold, each once, or `*` for all.
    pub fn places(&self) -> Vec<String> {
        let mut places = Vec::new();
        for grant in self.grants.iter() {
            let Some(only) = &grant.only else { return vec!["*".to_owned()] };
            places.extend(only.iter().map(ToString::to_string));
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Returns the greatest role that they have in the environment.
    pub fn role_in(&self, id: &EnvironmentId) -> Option<Role> {
        role_in(&self.grants, id)
    }

    /// Allows what takes this role and concerns more than one environment, or refuses it.
    ///
    /// # Errors
    /// As [`Caller::may`].
    pub fn may_everywhere(&self, needs: Role) -> Result<(), Refused> {
        let everywhere = self.grants.iter().filter(|grant| grant.only.is_none()).map(|grant| grant.role).max();
        self.suffices(everywhere.ok_or_else(|| self.outside("everything"))?, needs)
    }

    fn suffices(&self, role: Role, needs: Role) -> Result<(), Refused> {
        if role < needs { Err(Refused::TooSmall { by: self.by.clone(), role, needs }) } else { Ok(()) }
    }

    fn outside(&self, what: &str) -> Refused {
        let mut only: Vec<Scope> = Vec::new();
        for scope in self.grants.iter().filter_map(|grant| grant.only.as_ref()).flat_map(|only| only.iter()) {
            if !only.contains(scope) {
                only.push(scope.clone());
            }
        }
        Refused::Outside { by: self.by.clone(), what: what.to_owned(), only: list(&only) }
    }
}
