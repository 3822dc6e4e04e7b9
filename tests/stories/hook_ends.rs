//! The run of a hook that nobody waits for any more, that nobody can read, or that has left something running: what begins
//! beside it, and when.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use pointsman::{
    hooks::{Call, Facts, HookDefinition, Order, Outcome, Run, Runs, Seen, State},
    machine::{HookPoint, Millis, Number},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::until;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pointsman");
const NUMBERS: [Number; 3] = [Number(5), Number(6), Number(7)];

fn run(number: u32) -> Run {
    Run { number: Number(number), hook: "migrate".into() }
}

fn runs(folder: &Path, program: &Path) -> Runs {
    Runs::of(&folder.join("state"), &"shop/prod".parse().expect("a name"), program.to_owned())
}

/// Writes a program that stands in for ours, to start slower than usual; `$REAL` is ours.
fn slow(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("slow");
    fs::write(&path, format!("#!/bin/sh\nREAL={PROGRAM}\nHERE={}\n{script}\n", folder.display())).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it may run");
    path
}

/// Starts that run of a script in the folder, beside which only `wanted` may go on.
async fn begin(runs: &Runs, number: u32, folder: &Path, script: &str) -> Result<(), String> {
    let words = ["sh", "-c", script].map(str::to_owned).to_vec();
    let call = Call::Command { words, folder: folder.to_owned(), environment: BTreeMap::new() };
    let (name, at, timeout) = ("migrate".into(), HookPoint::AfterChecks, Millis(60_000));
    let hook = HookDefinition { name, at, call, secrets: BTreeMap::new(), timeout, one_way: false };
    let (terms, facts) = (hook.terms(), Facts::default());
    let order = Order { definition: &hook, terms: &terms, facts, secrets: BTreeMap::new(), hidden: Vec::new() };
    runs.begin(&run(number), &[run(number)], &order).await.map_err(|why| why.to_string())
}

fn look(runs: &Runs, wanted: &[Run]) -> Vec<Seen> {
    runs.look(wanted, &NUMBERS).expect("their folder can be read")
}

async fn until_over(runs: &Runs) {
    let over = || {
        look(runs, &[]);
        runs.is_idle(&[], &NUMBERS).then_some(())
    };
    until("nothing runs", async || over()).await;
}

async fn outcome(runs: &Runs, number: u32) -> Outcome {
    let over = || match look(runs, &[run(number)]).pop()?.state {
        State::Done(outcome) => Some(outcome),
        State::Running => None,
    };
    until("it is over", async || over()).await
}

#[tokio::test]
async fn nothing_begins_beside_one_that_was_given_up_while_it_was_about_to_begin() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let program = slow(here, "echo >> $HERE/started; while ! test -e $HERE/go; do sleep 0.02; done; exec $REAL \"$@\"");
    let runs = runs(here, &program);
    assert_eq!(look(&runs, &[]), []);
    let mut first = Box::pin(begin(&runs, 5, here, "echo 5 >> ran"));
    let started = until("it is about to begin", async || here.join("started").exists().then_some(()));
    tokio::select! {
        begun = &mut first => panic!("too early: {begun:?}"),
        () = started => {}
    }
    // Aborted; and whether this is looked at before or not, it may still come to life.
    for _ in 0..2 {
        let why = begin(&runs, 6, here, "echo 6 >> ran").await.expect_err("5 is under way");
        assert_eq!(why, "hook migrate of deployment 5 is still being ended");
        assert_eq!(look(&runs, &[]), []);
    }
    fs::write(here.join("go"), "").expect("written");
    first.await.expect("that it was given up is no mistake");
    until_over(&runs).await;
    begin(&runs, 6, here, "echo 6 >> ran").await.expect("nothing is in the way");
    assert_eq!(outcome(&runs, 6).await.failed, None);
    assert_eq!(fs::read_to_string(here.join("ran")).unwrap_or_default(), "6\n");
}

#[tokio::test]
async fn what_did_not_say_in_time_that_it_has_begun_is_known_and_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let runs = runs(here, &slow(here, "$REAL \"$@\" > /dev/null"));
    assert_eq!(look(&runs, &[]), []);
    let ran = until("it runs", async || here.join("ran").exists().then_some(()));
    tokio::select! {
        begun = begin(&runs, 5, here, "echo >> ran; sleep 60") => panic!("it said so: {begun:?}"),
        () = ran => {}
    }
    assert!(!runs.is_idle(&[], &NUMBERS), "it runs");
    begin(&runs, 6, here, "true").await.expect_err("5 runs");
    until_over(&runs).await;
    let outcome = outcome(&runs, 5).await;
    assert_eq!(outcome.failed.as_deref(), Some("it was ended because its deployment does not wait for it any more"));
}

#[tokio::test]
async fn an_outcome_that_nobody_can_read_is_no_matter_of_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let broken = here.join("state/hooks/shop/prod/5-migrate");
    fs::create_dir_all(&broken).expect("made");
    fs::write(broken.join("begun"), "").expect("written");
    fs::write(broken.join("outcome.json"), "{\"failed\":nu").expect("written");
    let runs = runs(here, Path::new(PROGRAM));
    assert_eq!(look(&runs, &[run(6)]), []);
    begin(&runs, 6, here, "true").await.expect("it begins");
    assert_eq!(outcome(&runs, 6).await.failed, None);
    let why = outcome(&runs, 5).await.failed.expect("nobody knows");
    assert!(why.starts_with("its outcome is unknown: ") && why.contains("5-migrate/outcome.json"), "{why}");
    until_over(&runs).await;
}

#[tokio::test]
async fn one_whose_process_was_killed_runs_until_all_that_it_started_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let runs = runs(here, Path::new(PROGRAM));
    let script = "echo $PPID > above; sh -c 'echo > works; while ! test -e go; do sleep 0.02; done' & wait; echo late";
    begin(&runs, 5, here, script).await.expect("it begins");
    until("the grandchild works", async || here.join("works").exists().then_some(())).await;
    let above = fs::read_to_string(here.join("above")).expect("it is there");
    let above = Pid::from_raw(above.trim().parse().expect("a number")).expect("a process");
    kill_process(above, Signal::KILL).expect("it is ours");
    let stat = format!("/proc/{}/stat", above.as_raw_nonzero());
    let gone = || fs::read_to_string(&stat).map_or(true, |text| text.contains(") Z "));
    until("its process is gone", async || gone().then_some(())).await;
    assert_eq!(look(&runs, &[run(5)])[0].state, State::Running);
    assert_eq!(look(&runs, &[]), []);
    begin(&runs, 6, here, "true").await.expect_err("what it has left still works");
    fs::write(here.join("go"), "").expect("written");
    let failed = outcome(&runs, 5).await.failed;
    assert_eq!(failed.as_deref(), Some("its run was interrupted, and how far it came is unknown"));
    begin(&runs, 6, here, "true").await.expect("nothing is in the way");
    assert_eq!(outcome(&runs, 6).await.failed, None);
}

#[tokio::test]
async fn what_leaves_its_group_is_not_waited_for_when_the_hook_itself_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let runs = runs(here, Path::new(PROGRAM));
    let script = "setsid sh -c 'echo > works; while test -e works; do sleep 0.02; done' & \
                  while ! test -e works; do sleep 0.02; done";
    begin(&runs, 5, here, script).await.expect("it begins");
    assert_eq!(outcome(&runs, 5).await.failed, None);
    begin(&runs, 6, here, "true").await.expect("nothing is in the way");
    assert_eq!(outcome(&runs, 6).await.failed, None);
    fs::remove_file(here.join("works")).expect("it was there");
}
