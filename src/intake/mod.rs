//! Webhooks: from raw bytes to a build that is known to come from who it says. Signature first, then the replay window,
//! then whether it is a build that counts, and only then what it says of that, by the sender's own file. It must never
//! call a driver, and must not record anything itself.

mod bitbucket;
pub(crate) mod build;
mod facts;
mod forge;
mod forgejo;
mod gitea;
mod github;
mod gitlab;
mod jenkins;
pub(crate) mod json;
pub(crate) mod keys;
mod senders;
pub(crate) mod signature;
mod template;
#[cfg(test)]
mod tests;
mod tree;

use sha2::{Digest, Sha256};

pub(crate) use senders::{Delivery, titles, triggers};

use crate::machine::{Key, Name};
use build::{BadField, Build};

/// The largest delivery that is taken where the pipeline file says nothing else, in bytes: the most that GitHub sends.
pub(crate) const LARGEST: u64 = 25 << 20;
/// The greatest limit that a pipeline file may set, in bytes.
pub(crate) const MOST: u64 = 64 << 20;

/// Content of an announcement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Announcement {
    /// A build that is to be deployed.
    Build(Announced),
    /// There is nothing to do; says why.
    Ignored(String),
}

/// A build and who announced it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announced {
    /// The author of the record: `webhook:` and the name of the sender.
    pub by: &'static str,
    /// Build that is announced.
    pub build: Build,
    /// What makes it the same when it is announced again; `None` where its number, its delivery or its content does.
    pub name: Option<String>,
}

/// An error of reading an announcement. Repeats nothing of the body but names and places.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// It is not a JSON object.
    #[error("invalid body: {0}")]
    Syntax(String),
    /// Fields that are missing or cannot be taken; all of them, in the order of their reading.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Fields(Vec<BadField>),
}

impl Error {
    /// Returns the fields that are missing or cannot be taken.
    pub(crate) fn fields(&self) -> &[BadField] {
        match self {
            Self::Syntax(_) => &[],
            Self::Fields(bad) => bad,
        }
    }

    /// Returns the HTTP status: 400 for what cannot be read, 422 for what can be read but not be used.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Syntax(_) => 400,
            Self::Fields(_) => 422,
        }
    }
}

impl Announced {
    /// Returns the idempotency key: the sender's name for the build, else its number, for a build that is announced
    /// again and comes in another delivery. `delivery` is the sender's name for that, if its signature covers one; it
    /// counts where the build has neither. A number that says nothing by itself, of one job among several, is in the
    /// name.
    pub(crate) fn key(&self, pipeline: &Name, delivery: Option<&str>, body: &[u8]) -> Key {
        let sender = self.by.strip_prefix("webhook:").unwrap_or(self.by);
        if let Some(name) = &self.name {
            // The rest of the body may tell of the delivery, and differ when the same build is announced again.
            return key(pipeline, sender, Identity::Delivery(name), &self.build.essence());
        }
        match (self.build.number, delivery) {
            (Some(number), _) => key(pipeline, sender, Identity::Build(number), &self.build.essence()),
            (None, Some(id)) => key(pipeline, sender, Identity::Delivery(id), body),
            (None, None) => key(pipeline, sender, Identity::Content, body),
        }
    }
}

/// What makes a build the same however often it is announced. `content` tells a name that is used again for something else.
pub(crate) fn key(pipeline: &Name, sender: &str, identity: Identity<'_>, content: &[u8]) -> Key {
    let mut digest = Sha256::new();
    for part in [pipeline.as_str(), sender] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    match identity {
        Identity::Delivery(id) => digest.update([b"id\0", id.as_bytes()].concat()),
        Identity::Build(number) => digest.update([b"build\0".as_slice(), &number.to_be_bytes()].concat()),
        Identity::Content => {
            digest.update(b"content\0");
            digest.update(content);
        }
    }
    Key::of(first(digest), first(Sha256::new_with_prefix(content)))
}

fn first<const N: usize>(digest: Sha256) -> [u8; N] {
    let digest: [u8; 32] = digest.finalize().into();
    let mut first = [0; N];
    first.copy_from_slice(&digest[..N]);
    first
}

/// Facts that tell one build from another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Identity<'a> {
    /// The sender's name for this delivery or this build, the same when it is sent again.
    Delivery(&'a str),
    /// The sender's count of its builds.
    Build(u64),
    /// The content of the announcement.
    Content,
}
