//! One line of the state file: a record, its JSON and the sum that chains it to the line before it.
//!
//! A line is `{"v":1,"seq":7,"at":…,"environment":"shop/live","by":"…","event":{…},"sum":"…"}`. Fields that a later
//! minor version adds stand before `sum` and are tolerated; `sum` is always last, so it can be checked without parsing.
//! Must not touch a file.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::level::NEWEST;
use crate::machine::{Entry, EnvironmentId, Event, Millis};

const BEFORE_SUM: &[u8] = b",\"sum\":\"";
const AFTER_SUM: &[u8] = b"\"}";
const HEX: usize = 32;
const TAIL: usize = BEFORE_SUM.len() + HEX + AFTER_SUM.len();

/// The first 16 bytes of the SHA-256 of the sum before and of the line up to its own sum.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sum([u8; 16]);

impl Sum {
    /// The sum of a line whose text up to the sum is `body`, after a line with this sum.
    pub(super) fn next(self, body: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::new().chain_update(self.0).chain_update(body).finalize().into();
        let mut kept = [0; 16];
        kept.copy_from_slice(&digest[..16]);
        Self(kept)
    }

    fn hex(self) -> [u8; HEX] {
        let mut text = [0; HEX];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
            pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
        }
        text
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<Sum> for String {
    fn from(sum: Sum) -> Self {
        sum.to_string()
    }
}

impl TryFrom<String> for Sum {
    type Error = hex::FromHexError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut sum = [0; 16];
        hex::decode_to_slice(text, &mut sum)?;
        Ok(Self(sum))
    }
}

/// One event of one environment, as the state file holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The format level of the line: see [`super::NEWEST`].
    pub v: u32,
    /// Its place in the whole file, counted from 1. Not to be confused with the count of one environment's events.
    pub seq: u64,
    /// When it happened, as the author of the event knew it.
    pub at: Millis,
    /// Environment that it is about.
    pub environment: EnvironmentId,
    /// Who: `pointsman`, `rule`, `webhook:jenkins`, a token's name, `local:` and a name.
    pub by: Arc<str>,
    /// Event that was recorded.
    pub event: Event,
    /// Ties it to all records before it.
    pub sum: Sum,
}

#[derive(Serialize)]
struct Body<'a> {
    v: u32,
    seq: u64,
    at: Millis,
    environment: &'a EnvironmentId,
    by: &'a str,
    event: &'a Event,
}

impl Record {
    /// Appends the line of a new record of that level to `lines` and gives the record, chained to `before`.
    pub(super) fn write(
        lines: &mut Vec<u8>,
        seq: u64,
        environment: &EnvironmentId,
        entry: &Entry,
        (level, before): (u32, Sum),
    ) -> Result<Self, serde_json::Error> {
        let start = lines.len();
        let Entry { at, by, event } = entry;
        let body = Body { v: level, seq, at: *at, environment, by, event };
        serde_json::to_writer(&mut *lines, &body)?;
        lines.pop(); // The closing brace moves behind the sum.
        let sum = before.next(&lines[start..]);
        for part in [BEFORE_SUM, &sum.hex(), AFTER_SUM, b"\n"] {
            lines.extend_from_slice(part);
        }
        let (environment, by, event) = (environment.clone(), by.clone(), event.clone());
        Ok(Self { v: level, seq, at: *at, environment, by, event, sum })
    }

    /// Where it happened, and what is to be folded.
    pub(super) fn into_entry(self) -> (EnvironmentId, Entry) {
        (self.environment, Entry { at: self.at, by: self.by, event: self.event })
    }
}

/// The sum of a line (without its line feed) if it is the one that is to follow `before`.
pub(super) fn checked(line: &[u8], before: Sum) -> Option<Sum> {
    let (body, tail) = line.split_at_checked(line.len().checked_sub(TAIL)?)?;
    let written = tail.strip_prefix(BEFORE_SUM)?.strip_suffix(AFTER_SUM)?;
    let sum = before.next(body);
    // Compared as text: decoding would let an upper-case digit, one flipped bit, pass.
    (written == sum.hex()).then_some(sum)
}

/// Why a line with a good sum cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it was written by a newer version of pointsman (format level {0}, this one reads up to {NEWEST})")]
    Newer(u32),
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// Parses a line (without its line feed). Events of unknown kinds are refused: to skip one would fold another state.
pub(super) fn parse(line: &[u8]) -> Result<Record, Unusable> {
    match serde_json::from_slice::<Record>(line) {
        Ok(record) if record.v <= NEWEST => Ok(record),
        Ok(record) => Err(Unusable::Newer(record.v)),
        Err(error) => Err(newer(line).map_or(Unusable::Unreadable(error), Unusable::Newer)),
    }
}

/// The place of a line in the whole file, without parsing the line; `None` where that is not where it always stands.
pub(super) fn seq(line: &[u8]) -> Option<u64> {
    let digits = |bytes: &[u8]| bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let rest = line.strip_prefix(b"{\"v\":")?;
    let rest = rest.get(digits(rest)..)?.strip_prefix(b",\"seq\":")?;
    std::str::from_utf8(rest.get(..digits(rest))?).ok()?.parse().ok()
}

/// Where a line happened, without parsing the rest of it; `None` where that is not where it always stands.
pub(super) fn environment(line: &[u8]) -> Option<EnvironmentId> {
    const BEFORE: &[u8] = b"\"environment\":\"";
    let start = line.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
    let rest = line.get(start..)?;
    let end = rest.iter().position(|&b| b == b'"')?;
    std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()
}

/// The level of a line if it is newer than what this program reads, whatever else the line may be.
pub(super) fn newer(line: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    serde_json::from_slice::<Version>(line).ok().map(|line| line.v).filter(|&v| v > NEWEST)
}
