//! What the door promises beyond letting the right people in: where a request counts as one of this host, which sessions end, and how
//! many may try at once.

use axum::body::Body;
use http::StatusCode;

use super::{
    browser::{Browser, PASSWORD, form, user},
    kit::Shop,
};

#[tokio::test]
async fn a_proxy_that_nobody_declared_does_not_make_everybody_a_browser_of_this_host() {
    let shop = Shop::new();
    user(&shop, "ann", &["admin"]);
    let browser = Browser::of(&shop);
    browser.sign_in("ann", PASSWORD).await;
    for name in ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"] {
        let request = browser.request("GET", "/v1/environments").header(name, "for=192.0.2.1");
        assert_eq!(browser.send(request.body(Body::empty()).unwrap()).await.status, 401, "{name}");
        let request = browser.request("GET", "/sign-in").header(name, "for=192.0.2.1");
        let told = browser.send(request.body(Body::empty()).unwrap()).await;
        assert!(told.status == 421 && told.text.contains("came through a proxy"), "{name}: {}", told.text);
        for named in ["https://deploy.example", "`server.public`", "http://localhost"] {
            assert!(told.text.replace("&#96;", "`").contains(named), "{named}: {}", told.text);
        }
    }
    assert!(browser.is_in().await);
}

#[tokio::test]
async fn a_session_that_a_sign_in_takes_the_place_of_has_ended() {
    let shop = Shop::new();
    user(&shop, "ann", &["viewer"]);
    user(&shop, "bob", &["viewer"]);
    let browser = Browser::of(&shop);
    browser.sign_in("ann", PASSWORD).await;
    let kept = browser.cookies.lock().unwrap().clone();
    browser.sign_in("bob", PASSWORD).await;
    let by: Vec<_> = shop.app.access.sessions().list(shop.app.clock.host()).iter().map(|s| s.holder.by()).collect();
    assert_eq!(by.iter().map(|by| &**by).collect::<Vec<_>>(), ["bob"]);
    let copy = Browser::of(&shop);
    *copy.cookies.lock().unwrap() = kept;
    assert!(browser.is_in().await && !copy.is_in().await);
}

#[tokio::test]
async fn signing_out_of_a_session_that_has_ended_is_signing_out() {
    let shop = Shop::new();
    user(&shop, "ann", &["viewer"]);
    let browser = Browser::of(&shop);
    browser.sign_in("ann", PASSWORD).await;
    let csrf = browser.csrf();
    shop.app.access.sessions().end(|_| true).unwrap();
    let cross = form(browser.request("POST", "/sign-out").header("sec-fetch-site", "cross-site"), &[("csrf", &csrf)]);
    assert!(browser.send(cross).await.status == 403 && browser.cookies.lock().unwrap().len() == 1);
    let told = browser.post("/sign-out", &[("csrf", &csrf)]).await;
    assert_eq!((told.status, told.location()), (StatusCode::SEE_OTHER, "/sign-in"));
    assert!(browser.cookies.lock().unwrap().is_empty(), "the browser forgets it");
}

#[tokio::test]
async fn what_is_noted_of_a_sign_out_has_happened() {
    let shop = Shop::new();
    user(&shop, "ann", &["viewer"]);
    let browser = Browser::of(&shop);
    browser.sign_in("ann", PASSWORD).await;
    let file = shop.folder().join("sessions.json");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir_all(file.join("in the way")).unwrap();
    let told = browser.post("/sign-out", &[("csrf", &browser.csrf())]).await;
    assert!(told.status == 507 && told.text.contains("The session goes on"), "{}", told.text);
    assert!(browser.is_in().await);
    std::fs::remove_dir_all(&file).unwrap();
    browser.post("/sign-out", &[("csrf", &browser.csrf())]).await;
    let acts = || crate::access::audit::last(shop.folder(), 9).unwrap();
    let outs = acts().iter().filter(|line| line.contains("signed-out")).count();
    assert_eq!(outs, 1, "{:?}", acts());
}

#[tokio::test]
async fn a_form_of_somebody_unknown_is_small() {
    let shop = Shop::new();
    let browser = Browser::of(&shop);
    for path in ["/sign-in", "/welcome"] {
        let told = browser.post(path, &[("user", "ann"), ("password", &"x".repeat(8 << 10))]).await;
        assert!(told.status == 413 && told.text.contains("8192 bytes"), "{path}: {}", told.text);
    }
}

/// Whoever comes while others are being tried is counted by what became of those.
#[tokio::test(flavor = "multi_thread")]
async fn many_guesses_at_once_are_no_more_than_one_after_the_other() {
    let shop = Shop::new();
    user(&shop, "ann", &["viewer"]);
    let mut bot = Browser::of(&shop);
    (bot.host, bot.peer) = ("deploy.example", "10.0.0.1".parse().unwrap());
    let guess = |nth: u32| {
        let request = bot.request("POST", "/sign-in").header("sec-fetch-site", "same-origin");
        let request = request.header("x-forwarded-for", format!("192.0.2.{nth}"));
        bot.send(form(request, &[("user", "ann"), ("password", "a guess")]))
    };
    let told = futures_util::future::join_all((0..60).map(guess)).await;
    let of = |status: u16| told.iter().filter(|page| page.status == status).count();
    // The burst is ten, and two are tried at the same time.
    assert!((10..=11).contains(&of(401)), "{} were tried", of(401));
    assert_eq!(of(401) + of(429) + of(503), 60);
    assert!(of(503) >= 60 - 32, "no more than so many wait: {}", of(503));
    for page in told.iter().filter(|page| page.status != 401) {
        let again: u64 = page.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&again), "{again}");
    }
    assert_eq!(shop.app.door.waiting(), 0, "everybody is done");
}

#[tokio::test]
async fn what_was_typed_for_a_name_is_in_no_file() {
    let shop = Shop::new();
    user(&shop, "ann", &["viewer"]);
    let browser = Browser::of(&shop);
    browser.sign_in("my-secret-password", "ann").await;
    browser.sign_in("my-secret-password", "ann").await;
    browser.sign_in("ann", "wrong").await;
    shop.app.door.write_failed(&shop.app);
    let text = std::fs::read_to_string(shop.folder().join("audit/failed-sign-ins.jsonl")).unwrap();
    assert!(!text.contains("my-secret") && text.contains("\"account\":\"ann\""), "{text}");
    assert!(text.contains("\"account\":\"no user, ") && text.contains("\"failed\":2"), "{text}");
}
