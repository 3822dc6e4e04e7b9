//! Local users by the page and by the API: added with a link to choose a password, given other grants, removed; and somebody stays
//! who looks after the doors.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    browser::{Browser, PASSWORD, user},
    kit::Shop,
};
use crate::access::{Role, audit, kept, users::User};

async fn admin<'s>(shop: &'s Shop, name: &str) -> Browser<'s> {
    user(shop, name, &["admin"]);
    let browser = Browser::of(shop);
    browser.sign_in(name, PASSWORD).await;
    browser
}

/// Sends a form of the page of people.
async fn press(browser: &Browser<'_>, act: &str, fields: &[(&str, &str)]) -> super::browser::Page {
    let csrf = browser.csrf();
    let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("csrf", &*csrf)]).collect();
    browser.post(&format!("/people/{act}"), &fields).await
}

/// The path of the link that a page shows.
fn link(page: &str) -> String {
    let link = page.split("data-token>").nth(1).expect("a link").split('<').next().unwrap();
    link.strip_prefix("https://deploy.example").expect("where people reach the page").to_owned()
}

fn acts(shop: &Shop) -> Vec<(String, String, String)> {
    let lines = audit::last(shop.folder(), 50).unwrap();
    let one = |line: &String| {
        let entry: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        (text("by"), text("act"), text("to"))
    };
    let mut acts: Vec<_> = lines.iter().map(one).filter(|(_, act, _)| act != "signed-in").collect();
    acts.reverse();
    acts
}

#[tokio::test]
async fn an_admin_adds_a_user_who_chooses_a_password_by_a_link_that_is_good_once() {
    let shop = Shop::new();
    let ann = admin(&shop, "ann").await;
    let fields = [("name", "bob"), ("grants", "deployer=shop/qa  approver=shop/prod"), ("new", "true")];
    let made = press(&ann, "add", &fields).await;
    assert!(made.status == 200 && made.text.contains("deployer of shop/qa; approver of shop/prod"), "{}", made.text);
    let link = link(&made.text);
    let listed = ann.get("/people").await.text;
    assert!(listed.contains("no password yet") && !listed.contains(&link), "it is shown once: {listed}");

    let bob = Browser::of(&shop);
    assert!(!bob.sign_in("bob", "").await.status.is_redirection());
    let page = bob.get(&link).await;
    assert!(page.status == 200 && page.text.contains("For the user <strong>bob</strong>"), "{}", page.text);
    let code = page.hidden("code").to_owned();
    let short = bob.post("/choose-password", &[("code", &code), ("password", "short")]).await;
    assert!(short.status == 400 && short.text.contains("id=\"wrong\"") && !bob.is_in().await, "{}", short.text);
    let kept = bob.post("/choose-password", &[("code", &code), ("password", PASSWORD)]).await;
    assert_eq!((kept.status, kept.location()), (StatusCode::SEE_OTHER, "/"), "{}", kept.text);
    assert!(bob.is_in().await);
    let other = Browser::of(&shop);
    assert_eq!(other.get(&link).await.status, 401, "it was used");
    let again = other.post("/choose-password", &[("code", &code), ("password", "another long one")]).await;
    assert_eq!(again.status, 401);
    assert!(other.sign_in("bob", PASSWORD).await.status.is_redirection(), "the password is the chosen one");
    let name = |who: &str, act: &str, to: &str| (who.to_owned(), act.to_owned(), to.to_owned());
    assert_eq!(
        acts(&shop),
        [
            name("ann", "user-added", "bob: deployer of shop/qa; approver of shop/prod"),
            name("bob", "password-set", "bob"),
        ]
    );
}

#[tokio::test]
async fn a_link_ends_with_its_day_and_with_a_change_of_the_user_and_not_with_the_controller() {
    let shop = Shop::new();
    let ann = admin(&shop, "ann").await;
    let first = link(&press(&ann, "add", &[("name", "bob"), ("grants", "viewer")]).await.text);
    let bob = Browser::of(&shop);
    shop.app.access.take_links(shop.app.clock.host());
    assert_eq!(bob.get(&first).await.status, 200, "a controller that started again");
    assert_eq!(press(&ann, "grant", &[("name", "bob"), ("grants", "deployer")]).await.status, 303);
    assert_eq!(bob.get(&first).await.status, 401, "it was made for a viewer");
    let second = link(&press(&ann, "password", &[("name", "bob")]).await.text);
    assert_eq!(bob.get(&second).await.status, 200);
    shop.app.clock.let_pass(Duration::from_secs(86_400));
    assert_eq!(bob.get(&second).await.status, 401, "a day is over");
    let forged = second.replace("626f62", "616e6e");
    assert_eq!(bob.get(&forged).await.status, 401);
}

