//! Who may do what: people and scripts by their tokens, each with a role and, where wanted, only for some pipelines or
//! environments; and how often anybody may fail to prove who they are. Must not know how a request arrives, what it is
//! recorded as, or any driver.

pub mod file;
pub mod folder;
pub mod limits;
pub mod proof;
#[cfg(test)]
mod tests;
mod tokens;

use std::{fmt, str::FromStr, sync::Arc};

use crate::{
    machine::{BadName, EnvironmentId, Millis, Name},
    text::format_time,
};

pub use tokens::{Access, Digest, Tokens, make};

/// What a token allows; each role may all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// May look and change nothing.
    Viewer,
    /// Deploys, promotes, aborts, rolls back, holds.
    Deployer,
    /// Opens gates, and lets automatic deployments go on.
    Approver,
    /// Pins and vetoes.
    Admin,
}

impl Role {
    /// All of them with their names, the smallest first.
    pub const ALL: [(&str, Self); 4] =
        [("viewer", Self::Viewer), ("deployer", Self::Deployer), ("approver", Self::Approver), ("admin", Self::Admin)];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, role)| role == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, role)| *role);
        found.ok_or_else(|| "a role is viewer, deployer, approver or admin".to_owned())
    }
}

/// A pipeline, or one environment of it: `shop`, `shop/qa`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pipeline: Name,
    environment: Option<Name>,
}

impl Scope {
    /// Whether the environment lies within.
    pub fn holds(&self, id: &EnvironmentId) -> bool {
        self.pipeline == id.pipeline
            && self.environment.as_ref().is_none_or(|environment| *environment == id.environment)
    }
}

impl FromStr for Scope {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let (pipeline, environment) = match text.split_once('/') {
            Some((pipeline, environment)) => (pipeline, Some(environment)),
            None => (text, None),
        };
        Ok(Self { pipeline: pipeline.parse()?, environment: environment.map(str::parse).transpose()? })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.environment {
            Some(environment) => write!(f, "{}/{environment}", self.pipeline),
            None => write!(f, "{}", self.pipeline),
        }
    }
}

/// Several scopes as people read them.
pub fn list(only: &[Scope]) -> String {
    only.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Who asks, proven by a token.
#[derive(Debug, Clone)]
pub struct Caller {
    /// As the journal names them: the token's name, or `local:NAME`.
    pub by: Arc<str>,
    /// What they may do.
    pub role: Role,
    /// Where; `None`: everywhere.
    pub only: Option<Arc<[Scope]>>,
    /// By which [`Access::still`] finds the token again; `None`: the local one.
    token: Option<Digest>,
}

impl Caller {
    /// Whether they may do what takes this role, in this environment.
    ///
    /// # Errors
    /// That it lies outside what the token is for, or takes a greater role.
    pub fn may(&self, needs: Role, id: &EnvironmentId) -> Result<(), Refused> {
        if !self.sees(id) {
            return Err(self.outside(&id.to_string()));
        }
        if self.role < needs {
            return Err(Refused::TooSmall { by: self.by.clone(), role: self.role, needs });
        }
        Ok(())
    }

    /// Whether the environment is among those that the token is for.
    pub fn sees(&self, id: &EnvironmentId) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|scope| scope.holds(id)))
    }

    /// Whether they may do what takes this role and concerns more than one environment.
    ///
    /// # Errors
    /// As [`Caller::may`].
    pub fn may_everywhere(&self, needs: Role) -> Result<(), Refused> {
        if self.only.is_some() {
            return Err(self.outside("everything"));
        }
        if self.role < needs {
            return Err(Refused::TooSmall { by: self.by.clone(), role: self.role, needs });
        }
        Ok(())
    }

    fn outside(&self, what: &str) -> Refused {
        let only = self.only.as_ref().map(|only| list(only)).unwrap_or_default();
        Refused::Outside { by: self.by.clone(), what: what.to_owned(), only }
    }
}

/// Why somebody may not do what they ask. Never says what a right token would look like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No token, or none that is known.
    #[error(
        "the token is missing or wrong: send `Authorization: Bearer <token>` (POINTSMAN_TOKEN_FILE); `pointsman token list` on its host shows whose there are"
    )]
    Unknown,
    /// It was good once.
    #[error("the token `{by}` expired at {}; ask for a new one (`pointsman token new`)", format_time(*.at))]
    Expired {
        /// Its name.
        by: Arc<str>,
        /// Since when.
        at: Millis,
    },
    /// The file of tokens is damaged, so that nobody but the holder of the local token is believed.
    #[error("no token can be checked at the moment; the controller's log says why, and `pointsman token list` as well")]
    Unreadable,
    /// The name that comes with the local token is none.
    #[error("`X-Pointsman-User` must be 1 to 64 visible ASCII characters without ':'")]
    BadUser,
    /// The role does not suffice.
    #[error(
        "`{by}` is {role}, and this takes the role {needs}; ask somebody who has it (`pointsman token list` on its host)"
    )]
    TooSmall {
        /// Who asked.
        by: Arc<str>,
        /// What they are.
        role: Role,
        /// What it takes.
        needs: Role,
    },
    /// The token is for something else.
    #[error("the token of `{by}` is not for {what}, only for {only} (`pointsman status` shows what it is for)")]
    Outside {
        /// Who asked.
        by: Arc<str>,
        /// What they asked for.
        what: String,
        /// What it is for.
        only: String,
    },
}

impl Refused {
    /// Whether nobody is known to ask: such attempts are counted.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Unknown | Self::Expired { .. })
    }
}

/// What the journal calls those who are no person.
const RESERVED: [&str; 2] = ["pointsman", "rule"];

/// Reads the name of a token: 1 to 64 of `a-z 0-9 - . _ @`.
///
/// # Errors
/// What is wrong with it and what would be accepted.
pub fn name(text: &str) -> Result<Arc<str>, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._@".contains(&b);
    if !(1..=64).contains(&text.len()) || !text.bytes().all(plain) {
        let text = crate::text::excerpt(text);
        return Err(format!("\"{text}\" is no name of a token: use 1 to 64 of a-z, 0-9, '-', '.', '_' and '@'"));
    }
    if RESERVED.contains(&text) {
        return Err(format!("\"{text}\" is what pointsman calls itself; choose another name"));
    }
    Ok(text.into())
}
