//! The installation's key for signing: made once, kept in the state folder for its owner alone.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::PURPOSE;
use crate::secrets::make_key;

/// The file in the state folder.
pub(crate) const FILE: &str = "evidence-key";
const BYTES: usize = 32;

/// An error of making or reading the key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be made.
    #[error("the key that signs evidence cannot be kept in {0}: {1}; make room there, or correct owner and mode")]
    Write(PathBuf, io::Error),
    /// It cannot be read.
    #[error(
        "the key that signs evidence, {0}, cannot be used: {1}; restore it from a backup, or move it away: the next \
         `pointsman serve` makes a new one, which others do not know yet"
    )]
    Read(PathBuf, io::Error),
}

/// The key that signs evidence. Clones share it.
#[derive(Clone)]
pub struct Key(Arc<Ed25519KeyPair>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.public())
    }
}

impl Key {
    /// Reads the key of a state folder, which is made if there is none.
    ///
    /// # Errors
    /// When it cannot be made or read.
    pub fn of(state: &Path) -> Result<Self, Error> {
        let path = state.join(FILE);
        if !path.try_exists().map_err(|cause| Error::Read(path.clone(), cause))? {
            make_key(&path).map_err(|cause| Error::Write(path.clone(), cause))?;
        }
        Self::existing(state)
    }

    /// Reads the key of a state folder.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub(crate) fn existing(state: &Path) -> Result<Self, Error> {
        let path = state.join(FILE);
        read(&path).map(|pair| Self(Arc::new(pair))).map_err(|cause| Error::Read(path, cause))
    }

    /// Returns the public half, which may be shown to anybody.
    pub(crate) fn public(&self) -> PublicKey {
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Returns the signature of this text, in hexadecimal digits.
    pub(super) fn sign(&self, text: &[u8]) -> String {
        hex::encode(self.0.sign(&[PURPOSE, text].concat()))
    }
}

/// The half of the key by which signatures are checked: 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; BYTES]);

impl PublicKey {
    /// Whether that signature, in hexadecimal digits, is one of this text by this key.
    pub(super) fn has_signed(&self, text: &[u8], signature: &str) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        hex::decode(signature).is_ok_and(|signature| key.verify(&[PURPOSE, text].concat(), &signature).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0; BYTES];
        let read = hex::decode_to_slice(text.trim(), &mut bytes);
        read.map_err(|_| "a key has 64 hexadecimal digits: `pointsman journal key` prints it".to_owned())?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for PublicKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

fn read(path: &Path) -> io::Result<Ed25519KeyPair> {
    let seed = hex::decode(fs::read_to_string(path)?.trim()).map_err(io::Error::other)?;
    Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| io::Error::other("it does not have 32 bytes"))
}
