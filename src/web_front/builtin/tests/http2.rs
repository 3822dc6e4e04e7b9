//! HTTP/2 with a client that is not ours and keeps to no rule: each stream has clocks of its own.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use super::kit::{Client, Front, Server, get, until};

/// Python with the packages that `tests/run` installs. None: its tests are left out, where that may be.
#[track_caller]
#[expect(clippy::print_stdout, reason = "who runs the tests is to see what they leave out")]
fn peer() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/h2/bin/python3");
    if python.is_file() {
        return Some(python);
    }
    let why = "the HTTP/2 client in target/peers/h2 is not installed";
    assert!(std::env::var_os("POINTSMAN_PEERS").is_none(), "required, and yet {why}");
    println!("left out: {why}");
    None
}

/// A client at work.
struct Peer(Child, BufReader<ChildStdout>);

impl Peer {
    fn start(python: &Path, front: &Front, scenario: &str, milliseconds: u64) -> Self {
        Self::asking("/", python, front, scenario, milliseconds)
    }

    fn asking(path: &str, python: &Path, front: &Front, scenario: &str, milliseconds: u64) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/h2/client.py");
        let mut command = Command::new(python);
        command.arg(script).arg(front.address.port().to_string()).arg(scenario).arg(milliseconds.to_string()).arg(path);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self(child, stdout)
    }

    /// Waits for what it says next.
    async fn says(mut self) -> (Self, Value) {
        tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            self.1.read_line(&mut line).unwrap();
            let value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
            (self, value)
        })
        .await
        .unwrap()
    }

    fn go_on(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It has ended, or hangs in a test that failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the client saw of a front with these settings.
async fn seen(scenario: &str, milliseconds: u64, settings: &str) -> Option<Value> {
    let python = peer()?;
    let blue = Server::start("blue").await;
    let front = Front::start(settings).await;
    front.live(1, 1, &[blue.address]).await;
    let (_peer, value) = Peer::start(&python, &front, scenario, milliseconds).says().await;
    Some(value)
}

#[tokio::test]
async fn what_is_no_request_begins_no_request() {
    let settings = "[timeouts]\nheader = '200ms'\nidle = '10s'";
    let Some(seen) = seen("idle", 1200, settings).await else { return };
    assert_eq!((&seen["first"]["status"], &seen["second"]["status"]), (&200.into(), &200.into()), "{seen}");
    assert_eq!(seen["goaways"], Value::Array(vec![]));
}

#[tokio::test]
async fn who_is_idle_is_asked_to_go_and_what_is_on_its_way_is_answered() {
    let settings = "[timeouts]\nheader = '1s'\nidle = '400ms'";
    let Some(seen) = seen("farewell", 5000, settings).await else { return };
    assert_eq!(seen["told"], true, "{seen}");
    assert_eq!((&seen["late"]["status"], &seen["late"]["body"]), (&200.into(), &6.into()), "not lost: {seen}");
    assert_eq!((&seen["goaways"][0], &seen["closed"]), (&0.into(), &true.into()), "{seen}");
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_reset_alone() {
    let settings = "[timeouts]\nstall = '600ms'";
    let Some(seen) = seen("window", 10_000, settings).await else { return };
    for stuck in seen["stuck"].as_array().unwrap() {
        assert_eq!((&stuck["status"], &stuck["body"]), (&200.into(), &0.into()), "{seen}");
        assert_eq!(stuck["reset"], 8, "CANCEL: {seen}");
    }
    assert_eq!(
        (&seen["events"]["status"], &seen["events"]["reset"]),
        (&200.into(), &Value::Null),
        "quiet is not stuck"
    );
    assert_eq!((&seen["after"]["status"], &seen["closed"]), (&200.into(), &false.into()), "{seen}");
    assert_eq!(seen["goaways"], Value::Array(vec![]));
}

#[tokio::test]
async fn uploads_that_stop_end_alone() {
    let settings = "[timeouts]\nstall = '600ms'";
    let Some(seen) = seen("upload", 3000, settings).await else { return };
    for stuck in seen["stuck"].as_array().unwrap() {
        assert_eq!((&stuck["status"], &stuck["front"]), (&408.into(), &"stalled".into()), "{seen}");
    }
    assert_eq!((&seen["moving"]["status"], &seen["closed"]), (&200.into(), &false.into()), "{seen}");
}

#[tokio::test]
async fn uploads_that_nobody_takes_leave_room_for_their_neighbours() {
    let Some(seen) = seen("neighbours", 10_000, "").await else { return };
    assert_eq!((&seen["beside"]["status"], &seen["beside"]["end"]), (&200.into(), &true.into()), "{seen}");
}

#[tokio::test]
async fn a_stream_both_ways_may_be_quiet() {
    let settings = "[timeouts]\nstall = '300ms'\nresponse = '300ms'";
    let Some(seen) = seen("both", 1500, settings).await else { return };
    assert_eq!((&seen["began"], &seen["seen"]["body"]), (&200.into(), &5.into()), "{seen}");
    assert_eq!((&seen["seen"]["end"], &seen["seen"]["reset"]), (&true.into(), &Value::Null), "{seen}");
}

#[tokio::test]
async fn one_stream_too_many_is_refused_alone() {
    let settings = "[limits]\nstreams = 7";
    let Some(seen) = seen("many", 10_000, settings).await else { return };
    assert_eq!(
        (&seen["most"], &seen["refused"], &seen["code"]),
        (&7.into(), &1.into(), &7.into()),
        "REFUSED_STREAM: {seen}"
    );
}

#[tokio::test]
async fn a_connection_that_came_while_all_was_full_is_served_when_there_is_room() {
    let Some(python) = peer() else { return };
    let blue = Server::start("blue").await;
    let front = Front::start("[limits]\nconnections = 1").await;
    front.live(1, 1, &[blue.address]).await;
    let mut busy = Client::connect(front.address).await;
    busy.send("GET /gate HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("it is being answered", async || blue.hits() == 1).await;
    let (mut peer, value) = Peer::start(&python, &front, "full", 10_000).says().await;
    let first = &value["first"];
    assert_eq!((&first["status"], &first["front"]), (&503.into(), &"crowded".into()), "{value}");
    drop(busy);
    peer.go_on();
    let (_peer, value) = peer.says().await;
    assert_eq!((&value["last"]["status"], &value["closed"]), (&200.into(), &false.into()), "{value}");
}

/// Forty streams of a client that reads nothing, before a stack with four connections.
async fn held(path: &str) -> Option<(Peer, Front, Server)> {
    let python = peer()?;
    let blue = Server::start("blue").await;
    let front = Front::start("[limits]\nstack_connections = 4\n[timeouts]\nheader = '1s'").await;
    front.live(1, 1, &[blue.address]).await;
    let (peer, value) = Peer::asking(path, &python, &front, "hold", 5000).says().await;
    assert!(value["open"].as_u64().unwrap() >= 4, "{value}");
    Some((peer, front, blue))
}

#[tokio::test]
async fn small_answers_that_nobody_reads_hold_no_connection_of_the_stack() {
    let Some((_peer, front, _blue)) = held("/").await else { return };
    for _ in 0..20 {
        assert_eq!(get(front.address, "/", "").await.status, 200);
    }
}

#[tokio::test]
async fn large_answers_that_nobody_reads_give_way_to_those_who_wait() {
    let Some((_peer, front, _blue)) = held("/large").await else { return };
    assert_eq!(get(front.address, "/", "").await.status, 503, "they hold all");
    until("somebody else is served", async || get(front.address, "/", "").await.status == 200).await;
}
