//! Signing in at an OpenID Connect provider, which is made up here: as browsers meet it, and all that must not come in.

#![allow(clippy::disallowed_methods, reason = "a test starts its own server")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::Uri,
    response::{IntoResponse, Response},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{HeaderMap, StatusCode, header};
use openidconnect::url::Url;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    browser::{Browser, PASSWORD, Page, user},
    kit::Shop,
};
use crate::oidc::tests::{Key, SECRET, description, settings};

const BACK: &str = "/sign-in/oidc/back";
const CODE: &str = "the-code-of-the-provider";

/// How the provider is at this moment.
#[derive(Default)]
struct How {
    keys: Vec<Key>,
    /// The key that it signs with.
    signs: Option<Key>,
    claims: Value,
    nonce: String,
    challenge: String,
    /// What it answers instead, by the end of the path.
    instead: HashMap<&'static str, (StatusCode, &'static str, String)>,
    asked: Vec<String>,
}

/// A provider on this host.
pub(super) struct Provider {
    issuer: String,
    how: Arc<Mutex<How>>,
    serves: tokio::task::JoinHandle<()>,
}

impl Provider {
    pub(super) async fn open() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let how = How { keys: vec![Key::new("one")], claims: json!({}), ..How::default() };
        let how = Arc::new(Mutex::new(how));
        let router = Router::new().fallback(answer).with_state((issuer.clone(), how.clone()));
        let serves = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { issuer, how, serves }
    }

    /// A shop with this provider in its settings.
    pub(super) fn shop(&self) -> Shop {
        let mut shop = Shop::new();
        let secret = shop.folder().join("oidc-secret");
        std::fs::write(&secret, SECRET).unwrap();
        shop.provide(settings(&self.issuer, &secret));
        shop
    }

    pub(super) fn says(&self, claims: Value) {
        self.how.lock().unwrap().claims = claims;
    }

    fn answers(&self, path: &'static str, status: u16, kind: &'static str, body: &str) {
        let status = StatusCode::from_u16(status).unwrap();
        self.how.lock().unwrap().instead.insert(path, (status, kind, body.to_owned()));
    }

    fn asked(&self, path: &str) -> usize {
        self.how.lock().unwrap().asked.iter().filter(|asked| *asked == path).count()
    }

    /// Presses the button, and is sent here. Returns what is in the address.
    async fn begin(&self, browser: &Browser<'_>, path: &str) -> HashMap<String, String> {
        let told = browser.get(path).await;
        assert_eq!(told.status, StatusCode::SEE_OTHER, "{}", told.text);
        let url: Url = told.location().parse().unwrap();
        assert!(told.location().starts_with(&format!("{}/authorize?", self.issuer)), "{url}");
        let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
        let mut how = self.how.lock().unwrap();
        (how.nonce, how.challenge) = (asked["nonce"].clone(), asked["code_challenge"].clone());
        asked
    }

    fn answer_to(&self, state: &str) -> String {
        let mut text = form_urlencoded::Serializer::new(format!("{BACK}?"));
        text.append_pair("code", CODE).append_pair("state", state).append_pair("iss", &self.issuer).finish()
    }

    /// Signs in, from the button to the answer.
    pub(super) async fn sign_in(&self, browser: &Browser<'_>) -> Page {
        let asked = self.begin(browser, "/sign-in/oidc?then=/history").await;
        browser.come_from_elsewhere(&self.answer_to(&asked["state"])).await
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serves.abort();
    }
}

