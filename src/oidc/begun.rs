//! A sign-in that a browser has begun: kept by the browser itself, in a cookie that proves where it came from, so that it survives a
//! restart of the controller and strangers cannot fill anything. Must not be shown to anybody else.

use std::{
    collections::HashMap,
    io,
    sync::{Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::{machine::Millis, random};

/// How long one is good.
pub(crate) const GOOD: Millis = Millis(600_000);
/// The most that were used and are remembered. Each took a good cookie, and failures are limited by address.
const MOST: usize = 65_536;

/// A sign-in that was begun. State, nonce and PKCE verifier are derived from its id with the key of the installation, so that
/// none of them is in the cookie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    id: String,
    /// When, by the host's clock.
    pub(crate) made: Millis,
    /// Where to go on.
    pub(crate) then: String,
    /// What was pressed and waits for it; empty: nothing.
    pub(crate) press: String,
}

impl Begun {
    /// Begins a sign-in.
    ///
    /// # Errors
    /// That there is no randomness to be had.
    pub(crate) fn new(then: &str, press: &str, host: Millis) -> io::Result<Self> {
        let (then, press) = (then.to_owned(), press.to_owned());
        Ok(Self { id: random::hex_of(32)?, made: host, then, press })
    }

    pub(super) fn sealed(&self, key: &SecretSlice<u8>) -> io::Result<SecretString> {
        let text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(self)?);
        let proof = hex::encode(mac(key, "cookie", &text).finalize().into_bytes());
        Ok(format!("{text}.{proof}").into())
    }

    /// Returns what is in a cookie of ours, where it is still good and the provider answers with its state.
    pub(super) fn opened(key: &SecretSlice<u8>, cookie: &str, state: &str, host: Millis) -> Option<Self> {
        let (text, proof) = cookie.split_once('.')?;
        mac(key, "cookie", text).verify_slice(&hex::decode(proof).ok()?).ok()?;
        let begun: Self = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let own: bool = begun.state(key).as_bytes().ct_eq(state.as_bytes()).into();
        (own && begun.is_good(host)).then_some(begun)
    }

    fn is_good(&self, host: Millis) -> bool {
        host < self.made.plus(GOOD)
    }

    pub(super) fn state(&self, key: &SecretSlice<u8>) -> String {
        self.derived(key, "state")
    }

    pub(super) fn nonce(&self, key: &SecretSlice<u8>) -> String {
        self.derived(key, "nonce")
    }

    pub(super) fn verifier(&self, key: &SecretSlice<u8>) -> String {
        self.derived(key, "verifier")
    }

    fn derived(&self, key: &SecretSlice<u8>, what: &str) -> String {
        hex::encode(mac(key, what, &self.id).finalize().into_bytes())
    }
}

fn mac(key: &SecretSlice<u8>, what: &str, text: &str) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(key.expose_secret()).expect("HMAC takes keys of any length");
    mac.chain_update(what).chain_update([0]).chain_update(text)
}

/// Sign-ins that were used, so that none is used twice. After a restart only the provider's code, which is good once, still
/// prevents that.
#[derive(Default)]
pub(super) struct Used(Mutex<HashMap<String, Millis>>);

impl Used {
    /// Notes that one is used. Returns whether it was not before.
    pub(super) fn take(&self, begun: &Begun, host: Millis) -> bool {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, made| host < made.plus(GOOD));
        if used.len() >= MOST {
            tracing::error!(
                "nobody can sign in by OpenID Connect: {MOST} sign-ins were begun and answered within ten minutes"
            );
            return false;
        }
        used.insert(begun.id.clone(), begun.made).is_none()
    }
}
