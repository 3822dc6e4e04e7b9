//! Stacks of processes are kept alive: what was up is started again for ever, and a supervisor that is killed takes
//! nothing with it.

use std::{fs, time::Duration};

use pointsman::stacks::{Condition, SeenStack, StackDriver};
use rustix::process::Signal;

use super::process::{Host, SAMPLE, asked, kill, name, shell};

const WELL: &str = "http = { path = \"/healthz\" }";

/// An application that ends unless this shell condition holds in its working folder.
fn wants(condition: &str) -> String {
    let script = "CONDITION || {{ echo no database >&2; exit 3; }}; exec \"$PROGRAM\" sample --listen \"$LISTEN\"";
    shell(&script.replace("CONDITION", condition))
        + "\nenvironment = { PROGRAM = \"{pointsman}\", LISTEN = \"{address}:{port}\" }\n"
}

fn remark(seen: Option<&SeenStack>) -> String {
    seen.and_then(|seen| seen.remark.clone()).unwrap_or_default()
}

#[tokio::test]
async fn what_was_up_is_started_again_for_ever_and_serves_when_its_database_is_back() {
    let mut host = Host::new();
    let definition = wants("test ! -e database-is-away");
    host.ensure(1, &definition).await.expect("taken up");
    host.until_condition(1, Condition::Ready).await;
    host.until(1, |_| host.is_kept(1)).await;

    fs::write(host.file(1, "work/database-is-away"), "").expect("written");
    kill(host.instance(1, 0).expect("it runs"), Signal::KILL);
    // More often than `restart` allows for one that never came up.
    let seen = host.until(1, |seen| remark(seen).contains("ended 6 times in a row")).await.expect("it is there");
    let said = seen.remark.clone().expect("it is said");
    assert!(said.contains("is tried again every") && said.contains("exit status 3: no database"), "{said}");
    assert_eq!(seen.condition, Condition::Creating, "{said}");
    assert!(seen.exits >= 6, "{seen:?}");

    // Neither a new controller nor a new supervisor gives it up.
    host.restart_controller();
    kill(host.supervisor(1), Signal::KILL);
    host.until(1, |seen| remark(seen).contains("supervisor ended")).await;
    host.ensure(1, &definition).await.expect("taken up");
    host.until(1, |seen| remark(seen).contains("ended 8 times in a row")).await;

    fs::remove_file(host.file(1, "work/database-is-away")).expect("it is there");
    let seen = host.until_condition(1, Condition::Ready).await;
    assert_eq!(asked(seen.reach.addresses()[0], WELL).await, Ok(()));
    host.retired(1).await;
}

#[tokio::test]
async fn one_that_never_came_up_is_given_up_and_started_again_when_it_is_wanted_still() {
    let host = Host::new();
    let definition = wants("test -e database");
    host.ensure(1, &definition).await.expect("taken up");
    let seen = host.until_condition(1, Condition::Failed).await;
    assert_eq!(seen.exits, 0, "it is for the deployment to say that it does not come up");
    fs::write(host.file(1, "work/database"), "").expect("written");
    host.ensure(1, &definition).await.expect("taken up");
    host.until_condition(1, Condition::Ready).await;
    host.retired(1).await;
}

