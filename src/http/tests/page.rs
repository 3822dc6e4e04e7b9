//! The operators' page: who sees it, what it shows, and what becomes of what is pressed.

use axum::body::Body;
use http::{Request, header};

use super::kit::Shop;
use crate::{
    access::Role,
    http::transport::Encrypted,
    machine::{Event, Number},
};

const PROD: &str = "/environments/shop/prod";
const QA: &str = "/environments/shop/qa";

pub(super) struct Seen {
    pub status: u16,
    pub text: String,
    policy: String,
    pub location: String,
}

async fn send(shop: &Shop, mut request: Request<Body>) -> Seen {
    request.extensions_mut().insert(Some(Encrypted));
    let response = shop.answer(request).await;
    let text = |name: header::HeaderName| {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let (policy, location) = (text(header::CONTENT_SECURITY_POLICY), text(header::LOCATION));
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    Seen { status, text: String::from_utf8(body.to_vec()).unwrap(), policy, location }
}

pub(super) async fn look(shop: &Shop, token: &str, path: &str) -> Seen {
    send(shop, super::kit::bearer(token, "GET", path).body(Body::empty()).unwrap()).await
}

pub(super) async fn press(shop: &Shop, token: &str, path: &str, form: &[(&str, &str)]) -> Seen {
    let body = serde_urlencoded::to_string(form).unwrap();
    let request = super::kit::bearer(token, "POST", path);
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body.into());
    send(shop, request.unwrap()).await
}

/// The value of a hidden field of the form that sends to this address.
fn field(page: &str, action: &str, name: &str) -> String {
    let form = page.split("<form").find(|form| form.contains(&format!("action=\"{action}\""))).expect("the form");
    let value = form.split(&format!("name=\"{name}\" value=\"")).nth(1).expect("the field");
    value.split("\">").next().unwrap().replace("&quot;", "\"")
}

pub(super) async fn live_in_qa(shop: &Shop, version: &str) {
    let build = serde_json::json!({ "version": version, "artifact": "a" });
    assert_eq!(shop.hook(&build.to_string()).await.status, 202);
    shop.go_live("shop/qa", shop.state("shop/qa").last_number().0).await;
}

#[tokio::test]
async fn every_page_is_for_those_who_are_known_and_lets_nothing_in_from_elsewhere() {
    let shop = Shop::new();
    let viewer = shop.token("vera", Role::Viewer, &[]);
    for path in ["/", "/?show=held&q=shop", QA, PROD] {
        let seen = look(&shop, &viewer, path).await;
        assert_eq!(seen.status, 200, "{path}: {}", seen.text);
        assert!(seen.policy.starts_with("default-src 'none'"), "{path}: {}", seen.policy);
        assert!(!seen.text.contains("<script>") && !seen.text.contains("style="), "{path}");
    }
    assert_eq!(look(&shop, "pm_wrong", "/").await.status, 401);
    assert_eq!(look(&shop, &viewer, "/environments/shop/nowhere").await.status, 404);
}

#[tokio::test]
async fn who_may_see_one_environment_is_shown_that_one() {
    let shop = Shop::new();
    let qa = shop.token("quinn", Role::Deployer, &["shop/qa"]);
    let seen = look(&shop, &qa, "/").await;
    assert!(seen.text.contains("href=\"/environments/shop/qa\"") && !seen.text.contains("shop/prod"), "{}", seen.text);
    assert_eq!(look(&shop, &qa, PROD).await.status, 403);
}

#[tokio::test]
async fn what_others_wrote_is_shown_as_text_in_its_place_and_cut() {
    let shop = Shop::new();
    let viewer = shop.token("vera", Role::Viewer, &[]);
    let evil = format!("<img src=x onerror=alert(1)>\u{202e}gpj {}", "x".repeat(10_000));
    shop.steps("shop/qa", [Event::Held { reason: (&*evil).into() }]).await;
    let seen = look(&shop, &viewer, QA).await;
    assert!(seen.text.contains("&lt;img src=x onerror=alert(1)&gt;\u{fffd}gpj xxx"), "{}", seen.text);
    assert!(!seen.text.contains("<img") && !seen.text.contains('\u{202e}') && !seen.text.contains(&"x".repeat(700)));
}

#[tokio::test]
async fn a_press_is_recorded_for_whoever_pressed_and_once() {
    let shop = Shop::new();
    let dora = shop.token("dora", Role::Deployer, &[]);
    let page = look(&shop, &dora, QA).await.text;
    let hold = format!("{QA}/hold");
    let (shown, key) = (field(&page, &hold, "shown"), field(&page, &hold, "key"));
    let form = [("shown", &*shown), ("key", &*key), ("csrf", ""), ("reason", "audit")];
    for _ in 0..2 {
        let seen = press(&shop, &dora, &hold, &form).await;
        assert_eq!((seen.status, &*seen.location), (303, "/environments/shop/qa#next"), "{}", seen.text);
    }
    let state = shop.state("shop/qa");
    let held = state.hold().expect("held");
    assert_eq!((&*held.by, &*held.reason, state.seq().0), ("dora", "audit", 1));
}

