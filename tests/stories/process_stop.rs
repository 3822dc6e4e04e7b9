//! Stacks of processes that are stopped and started again: how they end, what is kept, and what happens to them meanwhile.

use std::{fs, net::TcpListener, path::Path, process::Command};

use pointsman::stacks::{Begin, Condition, LogsFrom, SeenStack, StackDriver, process};
use rustix::process::Signal;

use super::process::{Host, SAMPLE, asked, kill, name, shell};
use crate::support::permit::{start_permit, stop_permit};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pointsman");

async fn stop(host: &Host, order: u64) {
    host.driver.stop(&name(1), &stop_permit(1, order)).await.expect("it is taken up");
}

async fn stopped(host: &Host, order: u64) -> SeenStack {
    stop(host, order).await;
    let seen = host.until_condition(1, Condition::Stopped).await;
    assert_eq!((seen.obeyed, host.processes().len()), (order, 0), "nothing of it runs: {:?}", host.processes());
    seen
}

async fn start(host: &Host, order: u64, definition: &str) {
    let started = host.driver.start(&host.spec(1, definition), &start_permit(1, order)).await;
    started.expect("it is taken up");
}

async fn started(host: &Host, order: u64, definition: &str) -> SeenStack {
    start(host, order, definition).await;
    // What waits for the end of a supervisor is asked for again, as the runner does.
    host.until(1, |seen| seen.is_some_and(|seen| seen.remark.is_none())).await;
    host.until_condition(1, Condition::Ready).await
}

/// It notes each signal by which it is asked to end.
fn notes_its_end() -> String {
    let script = "for s in TERM QUIT INT; do trap \"echo $s >> ends; exit 0\" $s; done; echo begun >> begun; \
                  while :; do sleep 0.02; done";
    format!("command = [\"bash\", \"-c\", '''{script}''']\nstop = {{ signal = \"QUIT\", grace = \"5s\" }}\n")
}

#[tokio::test]
async fn it_is_asked_to_end_as_its_definition_says_also_by_a_supervisor_that_comes_later() {
    let host = Host::new();
    let definition = notes_its_end();
    let begun =
        |times: usize| fs::read_to_string(host.file(1, "work/begun")).is_ok_and(|text| text.lines().count() == times);
    host.ensure(1, &definition).await.expect("taken up");
    host.until_condition(1, Condition::Ready).await;
    host.until(1, |_| begun(1)).await;
    stopped(&host, 1).await;
    let ends = || fs::read_to_string(host.file(1, "work/ends")).expect("it was asked");
    assert_eq!(ends(), "QUIT\n");

    started(&host, 2, &definition).await;
    host.until(1, |_| begun(2)).await;
    // Nobody looks after it when the order comes.
    kill(host.supervisor(1), Signal::KILL);
    host.until(1, |seen| seen.is_some_and(|seen| seen.condition == Condition::Creating)).await;
    let seen = stopped(&host, 3).await;
    assert_eq!((ends().as_str(), seen.exits), ("QUIT\nQUIT\n", 0));

    let back = started(&host, 4, &definition).await;
    assert_eq!((back.exits, back.last_exit), (0, None));
    host.retired(1).await;
}

#[tokio::test]
async fn what_ended_by_order_while_nobody_looked_has_not_ended_by_itself() {
    let host = Host::new();
    host.ensure(1, SAMPLE).await.expect("taken up");
    host.until_condition(1, Condition::Ready).await;
    let instance = host.instance(1, 0).expect("it runs");
    // The supervisor dies amid the stop, and the instance after it: nobody writes down that it has ended.
    kill(host.supervisor(1), Signal::KILL);
    host.until(1, |seen| seen.is_some_and(|seen| seen.condition == Condition::Creating)).await;
    stop(&host, 1).await;
    kill(instance, Signal::KILL);
    host.until_condition(1, Condition::Stopped).await;
    let back = started(&host, 2, SAMPLE).await;
    assert_eq!((back.exits, back.last_exit, back.remark), (0, None, None));
    host.retired(1).await;
}

/// What the host knew before it was started again means nothing now.
fn restart_host(host: &Host) {
    host.processes().iter().for_each(|process| process.kill());
    for file in ["spec.json", "state.json"] {
        let text = fs::read(host.file(1, file)).expect("it is there");
        let mut facts: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        facts["boot"] = "of yesterday".into();
        fs::write(host.file(1, file), facts.to_string()).expect("written");
    }
}

