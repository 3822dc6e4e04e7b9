//! What people ask, and that each names what it means.

use http::StatusCode;

use super::kit::Shop;
use crate::{
    intake::{Identity, key},
    machine::{Adopts, Event, Number, Plan, Release, Trigger},
};

const BUILD: &str = r#"{"version":"v1","artifact":"builds/v1"}"#;
const QA: &str = "/v1/environments/shop/qa";
const PROD: &str = "/v1/environments/shop/prod";

#[tokio::test]
async fn a_gate_is_opened_for_the_deployment_that_waits_at_it() {
    let shop = Shop::new();
    shop.hook(BUILD).await;
    shop.steps("shop/qa", [Event::Started { number: Number(1) }]).await;
    shop.post("/v1/deployments/shop/qa/2/approve", "").await.refused(StatusCode::NOT_FOUND, "deployment 2 is not");
    assert_eq!(shop.post("/v1/deployments/shop/qa/1/approve", "").await.status, 200);
    shop.post("/v1/deployments/shop/qa/1/approve", "").await.refused(StatusCode::CONFLICT, "does not wait");
    assert_eq!(shop.post("/v1/deployments/shop/qa/1/abort", r#"{"reason":"enough"}"#).await.status, 200);
    let told = shop.get("/v1/deployments/shop/qa/1").await;
    assert_eq!((told.body["state"].as_str(), told.body["final"].as_bool()), (Some("aborted"), Some(true)));
}

#[tokio::test]
async fn only_a_driver_that_can_takes_a_stack_over() {
    let shop = Shop::new();
    let adopt = format!("{QA}/adopt");
    let refused = shop.post(&adopt, r#"{"stack":"shop41"}"#).await;
    refused.refused(StatusCode::UNPROCESSABLE_ENTITY, "the driver \"process\" cannot be taken over");
    assert!(refused.detail().contains("\"heat\"; a first deployment needs no adoption"), "{}", refused.detail());
    shop.post(&adopt, "{}").await.refused(StatusCode::BAD_REQUEST, "name the stack you mean");
    for wrong in [r#"{"stack":""}"#, r#"{"stack":"a\u0007"}"#, r#"{"stack":"a","version":" "}"#] {
        shop.post(&adopt, wrong).await.refused(StatusCode::BAD_REQUEST, "must have 1 to 200 characters");
    }
    assert!(shop.state("shop/qa").queue().is_empty());
}

#[tokio::test]
async fn an_adoption_under_way_names_its_stack() {
    let shop = Shop::new();
    let adopts = Some(Adopts { stack: "shop_41".into(), output: None }.into());
    let release = Release { number: 1, adopts, ..Release::draft("41") }.into();
    let (number, plan) = (Number(1), Plan::default().into());
    let key = key(&"shop".parse().unwrap(), "adoption", Identity::Delivery("1"), b"");
    let accepted = Event::Accepted {
        number,
        key,
        build_number: None,
        release,
        plan,
        trigger: Trigger::Person,
        reason: None,
        stranger: false,
    };
    shop.steps("shop/qa", [accepted, Event::Started { number }]).await;
    let told = shop.get(QA).await.body;
    assert_eq!(told["candidate"]["release"]["adopts"], "shop_41");
    let next = told["next"].as_str().unwrap();
    assert!(next.starts_with("Deployment 1 (41, adopting stack shop_41) "), "{next}");
}

#[tokio::test]
async fn a_promotion_takes_what_is_live_before_and_nothing_else() {
    let shop = Shop::new();
    shop.post(&format!("{PROD}/promote"), "{}").await.refused(StatusCode::CONFLICT, "nothing is live in shop/qa");
    shop.post(&format!("{PROD}/deploy"), BUILD).await.refused(StatusCode::CONFLICT, "only the first environment");
    shop.hook(BUILD).await;
    shop.go_live("shop/qa", 1).await;
    let other = shop.post(&format!("{PROD}/promote"), r#"{"release":9}"#).await;
    other.refused(StatusCode::CONFLICT, "release 1 would be promoted now");
    let told = shop.post(&format!("{PROD}/promote"), r#"{"release":1}"#).await;
    assert_eq!((told.status, told.body["deployment"].as_str()), (202, Some("shop/prod/1")));
    assert_eq!(shop.state("shop/prod").queue()[0].release.number, 1);
    shop.post(&format!("{QA}/promote"), "{}").await.refused(StatusCode::CONFLICT, "the first environment has none");
}

#[tokio::test]
async fn who_promotes_reads_what_it_would_wait_for_and_whose_turn_it_would_take() {
    let shop = Shop::new();
    let why = async || shop.get(&format!("{PROD}/changes")).await.body["why"].clone();
    shop.hook(BUILD).await;
    shop.go_live("shop/qa", 1).await;
    assert_eq!(why().await, serde_json::Value::Null);
    assert_eq!(shop.post(&format!("{PROD}/promote"), "{}").await.status, 202);
    assert_eq!(why().await, "it would take the place of deployment 1");
    shop.steps("shop/prod", [crate::machine::Event::Started { number: Number(1) }]).await;
    assert_eq!(why().await, "deployment 1 of the same release is under way: this one would wait for it");
    shop.hook(&BUILD.replace("v1", "v2")).await;
    shop.go_live("shop/qa", 2).await;
    assert_eq!(why().await, "deployment 1 is under way: this one would wait for it");
}

#[tokio::test]
async fn a_person_does_not_promote_what_is_banned_or_being_taken_back_where_it_was_tried() {
    let shop = Shop::new();
    let (promote, changes) = (format!("{PROD}/promote"), format!("{PROD}/changes"));
    let bars = async |why: &str| {
        shop.post(&promote, "{}").await.refused(StatusCode::CONFLICT, why);
        let told = shop.get(&changes).await.body;
        assert_eq!(told["promotable"], false, "{told}");
        assert!(told["why"].as_str().unwrap().contains(why), "{told}");
    };
    shop.hook(BUILD).await;
    shop.go_live("shop/qa", 1).await;
    for place in [QA, PROD] {
        shop.post(&format!("{place}/veto"), r#"{"release":1,"reason":"loses orders"}"#).await;
        bars("release 1 is vetoed: loses orders; lift the veto first").await;
        shop.post(&format!("{place}/veto"), r#"{"release":1,"lift":true}"#).await;
    }
    shop.hook(&BUILD.replace("v1", "v2")).await;
    shop.bake("shop/qa", 2).await;
    let told = shop.get(&changes).await.body;
    assert_eq!(told["promotable"], true, "a person may be in a hurry");
    assert!(told["why"].as_str().unwrap().contains("release 2 is not found good yet"), "{told}");
    shop.steps("shop/qa", [crate::machine::Event::Succeeded { number: Number(2) }]).await;
    assert_eq!(shop.get(&changes).await.body["why"], serde_json::Value::Null);
    assert_eq!(shop.post(&format!("{QA}/rollback"), r#"{"number":2}"#).await.status, 200);
    bars("something is being rolled back in the environment before").await;
    assert_eq!(shop.state("shop/prod").last_number(), Number(0));
}

#[tokio::test]
async fn holds_pins_and_vetoes_are_set_and_taken_back() {
    let shop = Shop::new();
    shop.post(&format!("{QA}/resume"), "").await.refused(StatusCode::CONFLICT, "nothing is held");
    assert_eq!(shop.post(&format!("{QA}/hold"), r#"{"reason":"audit"}"#).await.status, 200);
    let hold = shop.get(QA).await.body["hold"].clone();
    assert_eq!((hold["by"].as_str(), hold["reason"].as_str()), (Some("local:ann"), Some("audit")));
    assert_eq!(shop.post(&format!("{QA}/resume"), "").await.status, 200);
    shop.post(&format!("{QA}/pin"), "{}").await.refused(StatusCode::BAD_REQUEST, "name the release you mean");
    shop.post(&format!("{QA}/pin"), r#"{"release":1}"#).await.refused(StatusCode::NOT_FOUND, "there are: none yet");
    assert_eq!(shop.hook(BUILD).await.status, 202);
    assert_eq!(shop.post(&format!("{QA}/pin"), r#"{"release":1}"#).await.status, 200);
    assert_eq!(shop.get(QA).await.body["pin"], 1);
    assert_eq!(shop.post(&format!("{QA}/pin"), r#"{"lift":true}"#).await.status, 200);
    assert_eq!(shop.post(&format!("{QA}/veto"), r#"{"release":1,"reason":"bad"}"#).await.status, 200);
    assert_eq!(shop.post(&format!("{QA}/veto"), r#"{"release":1,"lift":true}"#).await.status, 200);
    shop.post(&format!("{QA}/hold"), "{\"reason\":7}").await.refused(StatusCode::BAD_REQUEST, "cannot be read");
    shop.post(&format!("{QA}/hold"), r#"{"reason":"\u001b[2J"}"#).await.refused(StatusCode::BAD_REQUEST, "control");
}

#[tokio::test]
async fn every_reason_that_is_given_stands_in_the_history() {
    let shop = Shop::new();
    shop.hook(BUILD).await;
    shop.steps("shop/qa", [Event::Started { number: Number(1) }]).await;
    let approve = "/v1/deployments/shop/qa/1/approve";
    let told = shop.post(approve, r#"{"reason":"seen by ann"}"#).await;
    assert_eq!((told.status, told.body["event"]["reason"].as_str()), (200, Some("seen by ann")), "{}", told.body);
    let (hold, resume) = (format!("{QA}/hold"), format!("{QA}/resume"));
    assert_eq!(shop.post(&hold, "{}").await.body["event"]["reason"], "no reason given");
    assert_eq!(shop.post(&resume, "{}").await.body["event"].get("reason"), None, "nothing is made up");
    shop.post(&hold, "{}").await;
    for (what, body) in [
        ("resume", r#"{"reason":"why not"}"#),
        ("pin", r#"{"release":1,"reason":"why not"}"#),
        ("pin", r#"{"lift":true,"reason":"why not"}"#),
        ("veto", r#"{"release":1,"reason":"why not"}"#),
        ("veto", r#"{"release":1,"lift":true,"reason":"why not"}"#),
    ] {
        let told = shop.post(&format!("{QA}/{what}"), body).await;
        assert_eq!(told.body["event"]["reason"], "why not", "{what} {body}: {}", told.body);
    }
    shop.post(&resume, r#"{"reason":"\u0007"}"#).await.refused(StatusCode::BAD_REQUEST, "control");
}

#[tokio::test]
async fn the_reason_of_a_promotion_stands_in_the_history() {
    let shop = Shop::new();
    shop.hook(BUILD).await;
    shop.go_live("shop/qa", 1).await;
    let promote = r#"{"release":1,"reason":"the fair begins"}"#;
    assert_eq!(shop.post(&format!("{PROD}/promote"), promote).await.status, 202);
    let said = shop.app.journal.history(None, 1).unwrap();
    assert!(
        matches!(&said[0].event, Event::Accepted { reason: Some(reason), .. } if &**reason == "the fair begins"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_rollback_names_the_deployment_that_is_live() {
    let shop = Shop::new();
    shop.hook(BUILD).await;
    shop.go_live("shop/qa", 1).await;
    shop.hook(&BUILD.replace("v1", "v2")).await;
    shop.go_live("shop/qa", 2).await;
    let rollback = format!("{QA}/rollback");
    shop.post(&rollback, "{}").await.refused(StatusCode::PRECONDITION_REQUIRED, "name the deployment you mean");
    shop.post(&rollback, r#"{"number":1}"#).await.refused(StatusCode::CONFLICT, "deployment 1 is not live, 2 is");
    assert_eq!(shop.post(&rollback, r#"{"number":2,"reason":"orders fail"}"#).await.status, 200);
    shop.post(&rollback, r#"{"number":2}"#).await.refused(StatusCode::CONFLICT, "going back already");
    assert_eq!(shop.get(QA).await.body["candidate"]["state"], "rolling_back");
}
