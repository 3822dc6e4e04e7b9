//! What an instance writes: kept in files of bounded size, and the last line of its errors for the remark.
//!
//! It writes into pipes that it holds open at both ends itself. So a supervisor that is gone breaks no pipe, and the next one
//! finds them where the instance has them, and goes on reading where that one ended.
//!
//! Must not slow the instance down: what cannot be written, on a full disk, is lost.

use std::{
    cell::RefCell,
    fs::{self, File, OpenOptions},
    io::{self, PipeWriter, Read, Seek, SeekFrom, Write},
    os::fd::AsRawFd,
    path::PathBuf,
};

use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};

use super::supervisor::Shared;

/// The size of a log file, unless the definition says another.
const LIMIT: u64 = 8 << 20;
/// The longest line for a remark, in bytes.
const LINE: usize = 300;
/// The most that is read at once.
const PIECE: usize = 16 << 10;

/// Both streams of an instance, as they are read.
pub(super) struct Output {
    streams: [Stream; 2],
    last: LastLine,
}

struct Stream {
    /// The pipe; `None` when an instance of an earlier supervisor writes to a file of its own.
    pipe: Option<Receiver>,
    log: Log,
}

impl Output {
    /// New pipes, and what the instance is to get as its standard output and its standard error.
    ///
    /// # Errors
    /// When there can be none.
    pub(super) fn new(shared: &Shared, instance: usize) -> io::Result<(Self, [File; 2])> {
        let ((out, out_end), (err, err_end)) = (new_pipe()?, new_pipe()?);
        Ok((Self::of(shared, instance, [Some(out), Some(err)]), [out_end, err_end]))
    }

    /// Returns the streams of an instance that runs.
    pub(super) fn found(shared: &Shared, instance: usize, pid: i32) -> Self {
        let output = Self::of(shared, instance, [1, 2].map(|stream| pipe_of(pid, stream)));
        output.remember();
        output
    }

    fn of(shared: &Shared, instance: usize, pipes: [Option<Receiver>; 2]) -> Self {
        let limit = shared.definition.limits.log.unwrap_or(LIMIT);
        let log = |stream: &str| Log::open(shared.folder.0.join(format!("logs/{instance}.{stream}")), limit);
        let [out, err] = pipes;
        let streams = [Stream { pipe: out, log: log("out") }, Stream { pipe: err, log: log("err") }];
        Self { streams, last: LastLine::default() }
    }

    /// Goes on from what an earlier supervisor has read.
    fn remember(&self) {
        let tail = || -> io::Result<Vec<u8>> {
            let mut file = File::open(&self.streams[1].log.path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
            let mut tail = Vec::new();
            file.read_to_end(&mut tail)?;
            Ok(tail)
        };
        // Without it the remark lacks its last line, no more.
        if let Ok(tail) = tail() {
            self.last.add(&tail);
        }
    }

    /// Copies both streams for as long as it is polled.
    pub(super) async fn copy(&mut self) {
        let [out, err] = &mut self.streams;
        tokio::join!(out.copy(None), err.copy(Some(&self.last)));
    }

    /// Reads what is left after the end, and returns the last line of its errors.
    pub(super) fn last_words(mut self) -> String {
        let mut buffer = vec![0; PIECE];
        for (nth, stream) in self.streams.iter_mut().enumerate() {
            // What it has left running may go on writing: no more than a pipe can hold.
            for _ in 0..(1 << 20) / PIECE {
                // It does not block: the runtime has opened it so.
                let read = stream.pipe.as_ref().map(|pipe| rustix::io::read(pipe, &mut buffer));
                let Some(Ok(length @ 1..)) = read else { break };
                stream.log.write(&buffer[..length]);
                if nth == 1 {
                    self.last.add(&buffer[..length]);
                }
            }
        }
        self.last.text()
    }
}

impl Stream {
    async fn copy(&mut self, last: Option<&LastLine>) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut buffer = vec![0; PIECE];
        while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
            self.log.write(&buffer[..length]);
            if let Some(last) = last {
                last.add(&buffer[..length]);
            }
        }
    }
}

/// A pipe, and the instance's end of it: open for both, so that it never writes to nobody.
fn new_pipe() -> io::Result<(Receiver, File)> {
    let (reader, writer): (_, PipeWriter) = io::pipe()?;
    let end = both_ends(&format!("/proc/self/fd/{}", writer.as_raw_fd()))?;
    Ok((Receiver::from_owned_fd(reader.into())?, end))
}

/// The pipe that a process has as this stream, if it is one.
fn pipe_of(pid: i32, stream: u8) -> Option<Receiver> {
    let path = format!("/proc/{pid}/fd/{stream}");
    // Opened by its name, so a terminal or a file of somebody is not touched.
    let is_pipe = fs::read_link(&path).is_ok_and(|target| target.to_string_lossy().starts_with("pipe:["));
    is_pipe.then(|| Receiver::from_file(both_ends(&path).ok()?).ok()).flatten()
}

fn both_ends(path: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

struct Log {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    limit: u64,
}

impl Log {
    fn open(path: PathBuf, limit: u64) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(&path).ok();
        let size = file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |data| data.len());
        Self { path, file, size, limit }
    }

    fn write(&mut self, bytes: &[u8]) {
        let more = bytes.len() as u64;
        if self.size > 0 && self.size + more > self.limit {
            let mut before = self.path.clone().into_os_string();
            before.push(".1");
            if fs::rename(&self.path, before).is_ok() {
                *self = Self::open(std::mem::take(&mut self.path), self.limit);
            }
        }
        if let Some(file) = &mut self.file
            && file.write_all(bytes).is_ok()
        {
            self.size += more;
        }
    }
}

/// The last line that is not empty, cut to what a sentence bears.
#[derive(Default)]
pub(super) struct LastLine(RefCell<Lines>);

#[derive(Default)]
struct Lines {
    current: Vec<u8>,
    complete: Vec<u8>,
}

impl LastLine {
    fn add(&self, bytes: &[u8]) {
        let mut lines = self.0.borrow_mut();
        for (nth, part) in bytes.split(|b| *b == b'\n').enumerate() {
            if nth > 0 {
                let line = std::mem::take(&mut lines.current);
                if !line.trim_ascii().is_empty() {
                    lines.complete = line;
                }
            }
            let room = LINE.saturating_sub(lines.current.len());
            lines.current.extend_from_slice(&part[..part.len().min(room)]);
        }
    }

    pub(super) fn text(&self) -> String {
        let Lines { current, complete } = &*self.0.borrow();
        let line = if current.trim_ascii().is_empty() { complete } else { current };
        // Colours and other control characters have no place in a remark.
        String::from_utf8_lossy(line).trim().chars().filter(|c| !c.is_control()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_survives_odd_pieces_and_blank_lines() {
        let last = LastLine::default();
        for piece in ["first\nsec", "ond\n", "\n  \n"] {
            last.add(piece.as_bytes());
        }
        assert_eq!(last.text(), "second");
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let last = LastLine::default();
        (0..100).for_each(|_| last.add(&[b'x'; 1000]));
        assert_eq!(last.text().len(), LINE);
    }

    #[test]
    fn a_log_never_grows_beyond_twice_its_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("0.out");
        let mut log = Log::open(path.clone(), 1000);
        (0..100).for_each(|_| log.write(&[b'x'; 90]));
        let sizes = ["0.out", "0.out.1"].map(|name| fs::metadata(folder.path().join(name)).expect("written").len());
        assert!(sizes.iter().all(|size| *size <= 1000), "{sizes:?}");
    }
}
