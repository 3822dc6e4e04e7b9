//! `tokens.toml` in the state folder: read with every mistake pointed at, and written whole or not at all, by one editor
//! at a time. Must not hold the text of a token.

use std::{
    fmt::Write as _,
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

use super::{Digest, Grant, Role, Scope, name};
use crate::{
    machine::Millis,
    text::{format_time, parse_time},
    toml_file::{Document, Mistake, Table, Value},
};

/// The name of the file, below the state folder.
pub const FILE: &str = "tokens.toml";
const LOCK: &str = "tokens.lock";
const DRAFT: &str = "tokens.toml.new";
/// How often, and how long each time, a second editor waits for the first.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// One token, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Who has it; the journal says this name.
    pub name: Arc<str>,
    /// What it allows.
    pub role: Role,
    /// By which it is recognised.
    pub digest: Digest,
    /// When it was made.
    pub created: Millis,
    /// Until when it is good; `None`: until it is revoked.
    pub expires: Option<Millis>,
    /// Where it is good; `None`: everywhere.
    pub only: Option<Arc<[Scope]>>,
}

impl Token {
    /// Returns what it allows, and where.
    pub fn grant(&self) -> Grant {
        Grant { role: self.role, only: self.only.clone() }
    }

    /// Returns whether it has not expired at this time.
    pub fn is_good(&self, now: Millis) -> bool {
        self.expires.is_none_or(|at| now < at)
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
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// Another editor does not end.
    #[error("another `pointsman token` holds {0}; try again when it has ended")]
    Locked(PathBuf),
    /// The name is taken.
    #[error("there is a token `{0}` already: choose another name, or `pointsman token revoke {0}` first")]
    Taken(Arc<str>),
    /// There is no such token.
    #[error("there is no token `{0}`; `pointsman token list` shows them all")]
    Missing(String),
}

/// All tokens of a state folder; none where there is no file.
///
/// # Errors
/// Every mistake of the file, or that it cannot be read.
pub fn read(state: &Path) -> Result<Vec<Token>, Error> {
    let path = state.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => parse(&path.display().to_string(), &text).map_err(Error::Mistakes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Io { doing: "reading", path, source }),
    }
}

/// Adds a token.
///
/// # Errors
/// That the name is taken, or the file cannot be changed; then it is as it was.
pub fn add(state: &Path, token: Token) -> Result<(), Error> {
    edit(state, |tokens| {
        if tokens.iter().any(|t| t.name == token.name) {
            return Err(Error::Taken(token.name.clone()));
        }
        tokens.push(token);
        Ok(())
    })
}

/// Takes a token away. A controller that runs refuses it from then on.
///
/// # Errors
/// That there is none of this name, or the file cannot be changed; then it is as it was.
pub fn remove(state: &Path, name: &str) -> Result<(), Error> {
    edit(state, |tokens| {
        let before = tokens.len();
        tokens.retain(|token| *token.name != *name);
        if tokens.len() == before { Err(Error::Missing(name.to_owned())) } else { Ok(()) }
    })
}

fn edit(state: &Path, change: impl FnOnce(&mut Vec<Token>) -> Result<(), Error>) -> Result<(), Error> {
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { doing, path, source }
    };
    fs::create_dir_all(state).map_err(io("making the state folder", state))?;
    let _lock = lock(state)?;
    let mut tokens = read(state)?;
    change(&mut tokens)?;
    let (draft, path) = (state.join(DRAFT), state.join(FILE));
    // A draft that was left behind may belong to somebody else.
    if let Err(error) = fs::remove_file(&draft)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(io("removing", &draft)(error));
    }
    let write = || {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
        owned_like(&file, state)?;
        file.write_all(render(&tokens).as_bytes())?;
        file.sync_all()
    };
    write().map_err(io("writing", &draft))?;
    fs::rename(&draft, &path).map_err(io("replacing", &path))?;
    File::open(state).and_then(|folder| folder.sync_all()).map_err(io("flushing", state))
}

