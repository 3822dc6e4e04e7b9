//! Secrets, read from where a file says they are kept. Their values are shown nowhere.

use std::{fs, io::Read};

use secrecy::{ExposeSecret, SecretSlice};

use crate::pipelines::SecretSource;

/// The largest secret, in bytes.
const LARGEST: u64 = 4096;

/// Why a secret can not be had. Names its place, never its value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can not be read.
    #[error("the secret file {0} can not be read: {1}")]
    Unreadable(String, std::io::Error),
    /// There is no such variable.
    #[error("the secret variable {0} is not set, or is no text")]
    Unset(String),
    /// It is there and says nothing.
    #[error("the secret in {0} is empty")]
    Empty(String),
    /// It is no secret.
    #[error("{0} is larger than {LARGEST} bytes: that is no secret")]
    TooLarge(String),
}

/// The keys of one pipeline, in the order of its file.
#[derive(Default)]
pub struct Keys {
    keys: Vec<SecretSlice<u8>>,
    nobodys: bool,
}

impl Keys {
    /// These.
    pub fn of(keys: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { keys: keys.into_iter().map(SecretSlice::from).collect(), nobodys: false }
    }

    /// What there is to compare with where there is no pipeline: as much work as one key, and nothing fits.
    pub fn nobodys() -> Self {
        Self { nobodys: true, ..Self::of([vec![0; 32]]) }
    }

    pub(super) fn are_nobodys(&self) -> bool {
        self.nobodys
    }

    /// Reads them all; says of each one that can not be had why.
    pub fn read(sources: &[SecretSource]) -> Result<Self, Vec<Error>> {
        let (mut keys, mut errors) = (Vec::new(), Vec::new());
        for source in sources {
            match read(source) {
                Ok(key) => keys.push(key),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self { keys, nobodys: false }) } else { Err(errors) }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &SecretSlice<u8>> {
        self.keys.iter()
    }
}

/// Reads one secret. Line ends behind it are none of it: editors put them there. A key written `whsec_<base64>`, as the
/// Standard Webhooks tools do, is decoded.
pub fn read(source: &SecretSource) -> Result<SecretSlice<u8>, Error> {
    let secret = read_plain(source)?;
    Ok(decoded(secret.expose_secret()).map_or(secret, SecretSlice::from))
}

/// Reads one secret as it is written, for those who are to get the very text.
pub fn read_plain(source: &SecretSource) -> Result<SecretSlice<u8>, Error> {
    let (place, bytes) = match source {
        SecretSource::File(path) => {
            let place = path.display().to_string();
            let mut bytes = Vec::new();
            fs::File::open(path)
                .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
                .map_err(|cause| Error::Unreadable(place.clone(), cause))?;
            (place, bytes)
        }
        SecretSource::Env(name) => {
            (name.clone(), std::env::var(name).map_err(|_| Error::Unset(name.clone()))?.into_bytes())
        }
    };
    if bytes.len() as u64 > LARGEST {
        return Err(Error::TooLarge(place));
    }
    let secret = SecretSlice::from(bytes.trim_ascii_end().to_vec());
    if secret.expose_secret().is_empty() { Err(Error::Empty(place)) } else { Ok(secret) }
}

fn decoded(bytes: &[u8]) -> Option<Vec<u8>> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    bytes.strip_prefix(b"whsec_").and_then(|text| STANDARD.decode(text).ok()).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_content_without_its_last_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let source = SecretSource::File(path.clone());
        fs::write(&path, "s3cret\n").unwrap();
        assert_eq!(read(&source).unwrap().expose_secret(), b"s3cret");
        fs::write(&path, "whsec_AQID\n").unwrap();
        assert_eq!(read(&source).unwrap().expose_secret(), [1, 2, 3]);
    }

    #[test]
    fn what_is_missing_empty_or_huge_is_named_without_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let source = SecretSource::File(path.clone());
        assert!(matches!(read(&source), Err(Error::Unreadable(..))));
        fs::write(&path, "\n").unwrap();
        assert!(matches!(read(&source), Err(Error::Empty(_))));
        fs::write(&path, "canary".repeat(2000)).unwrap();
        let error = read(&source).unwrap_err().to_string();
        assert!(error.contains("larger than 4096") && !error.contains("canary"), "{error}");
        assert!(matches!(read(&SecretSource::Env("POINTSMAN_NOT_SET".into())), Err(Error::Unset(_))));
    }
}
