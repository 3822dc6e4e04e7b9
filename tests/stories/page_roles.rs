//! The operators' page as everybody has it: every role, light and dark, on a phone, by keyboard, without scripts, and with
//! texts that mean no good.

use serde_json::{Value, json};

use super::page::{PASSWORD, PEOPLE, PROD, QA, bring, person, promote, shop, until_live};
use crate::support::{
    browser::{self, Browser, Kind},
    house::House,
};

/// All pages, and whether they hear of changes.
const PAGES: [(&str, &str, bool); 12] = [
    ("overview", "/", true),
    ("qa", QA, true),
    ("promote", "/environments/shop/prod/promote", false),
    ("deploy", "/environments/shop/qa/deploy", false),
    ("deploy-again", "/environments/shop/prod/deploy", false),
    ("deployment", "/deployments/shop/prod/3", false),
    ("history", "/history", false),
    ("me", "/me", false),
    ("history-filtered", "/history?environment=*/prod&outcome=failed", false),
    ("release", "/releases/shop/2", false),
    ("figures", "/figures", false),
    ("prod", PROD, true),
];
/// Pages for admins.
const DOORS: [(&str, &str); 2] = [("people", "/people"), ("tokens", "/tokens")];
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// A shop in which all is to be seen that a page has: what waits for a person, a hold, a veto and a way back.
fn busy_shop() -> House {
    let house = shop();
    for version in ["v1", "v2", "v3"] {
        bring(&house, version);
    }
    command(&house, "prod/veto", &json!({ "release": 1, "reason": "it loses orders" }));
    let token = house.run(&["token", "new", "jenkins", "--role", "deployer", "--only", "shop"]);
    assert!(token.status.success(), "{token:?}");
    house.push("v4", "");
    until_live(&house, "qa", "v4");
    command(&house, "qa/hold", &json!({ "reason": "the holidays" }));
    promote(&house);
    house.until("it waits for approval", || {
        house.environment_called("prod")?["candidate"]["gate"].is_object().then_some(())
    });
    house
}

