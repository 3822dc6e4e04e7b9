//! What happened: records read back from the segments, from the end or from a record on. Parses only lines that may be
//! wanted.

use std::{
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    sync::Arc,
};

use super::{
    record::{self, Record},
    storage::{Reader, Storage, numbers, segment_name},
    writer::Published,
};
use crate::machine::EnvironmentId;

/// How much of a file is read at once, from its end on.
const BLOCK: u64 = 64 << 10;

/// Which records are read back.
pub(super) struct Query<'a> {
    /// Selects environments.
    pub wanted: &'a dyn Fn(&EnvironmentId) -> bool,
    /// So many at most.
    pub most: usize,
    /// None up to this one.
    pub after: u64,
    /// None beyond this one: they are being written.
    pub newest: u64,
    /// None from this one on.
    pub before: u64,
    /// How many there are of these environments in all, or more: when all were seen, nothing older is read.
    pub all: u64,
    /// How many bytes are read for it at most: the records of a quiet environment may lie far back.
    pub bytes: u64,
}

/// Records that were read back.
#[derive(Debug, Clone)]
pub struct LastRecords {
    /// The records, oldest first.
    pub records: Vec<Record>,
    /// There may be older ones that are wanted: as many as were asked for were found, or enough was read.
    pub more: bool,
}

/// The last records of those that are wanted. Reads from the end of the newest segment back to what
/// answers the query, and no further.
pub(super) fn last(storage: &dyn Storage, query: &Query<'_>) -> io::Result<LastRecords> {
    let (segments, _) = numbers(&storage.names()?);
    let (mut found, mut left, mut bytes) = (Vec::new(), query.all, query.bytes);
    let mut passed = false;
    'segments: for number in segments.into_iter().rev() {
        if found.len() >= query.most || left == 0 || query.newest <= query.after || bytes == 0 {
            break;
        }
        let name = segment_name(number);
        if query.before != u64::MAX && first_seq(storage, &name)?.is_some_and(|first| first >= query.before) {
            continue; // All of it is newer.
        }
        let mut lines = Backwards::from_end(storage.reader(&name)?)?;
        while found.len() < query.most && left > 0 && bytes > 0 {
            let Some(line) = lines.previous()? else { continue 'segments };
            bytes = bytes.saturating_sub(line.len() as u64 + 1);
            if record::seq(&line).is_some_and(|seq| seq <= query.after) {
                passed = true;
                break 'segments;
            }
            // Most lines need not be parsed: where it happened stands near their start.
            if line.is_empty() || record::environment(&line).is_some_and(|id| !(query.wanted)(&id)) {
                continue;
            }
            let record = record::parse(&line).map_err(|error| io::Error::other(format!("{name}: {error}")))?;
            if record.seq <= query.after {
                passed = true;
                break 'segments;
            }
            if record.seq <= query.newest && (query.wanted)(&record.environment) {
                left -= 1;
                if record.seq < query.before {
                    found.push(record);
                }
            }
        }
    }
    found.reverse();
    let more = left > 0 && !passed && (found.len() >= query.most || bytes == 0);
    Ok(LastRecords { records: found, more })
}

/// The place of the first line of a file.
fn first_seq(storage: &dyn Storage, name: &str) -> io::Result<Option<u64>> {
    let mut first = Vec::new();
    BufReader::new(storage.reader(name)?).read_until(b'\n', &mut first)?;
    Ok(first.strip_suffix(b"\n").and_then(record::seq))
}

/// The whole lines of a file, the last one first.
struct Backwards {
    file: Box<dyn Reader>,
    /// Where what was read begins.
    begin: u64,
    /// What was read and not given yet.
    read: Vec<u8>,
}

impl Backwards {
    fn from_end(mut file: Box<dyn Reader>) -> io::Result<Self> {
        let begin = file.seek(SeekFrom::End(0))?;
        let mut lines = Self { file, begin, read: Vec::new() };
        // What stands behind the last line feed is being written, or is nothing.
        lines.previous()?;
        Ok(lines)
    }

    /// Returns the line before, without its line feed; `None` at the start of the file.
    fn previous(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(feed) = self.read.iter().rposition(|&b| b == b'\n') {
                let line = self.read.split_off(feed + 1);
                self.read.pop();
                return Ok(Some(line));
            }
            if self.begin == 0 {
                let first = std::mem::take(&mut self.read);
                return Ok((!first.is_empty()).then_some(first));
            }
            let size = self.begin.min(BLOCK);
            self.begin -= size;
            self.file.seek(SeekFrom::Start(self.begin))?;
            let mut block = Vec::with_capacity(size as usize + self.read.len());
            let got = (&mut self.file).take(size).read_to_end(&mut block)?;
            if got as u64 != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            block.append(&mut self.read);
            self.read = block;
        }
    }
}

