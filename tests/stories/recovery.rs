//! What is live fails and stays so, below a whole controller: users are left to the standby, and are not sent back.

use std::{fs, time::Duration};

use pointsman::clock::Stopwatch;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::house::House;

const RECOVERS: &str = "bake = \"0s\"\nretain = \"1h\"\nrecover = { to = \"standby\", after = \"2s\" }";

/// Ends, unless its working folder lets it run.
const NEEDS: &str = "test ! -e away || {{ echo no database >&2; exit 3; }}; \
                     exec {pointsman} sample --listen {address}:{port} --version {version}";

/// Is up for a moment, and then ends, where its working folder says so.
const FLAPS: &str = "if test -e flaps; then sleep 1; \
                     exec {pointsman} sample --listen {address}:{port} --version {version} --crash-after 700ms; fi; \
                     exec {pointsman} sample --listen {address}:{port} --version {version}";

/// Two releases, the second of them live.
fn two_live(terms: &str, command: &str) -> House {
    let house = House::with(terms);
    house.write("stacks/process/app.toml", &house.definition(command));
    house.start();
    for version in ["v1", "v2"] {
        let number = house.push(version, "");
        house.settle();
        house.assert_outcome(number, "succeeded");
    }
    house
}

/// A file in the working folder of a stack's instance.
fn file(number: u32, name: &str) -> String {
    format!("state/stacks/process/stacks/shop/live/{number}/work/{name}")
}

fn kill_instances(house: &House, number: u32) {
    let of = format!("#{number}");
    let instances = house.processes().into_iter().filter(|p| p.stack.as_deref().is_some_and(|s| s.ends_with(&of)));
    instances.filter(|process| process.runs("sample")).for_each(|process| process.kill());
}

fn count(house: &House, kind: &str) -> usize {
    house.records().iter().filter(|record| record["event"]["kind"] == kind).count()
}

fn live_is(house: &House, number: u32) -> Option<Value> {
    house.environment().filter(|now| now["live"]["number"] == number)
}

#[test]
fn a_live_stack_that_stays_down_is_left_for_the_standby_and_nobody_is_sent_back_by_itself() {
    let house = two_live(RECOVERS, NEEDS);
    house.write(&file(2, "away"), "");
    kill_instances(&house, 2);
    house.until("it is recorded that it is down", || (count(&house, "live_down") == 1).then_some(()));
    house.kill();
    house.start();
    let now = house.until("the standby is live", || live_is(&house, 1));
    house.until("users see it", || house.live_version().filter(|version| version == "v1"));
    assert_eq!((&now["standby"]["number"], &now["standby"]["suspect"]), (&2.into(), &true.into()), "{now:#}");
    let reason = now["standby"]["taken"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("exit status 3: no database"), "{now:#}");
    assert_eq!(now["hold"]["by"], "pointsman", "{now:#}");
    assert_eq!(now["vetoes"][0]["version"], "v2", "{now:#}");
    let why = String::from_utf8(house.run(&["why", "shop/live"]).stdout).expect("text");
    assert!(why.contains("Users were taken from v2 (deployment 2), the standby"), "{why}");

    // It is well again, and what stands in for it fails: there is no automatic way back.
    fs::remove_file(house.path(&file(2, "away"))).expect("it is there");
    let well = || house.environment().filter(|now| now["standby"]["stack"]["health"] == "passing").map(drop);
    house.until("the suspect standby is well", well);
    house.write(&file(1, "away"), "");
    kill_instances(&house, 1);
    house.until("a person is called", || (count(&house, "operator_needed") == 1).then_some(()));
    house.kill();
    house.start();
    house.until("it is known again that the standby is well", well);
    assert!(live_is(&house, 1).is_some_and(|now| now["needs_operator"] == true));
    fs::remove_file(house.path(&file(1, "away"))).expect("it is there");
    house.until("it is up again", || house.environment().filter(|now| now["down"].is_null()).map(drop));
    assert_eq!((count(&house, "recovered"), count(&house, "live_up")), (1, 1));

    let back = house.run(&["rollback", "shop/live", "--reason", "v2 is well again"]);
    assert!(back.status.success(), "{back:?}");
    house.until("a person may go back to it", || live_is(&house, 2));
    house.settle();
    house.assert_live("v2");
    house.assert_verified();
}

#[test]
fn a_live_stack_that_is_up_for_a_moment_now_and_then_is_left_for_the_standby_and_does_not_fill_the_journal() {
    let house = two_live(RECOVERS, FLAPS);
    house.write(&file(2, "flaps"), "");
    kill_instances(&house, 2);
    house.until("the standby is live", || live_is(&house, 1));
    house.until("users see it", || house.live_version().filter(|version| version == "v1"));
    let (down, up) = (count(&house, "live_down"), count(&house, "live_up"));
    assert!(down <= 2 && up <= 1, "{down} times down, {up} times up");
}

#[test]
fn a_controller_that_is_stopped_for_longer_than_bake_and_check_together_judges_by_what_it_sees_then() {
    let house = House::with_v1_live("bake = \"3s\"\nretain = \"1h\"\ndeadlines = { check = \"3s\" }");
    let number = house.push("v2", "");
    house.until_state(number, "baking");
    let signal = |signal| {
        let all = house.processes();
        all.iter().filter(|process| process.runs("serve")).for_each(|process| process.signal(signal));
    };
    signal(Signal::STOP);
    let stopped = Stopwatch::start();
    house.until("more than its time is over", || (stopped.elapsed() > Duration::from_secs(8)).then_some(()));
    signal(Signal::CONT);
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v2");
}

#[test]
fn a_deployment_ends_although_the_controller_is_killed_again_and_again() {
    let house = House::with_v1_live("bake = \"0s\"\nretain = \"1h\"\ndeadlines = { check = \"15s\" }");
    let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    house.kill();
    // It never passes, and nobody calls it failing.
    house.write("pipelines/shop.toml", &pipeline.replace("every = \"50ms\"", "every = \"50ms\"\nfails = 100000"));
    house.write("stacks/process/app.toml", &house.definition("exec sleep 1000"));
    house.start();
    let number = house.push("v2", "");
    house.until_state(number, "checking");
    let ended = || house.records().iter().any(|r| r["event"]["kind"] == "ended" && r["event"]["number"] == number);
    // No life is as long as its deadline.
    for _ in 0..8 {
        let life = Stopwatch::start();
        house.until("this life is over", || (ended() || life.elapsed() > Duration::from_secs(9)).then_some(()));
        if ended() {
            break;
        }
        house.kill();
        house.start();
    }
    assert!(ended(), "it never ended");
    house.settle();
    let reason = house.assert_outcome(number, "failed");
    assert!(reason.contains("it did not pass its checks in time (15 s)"), "{reason}");
    house.assert_live("v1");
}
