//! The operators' page, in real browsers: what people see and press, and what the controller does then.

use std::fs;

use crate::support::{
    browser::{self, Browser},
    house::House,
};

pub(super) const PASSWORD: &str = "correct horse battery";
/// What people are called, and what they may do.
pub(super) const PEOPLE: [(&str, &str); 4] =
    [("alice", "deployer"), ("bob", "approver"), ("carol", "viewer"), ("dora", "admin")];
pub(super) const QA: &str = "/environments/shop/qa";
pub(super) const PROD: &str = "/environments/shop/prod";

/// A shop with qa, where builds come by themselves, and prod, where a person promotes and another one approves.
pub(super) fn shop() -> House {
    let house = House::with("bake = \"200ms\"");
    let first = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    let (head, live) = first.split_once("[[environments]]").expect("an environment");
    let qa = live.replace("name = \"live\"", "name = \"qa\"");
    let prod = live.replace("name = \"live\"", "name = \"prod\"").replace(":8080", ":8081");
    let gate = "retain = \"1h\"\napproval = { before_cutover = { timeout = \"1h\", otherwise = \"abort\" } }";
    let prod = prod
        .replace("\"on-build\"", "\"on-promotion\"")
        .replace("bake = \"200ms\"", &format!("bake = \"200ms\"\n{gate}"));
    house.write("pipelines/shop.toml", &format!("{head}[[environments]]{qa}[[environments]]{prod}"));
    house.write("password", PASSWORD);
    for (name, role) in PEOPLE {
        let added = house.run(&["user", "add", name, "--grant", role, "--password-file", "password"]);
        assert!(added.status.success(), "{added:?}");
    }
    house.start();
    house
}

/// Somebody who has signed in, in a browser of their own.
pub(super) async fn person(house: &House, name: &str) -> Browser {
    let browser = Browser::open(house.address).await;
    browser.sign_in(name, PASSWORD).await;
    browser
}

pub(super) fn until_live(house: &House, environment: &str, version: &str) {
    house.until(&format!("{version} is live in {environment}"), || {
        let now = house.environment_called(environment)?;
        (now["live"]["release"]["version"] == version && now["candidate"].is_null()).then_some(())
    });
}

pub(super) fn promote(house: &House) {
    let asked = house.try_ask("POST", "/v1/environments/shop/prod/promote", "{}").expect("it answers");
    assert!(asked.status < 300, "{asked:?}");
}

/// Brings a version to qa and to prod, where it is approved.
pub(super) fn bring(house: &House, version: &str) {
    house.push(version, "");
    until_live(house, "qa", version);
    promote(house);
    house.until("it waits for approval", || {
        let candidate = house.environment_called("prod")?["candidate"].clone();
        candidate["gate"].is_object().then_some(())?;
        let path = format!("/v1/deployments/shop/prod/{}/approve", candidate["number"]);
        let approved = house.try_ask("POST", &path, "{}").ok()?;
        (approved.status < 300).then_some(())
    });
    until_live(house, "prod", version);
}

/// Marks a page, so that a load of it would be noticed.
pub(super) async fn mark(browser: &Browser) {
    browser.until_live().await;
    browser.ask("window.sameAsBefore = true").await;
}

