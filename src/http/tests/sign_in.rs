//! Signing in and out, as browsers meet it; and all that must not come in.

use std::time::Duration;

use axum::body::Body;
use http::StatusCode;

use super::{
    browser::{Browser, PASSWORD, form, user},
    kit::Shop,
};
use crate::{
    access::{kept, links::Purpose, users::User},
    clock::Clock,
};

const HOLD: &str = "/v1/environments/shop/qa/hold";

#[tokio::test]
async fn a_person_signs_in_acts_under_their_name_and_signs_out() {
    let shop = Shop::new();
    user(&shop, "ann", &["deployer=shop"]);
    let browser = Browser::of(&shop);
    assert!(!browser.is_in().await);
    let page = browser.get("/sign-in?then=/somewhere").await;
    assert!(page.status == 200 && page.text.contains("<h1>Sign in</h1>") && page.hidden("then") == "/somewhere");
    let told = browser.sign_in("ann", PASSWORD).await;
    assert_eq!((told.status, told.location()), (StatusCode::SEE_OTHER, "/"));
    assert!(browser.cookies.lock().unwrap()[0].0 == "pointsman-7070" && browser.is_in().await);
    assert_eq!(browser.get("/sign-in?then=/somewhere").await.location(), "/somewhere", "who is in is led on");

    let csrf = browser.csrf();
    let held = browser.request("POST", HOLD).header("sec-fetch-site", "same-origin").header("x-csrf-token", &csrf);
    assert_eq!(browser.send(held.body(Body::empty()).unwrap()).await.status, 200);
    assert_eq!(&*shop.state("shop/qa").hold().unwrap().by, "ann");
    let veto = browser.request("POST", "/v1/environments/shop/qa/veto").header("sec-fetch-site", "same-origin");
    let veto = browser.send(veto.header("x-csrf-token", &csrf).body(Body::empty()).unwrap()).await;
    assert!(veto.status == 403 && veto.text.contains("`ann` is deployer"), "{}", veto.text);

    let out = browser.post("/sign-out", &[("csrf", &csrf)]).await;
    assert_eq!((out.status, out.location()), (StatusCode::SEE_OTHER, "/sign-in"));
    assert!(browser.cookies.lock().unwrap().is_empty() && !browser.is_in().await);
}

#[tokio::test]
async fn a_wrong_password_and_a_user_who_is_not_there_are_told_alike() {
    let shop = Shop::new();
    user(&shop, "ann", &["viewer"]);
    let browser = Browser::of(&shop);
    let (wrong, nobody) = (browser.sign_in("ann", "something else").await, browser.sign_in("eve", PASSWORD).await);
    for told in [&wrong, &nobody] {
        assert!(told.status == 401 && told.text.contains("User or password is wrong"), "{}", told.text);
        assert!(!told.text.contains("something else") && !told.text.contains(PASSWORD));
    }
    assert_eq!(wrong.text.replace("ann", "eve"), nobody.text);
    let markup = browser.sign_in("<b>\"x\"</b>", "y").await;
    assert!(!markup.text.contains("<b>"), "{}", markup.text);
}

#[tokio::test]
async fn a_session_is_ended_everywhere_by_its_holder_and_by_every_change() {
    let shop = Shop::new();
    user(&shop, "ann", &["viewer"]);
    user(&shop, "bob", &["viewer"]);
    let (desk, phone, other) = (Browser::of(&shop), Browser::of(&shop), Browser::of(&shop));
    for browser in [&desk, &phone] {
        browser.sign_in("ann", PASSWORD).await;
    }
    other.sign_in("bob", PASSWORD).await;
    desk.post("/sign-out-everywhere", &[("csrf", &desk.csrf())]).await;
    assert!(!desk.is_in().await && !phone.is_in().await && other.is_in().await);
    kept::change(shop.folder(), "bob", |user: &mut User| user.grants = ["admin".parse().unwrap()].into()).unwrap();
    assert!(!other.is_in().await);
}