async fn answer(
    State((issuer, how)): State<(String, Arc<Mutex<How>>)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut how = how.lock().unwrap();
    how.asked.push(uri.path().to_owned());
    if let Some((status, kind, body)) = how.instead.get(uri.path()) {
        let headers = [(header::CONTENT_TYPE, *kind), (header::LOCATION, "http://127.0.0.1:1/elsewhere")];
        return (*status, headers, body.clone()).into_response();
    }
    let told = match uri.path() {
        "/.well-known/openid-configuration" => description(&issuer),
        "/keys" => Key::published(&how.keys.iter().collect::<Vec<_>>()),
        "/token" => token(&issuer, &how, &headers, &body),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([(header::CONTENT_TYPE, "application/json")], told.to_string()).into_response()
}

/// A strict provider: who asks has to be the client, with the verifier of the very sign-in.
fn token(issuer: &str, how: &How, headers: &HeaderMap, body: &[u8]) -> Value {
    let secret: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let expected = format!("Basic {}", STANDARD.encode(format!("pm:{secret}")));
    assert_eq!(headers["authorization"].to_str().unwrap(), expected);
    let said: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
    assert_eq!((&*said["grant_type"], &*said["code"]), ("authorization_code", CODE));
    assert!(said["redirect_uri"].ends_with(BACK), "{}", said["redirect_uri"]);
    assert_eq!(URL_SAFE_NO_PAD.encode(Sha256::digest(&said["code_verifier"])), how.challenge);
    let now = crate::clock::Clock::real().host().0 / 1000;
    let mut claims = json!({ "iss": issuer, "aud": "pm", "sub": "4711", "nonce": how.nonce, "iat": now, "exp": now + 300,
                             "preferred_username": "ann", "groups": ["ops", "else"] });
    for (key, value) in how.claims.as_object().unwrap() {
        claims[key] = value.clone();
    }
    let token = how.signs.as_ref().unwrap_or(&how.keys[0]).token(&claims);
    json!({ "access_token": "the-access-token", "token_type": "Bearer", "id_token": token })
}

#[tokio::test]
async fn a_person_of_the_provider_signs_in_acts_under_their_name_and_signs_out_of_both() {
    let provider = Provider::open().await;
    let shop = provider.shop();
    let browser = Browser::of(&shop);
    let page = browser.get("/sign-in?then=/history").await;
    assert!(page.text.contains(">Sign in with Example SSO</a>") && page.text.contains("name=\"password\""));
    assert_eq!(provider.how.lock().unwrap().asked, [""; 0], "the page itself asks nobody");
    let asked = provider.begin(&browser, "/sign-in/oidc?then=/history").await;
    assert_eq!((&*asked["client_id"], &*asked["scope"], &*asked["response_type"]), ("pm", "openid profile", "code"));
    assert_eq!(
        (&*asked["redirect_uri"], &*asked["code_challenge_method"]),
        ("http://127.0.0.1:7070/sign-in/oidc/back", "S256")
    );
    let told = browser.come_from_elsewhere(&provider.answer_to(&asked["state"])).await;
    assert_eq!(
        (told.status, &told.headers["refresh"]),
        (StatusCode::OK, &"0; url=/history".parse().unwrap()),
        "{}",
        told.text
    );
    assert_eq!(told.headers["referrer-policy"], "no-referrer", "nobody is told the code as the page before");
    assert!(browser.is_in().await && !browser.cookies.lock().unwrap().iter().any(|(name, _)| name.contains("oidc")));
    assert_eq!(browser.get("/sign-in/oidc?then=/live").await.location(), "/live", "who is in is led on");

    let held = browser.request("POST", "/v1/environments/shop/qa/hold").header("sec-fetch-site", "same-origin");
    let held = held.header("x-csrf-token", browser.csrf()).body(Body::empty()).unwrap();
    assert_eq!(browser.send(held).await.status, 200);
    let by = shop.state("shop/qa").hold().unwrap().by.to_string();
    assert!(by.starts_with("oidc:ann#") && told.text.contains(&by), "{by}");

    let out = browser.post("/sign-out", &[("csrf", &browser.csrf())]).await;
    assert!(out.status == 200 && out.text.contains("Sign out of Example SSO too"), "{}", out.text);
    assert!(!browser.is_in().await);
    let link = out.text.split("href=\"/sign-in/oidc/out").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let link = format!("/sign-in/oidc/out{link}");
    for hinted in [true, false] {
        let there: Url = browser.get(&link).await.location().parse().unwrap();
        assert!(there.as_str().starts_with(&format!("{}/end?", provider.issuer)), "{there}");
        let said: HashMap<String, String> = there.query_pairs().into_owned().collect();
        assert_eq!((&*said["client_id"], &*said["post_logout_redirect_uri"]), ("pm", "http://127.0.0.1:7070/sign-in"));
        assert_eq!(said.contains_key("id_token_hint"), hinted, "the token is used once");
    }
}

#[tokio::test]
async fn an_answer_counts_once_and_in_the_browser_that_asked_only() {
    let provider = Provider::open().await;
    let shop = provider.shop();
    let (browser, other) = (Browser::of(&shop), Browser::of(&shop));
    let asked = provider.begin(&browser, "/sign-in/oidc").await;
    let answer = provider.answer_to(&asked["state"]);
    let refused = async |browser: &Browser<'_>, answer: &str, why: &str| {
        let told = browser.come_from_elsewhere(answer).await;
        assert!(told.status.is_client_error() && told.text.contains(why), "{answer}: {}", told.text);
        assert!(told.text.contains("name=\"password\"") && !browser.is_in().await, "local users sign in as ever");
    };
    let cookie = browser.cookies.lock().unwrap().clone();
    const NOT_BEGUN: &str = "this sign-in was not begun in this browser";
    refused(&other, &answer, NOT_BEGUN).await;
    provider.begin(&other, "/sign-in/oidc").await;
    refused(&other, &answer, NOT_BEGUN).await;
    refused(&browser, &answer.replace("state=", "state=0"), NOT_BEGUN).await;
    assert_eq!(provider.asked("/token"), 0);

    provider.begin(&browser, "/sign-in/oidc").await;
    *browser.cookies.lock().unwrap() = cookie.clone();
    provider.how.lock().unwrap().challenge.clone_from(&asked["code_challenge"]);
    provider.how.lock().unwrap().nonce.clone_from(&asked["nonce"]);
    let told = browser.come_from_elsewhere(&answer).await;
    assert!(told.status == 200 && browser.is_in().await, "{}", told.text);
    *browser.cookies.lock().unwrap() = cookie;
    refused(&browser, &answer, NOT_BEGUN).await;
    assert_eq!(provider.asked("/token"), 1);

    for (from, to, why) in [
        ("&iss=", "&iss=x", "it came from x"),
        ("&iss=", "&other=", "it does not say who answers"),
        (
            "code=",
            "error=access_denied&error_description=%3Cb%3Eno%3C%2Fb%3E&other=",
            "access_denied (&#60;b&#62;no&#60;/b&#62;)",
        ),
        ("code=", "other=", "neither a code nor an error"),
    ] {
        let asked = provider.begin(&browser, "/sign-in/oidc").await;
        refused(&browser, &provider.answer_to(&asked["state"]).replace(from, to), why).await;
    }
    assert_eq!(provider.asked("/token"), 1);
    let asked = provider.begin(&browser, "/sign-in/oidc").await;
    shop.app.clock.let_pass(Duration::from_secs(600));
    refused(&browser, &provider.answer_to(&asked["state"]), NOT_BEGUN).await;
    // Another site signs nobody in: there is the button.
    assert_eq!(
        browser.come_from_elsewhere("/sign-in/oidc?then=/live").await.location(),
        "/sign-in?then=%2Flive&press="
    );
}

