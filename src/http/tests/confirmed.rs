//! What is confirmed is what was shown, and what was asked for once is done once.

use axum::body::Body;
use http::StatusCode;

use super::kit::{Shop, Told, person};
use crate::{
    http::shown::{Action, Look},
    machine::{Event, Number},
};

const BUILD: &str = r#"{"version":"v1","artifact":"builds/v1"}"#;
const QA: &str = "/v1/environments/shop/qa";
const PROD: &str = "/v1/environments/shop/prod";

async fn with(shop: &Shop, path: &str, body: &str, header: (&str, &str)) -> Told {
    shop.send(person("POST", path).header(header.0, header.1).body(Body::from(body.to_owned())).unwrap()).await
}

async fn tag(shop: &Shop, path: &str) -> String {
    shop.get(path).await.headers["etag"].to_str().unwrap().to_owned()
}

async fn live_in_qa(version: &str, shop: &Shop) {
    shop.hook(&BUILD.replace("v1", version)).await;
    let number = shop.state("shop/qa").last_number().0;
    shop.go_live("shop/qa", number).await;
}

#[tokio::test]
async fn of_two_who_promote_what_they_were_shown_the_second_is_told_what_has_changed() {
    let shop = Shop::new();
    live_in_qa("v1", &shop).await;
    let shown = tag(&shop, PROD).await;
    assert_eq!(shown, tag(&shop, PROD).await, "the same is shown alike");
    let promote = format!("{PROD}/promote");
    let both = futures_util::join!(
        with(&shop, &promote, "{}", ("if-match", &shown)),
        with(&shop, &promote, "{}", ("if-match", &shown))
    );
    let (won, lost) = if both.0.status == 202 { both } else { (both.1, both.0) };
    assert_eq!(won.body["deployment"], "shop/prod/1");
    lost.refused(StatusCode::CONFLICT, "queue is now deployment 1 with release 1 (v1), not nothing");
    let changed = &lost.body["changed"][0];
    assert_eq!((changed["what"].as_str(), changed["shown"].as_str()), (Some("queue"), Some("nothing")));
    assert_eq!(lost.body["type"], "urn:pointsman:changed");
    assert_eq!(shop.state("shop/prod").last_number(), Number(1));
}

#[tokio::test]
async fn a_release_that_is_no_longer_the_one_shown_is_not_promoted() {
    let shop = Shop::new();
    live_in_qa("v1", &shop).await;
    let shown = tag(&shop, PROD).await;
    live_in_qa("v2", &shop).await;
    let told = with(&shop, &format!("{PROD}/promote"), "{}", ("if-match", &shown)).await;
    told.refused(StatusCode::CONFLICT, "promote is now release 2 (v2), not release 1 (v1)");
    let weak = format!("W/{}, \"bm9uZQ\"", tag(&shop, PROD).await);
    with(&shop, &format!("{PROD}/promote"), "{}", ("if-match", &weak))
        .await
        .refused(StatusCode::BAD_REQUEST, "If-Match");
    assert_eq!(with(&shop, &format!("{PROD}/promote"), "{}", ("if-match", "*")).await.status, 202);
}

