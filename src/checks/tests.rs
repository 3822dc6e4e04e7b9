//! Checks as written, the watch in made-up time, and probes against small servers on loopback.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use ::http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::{
    machine::{Health, Millis, Number},
    outgoing::Mark,
};

fn check(text: &str) -> Check {
    toml::from_str(text).expect("a right check")
}

fn wrong(text: &str) -> String {
    toml::from_str::<Check>(text).expect_err("a wrong check").message().to_owned()
}

fn subject() -> Subject {
    Subject {
        stack: StackName { environment: "shop/prod".parse().expect("a name"), number: Number(7) },
        version: "v1".into(),
    }
}

fn endpoint(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn watch(text: &str) -> (Watch, Probe) {
    let mut watch = Watch::new(Arc::new(Checks { list: vec![check(text)], ..Checks::default() }));
    watch.set_endpoints(&[endpoint(1)], KnownAs::Known, Millis(0));
    (watch, Probe { check: 0, at: At::Stack(endpoint(1)) })
}

fn good() -> Result<Duration, NoPass> {
    Ok(Duration::from_millis(3))
}

fn bad() -> Result<Duration, NoPass> {
    Err(NoPass::Failed("GET /healthz on 127.0.0.1:1: expected 200, got 500".into()))
}

#[test]
fn a_header_of_a_request_is_one_that_a_check_may_say_and_its_value_is_never_repeated() {
    let request = |header: &str| format!("http = {{ path = \"/\", request_headers = {{ {header} }} }}");
    for (header, why) in [
        ("Host = \"s3cret\"", "write `host"),
        ("Connection = \"s3cret\"", "belongs to a connection"),
        ("Content-Length = \"1\"", "belongs to a connection"),
        ("Authorization = \"Bearer s3cret\"", "credential"),
        ("cookie = \"s3cret\"", "credential"),
        ("X-Pointsman-Probe = \"s3cret\"", "own"),
        ("\"a b\" = \"s3cret\"", "cannot be a header"),
        ("X-A = \"s3cret\\n\"", "a value that no header can have"),
        ("X-A = \"1\", x-a = \"s3cret\"", "twice"),
    ] {
        let said = wrong(&request(header));
        assert!(said.contains(why) && !said.contains("s3cret"), "{header}: {said}");
    }
}

#[test]
fn through_a_front_only_http_is_asked_and_the_front_says_how() {
    for text in ["tcp = {}\nvia = \"front\"", "command = [\"x\"]\nvia = \"front\""] {
        assert!(wrong(text).contains("`via = \"front\"` is for `http`"), "{text}");
    }
    let https = "http = { path = \"/\", scheme = \"https\", insecure_tls = true }\nvia = \"front\"";
    assert!(wrong(https).contains("the front's own settings"));
    assert_eq!(check("http = { path = \"/\" }\nvia = \"front\"").via, Via::Front);
    assert!(wrong("tcp = {}\nvia = \"side\"").contains("side"));
}

#[test]
fn a_check_through_the_front_waits_for_it_and_goes_to_the_stack_itself_once_that_is_forgotten_there() {
    let list = vec![check("http = { path = \"/\" }\nvia = \"front\"\npasses = 1"), check("tcp = {}\npasses = 1")];
    let mut watch = Watch::new(Arc::new(Checks { list, ..Checks::default() }));
    let probe = |check, at| Probe { check, at };
    let (stack, front) = (At::Stack(endpoint(1)), At::Front);
    watch.set_endpoints(&[endpoint(1)], KnownAs::Expected, Millis(0));
    assert_eq!(watch.due(Millis(0)), [probe(1, stack)]);
    watch.record(Millis(1), probe(1, stack), good());
    assert_eq!(watch.health(), Health::Unknown, "one of them was never asked");
    assert_eq!(watch.remark().unwrap(), "GET / through the front waits until the front knows the stack");
    watch.set_endpoints(&[endpoint(1)], KnownAs::Known, Millis(2));
    assert_eq!(watch.due(Millis(2)), [probe(0, front)]);
    watch.record(Millis(3), probe(0, front), good());
    assert_eq!(watch.health(), Health::Passing);
    watch.set_endpoints(&[endpoint(1)], KnownAs::Forgotten, Millis(4));
    assert_eq!(watch.due(Millis(4)), [probe(0, stack)]);
}

#[test]
fn a_question_that_does_not_come_to_the_stack_neither_passes_nor_fails_it() {
    let (mut watch, probe) = watch("tcp = {}\npasses = 2\nfails = 1\ngrace = \"0s\"");
    let astray = || Err(NoPass::NotReached("GET / at http://front: expected an answer of 7, got one of 6".into()));
    for (answer, health) in [
        (good(), Health::Unknown),
        (astray(), Health::Unknown),
        (good(), Health::Unknown),
        (good(), Health::Passing),
        (astray(), Health::Passing),
        (astray(), Health::Passing),
        (bad(), Health::Failing),
    ] {
        watch.record(Millis(5), probe, answer);
        assert_eq!(watch.health(), health);
    }
    assert!(watch.unanswered_since(Millis(60_000), Duration::ZERO).is_some());
}

#[test]
fn through_a_front_only_an_answer_of_the_right_stack_counts() {
    run(async {
        let through =
            check("http = { path = \"/\", request_headers = { X-Forwarded-Proto = \"https\" } }\nvia = \"front\"");
        let mut key = HeaderValue::from_static("k");
        key.set_sensitive(true);
        let way = |at: SocketAddr| Way {
            client: reqwest::Client::builder().no_proxy().build().expect("a client"),
            origin: format!("http://{at}"),
            headers: HeaderMap::from_iter([(HeaderName::from_static("x-key"), key.clone())]),
            mark: Mark::Header(HeaderName::from_static("x-stack"), HeaderValue::from_static("seven")),
        };
        let ask = async |at: SocketAddr| probe(&through, &subject(), Asked::Front(&way(at))).await.map(drop);
        let not_reached = |seen: Result<(), NoPass>, why: &str| match seen {
            Err(NoPass::NotReached(said)) => assert!(said.contains(why), "{said}"),
            other => panic!("{other:?}"),
        };
        let (at, mut asked) =
            server("HTTP/1.1 200 OK\r\nx-stack: seven\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        assert_eq!(ask(at).await, Ok(()));
        let request = asked.recv().await.expect("it asked").to_lowercase();
        assert!(request.contains("x-key: k\r\n") && request.contains("x-forwarded-proto: https\r\n"), "{request}");
        let (at, _asked) =
            server("HTTP/1.1 200 OK\r\nx-stack: six\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        not_reached(ask(at).await, "expected an answer of seven, got one of six");
        let (at, _asked) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        not_reached(ask(at).await, "without the mark of a stack");
        let nobody = TcpListener::bind("127.0.0.1:0").await.and_then(|l| l.local_addr()).expect("a free port");
        not_reached(ask(nobody).await, "refused");
        let (at, _asked) =
            server("HTTP/1.1 502 No\r\nx-stack: seven\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        assert!(matches!(ask(at).await, Err(NoPass::Failed(said)) if said.contains("got 502")));
    });
}

#[test]
fn a_check_says_what_it_lacks() {
    assert!(wrong("every = \"1s\"").contains("exactly one of"));
    assert!(wrong("tcp = {}\nhttp = { path = \"/\" }").contains("exactly one of"));
    assert!(wrong("tcp = {}\nevery = \"1\"").contains("invalid duration \"1\""));
    assert!(wrong("tcp = {}\nevry = \"1s\"").contains("evry"));
    assert!(wrong("http = { path = \"healthz\" }").contains("begins with /"));
    assert!(wrong("http = { path = \"/\", status = 99 }").contains("not a status"));
    assert!(wrong("http = { path = \"/\", scheme = \"https\" }").contains("insecure_tls"));
    assert!(wrong("http = { path = \"/\", host = \"user@host\" }").contains("host name"));
    assert!(wrong("command = []").contains("empty"));
    assert!(wrong("tcp = {}\npasses = 0").contains("count from 1"));
}

#[test]
fn what_each_check_answered_is_told_once_for_all_endpoints_that_passed() {
    let list = ["http = { path = \"/healthz\", status = \"200-204\" }", "tcp = {}", "command = [\"./smoke\", \"-q\"]"];
    let mut watch = Watch::new(Arc::new(Checks { list: list.map(check).to_vec(), ..Checks::default() }));
    let endpoints = [endpoint(1), endpoint(2)];
    watch.set_endpoints(&endpoints, KnownAs::Known, Millis(0));
    for (check, took) in [(0, 12), (1, 1), (2, 300)] {
        for (at, endpoint) in endpoints.into_iter().enumerate() {
            let answer = if (check, at) == (1, 1) { bad() } else { Ok(Duration::from_millis(took + at as u64)) };
            watch.record(Millis(10), Probe { check, at: At::Stack(endpoint) }, answer);
        }
    }
    let told = watch.answers().into_iter().map(|one| (one.asked, one.said, one.endpoints, one.slowest));
    let wanted = [
        ("GET /healthz".into(), "200-204".into(), 2, Millis(13)),
        ("TCP".into(), "a connection".into(), 1, Millis(1)),
        ("command ./smoke".into(), "exit status 0".into(), 2, Millis(301)),
    ];
    assert!(told.eq(wanted));
}

#[test]
fn healthy_means_often_enough_in_a_row() {
    let (mut watch, probe) = watch("tcp = {}\npasses = 3\nfails = 2\ngrace = \"0s\"");
    for (answer, health) in [
        (good(), Health::Unknown),
        (good(), Health::Unknown),
        (bad(), Health::Unknown),
        (good(), Health::Unknown),
        (good(), Health::Unknown),
        (good(), Health::Passing),
        (bad(), Health::Passing),
        (good(), Health::Passing),
        (bad(), Health::Passing),
        (bad(), Health::Failing),
        (good(), Health::Failing),
    ] {
        watch.record(Millis(5), probe, answer);
        assert_eq!(watch.health(), health);
    }
}

/// `+` is a good answer, `-` a bad one. Returns after which answer it was failing, and what was said then.
fn failing_after(text: &str, answers: &str) -> Option<(usize, String)> {
    let (mut watch, probe) = watch(text);
    for (nth, answer) in answers.chars().enumerate() {
        let at = Millis(u64::try_from(nth).expect("few") * 1000);
        watch.record(at, probe, if answer == '+' { good() } else { bad() });
        if watch.health() == Health::Failing {
            return Some((nth + 1, watch.remark().expect("a reason")));
        }
    }
    None
}

#[test]
fn what_flaps_is_failing_and_the_counts_say_why() {
    let checks = "tcp = {}\npasses = 3\nfails = 3\ngrace = \"0s\"";
    let said = |counts: &str| format!("{counts}, at last: GET /healthz on 127.0.0.1:1: expected 200, got 500");
    // Never three of one kind in a row: it would neither pass nor fail for ever.
    assert_eq!(failing_after(checks, "-+-+-+-"), Some((7, said("passed 3 and failed 4 of the last 7"))));
    assert_eq!(failing_after(checks, "++-++-++-"), Some((9, said("passed 4 and failed 3 of the last 7"))));
    // One that had passed: two of three answers are bad.
    assert_eq!(failing_after(checks, "+++++--+--+--"), Some((10, said("passed 3 and failed 4 of the last 7"))));
    // In a row it is failing as ever, and one that recovers in time is not failing.
    let failed = "GET /healthz on 127.0.0.1:1: expected 200, got 500".to_owned();
    assert_eq!(failing_after(checks, "-+---"), Some((5, failed)));
    assert_eq!(failing_after(checks, "--+--+++++++"), None);
    assert_eq!(failing_after(checks, "+++++-++-++-++-++"), None);
    // What came within the grace does not count.
    let patient = "tcp = {}\npasses = 3\nfails = 3\ngrace = \"10s\"";
    assert_eq!(failing_after(patient, "-+-+-+-+-++++++++"), None);
    assert_eq!(failing_after(patient, "-+-+-+-+-+-+-+-+-+-+").map(|(nth, _)| nth), Some(17));
    let warm = "tcp = {}\npasses = 1\nfails = 3\ngrace = \"0s\"\nwarm_up = { requests = 9, within = \"1ms\" }";
    assert_eq!(failing_after(warm, "-+++++++++++++"), None, "slow answers are good ones");
}

#[test]
fn what_flapped_and_passes_again_is_well() {
    let (mut watch, probe) = watch("tcp = {}\npasses = 2\nfails = 2\ngrace = \"0s\"");
    for answer in [bad(), good(), bad(), good(), bad()] {
        watch.record(Millis(1), probe, answer);
    }
    assert_eq!(watch.health(), Health::Failing);
    for health in [Health::Failing, Health::Passing] {
        watch.record(Millis(2), probe, good());
        assert_eq!(watch.health(), health);
    }
    assert_eq!(watch.remark(), None);
}

#[test]
fn a_slow_starter_has_its_grace_once() {
    let (mut watch, probe) = watch("tcp = {}\npasses = 1\nfails = 1\ngrace = \"10s\"");
    watch.record(Millis(9_999), probe, bad());
    assert_eq!(watch.health(), Health::Unknown);
    watch.record(Millis(10_000), probe, bad());
    assert_eq!(watch.health(), Health::Failing);
    assert_eq!(watch.remark().as_deref(), Some("GET /healthz on 127.0.0.1:1: expected 200, got 500"));
}

#[test]
fn one_endpoint_that_is_not_well_is_enough() {
    let (mut watch, probe) = watch("tcp = {}\npasses = 1\nfails = 1\ngrace = \"0s\"");
    watch.set_endpoints(&[endpoint(1), endpoint(2)], KnownAs::Known, Millis(0));
    watch.record(Millis(1), probe, good());
    assert_eq!(watch.health(), Health::Unknown);
    watch.record(Millis(1), Probe { at: At::Stack(endpoint(2)), ..probe }, bad());
    assert_eq!(watch.health(), Health::Failing);
    watch.set_endpoints(&[endpoint(1)], KnownAs::Known, Millis(2));
    assert_eq!(watch.health(), Health::Passing);
}

#[test]
fn each_question_is_asked_once_at_its_time_and_again_when_its_answer_is_lost() {
    let (mut watch, probe) = watch("tcp = {}\nevery = \"1s\"\ntimeout = \"2s\"");
    assert_eq!(watch.due(Millis(0)), [probe]);
    assert_eq!(watch.due(Millis(1)), []);
    watch.record(Millis(400), probe, good());
    assert_eq!((watch.due(Millis(999)), watch.next_due()), (vec![], Some(Millis(1000))));
    assert_eq!(watch.due(Millis(1000)), [probe]);
    assert_eq!(watch.due(Millis(6000)), []);
    assert_eq!(watch.due(Millis(6001)), [probe]);
}

#[test]
fn what_was_not_asked_for_long_says_since_when() {
    let (mut watch, probe) = watch("tcp = {}\nevery = \"1s\"\ntimeout = \"2s\"\npasses = 1");
    let pause = Duration::from_secs(10);
    watch.record(Millis(400), probe, good());
    // Twice what a question and the pause before it may take, and what a busy host takes longer.
    assert_eq!(watch.unanswered_since(Millis(36_400), pause), None);
    assert_eq!((watch.unanswered_since(Millis(36_401), pause), watch.health()), (Some(Millis(400)), Health::Passing));
    watch.record(Millis(40_000), probe, bad());
    assert_eq!(watch.unanswered_since(Millis(40_001), pause), None, "a bad answer is one too");
}

#[test]
fn a_cold_application_is_warmed_up_first() {
    let (mut watch, probe) = watch("tcp = {}\npasses = 1\nwarm_up = { requests = 2, within = \"100ms\" }");
    watch.record(Millis(0), probe, Ok(Duration::from_secs(12)));
    watch.record(Millis(1), probe, good());
    assert_eq!(watch.health(), Health::Unknown);
    assert!(watch.remark().is_some_and(|said| said.contains("1 of 2 answers")), "{:?}", watch.remark());
    watch.record(Millis(2), probe, good());
    assert_eq!((watch.health(), watch.latency()), (Health::Passing, Some(Duration::from_millis(3))));
    watch.record(Millis(3), probe, Ok(Duration::from_secs(12)));
    assert_eq!(watch.health(), Health::Passing);
}

/// Answers every connection with the same bytes, and tells what it was asked first. Ends with the test's runtime.
async fn server(answer: &'static str) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or(0);
            let _ = tell.send(String::from_utf8_lossy(&request[..length]).into_owned());
            let _ = stream.write_all(answer.as_bytes()).await;
            if answer.is_empty() {
                std::future::pending::<()>().await;
            }
        }
    });
    (address, told)
}

/// Asks an address of the stack.
async fn once(check: &Check, at: SocketAddr) -> Result<(), String> {
    probe(check, &subject(), Asked::Stack(at)).await.map(drop).map_err(NoPass::said)
}

/// Asks everything where the front has no part in it.
async fn now(list: Vec<Check>, endpoints: &[SocketAddr]) -> Result<(), String> {
    let checks = Checks { list, ..Checks::default() };
    probe_now(&checks, &subject(), endpoints, KnownAs::Forgotten, |_| Err("no way".to_owned())).await
}

fn run(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, story);
}

