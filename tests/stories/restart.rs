//! `pointsman restart`: the live application is started again, one instance after the other, and users notice nothing.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read},
    process::{Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::house::House;

const TERMS: &str = "bake = \"0s\"\ndeadlines = { provision = \"10s\", check = \"30s\" }";
const PROGRAM: &str = env!("CARGO_BIN_EXE_pointsman");
/// Ends, or does nothing, unless its working folder lets it run.
const NEEDS: &str = "echo {instance} >> starts; test ! -e hangs || exec sleep 600; test ! -e away || {{ echo no database >&2; exit 3; }}; \
                     exec {pointsman} sample --listen {address}:{port} --version {version}";
const AWAY: &str = "state/stacks/process/stacks/shop/live/1/work/away";
const HANGS: &str = "state/stacks/process/stacks/shop/live/1/work/hangs";

/// v1 is live with so many instances.
fn live(instances: usize) -> House {
    let house = House::with(TERMS);
    house.write("stacks/process/app.toml", &format!("{}instances = {instances}\n", house.definition(NEEDS)));
    house.start();
    let number = house.push("v1", "");
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.until("it is kept alive", || fs::read_to_string(state(&house)).ok()?.contains("\"kept\":true").then_some(()));
    house
}

fn state(house: &House) -> std::path::PathBuf {
    house.path("state/stacks/process/stacks/shop/live/1/state.json")
}

/// The processes of the instances, by their number.
fn instances(house: &House) -> Vec<i64> {
    let state: Value = serde_json::from_slice(&fs::read(state(house)).expect("a state")).expect("JSON");
    let all = state["instances"].as_array().expect("a list");
    all.iter().map(|entry| entry["pid"][0].as_i64().unwrap_or_default()).collect()
}

/// Whatever kept it is gone, and somebody ends what hangs.
fn hangs_no_more(house: &House) {
    fs::remove_file(house.path(HANGS)).expect("it is there");
    house.processes().into_iter().filter(|process| process.runs("600")).for_each(|process| process.kill());
}

fn of_kind(house: &House, kind: &str) -> Vec<Value> {
    house.records().into_iter().map(|record| record["event"].clone()).filter(|event| event["kind"] == kind).collect()
}

fn said(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into(), String::from_utf8_lossy(&output.stderr).into())
}

#[test]
fn three_instances_are_started_again_and_no_user_notices() {
    let house = live(3);
    let before = instances(&house);
    let hammer = house.hammer();
    let output = house.run(&["restart", "shop/live", "--reason", "it leaks"]);
    let (out, err) = said(&output);
    assert!(output.status.success(), "{out}{err}");
    assert!(out.contains("is started again") && out.ends_with("done\n"), "{out}");
    let seen = hammer.end();
    assert!(seen.failures.is_empty() && seen.versions["v1"] > 0, "{seen:?}");
    let after = instances(&house);
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{before:?} {after:?}");
    assert_eq!(after.iter().collect::<BTreeSet<_>>().len(), 3);
    let (asked, ended) = (of_kind(&house, "restart_asked"), of_kind(&house, "restart_ended"));
    assert_eq!((asked.len(), ended.len()), (1, 1));
    assert_eq!((&asked[0]["reason"], &ended[0]["reason"]), (&"it leaks".into(), &Value::Null));
    assert_eq!(asked[0]["order"], ended[0]["order"]);
    // What was wanted is not trouble, and not an end by itself.
    assert_eq!(of_kind(&house, "live_down"), Vec::<Value>::new());
    let state: Value = serde_json::from_slice(&fs::read(state(&house)).expect("a state")).expect("JSON");
    assert!(state["instances"].as_array().expect("a list").iter().all(|entry| entry["exits"] == 0), "{state}");
    house.assert_verified();
}

#[test]
fn one_instance_is_started_again_alone_and_requests_wait_for_a_single_one() {
    let house = live(2);
    let before = instances(&house);
    let output = house.run(&["restart", "shop/live", "1"]);
    assert!(output.status.success(), "{:?}", said(&output));
    let after = instances(&house);
    assert_eq!((before[0], before[1] == after[1]), (after[0], false), "{before:?} {after:?}");
    let (_, err) = said(&house.run(&["restart", "shop/live", "2"]));
    assert!(err.contains("has no instance 2, instances 0 to 1"), "{err}");

    let single = live(1);
    let hammer = single.hammer();
    assert!(single.run(&["restart", "shop/live"]).status.success());
    let seen = hammer.end();
    assert!(seen.failures.is_empty(), "they wait at the front: {seen:?}");
    assert_eq!(of_kind(&single, "live_down"), Vec::<Value>::new());
}