#[tokio::test]
async fn a_release_that_would_be_made_of_something_else_is_not_the_one_shown() {
    let mut shop = Shop::new();
    std::fs::write(shop.folder().join("db"), "one").unwrap();
    let other = "command = [\"/bin/true\"]\nparameters = { greeting = \"\" }\nsecrets = { DB = { secret = \"db\" } }\n";
    std::fs::write(shop.folder().join("other.toml"), other).unwrap();
    live_in_qa("v1", &shop).await;
    let promote = format!("{PROD}/promote");
    let stack = |more: &str| format!("deploy = \"on-promotion\"\nstack = {{ driver = \"process\", definition = {more}");
    let (plain, adapted) = (stack("\"none.toml\""), stack("\"none.toml\", parameters = { greeting = \"hello\" }"));
    let other = adapted.replace("none", "other") + ", secrets = [\"db\"]";
    let secrets = ("[webhook]", "[secrets]\ndb = { file = \"db\" }\n[webhook]");
    let gate = "18081\" }\napproval = { before_cutover = { timeout = \"1h\", otherwise = \"abort\" } }";
    let hooks = "18081\" }\nhooks = [{ name = \"migrate\", at = \"after-checks\", command = [\"true\"] }]";
    for (what, edits) in [
        ("parameters", vec![(&*plain, &*adapted)]),
        ("definition, secrets", vec![(&*adapted, &*other), secrets]),
        ("gates", vec![("18081\" }", gate)]),
        ("hooks", vec![("18081\" }", hooks)]),
    ] {
        let shown = tag(&shop, PROD).await;
        shop.rewrite(&edits);
        assert_changed(&with(&shop, &promote, "{}", ("if-match", &shown)).await, what);
    }
    let shown = tag(&shop, PROD).await;
    std::fs::write(shop.folder().join("db"), "two").unwrap();
    assert_changed(&with(&shop, &promote, "{}", ("if-match", &shown)).await, "secrets");
    let told = with(&shop, &format!("{PROD}/rollback"), r#"{"number":1}"#, ("if-match", &shown)).await;
    told.refused(StatusCode::CONFLICT, "deployment 1 is not live");
    let shown = tag(&shop, PROD).await;
    assert_eq!(with(&shop, &promote, "{}", ("if-match", &shown)).await.status, 202);
}

#[track_caller]
fn assert_changed(told: &Told, what: &str) {
    told.refused(StatusCode::CONFLICT, "is now what has the digest");
    let changed = told.body["changed"].as_array().unwrap();
    let names: Vec<&str> = changed.iter().map(|c| c["what"].as_str().unwrap()).collect();
    assert_eq!(names.join(", "), what, "{}", told.body);
    assert!(changed.iter().all(|c| c["now"] != c["shown"]));
}

#[tokio::test]
async fn a_promotion_is_held_against_both_environments_and_the_rest_against_one() {
    let shop = Shop::new();
    live_in_qa("v1", &shop).await;
    let (qa, prod) = ("shop/qa".parse().unwrap(), "shop/prod".parse().unwrap());
    let look = Look::at(&shop.app, &prod);
    let of = |action| look.at_which(&shop.app, &prod, action);
    let (before, here) = ((qa, shop.state("shop/qa").seq()), (prod.clone(), shop.state("shop/prod").seq()));
    assert!(before.1 > here.1);
    assert_eq!(of(Action::Rollback), std::slice::from_ref(&here));
    assert_eq!(of(Action::Promote), [before, here]);
}

#[tokio::test]
async fn what_does_not_concern_the_decision_does_not_stop_it() {
    let shop = Shop::new();
    live_in_qa("v1", &shop).await;
    live_in_qa("v2", &shop).await;
    let shown = tag(&shop, QA).await;
    shop.post(&format!("{QA}/hold"), "{}").await;
    shop.hook(&BUILD.replace("v1", "v3")).await;
    let told = with(&shop, &format!("{QA}/rollback"), r#"{"number":2}"#, ("if-match", &shown)).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let told = with(&shop, &format!("{PROD}/rollback"), r#"{"number":2}"#, ("if-match", &shown)).await;
    told.refused(StatusCode::BAD_REQUEST, "this `If-Match` is of shop/qa, not of shop/prod");
}

#[tokio::test]
async fn a_gate_that_was_shown_is_the_one_that_is_opened() {
    let shop = Shop::new();
    shop.hook(BUILD).await;
    let queued = tag(&shop, QA).await;
    shop.steps("shop/qa", [Event::Started { number: Number(1) }]).await;
    let approve = "/v1/deployments/shop/qa/1/approve";
    let told = with(&shop, approve, "", ("if-match", &queued)).await;
    told.refused(StatusCode::CONFLICT, "waiting for approval before provisioning");
    let shown = tag(&shop, QA).await;
    assert_eq!(with(&shop, approve, "", ("if-match", &shown)).await.status, 200);
    let told = with(&shop, "/v1/deployments/shop/qa/1/abort", "", ("if-match", &shown)).await;
    told.refused(StatusCode::CONFLICT, "candidate is now deployment 1 with release 1 (v1), not deployment 1");
}

#[tokio::test]
async fn a_request_with_a_name_is_done_once() {
    let shop = Shop::new();
    live_in_qa("v1", &shop).await;
    let (hold, key) = (format!("{QA}/hold"), ("idempotency-key", "k-1"));
    let first = with(&shop, &hold, r#"{"reason":"audit"}"#, key).await;
    let seq = shop.state("shop/qa").seq();
    let again = with(&shop, &hold, r#"{"reason":"audit"}"#, key).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(shop.state("shop/qa").seq(), seq, "nothing more was recorded");
    let told = with(&shop, &hold, r#"{"reason":"other"}"#, key).await;
    told.refused(StatusCode::CONFLICT, "used before for another request");
    assert_eq!(told.body["type"], "urn:pointsman:key-used");
    assert_eq!(with(&shop, &format!("{PROD}/hold"), "{}", key).await.status, 200, "another address, another name");
    for bad in ["", "a b", &"x".repeat(129), "\u{e4}"] {
        with(&shop, &hold, "{}", ("idempotency-key", bad)).await.refused(StatusCode::BAD_REQUEST, "Idempotency-Key");
    }
}

#[tokio::test]
async fn a_refusal_does_not_use_a_name_up() {
    let shop = Shop::new();
    let (promote, key) = (format!("{PROD}/promote"), ("idempotency-key", "k"));
    with(&shop, &promote, "{}", key).await.refused(StatusCode::CONFLICT, "nothing is live in shop/qa");
    live_in_qa("v1", &shop).await;
    assert_eq!(with(&shop, &promote, "{}", key).await.status, 202);
}

#[tokio::test]
async fn two_of_the_same_name_at_once_are_one() {
    let shop = Shop::new();
    live_in_qa("v1", &shop).await;
    let promote = format!("{PROD}/promote");
    let all = (0..8).map(|_| with(&shop, &promote, "{}", ("idempotency-key", "once")));
    for told in futures_util::future::join_all(all).await {
        assert_eq!((told.status, told.body["deployment"].as_str()), (202, Some("shop/prod/1")));
    }
    assert_eq!(shop.state("shop/prod").last_number(), Number(1));
}

#[tokio::test]
async fn after_a_restart_the_journal_knows_a_promotion_by_its_name_also_with_what_was_shown() {
    let mut shop = Shop::new();
    live_in_qa("v1", &shop).await;
    let shown = tag(&shop, PROD).await;
    let promote = |shop: &Shop| {
        let request =
            person("POST", &format!("{PROD}/promote")).header("idempotency-key", "once").header("if-match", &shown);
        let request = request.body(Body::from("{}")).unwrap();
        let router = shop.router.clone();
        async move { tower::ServiceExt::oneshot(router, request).await.unwrap().status() }
    };
    assert_eq!(promote(&shop).await, 202);
    shop.forget_answers();
    assert_eq!(promote(&shop).await, 202);
    assert_eq!(shop.state("shop/prod").last_number(), Number(1));
}
