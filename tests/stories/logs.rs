//! What the instances write, as people get to read it: of which stack, without secrets, and as it comes.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::house::House;

const TERMS: &str = "bake = \"200ms\"\ndeadlines = { provision = \"5s\", check = \"3s\" }";
pub(super) const SECRET: &str = "canary-of-the-database";

/// A house whose application says a word on each stream, and its secret.
pub(super) fn house() -> House {
    let house = House::with(TERMS);
    house.write("secrets/db", SECRET);
    let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    let pipeline = pipeline.replace("app.toml\" }", "app.toml\", secrets = [\"db\"] }");
    house.write("pipelines/shop.toml", &format!("[secrets]\ndb = {{ file = \"../secrets/db\" }}\n{pipeline}"));
    let command = "echo hello from {version} with $DB; echo oops {version} >&2; \
                   exec {pointsman} sample --listen {address}:{port} --version {version} {parameters.extra}";
    let definition = house.definition(command);
    let more = "instances = 2\nsecrets = { DB = { secret = \"db\" } }\n";
    house.write("stacks/process/app.toml", &(definition + more));
    house.start();
    house
}

pub(super) fn live(house: &House, version: &str) {
    house.push(version, "");
    house.settle();
    house.assert_live(version);
}

/// Runs a command, and returns its exit code and both outputs.
#[track_caller]
pub(super) fn run(house: &House, line: &str, code: i32) -> (String, String) {
    let done = house.run(&line.split(' ').collect::<Vec<_>>());
    let [out, err] = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert_eq!(done.status.code(), Some(code), "{line}\n{out}\n{err}");
    assert!(!out.contains(SECRET) && !err.contains(SECRET), "{line}\n{out}\n{err}");
    (out, err)
}

#[test]
fn each_stack_has_its_output_with_instance_and_stream_and_without_secrets_also_one_that_failed() {
    let house = house();
    let (_, why) = run(&house, "logs shop/live", 1);
    assert!(why.contains("nothing is live in shop/live") && why.contains("pointsman status shop/live"), "{why}");
    live(&house, "v1");
    let (out, told) = run(&house, "logs shop/live", 0);
    let lines: Vec<&str> = out.lines().collect();
    for line in ["0 out  hello from v1 with [secret]", "0 err  oops v1", "1 out  hello from v1 with [secret]"] {
        assert!(lines.contains(&line), "{line}\n{out}");
    }
    assert_eq!(told, "-- shop/live: stack 1 (v1) is live --\n");
    let (out, _) = run(&house, "logs shop/live --instance 1 --lines 1", 0);
    assert!(!out.is_empty() && out.lines().all(|line| line.starts_with('1')), "{out}");

    house.push("v2", "--broken");
    house.settle();
    let (out, told) = run(&house, "logs shop/live --failed", 0);
    assert!(out.contains("hello from v2"), "{out}");
    assert_eq!(told, "-- shop/live: stack 2 (v2) is the one that failed --\n");
    live(&house, "v3");
    assert!(run(&house, "logs shop/live", 0).0.contains("hello from v3"));
    assert!(run(&house, "logs shop/live --standby", 0).0.contains("hello from v1"));
    assert!(run(&house, "logs shop/live --stack 2", 0).0.contains("hello from v2"), "it was torn down of late");

    let (_, why) = run(&house, "logs shop/live --stack 9", 1);
    assert!(why.contains("there was never stack 9"), "{why}");
    for there in ["stack 3 (v3, live)", "stack 1 (v1, standby)", "stack 2", "`pointsman logs shop/live --stack 3`"] {
        assert!(why.contains(there), "{there}: {why}");
    }
    let (_, why) = run(&house, "logs shop/live --candidate", 1);
    assert!(why.contains("no deployment is under way in shop/live; there are: stack 3 (v3, live)"), "{why}");
    let (_, why) = run(&house, "logs shop/live --instance 7", 1);
    assert!(why.contains("stack 3 has no instance 7; it has: 0, 1"), "{why}");
    run(&house, "logs shop/live --stack 1 --failed", 2);
}

