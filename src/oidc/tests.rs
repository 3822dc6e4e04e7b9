//! What is believed of an ID token and what is not, by tokens that were made up here.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use openidconnect::{
    JsonWebKeyId, PrivateSigningKey,
    core::{CoreEdDsaPrivateSigningKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm},
};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{claims::*, verify::*, *};
use crate::{access::openid::Mapping, pipelines::SecretSource, settings::Oidc};

pub(crate) const SECRET: &str = "the secret of the client";
/// 2026-11-27T13:00:00Z, in seconds.
const NOW: u64 = 1_795_784_400;

/// A key of the provider.
pub(crate) struct Key(CoreEdDsaPrivateSigningKey, &'static str);

impl Key {
    pub(crate) fn new(name: &'static str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let id = Some(JsonWebKeyId::new(name.to_owned()));
        Self(CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pair.serialize_pem(), id).expect("a key"), name)
    }

    /// The public half, as the provider publishes it.
    pub(crate) fn published(keys: &[&Self]) -> Value {
        let keys = keys.iter().map(|key| key.0.as_verification_key()).collect();
        serde_json::to_value(CoreJsonWebKeySet::new(keys)).expect("JSON")
    }

    /// A token that says this.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let text = unsigned(&json!({ "alg": "EdDSA", "kid": self.1 }), claims);
        let signature = self.0.sign(&CoreJwsSigningAlgorithm::EdDsa, text.as_bytes()).expect("signed");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn unsigned(head: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(head), part(claims))
}

/// The settings of a provider at this address.
pub(crate) fn settings(issuer: &str, secret: &std::path::Path) -> Oidc {
    let groups = [("ops", "admin"), ("dev", "deployer=shop/qa")];
    let groups = groups.map(|(group, grant)| (group.into(), [grant.parse().expect("a grant")].into()));
    let claim = "groups";
    let (provider, client) = ("Example SSO".into(), "pm".into());
    let mapping = Mapping { provider, issuer: issuer.into(), client, claim: claim.into(), groups: groups.into() };
    Oidc {
        name: "Example SSO".into(),
        issuer: openidconnect::IssuerUrl::new(issuer.to_owned()).expect("an address"),
        client: "pm".into(),
        secret: SecretSource::File(secret.to_owned()),
        scopes: vec!["profile".into()],
        claim: claim.into(),
        mapping,
        skew: Millis(60_000),
        ca: None,
    }
}

/// Returns the discovery document of the provider.
pub(crate) fn description(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA", "HS256", "none"],
        "authorization_response_iss_parameter_supported": true,
        "end_session_endpoint": format!("{issuer}/end"),
    })
}

const ISSUER: &str = "https://sso.example";

fn good() -> Value {
    json!({ "iss": ISSUER, "aud": "pm", "sub": "4711", "nonce": "n", "iat": NOW, "exp": NOW + 300,
            "preferred_username": "ann", "groups": ["ops"] })
}

fn with(change: &Value) -> Value {
    let mut claims = good();
    for (key, value) in change.as_object().expect("claims") {
        claims[key] = value.clone();
    }
    claims
}

/// What becomes of a token, by a provider that has these keys.
fn judged(keys: &[&Key], token: &str) -> Result<String, String> {
    let metadata: Metadata = serde_json::from_value(description(ISSUER)).expect("a description");
    let metadata = metadata.set_jwks(serde_json::from_value(Key::published(keys)).expect("keys"));
    let settings = settings(ISSUER, std::path::Path::new("none"));
    let asked = Asked { nonce: "n".into(), made: Millis((NOW - 20) * 1000), host: Millis(NOW * 1000) };
    let token: Token = token.parse().map_err(|error| format!("no token: {error}"))?;
    let claims = verified(&token, &metadata, &settings, asked).map_err(|why| why.to_string())?;
    Ok(claims.subject().to_string())
}

#[test]
fn a_token_is_believed_only_if_all_of_it_is_right() {
    let key = Key::new("one");
    assert_eq!(judged(&[&key], &key.token(&good())), Ok("4711".to_owned()));
    for (change, told) in [
        (json!({ "nonce": "other" }), "answers another sign-in (`nonce`)"),
        (json!({ "nonce": null }), "answers another sign-in (`nonce`)"),
        (json!({ "aud": "other" }), "audience"),
        (json!({ "aud": ["pm", "other"] }), "`other` is not a trusted audience"),
        (json!({ "aud": [] }), "audience"),
        (json!({ "iss": "https://sso.example/" }), "issuer"),
        (json!({ "iss": "https://evil.example" }), "issuer"),
        (json!({ "azp": "other" }), "it is for `other` to use (`azp`)"),
        (json!({ "exp": NOW - 60 }), "out of time"),
        (json!({ "iat": NOW + 61 }), "still to come"),
        (json!({ "iat": NOW - 700 }), "long before this sign-in"),
    ] {
        let why = judged(&[&key], &key.token(&with(&change))).expect_err("it is not believed");
        let told = told.trim_start_matches("it ");
        assert!(why.contains(told) && why.contains("not believed"), "{change}: {why}");
    }
    for change in [
        json!({ "aud": ["pm"], "azp": "pm" }),
        json!({ "exp": NOW - 59 }),
        json!({ "iat": NOW + 60 }),
        // As Entra writes it.
        json!({ "iat": NOW - 300 }),
    ] {
        assert_eq!(judged(&[&key], &key.token(&with(&change))), Ok("4711".to_owned()), "{change}");
    }
    for missing in ["iss", "aud", "sub", "exp", "iat"] {
        let mut claims = good();
        claims.as_object_mut().expect("claims").remove(missing);
        assert!(judged(&[&key], &key.token(&claims)).is_err(), "without {missing}");
    }
}