#[tokio::test]
async fn what_the_provider_says_is_believed_only_if_it_is_right() {
    let provider = Provider::open().await;
    let shop = provider.shop();
    let browser = Browser::of(&shop);
    for (claims, status, why) in [
        (json!({ "nonce": "other" }), 401, "answers another sign-in"),
        (json!({ "aud": "other" }), 401, "audience"),
        (json!({ "iss": "http://127.0.0.1:1" }), 401, "issuer"),
        (json!({ "exp": 1_000_000 }), 401, "out of time"),
        (json!({ "groups": 7 }), 401, "is not a list of texts"),
        (json!({ "groups": ["<b>else</b>", "x"] }), 403, "the claim `groups` has: `&#60;b&#62;else&#60;/b&#62;`, `x`"),
        (json!({ "groups": [] }), 403, "the claim `groups` has: no group"),
    ] {
        provider.says(claims.clone());
        let told = provider.sign_in(&browser).await;
        assert!(told.status == status && told.text.contains(why), "{claims}: {} {}", told.status, told.text);
        assert!(!browser.is_in().await && told.text.contains("name=\"password\""));
        assert!(told.text.contains("oidc?then=%2Fhistory"), "the button leads on as before");
    }
    let sessions = shop.app.access.sessions().list(shop.app.clock.host());
    assert!(sessions.is_empty(), "{sessions:?}");
    provider.says(json!({}));
    assert_eq!(provider.sign_in(&browser).await.status, 200);
}

