//! The file that says what was told: put in place whole, and on the disk when that returns.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use super::notice::Kept;

/// The file.
pub(super) struct Cursor(pub PathBuf);

impl Cursor {
    /// Reads it; none when it is not there.
    pub(super) fn read(&self) -> io::Result<Option<Kept>> {
        match fs::read(&self.0) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text).map_err(io::Error::other)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts it in the place of what was there.
    pub(super) fn write(&self, kept: &Kept) -> io::Result<()> {
        let (folder, beside) = (self.0.parent().ok_or(io::ErrorKind::InvalidInput)?, self.0.with_extension("new"));
        fs::create_dir_all(folder)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec(kept).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&beside, &self.0)?;
        File::open(folder)?.sync_all()
    }

    /// Forgets it: nobody is to be told.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
