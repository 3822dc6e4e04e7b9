//! Webhooks: from raw bytes to a build that is known to come from who it says. Signature first, then the replay window,
//! then parsing. It must never call a driver, and must not record anything itself.

pub mod build;
pub mod json;
pub mod keys;
pub mod signature;

use sha2::{Digest, Sha256};

use crate::machine::{Key, Name};

/// The largest webhook, in bytes; nothing beyond is read.
pub const LARGEST: usize = 256 << 10;

/// What makes a build the same however often it is announced: its delivery where the sender names it, else the sender's
/// own count, else its content. `content` tells a name that is used again for something else.
pub fn key(pipeline: &Name, sender: &str, identity: Identity<'_>, content: &[u8]) -> Key {
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

/// What tells one build from another.
#[derive(Debug, Clone, Copy)]
pub enum Identity<'a> {
    /// The sender's name for this delivery, the same when it is sent again.
    Delivery(&'a str),
    /// The sender's count of its builds.
    Build(u64),
    /// What is announced.
    Content,
}
