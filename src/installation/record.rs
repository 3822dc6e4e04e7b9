//! `installation.json`: the id of an installation, the folder in which it was served last, and how far its journal was.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::place::{Host, Place};
use crate::journal::Head;

/// The name of the file, in the state folder.
pub(crate) const FILE: &str = "installation.json";

/// The version of the file that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// Contents of `installation.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    v: u32,
    /// Tells this installation from all others; a copy has the same until it is told to be another.
    pub installation: String,
    /// Where it was served last.
    pub place: Place,
    /// Host on which it was made.
    pub host: Host,
    /// A late record of its journal; none before the first record.
    pub journal: Option<Head>,
    /// A person has begun the journal beside what was there already.
    #[serde(default)]
    pub begun_beside: bool,
    /// Where it was moved to, when a person has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<PathBuf>,
}

impl Record {
    pub(super) fn new(installation: String, place: Place, host: Host, journal: Option<Head>) -> Self {
        Self { v: VERSION, installation, place, host, journal, begun_beside: false, moved_to: None }
    }
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    #[error("it cannot be read: {0}")]
    Io(#[source] io::Error),
    #[error("it is not what was written: {0}")]
    Damaged(#[source] serde_json::Error),
    #[error("it was written by a newer version of pointsman (format {0}, this one reads up to {VERSION})")]
    Newer(u32),
}

/// Reads it; nothing where there is none.
pub(super) fn read(state: &Path) -> Result<Option<Record>, Unread> {
    let text = match fs::read(state.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(Unread::Io)?,
    };
    let record: Record = serde_json::from_slice(&text).map_err(Unread::Damaged)?;
    if record.v > VERSION { Err(Unread::Newer(record.v)) } else { Ok(Some(record)) }
}

/// Writes it, whole or not at all; it is safe when this returns.
pub(super) fn write(state: &Path, record: &Record) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(record)?;
    text.push(b'\n');
    let draft = state.join("installation.json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&draft, state.join(FILE))?;
    File::open(state)?.sync_all()
}

/// Leaves word in the folder that was left, if it is still there, so that it is not served again by mistake.
pub(super) fn leave_word(before: &Record, here: &Place) {
    let Ok(Some(left)) = read(&before.place.path) else { return };
    let same = Place::of(&before.place.path).is_ok_and(|there| there.is_at_once(here));
    if same || left.installation != before.installation {
        return;
    }
    let word = Record { moved_to: Some(here.path.clone()), ..left };
    if let Err(error) = write(&before.place.path, &word) {
        tracing::warn!(%error, "no word could be left in {} that it was moved here", before.place.path.display());
    }
}

/// Makes a folder that nobody else may look into.
pub(super) fn own_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