/// The records after one of them, in their order, a few at a time. It stays where it is between two readings, so that
/// reading many costs no more than reading them once.
pub struct Replay {
    storage: Arc<dyn Storage>,
    published: Arc<Published>,
    /// The last one that was given.
    after: u64,
    open: Option<Open>,
    /// What could not be read, as long as nobody skips it.
    failed: Option<Failed>,
}

struct Open {
    segment: u32,
    lines: BufReader<Box<dyn Reader>>,
    /// The place of the next line: lines follow one another.
    next: u64,
}

enum Failed {
    /// A line, at this place.
    Line(Open, u64),
    /// All that is left of a file.
    File(u32),
}

impl Replay {
    pub(super) fn new(storage: Arc<dyn Storage>, published: Arc<Published>, after: u64) -> Self {
        Self { storage, published, after, open: None, failed: None }
    }

    /// The next records that are safe, at most so many; none when there are no more yet. Reads files and blocks.
    ///
    /// # Errors
    /// When what comes next cannot be read. [`Replay::skip`] goes on behind it.
    pub fn more(&mut self, most: usize) -> io::Result<Vec<Record>> {
        let mut found = Vec::new();
        while found.len() < most {
            match self.next_line() {
                Ok(Some((_, record))) => found.push(record),
                Ok(None) => break,
                Err(error) if found.is_empty() => return Err(error),
                // What was read is given first; the next call meets the error again.
                Err(_) => break,
            }
        }
        Ok(found)
    }

    /// Goes on behind what could not be read: behind the line, or with the next file where a file fails. Returns whether there
    /// is anything to go on with. Whoever skips has to say so: what is left out is not given later.
    ///
    /// # Errors
    /// When the folder, or the next file, cannot be read either.
    pub fn skip(&mut self) -> io::Result<bool> {
        match self.failed.take() {
            Some(Failed::Line(open, seq)) => {
                self.after = self.after.max(seq);
                self.open = Some(open);
            }
            Some(Failed::File(segment)) => self.open = self.next_after(segment)?,
            None => {}
        }
        Ok(self.open.is_some())
    }

    /// The next line that is safe, as it stands there, and what it says; none when there is none yet.
    pub(super) fn next_line(&mut self) -> io::Result<Option<(Vec<u8>, Record)>> {
        let newest = self.published.newest();
        // What was opened before may end where the file ended then.
        let mut opened_before = self.open.is_some();
        while self.after < newest {
            let Some(mut open) = self.open.take().map_or_else(|| self.locate(), |open| Ok(Some(open)))? else { break };
            let name = segment_name(open.segment);
            let mut line = Vec::new();
            if let Err(error) = open.lines.read_until(b'\n', &mut line) {
                self.failed = Some(Failed::File(open.segment));
                return Err(io::Error::new(error.kind(), format!("{name}: {error}")));
            }
            if line.pop() != Some(b'\n') {
                // The end of this segment; what is missing stands in the next one.
                self.open = self.next_after(open.segment)?;
                if self.open.is_none() && !std::mem::take(&mut opened_before) {
                    break;
                }
                continue;
            }
            let seq = record::seq(&line).unwrap_or(open.next);
            open.next = seq.saturating_add(1);
            let record = match (seq > self.after).then(|| record::parse(&line)).transpose() {
                Ok(record) => record,
                Err(error) => {
                    self.failed = Some(Failed::Line(open, seq));
                    return Err(io::Error::other(format!("{name}, record {seq}: {error}")));
                }
            };
            if record.as_ref().is_some_and(|record| record.seq > newest) {
                break; // Being written; it is looked for again.
            }
            self.open = Some(open);
            if let Some(record) = record.filter(|record| record.seq > self.after) {
                self.after = record.seq;
                return Ok(Some((line, record)));
            }
        }
        Ok(None)
    }

    /// The last segment that begins no later than with the record that is wanted. One whose first line cannot be read does
    /// not decide: it is met when the ones before it were read.
    fn locate(&mut self) -> io::Result<Option<Open>> {
        let (segments, _) = numbers(&self.storage.names()?);
        let begins = |segment| first_seq(&*self.storage, &segment_name(segment)).ok().flatten();
        let found = segments.iter().rev().find(|segment| begins(**segment).is_some_and(|seq| seq <= self.after + 1));
        found.or(segments.first()).map(|segment| self.open(*segment)).transpose()
    }

    fn next_after(&mut self, segment: u32) -> io::Result<Option<Open>> {
        let (segments, _) = numbers(&self.storage.names()?);
        segments.into_iter().find(|number| *number > segment).map(|next| self.open(next)).transpose()
    }

    fn open(&mut self, segment: u32) -> io::Result<Open> {
        let name = segment_name(segment);
        let opened = first_seq(&*self.storage, &name).and_then(|first| Ok((first, self.storage.reader(&name)?)));
        let (first, reader) = opened.map_err(|error| {
            self.failed = Some(Failed::File(segment));
            io::Error::new(error.kind(), format!("{name}: {error}"))
        })?;
        Ok(Open { segment, lines: BufReader::new(reader), next: first.unwrap_or(self.after + 1) })
    }
}
