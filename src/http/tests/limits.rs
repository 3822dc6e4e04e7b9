//! Clients that are slow, many, or wrong.

#![allow(clippy::disallowed_methods, reason = "a test starts its own server")]

use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    super::{router, serve, server::HEAD},
    kit::{Shop, TOKEN, bearer, person},
};
use crate::access::Role;

/// A signature of nobody, so that the body has to be read.
const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A head or a body that comes byte by byte, until the server has had enough.
async fn drip(address: std::net::SocketAddr, text: &'static [u8], connected: mpsc::UnboundedSender<()>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    connected.send(()).unwrap();
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    for byte in text.iter().cycle() {
        pace.tick().await;
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
    }
}

async fn healthz(address: std::net::SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_dripping_connections_do_not_keep_healthz_from_answering() {
    let shop = Shop::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let server = tokio::task::spawn(serve(listener, router(shop.app.clone()), 128, None, stopped));
    let mut drips = JoinSet::new();
    let (connected, mut all) = mpsc::unbounded_channel();
    for n in 0..500 {
        let texts: [&[u8]; 2] = [
            b"GET /healthz HTTP/1.1\r\nx-slow: ",
            b"POST /v1/hooks/shop HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\nauthorization: Bearer the key of the shop\r\n\r\n",
        ];
        drips.spawn(drip(address, texts[n % 2], connected.clone()));
    }
    for _ in 0..500 {
        timeout(ANSWER_LIMIT, all.recv()).await.expect("they do not connect").unwrap();
    }
    // Whoever had to wait for the 500 to be given up would wait for four rounds of 128 seats, each of the time that a head
    // may take. Half of that is plenty for 41 that have to wait for none of them.
    let all = async {
        for _ in 0..41 {
            let answer = healthz(address).await.expect("turned away");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    };
    timeout(2 * HEAD, all).await.expect("they have to wait for those that drip");
    drips.abort_all();
    stop.send(true).unwrap();
    timeout(ANSWER_LIMIT, server).await.expect("it does not stop").unwrap();
}

/// A connection that has sent this, and got the beginning of an answer if it asked for something.
async fn seat(address: std::net::SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    if !path.is_empty() {
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut seen = String::new();
        while !seen.contains("ok\n") && !seen.contains("id: 0\n\n") {
            let mut bytes = [0; 512];
            let read = timeout(ANSWER_LIMIT, stream.read(&mut bytes)).await.expect("no answer").expect("turned away");
            assert!(read > 0, "turned away after {seen:?}");
            seen += std::str::from_utf8(&bytes[..read]).unwrap();
        }
    }
    stream
}

/// Whether the connection is still there.
async fn is_kept(stream: &mut TcpStream) -> bool {
    timeout(Duration::from_millis(200), stream.read(&mut [0; 1])).await.is_err()
}

#[tokio::test]
async fn those_who_follow_make_room_for_those_who_ask_and_the_idle_make_it_first() {
    let shop = Shop::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let server = tokio::task::spawn(serve(listener, router(shop.app.clone()), 4, None, stopped));
    let (mut first, mut second) = (seat(address, "/v1/events").await, seat(address, "/v1/events").await);
    let mut idle = seat(address, "").await;
    let mut done = seat(address, "/healthz").await;
    let mut third = seat(address, "/v1/events").await;
    assert!(!is_kept(&mut idle).await, "whoever has asked for nothing goes first");
    assert!(is_kept(&mut first).await && is_kept(&mut second).await && is_kept(&mut done).await);
    seat(address, "/healthz").await;
    assert!(!is_kept(&mut first).await, "more than half of them follow");
    assert!(is_kept(&mut second).await && is_kept(&mut third).await && is_kept(&mut done).await);
    stop.send(true).unwrap();
    timeout(ANSWER_LIMIT, server).await.expect("it does not stop").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let shop = Shop::new();
    let endless = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let request = Request::post("/v1/hooks/shop").header("x-hub-signature-256", SIGNATURE);
    let request = request.body(Body::from_stream(endless)).unwrap();
    shop.send(request).await.refused(StatusCode::REQUEST_TIMEOUT, "did not arrive within 10 s");
}

#[tokio::test(start_paused = true)]
async fn the_body_of_somebody_unknown_is_not_waited_for() {
    let shop = Shop::new();
    let vera = shop.token("vera", Role::Viewer, &[]);
    for (token, status, why) in [
        ("guess", StatusCode::UNAUTHORIZED, "the token is missing or wrong"),
        (&*vera, StatusCode::FORBIDDEN, "takes the role deployer"),
        (TOKEN, StatusCode::REQUEST_TIMEOUT, "did not arrive within 10 s"),
    ] {
        let endless = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
        let request = bearer(token, "POST", "/v1/environments/shop/qa/hold").body(Body::from_stream(endless)).unwrap();
        shop.send(request).await.refused(status, why);
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_and_while_it_comes() {
    let shop = Shop::new();
    let piece = bytes::Bytes::from(vec![b'x'; 100 << 10]);
    let streamed = |pieces: usize| {
        let piece = piece.clone();
        Body::from_stream(futures_util::stream::iter((0..pieces).map(move |_| Ok::<_, std::io::Error>(piece.clone()))))
    };
    let hold = || person("POST", "/v1/environments/shop/qa/hold");
    let announced = hold().header("content-length", "262145").body(Body::empty()).unwrap();
    shop.send(announced).await.refused(StatusCode::PAYLOAD_TOO_LARGE, "262144 bytes");
    shop.send(hold().body(streamed(3)).unwrap()).await.refused(StatusCode::PAYLOAD_TOO_LARGE, "262144 bytes");
    // Webhooks may be as large as GitHub's.
    let hook = || Request::post("/v1/hooks/shop").header("x-hub-signature-256", SIGNATURE);
    let announced = hook().header("content-length", "26214401").body(Body::empty()).unwrap();
    shop.send(announced).await.refused(StatusCode::PAYLOAD_TOO_LARGE, "26214400 bytes");
    shop.send(hook().body(streamed(257)).unwrap()).await.refused(StatusCode::PAYLOAD_TOO_LARGE, "26214400 bytes");
    shop.send(hook().body(streamed(256)).unwrap())
        .await
        .refused(StatusCode::UNAUTHORIZED, "no key of the pipeline fits");
    let unsigned = Request::post("/v1/hooks/shop").header("content-length", "26214401").body(Body::empty()).unwrap();
    let told = shop.send(unsigned).await;
    told.refused(StatusCode::UNAUTHORIZED, "neither a signature");
    assert_eq!(told.headers["connection"], "close", "nothing of it was read");
}

#[tokio::test]
async fn whatever_is_refused_is_told_as_a_problem() {
    let shop = Shop::new();
    for (method, path, status, why) in [
        ("GET", "/nowhere", 404, "nothing at this address"),
        ("GET", "/v1/hooks/shop", 405, "does not take this method"),
        ("DELETE", "/v1/environments", 405, "does not take this method"),
        ("GET", "/v1/environments/shop/nowhere", 404, "there is no environment shop/nowhere"),
        ("GET", "/v1/environments/SHOP/%20", 404, "there is no such environment"),
        ("GET", "/v1/deployments/shop/qa/one", 400, "one"),
        ("GET", "/v1/deployments/shop/qa/1", 404, "unknown"),
        ("GET", "/v1/deployments/shop/qa/1?wait=soon", 400, "soon"),
        ("GET", "/v1/history?last=-1", 400, "last"),
        ("POST", "/v1/environments/shop/qa/explode", 404, "nothing at this address"),
    ] {
        let told = shop.send(person(method, path).body(Body::empty()).unwrap()).await;
        told.refused(StatusCode::from_u16(status).unwrap(), why);
        assert!(status != 405 || told.headers.contains_key("allow"), "{path}");
    }
    let unknown = Request::get("/v1/environments").body(Body::empty()).unwrap();
    shop.send(unknown).await.refused(StatusCode::UNAUTHORIZED, "Authorization: Bearer");
    let wrong = Request::get("/v1/environments").header("authorization", "Bearer guess").body(Body::empty()).unwrap();
    shop.send(wrong).await.refused(StatusCode::UNAUTHORIZED, "the token is missing or wrong");
}

#[tokio::test]
async fn a_journal_that_is_closed_says_when_to_ask_again() {
    let shop = Shop::new();
    shop.app.journal.close().await;
    let told = shop.hook(r#"{"version":"v1","artifact":"a"}"#).await;
    told.refused(StatusCode::SERVICE_UNAVAILABLE, "ask again when the controller is back");
    assert_eq!(told.headers["retry-after"], "2");
}
