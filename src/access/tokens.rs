//! What a token is: random text that is shown once, and known by its digest from then on. Must not keep the text.

use std::{fmt, io};

use secrecy::SecretString;
use sha2::Sha256;

use crate::random;

/// What every token begins with, so that one that leaked is found by a search.
pub(super) const PREFIX: &str = "pm_";
/// The length of a token, in bytes: the prefix and 32 bytes in hexadecimal digits.
pub(super) const LENGTH: usize = PREFIX.len() + 64;
/// The SHA-256 of a token or of a session's secret. That is 32 random bytes, so this needs no salt and cannot be guessed back.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub(super) [u8; 32]);

impl Digest {
    /// Returns that of a token or secret as it is shown.
    pub fn of(token: &[u8]) -> Self {
        Self(<Sha256 as sha2::Digest>::digest(token).into())
    }

    /// Returns the first of its digits, by which people tell one from another.
    pub fn id(&self) -> String {
        hex::encode(&self.0[..8])
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// Makes a token from 32 bytes of the operating system's randomness.
///
/// # Errors
/// That there is no randomness to be had.
pub fn make() -> io::Result<SecretString> {
    Ok(format!("{PREFIX}{}", random::hex_of(32)?).into())
}
