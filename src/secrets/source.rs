//! Reads a secret from where a file says that it is kept. Must not show a value, nor keep one.

use std::{fs, io::Read};

use secrecy::{ExposeSecret, SecretSlice};

use crate::{pipelines::SecretSource, text::line_end};

/// The largest secret, in bytes.
const LARGEST: u64 = 4096;

/// An error of reading a secret. Names its place, never its value.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// The file cannot be read.
    #[error("the secret file {0} cannot be read: {1}")]
    Unreadable(String, std::io::Error),
    /// The variable is not set.
    #[error("the secret variable {0} is not set, or is not text")]
    Unset(String),
    /// It is there and says nothing.
    #[error("the secret in {0} is empty")]
    Empty(String),
    /// It is too large for a secret.
    #[error("{0} is larger than {LARGEST} bytes: that is not a secret")]
    TooLarge(String),
    /// An editor or a tool has written it in a way that nobody meant.
    #[error("the secret in {0} {1}")]
    Misread(String, &'static str),
}

impl Unread {
    /// Whether the content is wrong. A secret that is missing may be there on another host, or later.
    pub fn is_of_the_content(&self) -> bool {
        !matches!(self, Self::Unreadable(..) | Self::Unset(_))
    }
}

/// Reads one secret as it is written, without the one line end behind it that editors put there. Spaces belong to it.
///
/// # Errors
/// Says why it cannot be read, or what an editor or a tool has made of it that nobody meant.
pub fn read(source: &SecretSource) -> Result<SecretSlice<u8>, Unread> {
    let place = source.place();
    let bytes = match source {
        SecretSource::File(path) => {
            let mut bytes = Vec::new();
            fs::File::open(path)
                .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
                .map_err(|cause| Unread::Unreadable(place.clone(), cause))?;
            bytes
        }
        SecretSource::Env(name) => std::env::var(name).map_err(|_| Unread::Unset(name.clone()))?.into_bytes(),
    };
    if bytes.len() as u64 > LARGEST {
        return Err(Unread::TooLarge(place));
    }
    if let Some(why) = misread(&bytes) {
        return Err(Unread::Misread(place, why));
    }
    if bytes.trim_ascii().is_empty() {
        return Err(Unread::Empty(place));
    }
    Ok(SecretSlice::from(bytes[..bytes.len() - line_end(&bytes)].to_vec()))
}

/// Reads a token of the API: one word, which HTTP carries without the spaces and line ends around it.
///
/// # Errors
/// As [`read`].
pub fn read_token(source: &SecretSource) -> Result<SecretSlice<u8>, Unread> {
    read(source).map(|token| SecretSlice::from(token.expose_secret().trim_ascii().to_vec()))
}

/// Says what an editor has put around a text, or made of it.
fn misread(bytes: &[u8]) -> Option<&'static str> {
    const UTF_16: &str = "is written in UTF-16; save it as UTF-8 without a byte order mark";
    let every_other = |from: usize| bytes.len() >= 4 && bytes.iter().skip(from).step_by(2).all(|byte| *byte == 0);
    if bytes.starts_with(b"\xef\xbb\xbf") {
        Some("begins with a byte order mark; save it as UTF-8 without one")
    } else if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || every_other(0) || every_other(1) {
        Some(UTF_16)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_content_without_its_last_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let source = SecretSource::File(path.clone());
        for (written, secret) in [
            ("s3cret", "s3cret"),
            ("s3cret\n", "s3cret"),
            ("s3cret\r\n", "s3cret"),
            ("whsec_AQID\n", "whsec_AQID"),
            ("correct horse \t\n", "correct horse \t"),
            (" s3cret \r\n", " s3cret "),
            ("two\nlines\n\n", "two\nlines\n"),
            ("s3cret\r", "s3cret\r"),
        ] {
            fs::write(&path, written).unwrap();
            assert_eq!(read(&source).unwrap().expose_secret(), secret.as_bytes(), "{written:?}");
        }
    }

    #[test]
    fn what_is_missing_empty_or_huge_is_named_without_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let source = SecretSource::File(path.clone());
        assert!(matches!(read(&source), Err(Unread::Unreadable(..))));
        for empty in ["", "\n", " \t\r\n\n"] {
            fs::write(&path, empty).unwrap();
            assert!(matches!(read(&source), Err(Unread::Empty(_))), "{empty:?}");
        }
        fs::write(&path, "canary".repeat(2000)).unwrap();
        let error = read(&source).unwrap_err().to_string();
        assert!(error.contains("larger than 4096") && !error.contains("canary"), "{error}");
        let unset = read(&SecretSource::Env("POINTSMAN_NOT_SET".into())).unwrap_err();
        assert!(matches!(unset, Unread::Unset(_)) && !unset.is_of_the_content());
    }
}
