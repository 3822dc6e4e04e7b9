//! The keys by which webhooks are signed. Must not show one.

use secrecy::{ExposeSecret, SecretSlice};

use crate::{
    pipelines::SecretSource,
    secrets::source::{Unread, read},
};

/// An error of reading a key. Names its place, never its value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The secret cannot be read.
    #[error(transparent)]
    Unread(#[from] Unread),
    /// No sender could have this key.
    #[error("the key in {0} {1}")]
    NoKey(String, String),
}

impl Error {
    /// Whether the content is wrong. A key that is missing may be there on another host, or later.
    pub fn is_of_the_content(&self) -> bool {
        match self {
            Self::Unread(why) => why.is_of_the_content(),
            Self::NoKey(..) => true,
        }
    }
}

/// How long a key is at least, in bytes: a shorter one can be found by trying.
const SHORTEST_KEY: usize = 16;
/// What the Standard Webhooks tools write before a key in base64.
const PREFIX: &str = "whsec_";
/// How a key is made.
const MAKE: &str = "make one with `openssl rand -hex 32`";

/// The keys of one pipeline, in the order of its file.
#[derive(Default)]
pub struct Keys {
    keys: Vec<SecretSlice<u8>>,
    nobodys: bool,
}

impl Keys {
    /// Makes it of these keys.
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

    /// Reads them all; says of each one that cannot be had why.
    pub fn read(sources: &[SecretSource]) -> Result<Self, Vec<Error>> {
        let (mut keys, mut errors) = (Vec::new(), Vec::new());
        for source in sources {
            match read_key(source) {
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

/// Reads one key of a webhook: one line of text, at least 16 bytes. One written `whsec_<base64>`, as the Standard
/// Webhooks tools do, is decoded.
///
/// # Errors
/// Says why it cannot be read, or why no sender can have this key.
pub(crate) fn read_key(source: &SecretSource) -> Result<SecretSlice<u8>, Error> {
    let secret = read(source)?;
    let no_key = |why: String| Error::NoKey(source.place(), why);
    let bytes = secret.expose_secret();
    let text = std::str::from_utf8(bytes).map_err(|_| no_key(format!("is not text in UTF-8: {MAKE}")))?;
    // A key is one line, so empty lines behind it are none of it.
    let text = text.trim_end_matches(['\r', '\n']);
    if text.lines().nth(1).is_some() {
        return Err(no_key("has several lines; a key is one line, and a file holds one key".to_owned()));
    }
    if text.chars().any(char::is_control) || text.starts_with(char::is_whitespace) {
        return Err(no_key(format!("begins with a space or has a control character in it: {MAKE}")));
    }
    let key = match text.strip_prefix(PREFIX) {
        Some(text) => SecretSlice::from(decoded(text).map_err(no_key)?),
        None => SecretSlice::from(text.as_bytes().to_vec()),
    };
    match key.expose_secret().len() {
        SHORTEST_KEY.. => Ok(key),
        length => Err(no_key(format!("has {length} bytes; {SHORTEST_KEY} at least: {MAKE}"))),
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, String> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let wrong = |what: &str| format!("begins with `{PREFIX}`, and what follows is {what}");
    if text.is_empty() {
        return Err(wrong("empty; copy the whole key"));
    }
    STANDARD.decode(text).map_err(|_| {
        let alphabet = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
        let padding = "=".repeat((4 - text.trim_end_matches('=').len() % 4) % 4);
        let padded = STANDARD.decode(format!("{}{padding}", text.trim_end_matches('='))).is_ok();
        match text.chars().all(alphabet) && padded {
            true if padding.is_empty() => wrong("base64 with `=` too many at its end; remove them"),
            true => wrong(&format!("base64 without its padding; write `{padding}` at its end")),
            false => wrong("not base64; copy the whole key as the sender shows it"),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_key_is_one_line_of_text_that_a_sender_can_have() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let read = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            read_key(&SecretSource::File(path.clone()))
        };
        let utf_16 = |text: &str, big: bool| -> Vec<u8> {
            text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
        };
        let sixteen = b"0123456789abcdef";
        for end in ["", "\n", "\r\n", "\n\n"] {
            assert_eq!(read(&[sixteen, end.as_bytes()].concat()).unwrap().expose_secret(), sixteen);
        }
        assert_eq!(read(b"whsec_AAECAwQFBgcICQoLDA0ODw==\n").unwrap().expose_secret().len(), 16);
        for (content, why) in [
            (b"\xef\xbb\xbf0123456789abcdef".to_vec(), "begins with a byte order mark"),
            ([b"\xff\xfe".to_vec(), utf_16("0123456789abcdef", false)].concat(), "is written in UTF-16"),
            ([b"\xfe\xff".to_vec(), utf_16("0123456789abcdef", true)].concat(), "is written in UTF-16"),
            (utf_16("0123456789abcdef\n", false), "is written in UTF-16"),
            (utf_16("0123456789abcdef", true), "is written in UTF-16"),
            (b"whsec_AAECAwQFBgcICQoLDA0ODw".to_vec(), "without its padding; write `==` at its end"),
            (b"whsec_AAECAwQFBgcICQoLDA0ODxA".to_vec(), "without its padding; write `=` at its end"),
            (b"whsec_AAECAwQFBgcICQoLDA0ODxAR=".to_vec(), "`=` too many"),
            (b"whsec_AAECAwQFBgcICQoLDA0OD-__".to_vec(), "not base64"),
            (b"whsec_\n".to_vec(), "empty; copy the whole key"),
            (b"whsec_AQID\n".to_vec(), "has 3 bytes; 16 at least"),
            (b"canary-5f2c\n".to_vec(), "has 11 bytes; 16 at least"),
            (b" 0123456789abcdef".to_vec(), "begins with a space"),
            (b"0123456789\tabcdef".to_vec(), "a control character"),
            (b"0123456789abcdef\nfedcba9876543210\n".to_vec(), "has several lines"),
            (b"0123456789abcdef\xff".to_vec(), "not text in UTF-8"),
            (b"\r\n".to_vec(), "is empty"),
            (Vec::new(), "is empty"),
        ] {
            let error = read(&content).unwrap_err();
            let told = error.to_string();
            assert!(told.contains(why) && told.contains("key ") && error.is_of_the_content(), "{why}: {told}");
            assert!(!told.contains("canary") && !told.contains("0123"), "{told}");
        }
    }
}
