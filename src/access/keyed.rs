//! Keyed digests: what is kept or shown of names, passwords and the local token is made with a key of the installation, so that
//! whoever sees one cannot try guesses against it. Must not show the key.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

use super::Digest;

/// The purpose for which the key is derived from the installation's own.
pub const PURPOSE: &str = "access";

/// A key, and what is made with it.
pub struct Keyed(SecretSlice<u8>);

impl Keyed {
    /// Works with this key.
    pub fn with(key: SecretSlice<u8>) -> Self {
        Self(key)
    }

    /// Begins the HMAC of these parts. No two lists of parts, and no two purposes, have the same.
    pub(super) fn mac(&self, purpose: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).expect("HMAC takes keys of any length");
        for part in [purpose.as_bytes()].iter().chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }

    /// Returns the keyed digest of these parts.
    pub(super) fn digest(&self, purpose: &str, parts: &[&[u8]]) -> Digest {
        Digest(self.mac(purpose, parts).finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_one_key_one_purpose_and_one_list_of_parts() {
        let of = |key: &[u8], purpose, parts: &[&[u8]]| Keyed::with(key.to_vec().into()).digest(purpose, parts);
        let one = of(b"key", "user", &[b"ann", b"x"]);
        assert_eq!(one, of(b"key", "user", &[b"ann", b"x"]));
        for other in [
            of(b"kez", "user", &[b"ann", b"x"]),
            of(b"key", "link", &[b"ann", b"x"]),
            of(b"key", "user", &[b"annx"]),
            of(b"key", "user", &[b"annx", b""]),
            of(b"key", "user", &[b"x", b"ann"]),
        ] {
            assert_ne!(one, other);
        }
    }
}
