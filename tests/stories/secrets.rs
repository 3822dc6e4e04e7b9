//! Secrets of a pipeline, against the real program: what must be there, where values go, and where they never stand.

use std::{fs, path::Path};

use crate::support::house::House;

const CANARY: &str = "canary-of-the-shop-4711";
const TERMS: &str = "bake = \"200ms\"";

/// A house whose stacks are given `db` as `$DB`, and a second secret.
fn house() -> House {
    let house = House::with(TERMS);
    let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    let secrets =
        "[secrets]\ndb = { file = \"../secrets/db\" }\nmail = { file = \"../secrets/mail\" }\n[[environments]]";
    let pipeline = pipeline.replace("[[environments]]", secrets);
    house.write("pipelines/shop.toml", &pipeline.replace("app.toml\" }", "app.toml\", secrets = [\"db\", \"mail\"] }"));
    let sample = "test -n \"$DB\" || exit 9; exec {pointsman} sample --listen {address}:{port} --version {version}";
    let definition = house.definition(sample) + "secrets = { DB = { secret = \"db\" } }\n";
    house.write("stacks/process/app.toml", &definition);
    house
}

/// The files below a folder that hold this word.
fn with_word(folder: &Path, word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).expect("a folder").filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            found.extend(with_word(&path, word));
        } else if fs::read(&path).unwrap_or_default().windows(word.len()).any(|w| w == word.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn nothing_starts_without_its_secrets_and_all_that_are_missing_are_named() {
    let house = house();
    house.write("secrets/mail", "\n");
    let refused = house.run(&["serve"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    for name in ["the secret db of shop cannot be read: ", "the secret mail of shop cannot be read: ", "is empty"] {
        assert!(said.contains(name), "{said}");
    }
}

#[test]
fn a_value_reaches_the_stack_and_stands_nowhere_else() {
    let house = house();
    house.write("secrets/db", CANARY);
    house.write("secrets/mail", "whatever");
    house.start();
    let number = house.push("v1", "");
    house.settle();
    house.assert_outcome(number, "succeeded");
    let records = serde_json::to_string(&house.records()).expect("JSON");
    assert!(records.contains("\"secrets\":{\"db\":\""), "the release has the fingerprints: {records}");
    let planned = house.run(&["plan", "shop/live"]);
    let plan = String::from_utf8_lossy(&planned.stdout).into_owned();
    assert!(plan.contains("fingerprint ") && !plan.contains(CANARY), "{plan}");
    assert_eq!(with_word(&house.path(""), CANARY), [house.path("secrets/db").display().to_string()]);
}

#[test]
fn a_secret_that_is_lost_later_costs_no_build() {
    let house = house();
    house.write("secrets/db", CANARY);
    house.write("secrets/mail", "whatever");
    house.start();
    fs::remove_file(house.path("secrets/db")).expect("it was there");
    let number = house.push("v1", "");
    house.until("it is told", || {
        let environment = house.environment()?.to_string();
        environment.contains("the secret db of shop cannot be read: ").then_some(())
    });
    house.write("secrets/db", CANARY);
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v1");
}

#[test]
fn the_last_words_of_an_application_are_shown_and_recorded_without_its_secrets() {
    let house = house();
    // One that it was handed, and one that its definition reads itself.
    let tells = "echo \"no login with $DB and $OWN\" >&2; exit 7";
    let own = house.path("secrets/own");
    let secrets = format!("secrets = {{ DB = {{ secret = \"db\" }}, OWN = {{ file = {own:?} }} }}\n");
    house.write("stacks/process/app.toml", &(house.definition(tells) + &secrets));
    house.write("secrets/db", CANARY);
    house.write("secrets/own", "canary-of-the-stack-0815");
    house.write("secrets/mail", "whatever");
    house.start();
    let number = house.push("v1", "");
    let told = house.until("its last words are shown", || {
        let environment = house.environment()?.to_string();
        assert!(!environment.contains("canary"), "{environment}");
        environment.contains("no login with").then_some(environment)
    });
    assert!(told.contains("no login with [secret] and [secret]"), "{told}");
    house.settle();
    house.assert_outcome(number, "failed");
    let records = serde_json::to_string(&house.records()).expect("JSON");
    assert!(records.contains("no login with [secret] and [secret]") && !records.contains("canary"), "{records}");
    for command in [&["why", "shop/live"][..], &["status", "shop/live"], &["history", "shop/live"]] {
        let said = house.run(command);
        assert!(!String::from_utf8_lossy(&said.stdout).contains("canary"), "{said:?}");
    }
    assert!(!house.log().contains("canary"), "{}", house.log());
}
