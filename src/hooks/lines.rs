//! The lines of a run in its folder, for who reads along: files of bounded size, each named after the count of bytes that were
//! written before it, so that a position is a number and what was removed is noticed. Must not keep the run waiting.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// The size of one file, in bytes; there are two.
const LIMIT: u64 = 256 << 10;
/// How their names begin.
const NAME: &str = "output-";

/// Writes the lines of a run.
pub(super) struct Writer {
    folder: PathBuf,
    /// The file that is written to, with the count at which it begins.
    file: Option<(File, u64)>,
    /// The file that was written to before.
    before: Option<u64>,
    /// How many bytes were to be written so far.
    count: u64,
    silent: bool,
}

impl Writer {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), file: None, before: None, count: 0, silent: false }
    }

    /// Writes whole lines. What cannot be written is lost, and who reads notices: the run goes on.
    pub(super) fn write(&mut self, lines: &str) {
        let length = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let written = self.append(lines.as_bytes(), length);
        self.count += length;
        if let Err(error) = &written
            && !self.silent
        {
            tracing::warn!(%error, "the output of the hook cannot be written for followers; the hook goes on");
        }
        self.silent = written.is_err();
    }

    fn append(&mut self, lines: &[u8], length: u64) -> io::Result<()> {
        let fits = |(_, start): &(File, u64)| self.count - start + length <= LIMIT;
        if let Some((file, start)) = self.file.take_if(|file| !fits(file)) {
            drop(file);
            self.forget(Some(start));
        }
        match &mut self.file {
            Some((file, start)) => {
                let written = file.write_all(lines);
                if written.is_err() {
                    // A part of it may stand there: it goes on in another file.
                    let start = *start;
                    self.file = None;
                    self.forget(Some(start));
                }
                written
            }
            none => {
                let path = self.folder.join(format!("{NAME}{}", self.count));
                let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
                if let Err(error) = file.write_all(lines) {
                    fs::remove_file(&path)?;
                    return Err(error);
                }
                *none = Some((file, self.count));
                Ok(())
            }
        }
    }

    /// Another file is the one before; removes the one that was it.
    fn forget(&mut self, now: Option<u64>) {
        let before = std::mem::replace(&mut self.before, now);
        if let Some(before) = before
            && let Err(error) = fs::remove_file(self.folder.join(format!("{NAME}{before}")))
        {
            tracing::debug!(%error, "old lines of the hook cannot be removed");
        }
    }
}

/// Where to begin to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Begins with the last so many lines.
    Last(usize),
    /// Goes on at this position.
    At(u64),
}

/// A line of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its text, without its end and without secrets.
    pub text: String,
    /// The position after it.
    pub next: u64,
}

/// What was read of the lines of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    /// The lines, in their order.
    pub lines: Vec<Line>,
    /// Where to go on.
    pub next: u64,
    /// Some were removed, or could not be written, before they were read.
    pub missed: bool,
}

/// Reads what stands in the folder of a run. A folder without lines has none.
///
/// # Errors
/// When the folder or a file cannot be read.
pub(super) fn read(folder: &Path, from: From) -> io::Result<Lines> {
    let at = match from {
        From::Last(_) => None,
        From::At(at) => Some(at),
    };
    let mut found = Lines { next: at.unwrap_or(0), ..Lines::default() };
    let mut begun = at.is_some();
    for start in starts(folder)? {
        let Some(bytes) = bytes(&folder.join(format!("{NAME}{start}")), found.next.saturating_sub(start))? else {
            continue;
        };
        if found.next < start {
            found.missed |= begun;
            found.next = start;
        }
        begun = true;
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else { continue };
        for line in bytes[..=end].split_inclusive(|byte| *byte == b'\n') {
            found.next += u64::try_from(line.len()).unwrap_or(u64::MAX);
            let text = String::from_utf8_lossy(&line[..line.len() - 1]).into_owned();
            found.lines.push(Line { text, next: found.next });
        }
    }
    if let From::Last(most) = from {
        found.lines.drain(..found.lines.len().saturating_sub(most));
    }
    Ok(found)
}

/// The bytes of a file from there on; nothing when it was removed meanwhile.
fn bytes(path: &Path, from: u64) -> io::Result<Option<Vec<u8>>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(2 * LIMIT).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Where the files begin that are there, in order.
fn starts(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut starts = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        starts.extend(name.to_str().and_then(|name| name.strip_prefix(NAME)?.parse::<u64>().ok()));
    }
    starts.sort_unstable();
    Ok(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &Lines) -> Vec<&str> {
        lines.lines.iter().map(|line| &*line.text).collect()
    }

    #[test]
    fn who_goes_on_at_a_position_reads_each_line_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(folder.path());
        assert_eq!(read(folder.path(), From::Last(5)).unwrap(), Lines::default());
        writer.write("one\ntwo\n");
        let first = read(folder.path(), From::Last(1)).unwrap();
        assert_eq!((texts(&first), first.next, first.missed), (vec!["two"], 8, false));
        assert_eq!(read(folder.path(), From::At(8)).unwrap(), Lines { next: 8, ..Lines::default() });
        writer.write("three\n");
        let more = read(folder.path(), From::At(first.next)).unwrap();
        assert_eq!((texts(&more), more.next), (vec!["three"], 14));
        assert_eq!(texts(&read(folder.path(), From::At(4)).unwrap()), ["two", "three"]);
        assert_eq!(read(&folder.path().join("gone"), From::At(4)).unwrap().lines, []);
    }

    #[test]
    fn what_is_kept_is_bounded_and_who_was_too_late_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(folder.path());
        let line = "x".repeat(1023) + "\n";
        for _ in 0..2_000 {
            writer.write(&line);
        }
        let sizes = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        let sizes: Vec<u64> = sizes.collect();
        assert!(sizes.len() == 2 && sizes.iter().all(|size| *size <= LIMIT), "{sizes:?}");
        let kept = read(folder.path(), From::Last(usize::MAX)).unwrap();
        assert!(kept.lines.len() >= 256 && !kept.missed && kept.next == 2_000 * 1024, "{}", kept.lines.len());
        let late = read(folder.path(), From::At(1024)).unwrap();
        assert!(late.missed && late.lines == kept.lines);
    }

    #[test]
    fn lines_that_could_not_be_written_are_missed_and_those_before_and_after_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        fs::create_dir(&path).unwrap();
        let mut writer = Writer::new(&path);
        writer.write("before\n");
        // As on a full disk: what is open takes nothing more, and nothing new can be made.
        writer.file = Some((File::open(path.join("output-0")).unwrap(), 0));
        fs::rename(&path, folder.path().join("away")).unwrap();
        writer.write("lost\n");
        writer.write("lost too\n");
        fs::rename(folder.path().join("away"), &path).unwrap();
        writer.write("after\n");
        let all = read(&path, From::Last(10)).unwrap();
        assert_eq!((texts(&all), all.missed, all.next), (vec!["before", "after"], true, 27));
        assert!(!read(&path, From::At(21)).unwrap().missed);
    }
}