fn lock(state: &Path) -> Result<File, Error> {
    let path = state.join(LOCK);
    let io = |source| Error::Io { doing: "locking", path: path.clone(), source };
    let file = open_lock(&path, state).map_err(io)?;
    for _ in 0..TRIES {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
            Err(error) => return Err(io(error.into())),
        }
    }
    Err(Error::Locked(path))
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
fn owned_like(file: &File, folder: &Path) -> io::Result<()> {
    let owner = fs::metadata(folder)?;
    if geteuid().is_root() && owner.uid() != 0 {
        fchown(file, Some(Uid::from_raw(owner.uid())), Some(Gid::from_raw(owner.gid())))?;
    }
    Ok(())
}

/// Every letter that can come in is harmless between quotes: names, digits, times.
fn render(tokens: &[Token]) -> String {
    let mut text = "# Written by `pointsman token`. Holds digests, never a token itself.\n".to_owned();
    for token in tokens {
        // Writing to a text does not fail.
        let _ = writeln!(text, "\n[[tokens]]\nname = \"{}\"\nrole = \"{}\"", token.name, token.role);
        let _ = writeln!(text, "sha256 = \"{}\"", hex::encode(token.digest.0));
        let _ = writeln!(text, "created = \"{}\"", format_time(token.created));
        if let Some(expires) = token.expires {
            let _ = writeln!(text, "expires = \"{}\"", format_time(expires));
        }
        if let Some(only) = &token.only {
            let quoted: Vec<_> = only.iter().map(|scope| format!("\"{scope}\"")).collect();
            let _ = writeln!(text, "only = [{}]", quoted.join(", "));
        }
    }
    text
}

/// Reads a text; `file` is where it came from.
///
/// # Errors
/// Every mistake that is in it; one is enough for none of it to count.
pub fn parse(file: &str, text: &str) -> Result<Vec<Token>, Vec<Mistake>> {
    let (document, root) = Document::parse(file, text);
    let table = document.root(&root);
    table.only(&["tokens"]);
    let mut tokens: Vec<Token> = Vec::new();
    for item in table.get("tokens").and_then(|list| list.list()).unwrap_or_default() {
        let Some(token) = item.table().and_then(|table| read_token(&table)) else { continue };
        if tokens.iter().any(|other| other.name == token.name) {
            item.wrong(&format!("there are two tokens named `{}`", token.name));
        }
        if tokens.iter().any(|other| other.digest == token.digest) {
            item.wrong(&format!("`{}` is the same token as one above", token.name));
        }
        tokens.push(token);
    }
    let mistakes = document.into_mistakes();
    if mistakes.is_empty() { Ok(tokens) } else { Err(mistakes) }
}

fn read_token(table: &Table<'_, '_>) -> Option<Token> {
    table.only(&["name", "role", "sha256", "created", "expires", "only"]);
    let time = |value: Value<'_, '_>| {
        value.parsed(|text| parse_time(text).ok_or("it must be a time such as \"2026-11-21T10:14:00.000Z\""))
    };
    let (name, role) = (
        table.require("name", "name = \"alice\"").and_then(|v| v.parsed(name)),
        table.require("role", "role = \"deployer\"").and_then(|v| v.word(&Role::ALL)),
    );
    let digest = table.require("sha256", "sha256 = \"<64 hexadecimal digits>\"").and_then(|v| v.parsed(read_digest));
    let created = table.require("created", "created = \"2026-11-21T10:14:00.000Z\"").and_then(time);
    // What is there and cannot be read is a mistake, and with one the file does not count: never taken for "none".
    let expires = table.get("expires").and_then(time);
    let only = table.get("only").and_then(|value| read_only(&value));
    Some(Token { name: name?, role: role?, digest: digest?, created: created?, expires, only })
}

fn read_digest(text: &str) -> Result<Digest, &'static str> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| "it must be a SHA-256 in 64 hexadecimal digits")?;
    Ok(Digest(bytes))
}

fn read_only(value: &Value<'_, '_>) -> Option<Arc<[Scope]>> {
    let only: Vec<_> = value.list()?.iter().filter_map(|item| item.parsed(str::parse)).collect();
    if only.is_empty() {
        value.wrong("`only` is empty, so the token would be good for nothing; leave it out where it is for everything");
    }
    Some(only.into())
}
