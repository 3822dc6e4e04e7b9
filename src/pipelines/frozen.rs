//! Stack definitions kept by their digest, so that a release means for ever what it meant when it was accepted. It must
//! not know what is in them.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};

/// An error of keeping or reading a frozen text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be written.
    #[error("the stack definition cannot be kept in {path}: {cause}; make room there, or correct its owner and mode")]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Cause, in the words of the system.
        cause: io::Error,
    },
    /// It is not there, or cannot be read.
    #[error("the stack definition {path} cannot be read: {cause}; restore it from a backup of the state folder")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Cause, in the words of the system.
        cause: io::Error,
    },
    /// It is not what was frozen.
    #[error(
        "the stack definition {0} was changed: its content does not have the digest that is its name; restore it from a backup"
    )]
    Changed(PathBuf),
    /// No digest.
    #[error("{0:?} is not the digest of a stack definition")]
    NoDigest(String),
}

/// The texts kept in one folder.
#[derive(Debug, Clone)]
pub struct Frozen {
    folder: PathBuf,
}

/// The SHA-256 of a text, in hexadecimal digits.
pub fn digest(text: &str) -> Arc<str> {
    hex::encode(Sha256::digest(text.as_bytes())).into()
}

impl Frozen {
    /// The texts below a state folder.
    pub fn below(state: &Path) -> Self {
        Self { folder: state.join("definitions") }
    }

    /// Keeps a text, durably before it returns, and gives its digest.
    pub fn freeze(&self, text: &str) -> Result<Arc<str>, Error> {
        let digest = digest(text);
        let path = self.folder.join(&*digest);
        if !path.exists() {
            self.write(&path, text).map_err(|cause| Error::Write { path, cause })?;
        }
        Ok(digest)
    }

    /// The text with that digest.
    pub fn thaw(&self, wanted: &str) -> Result<Arc<str>, Error> {
        if wanted.len() != 64 || !wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Error::NoDigest(wanted.chars().take(80).collect()));
        }
        let path = self.folder.join(wanted);
        let text = fs::read_to_string(&path).map_err(|cause| Error::Read { path: path.clone(), cause })?;
        if *digest(&text) == *wanted { Ok(text.into()) } else { Err(Error::Changed(path)) }
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let temporary = path.with_extension(format!("{}.new", std::process::id()));
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_frozen_is_thawed_and_a_change_is_noticed() {
        let state = tempfile::tempdir().unwrap();
        let frozen = Frozen::below(state.path());
        let digest = frozen.freeze("run = [\"a\"]").unwrap();
        assert_eq!(&*frozen.thaw(&digest).unwrap(), "run = [\"a\"]");
        assert_eq!(frozen.freeze("run = [\"a\"]").unwrap(), digest);

        fs::write(state.path().join("definitions").join(&*digest), "run = [\"b\"]").unwrap();
        assert!(matches!(frozen.thaw(&digest), Err(Error::Changed(_))));
        assert!(matches!(frozen.thaw(&"0".repeat(64)), Err(Error::Read { .. })));
        assert!(matches!(frozen.thaw("../../etc/passwd"), Err(Error::NoDigest(_))));
    }
}