#[test]
fn lines_of_json_are_for_scripts_and_take_the_role_deployer() {
    let house = house();
    live(&house, "v1");
    let (out, _) = run(&house, "logs shop/live --json", 0);
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0], serde_json::json!({ "kind": "stack", "stack": 1, "of": "live", "version": "v1" }));
    let hello = lines.iter().find(|line| line["stream"] == "err").expect("a line of its errors");
    assert_eq!(
        *hello,
        serde_json::json!({ "kind": "line", "stack": 1, "instance": 0, "stream": "err", "text": "oops v1" })
    );
    let token = |name: &str, role: &str| run(&house, &format!("token new {name} --role {role}"), 0).0.trim().to_owned();
    for (name, role, code) in [("vera", "viewer", 1), ("dora", "deployer", 0)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(["logs", "shop/live"]).current_dir(house.path("")).env("POINTSMAN_TOKEN", token(name, role));
        let done = command.output().expect("the program runs");
        assert_eq!(done.status.code(), Some(code), "{done:?}");
    }
}

/// Somebody who follows.
pub(super) struct Follower {
    child: Child,
    lines: BufReader<ChildStdout>,
    notes: BufReader<ChildStderr>,
}

impl Follower {
    pub(super) fn attach(house: &House, line: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(line.split(' ')).current_dir(house.path(""));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let notes = BufReader::new(child.stderr.take().expect("a pipe"));
        Self { child, lines, notes }
    }

    /// Reads lines until one has this.
    pub(super) fn line(&mut self, part: &str) -> String {
        until(&mut self.lines, part)
    }

    pub(super) fn note(&mut self, part: &str) -> String {
        until(&mut self.notes, part)
    }

    /// Its exit code, when it has ended by itself.
    pub(super) fn ended(mut self) -> i32 {
        self.child.wait().expect("it is ours").code().expect("it was not killed")
    }

    fn interrupt(mut self) -> (i32, String) {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("it is ours");
        let mut said = String::new();
        self.notes.read_to_string(&mut said).expect("text");
        (self.child.wait().expect("it is ours").code().expect("it was not killed"), said)
    }
}

fn until(from: &mut impl BufRead, part: &str) -> String {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        assert!(from.read_line(&mut line).expect("text") > 0, "{part} never came: {all}");
        if line.contains(part) {
            return line;
        }
        all += &line;
    }
}

#[test]
fn who_follows_goes_on_when_an_instance_is_started_again_the_controller_is_killed_and_another_stack_goes_live() {
    let house = house();
    live(&house, "v1");
    let mut follower = Follower::attach(&house, "logs shop/live --follow --lines 1");
    follower.note("stack 1 (v1) is live --");
    follower.line("0 err  oops v1");
    let state = fs::read(house.path("state/stacks/process/stacks/shop/live/1/state.json")).expect("a state");
    let state: serde_json::Value = serde_json::from_slice(&state).expect("JSON");
    let pid = i32::try_from(state["instances"][0]["pid"][0].as_i64().expect("it runs")).expect("a process");
    kill_process(Pid::from_raw(pid).expect("a number"), Signal::KILL).expect("it is ours");
    follower.note("instance 0 was started again");
    follower.line("0 out  hello from v1 with [secret]");
    house.kill();
    follower.note("retrying until it answers");
    house.start();
    live(&house, "v2");
    follower.note("stack 2 (v2) is live now");
    let line = follower.line("hello from v2");
    assert!(!line.contains(SECRET), "{line}");
    let (code, said) = follower.interrupt();
    assert_eq!(code, 130, "{said}");
    assert!(said.contains("following ended; the instances go on: `pointsman logs shop/live --follow`"), "{said}");
}

#[test]
fn every_line_comes_once_however_often_files_are_put_aside() {
    let house = house();
    let chatty = "i=0; (while [ $i -lt 4000 ]; do i=$((i+1)); echo number $i of many that fill a file soon; \
                  [ $((i % 50)) = 0 ] && sleep 0.02; done) & \
                  exec {pointsman} sample --listen {address}:{port} --version {version} {parameters.extra}";
    let definition = house.definition(chatty);
    house.write("stacks/process/app.toml", &(definition + "limits = { log = \"160kB\" }\n"));
    house.kill();
    house.start();
    house.push("v1", "");
    house.until("there is a candidate", || house.environment()?["candidate"]["number"].as_u64());
    let mut follower = Follower::attach(&house, "logs shop/live --stack 1 --follow --lines 100000");
    let mut numbers = Vec::new();
    while numbers.last() != Some(&4000) {
        let line = follower.line("number ");
        numbers.push(line.split(' ').nth(4).and_then(|n| n.parse::<u32>().ok()).expect(&line));
    }
    let from = numbers[0];
    assert_eq!(numbers, (from..=4000).collect::<Vec<_>>());
    let files = house.path("state/stacks/process/stacks/shop/live/1/logs");
    assert!(files.join("0.out.1").exists(), "it was put aside");
    house.settle();
    assert_eq!(follower.interrupt().0, 130);
}
