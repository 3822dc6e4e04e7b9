//! Reading a segment: blocks of whole lines whose chain was checked, and what its end looks like.
//!
//! A line without an end is the only thing that counts as torn, and only at the end of the newest segment: the writer
//! appends whole batches, so a crash leaves a prefix of one, and what was cut was never acknowledged. A *complete* line
//! with a wrong sum cannot come from that; it was changed, or the disk lies, and going on would be a guess. The same
//! holds for a last line that is whole but for its line feed having become something else.

use std::io::{self, Read};

use super::{
    problem::{Fault, Problem},
    record::{self, Sum},
    storage::Reader,
};

const BLOCK: usize = 1 << 20;

/// Whole lines, one after the other, each with a good sum.
pub(super) struct Block {
    bytes: Vec<u8>,
    /// Where each line ends, its line feed not counted.
    ends: Vec<usize>,
    first_line: u64,
    offset: u64,
}

impl Block {
    /// The lines, each with its number and place in the file.
    pub(super) fn lines(&self) -> impl Iterator<Item = (u64, u64, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|end| end + 1));
        starts.zip(&self.ends).zip(self.first_line..).map(|((start, &end), number)| {
            let line = self.bytes.get(start..end).unwrap_or_default();
            (number, self.offset + start as u64, line)
        })
    }
}

/// How a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// The sum of its last good line.
    pub sum: Sum,
    /// How long it is up to there.
    pub length: u64,
    /// How many lines that is.
    pub lines: u64,
    /// How many bytes of a line without an end follow.
    pub torn: u64,
}

/// Reads a segment whose first line follows a line with the sum `before`, and gives the good lines to `take`, which says
/// whether it wants more. `newest`: a torn line may be at its end.
pub(super) fn segment(
    file: &str,
    reader: &mut dyn Read,
    before: Sum,
    newest: bool,
    take: &mut dyn FnMut(Block) -> bool,
) -> Result<End, Problem> {
    let mut end = End { sum: before, length: 0, lines: 0, torn: 0 };
    let mut rest: Vec<u8> = Vec::new();
    loop {
        let mut bytes = Vec::with_capacity(rest.len() + BLOCK);
        bytes.append(&mut rest);
        let unread = bytes.len();
        let got = reader.take(BLOCK as u64).read_to_end(&mut bytes);
        let got = got.map_err(|error| at(file, &end, Fault::Io(error)))?;
        if got == 0 {
            return tail(file, &bytes, end, newest);
        }
        let whole = bytes[unread..].iter().rposition(|&b| b == b'\n').map_or(0, |feed| unread + feed + 1);
        rest.extend_from_slice(&bytes[whole..]);
        bytes.truncate(whole);
        if whole > 0 && !take(block(file, bytes, &mut end)?) {
            return Ok(end);
        }
    }
}

fn block(file: &str, bytes: Vec<u8>, end: &mut End) -> Result<Block, Problem> {
    let (first_line, offset) = (end.lines + 1, end.length);
    let mut ends = Vec::with_capacity(bytes.len() / 256);
    let mut start = 0;
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let sum = record::checked(text, end.sum);
        end.sum = sum.ok_or_else(|| at(file, end, suspect(text)))?;
        ends.push(start + text.len());
        start += line.len();
        end.length += line.len() as u64;
        end.lines += 1;
    }
    Ok(Block { bytes, ends, first_line, offset })
}

fn tail(file: &str, bytes: &[u8], mut end: End, newest: bool) -> Result<End, Problem> {
    let changed_feed = bytes.split_last().is_some_and(|(_, text)| record::checked(text, end.sum).is_some());
    if changed_feed {
        return Err(at(file, &end, Fault::BadSum));
    }
    if !bytes.is_empty() && !newest {
        return Err(at(file, &end, Fault::Unfinished));
    }
    end.torn = bytes.len() as u64;
    Ok(end)
}

/// A newer version may sum its lines in another way.
fn suspect(line: &[u8]) -> Fault {
    record::newer(line).map_or(Fault::BadSum, |found| Fault::Newer { found })
}

fn at(file: &str, end: &End, fault: Fault) -> Problem {
    Problem::new(file, end.lines + 1, end.length, fault)
}

/// A whole small file.
pub(super) fn all(reader: io::Result<Box<dyn Reader>>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader?.read_to_end(&mut bytes)?;
    Ok(bytes)
}