#[tokio::test]
async fn a_press_with_the_local_token_is_recorded_for_whom_it_names() {
    let shop = Shop::new();
    let form = serde_urlencoded::to_string([("reason", "audit")]).unwrap();
    let request = super::kit::person("POST", &format!("{QA}/hold"));
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.into());
    assert_eq!(send(&shop, request.unwrap()).await.status, 303);
    assert_eq!(&*shop.state("shop/qa").hold().expect("held").by, "local:ann");
}

#[tokio::test]
async fn two_pages_that_show_the_same_are_two_requests_and_so_are_two_forms_of_one() {
    let shop = Shop::new();
    let dora = shop.token("dora", Role::Admin, &[]);
    live_in_qa(&shop, "v1").await;
    let (one, other) = (look(&shop, &dora, QA).await.text, look(&shop, &dora, QA).await.text);
    let key = |page: &str, act: &str| field(page, &format!("{QA}/{act}"), "key");
    let keys = [key(&one, "hold"), key(&one, "pin"), key(&one, "restart"), key(&other, "hold")];
    let different = keys.iter().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(different.len(), keys.len(), "{keys:?}");
}

#[tokio::test]
async fn a_stream_whose_session_has_ended_is_refused_by_its_status_and_a_page_is_led_to_sign_in() {
    let shop = Shop::new();
    for (accept, status) in [("text/html", 303), ("text/html, text/event-stream", 401)] {
        let request = Request::get(format!("{QA}/live")).header(header::ACCEPT, accept).body(Body::empty());
        let seen = send(&shop, request.unwrap()).await;
        assert_eq!(seen.status, status, "{accept}: {}", seen.text);
    }
}

#[tokio::test]
async fn a_refusal_as_a_page_says_as_the_api_does_when_to_ask_again() {
    let shop = Shop::new();
    for _ in 0..40 {
        let request = Request::post(format!("{QA}/hold")).header(header::ACCEPT, "text/html");
        let request = request.header("sec-fetch-site", "same-origin");
        let form = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body("reason=x".into());
        let mut form = form.unwrap();
        form.extensions_mut().insert(Some(Encrypted));
        let response = shop.answer(form).await;
        if response.status() == 429 {
            let has = |name: header::HeaderName| response.headers().contains_key(name);
            return assert!(has(header::RETRY_AFTER) && has(header::CONTENT_SECURITY_POLICY), "{response:?}");
        }
        assert_eq!(response.status(), 303, "{response:?}");
    }
    panic!("whoever sends forms without a session is never slowed down");
}

#[tokio::test]
async fn who_may_not_press_is_told_by_the_button_and_by_the_answer() {
    let shop = Shop::new();
    let viewer = shop.token("vera", Role::Viewer, &[]);
    live_in_qa(&shop, "v1").await;
    let page = look(&shop, &viewer, QA).await.text;
    assert!(page.contains("Not for you: it takes the role deployer on shop/qa."), "{page}");
    let seen = press(&shop, &viewer, &format!("{QA}/hold"), &[("reason", "x")]).await;
    assert_eq!(seen.status, 403);
    assert!(seen.text.contains("Nothing was done") && seen.text.contains("takes the role deployer"), "{}", seen.text);
    assert!(shop.state("shop/qa").hold().is_none());
}

#[tokio::test]
async fn a_press_on_what_is_no_longer_so_shows_what_has_changed_and_does_nothing() {
    let shop = Shop::new();
    let dora = shop.token("dora", Role::Deployer, &[]);
    live_in_qa(&shop, "v1").await;
    live_in_qa(&shop, "v2").await;
    let page = look(&shop, &dora, QA).await.text;
    let back = format!("{QA}/rollback");
    assert!(page.contains("Back to 1&nbsp;(<bdi>v1</bdi>) from 2&nbsp;(<bdi>v2</bdi>)"), "{page}");
    let fields = ["shown", "key", "number", "to"].map(|name| (name, field(&page, &back, name)));
    live_in_qa(&shop, "v3").await;
    let mut form: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
    form.push(("reason", "orders fail"));
    let seen = press(&shop, &dora, &back, &form).await;
    assert_eq!(seen.status, 409);
    for words in ["it has changed meanwhile", "release 2 (v2)", "release 3 (v3)", "orders fail"] {
        assert!(seen.text.contains(words), "{words}: {}", seen.text);
    }
    let state = shop.state("shop/qa");
    assert_eq!(state.live().map(|live| live.number), Some(Number(3)));
    assert!(state.active().is_none() && state.hold().is_none());
}

