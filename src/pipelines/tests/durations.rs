//! Every key that takes a duration takes the same ones, and refuses others in the same words.

use std::{collections::BTreeSet, path::Path};

use super::{super::Registry, docs::keys_of_front, parse};
use crate::{docs_tests::rows, stacks, web_front};

const PAGE: &str = include_str!("../../../docs/pipeline-file.md");
const PROCESS: &str = include_str!("../../../docs/process-stacks.md");

/// The keys of a pipeline file: the heading under which the page explains each, the key, and a place for it in a file.
const KEYS: &[(&str, &str, &str)] = &[
    ("environments", "bake", "bake = V"),
    ("environments", "retain", "retain = V"),
    ("environments", "drain", "drain = V"),
    ("environments", "watch", "watch = V"),
    ("promotion", "after", "promotion = { rule = \"automatic\", after = V }"),
    ("front", "retry_after", "front = { driver = \"builtin\", listen = \"127.0.0.1:1\", retry_after = V }"),
    (
        "front",
        "tls",
        "front = { driver = \"builtin\", listen = \"127.0.0.1:1\", tls = { certificate = \"c\", key = \"k\", warn_before = V } }",
    ),
    ("front", "timeouts", "front = { driver = \"builtin\", listen = \"127.0.0.1:1\", timeouts = { K = V } }"),
    (
        "maintenance",
        "retry_after",
        "front = { driver = \"builtin\", listen = \"127.0.0.1:1\", maintenance = { retry_after = V } }",
    ),
    ("hold", "within", "front = { driver = \"builtin\", listen = \"127.0.0.1:1\", hold = { within = V } }"),
    (
        "nginx front",
        "timeouts",
        "front = { driver = \"nginx\", include = \"/a/b.conf\", read_back = \"127.0.0.1:1\", timeouts = { K = V } }",
    ),
    ("command front", "timeout", "front = { driver = \"command\", cut_over = [\"true\"], timeout = V }"),
    ("checks", "every", "checks = [{ tcp = {}, every = V }]"),
    ("checks", "timeout", "checks = [{ tcp = {}, timeout = V }]"),
    ("checks", "grace", "checks = [{ tcp = {}, grace = V }]"),
    ("checks", "warm_up", "checks = [{ tcp = {}, warm_up = { requests = 1, within = V } }]"),
    ("http", "connect_timeout", "checks = [{ http = { path = \"/\", connect_timeout = V } }]"),
    ("hooks", "timeout", "hooks = [{ name = \"a\", at = \"after-checks\", command = [\"true\"], timeout = V }]"),
    ("deadlines", "provision", "deadlines = { provision = V }"),
    ("deadlines", "check", "deadlines = { check = V }"),
    ("deadlines", "cutover", "deadlines = { cutover = V }"),
    ("deadlines", "retire", "deadlines = { retire = V }"),
    ("steps", "bake", "steps = [{ share = 5, bake = V }]"),
    ("recover", "after", "recover = { to = \"standby\", after = V }"),
    ("gate", "timeout", "approval = { before_cutover = { timeout = V, otherwise = \"abort\" } }"),
];

/// The same for the definition of a process stack.
const DEFINITION: &[(&str, &str, &str)] = &[
    ("stop", "grace", "stop = { grace = V }"),
    ("restart", "within", "restart = { within = V }"),
    ("restart", "backoff", "restart = { backoff = V }"),
];

/// Keys at which no time at all is a good answer.
const ZERO_IS_GOOD: &[&str] = &["bake", "drain", "after", "grace", "within", "backoff", "warm_up", "connect_timeout"];

/// The keys of a front's `timeouts`, as its driver names them.
fn timeouts(heading: &str) -> Vec<String> {
    let driver = web_front::DRIVERS.iter().find(|driver| driver.tables.iter().any(|(named, _)| *named == heading));
    keys_of_front(driver.unwrap(), "timeouts")
}

/// What is wrong with a pipeline file that has this in its only environment, or in its second.
fn mistakes(more: &str) -> Vec<String> {
    let front =
        if more.starts_with("front") { "" } else { "front = { driver = \"builtin\", listen = \"127.0.0.1:81\" }" };
    let environment = |name: &str, deploy: &str, rest: &str| {
        format!(
            "[[environments]]\nname = \"{name}\"\ndeploy = \"{deploy}\"\nstack = {{ driver = \"process\", definition = \
             \"../stacks/process/demo.toml\" }}\n{rest}\n"
        )
    };
    let first = environment("qa", "on-build", "front = { driver = \"builtin\", listen = \"127.0.0.1:80\" }");
    let next = environment("prod", "on-promotion", &format!("{front}\n{more}"));
    let state = tempfile::tempdir().unwrap();
    let found = parse(&Registry::all(state.path()), Path::new("pipelines/shop.toml"), &format!("{first}{next}")).1;
    found.iter().map(ToString::to_string).collect()
}

/// What is wrong with the definition of a process stack that has this.
fn mistakes_of_definition(more: &str) -> Vec<String> {
    let state = tempfile::tempdir().unwrap();
    let driver = (stacks::process::DRIVER.open)(&toml::Table::new(), Path::new("/"), state.path()).unwrap();
    driver.check_definition(&format!("command = [\"true\"]\n{more}")).err().unwrap_or_default()
}

fn try_all(key: &str, template: &str, mistakes: &dyn Fn(&str) -> Vec<String>) {
    let with = |value: &str| mistakes(&template.replace('V', &format!("\"{value}\"")));
    for good in ["1d", "90s", "2h"] {
        if key != "tls" || good != "90s" {
            assert_eq!(with(good), [""; 0], "{key} {good}");
        }
    }
    let told = with("1 day");
    let wanted = "invalid duration \"1 day\": write a number and a unit (ms, s, m, h, d), for example \"30m\"";
    assert!(told.len() == 1 && told[0].contains(wanted), "{key}: {told:?}");
    let told = with("0s");
    match &told[..] {
        [] => assert!(ZERO_IS_GOOD.contains(&key), "{key}"),
        [one] => {
            let said = one.contains("must be longer than zero") || one.contains("is too short: ");
            assert!(said && !ZERO_IS_GOOD.contains(&key) || key == "after", "{key}: {one}");
        }
        _ => panic!("{key}: {told:?}"),
    }
}

#[test]
fn every_key_that_takes_a_duration_takes_the_same_ones() {
    for (heading, key, template) in KEYS {
        match (*heading, *key) {
            (_, "timeouts") => timeouts(heading).iter().for_each(|k| try_all(k, &template.replace('K', k), &mistakes)),
            // Of an instance that is started again within no time, none is one; of a request there is none.
            ("hold", _) => try_all(heading, template, &mistakes),
            _ => try_all(key, template, &mistakes),
        }
    }
    for (_, key, template) in DEFINITION {
        try_all(key, template, &mistakes_of_definition);
    }
}

#[test]
fn every_key_that_the_pages_call_a_duration_was_tried() {
    for (page, tried) in [(PAGE, KEYS), (PROCESS, DEFINITION)] {
        let explained: BTreeSet<(&str, &str)> =
            rows(page).filter(|row| row.kind.contains("duration")).map(|row| (row.heading, row.key)).collect();
        let tried: BTreeSet<(&str, &str)> = tried.iter().map(|(heading, key, _)| (*heading, *key)).collect();
        assert_eq!(explained, tried);
    }
}
