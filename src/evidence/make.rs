//! Making a bundle.

use std::{io, sync::Arc};

use serde::Serialize;

use super::{At, Between, Head, Key, Newest, Run, Signature, VERSION, approvals, is_about, released};
use crate::{
    journal::{Excerpt, ExcerptLine, Journal, Record},
    machine::{EnvironmentId, Millis, Number},
    text::format_time,
};

/// What a bundle is to be about, and for whom.
pub(crate) struct About {
    pub installation: String,
    pub environment: EnvironmentId,
    pub number: Number,
    /// The first and the last of its records.
    pub records: (u64, u64),
    pub by: Arc<str>,
    pub now: Millis,
}

/// Makes the bundle. `thaw` returns the text of a definition by its digest, where that was kept. Reads files and blocks.
///
/// # Errors
/// When the journal cannot be read.
pub(crate) fn make(
    journal: &Journal,
    key: &Key,
    about: &About,
    thaw: impl FnOnce(&str) -> Option<Arc<str>>,
) -> io::Result<Vec<u8>> {
    let About { installation, environment, number, records: (first, last), by, now } = about;
    let own = |record: &Record| record.environment == *environment && is_about(record, *number);
    let excerpt = journal.excerpt(*first, *last, &own)?;
    let newest = journal.history(None, 1)?.pop().ok_or_else(|| io::Error::other("the journal is empty"))?;
    let shown = excerpt.lines.iter().filter_map(|line| line.text.as_ref());
    let read: Result<Vec<Record>, _> = shown.map(|text| Record::of_line(text.as_bytes())).collect();
    let read = read.map_err(io::Error::other)?;
    let (release, digest) = released(read.iter(), *number);
    let head = Head {
        evidence: VERSION,
        installation: installation.clone(),
        key: key.public(),
        deployment: format!("{environment}/{number}"),
        made: format_time(*now),
        by: by.to_string(),
        release,
        definition: digest.and_then(|digest| thaw(&digest)),
        approvals: approvals(read.iter()),
        before: excerpt.before.map(|sum| At { seq: first.saturating_sub(1), sum }),
    };
    let mut text = Vec::new();
    line(&mut text, &head)?;
    body(&mut text, &excerpt)?;
    line(&mut text, &Newest { newest: At { seq: newest.seq, sum: newest.sum } })?;
    let signature = key.sign(&text);
    line(&mut text, &Signature { signature })?;
    Ok(text)
}

fn body(text: &mut Vec<u8>, excerpt: &Excerpt) -> io::Result<()> {
    let alike = |one: &ExcerptLine, next: &ExcerptLine| one.text.is_none() && next.text.is_none();
    for lines in excerpt.lines.chunk_by(alike) {
        match lines {
            [ExcerptLine { text: Some(own), .. }] => {
                text.extend_from_slice(own.as_bytes());
                text.push(b'\n');
            }
            [first, .., last] | [first @ last] => {
                let sums = lines.iter().map(|line| line.sum).collect();
                line(text, &Between { between: Run { from: first.seq, to: last.seq, sums } })?;
            }
            [] => {}
        }
    }
    Ok(())
}

fn line(text: &mut Vec<u8>, part: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *text, part)?;
    text.push(b'\n');
    Ok(())
}
