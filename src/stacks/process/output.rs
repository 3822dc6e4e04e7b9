//! What an instance writes: kept in files of bounded size, and the last line of its errors for the remark.
//!
//! Must not slow the instance down: what can not be written, on a full disk, is lost.

use std::{
    cell::RefCell,
    fs::{self, File, OpenOptions},
    io::Write,
    path::PathBuf,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Child,
};

use super::supervisor::Shared;

/// The size of a log file, unless the definition says another.
const LIMIT: u64 = 8 << 20;
/// The longest line for a remark, in bytes.
const LINE: usize = 300;

/// Copies both streams of the child until they end.
pub(super) fn keep<'l>(
    shared: &Shared,
    instance: usize,
    child: &mut Child,
    last: &'l LastLine,
) -> impl Future<Output = ()> + use<'l> {
    let limit = shared.definition.limits.log.unwrap_or(LIMIT);
    let folder = shared.folder.0.join("logs");
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (out_log, err_log) = (
        Log::open(folder.join(format!("{instance}.out")), limit),
        Log::open(folder.join(format!("{instance}.err")), limit),
    );
    async move {
        tokio::join!(copy(out, out_log, None), copy(err, err_log, Some(last)));
    }
}

async fn copy(stream: Option<impl AsyncRead + Unpin>, mut log: Log, last: Option<&LastLine>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        log.write(&buffer[..length]);
        if let Some(last) = last {
            last.add(&buffer[..length]);
        }
    }
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
