//! Tokens, people and sessions, by the API and by their pages: who may, what is shown once, what ends, and what the record has.

use std::time::Duration;

use axum::body::Body;
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    browser::{Browser, PASSWORD, form, user},
    kit::{Shop, Told, bearer, person},
};
use crate::{
    access::{Role, audit, file::Token, kept, used},
    machine::Millis,
};

async fn ask(browser: &Browser<'_>, path: &str, body: &Value) -> super::browser::Page {
    let request = browser.request("POST", path).header("sec-fetch-site", "same-origin");
    let request = request.header("x-csrf-token", browser.csrf()).body(Body::from(body.to_string()));
    browser.send(request.unwrap()).await
}

async fn signed_in<'s>(shop: &'s Shop, name: &str) -> Browser<'s> {
    let browser = Browser::of(shop);
    browser.sign_in(name, PASSWORD).await;
    browser
}

/// What the record has: an answer comes once it is in there.
fn acts(shop: &Shop) -> Vec<Value> {
    audit::last(shop.folder(), 50).unwrap().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_token_is_made_by_a_person_shown_once_listed_used_and_revoked() {
    let shop = Shop::new();
    user(&shop, "ann", &["admin"]);
    let ann = signed_in(&shop, "ann").await;
    let body = json!({ "name": "jenkins", "role": "deployer", "only": ["shop/qa"], "expires": "90d" });
    let made = ask(&ann, "/v1/tokens", &body).await;
    assert_eq!((made.status, &made.headers["cache-control"]), (StatusCode::CREATED, &"no-store".parse().unwrap()));
    let text = serde_json::from_str::<Value>(&made.text).unwrap()["token"].as_str().unwrap().to_owned();
    assert!(text.starts_with("pm_"));
    assert_eq!(shop.ask(&text, "POST", "/v1/environments/shop/qa/hold", "").await.status, 200);
    assert_eq!(shop.ask(&text, "POST", "/v1/environments/shop/prod/hold", "").await.status, 403);

    let listed = shop.get("/v1/tokens").await.body["tokens"][0].clone();
    assert_eq!(
        (&listed["name"], &listed["role"], &listed["only"]),
        (&json!("jenkins"), &json!("deployer"), &json!(["shop/qa"]))
    );
    assert_eq!((&listed["made_by"], &listed["expired"]), (&json!("ann"), &json!(false)));
    assert!(listed["used"].is_string() && listed["expires"].is_string() && !listed.to_string().contains(&text));
    assert_eq!(ask(&ann, "/v1/tokens", &body).await.status, 409, "the name is taken");

    assert_eq!(ask(&ann, "/v1/tokens/revoke", &json!({ "name": "jenkins" })).await.status, 200);
    assert_eq!(shop.ask(&text, "GET", "/v1/environments", "").await.status, 401);
    assert_eq!(ask(&ann, "/v1/tokens/revoke", &json!({ "name": "jenkins" })).await.status, 404);
    let acts = acts(&shop);
    let done: Vec<_> = acts.iter().filter(|act| act["act"] != "signed-in").collect();
    assert_eq!(done.len(), 2, "{acts:?}");
    assert_eq!(
        (&done[0]["act"], &done[0]["by"], &done[0]["to"]),
        (&json!("token-revoked"), &json!("ann"), &json!("jenkins"))
    );
    assert!(done[1]["to"].as_str().unwrap().starts_with("jenkins: deployer of shop/qa, until 2"), "{}", done[1]);
    assert!(!std::fs::read_to_string(shop.folder().join("tokens.toml")).unwrap().contains(&text));
}

#[tokio::test]
async fn a_token_makes_no_token_and_what_is_wrong_with_a_wish_is_said() {
    let shop = Shop::new();
    let root = shop.token("root", Role::Admin, &[]);
    let told = shop.ask(&root, "POST", "/v1/tokens", r#"{"name":"more","role":"admin"}"#).await;
    told.refused(StatusCode::FORBIDDEN, "the token `root` makes no other token");
    for (body, why) in [
        (r#"{"role":"viewer"}"#, "name"),
        (r#"{"name":"Big","role":"viewer"}"#, "is not a name"),
        (r#"{"name":"a","role":"root"}"#, "a role is viewer"),
        (r#"{"name":"a","role":"viewer","only":["*"]}"#, "is no name"),
        (r#"{"name":"a","role":"viewer","expires":"soon"}"#, "invalid duration"),
        (r#"{"name":"a","role":"viewer","expires":"0s"}"#, "longer than zero"),
        (r#"{"name":"a","role":"viewer","colour":1}"#, "colour"),
    ] {
        shop.post("/v1/tokens", body).await.refused(StatusCode::BAD_REQUEST, why);
    }
    assert_eq!(kept::read::<Token>(shop.folder()).unwrap().len(), 1);
    assert_eq!(
        shop.post("/v1/tokens", r#"{"name":"more","role":"viewer"}"#).await.status,
        201,
        "the holder of the host"
    );
}

#[tokio::test]
async fn who_looks_after_one_environment_does_not_look_after_the_doors() {
    let shop = Shop::new();
    let qa = shop.token("quinn", Role::Admin, &["shop/qa"]);
    for (method, path) in [
        ("GET", "/v1/tokens"),
        ("POST", "/v1/tokens"),
        ("POST", "/v1/tokens/revoke"),
        ("GET", "/v1/people"),
        ("POST", "/v1/people/sign-out"),
        ("POST", "/v1/people/add"),
        ("POST", "/v1/people/grant"),
        ("POST", "/v1/people/password"),
        ("POST", "/v1/people/remove"),
        ("GET", "/v1/audit"),
    ] {
        shop.ask(&qa, method, path, "").await.refused(StatusCode::FORBIDDEN, "not for everything");
    }
    assert_eq!(
        shop.ask(&qa, "GET", "/v1/me", "").await.body["grants"],
        json!([{ "role": "admin", "only": ["shop/qa"] }])
    );
}

#[tokio::test]
async fn the_last_use_of_a_token_costs_no_write_each_time_and_outlives_the_controller() {
    let shop = Shop::new();
    let token = shop.token("jenkins", Role::Viewer, &[]);
    let used = async || shop.get("/v1/tokens").await.body["tokens"][0]["used"].clone();
    assert_eq!(used().await, Value::Null);
    for _ in 0..3 {
        shop.ask(&token, "GET", "/v1/environments", "").await;
    }
    let first = used().await;
    assert!(first.is_string());
    let file = shop.folder().join(used::FILE);
    assert!(!file.exists(), "a request writes nothing");
    shop.app.access.write_uses(shop.app.clock.host());
    assert_eq!(used::read(shop.folder()).unwrap().len(), 1);
    std::fs::remove_file(&file).unwrap();
    shop.ask(&token, "GET", "/v1/environments", "").await;
    shop.app.access.write_uses(shop.app.clock.host());
    assert!(!file.exists(), "nor does another one of the same minute");
    shop.app.clock.let_pass(Duration::from_secs(61));
    shop.ask(&token, "GET", "/v1/environments", "").await;
    assert_ne!(used().await, first);
}

#[tokio::test]
async fn an_admin_sees_who_is_signed_in_and_ends_it_and_everybody_ends_their_own() {
    let shop = Shop::new();
    user(&shop, "ann", &["admin"]);
    user(&shop, "bob", &["deployer=shop/qa", "approver=shop/prod"]);
    let (ann, desk, phone) =
        (signed_in(&shop, "ann").await, signed_in(&shop, "bob").await, signed_in(&shop, "bob").await);
    let people = shop.get("/v1/people").await.body["people"].clone();
    let names: Vec<_> =
        people.as_array().unwrap().iter().map(|p| (&p["name"], p["sessions"].as_array().unwrap().len())).collect();
    assert_eq!(names, [(&json!("ann"), 1), (&json!("bob"), 2)]);
    assert_eq!(people[1]["grants"][1], json!({ "role": "approver", "only": ["shop/prod"] }));
    assert_eq!(people[1]["sessions"][0]["from"], "127.0.0.1");

    let mine: Value = serde_json::from_str(&desk.get("/v1/me").await.text).unwrap();
    let sessions = mine["sessions"].as_array().unwrap();
    assert_eq!(sessions.iter().filter(|session| session["this"] == true).count(), 1);
    let other = sessions.iter().find(|session| session["this"] == false).unwrap()["id"].clone();
    assert_eq!(ask(&ann, "/v1/me/sessions/end", &json!({ "id": other })).await.status, 404, "it is bob's");
    assert_eq!(ask(&desk, "/v1/me/sessions/end", &json!({ "id": other })).await.status, 200);
    assert!(desk.is_in().await && !phone.is_in().await);

    assert_eq!(ask(&desk, "/v1/people/sign-out", &json!({ "name": "ann" })).await.status, 403);
    assert_eq!(ask(&ann, "/v1/people/sign-out", &json!({ "name": "eve" })).await.status, 404);
    let told = ask(&ann, "/v1/people/sign-out", &json!({ "name": "bob" })).await;
    assert!(told.status == 200 && told.text.contains("1 session of `bob` ended"), "{}", told.text);
    assert!(!desk.is_in().await && ann.is_in().await);
    let acts = acts(&shop);
    let out = acts.iter().find(|act| act["act"] == "signed-out-everywhere").expect("it is noted");
    assert_eq!((&out["by"], &out["to"]), (&json!("ann"), &json!("bob")));
}

#[tokio::test]
async fn the_sessions_of_somebody_are_ended_though_the_users_cannot_be_read() {
    let shop = Shop::new();
    let access = &shop.app.access;
    let holder = access.local_holder("ann");
    access.sessions().begin(holder, "192.0.2.1", shop.app.clock.host()).unwrap();
    std::fs::write(shop.folder().join("users.toml"), "torn [").unwrap();
    let ended = person("POST", "/v1/people/sign-out").body(Body::from(r#"{"name":"local:ann"}"#)).unwrap();
    assert_eq!(shop.send(ended).await.status, 200);
    assert!(access.sessions().list(shop.app.clock.host()).is_empty());
    assert_eq!(acts(&shop)[0]["act"], "signed-out-everywhere");
}

#[tokio::test]
async fn a_session_that_ended_with_its_user_is_not_shown() {
    let shop = Shop::new();
    user(&shop, "bob", &["viewer"]);
    signed_in(&shop, "bob").await;
    assert_eq!(shop.get("/v1/people").await.body["people"][0]["sessions"].as_array().unwrap().len(), 1);
    kept::remove::<crate::access::users::User>(shop.folder(), "bob").unwrap();
    assert_eq!(shop.get("/v1/people").await.body["people"], json!([]));
}

#[tokio::test]
async fn the_pages_of_the_doors_are_for_admins_and_press_what_the_api_does() {
    let shop = Shop::new();
    user(&shop, "ann", &["admin"]);
    user(&shop, "bob", &["viewer"]);
    let (ann, bob) = (signed_in(&shop, "ann").await, signed_in(&shop, "bob").await);
    for path in ["/people", "/tokens"] {
        let (hers, his) = (ann.get(path).await, bob.get(path).await);
        assert!(hers.status == 200 && hers.text.contains("href=\"/tokens\""), "{path}: {}", hers.text);
        assert!(his.status == 403 && his.text.contains("takes the role admin"), "{path}: {}", his.text);
    }
    let overview = bob.get("/").await.text;
    assert!(!overview.contains("href=\"/people\"") && overview.contains("href=\"/me\""));
    assert!(bob.get("/me").await.text.contains("this one"));

    let csrf = ann.csrf();
    let fields = [
        ("csrf", &*csrf),
        ("name", "jenkins"),
        ("role", "deployer"),
        ("only", "shop/qa, shop/prod"),
        ("expires", "30d"),
    ];
    let made = ann.post("/tokens", &fields).await;
    assert!(made.status == 200 && made.text.contains("Token <code>jenkins</code> was made"), "{}", made.text);
    let text = made.text.split("data-token>").nth(1).and_then(|rest| rest.split('<').next()).expect("its text");
    assert_eq!(shop.ask(text, "POST", "/v1/environments/shop/prod/hold", "").await.status, 200);
    let page = ann.get("/tokens").await.text;
    assert!(
        !page.contains(text) && page.contains("shop/qa, shop/prod") && page.contains("by <bdi>ann</bdi>"),
        "{page}"
    );
    let again = ann.post("/tokens", &fields).await;
    assert!(again.status == 409 && again.text.contains("there is a token"), "{}", again.text);
    let theirs = form(ann.request("POST", "/tokens").header("sec-fetch-site", "cross-site"), &fields);
    assert_eq!(ann.send(theirs).await.status, 403);

    let revoked = ann.post("/tokens/revoke", &[("csrf", &csrf), ("name", "jenkins")]).await;
    assert_eq!((revoked.status, revoked.location()), (StatusCode::SEE_OTHER, "/tokens#next"));
    assert!(ann.get("/tokens").await.text.contains("No token yet"));
    let out = ann.post("/people/sign-out", &[("csrf", &csrf), ("name", "bob")]).await;
    assert_eq!((out.status, out.location()), (StatusCode::SEE_OTHER, "/people#next"));
    assert!(!bob.is_in().await);
    let record = ann.get("/people").await.text;
    for words in ["token made", "token revoked", "signed out everywhere", "jenkins: deployer of shop/qa, shop/prod"] {
        assert!(record.contains(words), "{words}: {record}");
    }
}

#[tokio::test]
async fn a_person_of_any_name_is_shown_as_text() {
    let shop = Shop::new();
    let access = &shop.app.access;
    access.sessions().begin(access.local_holder("<b>x</b>"), "here", Millis(shop.app.clock.host().0)).unwrap();
    let page = shop.answer(
        bearer(super::kit::TOKEN, "GET", "/people")
            .extension(Some(crate::http::transport::Encrypted))
            .body(Body::empty())
            .unwrap(),
    );
    let page = axum::body::to_bytes(page.await.into_body(), 1 << 20).await.unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(page.contains("local:&#60;b&#62;x") || page.contains("local:&lt;b&gt;x"), "{page}");
    assert!(!page.contains("<b>x"), "{page}");
}

#[tokio::test]
async fn plain_http_beyond_this_host_is_warned_of_and_goes_on() {
    let mut shop = Shop::new();
    let warnings = |told: &Told| told.body["warnings"].as_array().unwrap().len();
    assert_eq!(warnings(&shop.get("/v1/environments").await), 0);
    shop.listen_at("0.0.0.0:7070");
    let told = shop.get("/v1/environments").await;
    assert!(told.body["warnings"][0].as_str().unwrap().contains("plain HTTP at 0.0.0.0:7070"), "{}", told.body);
    for quiet in ["127.0.0.1:7070", "[::1]:7070", "[::ffff:127.0.0.1]:7070"] {
        shop.listen_at(quiet);
        assert_eq!(warnings(&shop.get("/v1/environments").await), 0, "{quiet}");
    }
}
