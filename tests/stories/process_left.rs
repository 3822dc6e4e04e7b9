//! No process outlives its stack, however it hides; and what a process is given is as it should be.

use std::{fs, net::TcpListener, path::PathBuf};

use pointsman::stacks::{Condition, process::Process};
use rustix::process::Signal;

use super::process::{Host, asked, kill, shell};

const WELL: &str = "http = { path = \"/healthz\" }";

/// An application whose worker holds the port, in a session of its own and with nothing in its environment that says whose
/// it is. `how` starts it.
fn hiding(how: &str) -> String {
    shell(&how.replace("WORKER", "env -i setsid \"$PROGRAM\" sample --listen \"$LISTEN\""))
        + "\nenvironment = { PROGRAM = \"{pointsman}\", LISTEN = \"{address}:{port}\" }\n"
}

/// Its worker is a child of the leader; of an intermediate process that ends; in the leader's own group.
const WAYS: [&str; 3] = [
    "WORKER & exec sleep 1000",
    "(WORKER &) ; exec sleep 1000",
    "env -i \"$PROGRAM\" sample --listen \"$LISTEN\" & exec sleep 1000",
];

#[tokio::test]
async fn a_worker_that_hides_ends_with_its_leader_so_that_the_port_is_free_for_the_next() {
    for way in WAYS {
        let host = Host::new();
        host.ensure(1, &hiding(way)).await.expect("taken up");
        let endpoint = host.until_condition(1, Condition::Ready).await.reach.addresses()[0];
        let mut serves = false;
        for nth in 1..=2 {
            for _ in 0..500 {
                serves = asked(endpoint, WELL).await.is_ok();
                if serves {
                    break;
                }
                host.look(1).await;
            }
            assert!(serves, "{way}: it never served");
            kill(host.instance(1, 0).expect("it runs"), Signal::KILL);
            let again = host.until(1, |s| s.is_some_and(|s| s.exits == nth && s.condition == Condition::Ready)).await;
            let remark = again.and_then(|seen| seen.remark).expect("it stands out");
            assert!(!remark.contains("in use"), "{way}: {remark}");
        }
        host.retired(1).await;
        TcpListener::bind(endpoint).expect("its port is free when it is gone");
    }
}

#[tokio::test]
async fn a_worker_that_hides_is_found_by_the_next_supervisor_too() {
    for way in WAYS {
        let host = Host::new();
        host.ensure(1, &hiding(way)).await.expect("taken up");
        let endpoint = host.until_condition(1, Condition::Ready).await.reach.addresses()[0];
        // Until the supervisor has looked at all there are.
        host.until(1, |_| fs::read_to_string(host.file(1, "family.json")).is_ok_and(|text| text.contains("\"pid\"")))
            .await;
        kill(host.supervisor(1), Signal::KILL);
        kill(host.instance(1, 0).expect("it runs"), Signal::KILL);
        host.retired(1).await;
        TcpListener::bind(endpoint).unwrap_or_else(|error| panic!("{way}: {endpoint}: {error}"));
    }
}

#[tokio::test]
async fn a_stack_is_not_gone_while_somebody_holds_its_port_and_says_who() {
    let host = Host::new();
    host.ensure(1, &shell("exec sleep 1000")).await.expect("taken up");
    let endpoint = host.until_condition(1, Condition::Ready).await.reach.addresses()[0];
    // Whoever it is came after the stack was made, and carries no mark at all.
    let mut holder = std::process::Command::new(env!("CARGO_BIN_EXE_pointsman"));
    let mut holder = holder.arg("sample").arg("--listen").arg(endpoint.to_string()).spawn().expect("it starts");
    host.until(1, |_| TcpListener::bind(endpoint).is_err()).await;
    host.retire(1).await;
    let said = format!("{endpoint} is in use by process {} (pointsman)", holder.id());
    host.until(1, |s| {
        s.is_some_and(|s| s.condition == Condition::Deleting && s.remark.as_deref() == Some(said.as_str()))
    })
    .await;
    assert!(matches!(holder.try_wait(), Ok(None)), "what is not proven to be of the stack is left alone");
    holder.kill().and_then(|()| holder.wait()).expect("ours to end");
    host.until(1, |seen| seen.is_none()).await;
}

#[tokio::test]
async fn signals_that_were_ignored_around_the_controller_are_heard_by_its_stacks() {
    let mut host = Host::new();
    let wrapped = host.folder.path().join("wrapped");
    let script = format!(
        "#!/bin/sh\ntrap '' INT QUIT HUP USR1\nexec '{}' \"$@\"\n",
        PathBuf::from(env!("CARGO_BIN_EXE_pointsman")).display()
    );
    fs::write(&wrapped, script).expect("written");
    fs::set_permissions(&wrapped, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    host.driver = Process::new(host.folder.path(), wrapped);
    host.ensure(1, "command = [\"sleep\", \"1000\"]\nstop = { signal = \"INT\", grace = \"1h\" }")
        .await
        .expect("taken up");
    host.until_condition(1, Condition::Ready).await;
    let status =
        fs::read_to_string(format!("/proc/{}/status", host.instance(1, 0).expect("it runs"))).expect("it runs");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).expect("it is said");
    // 32 and 33 are the C library's own.
    let ignored = u64::from_str_radix(ignored, 16).expect("a number") & !0x1_8000_0000;
    assert_eq!(ignored, 0, "{status}");
    // It hears INT, so nobody waits for the hour.
    host.retired(1).await;
}
