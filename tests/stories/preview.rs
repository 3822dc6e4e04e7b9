//! The candidate is checked and looked at through the front before users get it, and by nobody else.

use std::fs;

use crate::support::{browser, house::House, wire::Wire};

const GATE: &str = "bake = \"200ms\"\napproval = { before_cutover = { timeout = \"1h\", otherwise = \"abort\" } }";

/// An installation whose stacks are well only for whoever comes through the front.
fn behind_front(terms: &str) -> House {
    let house = House::with(terms);
    let definition = fs::read_to_string(house.path("stacks/process/app.toml")).expect("it is there");
    house.write(
        "stacks/process/app.toml",
        &definition.replace(" {parameters.extra}", " --behind-front {parameters.extra}"),
    );
    let file = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    house.write("pipelines/shop.toml", &file.replace("passes = 2", "passes = 2\ngrace = \"2s\""));
    house
}

fn asked(house: &House, headers: &str) -> String {
    let answer = Wire::open(house.front()).and_then(|mut wire| wire.ask("GET", "/", headers, "")).expect("an answer");
    answer.headers.get("x-version").cloned().expect("the sample's version")
}

fn key(house: &House) -> serde_json::Value {
    house.until("the preview is known", || {
        let answer = house.try_ask("GET", "/v1/environments/shop/live/preview", "").ok()?;
        serde_json::from_str(&answer.body).ok().filter(|_| answer.status == 200)
    })
}

fn approve(house: &House, number: u64) {
    let path = format!("/v1/deployments/shop/live/{number}/approve");
    house.wish(&path, "{}", |record| record["event"]["kind"] == "approved");
}

#[test]
fn a_candidate_that_only_the_front_reaches_becomes_live_and_is_kept_alive() {
    let house =
        behind_front("bake = \"200ms\"\nchecks_via = \"front\"\nrecover = { to = \"standby\", after = \"1s\" }");
    house.start();
    for version in ["v1", "v2"] {
        let number = house.push(version, "");
        house.settle();
        house.assert_outcome(number, "succeeded");
        assert_eq!(house.live_version().as_deref(), Some(version));
    }
    let said = house.records().iter().map(ToString::to_string).find(|record| record.contains("through the front"));
    assert!(said.is_some(), "the record says which way was asked");
    // A candidate that is not well does not pass by the answer of the stack that is.
    let sick = house.push("v3", "--broken");
    house.settle();
    let why = house.assert_outcome(sick, "failed");
    assert!(why.contains("/healthz") && why.contains("503"), "{why}");
    assert_eq!(house.live_version().as_deref(), Some("v2"));
    let down = house.environment().expect("it answers")["down"].clone();
    assert!(down.is_null(), "{down}");
}

#[test]
fn without_the_front_the_same_stack_fails_and_a_header_of_the_request_reaches_it() {
    let house = behind_front("bake = \"200ms\"");
    house.start();
    let number = house.push("v1", "");
    house.settle();
    let why = house.assert_outcome(number, "failed");
    assert!(why.contains("403"), "{why}");
    let file = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    let told = file.replace("status = 200 }", "status = 200, request_headers = { X-Forwarded-Proto = \"https\" } }");
    house.write("pipelines/shop.toml", &told);
    house.stop();
    house.start();
    let number = house.push("v2", "");
    house.settle();
    house.assert_outcome(number, "succeeded");
}

#[test]
fn who_has_the_key_sees_the_candidate_and_it_is_written_nowhere_else() {
    let house = House::with(GATE);
    house.start();
    let one = house.push("v1", "");
    house.until_state(one, "awaiting_approval");
    approve(&house, one);
    house.settle();
    let two = house.push("v2", "");
    house.until_state(two, "awaiting_approval");
    let told = key(&house);
    let key = told["key"].as_str().expect("a key");
    assert_eq!(asked(&house, &format!("{}: {key}\r\n", told["header"].as_str().expect("a header"))), "v2");
    assert_eq!(asked(&house, &format!("cookie: pointsman_preview={key}\r\n")), "v2");
    for said in ["", "x-pointsman-preview: candidate\r\n", "x-pointsman-preview: shop-live-2\r\n"] {
        assert_eq!(asked(&house, said), "v1", "{said}");
    }
    let status = house.run(&["status", "shop/live"]);
    let status = String::from_utf8_lossy(&status.stdout).replace(char::is_whitespace, "");
    assert!(status.contains(told["link"].as_str().expect("a link")), "{status}");
    // Neither what others read of it, nor a record or a log.
    let whole = house.environment().expect("it answers").to_string();
    let plan = house.run(&["plan", "shop/live"]);
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(plan.contains("preview of the candidate: http://"), "{plan}");
    let front = fs::read_to_string(house.path("state/fronts/shop/live/log")).unwrap_or_default();
    let records = fs::read_to_string(house.state_file()).expect("it is there");
    for (what, text) in
        [("API", &whole), ("plan", &plan), ("front's log", &front), ("log", &house.log()), ("journal", &records)]
    {
        assert!(!text.contains(key), "the {what} has the key");
    }
}

#[tokio::test]
async fn a_browser_opens_the_link_and_sees_the_candidate_while_others_see_what_is_live() {
    if !browser::installed() {
        return;
    }
    let house = House::with(GATE);
    house.write("password", super::page::PASSWORD);
    for (name, role) in super::page::PEOPLE {
        let added = house.run(&["user", "add", name, "--grant", role, "--password-file", "password"]);
        assert!(added.status.success(), "{added:?}");
    }
    house.start();
    let one = house.push("v1", "");
    house.until_state(one, "awaiting_approval");
    approve(&house, one);
    house.settle();
    let two = house.push("v2", "");
    house.until_state(two, "awaiting_approval");

    let deployer = super::page::person(&house, "alice").await;
    deployer.go("/environments/shop/live").await;
    let link = deployer.ask("return document.querySelector('#preview a').href").await;
    let link = link.as_str().expect("a link").to_owned();
    deployer.visit(&link).await;
    deployer.until_text("h1", "v2").await;
    let cookies = deployer.ask("return document.cookie").await;
    assert!(!cookies.as_str().expect("text").contains("pointsman_preview"), "no script reads it: {cookies}");

    let viewer = super::page::person(&house, "carol").await;
    viewer.go("/environments/shop/live").await;
    viewer.until_text("#preview", "who may deploy here has the link").await;
    let key = key(&house)["key"].as_str().expect("a key").to_owned();
    let page = viewer.ask("return document.documentElement.outerHTML").await;
    assert!(!page.to_string().contains(&key), "a viewer is not told the key");
    viewer.visit(&format!("http://{}/", house.front())).await;
    viewer.until_text("h1", "v1").await;

    // With its arrival they are users like all others.
    approve(&house, two);
    house.settle();
    deployer.visit(&format!("http://{}/", house.front())).await;
    deployer.until_text("h1", "v2").await;
    deployer.visit(&format!("http://{}/.pointsman/preview?off", house.front())).await;
}
