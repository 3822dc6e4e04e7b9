//! What happened: records read back from the segments, from the end or from a record on. Parses only lines that may be
//! wanted.

use std::{
    io::{self, BufRead, BufReader, Read},
    sync::Arc,
};

use super::{
    read,
    record::{self, Record},
    storage::{Storage, numbers, segment_name},
    writer::Published,
};
use crate::machine::EnvironmentId;

/// The last records up to number `newest`, of those environments that are wanted, oldest first. Lines beyond `newest` are
/// being written and are not looked at.
pub(super) fn last(
    storage: &dyn Storage,
    wanted: &dyn Fn(&EnvironmentId) -> bool,
    last: usize,
    newest: u64,
) -> io::Result<Vec<Record>> {
    let (segments, _) = numbers(&storage.names()?);
    let mut found = Vec::new();
    for number in segments.into_iter().rev() {
        if found.len() >= last {
            break;
        }
        let name = segment_name(number);
        let content = read::all(storage.reader(&name))?;
        let whole = content.iter().rposition(|&b| b == b'\n').map_or(0, |feed| feed + 1);
        for line in content[..whole].rsplit(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            if found.len() >= last {
                break;
            }
            // Most lines need not be parsed: where it happened stands near their start.
            if record::environment(line).is_some_and(|id| !wanted(&id)) {
                continue;
            }
            let record = record::parse(line).map_err(|error| io::Error::other(format!("{name}: {error}")))?;
            if record.seq <= newest && wanted(&record.environment) {
                found.push(record);
            }
        }
    }
    found.reverse();
    Ok(found)
}

/// The records after one of them, in their order, a few at a time. It stays where it is between two readings, so that
/// reading many costs no more than reading them once.
pub struct Replay {
    storage: Arc<dyn Storage>,
    published: Arc<Published>,
    /// The last one that was given.
    after: u64,
    open: Option<Open>,
}

struct Open {
    segment: u32,
    lines: BufReader<Box<dyn Read + Send>>,
}

impl Replay {
    pub(super) fn new(storage: Arc<dyn Storage>, published: Arc<Published>, after: u64) -> Self {
        Self { storage, published, after, open: None }
    }

    /// The next records that are safe, at most so many; none when there are no more yet. Reads files and blocks.
    ///
    /// # Errors
    /// When a segment can not be read.
    pub fn more(&mut self, most: usize) -> io::Result<Vec<Record>> {
        let newest = self.published.newest();
        let mut found = Vec::new();
        while found.len() < most && self.after < newest {
            let Some(mut open) = self.open.take().map_or_else(|| self.locate(), |open| Ok(Some(open)))? else { break };
            let mut line = Vec::new();
            open.lines.read_until(b'\n', &mut line)?;
            let Some(line) = line.strip_suffix(b"\n") else {
                // The end of this segment; what is missing stands in the next one.
                self.open = self.next_after(open.segment)?;
                if self.open.is_none() {
                    break;
                }
                continue;
            };
            let unreadable = |error| io::Error::other(format!("{}: {error}", segment_name(open.segment)));
            if record::seq(line).is_none_or(|seq| seq > self.after) {
                let record = record::parse(line).map_err(unreadable)?;
                if record.seq > newest {
                    break; // Being written; it is looked for again.
                }
                if record.seq > self.after {
                    self.after = record.seq;
                    found.push(record);
                }
            }
            self.open = Some(open);
        }
        Ok(found)
    }

    /// The last segment that begins no later than with the record that is wanted.
    fn locate(&self) -> io::Result<Option<Open>> {
        let (segments, _) = numbers(&self.storage.names()?);
        let mut oldest = None;
        for segment in segments.into_iter().rev() {
            let mut first = Vec::new();
            self.open(segment)?.lines.read_until(b'\n', &mut first)?;
            let seq = first.strip_suffix(b"\n").and_then(record::seq);
            oldest = Some(segment);
            if seq.is_some_and(|seq| seq <= self.after + 1) {
                break;
            }
        }
        oldest.map(|segment| self.open(segment)).transpose()
    }

    fn next_after(&self, segment: u32) -> io::Result<Option<Open>> {
        let (segments, _) = numbers(&self.storage.names()?);
        segments.into_iter().find(|number| *number > segment).map(|next| self.open(next)).transpose()
    }

    fn open(&self, segment: u32) -> io::Result<Open> {
        Ok(Open { segment, lines: BufReader::new(self.storage.reader(&segment_name(segment))?) })
    }
}
