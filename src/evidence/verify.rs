//! Checking a bundle, without the installation that made it.

use std::collections::BTreeSet;

use super::{At, Between, Head, Newest, PublicKey, Run, Signature, VERSION, approvals, is_about, released};
use crate::{
    journal::{Record, Sum},
    machine::{EnvironmentId, Number},
    pipelines::frozen::digest,
};

/// Facts that a good bundle proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proven {
    pub deployment: String,
    /// When the bundle was made, and for whom.
    pub made: String,
    pub by: String,
    pub installation: String,
    pub key: PublicKey,
    /// How many lines of the deployment are in it, and of how many others the sums.
    pub lines: usize,
    pub between: u64,
    /// The places of its first and its last line in the journal, and of the newest record then.
    pub first: u64,
    pub last: u64,
    pub newest: u64,
    /// Whether it has the line that made the deployment; if not, that was no longer in the journal.
    pub whole: bool,
    /// Whether the sum of the first line could be checked too.
    pub tied: bool,
    /// Whether it has the text of the definition.
    pub definition: bool,
    pub approved_by: BTreeSet<String>,
}

/// Faults of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("it is not a bundle of evidence: its first line does not say what it is about")]
    NotOne,
    #[error("it is of version {0} of the format, and this program reads version {VERSION}: use a newer pointsman")]
    Newer(u32),
    #[error("line {0} of the file cannot be read: {1}")]
    Unreadable(usize, String),
    #[error("it is cut off: its last line is not the signature")]
    CutOff,
    #[error(
        "its lines end with CR and LF: a program on the way took it for text and changed the line ends; send it as a file \
         that stays as it is, for example in an archive"
    )]
    LineEnds,
    #[error("there is something behind the signature, or its line was changed")]
    BehindTheEnd,
    #[error(
        "record {expected} is missing: record {found} follows where it should stand; a line was left out, or lines were swapped"
    )]
    Missing { expected: u64, found: u64 },
    #[error("the checksum of record {0} does not fit: this line, or one before it, was changed, left out or swapped")]
    Sum(u64),
    #[error("record {0} is not about the deployment that the bundle names")]
    Foreign(u64),
    #[error("its first line says another {0} than its records do")]
    Differs(&'static str),
    #[error("the journal ended before the records that are in it: record {0} was the newest")]
    Ended(u64),
    #[error("it is signed with another key than the one that you named: with {0}")]
    OtherKey(PublicKey),
    #[error("the signature does not fit: something was changed after it was signed, or another key signed it")]
    Signature,
}

/// Checks a bundle; `trusted` is the key that it is to be signed with, where that is known.
///
/// # Errors
/// The first thing that is wrong with it.
pub(crate) fn verify(bundle: &[u8], trusted: Option<PublicKey>) -> Result<Proven, Broken> {
    let parts: Vec<&[u8]> = bundle.split_inclusive(|&byte| byte == b'\n').collect();
    let [first, body @ .., newest, signature] = parts.as_slice() else { return Err(not_one(bundle)) };
    let head: Head = serde_json::from_slice(first).map_err(|_| not_one(first))?;
    if head.evidence > VERSION {
        return Err(Broken::Newer(head.evidence));
    }
    if trusted.is_some_and(|trusted| trusted != head.key) {
        return Err(Broken::OtherKey(head.key));
    }
    if signature.ends_with(b"}\r\n") {
        return Err(Broken::LineEnds);
    }
    let (seal, signed) = seal(signature, bundle)?;
    let Newest { newest } = serde_json::from_slice(newest).map_err(|_| Broken::CutOff)?;
    let mut chain = Chain::after(head.before.as_ref());
    for (nth, line) in body.iter().enumerate() {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        chain.take(line).map_err(|broken| broken.unwrap_or_else(|why| Broken::Unreadable(nth + 2, why)))?;
    }
    let Some(At { seq: last, sum }) = chain.at.clone() else { return Err(Broken::NotOne) };
    if newest.seq < last || newest.seq == last && newest.sum != sum {
        return Err(Broken::Ended(newest.seq));
    }
    let whole = agree(&head, &chain.records)?;
    if !head.key.has_signed(signed, &seal.signature) {
        return Err(Broken::Signature);
    }
    let first = chain.records.first().map_or(last, |record| record.seq);
    let approved_by = head.approvals.iter().map(|approval| approval.by.to_string()).collect();
    Ok(Proven {
        deployment: head.deployment,
        made: head.made,
        by: head.by,
        installation: head.installation,
        key: head.key,
        lines: chain.records.len(),
        between: chain.between,
        first,
        last,
        newest: newest.seq,
        whole,
        tied: head.before.is_some(),
        definition: head.definition.is_some(),
        approved_by,
    })
}

