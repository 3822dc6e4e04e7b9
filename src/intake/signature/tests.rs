//! Known answers for every proof, and every way to get it wrong.

use super::*;

/// The example of the Standard Webhooks specification.
const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const NOW: Millis = Millis(1_614_265_330_000);

fn keys(texts: &[&[u8]]) -> Keys {
    Keys::of(texts.iter().map(|text| text.to_vec()))
}

fn verify<'h>(headers: &'h HeaderMap, body: &[u8], keys: &Keys, now: Millis) -> Result<Proof<'h>, Error> {
    let mut verifier = Verifier::begin(headers, keys, now)?;
    // In pieces, as a body arrives.
    body.chunks(5).for_each(|piece| verifier.update(piece));
    verifier.finish()
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
    assert_eq!(
        verify(&example(), b"{\"test\": 2432232315}", &keys_right, NOW),
        Err(Error::Mismatch(STANDARD_WEBHOOKS))
    );
    assert_eq!(verify(&example(), BODY, &keys(&[b"other"]), NOW), Err(Error::Mismatch(STANDARD_WEBHOOKS)));
    assert_eq!(verify(&example(), BODY, &keys(&[]), NOW), Err(Error::Mismatch(STANDARD_WEBHOOKS)));
    let mut other_id = example();
    other_id.insert("webhook-id", "msg_other".parse().unwrap());
    assert_eq!(verify(&other_id, BODY, &keys_right, NOW), Err(Error::Mismatch(STANDARD_WEBHOOKS)));
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
    assert_eq!(verify(&signed, b"{}", &keys(&[b"key"]), NOW), Err(Error::Mismatch(OURS)));
}

/// The example of GitHub's documentation.
const GITHUB_KEY: &[u8] = b"It's a Secret to Everybody";
const GITHUB_BODY: &[u8] = b"Hello, World!";
const GITHUB_SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

#[test]
fn the_example_of_github_is_believed_and_its_older_header_alone_is_not() {
    let keys = keys(&[b"new", GITHUB_KEY]);
    let signed = headers(&[("x-hub-signature-256", GITHUB_SIGNATURE), ("x-hub-signature", "sha1=00")]);
    assert_eq!(verify(&signed, GITHUB_BODY, &keys, NOW), Ok(Proof { delivery: None }));
    assert_eq!(verify(&signed, b"Hello, World?", &keys, NOW), Err(Error::Mismatch(GITHUB)));
    let bearer = ("authorization", "Bearer new");
    let older = headers(&[("x-hub-signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59"), bearer]);
    assert_eq!(verify(&older, GITHUB_BODY, &keys, NOW), Err(Error::Header(GITHUB)));
}

#[test]
fn gitea_forgejo_and_bitbucket_sign_the_body_in_headers_of_their_own() {
    let keys = keys(&[GITHUB_KEY]);
    let digits = GITHUB_SIGNATURE.strip_prefix("sha256=").unwrap();
    for (name, right, told) in [
        ("x-gitea-signature", digits, "X-Gitea-Signature"),
        ("x-forgejo-signature", digits, "X-Forgejo-Signature"),
        ("x-hub-signature", GITHUB_SIGNATURE, "X-Hub-Signature"),
    ] {
        let signed = headers(&[(name, right)]);
        assert_eq!(verify(&signed, GITHUB_BODY, &keys, NOW), Ok(Proof { delivery: None }), "{name}");
        assert_eq!(verify(&signed, b"Hello, World?", &keys, NOW), Err(Error::Mismatch(told)));
        assert_eq!(verify(&headers(&[(name, "7")]), GITHUB_BODY, &keys, NOW), Err(Error::Header(told)));
    }
    // All that Gitea sends at once; the SHA-1 in it does no harm.
    let all = headers(&[
        ("x-gitea-signature", digits),
        ("x-hub-signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59"),
        ("x-hub-signature-256", GITHUB_SIGNATURE),
    ]);
    assert!(verify(&all, GITHUB_BODY, &keys, NOW).is_ok());
}

#[test]
fn an_empty_signature_is_none_so_a_key_beside_it_decides() {
    let empty = [("x-gitea-signature", ""), ("x-hub-signature", "sha1="), ("x-hub-signature-256", "sha256=")];
    let keys = keys(&[b"key"]);
    assert_eq!(verify(&headers(&empty), BODY, &keys, NOW), Err(Error::Unsigned));
    let mut with_key = headers(&empty);
    with_key.insert("authorization", "Bearer key".parse().unwrap());
    assert!(verify(&with_key, BODY, &keys, NOW).is_ok());
    with_key.insert("authorization", "Bearer other".parse().unwrap());
    assert_eq!(verify(&with_key, BODY, &keys, NOW), Err(Error::Mismatch(PLAIN)));
}

#[test]
fn a_token_is_one_of_the_keys() {
    for (name, right, wrong) in [
        ("authorization", "Bearer key", "Bearer keys"),
        ("authorization", "bearer key", "Bearer"),
        // `pointsman:key`, `:key`, `key:`.
        ("authorization", "Basic cG9pbnRzbWFuOmtleQ==", "Basic a2V5Og=="),
        ("authorization", "basic OmtleQ==", "Basic key"),
        ("authorization", "Bearer key", "Digest key"),
        ("x-gitlab-token", "key", "Key"),
        ("x-gitlab-token", "key", ""),
    ] {
        let keys = keys(&[b"old", b"key"]);
        assert!(verify(&headers(&[(name, right)]), BODY, &keys, NOW).is_ok(), "{right}");
        let refused = verify(&headers(&[(name, wrong)]), BODY, &keys, NOW).unwrap_err();
        assert!(matches!(refused, Error::Mismatch(PLAIN | GITLAB) | Error::Header(PLAIN)), "{wrong}: {refused}");
        assert!(!refused.to_string().contains("key:"), "{refused}");
    }
}

#[test]
fn a_proof_that_fails_is_not_made_up_for_by_a_weaker_one() {
    let keys = keys(&[b"key"]);
    let weaker = [("x-gitlab-token", "key"), ("authorization", "Bearer key")];
    assert!(verify(&headers(&weaker), BODY, &keys, NOW).is_ok());
    for (name, value) in [
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ("webhook-signature", ""),
        ("x-pointsman-signature", "sha256=00"),
        ("x-hub-signature-256", GITHUB_SIGNATURE),
        ("x-hub-signature", "sha1=00"),
        ("x-hub-signature", GITHUB_SIGNATURE),
        ("x-forgejo-signature", "00"),
        ("x-gitea-signature", "00"),
        ("x-gitlab-token", "other"),
    ] {
        let mut both = headers(&weaker);
        both.insert(name, value.parse().unwrap());
        assert!(verify(&both, BODY, &keys, NOW).is_err(), "{name}");
        // What is no text at all counts as being there.
        both.insert(name, http::HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(verify(&both, BODY, &keys, NOW).is_err(), "{name}");
    }
    let mut twice = headers(&weaker[1..]);
    twice.append("authorization", "Bearer other".parse().unwrap());
    assert_eq!(verify(&twice, BODY, &keys, NOW), Err(Error::Header("authorization")));
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
