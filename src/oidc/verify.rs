//! Whether an ID token is believed: signature, issuer, audience, time and nonce. Must not ask anybody.

use chrono::{DateTime, Utc};
use openidconnect::{
    ClaimsVerificationError, ClientId, IdTokenVerifier, JsonWebKey, Nonce, SignatureVerificationError,
    core::{CoreJsonWebKey, CoreJwsSigningAlgorithm},
};

use super::{
    Failure,
    claims::{Claims, Metadata, Token},
};
use crate::{
    machine::Millis,
    outgoing::root_cause,
    settings::Oidc,
    text::{format_time, harmless},
};

/// What a signature may be made with: a key of which we know only the public half. What is signed with the client's secret, or
/// not at all, is not among them.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];
/// How long before a sign-in a token may have been made. Some providers write a time that has passed already.
const EARLIER: Millis = Millis(600_000);

/// What was asked, and when it is answered; times by the host's clock.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) nonce: String,
    pub(super) made: Millis,
    pub(super) host: Millis,
}

/// Returns what a token says, where it is believed.
///
/// # Errors
/// Why it is not.
pub(super) fn verified<'t>(
    token: &'t Token,
    metadata: &Metadata,
    settings: &Oidc,
    asked: Asked,
) -> Result<&'t Claims, Failure> {
    let client = ClientId::new(settings.client.to_string());
    let latest = asked.host.plus(settings.skew);
    let earliest = Millis(asked.made.0.saturating_sub(EARLIER.0 + settings.skew.0));
    let ends_after = time(Millis(asked.host.0.saturating_sub(settings.skew.0)))?;
    let verifier = IdTokenVerifier::new_public_client(client.clone(), settings.issuer.clone(), metadata.jwks().clone())
        .set_allowed_algs(ALGORITHMS)
        .set_time_fn(move || ends_after)
        .set_issue_time_verifier_fn(move |made| issued(made, earliest, latest));
    let nonce = Nonce::new(asked.nonce);
    let claims = token.claims(&verifier, &nonce).map_err(|error| Failure::Untrusted(told(error, asked.host)))?;
    match claims.authorized_party() {
        Some(party) if *party != client => {
            let party = harmless(party.as_str());
            Err(Failure::Untrusted(format!(
                "its ID token is for `{party}` to use (`azp`), not for `{}`",
                settings.client
            )))
        }
        _ => Ok(claims),
    }
}

/// Returns whether the token names a key that the provider did not have when it was asked last.
pub(super) fn has_unknown_key(token: &Token, metadata: &Metadata) -> bool {
    let known = |key: &CoreJsonWebKey| {
        let id = key.key_id().map(|id| id.as_str());
        id.is_some() && id == key_of(token).as_deref()
    };
    key_of(token).is_some() && !metadata.jwks().keys().iter().any(known)
}

/// The key that a token says it was signed with. Nothing is believed for it.
fn key_of(token: &Token) -> Option<String> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let text = token.to_string();
    let head = URL_SAFE_NO_PAD.decode(text.split('.').next()?).ok()?;
    let head: serde_json::Value = serde_json::from_slice(&head).ok()?;
    head.get("kid")?.as_str().map(str::to_owned)
}

fn time(at: Millis) -> Result<DateTime<Utc>, Failure> {
    let at = i64::try_from(at.0).ok().and_then(DateTime::from_timestamp_millis);
    at.ok_or(Failure::Own("the clock of this host cannot be used"))
}

fn issued(made: DateTime<Utc>, earliest: Millis, latest: Millis) -> Result<(), String> {
    let made = Millis(u64::try_from(made.timestamp_millis()).unwrap_or(0));
    if made > latest {
        return Err(format!("it was made at {}, which is still to come", format_time(made)));
    }
    if made < earliest {
        return Err(format!("it was made at {}, long before this sign-in", format_time(made)));
    }
    Ok(())
}

/// Why it is not believed. Nothing that the token says is repeated but what is public.
fn told(error: ClaimsVerificationError, host: Millis) -> String {
    use SignatureVerificationError as Signature;
    match error {
        ClaimsVerificationError::Expired(why) => {
            let clocks = "compare the clocks of both sides (`server.oidc.skew`)";
            format!("its ID token is out of time at {}: {}; {clocks}", format_time(host), harmless(&why))
        }
        ClaimsVerificationError::InvalidNonce(_) => "its ID token answers another sign-in (`nonce`)".to_owned(),
        ClaimsVerificationError::SignatureVerification(Signature::NoMatchingKey) => {
            "its ID token is signed with a key that it does not publish".to_owned()
        }
        ClaimsVerificationError::SignatureVerification(Signature::NoSignature) => {
            "its ID token is not signed".to_owned()
        }
        other => format!("its ID token: {}", harmless(&root_cause(&other))),
    }
}