#[tokio::test]
async fn a_form_of_another_site_or_of_another_session_does_nothing() {
    let shop = Shop::new();
    user(&shop, "ann", &["admin"]);
    let (browser, second) = (Browser::of(&shop), Browser::of(&shop));
    browser.sign_in("ann", PASSWORD).await;
    second.sign_in("ann", PASSWORD).await;
    let right = browser.csrf();
    let tries: [(&[(&str, &str)], &str); 8] = [
        (&[("sec-fetch-site", "cross-site")], &right),
        (&[("sec-fetch-site", "same-site")], &right),
        (&[("sec-fetch-site", "none")], &right),
        (&[("origin", "https://evil.example")], &right),
        (&[("origin", "null")], &right),
        (&[], &right),
        (&[("sec-fetch-site", "same-origin")], ""),
        (&[("sec-fetch-site", "same-origin")], &second.csrf()),
    ];
    for (headers, csrf) in tries {
        let mut request = browser.request("POST", HOLD);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let told = browser.send(form(request, &[("csrf", csrf)])).await;
        assert!(told.status == 403 && told.text.contains("Nothing was done"), "{headers:?}: {}", told.status);
    }
    assert!(shop.state("shop/qa").hold().is_none());
    for (site, origin) in [("same-origin", "http://127.0.0.1:7071"), ("cross-site", "http://127.0.0.1:7070")] {
        let request = browser.request("POST", HOLD).header("sec-fetch-site", site).header("origin", origin);
        let told = browser.send(form(request, &[("csrf", &right)])).await;
        assert_eq!(told.status, 403, "both must be right: {site} {origin}");
    }
    let own = browser.request("POST", HOLD).header("origin", "http://127.0.0.1:7070").header("x-csrf-token", &right);
    assert_eq!(
        browser.send(own.body(Body::empty()).unwrap()).await.status,
        200,
        "an older browser says its origin only"
    );
    let stranger = Browser::of(&shop);
    let request = form(stranger.request("POST", "/sign-in").header("sec-fetch-site", "cross-site"), &[]);
    assert_eq!(stranger.send(request).await.status, 403, "nobody is signed in by another site");
}

#[tokio::test]
async fn a_request_with_a_token_and_a_session_is_that_of_the_token() {
    let shop = Shop::new();
    user(&shop, "ann", &["admin"]);
    let browser = Browser::of(&shop);
    browser.sign_in("ann", PASSWORD).await;
    let token = shop.token("dora", crate::access::Role::Deployer, &[]);
    let request = browser.request("POST", HOLD).header("authorization", format!("Bearer {token}"));
    assert_eq!(browser.send(request.body(Body::empty()).unwrap()).await.status, 200);
    assert_eq!(&*shop.state("shop/qa").hold().unwrap().by, "dora");
    let request = browser.request("GET", "/v1/environments").header("authorization", "Bearer wrong");
    assert_eq!(browser.send(request.body(Body::empty()).unwrap()).await.status, 401);
}

#[tokio::test]
async fn pages_and_sessions_are_not_for_plain_http_beyond_this_host() {
    let shop = Shop::new();
    user(&shop, "ann", &["admin"]);
    let mut browser = Browser::of(&shop);
    browser.sign_in("ann", PASSWORD).await;
    for (peer, host) in
        [("192.0.2.1", "127.0.0.1:7070"), ("127.0.0.1", "evil.example:7070"), ("127.0.0.1", "127.0.0.1:80")]
    {
        (browser.peer, browser.host) = (peer.parse().unwrap(), host);
        for path in [
            "/sign-in",
            "/sign-in/oidc",
            "/sign-in/oidc/back",
            "/sign-in/oidc/out",
            "/again",
            "/enter?code=x",
            "/welcome?code=x",
        ] {
            let told = browser.get(path).await;
            assert!(told.status == 421 && told.text.contains("plain HTTP"), "{peer} {host} {path}: {}", told.status);
        }
        assert!(!browser.is_in().await, "a session counts for nothing there");
        let request =
            browser.request("GET", "/v1/environments").header("authorization", format!("Bearer {}", super::kit::TOKEN));
        assert_eq!(browser.send(request.body(Body::empty()).unwrap()).await.status, 200, "the API is as it was");
    }
    (browser.peer, browser.host) = ("127.0.0.1".parse().unwrap(), "localhost:7070");
    assert!(browser.is_in().await);
}

