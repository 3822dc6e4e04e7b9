//! The run of a hook, against the real program: what it is told, that it runs once whoever crashes, how it ends.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use pointsman::{
    hooks::{Call, Facts, HookDefinition, HttpCall, LinesFrom, Method, Order, Outcome, Run, Runs, State},
    machine::{HookPoint, Millis, Number},
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use secrecy::SecretString;

use crate::support::{address, until};

const CANARY: &str = "canary-of-the-hook-4711";

struct Desk {
    folder: tempfile::TempDir,
    runs: Runs,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let runs = runs(folder.path());
        Self { folder, runs }
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    fn shell(&self, script: &str) -> HookDefinition {
        let words = ["sh", "-c", script].map(str::to_owned).to_vec();
        let environment = BTreeMap::from([("DATABASE".to_owned(), "shop".to_owned())]);
        definition(Call::Command { words, folder: self.folder.path().to_owned(), environment })
    }

    async fn begin(&self, hook: &HookDefinition) -> Result<(), String> {
        begin(&self.runs, hook).await
    }

    async fn outcome(&self) -> Outcome {
        outcome(&self.runs).await
    }

    async fn ran(&self, hook: &HookDefinition) -> Outcome {
        self.begin(hook).await.expect("it begins");
        self.outcome().await
    }
}

/// Returns the runs of a controller that has just started, with its state in that folder.
fn runs(folder: &Path) -> Runs {
    let id = "shop/prod".parse().expect("a name");
    Runs::of(&folder.join("state"), &id, env!("CARGO_BIN_EXE_pointsman").into())
}

fn run() -> Run {
    Run { number: Number(7), hook: "migrate".into() }
}

fn definition(call: Call) -> HookDefinition {
    let (name, secrets) = ("migrate".into(), [("db_password".into(), "db_password".into())].into());
    HookDefinition { name, at: HookPoint::AfterChecks, call, secrets, timeout: Millis(20_000), one_way: true }
}

async fn begin(runs: &Runs, hook: &HookDefinition) -> Result<(), String> {
    let facts = Facts {
        pipeline: "shop".to_owned(),
        environment: "prod".to_owned(),
        hook: "migrate".to_owned(),
        deployment: 7,
        version: "v2".to_owned(),
        endpoints: [81, 82].map(|port| SocketAddr::from(([127, 0, 0, 1], port))).into_iter().collect(),
        ..Facts::default()
    };
    let secret = |text: &str| SecretString::from(text);
    let secrets = BTreeMap::from([("db_password".into(), secret(CANARY))]);
    let terms = hook.terms();
    let order = Order { definition: hook, terms: &terms, facts, secrets, hidden: vec![secret("another-secret")] };
    runs.begin(&run(), &[run()], &order).await.map_err(|why| why.to_string())
}

fn look(runs: &Runs) -> Option<State> {
    let mut seen = runs.look(&[run()], &[Number(7)]).expect("its folder can be read");
    assert!(seen.len() <= 1);
    seen.pop().map(|seen| seen.state)
}

async fn outcome(runs: &Runs) -> Outcome {
    loop {
        match until("it is over", async || look(runs).filter(|state| *state != State::Running)).await {
            State::Done(outcome) => return outcome,
            State::Running => {}
        }
    }
}

/// The process whose number is in that file.
async fn process(desk: &Desk, name: &str) -> Pid {
    until("it says its number", async || Pid::from_raw(desk.text(name).trim().parse().ok()?)).await
}

async fn until_gone(pid: Pid) {
    // Whoever has no parent any more is waited for by somebody who may take its time.
    let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let ended = || fs::read_to_string(&stat).map_or(true, |text| text.contains(") Z "));
    until("the process is gone", async || (ended() || test_kill_process(pid).is_err()).then_some(())).await;
}

#[tokio::test]
async fn a_command_is_told_the_facts_and_its_secrets_and_nothing_of_ours() {
    let desk = Desk::new();
    let script = "echo $POINTSMAN_DEPLOYMENT $POINTSMAN_VERSION $POINTSMAN_ENDPOINTS; echo \"$DB_PASSWORD in $DATABASE\"; \
                  echo another-secret >&2; pwd > where; env > seen; test -z \"$CARGO_MANIFEST_DIR\"";
    let outcome = desk.ran(&desk.shell(script)).await;
    assert_eq!(outcome.failed, None, "{outcome:?}");
    assert_eq!(outcome.said, "7 v2 127.0.0.1:81 127.0.0.1:82\n[secret] in shop\n[secret]");
    assert_eq!(Path::new(desk.text("where").trim()), desk.folder.path().canonicalize().expect("it is there"));
    let seen = desk.text("seen");
    let known = [
        "POINTSMAN_",
        "PATH=",
        "HOME=",
        "LANG=",
        "TZ=",
        "USER=",
        "TMPDIR=",
        "DATABASE=",
        "DB_PASSWORD=",
        "PWD=",
        "_=",
        "SHLVL=",
        "OLDPWD=",
    ];
    assert!(seen.lines().all(|line| known.iter().any(|k| line.starts_with(k))), "{seen}");
    for entry in fs::read_dir(desk.folder.path().join("state/hooks/shop/prod/7-migrate")).expect("its folder") {
        let path = entry.expect("an entry").path();
        assert!(!fs::read_to_string(&path).unwrap_or_default().contains("canary"), "{}", path.display());
    }
}

