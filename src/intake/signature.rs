//! Whether a webhook comes from who holds a key, and is fresh. Three ways:
//!
//! - Standard Webhooks: `webhook-id`, `webhook-timestamp` (seconds), `webhook-signature: v1,<base64>` (several, separated
//!   by spaces), HMAC-SHA256 over `id.timestamp.body`;
//! - `X-Pointsman-Timestamp` (seconds) and `X-Pointsman-Signature: sha256=<hex>`, HMAC-SHA256 over `timestamp.body`;
//! - `Authorization: Bearer <key>`, where the sender can do no better.
//!
//! Must not parse the body.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use secrecy::ExposeSecret;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::keys::Keys;
use crate::machine::Millis;

/// How old, or how far ahead, a signed webhook may be, in seconds.
pub const WINDOW: u64 = 300;

/// Why a webhook is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It carries no proof.
    #[error("it carries neither a signature (`webhook-signature` or `X-Pointsman-Signature`) nor a bearer token")]
    Unsigned,
    /// A header that the signature needs is missing or can not be read.
    #[error("the header `{0}` is missing or can not be read")]
    Header(&'static str),
    /// It is too old, or the sender's clock is wrong.
    #[error(
        "its timestamp is {0} s away from this host's clock, more than {WINDOW} s: send it again, or set the clocks"
    )]
    OutsideWindow(u64),
    /// No key fits.
    #[error(
        "no key of the pipeline fits: is the secret the same on both sides, and are the bytes signed that were sent?"
    )]
    Mismatch,
}

/// What a believed webhook says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof<'h> {
    /// The sender's name for this delivery, covered by the signature.
    pub delivery: Option<&'h str>,
}

/// Checks the proof, in constant time for each key.
pub fn verify<'h>(headers: &'h HeaderMap, body: &[u8], keys: &Keys, now: Millis) -> Result<Proof<'h>, Error> {
    if let Some(signatures) = text(headers, "webhook-signature") {
        return standard(headers, signatures, body, keys, now);
    }
    if let Some(signature) = text(headers, "x-pointsman-signature") {
        let timestamp = fresh(headers, "x-pointsman-timestamp", now)?;
        let given = signature.strip_prefix("sha256=").and_then(decode_hex);
        let given = given.ok_or(Error::Header("X-Pointsman-Signature"))?;
        let fits = any(keys, |mac| mac.update(&[timestamp.as_bytes(), b"."].concat()), body, &[given]);
        return if fits { Ok(Proof { delivery: None }) } else { Err(Error::Mismatch) };
    }
    let bearer = text(headers, "authorization").and_then(|value| value.strip_prefix("Bearer "));
    let given = bearer.ok_or(Error::Unsigned)?.as_bytes();
    let fits = keys.iter().fold(false, |fits, key| fits | bool::from(key.expose_secret().ct_eq(given)));
    if fits { Ok(Proof { delivery: text(headers, "webhook-id") }) } else { Err(Error::Mismatch) }
}

fn standard<'h>(
    headers: &'h HeaderMap,
    signatures: &str,
    body: &[u8],
    keys: &Keys,
    now: Millis,
) -> Result<Proof<'h>, Error> {
    let id = text(headers, "webhook-id").filter(|id| (1..=128).contains(&id.len()));
    let id = id.ok_or(Error::Header("webhook-id"))?;
    let timestamp = fresh(headers, "webhook-timestamp", now)?;
    let decode = |signature: &str| {
        let mut bytes = [0; 33];
        let length = STANDARD.decode_slice(signature.strip_prefix("v1,")?, &mut bytes).ok()?;
        bytes.first_chunk::<32>().copied().filter(|_| length == 32)
    };
    // A sender that rotates its keys sends one signature for each; more than a few are no honest sender.
    let given: Vec<_> = signatures.split(' ').take(8).filter_map(decode).collect();
    if given.is_empty() {
        return Err(Error::Header("webhook-signature"));
    }
    let head = |mac: &mut Hmac<Sha256>| {
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b"."] {
            mac.update(part);
        }
    };
    if any(keys, head, body, &given) { Ok(Proof { delivery: Some(id) }) } else { Err(Error::Mismatch) }
}

fn any(keys: &Keys, head: impl Fn(&mut Hmac<Sha256>), body: &[u8], given: &[[u8; 32]]) -> bool {
    keys.iter().fold(false, |fits, key| {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose_secret()) else { return fits };
        head(&mut mac);
        mac.update(body);
        let right: [u8; 32] = mac.finalize().into_bytes().into();
        given.iter().fold(fits, |fits, given| fits | bool::from(right.ct_eq(given)))
    })
}

