//! Who may come in: people with their sessions, tokens, and what was done to the doors.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// All tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Tokens {
    pub tokens: Vec<Token>,
}

/// One token, without its text.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Token {
    #[schema(example = "jenkins")]
    pub name: String,
    /// `viewer`, `deployer`, `approver` or `admin`.
    #[schema(example = "deployer")]
    pub role: String,
    /// The pipelines and environments where it is good; null: everywhere.
    #[schema(required, example = json!(["shop", "stock/qa"]))]
    pub only: Option<Vec<String>>,
    /// When it was made.
    pub made: String,
    /// Who made it, where that is known.
    #[schema(required)]
    pub made_by: Option<String>,
    /// Time at which it expires; null: when it is revoked.
    #[schema(required)]
    pub expires: Option<String>,
    pub expired: bool,
    /// When it was used last, to the minute; null: never, as far as is known.
    #[schema(required)]
    pub used: Option<String>,
    /// Address of the last use.
    #[schema(required)]
    pub used_from: Option<String>,
}

/// A token that was made.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct MadeToken {
    #[schema(example = "jenkins")]
    pub name: String,
    /// Its text, this once.
    pub token: String,
    /// Words for what it may do.
    #[schema(example = "deployer of shop, until it is revoked")]
    pub may: String,
}

/// A user who can choose a password.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct MadeUser {
    #[schema(example = "ann")]
    pub name: String,
    /// What they may, in words.
    #[schema(example = "deployer of shop; approver of shop/prod")]
    pub may: String,
    /// Path of a page where they choose a password: good once, for a day, and in this answer only.
    pub link: String,
}

/// Everybody who is known by name.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct People {
    pub people: Vec<Person>,
}

/// A person who is known by name.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Person {
    #[schema(example = "ann")]
    pub name: String,
    /// Grants of the person.
    pub grants: Vec<RoleGrant>,
    /// When they were added here; null: they are no user of this installation, and signed in another way.
    #[schema(required)]
    pub added: Option<String>,
    /// Whether they have chosen a password; null: they are no user of this installation.
    #[schema(required)]
    pub has_password: Option<bool>,
    /// Where they are signed in.
    pub sessions: Vec<OpenSession>,
}

/// A role, and where it holds.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct RoleGrant {
    /// `viewer`, `deployer`, `approver` or `admin`.
    #[schema(example = "approver")]
    pub role: String,
    /// The pipelines and environments where it holds; null: everywhere.
    #[schema(required, example = json!(["shop/prod"]))]
    pub only: Option<Vec<String>>,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct OpenSession {
    /// Id, by which its holder ends it.
    pub id: String,
    /// Since when they are signed in.
    pub since: String,
    /// When it was used last, to the minute.
    pub used: String,
    /// Address of the last use.
    #[schema(example = "192.0.2.7")]
    pub from: String,
    /// Time at which it ends when it is not used any more.
    pub until: String,
    /// It is the one that asks.
    pub this: bool,
}

/// The one who asks.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Me {
    #[schema(example = "ann")]
    pub name: String,
    /// Grants of the person.
    pub grants: Vec<RoleGrant>,
    /// Where they are signed in.
    pub sessions: Vec<OpenSession>,
}

/// Something about tokens or sessions that was done.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct DoneAtTheDoor {
    /// The person or thing that it was done to.
    pub name: String,
    /// Words for what was done.
    pub said: String,
}

/// Page of the audit record.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Notes {
    pub notes: Vec<Noted>,
}

/// One thing that was done to the doors.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(in crate::http) struct Noted {
    pub at: String,
    /// Who did it.
    pub by: String,
    /// Address that it came from, or `command line`.
    pub from: String,
    /// `signed-in`, `signed-out`, `signed-out-everywhere`, `user-added`, `user-removed`, `password-set`, `grants-set`, `token-made`
    /// or `token-revoked`.
    #[schema(example = "token-made")]
    pub act: String,
    /// The person or thing that it was done to; empty where it was oneself.
    #[serde(default)]
    pub to: String,
}
