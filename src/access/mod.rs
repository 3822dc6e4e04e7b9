//! Who may do what: people and scripts by their tokens, each with a role and, where wanted, only for some pipelines or
//! environments; and how often anybody may fail to prove who they are. Must not know how a request arrives, what it is
//! recorded as, or any driver.

pub mod at_once;
pub mod audit;
mod caller;
pub mod failed;
pub mod file;
pub mod folder;
mod gate;
mod grants;
mod in_folder;
pub mod kept;
mod keyed;
pub mod limits;
pub mod links;
pub mod openid;
pub mod password;
pub mod people;
pub mod proof;
#[cfg(test)]
mod session_tests;
pub mod sessions;
#[cfg(test)]
mod tests;
mod tokens;
pub mod used;
pub mod users;
mod watched;
pub mod who;

use std::sync::Arc;

use crate::{machine::Millis, text::format_time};

pub use caller::Caller;
pub use gate::Access;
pub use grants::{Grant, Role, Scope, list, role_in};
pub use keyed::{Keyed, PURPOSE};
pub use tokens::{Digest, make};

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
    /// No user has this name and this password.
    #[error(
        "user or password is wrong; an admin sets a new one with `pointsman user password NAME` on the controller's host"
    )]
    WrongPassword,
    /// There is no such session, or not any more.
    #[error("the session has ended; sign in again")]
    Ended,
    /// A link that is good once was used, or is too old.
    #[error(
        "this link was used already, is older than ten minutes, or was made before the controller started; make another: `pointsman page`, or `pointsman user welcome` for the first user; for another password ask an admin"
    )]
    BadLink,
    /// The file of tokens or users is damaged, so that nobody but the holder of the local token is believed.
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
        /// Role that the caller has there.
        role: Role,
        /// Role that the request takes.
        needs: Role,
    },
    /// Whoever has a token cannot make it live on in another one, or in a user.
    #[error(
        "the token `{by}` makes no other token and no user: sign in on the page, or `pointsman token new` and `pointsman user` on \
         the controller's host"
    )]
    NotByToken {
        /// Whose it is.
        by: Arc<str>,
    },
    /// The token is for something else.
    #[error("the token of `{by}` is not for {what}, only for {only} (`pointsman status` shows what it is for)")]
    Outside {
        /// Who asked.
        by: Arc<str>,
        /// Request that was refused.
        what: String,
        /// Environments that the grant is for.
        only: String,
    },
}

impl Refused {
    /// Returns whether a sign-in would help.
    pub fn is_signed_out(&self) -> bool {
        matches!(self, Self::Unknown | Self::Ended)
    }

    /// Whether nobody is known to ask: such attempts are counted.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Unknown | Self::Expired { .. } | Self::WrongPassword | Self::BadLink)
    }
}

/// What the journal calls those who are no person.
const RESERVED: [&str; 2] = ["pointsman", "rule"];

/// Reads the name of a token or user: 1 to 64 of `a-z 0-9 - . _ @`.
///
/// # Errors
/// What is wrong with it and what would be accepted.
pub fn name(text: &str) -> Result<Arc<str>, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._@".contains(&b);
    if !(1..=64).contains(&text.len()) || !text.bytes().all(plain) {
        let text = crate::text::excerpt(text);
        return Err(format!("\"{text}\" is not a name: use 1 to 64 of a-z, 0-9, '-', '.', '_' and '@'"));
    }
    if RESERVED.contains(&text) {
        return Err(format!("\"{text}\" is what pointsman calls itself; choose another name"));
    }
    Ok(text.into())
}
