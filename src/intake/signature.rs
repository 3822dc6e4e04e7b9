//! Whether a webhook comes from who holds a key, and is fresh. The strongest proof that it carries decides alone: one that
//! fails is never made up for by a weaker one beside it. In this order:
//!
//! - Standard Webhooks (GitLab's signing token as well): `webhook-id`, `webhook-timestamp` (seconds),
//!   `webhook-signature: v1,<base64>` (several, separated by spaces), HMAC-SHA256 over `id.timestamp.body`;
//! - `X-Pointsman-Timestamp` (seconds) and `X-Pointsman-Signature: sha256=<hex>`, HMAC-SHA256 over `timestamp.body`;
//! - GitHub, Gitea and Forgejo: `X-Hub-Signature-256: sha256=<hex>`, HMAC-SHA256 over the body, which says no time: replay is
//!   bounded by what makes a build the same, see `forge.rs`; Bitbucket: `X-Hub-Signature: sha256=<hex>`; older Gitea:
//!   `X-Gitea-Signature: <hex>`;
//! - GitLab: `X-Gitlab-Token: <key>`;
//! - `Authorization: Bearer <key>`, or Basic with the key as password, where the sender can do no better.
//!
//! Must not parse the body.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretSlice};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::keys::Keys;
use crate::machine::Millis;

/// How old, or how far ahead, a signed webhook may be, in seconds.
pub(crate) const WINDOW: u64 = 300;

/// The header of each proof, as it is told to people.
const STANDARD_WEBHOOKS: &str = "webhook-signature";
const OURS: &str = "X-Pointsman-Signature";
const GITHUB: &str = "X-Hub-Signature-256";
const HUB: &str = "X-Hub-Signature";
const GITLAB: &str = "X-Gitlab-Token";
const PLAIN: &str = "Authorization";

/// Signatures of the body alone: the header, as it is told to people, and what stands before the hexadecimal digits.
/// Bitbucket sends `X-Hub-Signature` with SHA-256; in that of GitHub, Gitea and Forgejo is SHA-1, which proves nothing, and
/// nothing weaker beside it does.
const OF_THE_BODY: [(&str, &str, &str); 4] = [
    ("x-hub-signature-256", GITHUB, "sha256="),
    ("x-forgejo-signature", "X-Forgejo-Signature", ""),
    ("x-gitea-signature", "X-Gitea-Signature", ""),
    ("x-hub-signature", HUB, "sha256="),
];

/// An error of checking a signature. Says no more than which header is missing, wrong or late.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// It carries no proof.
    #[error(
        "it carries neither a signature (`webhook-signature`, `X-Pointsman-Signature`, `X-Hub-Signature-256`, \
         `X-Hub-Signature` with SHA-256) nor a key (`X-Gitlab-Token`, or `Authorization` with a bearer token or Basic)"
    )]
    Unsigned,
    /// A header that the signature needs is missing, stands there twice or cannot be read.
    #[error("the header `{0}` is missing or cannot be read")]
    Header(&'static str),
    /// It is too old, or the sender's clock is wrong.
    #[error(
        "its timestamp is {0} s away from this host's clock, more than {WINDOW} s: send it again, or set the clocks"
    )]
    OutsideWindow(u64),
    /// No key fits, or there is no such pipeline.
    #[error(
        "no key of the pipeline fits `{0}`: is there a pipeline of this name that takes webhooks, is the secret the same on \
         both sides, and are the bytes signed that were sent?"
    )]
    Mismatch(&'static str),
}

/// What a believed webhook says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof<'h> {
    /// The sender's name for this delivery; covered by the signature where there is one.
    pub delivery: Option<&'h str>,
}

/// The proof of a delivery whose body is still to come: it is checked while the body is read, so that nothing of what
/// will not be believed, or not be read, has to be kept.
pub(crate) struct Verifier<'h> {
    header: &'static str,
    delivery: Option<&'h str>,
    signed: Option<Signed>,
}

/// The codes of the keys over what was read so far, and those of the delivery.
struct Signed {
    macs: Vec<Hmac<Sha256>>,
    given: Vec<[u8; 32]>,
    nobodys: bool,
}

impl<'h> Verifier<'h> {
    /// Looks at the headers. The strongest proof that they carry decides alone.
    ///
    /// # Errors
    /// What is missing, cannot be read or is late; and a shown key that is none of these.
    pub(crate) fn begin(headers: &'h HeaderMap, keys: &Keys, now: Millis) -> Result<Self, Error> {
        if headers.contains_key("webhook-signature") {
            let id = text(headers, "webhook-id")?.filter(|id| (1..=128).contains(&id.len()));
            let id = id.ok_or(Error::Header("webhook-id"))?;
            let (timestamp, given) = standard(headers, now)?;
            let head = [id.as_bytes(), b".", timestamp.as_bytes(), b"."].concat();
            let signed = Some(Signed::new(keys, &head, given));
            return Ok(Self { header: STANDARD_WEBHOOKS, delivery: Some(id), signed });
        }
        if headers.contains_key("x-pointsman-signature") {
            let timestamp = fresh(headers, "x-pointsman-timestamp", now)?;
            let given = hexadecimal(headers, "x-pointsman-signature", OURS, "sha256=")?;
            let signed = Some(Signed::new(keys, &[timestamp.as_bytes(), b"."].concat(), vec![given]));
            return Ok(Self { header: OURS, delivery: None, signed });
        }
        if let Some((name, told, prefix)) = OF_THE_BODY.into_iter().find(|(name, ..)| carries(headers, name)) {
            let given = hexadecimal(headers, name, told, prefix)?;
            return Ok(Self { header: told, delivery: None, signed: Some(Signed::new(keys, b"", vec![given])) });
        }
        let (header, delivery, fits) = if headers.contains_key("x-gitlab-token") {
            (GITLAB, None, is_key(keys, text(headers, "x-gitlab-token")?.ok_or(Error::Header(GITLAB))?.as_bytes()))
        } else if headers.contains_key("authorization") {
            (PLAIN, text(headers, "webhook-id")?, is_key(keys, &shown(headers)?))
        } else {
            return Err(Error::Unsigned);
        };
        if fits && !keys.are_nobodys() {
            Ok(Self { header, delivery, signed: None })
        } else {
            Err(Error::Mismatch(header))
        }
    }

