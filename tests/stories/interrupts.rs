//! Ctrl-C: what goes on, what ended, and the command to look again, by the real program and where it asks at a terminal.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::house::House;

const TERMS: &str = "bake = \"1m\"";
const PROGRAM: &str = env!("CARGO_BIN_EXE_pointsman");

#[test]
fn who_watches_is_told_that_the_deployment_goes_on_and_how_to_look_again() {
    let house = House::with(TERMS);
    house.start();
    for line in ["deploy shop/live --version v1 --artifact none --watch", "status shop/live --watch"] {
        let mut command = Command::new(PROGRAM);
        command.args(line.split(' ')).current_dir(house.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut first = String::new();
        lines.read_line(&mut first).expect("text");
        assert!(first.starts_with("shop/live/1"), "{first}");
        kill_process(Pid::from_child(&child), Signal::INT).expect("it is ours");
        let mut said = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
        assert_eq!(child.wait().expect("it is ours").code(), Some(130), "{said}");
        for words in ["the deployment goes on", "`pointsman status shop/live --watch`", "`pointsman abort shop/live`"] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
    house.until("it goes on until it is live", || (house.live_version()? == "v1").then_some(()));
}

/// Runs a command at a terminal of its own, types this there once it has asked, and returns its exit code and what it said.
fn at_a_terminal(house: &House, line: &str, question: &str, typed: &str) -> (Option<i32>, String) {
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{PROGRAM} {line}"), "/dev/null"]).current_dir(house.path(""));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script is there");
    let (mut input, mut output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let (mut said, mut piece) = (String::new(), [0; 1024]);
    while !said.contains(question) {
        let length = output.read(&mut piece).expect("it says something");
        assert!(length > 0, "it never asked: {said}");
        said += &String::from_utf8_lossy(&piece[..length]);
    }
    input.write_all(typed.as_bytes()).expect("it is typed");
    output.read_to_string(&mut said).expect("text");
    (child.wait().expect("it is ours").code(), said)
}

#[test]
fn a_question_that_is_interrupted_or_answered_with_no_does_nothing_and_says_so() {
    let house = House::with_v1_live(&TERMS.replace("1m", "100ms"));
    house.stop();
    for (typed, code) in [("\u{3}", 130), ("n", 2)] {
        let (ended, said) = at_a_terminal(&house, "down", "served by nobody?", typed);
        assert_eq!(ended, Some(code), "{said}");
        assert!(said.contains("nothing was ended; `pointsman down` asks again"), "{said}");
    }
    assert_eq!(house.live_version().as_deref(), Some("v1"), "it serves");
    let (ended, said) = at_a_terminal(&house, "down", "served by nobody?", "y");
    assert_eq!(ended, Some(0), "{said}");
    house.until("nothing runs", || house.processes().is_empty().then_some(()));
}