#[tokio::test]
async fn behind_a_declared_proxy_the_cookie_is_for_tls_only() {
    let shop = Shop::new();
    user(&shop, "ann", &["admin"]);
    let mut browser = Browser::of(&shop);
    // The kit's proxy, and its public name.
    (browser.peer, browser.host) = ("10.0.0.1".parse().unwrap(), "deploy.example");
    let told = browser.sign_in("ann", PASSWORD).await;
    let cookie = told.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-pointsman=") && cookie.ends_with("; Secure"), "{cookie}");
    assert!(browser.is_in().await);
    let plain = browser.request("GET", "/v1/environments").header("x-forwarded-proto", "http");
    assert_eq!(browser.send(plain.body(Body::empty()).unwrap()).await.status, 401);
    for (peer, host) in [("192.0.2.1", "deploy.example"), ("10.0.0.1", "evil.example")] {
        (browser.peer, browser.host) = (peer.parse().unwrap(), host);
        assert!(!browser.is_in().await, "{peer} {host}");
        assert_eq!(browser.get("/sign-in").await.status, 421, "{peer} {host}");
    }
}

#[tokio::test]
async fn what_was_pressed_without_a_session_is_shown_after_the_sign_in_and_never_done_unasked() {
    let shop = Shop::new();
    user(&shop, "ann", &["admin"]);
    let browser = Browser::of(&shop);
    let fields = [("csrf", "of before"), ("reason", "<b>it</b> burns"), ("password", "hidden")];
    let told = browser.post("/environments/shop/qa/hold", &fields).await;
    let press = told.location().strip_prefix("/sign-in?press=").expect("to the sign-in").to_owned();
    let page = browser.get(told.location()).await;
    assert!(page.text.contains("nothing was done yet") && page.hidden("press") == press, "{}", page.text);
    let fields = [("user", "ann"), ("password", PASSWORD), ("then", ""), ("press", &press)];
    let told = browser.post("/sign-in", &fields).await;
    assert_eq!(told.location(), format!("/again?press={press}"));
    let page = browser.get(told.location()).await;
    assert!(
        page.text.contains("action=\"/environments/shop/qa/hold\"") && page.text.contains("Nothing was done yet"),
        "{}",
        page.text
    );
    assert!(
        !page.text.contains("<b>")
            && !page.text.contains("hidden\" value=\"hidden")
            && !page.text.contains("of before")
    );
    assert!(browser.is_in().await);
    assert!(shop.state("shop/qa").hold().is_none(), "not unasked");
    let fields = [("csrf", page.hidden("csrf")), ("reason", page.hidden("reason"))];
    let again = browser.post("/environments/shop/qa/hold", &fields).await;
    assert_eq!((again.status, &*shop.state("shop/qa").hold().unwrap().by), (StatusCode::SEE_OTHER, "ann"));
    browser.post("/sign-out", &[("csrf", &browser.csrf())]).await;

    // Another browser is not led to confirm what it did not press, and nothing is kept for ever.
    let other = Browser::of(&shop);
    other.sign_in("ann", PASSWORD).await;
    assert_eq!(other.get(&format!("/again?press={press}")).await.status, 404);
    browser.sign_in("ann", PASSWORD).await;
    assert_eq!(browser.get(&format!("/again?press={press}")).await.status, 200);
    shop.app.clock.let_pass(Duration::from_secs(600));
    assert_eq!(browser.get(&format!("/again?press={press}")).await.status, 404);
}