#[tokio::test]
async fn a_new_key_is_asked_for_once_and_not_for_every_stranger() {
    let provider = Provider::open().await;
    let shop = provider.shop();
    let browser = Browser::of(&shop);
    let fails = async |why: &str| {
        let told = provider.sign_in(&browser).await;
        assert!(told.status == 401 && told.text.contains(why), "{}", told.text);
    };
    provider.how.lock().unwrap().signs = Some(Key::new("two"));
    fails("a key that it does not publish").await;
    fails("a key that it does not publish").await;
    assert_eq!(provider.asked("/keys"), 1, "just asked");
    shop.app.clock.let_pass(Duration::from_secs(30));
    fails("a key that it does not publish").await;
    fails("a key that it does not publish").await;
    assert_eq!(provider.asked("/keys"), 2);
    shop.app.clock.let_pass(Duration::from_secs(30));
    {
        let mut how = provider.how.lock().unwrap();
        let signs = how.signs.take().unwrap();
        how.keys = vec![signs];
    }
    let told = provider.sign_in(&browser).await;
    assert!(told.status == 200 && browser.is_in().await, "{}", told.text);
    assert_eq!(provider.asked("/keys"), 3);
}

#[tokio::test]
async fn a_provider_that_cannot_be_used_is_told_in_its_words_and_local_users_sign_in() {
    const HOW: &str = "/.well-known/openid-configuration";
    const JSON: &str = "application/json";
    let other = description("http://127.0.0.1:1").to_string();
    let large = "x".repeat(2 << 20);
    for (path, status, kind, body, why) in [
        (HOW, 503, "text/plain", "down for <maintenance>", "503 Service Unavailable"),
        (HOW, 503, "text/plain", "down for <maintenance>", "down for &#60;maintenance&#62;"),
        (HOW, 302, JSON, "", "it redirects to http://127.0.0.1:1/elsewhere, which is not followed"),
        (HOW, 200, JSON, "<html>", "its description cannot be read"),
        (HOW, 200, "text/html", "<html>", "text/html"),
        (HOW, 200, JSON, &other, "unexpected issuer"),
        (HOW, 200, JSON, &large, "its answer is larger than 1048576 bytes"),
        ("/keys", 500, JSON, "oops", "500 Internal Server Error: oops"),
    ] {
        let provider = Provider::open().await;
        let shop = provider.shop();
        user(&shop, "bob", &["viewer"]);
        provider.answers(path, status, kind, body);
        let browser = Browser::of(&shop);
        let told = browser.get("/sign-in/oidc?then=/history").await;
        assert!(told.status == 502 && told.text.contains(why), "{path} {status}: {} {}", told.status, told.text);
        browser.get("/sign-in/oidc").await;
        assert_eq!(provider.asked(HOW), 1, "it is left alone for a while");
        provider.how.lock().unwrap().instead.clear();
        shop.app.clock.let_pass(Duration::from_secs(5));
        provider.begin(&browser, "/sign-in/oidc").await;
        assert_eq!(browser.sign_in("bob", PASSWORD).await.status, 303);
    }
    let mut shop = Shop::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    shop.provide(settings(&format!("http://{free}"), std::path::Path::new("none")));
    let told = Browser::of(&shop).get("/sign-in/oidc").await;
    assert!(told.status == 502 && told.text.contains("onnection refused"), "{}", told.text);
}

#[tokio::test]
async fn what_was_known_is_used_while_the_provider_cannot_say_it_anew_and_its_refusals_hide_secrets() {
    let provider = Provider::open().await;
    let shop = provider.shop();
    let browser = Browser::of(&shop);
    provider.begin(&browser, "/sign-in/oidc").await;
    provider.answers("/.well-known/openid-configuration", 503, "text/plain", "down");
    shop.app.clock.let_pass(Duration::from_secs(3600));
    provider.begin(&browser, "/sign-in/oidc").await;
    assert_eq!(provider.asked("/.well-known/openid-configuration"), 2);
    for (status, body, why) in [
        (
            400,
            json!({ "error": "invalid_grant", "error_description": format!("{CODE} of {SECRET} is used") }),
            "invalid_grant: [hidden] of [hidden] is used",
        ),
        (200, json!({ "access_token": "the-access-token", "token_type": 7 }), "its answer cannot be read"),
        (200, json!({ "access_token": "the-access-token", "token_type": "Bearer" }), "it has no ID token"),
        (
            200,
            json!({ "access_token": "the-access-token", "token_type": "Bearer", "id_token": "the-id-token" }),
            "its answer cannot be read",
        ),
    ] {
        provider.answers("/token", status, "application/json", &body.to_string());
        let told = provider.sign_in(&browser).await;
        assert!(told.status.as_u16() >= 400 && told.text.contains(why), "{body}: {}", told.text);
        for secret in [CODE, SECRET, "the-access-token", "the-id-token"] {
            assert!(!told.text.contains(secret), "{secret} is in {}", told.text);
        }
    }
    std::fs::remove_file(shop.folder().join("oidc-secret")).unwrap();
    let told = provider.sign_in(&browser).await;
    assert!(told.status == 500 && told.text.contains("the secret of this client cannot be read"), "{}", told.text);
    assert!(!told.text.contains("oidc-secret"), "where it is kept is for the log");
}

