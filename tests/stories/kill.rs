//! The controller is killed as soon as a record is in the state file, after each record in turn that a deployment, a
//! failed deployment, an abort and a rollback write, and started again. Users notice nothing, every outcome is right,
//! and nothing is left over.

use std::fs;

use serde_json::json;

use crate::support::{git::Origin, house::House};

/// Plays the story again and again, with a kill one record later each time, until it is over before the kill.
fn after_each_record(name: &str, house: impl Fn() -> House, story: impl Fn(&House), right: impl Fn(&House)) {
    for kills in 0.. {
        let house = house();
        let hammer = house.hammer();
        let ((), killed) = house.killed_after(kills + 1, || story(&house));
        right(&house);
        house.assert_nothing_left();
        let seen = hammer.end();
        assert_eq!(seen.failures, Vec::<String>::new(), "{name}, killed after {killed:?}\n{}", house.log());
        assert!(seen.versions.values().sum::<u64>() > 0);
        assert!(house.stop().success());
        house.assert_verified();
        if killed.is_none() {
            println!("{name}: {kills} kills");
            assert!(kills > 3, "there was more to kill");
            return;
        }
    }
}

fn accepted_once(house: &House, version: &str) {
    let of = |r: &&serde_json::Value| r["event"]["kind"] == "accepted" && r["event"]["release"]["version"] == version;
    assert_eq!(house.records().iter().filter(of).count(), 1, "one build, one deployment");
}

#[test]
fn a_deployment_survives_a_kill_after_each_record() {
    after_each_record(
        "deployment",
        || House::with_v1_live("bake = \"200ms\"\nretain = \"none\""),
        |house| {
            house.push("v2", "");
        },
        |house| {
            house.assert_live("v2");
            house.assert_outcome(2, "succeeded");
            accepted_once(house, "v2");
        },
    );
}

#[test]
fn a_deployment_with_hooks_survives_a_kill_after_each_record_and_each_of_them_runs_once() {
    let points = ["before-provisioning", "after-checks", "before-cutover", "after-cutover", "on-retire"];
    let hook = |at: &str| {
        let script = "echo $POINTSMAN_HOOK of $POINTSMAN_VERSION >> ../ran; sleep 0.05";
        format!("\n[[environments.hooks]]\nname = \"{at}\"\nat = \"{at}\"\ncommand = [\"sh\", \"-c\", \"{script}\"]\n")
    };
    after_each_record(
        "deployment with hooks",
        || {
            let house = House::with("bake = \"200ms\"\nretain = \"none\"");
            let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
            house.write("pipelines/shop.toml", &(pipeline + &points.map(hook).concat()));
            house.start();
            house.push("v1", "");
            house.settle();
            house.assert_live("v1");
            house
        },
        |house| {
            house.push("v2", "");
        },
        |house| {
            house.assert_live("v2");
            house.assert_outcome(2, "succeeded");
            accepted_once(house, "v2");
            let of = |version: &'static str| move |at: &&str| format!("{at} of {version}");
            let expected = points[..4].iter().map(of("v1")).chain(points[..4].iter().map(of("v2")));
            let expected: Vec<String> = expected.chain(points[4..].iter().map(of("v1"))).collect();
            let ran = fs::read_to_string(house.path("ran")).expect("they ran");
            assert_eq!(ran.lines().collect::<Vec<_>>(), expected, "{}", house.log());
        },
    );
}

#[test]
fn a_deployment_whose_definition_is_in_git_survives_a_kill_after_each_record() {
    let origin = Origin::new();
    let source = format!("[source]\ngit = \"{}\"\n[webhook]", origin.path().display());
    after_each_record(
        "deployment with its definition in git",
        || {
            let house = House::with("bake = \"200ms\"\nretain = \"none\"");
            let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
            let there = pipeline.replace("\"../stacks/process/app.toml\"", "{ git = \"deploy/stack.toml\" }");
            house.write("pipelines/shop.toml", &there.replace("[webhook]", &source));
            let definition = fs::read_to_string(house.path("stacks/process/app.toml")).expect("it is there");
            origin.commit("The stack", &[("deploy/stack.toml", &definition)]);
            house.start();
            house.push_commit("v1", &origin.git(&["rev-parse", "HEAD"]), &json!({}));
            house.settle();
            house.assert_live("v1");
            origin.commit("Another", &[]);
            house
        },
        |house| {
            house.push_commit("v2", &origin.git(&["rev-parse", "HEAD"]), &json!({}));
        },
        |house| {
            house.assert_live("v2");
            house.assert_outcome(2, "succeeded");
            accepted_once(house, "v2");
            let read = house.records().iter().filter(|r| r["event"]["kind"] == "definition_frozen").count();
            assert_eq!(read, 2, "each was read once");
        },
    );
}

#[test]
fn a_failed_deployment_survives_a_kill_after_each_record() {
    after_each_record(
        "failed deployment",
        || House::with_v1_live("bake = \"200ms\"\ndeadlines = { check = \"500ms\" }"),
        |house| {
            house.push("v2", "--broken");
        },
        |house| {
            house.assert_live("v1");
            let why = house.assert_outcome(2, "failed");
            assert!(why.contains("in time"), "{why}");
            accepted_once(house, "v2");
        },
    );
}

fn abort(house: &House, number: u64) {
    let path = format!("/v1/deployments/shop/live/{number}/abort");
    house.wish(&path, r#"{ "reason": "the story wants it" }"#, |r| r["event"]["kind"] == "ended");
}

#[test]
fn an_abort_at_a_gate_survives_a_kill_after_each_record() {
    let gate = "bake = \"200ms\"\napproval = { before_cutover = { timeout = \"1h\", otherwise = \"approve\" } }";
    after_each_record(
        "abort at a gate",
        || {
            let house = House::with(gate);
            house.start();
            let number = house.push("v1", "");
            house.until_state(number, "awaiting_approval");
            house.wish("/v1/deployments/shop/live/1/approve", "{}", |_| false);
            house.settle();
            house
        },
        |house| {
            let number = house.push("v2", "");
            house.until_state(number, "awaiting_approval");
            abort(house, number);
        },
        |house| {
            house.assert_live("v1");
            assert!(house.assert_outcome(2, "aborted").contains("the story wants it"));
        },
    );
}

#[test]
fn an_abort_while_it_is_checked_survives_a_kill_after_each_record() {
    after_each_record(
        "abort while checked",
        || House::with_v1_live("bake = \"200ms\""),
        |house| {
            let number = house.push("v2", "--broken");
            house.until_state(number, "checking");
            abort(house, number);
        },
        |house| {
            house.assert_live("v1");
            house.assert_outcome(2, "aborted");
        },
    );
}

#[test]
fn a_rollback_survives_a_kill_after_each_record() {
    after_each_record(
        "rollback",
        || {
            let house = House::with_v1_live("bake = \"200ms\"");
            house.push("v2", "");
            house.settle();
            house.assert_live("v2");
            house
        },
        |house| {
            let heard = |r: &serde_json::Value| r["event"]["kind"] == "rollback_requested";
            let body = r#"{ "number": 2, "reason": "the story wants it" }"#;
            house.wish("/v1/environments/shop/live/rollback", body, heard);
        },
        |house| {
            house.assert_live("v1");
            house.assert_outcome(2, "rolled_back");
            assert_eq!(house.records().iter().filter(|r| r["event"]["kind"] == "accepted").count(), 2);
        },
    );
}