#[test]
fn an_http_check_says_what_it_expected_and_saw() {
    run(async {
        let (at, mut asked) =
            server("HTTP/1.1 500 No\r\ncontent-length: 2\r\nx-version: v1\r\nconnection: close\r\n\r\nno").await;
        let ask = async |text: &str| once(&check(text), at).await;
        let seen = ask("http = { path = \"/healthz\", host = \"shop.example\" }").await;
        assert_eq!(seen, Err(format!("GET /healthz on {at}: expected 200, got 500")));
        let request = asked.recv().await.expect("it asked").to_lowercase();
        assert!(
            request.starts_with("get /healthz http/1.1\r\n") && request.contains("host: shop.example\r\n"),
            "{request}"
        );
        assert!(!request.contains("authorization") && !request.contains("cookie"), "{request}");
        assert_eq!(ask("http = { path = \"/\", status = [200, \"500-503\"], contains = \"n\", equals = \"no\", headers = { x-version = \"v1\" } }").await, Ok(()));
        let seen = ask("http = { path = \"/\", status = 500, contains = \"yes\" }").await;
        assert_eq!(seen, Err(format!("GET / on {at}: expected a body with \"yes\", got \"no\"")));
        let seen = ask("http = { path = \"/\", status = 500, headers = { X-Version = \"v2\" } }").await;
        assert_eq!(seen, Err(format!("GET / on {at}: expected header X-Version: v2, got v1")));
    });
}

