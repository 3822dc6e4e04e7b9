//! Evidence about one deployment: its lines of the journal word for word, tied to one another by their sums, with the release,
//! the definition and the approvals, signed with the installation's key. Checked by anybody, offline.
//!
//! A bundle is a file of JSON lines: what it is about ([`Head`]), then the lines of the journal as they stand there and, for
//! those of others between them, their sums, then how far the journal was, and the signature over all before it.
//!
//! Must not know a driver, the runner or how it is asked for, and must not hold a secret.

mod key;
mod make;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::key::{Key, PublicKey};
pub(crate) use self::{
    key::FILE,
    make::{About, make},
    verify::{Proven, verify},
};
use crate::{
    journal::{Record, Sum},
    machine::{Event, Number, Release},
    telling,
};

/// The version of the format.
const VERSION: u32 = 1;
/// What is signed begins with this, so that no signature for another purpose is taken for one.
const PURPOSE: &[u8] = b"pointsman evidence 1\n";

/// A record by its place and its sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct At {
    seq: u64,
    sum: Sum,
}

/// A gate that a person opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Approval {
    seq: u64,
    at: String,
    by: Arc<str>,
    reason: Option<Arc<str>>,
}

/// What the bundle is about: its first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Head {
    /// The version of the format.
    evidence: u32,
    /// The id of the installation.
    installation: String,
    /// The key by which it is signed.
    key: PublicKey,
    /// The deployment, as `shop/prod/7`.
    deployment: String,
    /// When the bundle was made, and for whom.
    made: String,
    by: String,
    release: Option<Arc<Release>>,
    /// The text of the stack definition; none where it was not kept.
    definition: Option<Arc<str>>,
    approvals: Vec<Approval>,
    /// The record before the first line; none when it is not in the journal any more.
    before: Option<At>,
}

/// The sums of lines that are not about the deployment.
#[derive(Debug, Serialize, Deserialize)]
struct Between {
    between: Run,
}

/// A run of consecutive records.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    from: u64,
    to: u64,
    sums: Vec<Sum>,
}

/// How far the journal was when the bundle was made.
#[derive(Debug, Serialize, Deserialize)]
struct Newest {
    newest: At,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
struct Signature {
    signature: String,
}

/// Whether a record is about a deployment, or made it.
pub(crate) fn is_about(record: &Record, number: Number) -> bool {
    let made = matches!(&record.event, Event::ColdRollbackQueued { by, .. } if *by == number);
    made || telling::deployment_of(&record.event) == Some(number)
}

/// What these records say was deployed, and the digest of its definition where that was read later.
fn released<'a>(records: impl Iterator<Item = &'a Record>, number: Number) -> (Option<Arc<Release>>, Option<Arc<str>>) {
    let (mut release, mut digest) = (None, None);
    for record in records {
        match &record.event {
            Event::Accepted { number: own, release: it, .. } if *own == number => release = Some(it.clone()),
            Event::ColdRollbackQueued { by, release: it, .. } if *by == number => release = Some(it.clone()),
            Event::DefinitionFrozen { number: own, definition } if *own == number => digest = Some(definition.clone()),
            _ => {}
        }
    }
    let own = release.as_ref().map(|release| release.definition.clone()).filter(|digest| !digest.is_empty());
    (release, digest.or(own))
}

fn approvals<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<Approval> {
    let approval = |record: &Record| match &record.event {
        Event::Approved { reason, .. } => Some(Approval {
            seq: record.seq,
            at: crate::text::format_time(record.at),
            by: record.by.clone(),
            reason: reason.clone(),
        }),
        _ => None,
    };
    records.filter_map(approval).collect()
}