#[tokio::test]
async fn a_change_of_the_groups_in_the_settings_ends_the_sessions_that_it_concerns() {
    let provider = Provider::open().await;
    let mut shop = provider.shop();
    let cookies = {
        let browser = Browser::of(&shop);
        provider.sign_in(&browser).await;
        assert!(browser.is_in().await);
        browser.cookies.into_inner().unwrap()
    };
    let secret = shop.folder().join("oidc-secret");
    let is_in = async |shop: &Shop| {
        let browser = Browser::of(shop);
        *browser.cookies.lock().unwrap() = cookies.clone();
        browser.is_in().await
    };
    let mut changed = settings(&provider.issuer, &secret);
    changed.mapping.groups.retain(|(group, _)| &**group == "ops");
    shop.provide(changed.clone());
    assert!(is_in(&shop).await, "a restart, and a change that concerns others, end nothing");
    changed.mapping.groups = vec![("ops".into(), ["viewer".parse().unwrap()].into())];
    shop.provide(changed);
    assert!(!is_in(&shop).await);
}

#[tokio::test]
async fn what_was_pressed_survives_the_sign_in_at_the_provider() {
    let provider = Provider::open().await;
    let shop = provider.shop();
    let browser = Browser::of(&shop);
    let told = browser.post("/environments/shop/qa/hold", &[("csrf", "of before"), ("reason", "it burns")]).await;
    let page = browser.get(told.location()).await;
    let start = page.text.split("href=\"").find(|part| part.starts_with("/sign-in/oidc?")).unwrap();
    let start = start.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
    let asked = provider.begin(&browser, &start).await;
    let told = browser.come_from_elsewhere(&provider.answer_to(&asked["state"])).await;
    let then = told.headers["refresh"].to_str().unwrap().strip_prefix("0; url=").unwrap().to_owned();
    let again = browser.get(&then).await;
    assert!(again.text.contains("Nothing was done yet") && again.hidden("reason") == "it burns", "{}", again.text);
}

#[tokio::test]
async fn who_fails_again_and_again_is_slowed() {
    let provider = Provider::open().await;
    let shop = provider.shop();
    let browser = Browser::of(&shop);
    for _ in 0..20 {
        assert_eq!(browser.come_from_elsewhere(&format!("{BACK}?code=x&state=y")).await.status, 400);
    }
    let told = browser.come_from_elsewhere(&format!("{BACK}?code=x&state=y")).await;
    assert!(told.status == 429 && told.text.contains("Too many failures"), "{}", told.text);
    assert_eq!(provider.how.lock().unwrap().asked, [""; 0], "the provider was never asked");
}

#[tokio::test]
async fn a_person_and_a_user_of_one_name_are_two() {
    let provider = Provider::open().await;
    let shop = provider.shop();
    user(&shop, "ann", &["viewer"]);
    let (person, local, namesake) = (Browser::of(&shop), Browser::of(&shop), Browser::of(&shop));
    provider.sign_in(&person).await;
    local.sign_in("ann", PASSWORD).await;
    provider.says(json!({ "sub": "4712", "groups": ["dev"] }));
    provider.sign_in(&namesake).await;
    let hold = async |browser: &Browser<'_>| {
        let request =
            browser.request("POST", "/v1/environments/shop/prod/hold").header("sec-fetch-site", "same-origin");
        let request = request.header("x-csrf-token", browser.csrf()).body(Body::empty()).unwrap();
        browser.send(request).await.status.as_u16()
    };
    assert_eq!((hold(&person).await, hold(&local).await, hold(&namesake).await), (200, 403, 403));
    person.post("/sign-out-everywhere", &[("csrf", &person.csrf())]).await;
    assert!(!person.is_in().await && local.is_in().await && namesake.is_in().await);
}