#[test]
fn a_redirect_is_not_followed() {
    run(async {
        let (elsewhere, mut asked) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let answer = format!(
            "HTTP/1.1 302 Found\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        let (at, _asked) = server(answer.leak()).await;
        let seen = once(&check("http = { path = \"/\" }"), at).await;
        assert_eq!(seen, Err(format!("GET / on {at}: expected 200, got 302")));
        assert!(asked.try_recv().is_err());
    });
}

#[test]
fn silence_and_nobody_there_are_told_apart_and_take_no_longer_than_allowed() {
    run(async {
        let (silent, _asked) = server("").await;
        let http = check("http = { path = \"/\" }\ntimeout = \"100ms\"");
        let seen = once(&http, silent).await;
        assert_eq!(seen, Err(format!("GET / on {silent}: expected 200, got no answer within 100 ms")));
        let nobody = TcpListener::bind("127.0.0.1:0").await.and_then(|l| l.local_addr()).expect("a free port");
        for check in [http, check("tcp = {}")] {
            let seen = once(&check, nobody).await.expect_err("nobody is there");
            assert!(seen.contains("refused") && seen.contains(&nobody.to_string()), "{seen}");
        }
    });
}

#[test]
fn an_endless_body_is_not_read_to_its_end() {
    run(async {
        let body = "x".repeat(200 << 10);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{body}");
        let (at, _asked) = server(answer.leak()).await;
        let seen = once(&check("http = { path = \"/\", contains = \"y\" }"), at).await;
        assert!(seen.expect_err("no y").contains("expected a body with"));
    });
}

#[test]
fn a_command_gets_the_endpoint_and_nothing_is_left_of_it_when_it_is_too_slow() {
    run(async {
        let ask = async |text: &str| once(&check(text), endpoint(9)).await;
        let right = r#"test "$POINTSMAN_ENDPOINT $POINTSMAN_CHECKED_STACK" = "127.0.0.1:9 shop-prod-7""#;
        assert_eq!(ask(&format!("command = [\"sh\", \"-c\", '{right}']")).await, Ok(()));
        let seen = ask("command = [\"sh\", \"-c\", \"echo no such page >&2; exit 3\"]").await;
        assert_eq!(
            seen,
            Err("command sh for 127.0.0.1:9: expected exit status 0, got exit status: 3: no such page".into())
        );
        assert!(ask("command = [\"/no/such/program\"]").await.expect_err("no").contains("cannot be started"));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pids").display().to_string();
        let slow =
            format!("command = [\"sh\", \"-c\", \"sleep 100 & echo $! $$ > {path}; wait\"]\ntimeout = \"300ms\"");
        assert!(ask(&slow).await.expect_err("too slow").contains("got none within 300 ms"));
        let pids = std::fs::read_to_string(&path).expect("it ran");
        for _ in 0..500 {
            if pids.split_whitespace().all(is_gone) {
                return;
            }
            tokio::task::yield_now().await;
            let _ = tokio::time::timeout(Duration::from_millis(10), std::future::pending::<()>()).await;
        }
        panic!("still there: {pids}");
    });
}

/// Ended, whether or not somebody has waited for it yet.
fn is_gone(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

#[test]
fn the_last_look_asks_everything_once() {
    run(async {
        let (at, _asked) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        let list = vec![check("http = { path = \"/\" }"), check("tcp = {}")];
        assert_eq!(now(list.clone(), &[at]).await, Ok(()));
        let nobody = TcpListener::bind("127.0.0.1:0").await.and_then(|l| l.local_addr()).expect("a free port");
        assert!(now(list, &[at, nobody]).await.is_err());
    });
}
