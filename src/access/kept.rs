//! Files of the state folder that hold a list of rows: tokens, users. Read with every mistake pointed at, and written whole or
//! not at all, by one editor at a time. Must not know what the rows allow.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, Gid, OFlags, Uid, fchown, flock},
    process::geteuid,
};

use crate::toml_file::Mistake;

/// How often, and how long each time, a second editor waits for the first.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// One entry of such a file, and what its file is called.
pub trait Row: Sized {
    /// What messages call one; the command that keeps them has the same name.
    const KIND: &'static str;
    /// The name of the file, below the state folder.
    const FILE: &'static str;
    /// The name of the file that an editor locks.
    const LOCK: &'static str;
    /// The verb of the command that takes one away.
    const REMOVE: &'static str;
    /// What holds while the file is damaged.
    const DAMAGED: &'static str;

    /// Returns by what it is known; no two have the same.
    fn name(&self) -> &Arc<str>;

    /// Writes all of them as the text of the file.
    fn render(rows: &[Self]) -> String;

    /// Reads a text; `file` is where it came from.
    ///
    /// # Errors
    /// Every mistake that is in it; one is enough for none of it to count.
    fn parse(file: &str, text: &str) -> Result<Vec<Self>, Vec<Mistake>>;
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
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// Another editor does not end.
    #[error("another `pointsman {kind}` holds {path}; try again when it has ended")]
    Locked {
        /// Which command it is.
        kind: &'static str,
        /// The file that it locked.
        path: PathBuf,
    },
    /// The name is taken.
    #[error("there is a {kind} `{name}` already: choose another name, or `pointsman {kind} {remove} {name}` first")]
    Taken {
        /// Of what there is one.
        kind: &'static str,
        /// How it is taken away.
        remove: &'static str,
        /// Its name.
        name: Arc<str>,
    },
    /// Somebody else was first.
    #[error("there is a {0} already, so this one is not the first; nothing was changed")]
    NotFirst(&'static str),
    /// There is none of this name.
    #[error("there is no {kind} `{name}`; `pointsman {kind} list` shows them all")]
    Missing {
        /// Of what there is none.
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
    edit(state, |rows: &mut Vec<R>| {
        if rows.iter().any(|other| other.name() == row.name()) {
            return Err(Error::Taken { kind: R::KIND, remove: R::REMOVE, name: row.name().clone() });
        }
        rows.push(row);
        Ok(())
    })
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
    edit(state, |rows: &mut Vec<R>| {
        let before = rows.len();
        rows.retain(|row| **row.name() != *name);
        if rows.len() == before { Err(missing::<R>(name)) } else { Ok(()) }
    })
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
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { doing, path, source }
    };
    let (draft, path) = (state.join(format!("{name}.new")), state.join(name));
    // A draft that was left behind may belong to somebody else.
    if let Err(error) = fs::remove_file(&draft)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(io("removing", &draft)(error));
    }
    let write = || {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
        owned_like(&file, state)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(io("writing", &draft))?;
    fs::rename(&draft, &path).map_err(io("replacing", &path))?;
    File::open(state).and_then(|folder| folder.sync_all()).map_err(io("flushing", state))
}

fn lock<R: Row>(state: &Path) -> Result<File, Error> {
    lock_at(&state.join(R::LOCK), state, R::KIND)
}

/// Takes the lock of this file, for as long as the file that it returns is open.
pub(super) fn lock_at(path: &Path, state: &Path, kind: &'static str) -> Result<File, Error> {
    let io = |source| Error::Io { doing: "locking", path: path.to_owned(), source };
    let file = open_lock(path, state).map_err(io)?;
    for _ in 0..TRIES {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
            Err(error) => return Err(io(error.into())),
        }
    }
    Err(Error::Locked { kind, path: path.to_owned() })
}

/// Only what was made just now is given away, and no link is followed: whoever owns the folder is not to be given a file
/// of root's.
fn open_lock(path: &Path, state: &Path) -> io::Result<File> {
    match File::options().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => owned_like(&file, state).map(|()| file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed();
            File::options().read(true).custom_flags(flags).open(path)
        }
        Err(error) => Err(error),
    }
}

/// What root makes in the folder of another belongs to that other: the controller must be able to read it.
pub(super) fn owned_like(file: &File, folder: &Path) -> io::Result<()> {
    let owner = fs::metadata(folder)?;
    if geteuid().is_root() && owner.uid() != 0 {
        fchown(file, Some(Uid::from_raw(owner.uid())), Some(Gid::from_raw(owner.gid())))?;
    }
    Ok(())
}