#[tokio::test]
async fn the_page_and_the_api_tell_the_same() {
    let shop = Shop::new();
    let viewer = shop.token("vera", Role::Viewer, &[]);
    live_in_qa(&shop, "v1").await;
    shop.steps("shop/qa", [Event::Held { reason: "audit".into() }]).await;
    let told = shop.ask(&viewer, "GET", "/v1/environments/shop/qa", "").await.body;
    let page = look(&shop, &viewer, QA).await.text;
    let plain = |text: &str| text.split('`').next().unwrap().split(" since ").next().unwrap().replace('\'', "&#39;");
    for words in ["users", "doing"] {
        let sentence = told["situation"][words].as_str().unwrap();
        assert!(words == "doing" || page.contains(&plain(sentence)), "{sentence}: {page}");
    }
    assert!(page.contains(&plain(told["next"].as_str().unwrap())), "{}", told["next"]);
    let glance = shop.ask(&viewer, "GET", "/v1/overview?show=held", "").await.body;
    let overview = look(&shop, &viewer, "/?show=held").await.text;
    assert_eq!(glance["found"], 1);
    assert!(overview.contains(&format!("Held <b>{}</b>", glance["counts"]["held"])), "{overview}");
    assert_eq!(glance["pipelines"][0]["environments"][0]["light"], told["light"]);
}

#[tokio::test]
async fn a_promotion_shows_what_changes_and_is_held_to_it() {
    let shop = Shop::new();
    let dora = shop.token("dora", Role::Deployer, &[]);
    live_in_qa(&shop, "v1").await;
    let promote = format!("{PROD}/promote");
    let page = look(&shop, &dora, &promote).await.text;
    assert!(
        page.contains("Promote 1&nbsp;(<bdi>v1</bdi>)") && page.contains("From <a href=\"/environments/shop/qa\">")
    );
    let fields = ["shown", "key", "release"].map(|name| (name, field(&page, &promote, name)));
    let form: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
    live_in_qa(&shop, "v2").await;
    let seen = press(&shop, &dora, &promote, &form).await;
    assert_eq!(seen.status, 409);
    assert!(seen.text.contains("release 1 (v1)") && seen.text.contains("release 2 (v2)"), "{}", seen.text);
    let page = look(&shop, &dora, &promote).await.text;
    let fields = ["shown", "key", "release"].map(|name| (name, field(&page, &promote, name)));
    let form: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
    assert_eq!(press(&shop, &dora, &promote, &form).await.location, "/environments/shop/prod#next");
    let state = shop.state("shop/prod");
    assert_eq!(state.queue().first().map(|d| (&*d.asked_by, d.release.number)), Some(("dora", 2)));
}

#[tokio::test]
async fn the_history_is_filtered_by_place_person_and_words() {
    let shop = Shop::new();
    let viewer = shop.token("vera", Role::Viewer, &[]);
    live_in_qa(&shop, "v1").await;
    shop.post("/v1/environments/shop/prod/hold", r#"{"reason":"audit"}"#).await;
    let all = look(&shop, &viewer, "/history").await.text;
    assert!(all.contains("href=\"/releases/shop/1\"") && all.contains("audit"), "{all}");
    let some = look(&shop, &viewer, "/history?environment=shop/prod&who=ann&what=aud").await.text;
    assert!(!some.contains("/releases/shop/1") && some.contains("audit"), "{some}");
    let number = shop.state("shop/qa").last_number();
    let one = look(&shop, &viewer, &format!("/deployments/shop/qa/{number}")).await.text;
    assert!(one.contains("Provision") && one.contains("went live"), "{one}");
    assert_eq!(look(&shop, &viewer, "/deployments/shop/qa/99").await.status, 404);
}

#[tokio::test]
async fn the_page_of_logs_says_why_it_has_none_and_is_for_who_may_read_them() {
    let shop = Shop::new();
    let (dora, vera) = (shop.token("dora", Role::Deployer, &[]), shop.token("vera", Role::Viewer, &[]));
    let path = format!("{QA}/logs");
    assert_eq!(look(&shop, &vera, &path).await.status, 403);
    let nothing = look(&shop, &dora, &path).await;
    assert_eq!(nothing.status, 200);
    assert!(nothing.text.contains("nothing is live in shop/qa"), "{}", nothing.text);
    assert!(!nothing.text.contains("hx-sse:connect"), "what cannot be followed is not followed");
}