#[test]
fn one_that_does_not_come_back_is_told_with_its_own_end_and_the_rest_goes_on() {
    let house = live(3);
    let before = instances(&house);
    house.write(AWAY, "");
    let output = house.run(&["restart", "shop/live"]);
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(err.contains("instance 0 did not come back: exit status 3: no database"), "{err}");
    assert!(!out.contains("done"), "{out}");
    assert_eq!(instances(&house)[1..], before[1..], "the rest was left running");
    assert_eq!(house.live_version().as_deref(), Some("v1"));
    house.until("it is told that it is down", || (of_kind(&house, "live_down").len() == 1).then_some(()));
    fs::remove_file(house.path(AWAY)).expect("it is there");
    house.until("it is up again", || house.environment().filter(|now| now["down"].is_null()).map(drop));
}

#[test]
fn a_controller_and_a_supervisor_that_are_killed_amid_it_go_on_and_end_nothing_twice() {
    let house = live(3);
    let before = instances(&house);
    house.write(HANGS, "");
    let answer = house.try_ask("POST", "/v1/environments/shop/live/restart", "{\"number\":1}").expect("it answers");
    assert_eq!(answer.status, 200, "{}", answer.body);
    house.until("the first hangs", || house.processes().iter().any(|process| process.runs("600")).then_some(()));
    house.kill();
    let supervisors = house.processes().into_iter().filter(|process| process.runs("stack-run"));
    supervisors.for_each(|process| process.kill());
    house.start();
    assert_eq!(instances(&house)[1..], before[1..], "the first is waited for");
    hangs_no_more(&house);
    house.until("it is done", || (of_kind(&house, "restart_ended").len() == 1).then_some(()));
    assert_eq!(of_kind(&house, "restart_ended")[0]["reason"], Value::Null, "{}", house.log());
    let starts = fs::read_to_string(house.path("state/stacks/process/stacks/shop/live/1/work/starts")).expect("text");
    let of = |instance: &str| starts.lines().filter(|line| *line == instance).count();
    // The first was started once more after somebody ended what hung.
    assert_eq!([of("0"), of("1"), of("2")], [3, 2, 2], "{starts}");
    assert!(instances(&house).iter().zip(&before).all(|(after, before)| after != before));
}

#[test]
fn ctrl_c_says_that_it_goes_on_and_what_is_not_to_be_is_refused() {
    let house = House::with(TERMS);
    house.start();
    let (_, err) = said(&house.run(&["restart", "shop/live"]));
    assert!(err.contains("nothing is live in shop/live") && err.contains("`pointsman status shop/live`"), "{err}");
    let answer = house.try_ask("POST", "/v1/environments/shop/live/restart", "{\"number\":1}").expect("it answers");
    assert_eq!(answer.status, 409, "{}", answer.body);

    let house = live(2);
    house.write(HANGS, "");
    let mut command = Command::new(PROGRAM);
    command.args(["restart", "shop/live"]).current_dir(house.path(""));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("text");
    assert!(first.contains("is started again"), "{first}");
    let again = house.run(&["restart", "shop/live"]);
    kill_process(Pid::from_child(&child), Signal::INT).expect("it is ours");
    let mut text = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut text).expect("text");
    let code = child.wait().expect("it is ours").code();
    assert!(code == Some(130) && text.contains("the restart goes on in the controller"), "{code:?} {text}");
    let (_, err) = said(&again);
    assert!(err.contains("is being started again already"), "{err}");
    house.until("it hangs", || house.processes().iter().any(|process| process.runs("600")).then_some(()));
    let why = said(&house.run(&["why", "shop/live"])).0;
    assert!(why.contains("are started again, one after the other"), "{why}");
    let status = said(&house.run(&["status"])).0;
    assert!(status.contains("restarting: 0 of 2 back"), "{status}");
    hangs_no_more(&house);
    house.until("it has ended", || (of_kind(&house, "restart_ended").len() == 1).then_some(()));
}

#[test]
fn who_may_only_look_may_not_start_it_again() {
    let house = live(1);
    let before = instances(&house);
    let token = house.run(&["token", "new", "vera", "--role", "viewer"]);
    let mut command = Command::new(PROGRAM);
    command.args(["restart", "shop/live"]).current_dir(house.path(""));
    let output = command.env("POINTSMAN_TOKEN", said(&token).0.trim()).output().expect("the program runs");
    assert!(!output.status.success());
    assert!(said(&output).1.contains("this takes the role deployer"), "{:?}", said(&output));
    assert_eq!((instances(&house), of_kind(&house, "restart_asked").len()), (before, 0));
}