pub(super) async fn assert_not_loaded_again(browser: &Browser) {
    assert_eq!(browser.ask("return window.sameAsBefore === true").await, true, "the page was loaded again");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_bring_a_build_from_qa_to_prod_and_back() {
    if !browser::installed() {
        return;
    }
    let house = shop();
    bring(&house, "v1");
    let (alice, bob) = tokio::join!(person(&house, "alice"), person(&house, "bob"));
    alice.screenshot("overview").await;

    alice.go(QA).await;
    mark(&alice).await;
    house.push("v2", "");
    alice.until_text("#live", "v2").await;
    alice.until_text("#state", "healthy").await;
    assert_not_loaded_again(&alice).await;
    alice.screenshot("qa-live").await;
    until_live(&house, "qa", "v2");

    bob.go(PROD).await;
    alice.go(PROD).await;
    alice.click("#ways a.primary").await;
    alice.until_text("h1", "Promote 2").await;
    alice.screenshot("promote").await;
    alice.write("#why", "tested in qa").await;
    alice.click("#promote button").await;
    alice.until_text("#candidate", "v2").await;
    mark(&alice).await;
    bob.until_text("#next", "approv").await;
    bob.until_text("#candidate", "v2").await;
    bob.screenshot("prod-waits").await;
    bob.click("#approve button").await;
    for browser in [&alice, &bob] {
        browser.until_text("#live", "v2").await;
        browser.until_text("#standby", "v1").await;
    }
    assert_not_loaded_again(&alice).await;
    until_live(&house, "prod", "v2");
    alice.screenshot("prod-live").await;

    mark(&bob).await;
    alice.write("#rb-why", "orders fail").await;
    alice.click("#rollback button").await;
    for browser in [&alice, &bob] {
        browser.until_text("#live", "v1").await;
        browser.until_text("#state", "held").await;
        browser.until_text("#ways details[open] summary bdi", "alice").await;
        browser.until_text("#ways", "Vetoed: 2").await;
    }
    assert_not_loaded_again(&bob).await;
    bob.until_text("#past", "orders fail").await;
    bob.until_text("#past", "tested in qa").await;
    bob.screenshot("prod-rolled-back").await;
    until_live(&house, "prod", "v1");
    alice.click(".fascia .out").await;
    alice.until_text("h1", "Sign in").await;
    for browser in [&alice, &bob] {
        browser.assert_quiet();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_when_it_is_no_longer_live_and_comes_back_by_itself() {
    if !browser::installed() {
        return;
    }
    let house = shop();
    house.push("v1", "");
    until_live(&house, "qa", "v1");
    let alice = person(&house, "alice").await;
    alice.go(QA).await;
    mark(&alice).await;
    alice.until_text("#state", "healthy").await;
    assert!(green(&alice).await, "what is well is green");
    // Else a browser lets a second page of this address wait until the first one has heard all.
    let kept = "return fetch(location.pathname + '/live').then((heard) => \
                { heard.body.cancel(); return heard.headers.get('cache-control'); })";
    assert_eq!(alice.ask(kept).await, "no-store");
    house.kill();
    alice.until_sees("body[data-stale] .lost").await;
    assert!(!green(&alice).await, "nothing is green that is not seen");
    alice.screenshot("not-live").await;
    alice.assert_accessible("a page that is not live").await;
    house.start();
    alice.until_live().await;
    house.push("v2", "");
    alice.until_text("#live", "v2").await;
    alice.until_text("#state", "healthy").await;
    assert!(green(&alice).await, "it is green again");
    assert_not_loaded_again(&alice).await;
    // A browser and htmx say of themselves that nobody answered.
    let silent = |line: &String| line.contains("net::ERR_") || line.contains("htmx:sse:error");
    let said = alice.console();
    assert!(said.iter().all(silent), "{said:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_session_ended_while_the_controller_was_away_leads_to_the_sign_in() {
    if !browser::installed() {
        return;
    }
    let house = shop();
    let alice = person(&house, "alice").await;
    alice.go(QA).await;
    alice.until_live().await;
    house.kill();
    let removed = house.run(&["user", "remove", "alice"]);
    assert!(removed.status.success(), "{removed:?}");
    house.start();
    alice.until_sees("#password").await;
    assert!(!alice.sees("#ways").await, "nothing is shown to who is nobody any more");
}

/// Whether anything on the page has the colour of what is well.
async fn green(browser: &Browser) -> bool {
    let script = "const probe = document.createElement('i'); probe.style.color = 'light-dark(#065f38, #6bdca4)';\
                  document.documentElement.append(probe); const go = getComputedStyle(probe).color; probe.remove();\
                  const all = [...document.querySelectorAll('main .go')].filter((one) => one.checkVisibility());\
                  return all.some((one) => getComputedStyle(one).color === go)";
    browser.ask(script).await == true
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_confirmed_is_what_is_done() {
    if !browser::installed() {
        return;
    }
    let house = shop();
    for version in ["v1", "v2"] {
        bring(&house, version);
    }
    let alice = person(&house, "alice").await;
    alice.go(PROD).await;
    mark(&alice).await;
    alice.until_text("#rollback button", "v1").await;
    alice.write("#rb-why", "orders fail").await;
    bring(&house, "v3");
    alice.until_text("#live", "v3").await;
    let form = alice.text("#rollback button").await.expect("the form");
    assert!(form.contains("v1") && form.contains("v2"), "who types in a form has it left alone: {form}");
    assert_eq!(alice.ask("return document.getElementById('rb-why').value").await, "orders fail");
    assert_not_loaded_again(&alice).await;

    alice.click("#rollback button").await;
    let page = alice.until_text("main", "it has changed meanwhile").await;
    for words in ["v2", "v3", "orders fail"] {
        assert!(page.contains(words), "{words} is not in {page}");
    }
    alice.screenshot("changed-meanwhile").await;
    let now = house.environment_called("prod").expect("it answers");
    assert_eq!(now["live"]["release"]["version"], "v3");
    assert!(now["hold"].is_null() && now["candidate"].is_null(), "nothing was done: {now:#}");

    alice.click("main a.btn").await;
    alice.until_text("#rollback button", "v2").await;
    alice.write("#rb-why", "orders fail").await;
    alice.click("#rollback button").await;
    alice.until_text("#live", "v2").await;
    until_live(&house, "prod", "v2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_deployed_by_the_page_also_after_a_slip_and_a_release_goes_again() {
    if !browser::installed() {
        return;
    }
    let house = shop();
    let (alice, carol) = tokio::join!(person(&house, "alice"), person(&house, "carol"));
    alice.go(QA).await;
    alice.until_live().await;
    alice.click("#deploy").await;
    alice.until_text("h1", "Deploy to shop/qa").await;
    alice.write("#version", "v1").await;
    alice.write("#artifact", "/nowhere/v1").await;
    alice.write("#why", "the first one").await;
    alice.click("#deploy button").await;
    alice.until_text("#artifact-wrong", "/nowhere/v1").await;
    alice.until_text("[role=alert]", "Nothing was deployed").await;
    alice.screenshot("deploy-wrong").await;
    alice.assert_accessible("deploy-wrong").await;
    alice.assert_fits("deploy-wrong").await;
    let typed =
        alice.ask("return [document.querySelector('#version').value, document.querySelector('#why').value]").await;
    assert_eq!(typed, serde_json::json!(["v1", "the first one"]), "what was typed stays");
    alice.ask("document.querySelector('#artifact').value = ''").await;
    alice.write("#artifact", "none").await;
    alice.click("#deploy button").await;
    alice.until_text("#live", "v1").await;
    alice.until_text("#past", "the first one").await;
    until_live(&house, "qa", "v1");
    house.push("v2", "");
    until_live(&house, "qa", "v2");

    carol.go(&format!("{QA}/deploy")).await;
    carol.until_text("#not", "Not for you: it takes the role deployer on shop/qa. Who can: alice (deployer)").await;
    carol.ask("document.querySelector('#again button').click()").await;
    assert!(carol.sees("#again").await, "a button that is locked does nothing");
    carol.go(QA).await;
    carol.until_text("#deploy-why", "Not for you").await;

    let plain =
        Browser::of_kind(house.address, browser::Kind { without_scripts: true, ..browser::Kind::default() }).await;
    plain.sign_in("alice", PASSWORD).await;
    plain.go(&format!("{QA}/deploy")).await;
    plain.until_text("#release", "2 (v2), live now").await;
    plain.click("#release option[value='1']").await;
    plain.write("#again-why", "v2 is slow").await;
    plain.click("#again button").await;
    until_live(&house, "qa", "v1");
    let past = house.try_ask("GET", "/v1/environments/shop/qa/deployments", "").expect("it answers").body;
    assert!(past.contains("v2 is slow"), "{past}");
    // The console of alice's browser has the status of the slip.
    for browser in [&carol, &plain] {
        browser.assert_quiet();
    }
}
