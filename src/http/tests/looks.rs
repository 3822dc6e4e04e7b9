//! What is shown: what an environment waits for, until when, and who can change it.

use std::sync::Arc;

use serde_json::json;

use super::kit::Shop;
use crate::{
    access::Role,
    machine::{
        Ask, Condition, Event, Gate, Health, Key, Millis, Number, Otherwise, Plan, Release, ReleaseDraft, Trigger,
    },
    reach::Reach,
    runner::{Ends, StackSight},
    text::format_time,
};

const QA: &str = "/v1/environments/shop/qa";

async fn build(shop: &Shop, version: &str) {
    let told = shop.hook(&format!(r#"{{"version":"{version}","artifact":"a"}}"#)).await;
    assert_eq!(told.status, 202);
}

async fn why(shop: &Shop) -> String {
    shop.get(QA).await.body["next"].as_str().unwrap().to_owned()
}

#[track_caller]
fn says(told: &str, what: &str) {
    assert!(told.contains(what), "{told:?} does not say {what:?}");
}

#[tokio::test]
async fn each_step_says_what_it_waits_for_and_until_when() {
    let shop = Shop::new();
    says(&why(&shop).await, "Nothing was deployed yet");
    shop.post(&format!("{QA}/hold"), r#"{"reason":"audit"}"#).await;
    says(&why(&shop).await, "held by local:ann since");
    build(&shop, "v1").await;
    let held = why(&shop).await;
    says(&held, "Deployment 1 (v1) waits: automatic deployments are held by local:ann");
    says(&held, "(audit); `pointsman resume shop/qa`");
    shop.post(&format!("{QA}/resume"), "").await;
    says(&why(&shop).await, "Deployment 1 (v1) is next");

    let number = Number(1);
    shop.steps("shop/qa", [Event::Started { number }]).await;
    let state = shop.state("shop/qa");
    let gate = state.active().unwrap();
    let until = format_time(gate.since.plus(gate.plan.before_provisioning.as_ref().unwrap().timeout));
    let waits = why(&shop).await;
    says(
        &waits,
        &format!("waits until {until} for anybody with the role approver to approve it before a stack is stood up"),
    );
    says(&waits, "then it is aborted: `pointsman approve shop/qa` or `pointsman abort shop/qa`");
    assert_eq!(shop.get(QA).await.body["candidate"]["until"], until);

    shop.steps("shop/qa", [Event::Approved { number, reason: None }]).await;
    says(&why(&shop).await, "waits for its stack to be up, until");
    shop.steps("shop/qa", [Event::Provisioned { number }]).await;
    says(&why(&shop).await, "must pass its checks until");
    let generation = shop.state("shop/qa").generation().next();
    shop.steps(
        "shop/qa",
        [Event::Checked { number, answers: Vec::new() }, Event::CutOverOrdered { number, generation, share: None }],
    )
    .await;
    says(&why(&shop).await, "waits for the front to show it");
    shop.steps("shop/qa", [Event::WentLive { number, host: None }]).await;
    says(&why(&shop).await, "is live and watched until");
    shop.steps("shop/qa", [Event::Succeeded { number }]).await;
    says(&why(&shop).await, "there is nothing to roll back to yet");
}

#[tokio::test]
async fn a_gate_that_opens_by_itself_says_what_keeps_it_shut() {
    let shop = Shop::new();
    let gate = Gate { timeout: Millis(60_000), otherwise: Otherwise::Approve, by: Vec::new(), not_the_asker: false };
    let deploy = Ask::Deploy {
        key: Key([1; 16]),
        build_number: None,
        release: ReleaseDraft::New(Release::draft("v1")),
        plan: Arc::new(Plan { before_provisioning: Some(gate), ..Plan::default() }),
        trigger: Trigger::Build,
    };
    let (id, now) = ("shop/qa".parse().unwrap(), shop.app.clock.now());
    shop.app.journal.command(&id, "webhook:test", now, deploy).await.unwrap();
    shop.steps("shop/qa", [Event::Started { number: Number(1) }]).await;
    says(&why(&shop).await, "then it goes on by itself: ");
    shop.post(&format!("{QA}/hold"), "").await;
    says(&why(&shop).await, "then it goes on as soon as no hold and no pin stops it: ");
}

#[tokio::test]
async fn a_rollback_is_called_ready_only_when_the_stack_before_was_seen_well() {
    let shop = Shop::new();
    build(&shop, "v1").await;
    shop.go_live("shop/qa", 1).await;
    assert_eq!(shop.get(QA).await.body["rollback"], "none");
    build(&shop, "v2").await;
    shop.go_live("shop/qa", 2).await;
    let told = shop.get(QA).await.body;
    // The board has seen no stack of this shop.
    assert_eq!((told["rollback"].as_str(), &told["standby"]["stack"]), (Some("cold"), &serde_json::Value::Null));
    assert_eq!(told["standby"]["release"]["version"], "v1");
    assert_eq!(told["ended"][1]["outcome"], "succeeded");
    says(told["next"].as_str().unwrap(), "a rollback would be cold");
}

#[tokio::test]
async fn who_sees_a_part_is_shown_the_history_of_that_part_however_long_ago() {
    let shop = Shop::new();
    let quinn = shop.token("quinn", Role::Viewer, &["shop/qa"]);
    shop.post("/v1/environments/shop/qa/hold", r#"{"reason":"\"environment\":\"shop/prod\""}"#).await;
    for _ in 0..1100 {
        assert_eq!(shop.post("/v1/environments/shop/prod/hold", "").await.status, 200);
    }
    for path in ["/v1/history", "/v1/history?environment=shop/qa&last=1"] {
        let told = shop.ask(&quinn, "GET", path, "").await;
        let records = told.body["records"].as_array().unwrap();
        assert_eq!((records.len(), records[0]["seq"].as_u64()), (1, Some(1)), "{path}");
    }
    let told = shop.ask(&quinn, "GET", "/v1/history?environment=shop/qa&since=1", "").await;
    assert_eq!(told.body["records"].as_array().unwrap().len(), 0);
    let told = shop.get("/v1/history?environment=shop/prod&since=1099").await;
    assert_eq!(
        (told.body["records"][0]["seq"].as_u64(), told.body["records"][1]["seq"].as_u64()),
        (Some(1100), Some(1101))
    );
    let all = shop.get("/v1/history?last=5000").await;
    assert_eq!(all.body["records"].as_array().unwrap().len(), 1000);
}

#[tokio::test]
async fn restarts_are_counted_by_stack_where_the_driver_tells_and_the_page_says_how_the_last_ended() {
    let shop = Shop::new();
    for version in ["v1", "v2"] {
        super::page::live_in_qa(&shop, version).await;
    }
    let now = shop.app.clock.now();
    let ends = |count, last: Option<&str>| Some(Ends { count, last: last.map(str::to_owned) });
    let stack = |number, ends| StackSight {
        number: Number(number),
        condition: Condition::Ready,
        health: Health::Passing,
        made: None,
        reach: Reach::default(),
        remark: None,
        ends,
    };
    let id = "shop/qa".parse().unwrap();
    let see = |live, standby| {
        shop.app.board.update(&id, |sight| {
            sight.seen.stacks = Some(now);
            sight.stacks = vec![stack(2, live), stack(1, standby)];
        });
    };
    let vera = shop.token("vera", crate::access::Role::Viewer, &[]);
    let restarts = async || {
        let told = shop.get("/v1/environments/shop/qa").await.body;
        let page = super::page::look(&shop, &vera, "/environments/shop/qa").await.text;
        let track = |id: &str| {
            page.split(&format!("id=\"{id}\"")).nth(1).unwrap().split("</section>").next().unwrap().to_owned()
        };
        let fact = |id: &str| {
            let track = track(id);
            let fact = track.split("<dt>Restarts</dt><dd><bdi>").nth(1)?;
            Some(fact.split("</bdi>").next().unwrap().to_owned())
        };
        let told = ["live", "standby"].map(|which| told[which]["stack"]["restarts"].clone());
        (told, [fact("live"), fact("standby")])
    };
    see(ends(3, Some("instance 0 ended by itself: exit status 1: <b>")), ends(0, None));
    let (told, shown) = restarts().await;
    assert_eq!(told[0], json!({ "count": 3, "last": "instance 0 ended by itself: exit status 1: <b>" }));
    assert_eq!(told[1], json!({ "count": 0, "last": null }));
    let last = shown[0].as_deref().unwrap();
    assert!(
        last.starts_with("3; the last: instance 0 ended by itself: exit status 1") && !last.contains("<b>"),
        "{last}"
    );
    assert_eq!(shown[1].as_deref(), Some("0"));
    see(None, None);
    let (told, shown) = restarts().await;
    assert!(told.iter().all(serde_json::Value::is_null), "{told:?}");
    assert_eq!(shown, [None, None], "a driver that does not count shows no count");
}