#[tokio::test]
async fn another_role_and_a_removal_end_the_sessions_and_what_is_wrong_is_said_beside_its_field() {
    let shop = Shop::new();
    let ann = admin(&shop, "ann").await;
    user(&shop, "bob", &["viewer"]);
    let bob = Browser::of(&shop);
    bob.sign_in("bob", PASSWORD).await;
    assert_eq!(press(&ann, "grant", &[("name", "bob"), ("grants", "approver=shop")]).await.location(), "/people#list");
    assert!(!bob.is_in().await && ann.is_in().await);
    bob.sign_in("bob", PASSWORD).await;
    assert_eq!(bob.get("/v1/me").await.text.matches("approver").count(), 1);
    assert_eq!(press(&bob, "remove", &[("name", "ann")]).await.status, 403);
    assert_eq!(press(&ann, "remove", &[("name", "bob")]).await.location(), "/people#list");
    assert!(!bob.is_in().await && !bob.sign_in("bob", PASSWORD).await.status.is_redirection());
    assert_eq!(press(&ann, "remove", &[("name", "bob")]).await.status, 404);

    for (name, grants, beside, why) in [
        ("Big", "viewer", "un-wrong", "is not a name"),
        ("eve", "root=shop", "ug-wrong", "a role is viewer"),
        ("eve", "viewer=*", "ug-wrong", "name"),
        ("eve", " ", "ug-wrong", "is empty"),
    ] {
        let told = press(&ann, "add", &[("name", name), ("grants", grants), ("new", "true")]).await;
        let said = told.text.split(&format!("id=\"{beside}\">")).nth(1).unwrap_or_default();
        assert!(told.status == 400 && said.split("</p>").next().unwrap().contains(why), "{name}: {}", told.text);
        assert!(told.text.contains(&format!("name=\"name\" value=\"{name}\"")), "what was typed stays: {}", told.text);
    }
    let taken = press(&ann, "add", &[("name", "ann"), ("grants", "viewer"), ("new", "true")]).await;
    assert!(taken.status == 409 && taken.text.contains("there is a user"), "{}", taken.text);
    let acts: Vec<_> = acts(&shop).into_iter().map(|(_, act, _)| act).collect();
    assert_eq!(acts, ["grants-set", "user-removed"], "what was refused is not in the record");
}

#[tokio::test]
async fn the_last_admin_stays_and_one_without_a_password_is_none() {
    let shop = Shop::new();
    let ann = admin(&shop, "ann").await;
    user(&shop, "olga", &["admin=shop"]);
    let stays = async |why: &str| {
        for (act, fields) in [("remove", vec![("name", "ann")]), ("grant", vec![("name", "ann"), ("grants", "viewer")])]
        {
            let told = press(&ann, act, &fields).await;
            assert!(told.status == 409 && told.text.contains("is the last user who is admin everywhere"), "{why}");
        }
    };
    stays("olga is admin of one pipeline").await;
    let made = press(&ann, "add", &[("name", "bob"), ("grants", "admin")]).await;
    stays("bob cannot sign in yet").await;
    let bob = Browser::of(&shop);
    let page = bob.get(&link(&made.text)).await;
    bob.post("/choose-password", &[("code", page.hidden("code")), ("password", PASSWORD)]).await;
    assert_eq!(press(&bob, "remove", &[("name", "ann")]).await.status, 303, "now bob is another one");
    let told = press(&bob, "remove", &[("name", "bob")]).await;
    assert_eq!(told.status, 409);
    let left: Vec<_> = kept::read::<User>(shop.folder()).unwrap().iter().map(|user| user.name.to_string()).collect();
    assert_eq!(left, ["olga", "bob"]);
}

#[tokio::test]
async fn a_token_makes_no_user_and_no_link_and_gives_nobody_a_role() {
    let shop = Shop::new();
    let root = shop.token("root", Role::Admin, &[]);
    user(&shop, "bob", &["viewer"]);
    for (act, body) in [
        ("add", json!({ "name": "eve", "grants": ["admin"] })),
        ("grant", json!({ "name": "bob", "grants": ["admin"] })),
        ("password", json!({ "name": "bob" })),
    ] {
        let told = shop.ask(&root, "POST", &format!("/v1/people/{act}"), &body.to_string()).await;
        told.refused(StatusCode::FORBIDDEN, "the token `root` makes no other token and no user");
    }
    let made = shop.post("/v1/people/add", r#"{"name":"eve","grants":["deployer=shop"]}"#).await;
    assert_eq!(
        (made.status, &made.body["may"]),
        (201, &json!("deployer of shop")),
        "the holder of the host: {}",
        made.body
    );
    assert!(made.body["link"].as_str().unwrap().starts_with("/choose-password?code="));
    assert_eq!(shop.get("/v1/people").await.body["people"][1]["has_password"], json!(false));
}
