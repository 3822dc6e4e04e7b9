//! Deploying by the page and by the API: what was typed, what was shown, a release again, and who may not.

use http::StatusCode;
use serde_json::json;

use super::{
    browser::{Browser, PASSWORD, user},
    kit::Shop,
    page::{live_in_qa, look, press},
};
use crate::access::Role;

const QA: &str = "/environments/shop/qa";
const DEPLOY: &str = "/environments/shop/qa/deploy";
const API: &str = "/v1/environments/shop/qa/deploy";

/// The hidden fields of a form of the page, with what somebody types.
fn filled<'t>(page: &str, form: &str, typed: &[(&'t str, &'t str)]) -> Vec<(&'t str, String)> {
    let form = page.split("<form").find(|text| text.contains(&format!("id=\"{form}\""))).expect("the form");
    let hidden = |name: &str| {
        let value = form.split(&format!("name=\"{name}\" value=\"")).nth(1).expect("the field");
        value.split("\">").next().unwrap().replace("&quot;", "\"")
    };
    let typed = typed.iter().map(|(name, value)| (*name, (*value).to_owned()));
    ["shown", "key"].into_iter().map(|name| (name, hidden(name))).chain(typed).collect()
}

fn sent<'f>(form: &'f [(&'f str, String)]) -> Vec<(&'f str, &'f str)> {
    form.iter().map(|(name, value)| (*name, &**value)).collect()
}

#[tokio::test]
async fn a_build_is_deployed_by_the_page_with_its_parameters_and_reason_and_once() {
    let shop = Shop::new();
    let dora = shop.token("dora", Role::Deployer, &[]);
    assert!(look(&shop, &dora, QA).await.text.contains(&format!("href=\"{DEPLOY}\"")));
    let page = look(&shop, &dora, DEPLOY).await.text;
    assert!(page.contains("name=\"parameter.greeting\"") && page.contains("Nothing is live yet"), "{page}");
    assert!(page.contains("<strong>Gate</strong> before a stack is made"), "{page}");
    let typed = [
        ("version", " v1 "),
        ("artifact", "/srv/v1"),
        ("commit", "a1b2c3"),
        ("link", ""),
        ("parameter.greeting", "hi there"),
        ("reason", "orders fail"),
        ("repairs", "true"),
    ];
    let form = filled(&page, "deploy", &typed);
    for _ in 0..2 {
        let seen = press(&shop, &dora, DEPLOY, &sent(&form)).await;
        assert_eq!((seen.status, &*seen.location), (303, "/environments/shop/qa#next"), "{}", seen.text);
    }
    let state = shop.state("shop/qa");
    let [deployment] = state.queue() else { panic!("pressed twice, recorded once: {:?}", state.queue()) };
    let release = &deployment.release;
    assert_eq!((&*release.version, &*release.artifact, release.commit.as_deref()), ("v1", "/srv/v1", Some("a1b2c3")));
    assert_eq!(release.parameters.get("greeting").map(|value| &**value), Some("hi there"));
    assert!(release.link.is_none() && deployment.plan.repairs && &*deployment.asked_by == "dora");
    let past = shop.get("/v1/environments/shop/qa/deployments").await.body;
    assert_eq!(past["deployments"][0]["reason"], "orders fail");
    let page = look(&shop, &dora, DEPLOY).await.text;
    assert!(page.contains("What you deploy takes its place"), "{page}");
    assert!(press(&shop, &dora, DEPLOY, &sent(&filled(&page, "deploy", &typed))).await.status == 303);
    assert_eq!(shop.state("shop/qa").queue().len(), 1, "as it says");
}

#[tokio::test]
async fn what_is_wrong_is_said_beside_its_field_and_what_was_typed_stays() {
    let shop = Shop::new();
    let dora = shop.token("dora", Role::Deployer, &[]);
    let page = look(&shop, &dora, DEPLOY).await.text;
    let long = "x".repeat(501);
    let beside = |page: &str, id: &str| {
        let text = page.split(&format!("id=\"{id}-wrong\">")).nth(1).map(|rest| rest.split("</p>").next().unwrap());
        text.unwrap_or_default().to_owned()
    };
    for (typed, id, why) in [
        ([("version", "<b>"), ("artifact", "/srv/v1"), ("reason", "kept")], "version", "must not have"),
        ([("version", "v1"), ("artifact", ""), ("reason", "kept")], "artifact", "artifact"),
        ([("version", "v1"), ("artifact", "-x"), ("reason", "kept")], "artifact", "must not begin with a dash"),
        ([("version", "v1"), ("artifact", "/srv/v1"), ("reason", &long)], "why", "500 characters at most"),
    ] {
        let seen = press(&shop, &dora, DEPLOY, &sent(&filled(&page, "deploy", &typed))).await;
        assert_eq!(seen.status, 400, "{}", seen.text);
        assert!(beside(&seen.text, id).contains(why), "{id}: {}", seen.text);
        assert!(seen.text.contains("What cannot be taken says so beside its field"), "{}", seen.text);
        for (name, value) in typed.iter().filter(|(_, value)| *value != "<b>") {
            assert!(seen.text.contains(&format!("name=\"{name}\" value=\"{value}\"")), "{name}: {}", seen.text);
        }
        assert!(!seen.text.contains("value=\"<b>"), "it stays text");
    }
    let other = [("version", "v1"), ("artifact", "/srv/v1"), ("parameter.size", "9")];
    let seen = press(&shop, &dora, DEPLOY, &sent(&filled(&page, "deploy", &other))).await;
    assert!(seen.status == 400 && seen.text.contains("a build may not set the parameter"), "{}", seen.text);
    assert_eq!(shop.state("shop/qa").seq().0, 0, "nothing was recorded");
}

#[tokio::test]
async fn a_deployment_is_held_to_what_was_shown_and_the_form_is_kept() {
    let shop = Shop::new();
    let dora = shop.token("dora", Role::Deployer, &[]);
    let page = look(&shop, &dora, DEPLOY).await.text;
    shop.post("/v1/environments/shop/qa/hold", r#"{"reason":"the holidays"}"#).await;
    let typed = [("version", "v1"), ("artifact", "/srv/v1"), ("reason", "tested")];
    let seen = press(&shop, &dora, DEPLOY, &sent(&filled(&page, "deploy", &typed))).await;
    assert_eq!(seen.status, 409);
    for words in
        ["You were shown something else", "no hold", "held by local:ann", "value=\"/srv/v1\"", "value=\"tested\""]
    {
        assert!(seen.text.contains(words), "{words}: {}", seen.text);
    }
    assert!(shop.state("shop/qa").queue().is_empty());
    let seen = press(&shop, &dora, DEPLOY, &sent(&filled(&seen.text, "deploy", &typed))).await;
    assert_eq!(seen.status, 303, "what is shown now is what is done: {}", seen.text);
}

#[tokio::test]
async fn a_release_goes_again_as_it_was_unless_it_is_vetoed_or_was_never_here() {
    let shop = Shop::new();
    let dora = shop.token("dora", Role::Deployer, &[]);
    for (version, greeting) in [("v1", "one"), ("v2", "two")] {
        let build = json!({ "version": version, "artifact": "a", "parameters": { "greeting": greeting } });
        assert_eq!(shop.hook(&build.to_string()).await.status, 202);
        shop.go_live("shop/qa", shop.state("shop/qa").last_number().0).await;
    }
    let before = shop.state("shop/qa").proven().find(|release| release.number == 1).unwrap().clone();
    let page = look(&shop, &dora, DEPLOY).await.text;
    assert!(page.contains("<option value=\"1\">1 (v1)</option>") && page.contains("2 (v2), live now"), "{page}");
    let form = filled(&page, "again", &[("release", "1"), ("reason", "v2 is slow")]);
    let seen = press(&shop, &dora, DEPLOY, &sent(&form)).await;
    assert_eq!(seen.status, 303, "{}", seen.text);
    let state = shop.state("shop/qa");
    assert_eq!(*state.queue()[0].release, *before, "the same release with the same number, definition and parameters");

    let refused = async |query: &str, body: &str, status: StatusCode, why: &str| {
        shop.post(&format!("{API}?{query}"), body).await.refused(status, why);
    };
    refused("release=9", "", StatusCode::NOT_FOUND, "release 9 is not known in shop/qa").await;
    refused("release=1", r#"{"version":"v1"}"#, StatusCode::BAD_REQUEST, "the body must be empty").await;
    shop.post("/v1/environments/shop/qa/veto", r#"{"release":2,"reason":"it loses orders"}"#).await;
    refused("release=2", "{}", StatusCode::CONFLICT, "it loses orders").await;
    let page = look(&shop, &dora, DEPLOY).await.text;
    assert!(page.contains("disabled>2 (v2), live now, not now</option>") && page.contains("it loses orders"), "{page}");
    let seen = press(&shop, &dora, DEPLOY, &sent(&filled(&page, "again", &[("release", "2")]))).await;
    assert!(seen.status == 409 && seen.text.contains("id=\"release-wrong\""), "{}", seen.text);
}

#[tokio::test]
async fn beyond_the_first_environment_only_releases_that_were_there_go_again() {
    let shop = Shop::new();
    let dora = shop.token("dora", Role::Deployer, &[]);
    let prod = "/environments/shop/prod/deploy";
    assert!(!look(&shop, &dora, "/environments/shop/prod").await.text.contains(prod), "nothing was there yet");
    live_in_qa(&shop, "v1").await;
    shop.post("/v1/environments/shop/prod/promote", "{}").await;
    shop.go_live("shop/prod", 1).await;
    assert!(look(&shop, &dora, "/environments/shop/prod").await.text.contains(prod));
    let page = look(&shop, &dora, prod).await.text;
    assert!(
        !page.contains("name=\"artifact\"") && page.contains("<a href=\"/environments/shop/qa/deploy\">"),
        "{page}"
    );
    let told = shop.get("/v1/environments/shop/prod/deployable").await.body;
    assert_eq!((&told["takes_builds"], &told["entry"]), (&json!(false), &json!("shop/qa")));
    assert_eq!((&told["releases"][0]["version"], &told["releases"][0]["live"]), (&json!("v1"), &json!(true)));
    let seen = press(&shop, &dora, prod, &sent(&filled(&page, "again", &[("release", "1")]))).await;
    assert_eq!(seen.status, 303, "{}", seen.text);
    assert_eq!(shop.state("shop/prod").queue()[0].release.number, 1);
}

#[tokio::test]
async fn a_key_is_one_release_again_also_after_a_restart_and_no_other() {
    let mut shop = Shop::new();
    for version in ["v1", "v2"] {
        live_in_qa(&shop, version).await;
    }
    let ask = async |shop: &Shop, release: u32| {
        let request = super::kit::person("POST", &format!("{API}?release={release}")).header("idempotency-key", "k");
        shop.send(request.body("".into()).unwrap()).await
    };
    let first = ask(&shop, 1).await;
    assert_eq!((first.status, &first.body["number"]), (202, &json!(3)), "{}", first.body);
    shop.forget_answers();
    assert_eq!(ask(&shop, 1).await.body["number"], 3, "the state file knows it");
    shop.forget_answers();
    assert_eq!(ask(&shop, 2).await.status, 409, "the key is of another release");
    assert_eq!(shop.state("shop/qa").queue().len(), 1);
}

#[tokio::test]
async fn what_was_typed_survives_a_session_that_ended_and_who_may_not_is_told_who_may() {
    let shop = Shop::new();
    user(&shop, "dora", &["deployer"]);
    user(&shop, "vera", &["viewer"]);
    let dora = Browser::of(&shop);
    dora.sign_in("dora", PASSWORD).await;
    let page = dora.get(DEPLOY).await.text;
    let csrf = dora.csrf();
    let typed = [("version", "v1"), ("artifact", "/srv/v1"), ("parameter.greeting", "hi"), ("csrf", &csrf)];
    let form = filled(&page, "deploy", &typed);
    dora.cookies.lock().unwrap().clear();
    let led = dora.post(DEPLOY, &sent(&form)).await;
    assert!(led.location().starts_with("/sign-in?press="), "{}", led.text);
    let press = led.location().split_once("press=").unwrap().1.to_owned();
    let fields = [("user", "dora"), ("password", PASSWORD), ("then", "/"), ("press", &press)];
    let onward = dora.post("/sign-in", &fields).await.location().to_owned();
    let again = dora.get(&onward).await;
    assert!(again.text.contains(&format!("action=\"{DEPLOY}\"")), "{}", again.text);
    assert_eq!((again.hidden("artifact"), again.hidden("parameter.greeting")), ("/srv/v1", "hi"));
    let csrf = dora.csrf();
    let mut form = form;
    form.retain(|(name, _)| *name != "csrf");
    form.push(("csrf", csrf));
    assert_eq!(dora.post(DEPLOY, &sent(&form)).await.location(), "/environments/shop/qa#next");
    assert_eq!(shop.state("shop/qa").queue().len(), 1);

    let vera = Browser::of(&shop);
    vera.sign_in("vera", PASSWORD).await;
    let why = "Not for you: it takes the role deployer on shop/qa. Who can: dora (deployer).";
    for page in [vera.get(QA).await.text, vera.get(DEPLOY).await.text] {
        assert!(page.contains(why), "{page}");
    }
    let csrf = vera.csrf();
    let seen = vera.post(DEPLOY, &[("csrf", &csrf), ("version", "v9"), ("artifact", "/srv/v9")]).await;
    assert!(seen.status == 403 && seen.text.contains("value=\"/srv/v9\""), "{}", seen.text);
    assert_eq!(shop.state("shop/qa").queue().len(), 1);
}