fn fresh<'h>(headers: &'h HeaderMap, name: &'static str, now: Millis) -> Result<&'h str, Error> {
    let timestamp = text(headers, name).ok_or(Error::Header(name))?;
    let seconds: u64 = timestamp.parse().map_err(|_| Error::Header(name))?;
    let away = seconds.abs_diff(now.0 / 1000);
    if away > WINDOW { Err(Error::OutsideWindow(away)) } else { Ok(timestamp) }
}

fn decode_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification.
    const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const NOW: Millis = Millis(1_614_265_330_000);

    fn keys(texts: &[&[u8]]) -> Keys {
        Keys::of(texts.iter().map(|text| text.to_vec()))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn example() -> HeaderMap {
        headers(&[
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v2,xx v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ])
    }

    fn example_key() -> Vec<u8> {
        STANDARD.decode(KEY).unwrap()
    }

    #[test]
    fn the_example_of_the_specification_is_believed() {
        let headers = example();
        let proof = verify(&headers, BODY, &keys(&[b"an older key", &example_key()]), NOW);
        assert_eq!(proof, Ok(Proof { delivery: Some("msg_p5jXN8AQM9LWM0D4loKWxJek") }));
    }

    #[test]
    fn one_byte_or_one_key_off_is_not_believed() {
        let keys_right = keys(&[&example_key()]);
        assert_eq!(verify(&example(), b"{\"test\": 2432232315}", &keys_right, NOW), Err(Error::Mismatch));
        assert_eq!(verify(&example(), BODY, &keys(&[b"other"]), NOW), Err(Error::Mismatch));
        assert_eq!(verify(&example(), BODY, &keys(&[]), NOW), Err(Error::Mismatch));
        let mut other_id = example();
        other_id.insert("webhook-id", "msg_other".parse().unwrap());
        assert_eq!(verify(&other_id, BODY, &keys_right, NOW), Err(Error::Mismatch));
    }

    #[test]
    fn a_replay_is_refused_after_five_minutes_and_a_clock_ahead_as_well() {
        let keys = keys(&[&example_key()]);
        let at = |seconds: i64| Millis(NOW.0.checked_add_signed(seconds * 1000).unwrap());
        assert!(verify(&example(), BODY, &keys, at(300)).is_ok());
        assert_eq!(verify(&example(), BODY, &keys, at(301)), Err(Error::OutsideWindow(301)));
        assert_eq!(verify(&example(), BODY, &keys, at(-301)), Err(Error::OutsideWindow(301)));
    }

    #[test]
    fn our_own_header_signs_timestamp_and_body() {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"key").unwrap();
        mac.update(b"1614265330.");
        mac.update(BODY);
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let signed = headers(&[("x-pointsman-timestamp", "1614265330"), ("x-pointsman-signature", &signature)]);
        assert!(verify(&signed, BODY, &keys(&[b"key"]), NOW).is_ok());
        assert_eq!(verify(&signed, b"{}", &keys(&[b"key"]), NOW), Err(Error::Mismatch));
    }

    #[test]
    fn a_bearer_token_is_one_of_the_keys() {
        let bearer = headers(&[("authorization", "Bearer key")]);
        assert!(verify(&bearer, BODY, &keys(&[b"old", b"key"]), NOW).is_ok());
        assert_eq!(verify(&bearer, BODY, &keys(&[b"keys"]), NOW), Err(Error::Mismatch));
    }

    #[test]
    fn every_missing_or_unreadable_header_is_named() {
        let keys = keys(&[&example_key()]);
        assert_eq!(verify(&HeaderMap::new(), BODY, &keys, NOW), Err(Error::Unsigned));
        for (name, value) in [("webhook-id", ""), ("webhook-timestamp", "soon"), ("webhook-signature", "v1,x")] {
            let mut bad = example();
            bad.insert(name, value.parse().unwrap());
            assert_eq!(verify(&bad, BODY, &keys, NOW), Err(Error::Header(name)));
        }
        let unclear = headers(&[("x-pointsman-signature", "sha256=00"), ("x-pointsman-timestamp", "1614265330")]);
        assert_eq!(verify(&unclear, BODY, &keys, NOW), Err(Error::Header("X-Pointsman-Signature")));
    }
}
