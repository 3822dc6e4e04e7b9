//! A file of rows that is looked at anew for every request, so that what was changed holds from then on, without a restart.
//! Must not know what the rows allow.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{Refused, kept::Row};
use crate::{machine::Millis, toml_file::Mistake};

/// The largest file that is read, in bytes: some ten thousand rows.
const LARGEST: u64 = 4 << 20;

/// A file of rows, as it was when it was last looked at.
pub(super) struct Watched<R> {
    path: PathBuf,
    known: Mutex<Known<R>>,
}

struct Known<R> {
    /// When the file was looked at.
    looked: Millis,
    stamp: Option<Stamp>,
    /// `Err`: it cannot be used, and this was said in the log.
    rows: Result<Vec<R>, Vec<Mistake>>,
}

/// Metadata that changes when a file is written again.
#[derive(PartialEq, Eq, Clone, Copy)]
struct Stamp([i128; 6]);

impl Stamp {
    fn of(seen: &fs::Metadata) -> Self {
        let time = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Self([
            seen.dev().into(),
            seen.ino().into(),
            seen.size().into(),
            seen.mode().into(),
            time(seen.mtime(), seen.mtime_nsec()),
            time(seen.ctime(), seen.ctime_nsec()),
        ])
    }
}

impl<R: Row> Watched<R> {
    /// Watches the file of this state folder, which need not be there.
    pub(super) fn at(state: &Path) -> Self {
        let known = Known { looked: Millis(0), stamp: None, rows: Ok(Vec::new()) };
        Self { path: state.join(R::FILE), known: Mutex::new(known) }
    }

    /// Does something with the rows as they are, or as they were at most `old` ago.
    pub(super) fn with<T>(
        &self,
        now: Millis,
        old: Millis,
        look: impl FnOnce(&[R]) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if old == Millis(0) || now.since(known.looked) >= old {
            self.refresh(&mut known);
            known.looked = now;
        }
        match &known.rows {
            Ok(rows) => look(rows),
            Err(_) => Err(Refused::Unreadable),
        }
    }

    /// Reads the file where it is not the one that was read.
    fn refresh(&self, known: &mut Known<R>) {
        let seen = match fs::metadata(&self.path) {
            Ok(seen) => Some(Stamp::of(&seen)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (known.stamp, known.rows) = (None, Ok(Vec::new()));
                return;
            }
            Err(_) => None,
        };
        if seen.is_some() && seen == known.stamp {
            return;
        }
        let (stamp, rows) = self.read();
        if let Err(mistakes) = &rows
            && known.rows.as_ref().err() != Some(mistakes)
        {
            for mistake in mistakes {
                tracing::error!(%mistake, "the file of {}s cannot be used; {}", R::KIND, R::DAMAGED);
            }
        }
        if known.rows.is_err() && rows.is_ok() {
            tracing::info!("the file of {}s can be used again", R::KIND);
        }
        (known.stamp, known.rows) = (stamp, rows);
    }

    /// The stamp is that of the very file that was read, whatever stands there now.
    fn read(&self) -> (Option<Stamp>, Result<Vec<R>, Vec<Mistake>>) {
        let place = self.path.display().to_string();
        let mut stamp = None;
        let mut open = || {
            let file = fs::File::open(&self.path)?;
            let seen = file.metadata()?;
            stamp = Some(Stamp::of(&seen));
            let mut text = String::new();
            file.take(LARGEST).read_to_string(&mut text)?;
            io::Result::Ok((seen, text))
        };
        let rows = match open() {
            Ok((seen, _)) if seen.mode() & 0o022 != 0 => {
                Err(vec![Mistake::of_file(&place, "others than its owner can write it: chmod 600")])
            }
            Ok((seen, _)) if seen.size() >= LARGEST => {
                Err(vec![Mistake::of_file(&place, format!("it is larger than {LARGEST} bytes"))])
            }
            Ok((_, text)) => R::parse(&place, &text),
            Err(error) => Err(vec![Mistake::of_file(&place, format!("it cannot be read: {error}"))]),
        };
        (stamp, rows)
    }
}