    /// Takes the next piece of the body.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        for mac in self.signed.iter_mut().flat_map(|signed| &mut signed.macs) {
            mac.update(piece);
        }
    }

    /// Checks the signature of the whole body, in constant time for each key.
    ///
    /// # Errors
    /// No key fits.
    pub(crate) fn finish(self) -> Result<Proof<'h>, Error> {
        let fits = self.signed.is_none_or(Signed::fits);
        if fits { Ok(Proof { delivery: self.delivery }) } else { Err(Error::Mismatch(self.header)) }
    }
}

impl Signed {
    fn new(keys: &Keys, head: &[u8], given: Vec<[u8; 32]>) -> Self {
        let one = |key: &SecretSlice<u8>| {
            let mac = Hmac::<Sha256>::new_from_slice(key.expose_secret()).expect("HMAC takes keys of any length");
            mac.chain_update(head)
        };
        Self { macs: keys.iter().map(one).collect(), given, nobodys: keys.are_nobodys() }
    }

    fn fits(self) -> bool {
        let fits = self.macs.into_iter().fold(false, |fits, mac| {
            let right: [u8; 32] = mac.finalize().into_bytes().into();
            self.given.iter().fold(fits, |fits, given| fits | bool::from(right.ct_eq(given)))
        });
        fits && !self.nobodys
    }
}

/// Whether the header says anything: Gitea and Forgejo send their signatures without a secret too, and these are empty.
fn carries(headers: &HeaderMap, name: &str) -> bool {
    let mut values = headers.get_all(name).iter().map(http::HeaderValue::as_bytes);
    match (values.next(), values.next()) {
        (None, _) => false,
        (Some(value), None) => !matches!(value, b"" | b"sha256=" | b"sha1="),
        (Some(_), Some(_)) => true,
    }
}

fn standard(headers: &HeaderMap, now: Millis) -> Result<(&str, Vec<[u8; 32]>), Error> {
    let timestamp = fresh(headers, "webhook-timestamp", now)?;
    let signatures = text(headers, "webhook-signature")?.unwrap_or_default();
    let versions = signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
    let given: Vec<[u8; 32]> = versions.filter_map(|v| STANDARD.decode(v).ok()?.try_into().ok()).collect();
    if given.is_empty() {
        return Err(Error::Header(STANDARD_WEBHOOKS));
    }
    Ok((timestamp, given))
}

/// The key that an `Authorization` shows: a bearer token, or the password of anybody.
fn shown(headers: &HeaderMap) -> Result<Vec<u8>, Error> {
    let value = text(headers, "authorization")?.unwrap_or_default();
    let (scheme, rest) = value.split_once(' ').ok_or(Error::Header(PLAIN))?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(rest.trim_start().as_bytes().to_vec());
    }
    let pair = if scheme.eq_ignore_ascii_case("basic") { STANDARD.decode(rest.trim()).ok() } else { None };
    let pair = pair.ok_or(Error::Header(PLAIN))?;
    let colon = pair.iter().position(|byte| *byte == b':').ok_or(Error::Header(PLAIN))?;
    Ok(pair[colon + 1..].to_vec())
}

/// Compares digests, so that not even the length of a key shows in the time it takes.
fn is_key(keys: &Keys, given: &[u8]) -> bool {
    let given = Sha256::digest(given);
    keys.iter().fold(false, |fits, key| fits | bool::from(Sha256::digest(key.expose_secret()).ct_eq(&given)))
}

fn fresh<'h>(headers: &'h HeaderMap, name: &'static str, now: Millis) -> Result<&'h str, Error> {
    let timestamp = text(headers, name)?.ok_or(Error::Header(name))?;
    let seconds: u64 = timestamp.parse().map_err(|_| Error::Header(name))?;
    let away = seconds.abs_diff(now.0 / 1000);
    if away > WINDOW { Err(Error::OutsideWindow(away)) } else { Ok(timestamp) }
}

fn hexadecimal(headers: &HeaderMap, name: &'static str, told: &'static str, prefix: &str) -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    let digits = text(headers, name)?.and_then(|text| text.strip_prefix(prefix));
    let read = digits.is_some_and(|digits| hex::decode_to_slice(digits, &mut bytes).is_ok());
    let older = || headers.get(name).is_some_and(|value| value.as_bytes().starts_with(b"sha1="));
    if read { Ok(bytes) } else { Err(Error::Header(if told == HUB && older() { GITHUB } else { told })) }
}

/// A header that may stand there once. Twice, nobody knows which one another program on the way has looked at.
fn text<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Error> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    match first {
        None => Ok(None),
        Some(_) if second.is_some() => Err(Error::Header(name)),
        Some(value) => value.to_str().map(Some).map_err(|_| Error::Header(name)),
    }
}

#[cfg(test)]
mod tests;