#[tokio::test]
async fn instances_outlive_their_supervisor_and_the_next_one_goes_on_with_them() {
    let host = Host::new();
    let chatty = "i=0; while :; do i=$((i+1)); echo line $i; echo error $i >&2; sleep 0.01; done & exec \"$PROGRAM\" sample --listen \"$LISTEN\"";
    let definition =
        shell(chatty) + "\ninstances = 2\nenvironment = { PROGRAM = \"{pointsman}\", LISTEN = \"{address}:{port}\" }\n";
    host.ensure(1, &definition).await.expect("taken up");
    let before = host.until_condition(1, Condition::Ready).await;
    let instances = [0, 1].map(|nth| host.instance(1, nth).expect("it runs"));

    kill(host.supervisor(1), Signal::KILL);
    host.until(1, |seen| remark(seen).contains("supervisor ended")).await;
    for endpoint in before.reach.addresses() {
        assert_eq!(asked(*endpoint, WELL).await, Ok(()), "it serves without a supervisor");
    }
    host.ensure(1, &definition).await.expect("taken up");
    let after = host.until_condition(1, Condition::Ready).await;
    assert_eq!([0, 1].map(|nth| host.instance(1, nth).expect("it runs")), instances, "the same processes");
    assert_eq!((after.exits, after.remark), (0, None));

    // Its output is kept further, and its end is noticed by who did not start it.
    let lines = || fs::read_to_string(host.file(1, "logs/0.out")).expect("a log").lines().count();
    let read_so_far = lines();
    host.until(1, |_| lines() > read_so_far + 5).await;
    kill(instances[0], Signal::KILL);
    let seen = host.until(1, |seen| seen.is_some_and(|s| s.exits == 1 && s.condition == Condition::Ready)).await;
    let last = seen.and_then(|seen| seen.last_exit).expect("it is said");
    assert!(last.contains("instance 0 ended by itself") && last.contains("exit status is not known"), "{last}");
    assert!(last.contains(": error "), "its last line: {last}");
    assert_eq!(host.instance(1, 1), Some(instances[1]));
    host.retired(1).await;
}

#[tokio::test]
async fn a_supervisor_that_is_told_to_end_leaves_its_instances_running() {
    let host = Host::new();
    host.ensure(1, SAMPLE).await.expect("taken up");
    let before = host.until_condition(1, Condition::Ready).await;
    let instance = host.instance(1, 0);
    kill(host.supervisor(1), Signal::TERM);
    host.until(1, |seen| remark(seen).contains("supervisor ended")).await;
    assert_eq!(asked(before.reach.addresses()[0], WELL).await, Ok(()));
    host.ensure(1, SAMPLE).await.expect("taken up");
    host.until_condition(1, Condition::Ready).await;
    assert_eq!(host.instance(1, 0), instance);
    host.retired(1).await;
}

#[tokio::test]
async fn ends_are_counted_with_their_reason_and_a_new_supervisor_remembers() {
    let host = Host::new();
    let crashes = shell("sleep 0.4; echo out of luck >&2; exit 42");
    host.ensure(1, &crashes).await.expect("taken up");
    let counted = |n: u64| move |seen: Option<&SeenStack>| seen.is_some_and(|seen| seen.exits >= n);
    let seen = host.until(1, counted(2)).await.expect("it is there");
    assert_eq!(seen.last_exit.as_deref(), Some("instance 0 ended by itself: exit status 42: out of luck"));
    kill(host.supervisor(1), Signal::KILL);
    let seen = host.look(1).await.expect("it is there");
    host.until(1, |seen| remark(seen).contains("supervisor ended")).await;
    host.ensure(1, &crashes).await.expect("taken up");
    // Also the end of one that ended while nobody supervised it.
    host.until(1, counted(seen.exits + 1)).await;
    host.retired(1).await;
}

#[tokio::test]
async fn whoever_waits_is_told_of_a_change_at_once() {
    let host = Host::new();
    let environment = name(1).environment;
    let mut bell = host.driver.changes(&environment).expect("this driver tells");
    host.ensure(1, SAMPLE).await.expect("taken up");
    host.until_condition(1, Condition::Ready).await;
    // Nobody looks but when it rings.
    let rings_until = async |bell: &mut tokio::sync::watch::Receiver<u64>, what: &dyn Fn(&SeenStack) -> bool| {
        let rung = async {
            loop {
                bell.changed().await.expect("it is there");
                if host.look(1).await.is_some_and(|seen| what(&seen)) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), rung).await.expect("nobody was told");
    };
    kill(host.supervisor(1), Signal::KILL);
    rings_until(&mut bell, &|seen| seen.condition == Condition::Creating).await;
    host.ensure(1, SAMPLE).await.expect("taken up");
    rings_until(&mut bell, &|seen| seen.condition == Condition::Ready).await;
    kill(host.instance(1, 0).expect("it runs"), Signal::KILL);
    rings_until(&mut bell, &|seen| seen.exits == 1).await;
    host.retired(1).await;
}