#[test]
fn only_a_signature_of_the_provider_counts() {
    let (key, stranger) = (Key::new("one"), Key::new("one"));
    let refused = |token: &str| judged(&[&key], token).expect_err("it is not believed");
    assert!(refused(&stranger.token(&good())).contains("ignature"), "another key of the same name");
    assert!(refused(&Key::new("two").token(&good())).contains("a key that it does not publish"));

    let none = unsigned(&json!({ "alg": "none" }), &good());
    refused(&format!("{none}."));
    refused(&none);
    let none = unsigned(&json!({ "alg": "none", "kid": "one" }), &good());
    refused(&format!("{none}.AAAA"));
    // With the client's secret, and with the public key, which everybody has.
    let public = Key::published(&[&key])["keys"][0]["x"].as_str().expect("a key").to_owned();
    for secret in [SECRET, &public, ""] {
        let text = unsigned(&json!({ "alg": "HS256", "kid": "one" }), &good());
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key").chain_update(&text);
        let why = refused(&format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())));
        assert!(why.contains("HS256"), "{why}");
    }
    let token = key.token(&good());
    let (head, rest) = token.split_once('.').expect("parts");
    let signature = rest.split_once('.').expect("parts").1;
    let forged = URL_SAFE_NO_PAD.encode(with(&json!({ "sub": "1" })).to_string());
    refused(&format!("{head}.{forged}.{signature}"));
}

#[test]
fn groups_are_where_the_settings_say() {
    let all = json!({ "groups": ["a", "b"], "hd": "example.org", "realm_access": { "roles": ["c"] }, "n": 7,
                      "https://x.example/roles": ["d"], "mixed": ["a", 7], "none": [], "nothing": null,
                      "a/b": { "~": ["e"] }, "_claim_names": { "far": "src1" } });
    let all = all.as_object().expect("claims");
    let found = |claim: &str| groups(all, claim).map(|found| found.map(|list| list.join(" ")));
    for (claim, list) in [
        ("groups", "a b"),
        ("hd", "example.org"),
        ("/realm_access/roles", "c"),
        ("https://x.example/roles", "d"),
        ("/a~1b/~0", "e"),
        ("none", ""),
    ] {
        assert_eq!(found(claim).expect("groups").as_deref(), Some(list), "{claim}");
    }
    for claim in ["other", "/realm_access/other", "/groups/x", "realm_access/roles"] {
        assert_eq!(found(claim), Ok(None), "{claim}");
    }
    for claim in ["n", "mixed", "/realm_access", "nothing"] {
        assert!(found(claim).expect_err("no groups").to_string().contains("is not a list of texts"), "{claim}");
    }
    assert!(found("far").expect_err("left out").to_string().contains("too many for a token"));
}

#[test]
fn a_sign_in_is_kept_by_its_browser_for_ten_minutes_and_by_nobody_else() {
    let key = |text: &str| SecretSlice::from(text.as_bytes().to_vec());
    let (ours, theirs) = (key("ours"), key("theirs"));
    let begun = Begun::new("/a?b=c", "", Millis(1000)).expect("randomness");
    let cookie = begun.sealed(&ours).expect("sealed").expose_secret().to_owned();
    let (state, nonce, verifier) = (begun.state(&ours), begun.nonce(&ours), begun.verifier(&ours));
    let opened = |cookie: &str, state: &str, at: u64| Begun::opened(&ours, cookie, state, Millis(at));
    assert_eq!(opened(&cookie, &state, 600_999), Some(begun.clone()));
    assert_eq!(opened(&cookie, &state, 601_000), None, "ten minutes are over");
    let other = Begun::new("/", "", Millis(1000)).expect("randomness");
    assert_eq!(opened(&cookie, &other.state(&ours), 2000), None, "the state of another browser");
    assert_eq!(opened(other.sealed(&ours).expect("sealed").expose_secret(), &state, 2000), None);
    assert_eq!(opened(begun.sealed(&theirs).expect("sealed").expose_secret(), &state, 2000), None);
    for bad in ["", ".", &cookie[1..], &cookie[..cookie.len() - 2], &format!("{cookie}00")] {
        assert_eq!(opened(bad, &state, 2000), None, "{bad}");
    }
    assert!(opened(&cookie, "", 2000).is_none() && opened(&cookie, &nonce, 2000).is_none());
    let inside = URL_SAFE_NO_PAD.decode(cookie.split('.').next().expect("a part")).expect("base64");
    let inside = String::from_utf8(inside).expect("text");
    for secret in [&state, &nonce, &verifier] {
        assert!(!inside.contains(secret.as_str()) && secret.len() == 64, "{inside}");
    }
    let used = Used::default();
    assert!(used.take(&begun, Millis(2000)) && !used.take(&begun, Millis(3000)) && used.take(&other, Millis(3000)));
}
