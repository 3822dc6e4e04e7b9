//! `on_trouble`: whoever is named is told of what is down and of its end, whatever happens to the controller or to the program.

use std::fs;

use serde_json::Value;

use crate::support::house::House;

/// Keeps what it is told, fails while `fail` is there and hangs while `hang` is.
const TELL: &str = "#!/bin/sh\ncat >> tried\n[ ! -e fail ] || { echo 'no route to the pager' >&2; exit 3; }\n\
                    while [ -e hang ]; do sleep 0.1; done\ntail -n 1 tried >> told\n";
const TERMS: &str = "bake = \"200ms\"\ndeadlines = { provision = \"5s\", check = \"3s\" }\non_trouble = [\"../tell\"]";

fn house() -> House {
    let house = House::with(TERMS);
    house.write("tell", TELL);
    let told = std::process::Command::new("chmod").arg("+x").arg(house.path("tell")).status().expect("chmod");
    assert!(told.success());
    house
}

fn told(house: &House) -> Vec<Value> {
    // It runs in the folder of the file that names it.
    let text = fs::read_to_string(house.path("pipelines/told")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line is one notice")).collect()
}

/// v1 is live and turns sick by itself.
fn with_v1_that_turns_sick(house: &House) {
    house.start();
    let number = house.push("v1", "--sick-after=2s");
    house.settle();
    house.assert_outcome(number, "succeeded");
}

fn recorded(house: &House, kind: &str) -> Option<Value> {
    house.records().into_iter().find(|record| record["event"]["kind"] == kind)
}

#[test]
fn whoever_is_named_is_told_that_what_is_live_is_down_and_that_it_is_over() {
    let house = house();
    with_v1_that_turns_sick(&house);
    let first = house.until("it is told", || told(&house).into_iter().next());
    assert_eq!((&first["what"], &first["environment"]), (&"live_down".into(), &"shop/live".into()), "{first}");
    assert_eq!((&first["stack"], &first["version"], &first["v"]), (&1.into(), &"v1".into(), &1.into()), "{first}");
    assert!(first["users"].as_str().is_some_and(|users| users.contains("v1 (deployment 1)")), "{first}");
    assert!(first["doing"].as_str().is_some_and(|doing| doing.contains("starts it again")), "{first}");
    assert!(first["command"].as_str().is_some_and(|command| command.starts_with("pointsman ")), "{first}");
    let record = recorded(&house, "live_down").expect("it is recorded first");
    assert_eq!((&first["seq"], &first["reason"]), (&record["seq"], &record["event"]["reason"]), "{first}");
    let why = String::from_utf8(house.run(&["why", "shop/live"]).stdout).expect("text");
    assert!(why.contains("is down since") && why.contains("starts it again"), "{why}");
    let sick = house.processes().into_iter().find(|p| p.runs("sample")).expect("it runs");
    sick.kill();
    let over = house.until("its end is told", || told(&house).into_iter().find(|notice| notice["what"] == "over"));
    assert_eq!((&over["was"], &over["since"]), (&"live_down".into(), &first["since"]), "{over}");
}

#[test]
fn a_controller_that_is_killed_before_anybody_was_told_tells_it_in_its_next_life() {
    let house = house();
    house.write("pipelines/fail", "");
    with_v1_that_turns_sick(&house);
    house.until("it is recorded", || recorded(&house, "live_down"));
    house.until("it is tried", || fs::metadata(house.path("pipelines/tried")).ok());
    house.kill();
    assert_eq!(told(&house).len(), 0);
    fs::remove_file(house.path("pipelines/fail")).expect("it was there");
    house.start();
    let first = house.until("it is told", || told(&house).into_iter().next());
    assert_eq!(first["seq"], recorded(&house, "live_down").expect("it is recorded")["seq"], "{first}");
}

#[test]
fn a_program_that_fails_is_shown_and_run_again_and_one_that_hangs_delays_nobody() {
    let house = house();
    house.write("pipelines/fail", "");
    with_v1_that_turns_sick(&house);
    let shown = house.until("its failure is shown", || {
        let now = house.environment()?;
        now["trouble"].as_array()?.iter().find(|t| t["step"] == "running `on_trouble`").cloned()
    });
    let why = shown["why"].as_str().expect("text");
    assert!(why.contains("exit status 3: no route to the pager; it is run again"), "{why}");
    house.write("pipelines/hang", "");
    fs::remove_file(house.path("pipelines/fail")).expect("it was there");
    let number = house.push("v2", "");
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v2");
    assert_eq!(told(&house).len(), 0, "it hangs all the while");
    fs::remove_file(house.path("pipelines/hang")).expect("it was there");
    house.until("it is told", || told(&house).into_iter().next());
    house.until("its failure is no longer shown", || {
        house.environment()?["trouble"].as_array()?.iter().all(|t| t["step"] != "running `on_trouble`").then_some(())
    });
}