fn command(house: &House, path: &str, body: &Value) {
    let done = house.try_ask("POST", &format!("/v1/environments/shop/{path}"), &body.to_string()).expect("it answers");
    assert!(done.status < 300, "{path} {body}: {done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_right_for_every_role_in_light_and_dark_and_on_a_phone() {
    if !browser::installed() {
        return;
    }
    let house = busy_shop();
    let desk = async { look_as_everybody(&house, Kind::default()).await };
    let phone = async { look_as_everybody(&house, Kind { phone: true, ..Kind::default() }).await };
    tokio::join!(desk, phone);
}

async fn look_as_everybody(house: &House, kind: Kind) {
    let browser = Browser::of_kind(house.address, kind).await;
    let size = if kind.phone { "phone" } else { "desk" };
    browser.go("/sign-in").await;
    look(&browser, &format!("sign-in-{size}")).await;
    for (at, (name, role)) in PEOPLE.iter().enumerate() {
        browser.sign_in(name, PASSWORD).await;
        // Colours are the same for all; two roles have them light, two dark.
        browser.theme(if at % 2 == 0 { "light" } else { "dark" }).await;
        for (page, path, hears) in PAGES {
            browser.go(path).await;
            if hears {
                browser.until_live().await;
            }
            // What has nothing to press is the same for all.
            let differs = hears || at < 2;
            let name = format!("{page}-{role}-{size}");
            if differs {
                look(&browser, &name).await;
            } else {
                browser.assert_fits(&name).await;
                browser.assert_quiet();
            }
        }
        assert_what_may_be_pressed(&browser, role).await;
        for (page, path) in DOORS.iter().filter(|_| *role == "admin") {
            browser.go(path).await;
            look(&browser, &format!("{page}-{role}-{size}")).await;
        }
        if *role == "admin" {
            make_a_token(&browser, size).await;
            add_a_user(house, &browser, kind, size).await;
        }
        browser.sign_out().await;
    }
}

/// Its text is on one page, once.
async fn make_a_token(browser: &Browser, size: &str) {
    let name = format!("release-bot-{size}");
    browser.go("/tokens").await;
    browser.write("#tn", &name).await;
    browser.write("#tw", "shop/qa, shop/prod").await;
    browser.click("#new-token button").await;
    browser.until_text("#new", &name).await;
    let text = browser.text("#tok").await.expect("its text");
    assert!(text.starts_with("pm_"));
    look(browser, &format!("token-made-{size}")).await;
    browser.go("/tokens").await;
    let page = browser.until_text("main", &name).await;
    assert!(!page.contains(&text), "it is shown once");
}

/// They choose a password by a link that the page shows once.
async fn add_a_user(house: &House, browser: &Browser, kind: Kind, size: &str) {
    let name = format!("erin-{size}");
    browser.go("/people").await;
    browser.click("#list + .scroll tbody tr:last-child td.act summary").await;
    look(browser, &format!("people-open-{size}")).await;
    browser.write("#un", &name).await;
    browser.write("#ug", "deployer=shop/qa approver=shop/prod").await;
    browser.click("#new-user button").await;
    browser.until_text("#made", &name).await;
    browser.until_text("main", "no password yet").await;
    look(browser, &format!("people-added-{size}")).await;
    let link = browser.text("#link").await.expect("the link");
    let path = link.split_once("/choose-password").expect("where the password is chosen").1;
    let erin = Browser::of_kind(house.address, kind).await;
    erin.go(&format!("/choose-password{path}")).await;
    look(&erin, &format!("choose-password-{size}")).await;
    erin.write("#password", PASSWORD).await;
    erin.click("button.primary").await;
    erin.until_text("header .who", &name).await;
    erin.go("/me").await;
    erin.until_text("main", "approver of shop/prod").await;
    look(&erin, &format!("me-erin-{size}")).await;
}

async fn look(browser: &Browser, name: &str) {
    browser.screenshot(name).await;
    browser.assert_fits(name).await;
    browser.assert_accessible(name).await;
    browser.assert_quiet();
}

/// A button that may not be pressed says why; and those that may are those of the role.
async fn assert_what_may_be_pressed(browser: &Browser, role: &str) {
    let script = "return [...document.querySelectorAll('#ways form')].map((form) => {\
                  const button = form.querySelector('button'); const why = button.getAttribute('aria-describedby');\
                  return [form.id, button.getAttribute('aria-disabled') === 'true',\
                  why ? document.getElementById(why)?.textContent ?? '' : null]; })";
    let forms = browser.ask(script).await;
    let may = |id: &str| match id {
        "approve" | "resume" => role == "approver" || role == "admin",
        "abort" | "rollback" | "hold" | "maintenance" | "restart" => role != "viewer",
        _ => role == "admin",
    };
    let forms = forms.as_array().expect("forms");
    let ids: Vec<&str> = forms.iter().filter_map(|form| form[0].as_str()).collect();
    for id in ["approve", "abort", "rollback", "hold", "maintenance", "pin", "veto-4", "restart"] {
        assert!(ids.contains(&id), "{id} is not in {ids:?}");
    }
    for form in forms {
        let id = form[0].as_str().expect("an id");
        assert_eq!(form[1], !may(id), "{id} for {role}");
        let why = form[2].as_str().unwrap_or_default();
        assert!(may(id) || why.contains("Not for you: it takes the role"), "{id} for {role} says {why:?}");
    }
    if role == "viewer" {
        browser.ask("document.querySelector('#abort button').click()").await;
        assert!(browser.sees("#abort").await, "a button that is locked does nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyboard_is_enough_for_going_back() {
    if !browser::installed() {
        return;
    }
    let house = shop();
    for version in ["v1", "v2"] {
        bring(&house, version);
    }
    let alice = person(&house, "alice").await;
    alice.go(PROD).await;
    alice.until_live().await;
    tab_to(&alice, "#rb-why").await;
    alice.press("orders fail").await;
    tab_to(&alice, "#rollback button").await;
    alice.press(ENTER).await;
    alice.until_text("#live", "v1").await;
    until_live(&house, "prod", "v1");
    alice.assert_quiet();
}

/// Presses Tab until the focus is there; each time it is somewhere to be seen.
async fn tab_to(browser: &Browser, css: &str) {
    for _ in 0..60 {
        browser.press(TAB).await;
        let script = format!(
            "const at = document.activeElement; const look = getComputedStyle(at);\
             return [at.matches('{css}'), look.outlineStyle !== 'none' || look.boxShadow !== 'none', at.outerHTML.slice(0, 200)]"
        );
        let at = browser.ask(&script).await;
        assert_eq!(at[1], true, "the focus is not shown at {}", at[2]);
        if at[0] == true {
            return;
        }
    }
    panic!("Tab does not lead to {css}");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_mean_no_good_are_shown_as_text() {
    if !browser::installed() {
        return;
    }
    let house = shop();
    let version = "a-long-name-".repeat(16);
    house.push(&version, "");
    until_live(&house, "qa", &version);
    let hostile = "<b id=x>b</b><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";
    let long = "long".repeat(100);
    let turned = "\u{202e}abc\u{2066}";
    let dora = Browser::of_kind(house.address, Kind { phone: true, ..Kind::default() }).await;
    dora.sign_in("dora", PASSWORD).await;
    for (at, reason) in [hostile, &long, turned, "`code` & &lt; \"quotes\" 'single' {{ x }}"].into_iter().enumerate() {
        command(&house, "qa/hold", &json!({ "reason": reason }));
        dora.go(QA).await;
        dora.until_live().await;
        let shown = dora.ask("return document.getElementById('resume').textContent").await;
        let shown = shown.as_str().expect("text");
        let expected = reason.replace(['\u{202e}', '\u{2066}'], "\u{fffd}").replace('`', "");
        assert!(shown.contains(&expected), "{expected} is not in {shown}");
        assert_eq!(dora.ask("return document.querySelectorAll('main b#x, main img, main script').length").await, 0);
        assert!(!dora.title().await.contains("owned"));
        dora.assert_fits(reason).await;
        dora.screenshot(&format!("hostile-{at}")).await;
        command(&house, "qa/resume", &json!({}));
    }
    dora.go("/").await;
    dora.until_live().await;
    dora.assert_fits("the overview").await;
    dora.screenshot("hostile-overview").await;
    dora.assert_quiet();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_everything_is_read_and_pressed() {
    if !browser::installed() {
        return;
    }
    let house = shop();
    for version in ["v1", "v2"] {
        bring(&house, version);
    }
    let alice = Browser::of_kind(house.address, Kind { without_scripts: true, ..Kind::default() }).await;
    alice.sign_in("alice", PASSWORD).await;
    alice.go(PROD).await;
    alice.until_text("#live", "v2").await;
    assert!(!alice.sees("#heard").await, "a page that does not hear of changes does not say so");
    alice.write("#rb-why", "orders fail").await;
    alice.click("#rollback button").await;
    until_live(&house, "prod", "v1");
    alice.go(PROD).await;
    alice.until_text("#live", "v1").await;
    alice.until_text("#state", "held").await;
    alice.until_text("#ways details[open] summary bdi", "alice").await;
    alice.screenshot("without-scripts").await;
    alice.assert_quiet();
}