#[tokio::test]
async fn who_is_led_here_signs_in_first_and_is_led_to_pages_of_ours_only() {
    let shop = Shop::new();
    user(&shop, "ann", &["viewer"]);
    let browser = Browser::of(&shop);
    assert_eq!(browser.get("/again?press=1&x=%3C").await.location(), "/sign-in?then=%2Fagain%3Fpress%3D1%26x%3D%253C");
    let cross = browser.request("GET", "/again?press=1").header("sec-fetch-site", "cross-site").body(Body::empty());
    let cross = browser.send(cross.unwrap()).await;
    // The browser keeps the cookie back on a link of another site: it is led once more by ourselves.
    assert_eq!((cross.status, cross.headers["refresh"].to_str().unwrap()), (StatusCode::OK, "0; url=/again?press=1"));
    for bad in
        ["https://evil.example/", "//evil.example", "/\t/evil.example", "/%2Fevil.example", "/a\r\nset-cookie: x=y"]
    {
        let told = browser.post("/sign-in", &[("user", "ann"), ("password", PASSWORD), ("then", bad)]).await;
        assert_eq!(told.location(), "/", "{bad}");
    }
    let scripts = browser.request("GET", "/again").header("accept", "application/json");
    let scripts = Browser::of(&shop).send(scripts.body(Body::empty()).unwrap()).await;
    assert_ne!(scripts.status, 500);
}

#[tokio::test]
async fn guessing_is_slowed_by_account_and_keeps_nobody_out_who_is_in() {
    // Each guess costs a hash, which takes as long as the host is busy: a guess is earned back in 10 s.
    let shop = Shop::at(Clock::still());
    user(&shop, "ann", &["viewer"]);
    let home = Browser::of(&shop);
    home.sign_in("ann", PASSWORD).await;
    let mut bot = Browser::of(&shop);
    (bot.host, bot.peer) = ("deploy.example", "10.0.0.1".parse().unwrap());
    let at = |nth: u32| format!("192.0.2.{nth}");
    let fields = |password| [("user", "ann"), ("password", password)];
    for nth in 0..10 {
        let request = bot.request("POST", "/sign-in").header("sec-fetch-site", "same-origin");
        let told = bot.send(form(request.header("x-forwarded-for", at(nth)), &fields("a guess"))).await;
        assert_eq!(told.status, 401, "guess {nth}");
    }
    let request = bot.request("POST", "/sign-in").header("sec-fetch-site", "same-origin");
    let told = bot.send(form(request.header("x-forwarded-for", at(99)), &fields(PASSWORD))).await;
    assert!(told.status == 429 && told.text.contains("Too many sign-ins failed"), "{}", told.text);
    assert_eq!(home.sign_in("ann", PASSWORD).await.status, 303, "from where ann is known");
    shop.app.clock.let_pass(Duration::from_secs(10));
    let request = bot.request("POST", "/sign-in").header("sec-fetch-site", "same-origin");
    assert_eq!(bot.send(form(request.header("x-forwarded-for", at(99)), &fields(PASSWORD))).await.status, 303);
}

