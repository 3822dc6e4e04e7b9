//! The log of a program that runs beside the controller: a file of bounded size in the program's folder, and one from
//! before. Must not know what is logged, and must never stop the program: what cannot be written is lost.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Mutex,
};

use rustix::fs::{FlockOperation, flock};
use tracing_subscriber::EnvFilter;

/// The log, in the program's folder; the one from before has `.1` behind it.
const NAME: &str = "log";
/// The size of one file, in bytes.
const LIMIT: u64 = 1 << 20;
/// Default filter of the log.
const FILTER: &str = "warn,pointsman=info";

/// How long a file of last words may be before it is begun again, in bytes.
const LAST_WORDS: u64 = 64 << 10;

/// Opens the file that a program's standard error goes to: why it could not begin, and nothing else as a rule. It is begun
/// again when it is long.
///
/// # Errors
/// When it cannot be opened, or not be removed.
pub(crate) fn for_last_words(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|there| there.len() > LAST_WORDS) {
        fs::remove_file(path)?;
    }
    open(path)
}

/// Has all that this process logs written to the log in this folder.
///
/// # Errors
/// When the process logs elsewhere already.
pub(crate) fn install(folder: &Path) -> anyhow::Result<()> {
    let log = LogFile { path: folder.join(NAME), limit: LIMIT, file: None };
    let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(FILTER)?).with_ansi(false);
    builder.with_writer(Mutex::new(log)).try_init().map_err(|error| anyhow::anyhow!(error))
}

/// A file that several processes may write to: each looks before it writes whether another has begun a new one.
struct LogFile {
    path: PathBuf,
    limit: u64,
    /// Kept open: it is needed most when there are no descriptors left.
    file: Option<File>,
}

impl LogFile {
    /// The file that the next line goes to.
    fn current(&mut self, more: u64) -> io::Result<&mut File> {
        let file = self.file.take().filter(|file| is_at(file, &self.path));
        let mut file = file.map_or_else(|| open(&self.path), Ok)?;
        let size = file.metadata()?.len();
        if size > 0 && size + more > self.limit {
            flock(&file, FlockOperation::LockExclusive)?;
            // Another process may have done so meanwhile.
            if is_at(&file, &self.path) {
                let mut before = self.path.clone().into_os_string();
                before.push(".1");
                fs::rename(&self.path, before)?;
            }
            file = open(&self.path)?;
        }
        Ok(self.file.insert(file))
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o600).open(path)
}

fn is_at(file: &File, path: &Path) -> bool {
    let same = |(a, b): (fs::Metadata, fs::Metadata)| (a.dev(), a.ino()) == (b.dev(), b.ino());
    file.metadata().ok().zip(fs::metadata(path).ok()).is_some_and(same)
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Lost where the disk is full or the folder is gone.
        let _ = self.current(line.len() as u64).and_then(|file| file.write_all(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(folder: &Path, limit: u64) -> LogFile {
        LogFile { path: folder.join(NAME), limit, file: None }
    }

    #[test]
    fn it_is_bounded_and_the_newest_lines_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path(), 100);
        for nth in 0..1000 {
            writeln!(log, "line {nth:04}").unwrap();
        }
        let [now, before] = ["log", "log.1"].map(|name| fs::read_to_string(folder.path().join(name)).unwrap());
        assert!(now.len() <= 100 && before.len() <= 100, "{now}\n{before}");
        assert!(now.ends_with("line 0999\n"), "{now}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn last_words_are_kept_as_long_as_they_are_few() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last-words");
        for _ in 0..3 {
            writeln!(for_last_words(&path).unwrap(), "it could not begin").unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
        for_last_words(&path).unwrap().write_all(&vec![b'x'; 65 << 10]).unwrap();
        writeln!(for_last_words(&path).unwrap(), "begun again").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "begun again\n");
    }

    #[test]
    fn two_processes_write_to_one_log() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut other) = (log(folder.path(), 100), log(folder.path(), 100));
        for nth in 0..50 {
            writeln!(one, "one {nth}").unwrap();
            writeln!(other, "other {nth}").unwrap();
        }
        let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
        let (before, now) = (read("log.1"), read("log"));
        assert!(now.len() <= 100 && before.len() <= 100, "{before}{now}");
        let lines: Vec<String> = (0..50).flat_map(|nth| [format!("one {nth}\n"), format!("other {nth}\n")]).collect();
        assert!(lines.concat().ends_with(&format!("{before}{now}")), "none is lost between them: {before}{now}");
    }

    #[test]
    fn a_folder_that_is_gone_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(&folder.path().join("gone"), 100);
        writeln!(log, "lost").unwrap();
    }
}