#[tokio::test]
async fn it_stays_stopped_through_a_restart_of_the_host_and_of_the_installation() {
    let mut host = Host::new();
    host.ensure(1, SAMPLE).await.expect("taken up");
    let first = host.until_condition(1, Condition::Ready).await;
    // The host goes down amid the stop.
    stop(&host, 1).await;
    restart_host(&host);
    host.restart_controller();
    let seen = host.until_condition(1, Condition::Stopped).await;
    assert_eq!((seen.obeyed, seen.exits, &seen.reach), (1, 0, &first.reach));
    host.ensure(1, SAMPLE).await.expect_err("it is kept as it is");

    process::down(host.folder.path(), Path::new(PROGRAM), &name(1)).await.expect("there is nothing to end");
    host.restart_controller();
    host.ensure(1, SAMPLE).await.expect_err("it is kept as it is");
    assert_eq!(host.look(1).await, Some(seen));
    let logs = host.driver.logs(&name(1), &LogsFrom { instance: None, begin: Begin::Last(10), unfinished: true }).await;
    assert!(logs.is_ok(), "its output can be read: {:?}", logs.err());

    // What was down as a whole comes up again as a whole.
    started(&host, 2, SAMPLE).await;
    process::down(host.folder.path(), Path::new(PROGRAM), &name(1)).await.expect("it ends");
    host.restart_controller();
    host.ensure(1, SAMPLE).await.expect("it is wanted");
    let seen = host.until_condition(1, Condition::Ready).await;
    assert_eq!((seen.obeyed, seen.reach), (2, first.reach));
    host.retired(1).await;
}

#[tokio::test]
async fn a_port_that_somebody_else_took_meanwhile_is_named_and_waited_for() {
    let host = Host::new();
    let definition = format!("{SAMPLE}\nrestart = {{ backoff = \"10ms\" }}");
    host.ensure(1, &definition).await.expect("taken up");
    let first = host.until_condition(1, Condition::Ready).await;
    host.until(1, |_| host.is_kept(1)).await;
    stopped(&host, 1).await;
    let other = TcpListener::bind(first.reach.addresses()[0]).expect("it is free");
    assert_eq!(host.look(1).await.expect("it is there").condition, Condition::Stopped, "that is not of it");

    start(&host, 2, &definition).await;
    let said = |seen: &SeenStack| seen.remark.as_ref().is_some_and(|said| said.contains("already in use"));
    host.until(1, |seen| seen.is_some_and(said)).await;
    drop(other);
    let back = host.until_condition(1, Condition::Ready).await;
    assert_eq!(back.reach, first.reach);
    assert_eq!(asked(first.reach.addresses()[0], "http = { path = \"/healthz\" }").await, Ok(()));
    host.retired(1).await;
}

#[tokio::test]
async fn its_secrets_are_handed_over_again_and_nothing_begins_without_them() {
    let mut host = Host::new();
    let definition =
        shell("test \"$DB\" = canary || exit 9; exec sleep 1000") + "\nsecrets = { DB = { secret = \"db\" } }\n";
    host.secrets.insert("db".into(), "canary".into());
    host.ensure(1, &definition).await.expect("taken up");
    host.until_condition(1, Condition::Ready).await;
    stopped(&host, 1).await;
    started(&host, 2, &definition).await;

    // A supervisor that was begun to end what runs was handed none, and by now the stack is wanted again.
    kill(host.supervisor(1), Signal::KILL);
    host.until(1, |seen| seen.is_some_and(|seen| seen.condition == Condition::Creating)).await;
    let mut without = Command::new(PROGRAM);
    let without = without.arg("stack-run").arg("--folder").arg(host.file(1, "")).output().expect("it runs");
    let said = String::from_utf8_lossy(&without.stderr);
    assert!(!without.status.success() && said.contains("the secret db was not handed over"), "{said}");
    host.ensure(1, &definition).await.expect("taken up");
    let back = host.until_condition(1, Condition::Ready).await;
    assert_eq!((back.exits, back.remark), (0, None));
    host.retired(1).await;
}

#[tokio::test]
async fn an_order_to_start_it_comes_before_it_has_ended() {
    let host = Host::new();
    let slow = "trap 'touch ending; while test ! -e go; do sleep 0.02; done; exit 0' TERM; touch up; while :; do sleep 0.02; done";
    let definition = format!("command = [\"sh\", \"-c\", '''{slow}''']\nstop = {{ grace = \"60s\" }}\n");
    host.ensure(1, &definition).await.expect("taken up");
    host.until_condition(1, Condition::Ready).await;
    host.until(1, |_| host.file(1, "work/up").exists()).await;
    stop(&host, 1).await;
    host.until(1, |_| host.file(1, "work/ending").exists()).await;
    assert_eq!(host.look(1).await.expect("it is there").condition, Condition::Stopping);

    start(&host, 2, &definition).await;
    // What is being ended still is not what was ordered, though it runs.
    let seen = host.look(1).await.expect("it is there");
    assert_eq!((seen.condition, seen.obeyed), (Condition::Creating, 2), "{seen:?}");
    assert_eq!(seen.remark.as_deref(), Some("it waits to be started again"));
    stop(&host, 1).await;
    fs::write(host.file(1, "work/go"), "").expect("written");
    host.until(1, |seen| {
        seen.is_some_and(|seen| seen.remark.as_deref().is_some_and(|said| said.contains("supervisor ended")))
    })
    .await;
    host.ensure(1, &definition).await.expect("taken up");
    let back = host.until_condition(1, Condition::Ready).await;
    assert_eq!((back.exits, back.obeyed), (0, 2));
    host.retired(1).await;
}