#[tokio::test]
async fn the_first_user_is_added_once_by_a_link_that_is_good_once() {
    let shop = Shop::new();
    let (browser, access) = (Browser::of(&shop), &shop.app.access);
    let link = |purpose| access.link(&purpose, shop.app.clock.host()).unwrap();
    let early = link(Purpose::Welcome);
    assert_eq!(browser.get(&format!("/welcome?code={early}")).await.status, 401, "nothing is taken yet");
    access.take_links(shop.app.clock.host());
    let code = link(Purpose::Welcome);
    for _ in 0..2 {
        let page = browser.get(&format!("/welcome?code={code}")).await;
        assert!(page.status == 200 && page.hidden("code") == code, "{}", page.text);
    }
    let add = |user: &'static str, password: &'static str, code: String| {
        let browser = &browser;
        async move { browser.post("/welcome", &[("code", &code), ("user", user), ("password", password)]).await }
    };
    for (user, password, why) in [("Ann Lee", PASSWORD, "is not a name"), ("ann", "short", "needs 12")] {
        let told = add(user, password, code.clone()).await;
        assert!(told.status == 400 && told.text.contains(why), "{}", told.text);
    }
    let second = link(Purpose::Welcome);
    assert_eq!(add("ann", PASSWORD, code.clone()).await.location(), "/");
    assert!(browser.is_in().await);
    assert_eq!(add("eve", PASSWORD, code).await.status, 401, "it was used");
    let told = add("eve", PASSWORD, second).await;
    assert!(told.status == 409 && told.text.contains("there is a user already"), "{}", told.text);
    assert_eq!(kept::read::<User>(shop.folder()).unwrap().len(), 1);
}

#[tokio::test]
async fn the_holder_of_the_local_token_comes_in_by_a_link() {
    let shop = Shop::new();
    let access = &shop.app.access;
    access.take_links(shop.app.clock.host());
    let link = || access.link(&Purpose::Enter("ann".into()), shop.app.clock.host()).unwrap();
    let (browser, code) = (Browser::of(&shop), link());
    let look = browser.request("HEAD", &format!("/enter?code={code}")).body(Body::empty()).unwrap();
    browser.send(look).await;
    assert!(!browser.is_in().await, "a look signs nobody in");
    let fresh = Browser::of(&shop);
    assert_eq!(fresh.get(&format!("/enter?code={code}")).await.location(), "/", "a look did not use it up");
    assert!(fresh.is_in().await);
    let csrf = fresh.csrf();
    let held = fresh.request("POST", HOLD).header("sec-fetch-site", "same-origin").header("x-csrf-token", &csrf);
    fresh.send(held.body(Body::empty()).unwrap()).await;
    assert_eq!(&*shop.state("shop/qa").hold().unwrap().by, "local:ann");
    let stranger = Browser::of(&shop);
    assert_eq!(stranger.get(&format!("/enter?code={code}")).await.status, 401, "it was used");
    let late = link();
    shop.app.clock.let_pass(Duration::from_secs(600));
    assert_eq!(stranger.get(&format!("/enter?code={late}")).await.status, 401, "it is too old");
    let forged = link().replace("616e6e", "657665");
    assert_eq!(stranger.get(&format!("/enter?code={forged}")).await.status, 401);
    assert!(!stranger.is_in().await);
}

#[tokio::test]
async fn who_may_not_press_is_told_who_may_by_name_and_a_token_is_not() {
    let shop = Shop::new();
    user(&shop, "vera", &["viewer"]);
    user(&shop, "dora", &["deployer=shop/qa"]);
    user(&shop, "ada", &["admin"]);
    user(&shop, "otto", &["admin=other"]);
    let browser = Browser::of(&shop);
    browser.sign_in("vera", PASSWORD).await;
    let page = browser.get("/environments/shop/qa").await.text;
    assert!(page.contains("it takes the role deployer on shop/qa. Who can: ada (admin) or dora (deployer)."), "{page}");
    assert!(
        page.contains("it takes the role admin on shop/qa. Who can: ada (admin).") || !page.contains("role admin"),
        "{page}"
    );
    assert!(!page.contains("otto"), "{page}");
    let token = shop.token("robot", crate::access::Role::Viewer, &[]);
    let mut request = super::kit::bearer(&token, "GET", "/environments/shop/qa").body(Body::empty()).unwrap();
    request.extensions_mut().insert(Some(crate::http::transport::Encrypted));
    let text = axum::body::to_bytes(shop.answer(request).await.into_body(), 1 << 20).await.unwrap();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("it takes the role deployer on shop/qa.") && !text.contains("dora"), "{text}");
}
