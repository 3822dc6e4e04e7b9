//! Roles, and where they hold. Must not know who has one, or how it was given.

use std::{fmt, str::FromStr, sync::Arc};

use crate::machine::{BadName, EnvironmentId, Name};

/// What somebody may do; each role may all that the ones before it may.
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

/// A role, and where it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Role that is granted.
    pub role: Role,
    /// The pipelines and environments where it holds; `None`: everywhere.
    pub only: Option<Arc<[Scope]>>,
}

impl Grant {
    /// Returns whether it holds in the environment.
    pub fn holds(&self, id: &EnvironmentId) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|scope| scope.holds(id)))
    }
}

/// Written `admin`, or with the places where it holds: `approver=shop/prod,stock`.
impl FromStr for Grant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((role, places)) = text.split_once('=') else { return Ok(Self { role: text.parse()?, only: None }) };
        let only: Result<Vec<Scope>, _> = places.split(',').map(|place| place.trim().parse()).collect();
        Ok(Self { role: role.parse()?, only: Some(only.map_err(|error: BadName| error.to_string())?.into()) })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.only {
            Some(only) => write!(f, "{} of {}", self.role, list(only)),
            None => write!(f, "{}", self.role),
        }
    }
}

/// Returns the greatest role that the grants give in an environment; `None` where none of them holds.
pub fn role_in(grants: &[Grant], id: &EnvironmentId) -> Option<Role> {
    grants.iter().filter(|grant| grant.holds(id)).map(|grant| grant.role).max()
}