#[tokio::test]
async fn what_went_wrong_is_said_in_one_sentence() {
    let desk = Desk::new();
    let outcome = desk.ran(&desk.shell("echo good; echo no table of that name >&2; exit 3")).await;
    assert_eq!(outcome.failed.as_deref(), Some("it ended with exit status 3: no table of that name"));
    assert_eq!(outcome.said, "good\nno table of that name");
    let desk = Desk::new();
    let words = vec!["./bin/nowhere".to_owned()];
    let hook = definition(Call::Command { words, folder: desk.folder.path().to_owned(), environment: BTreeMap::new() });
    let failed = desk.ran(&hook).await.failed.expect("it cannot run");
    assert!(failed.contains("cannot start ./bin/nowhere: No such file"), "{failed}");
}

#[tokio::test]
async fn who_begins_it_at_the_same_time_or_later_begins_it_once() {
    let desk = Desk::new();
    let hook = desk.shell("echo once >> count; cat gate 2>/dev/null; while ! test -e go; do sleep 0.02; done");
    let others: Vec<Runs> = (0..4).map(|_| runs(desk.folder.path())).collect();
    let begun = futures_util::future::join_all(others.iter().map(|runs| begin(runs, &hook))).await;
    assert!(begun.iter().all(Result::is_ok), "{begun:?}");
    until("it runs", async || (look(&desk.runs)? == State::Running).then_some(())).await;
    fs::write(desk.folder.path().join("go"), "").expect("written");
    assert_eq!(desk.outcome().await.failed, None);
    desk.begin(&hook).await.expect("that is no mistake");
    assert_eq!(desk.text("count"), "once\n");
}

#[tokio::test]
async fn what_nobody_finished_is_told_and_not_begun_again() {
    let desk = Desk::new();
    let hook = desk.shell("echo once >> count; echo $PPID > above; echo $$ > own; exec sleep 60");
    desk.begin(&hook).await.expect("it begins");
    let (above, own) = (process(&desk, "above").await, process(&desk, "own").await);
    kill_process(above, Signal::KILL).expect("it is ours");
    let failed = desk.outcome().await.failed.expect("nobody knows");
    assert_eq!(failed, "its run was interrupted, and how far it came is unknown");
    until_gone(own).await;
    desk.begin(&hook).await.expect("that is no mistake");
    assert_eq!(desk.text("count"), "once\n");
}

#[tokio::test]
async fn the_timeout_ends_it_with_all_that_it_started() {
    let desk = Desk::new();
    let script = "sleep 60 & echo $! > child; trap 'echo tidied; exit 1' TERM; echo working; wait";
    let hook = HookDefinition { timeout: Millis(300), ..desk.shell(script) };
    let outcome = desk.ran(&hook).await;
    let failed = outcome.failed.expect("it was ended");
    assert_eq!(failed, "it was ended because its timeout of 300 ms was over: tidied");
    assert_eq!(outcome.said, "working\ntidied");
    until_gone(process(&desk, "child").await).await;
}

#[tokio::test]
async fn what_does_not_listen_is_killed_and_what_stays_behind_too() {
    let desk = Desk::new();
    let deaf = HookDefinition { timeout: Millis(100), ..desk.shell("trap '' TERM; while :; do sleep 0.1; done") };
    assert!(desk.ran(&deaf).await.failed.expect("it was ended").contains("its timeout of 100 ms"));
    let desk = Desk::new();
    let outcome = desk.ran(&desk.shell("sleep 60 & echo $! > child; echo done")).await;
    assert_eq!((outcome.failed, &*outcome.said), (None, "done"));
    until_gone(process(&desk, "child").await).await;
}

#[tokio::test]
async fn what_nobody_waits_for_is_ended_before_anything_else_begins_and_cleared_away_later() {
    let desk = Desk::new();
    let hook = desk.shell("trap 'while ! test -e go; do sleep 0.02; done; exit 0' TERM; while :; do sleep 0.02; done");
    desk.begin(&hook).await.expect("it begins");
    // Another life of the controller, which knows nothing yet.
    let later = runs(desk.folder.path());
    assert!(!later.is_idle(&[], &[Number(7)]), "it has not looked yet");
    assert_eq!(later.look(&[], &[Number(7)]).expect("it looks"), []);
    let next = Run { number: Number(8), hook: "migrate".into() };
    let terms = hook.terms();
    let order = || Order {
        definition: &hook,
        terms: &terms,
        facts: Facts::default(),
        secrets: BTreeMap::new(),
        hidden: Vec::new(),
    };
    let why = later
        .begin(&next, std::slice::from_ref(&next), &order())
        .await
        .expect_err("the other one still runs")
        .to_string();
    assert_eq!(why, "hook migrate of deployment 7 is still being ended");
    fs::write(desk.folder.path().join("go"), "").expect("written");
    until("it is over", async || {
        later.look(&[], &[Number(7)]).expect("it looks");
        later.is_idle(&[], &[Number(7)]).then_some(())
    })
    .await;
    let folder = desk.folder.path().join("state/hooks/shop/prod/7-migrate");
    assert!(folder.exists() && !later.is_idle(&[], &[Number(8)]), "nobody remembers it");
    later.look(&[], &[Number(8)]).expect("it looks");
    assert!(!folder.exists() && later.is_idle(&[], &[Number(8)]));
}

