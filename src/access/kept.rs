//! Files of the state folder that hold a list of rows: tokens, users. Read with every mistake pointed at, and written whole or
//! not at all, by one editor at a time. Must not know what the rows allow.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use super::in_folder;
use crate::toml_file::{Document, Mistake, Table};

/// How often, and how long each time, a second editor waits for the first.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// One entry of such a file, and what its file is called.
pub trait Row: Sized {
    /// What messages call one; the command that keeps them has the same name.
    const KIND: &'static str;
    /// Key of the list in the file.
    const LIST: &'static str;
    /// The name of the file, below the state folder.
    const FILE: &'static str;
    /// The name of the file that an editor locks.
    const LOCK: &'static str;
    /// The verb of the command that takes one away.
    const REMOVE: &'static str;
    /// Consequence of a damaged file, in words.
    const DAMAGED: &'static str;
    /// Form in which the file holds a secret, in words.
    const HOLDS: &'static str;

    /// Returns by what it is known; no two have the same.
    fn name(&self) -> &Arc<str>;

    /// Returns why the file cannot have this row and that one, apart from their names.
    fn clash(&self, _other: &Self) -> Option<String> {
        None
    }

    /// Writes one as a table of the file.
    fn write(&self, text: &mut String);

    /// Reads one. `None`: a mistake was noted.
    fn read(table: &Table<'_, '_>) -> Option<Self>;

    /// Writes all of them as the text of the file.
    fn render(rows: &[Self]) -> String {
        let mut text = format!("# Written by `pointsman {}`. Holds {}.\n", Self::KIND, Self::HOLDS);
        for row in rows {
            text.push('\n');
            row.write(&mut text);
        }
        text
    }

    /// Reads a text; `file` is where it came from.
    ///
    /// # Errors
    /// Every mistake that is in it; one is enough for none of it to count.
    fn parse(file: &str, text: &str) -> Result<Vec<Self>, Vec<Mistake>> {
        let (document, root) = Document::parse(file, text);
        let table = document.root(&root);
        table.only(&[Self::LIST]);
        let mut rows: Vec<Self> = Vec::new();
        for item in table.get(Self::LIST).and_then(|list| list.list()).unwrap_or_default() {
            let Some(row) = item.table().and_then(|table| Self::read(&table)) else { continue };
            if rows.iter().any(|other| other.name() == row.name()) {
                item.wrong(&format!("there are two {} named `{}`", Self::LIST, row.name()));
            }
            if let Some(why) = rows.iter().find_map(|other| row.clash(other)) {
                item.wrong(&why);
            }
            rows.push(row);
        }
        let mistakes = document.into_mistakes();
        if mistakes.is_empty() { Ok(rows) } else { Err(mistakes) }
    }
}

/// Why the file cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It says something that it must not.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Mistakes(Vec<Mistake>),
    /// The disk does not do what it should.
    #[error("{doing} {path}: {source}")]
    Io {
        /// Action that failed.
        doing: &'static str,
        /// File that could not be read or written.
        path: PathBuf,
        /// Cause, as the system reports it.
        source: io::Error,
    },
    /// Another editor does not end.
    #[error("another `pointsman {kind}` holds {path}; try again when it has ended")]
    Locked {
        /// Kind of entry, as the command that adds one is called.
        kind: &'static str,
        /// The file that it locked.
        path: PathBuf,
    },
    /// The name is taken.
    #[error("there is a {kind} `{name}` already: choose another name, or `pointsman {kind} {remove} {name}` first")]
    Taken {
        /// Kind of entry: a token or a user.
        kind: &'static str,
        /// How it is taken away.
        remove: &'static str,
        /// Its name.
        name: Arc<str>,
    },
    /// There is no end of them.
    #[error("there are {most} {kind}s, which is the most: `pointsman {kind} list` shows which are not used any more")]
    TooMany {
        /// Kind of entry: a token or a user.
        kind: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// Nobody would be left who looks after the doors.
    #[error(
        "`{name}` is the last user who is admin everywhere, and has a password: make another one admin first (`pointsman user \
         remove` on the controller's host asks nothing); nothing was changed"
    )]
    LastAdmin {
        /// Who would be none.
        name: Arc<str>,
    },
    /// Somebody else was first.
    #[error("there is a {0} already, so this one is not the first; nothing was changed")]
    NotFirst(&'static str),
    /// There is none of this name.
    #[error("there is no {kind} `{name}`; `pointsman {kind} list` shows them all")]
    Missing {
        /// Kind of entry: a token or a user.
        kind: &'static str,
        /// The name.
        name: String,
    },
}

