//! A part of the journal as it stands there: some of its lines word for word, of the others their sums. For evidence about
//! one deployment, which is to be held against the whole without showing what others did.

use std::io;

use super::{
    Journal, Record, Sum, snapshot,
    storage::{Storage, numbers},
};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExcerptLine {
    /// Its place in the whole journal.
    pub seq: u64,
    /// Its sum.
    pub sum: Sum,
    /// The line without its line feed; none where only the sum is wanted.
    pub text: Option<String>,
}

/// A part of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The sum before the first line; none when what stood there is gone, and no snapshot tells.
    pub before: Option<Sum>,
    /// All lines, in their order.
    pub lines: Vec<ExcerptLine>,
}

impl Journal {
    /// Returns the lines from `first` to `last`, those with their text that `shown` wants. Reads files and blocks.
    ///
    /// # Errors
    /// When a file cannot be read, or a line of that part is not there any more.
    pub fn excerpt(&self, first: u64, last: u64, shown: &dyn Fn(&Record) -> bool) -> io::Result<Excerpt> {
        let mut replay = self.since(first.saturating_sub(2));
        let mut before = (first <= 1).then(Sum::default);
        let (mut lines, mut expected) = (Vec::new(), first);
        while expected <= last {
            let Some((text, record)) = replay.next_line()? else { return Err(missing(expected)) };
            if record.seq < first {
                before = Some(record.sum);
                continue;
            }
            if record.seq != expected {
                return Err(missing(expected));
            }
            let text = shown(&record).then(|| String::from_utf8(text).map_err(io::Error::other)).transpose()?;
            lines.push(ExcerptLine { seq: record.seq, sum: record.sum, text });
            expected += 1;
        }
        let before = before.or_else(|| sum_by_snapshot(&*self.storage, first));
        Ok(Excerpt { before, lines })
    }
}

fn missing(seq: u64) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("record {seq} is not in the journal any more"))
}

/// The sum before a record with which a file begins, as the snapshot beside that file has it.
fn sum_by_snapshot(storage: &dyn Storage, first: u64) -> Option<Sum> {
    let (_, snapshots) = numbers(&storage.names().ok()?);
    let mut taken = snapshots.into_iter().filter_map(|number| snapshot::read(storage, number).ok());
    taken.find(|folded| folded.seq + 1 == first).map(|folded| folded.sum)
}

impl Sum {
    /// Returns the sum of a line that follows a line with this one, if that is what the line says.
    pub fn of_next(self, line: &[u8]) -> Option<Self> {
        super::record::checked(line, self)
    }
}

impl Record {
    /// Reads a line, without its line feed.
    ///
    /// # Errors
    /// Why it is not one, in a few words.
    pub fn of_line(line: &[u8]) -> Result<Self, String> {
        super::record::parse(line).map_err(|why| why.to_string())
    }
}