/// A server that answers each connection with the next of these, and tells what it was asked.
fn server(at: SocketAddr, answers: &'static [&str]) -> std::thread::JoinHandle<Vec<String>> {
    let listener = TcpListener::bind(at).expect("it listens");
    let serve = move || {
        let asked = answers.iter().map(|answer| {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
            let (mut text, mut buffer) = (String::new(), [0; 4096]);
            let whole = |text: &str| {
                let (head, body) = text.split_once("\r\n\r\n")?;
                let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok());
                (body.len() >= length.unwrap_or(0)).then_some(())
            };
            while whole(&text).is_none() {
                let length = stream.read(&mut buffer).expect("it says all");
                text.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
            stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).expect("answered");
            text
        });
        asked.collect()
    };
    std::thread::spawn(serve)
}

fn request(at: SocketAddr, method: Method) -> HookDefinition {
    let headers = BTreeMap::from([("Authorization".to_owned(), "Bearer {db_password}".to_owned())]);
    let status = serde_json::from_str("\"200-299\"").expect("a range");
    let url = format!("http://{at}/on?a=b");
    HookDefinition {
        timeout: Millis(10_000),
        ..definition(Call::Http(HttpCall { url, method, headers, body: None, status }))
    }
}

#[tokio::test]
async fn a_server_is_asked_again_until_it_answers_and_knows_the_request_again() {
    let desk = Desk::new();
    let at: SocketAddr = (address::own(), 8123).into();
    desk.begin(&request(at, Method::Post)).await.expect("it begins, though nobody listens");
    let server = server(
        at,
        &[
            "503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            "201 Made\r\ncontent-length: 30\r\nconnection: close\r\n\r\nactivated canary-of-the-hook-4",
        ],
    );
    let outcome = desk.outcome().await;
    assert_eq!(outcome.failed, None, "{outcome:?}");
    let written = desk.runs.written(&run(), LinesFrom::Last(100)).expect("its folder can be read").expect("it ran");
    let lines: Vec<&str> = written.lines.lines.iter().map(|line| &*line.text).collect();
    let [refused @ .., last_try, status, body] = &lines[..] else { panic!("{lines:?}") };
    // As many as came before it listened.
    let is_refused = |line: &&str| line.starts_with("no connection: ") && line.contains("; retrying in ");
    assert!(refused.iter().all(is_refused), "{lines:?}");
    assert!(last_try.starts_with("it answered 503 Service Unavailable; retrying in "), "{last_try}");
    assert_eq!((*status, *body), ("201 Created", "activated canary-of-the-hook-4"));
    assert_eq!(outcome.said, "201 Created\nactivated canary-of-the-hook-4");
    let asked = server.join().expect("it served");
    for text in &asked {
        assert!(text.starts_with("POST /on?a=b HTTP/1.1\r\n"), "{text}");
        for header in [
            "authorization: Bearer canary-of-the-hook-4711",
            "idempotency-key: shop-prod-7-migrate",
            "content-type: application/json",
        ] {
            assert!(text.contains(header), "{header}: {text}");
        }
        let body: serde_json::Value =
            serde_json::from_str(text.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
        assert_eq!((&body["deployment"], &body["endpoints"][1]), (&7.into(), &"127.0.0.1:82".into()));
    }
}

#[tokio::test]
async fn an_answer_that_is_not_good_is_final_and_a_redirect_leads_nowhere() {
    for (answer, told) in [
        (
            "404 Not Found\r\ncontent-length: 12\r\nconnection: close\r\n\r\nno such role",
            "it answered 404: no such role",
        ),
        (
            "302 Found\r\nlocation: http://192.0.2.1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            "it answered 302: 302 Found",
        ),
    ] {
        let desk = Desk::new();
        let at: SocketAddr = (address::own(), 8123).into();
        let answers: &'static [&str] = Box::leak(Box::new([answer]));
        let server = server(at, answers);
        assert_eq!(desk.ran(&request(at, Method::Put)).await.failed.as_deref(), Some(told));
        assert_eq!(server.join().expect("it served").len(), 1);
    }
    let desk = Desk::new();
    let nobody = HookDefinition { timeout: Millis(400), ..request((address::own(), 8123).into(), Method::Get) };
    let failed = desk.ran(&nobody).await.failed.expect("nobody answers");
    assert!(failed.starts_with("it was ended because its timeout of 400 ms was over: no connection: "), "{failed}");
}