/// Reads all rows of a state folder; none where there is no file.
///
/// # Errors
/// Every mistake of the file, or that it cannot be read.
pub fn read<R: Row>(state: &Path) -> Result<Vec<R>, Error> {
    let path = state.join(R::FILE);
    match fs::read_to_string(&path) {
        Ok(text) => R::parse(&path.display().to_string(), &text).map_err(Error::Mistakes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Io { doing: "reading", path, source }),
    }
}

/// Adds a row.
///
/// # Errors
/// That the name is taken, or the file cannot be changed; then it is as it was.
pub fn add<R: Row>(state: &Path, row: R) -> Result<(), Error> {
    edit(state, |rows: &mut Vec<R>| push(rows, row))
}

/// Adds a row to those of an edit.
///
/// # Errors
/// That the name is taken.
pub fn push<R: Row>(rows: &mut Vec<R>, row: R) -> Result<(), Error> {
    if rows.iter().any(|other| other.name() == row.name()) {
        return Err(Error::Taken { kind: R::KIND, remove: R::REMOVE, name: row.name().clone() });
    }
    rows.push(row);
    Ok(())
}

/// Adds the first row.
///
/// # Errors
/// That there is one already, or the file cannot be changed; then it is as it was.
pub fn add_first<R: Row>(state: &Path, row: R) -> Result<(), Error> {
    edit(state, |rows: &mut Vec<R>| {
        if !rows.is_empty() {
            return Err(Error::NotFirst(R::KIND));
        }
        rows.push(row);
        Ok(())
    })
}

/// Takes a row away. A controller that runs refuses it from then on.
///
/// # Errors
/// That there is none of this name, or the file cannot be changed; then it is as it was.
pub fn remove<R: Row>(state: &Path, name: &str) -> Result<(), Error> {
    edit(state, |rows: &mut Vec<R>| take(rows, name))
}

/// Takes a row away from those of an edit.
///
/// # Errors
/// That there is none of this name.
pub fn take<R: Row>(rows: &mut Vec<R>, name: &str) -> Result<(), Error> {
    let before = rows.len();
    rows.retain(|row| **row.name() != *name);
    if rows.len() == before { Err(missing::<R>(name)) } else { Ok(()) }
}

/// Changes a row. A controller that runs goes by it from then on.
///
/// # Errors
/// That there is none of this name, or the file cannot be changed; then it is as it was.
pub fn change<R: Row>(state: &Path, name: &str, change: impl FnOnce(&mut R)) -> Result<(), Error> {
    edit(state, |rows: &mut Vec<R>| {
        let row = rows.iter_mut().find(|row| **row.name() == *name);
        row.map(change).ok_or_else(|| missing::<R>(name))
    })
}

fn missing<R: Row>(name: &str) -> Error {
    Error::Missing { kind: R::KIND, name: name.to_owned() }
}

/// Changes the rows of a file, under its lock.
///
/// # Errors
/// What `change` refuses, or that the file cannot be changed; then it is as it was.
pub fn edit<R: Row>(state: &Path, change: impl FnOnce(&mut Vec<R>) -> Result<(), Error>) -> Result<(), Error> {
    let making = |source| Error::Io { doing: "making the state folder", path: state.to_owned(), source };
    fs::create_dir_all(state).map_err(making)?;
    let _lock = lock::<R>(state)?;
    let mut rows = read(state)?;
    change(&mut rows)?;
    replace(state, R::FILE, R::render(&rows).as_bytes())
}

/// Puts a file of the state folder in the place of the one before, whole, on the disk, and for its owner alone.
///
/// # Errors
/// What could not be done; then the file is as it was.
pub(super) fn replace(state: &Path, name: &str, content: &[u8]) -> Result<(), Error> {
    let io = |doing| {
        let path = state.join(name);
        move |source| Error::Io { doing, path, source }
    };
    let folder = in_folder::open(state).map_err(io("opening the folder of"))?;
    in_folder::replace(&folder, name, content).map_err(io("writing"))
}

fn lock<R: Row>(state: &Path) -> Result<File, Error> {
    let io = |source| Error::Io { doing: "locking", path: state.join(R::LOCK), source };
    lock_in(&in_folder::open(state).map_err(io)?, R::LOCK).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked { kind: R::KIND, path: state.join(R::LOCK) },
        _ => io(error),
    })
}

/// Takes the lock of this file, for as long as the file that it returns is open.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`]: whoever has it does not let it go.
pub(super) fn lock_in(folder: &File, name: &str) -> io::Result<File> {
    let lock = in_folder::open_lock(folder, name)?;
    for _ in 0..TRIES {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(lock),
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, format!("another program holds the lock {name}")))
}