/// A text that is not a bundle, or one of another version.
fn not_one(line: &[u8]) -> Broken {
    #[derive(serde::Deserialize)]
    struct Version {
        evidence: u32,
    }
    let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
    match serde_json::from_slice::<Version>(line) {
        Ok(Version { evidence }) if evidence > VERSION => Broken::Newer(evidence),
        Ok(_) | Err(_) => Broken::NotOne,
    }
}

/// The last line, and what it signs. It is compared byte for byte with how it is written, so that no byte of it is free.
fn seal<'a>(line: &[u8], bundle: &'a [u8]) -> Result<(Signature, &'a [u8]), Broken> {
    let seal: Signature = serde_json::from_slice(line).map_err(|_| Broken::CutOff)?;
    let written = serde_json::to_vec(&Signature { signature: seal.signature.to_lowercase() });
    let written = written.map_err(|_| Broken::CutOff)?;
    if line.strip_suffix(b"\n") != Some(&written) {
        return Err(Broken::BehindTheEnd);
    }
    Ok((seal, &bundle[..bundle.len() - line.len()]))
}

/// The lines that were read so far.
struct Chain {
    /// The last one; none before the first, where what was before it is not known.
    at: Option<At>,
    records: Vec<Record>,
    between: u64,
}

impl Chain {
    fn after(before: Option<&At>) -> Self {
        Self { at: before.cloned(), records: Vec::new(), between: 0 }
    }

    /// The next line of the file.
    fn take(&mut self, line: &[u8]) -> Result<(), Result<Broken, String>> {
        if line.starts_with(b"{\"between\":") {
            let Between { between } = serde_json::from_slice(line).map_err(|why| Err(why.to_string()))?;
            return self.run(between).map_err(Ok);
        }
        let record = Record::of_line(line).map_err(|why| match &self.at {
            Some(At { seq, sum }) if sum.of_next(line).is_none() => Ok(Broken::Sum(seq.saturating_add(1))),
            Some(_) | None => Err(why),
        })?;
        self.due(record.seq).map_err(Ok)?;
        let sum = match &self.at {
            Some(At { sum, .. }) => sum.of_next(line).ok_or(Ok(Broken::Sum(record.seq)))?,
            None => record.sum,
        };
        self.at = Some(At { seq: record.seq, sum });
        self.records.push(record);
        Ok(())
    }

    fn run(&mut self, Run { from, to, sums }: Run) -> Result<(), Broken> {
        self.due(from)?;
        let count = sums.len() as u64;
        if count == 0 || from.checked_add(count - 1) != Some(to) {
            return Err(Broken::Missing { expected: from.saturating_add(count), found: to });
        }
        self.at = sums.last().map(|&sum: &Sum| At { seq: to, sum });
        self.between += count;
        Ok(())
    }

    fn due(&self, found: u64) -> Result<(), Broken> {
        match &self.at {
            // There is none behind the last place that can be written.
            Some(At { seq, .. }) if seq.checked_add(1) != Some(found) => {
                Err(Broken::Missing { expected: seq.saturating_add(1), found })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether what the first line says is what the records say. Returns whether the record that made the deployment is there.
fn agree(head: &Head, records: &[Record]) -> Result<bool, Broken> {
    let named = head.deployment.rsplit_once('/');
    let named = named.and_then(|(id, number)| Some((id.parse::<EnvironmentId>().ok()?, number.parse::<u32>().ok()?)));
    let (environment, number) = named.map(|(id, number)| (id, Number(number))).ok_or(Broken::NotOne)?;
    if let Some(other) = records.iter().find(|r| r.environment != environment || !is_about(r, number)) {
        return Err(Broken::Foreign(other.seq));
    }
    let (release, frozen) = released(records.iter(), number);
    if release != head.release {
        return Err(Broken::Differs("release"));
    }
    if approvals(records.iter()) != head.approvals {
        return Err(Broken::Differs("list of approvals"));
    }
    if let Some(text) = &head.definition
        && frozen.as_deref() != Some(&*digest(text))
    {
        return Err(Broken::Differs("definition"));
    }
    Ok(release.is_some())
}
