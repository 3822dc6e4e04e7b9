//! A snapshot: the states after a record, so that a start need not fold everything. It is only ever a shortcut: the
//! segments hold all that is known, and a snapshot that is damaged or of another version is not used.
//!
//! Its first line says after which record it was taken, then comes one line per environment, and the last line is the
//! SHA-256 of all before it.

use std::io;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    fold::{Folded, States},
    level::NEWEST,
    problem::Fault,
    record::Sum,
    storage::{Storage, snapshot_name},
};
use crate::machine::{Environment, EnvironmentId};

#[derive(Serialize, Deserialize)]
struct Head {
    /// The highest format level of the records before: who does not read these does not use their state either.
    v: u32,
    seq: u64,
    sum: Sum,
    environments: usize,
}

#[derive(Serialize)]
struct OneOut<'a> {
    environment: &'a EnvironmentId,
    state: &'a Environment,
}

#[derive(Deserialize)]
struct OneIn {
    environment: EnvironmentId,
    state: std::sync::Arc<Environment>,
}

fn last_line(content: &[u8]) -> String {
    format!("{{\"check\":\"{}\"}}\n", hex::encode(Sha256::digest(content)))
}

/// Writes the snapshot that stands before the segment `number`.
pub(super) fn write(storage: &dyn Storage, number: u32, folded: &Folded) -> io::Result<()> {
    storage.replace(&snapshot_name(number), &encode(folded)?)
}

fn encode(folded: &Folded) -> io::Result<Vec<u8>> {
    let Folded { seq, sum, level, states } = folded;
    let mut content = serde_json::to_vec(&Head { v: *level, seq: *seq, sum: *sum, environments: states.len() })?;
    content.push(b'\n');
    let mut sorted: Vec<_> = states.iter().collect();
    sorted.sort_unstable_by_key(|(environment, _)| *environment);
    for (environment, state) in sorted {
        serde_json::to_writer(&mut content, &OneOut { environment, state })?;
        content.push(b'\n');
    }
    let check = last_line(&content);
    content.extend_from_slice(check.as_bytes());
    Ok(content)
}

/// Reads the snapshot that stands before the segment `number`.
pub(super) fn read(storage: &dyn Storage, number: u32) -> Result<Folded, Fault> {
    let content = super::read::all(storage.reader(&snapshot_name(number))).map_err(Fault::Io)?;
    let damaged = || Fault::Snapshot("its last line is not the checksum of the others");
    let text = content.strip_suffix(b"\n").ok_or_else(damaged)?;
    let place = text.iter().rposition(|&b| b == b'\n').map(|feed| feed + 1).ok_or_else(damaged)?;
    let (text, check) = content.split_at(place);
    if check != last_line(text).as_bytes() {
        return Err(damaged());
    }
    let mut lines = text.split(|&b| b == b'\n').filter(|line| !line.is_empty());
    let head: Head = serde_json::from_slice(lines.next().unwrap_or_default()).map_err(Fault::Unreadable)?;
    if head.v > NEWEST {
        return Err(Fault::Newer { found: head.v });
    }
    let one = |line| serde_json::from_slice(line).map(|OneIn { environment, state }| (environment, state));
    let states: States = lines.map(one).collect::<Result<_, _>>().map_err(Fault::Unreadable)?;
    if states.len() != head.environments {
        return Err(Fault::Snapshot("it does not hold as many environments as it says"));
    }
    Ok(Folded { seq: head.seq, sum: head.sum, level: head.v, states })
}
