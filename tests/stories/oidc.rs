//! People sign in at a real OpenID Connect provider, in real browsers.

use std::fs;

use serde_json::Value;

use super::page::{self, PASSWORD, PROD, until_live};
use crate::support::{
    browser::{self, Browser, Kind},
    house::House,
    oidc::{self, Groups, Provider, SECRET},
};

const BUTTON: &str = "main a.primary";

/// The shop of the page, with a provider in its settings.
fn shop(groups: Groups) -> (House, Provider) {
    let house = page::shop();
    let provider = Provider::start(house.address, groups);
    house.write("oidc-secret", SECRET);
    let settings = fs::read_to_string(house.path("pointsman.toml")).expect("settings");
    let oidc = format!(
        "[server.oidc]\nname = \"Example SSO\"\nissuer = \"{}\"\nclient = \"pointsman\"\n\
         secret = {{ file = \"oidc-secret\" }}\nscopes = [\"profile\", \"groups\"]\n[server.oidc.groups]\n\
         releasers = [{{ role = \"viewer\" }}, {{ role = \"approver\", only = [\"shop/prod\"] }}]\n",
        provider.issuer
    );
    house.write("pointsman.toml", &format!("{settings}{oidc}"));
    let checked = house.run(&["check"]);
    assert!(checked.status.success(), "{checked:?}");
    house.stop();
    house.start();
    (house, provider)
}

/// Goes to the provider by the button, says who it is, and is led back.
async fn sign_in(browser: &Browser, name: &str) {
    browser.go("/sign-in").await;
    browser.click(BUTTON).await;
    say_who(browser, name).await;
}

async fn say_who(browser: &Browser, name: &str) {
    browser.until_text("h1", "Provider").await;
    browser.write("#login", name).await;
    browser.click("main button").await;
}

/// The acts of the record by this person.
fn acts(house: &House, by: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(house.path("state/audit/acts.jsonl")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let own = lines.filter(|line| line["by"].as_str().is_some_and(|who| who.starts_with(by)));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    own.map(|line| (text(&line["act"]), text(&line["to"]))).collect()
}

/// Everything that the controller wrote down.
fn written(house: &House) -> String {
    fn read(folder: &std::path::Path, all: &mut String) {
        for entry in fs::read_dir(folder).expect("a folder").map_while(Result::ok) {
            match entry.path() {
                path if path.is_dir() => read(&path, all),
                path => *all += &String::from_utf8_lossy(&fs::read(path).unwrap_or_default()),
            }
        }
    }
    let mut all = house.log();
    read(&house.path("state"), &mut all);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_of_the_provider_promotes_under_their_own_name_and_signs_out_of_both() {
    if !browser::installed() || !oidc::installed() {
        return;
    }
    let (house, provider) = shop(Groups::InToken);
    house.push("v1", "");
    until_live(&house, "qa", "v1");
    let erika = Browser::open(house.address).await;
    erika.go("/sign-in").await;
    erika.screenshot("sign-in-oidc").await;
    erika.assert_accessible("the sign-in with a provider").await;
    erika.assert_quiet();

    // A restart between the button and the answer loses nothing.
    erika.go(PROD).await;
    erika.click(BUTTON).await;
    erika.until_text("h1", "Provider").await;
    house.kill();
    house.start();
    say_who(&erika, "erika").await;
    let who = erika.until_text("header .who", "oidc:erika#").await;
    erika.until_text("h1", "prod").await;
    // What the provider's own pages say to the console is not ours.
    erika.console();

    erika.go("/environments/shop/prod/promote").await;
    erika.write("#why", "tested in qa").await;
    erika.click("#promote button").await;
    erika.until_text("#candidate", "v1").await;
    erika.until_text("#next", "approv").await;
    erika.click("#approve button").await;
    erika.until_text("#live", "v1").await;
    until_live(&house, "prod", "v1");
    erika.screenshot("prod-by-oidc").await;
    erika.go("/environments/shop/qa").await;
    erika.until_live().await;
    let locked =
        "return [...document.querySelectorAll('#ways form button')].every((one) => one.ariaDisabled === 'true')";
    assert_eq!(erika.ask(locked).await, true, "the role is that of the group, where it holds");
    let by = house.records().into_iter().filter(|record| record["environment"] == "shop/prod");
    let by: Vec<_> = by.filter_map(|record| record["by"].as_str().map(str::to_owned)).collect();
    let account = who.split(',').next().expect("a name").trim();
    assert!(by.iter().filter(|by| *by == account).count() >= 2, "{account} is not in {by:?}");

    erika.assert_quiet();
    erika.click(".fascia .out").await;
    erika.until_text("h1", "Signed out").await;
    erika.assert_accessible("signed out").await;
    erika.assert_fits("signed out").await;
    erika.click(BUTTON).await;
    erika.click("button[name=logout]").await;
    erika.until_text("h1", "Sign in").await;
    erika.console();
    erika.click(BUTTON).await;
    erika.until_text("h1", "Provider").await;
    let recorded = house.until("the sign-out is recorded", || {
        Some(acts(&house, account)).filter(|acts| acts.iter().any(|(act, _)| act == "signed-out"))
    });
    let to = format!("erika at {}", provider.issuer);
    assert!(recorded.contains(&("signed-in".to_owned(), to)), "{recorded:?}");

    let (written, secrets) = (written(&house), provider.secrets());
    assert!(secrets.len() >= 5, "code, verifier, two tokens and the secret: {}", secrets.len());
    for secret in secrets {
        assert!(!written.contains(&secret), "a secret is written down: {}", &secret[..8]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_group_without_a_name_and_without_the_provider_nobody_comes_in_but_local_users() {
    if !browser::installed() || !oidc::installed() {
        return;
    }
    let (house, mut provider) = shop(Groups::AtUserinfo);
    let otto = Browser::of_kind(house.address, Kind { phone: true, ..Kind::default() }).await;
    sign_in(&otto, "otto").await;
    let page = otto.until_text("main", "none of your groups may do anything here").await;
    assert!(page.contains("the claim groups has: staff") || page.contains("the claim `groups` has: `staff`"), "{page}");
    otto.screenshot("sign-in-without-a-group").await;
    otto.assert_fits("refused").await;
    otto.assert_accessible("refused").await;
    otto.go("/").await;
    otto.until_text("h1", "Sign in").await;

    let erika = Browser::of_kind(house.address, Kind { without_scripts: true, ..Kind::default() }).await;
    sign_in(&erika, "").await;
    erika.until_text("main", "access_denied (Nobody gave a name)").await;
    sign_in(&erika, "erika").await;
    erika.until_text("header .who", "oidc:erika#").await;

    provider.stop();
    let alice = Browser::open(house.address).await;
    house.stop();
    house.start();
    alice.go(PROD).await;
    alice.click(BUTTON).await;
    alice.until_text("main", "onnection refused").await;
    alice.screenshot("sign-in-without-the-provider").await;
    alice.assert_accessible("the provider is down").await;
    alice.write("#user", "alice").await;
    alice.write("#password", PASSWORD).await;
    alice.click("main button[type=submit]").await;
    alice.until_text("header .who", "alice").await;
    alice.until_text("h1", "prod").await;
    erika.go("/").await;
    erika.until_text("header .who", "oidc:erika#").await;
}
