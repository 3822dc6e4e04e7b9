//! What the instances of a stack write, as drivers hand it out: lines, and positions from which one can go on reading.
//! Must not know where a driver keeps it.

use std::{collections::BTreeMap, fmt, str::FromStr};

use secrecy::SecretString;

use crate::machine::Number;

/// A stream that an instance writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    /// Both, in the order in which they are shown.
    pub const BOTH: [Self; 2] = [Self::Out, Self::Err];

    /// Its name, for people and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
        }
    }
}

/// A place in one stream: a file of it, by an identity that no other file gets, and bytes from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spot {
    /// The identity of the file.
    pub file: u64,
    /// Bytes from its beginning.
    pub offset: u64,
}

/// How far all streams of a stack were read. Written as a text without spaces, for `Last-Event-ID`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(BTreeMap<(u32, Stream), Spot>);

impl Position {
    /// How far this stream was read; nothing when it was not there.
    pub fn of(&self, instance: u32, stream: Stream) -> Option<Spot> {
        self.0.get(&(instance, stream)).copied()
    }

    /// Notes how far this stream was read.
    pub fn advance(&mut self, instance: u32, stream: Stream, spot: Spot) {
        self.0.insert((instance, stream), spot);
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, ((instance, stream), Spot { file, offset })) in self.0.iter().enumerate() {
            let between = if nth == 0 { "" } else { "_" };
            write!(f, "{between}{instance}{}-{file:x}-{offset}", stream.as_str())?;
        }
        Ok(())
    }
}

/// A text is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a position in what a stack wrote")]
pub struct BadPosition;

impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let one = |part: &str| {
            let mut parts = part.split('-');
            let (name, file, offset) = (parts.next()?, parts.next()?, parts.next()?);
            let stream = Stream::BOTH.into_iter().find(|stream| name.ends_with(stream.as_str()))?;
            let instance = name.strip_suffix(stream.as_str())?.parse().ok()?;
            let spot = Spot { file: u64::from_str_radix(file, 16).ok()?, offset: offset.parse().ok()? };
            parts.next().is_none().then_some(((instance, stream), spot))
        };
        let parts = text.split('_').filter(|part| !part.is_empty());
        parts.map(|part| one(part).ok_or(BadPosition)).collect::<Result<_, _>>().map(Self)
    }
}

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The last lines of each stream, at most this many.
    Last(usize),
    /// What follows the position that was read before.
    After(Position),
}

/// What of a stack's output is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogsFrom {
    /// Instance whose lines are wanted; `None` for all.
    pub instance: Option<u32>,
    /// Where to begin.
    pub begin: Begin,
    /// Whether a last line without its end counts: not for who goes on reading.
    pub unfinished: bool,
}

/// A line as it was written, without its end. May hold secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The instance that wrote it.
    pub instance: u32,
    /// The stream that it was written to.
    pub stream: Stream,
    /// The text.
    pub text: String,
    /// Where the stream goes on after it.
    pub next: Spot,
}

/// A part of what a stack wrote. Lines of one stream are in order; between streams there is none.
#[derive(Debug, Default)]
pub struct LogPage {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Where to go on.
    pub next: Position,
    /// The instances that have written anything.
    pub instances: Vec<u32>,
    /// Some of what was written since was removed to keep files small.
    pub missed: bool,
    /// There is more to be read at once.
    pub more: bool,
    /// How often each instance was started, as far as that is known.
    pub starts: Vec<u64>,
    /// Secrets that the driver itself gave the stack: values that must not be shown.
    pub hidden: Vec<SecretString>,
}

/// Logs that were found.
#[derive(Debug)]
pub enum Logs {
    /// A part of it.
    Page(LogPage),
    /// Nothing is kept of that stack; these are kept, the oldest first.
    NotKept(Vec<Number>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_being_written_and_read() {
        let mut position = Position::default();
        assert_eq!(position.to_string().parse(), Ok(position.clone()));
        position.advance(0, Stream::Out, Spot { file: u64::MAX, offset: 17 });
        position.advance(12, Stream::Err, Spot { file: 0x1a, offset: 0 });
        assert_eq!(position.to_string(), "0out-ffffffffffffffff-17_12err-1a-0");
        assert_eq!(position.to_string().parse(), Ok(position));
        for bad in ["0out", "0out-1", "0out-x-1", "out-1-1", "0log-1-1", "0out-1-1-1", "0out-1--1", "1207"] {
            assert_eq!(bad.parse::<Position>(), Err(BadPosition), "{bad}");
        }
    }
}
