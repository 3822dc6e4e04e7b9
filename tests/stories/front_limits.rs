//! The built-in front when its descriptors are few and its clients many: it goes on, takes orders, and serves others.

use std::{
    process::{Child, Command, Stdio},
    sync::atomic::Ordering::SeqCst,
};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pointsman::web_front::FrontDriver;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{net::TcpStream, task::JoinSet};

use super::front::{BINARY, Place, Stack, User, free, generation, order, until};

/// A front that may open so many files.
fn front_with(files: usize, place: &Place) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n \"$1\" && shift && exec \"$@\"", "sh", &files.to_string()]);
    command.arg(BINARY).arg("front").arg("--folder").arg(place.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

/// The clients of these stories are in this process.
fn room_for_clients() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("it may be raised");
}

#[tokio::test]
async fn with_256_files_and_400_clients_that_stay_it_lives_and_obeys_and_serves_more() {
    room_for_clients();
    let (one, two) = (Stack::start(1).await, Stack::start(2).await);
    let (place, address) = (Place::new(), free());
    let settings = format!("listen = '{address}'");
    let driver = place.driver(&settings);
    std::fs::write(place.path().join("settings.toml"), &settings).expect("written");
    let mut front = front_with(256, &place);
    until("it answers", async || driver.seen().await.is_ok()).await;
    order(&driver, 1, &one).await;
    let mut clients = JoinSet::new();
    for _ in 0..400 {
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("nobody is refused");
            let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, request).await;
            stream
        });
    }
    let clients = clients.join_all().await;
    order(&driver, 2, &two).await;
    assert_eq!(generation(&driver).await, 2, "control has room");
    // Those who are idle by now make room.
    until("somebody else is served", async || User::at(address).ask("/").await == Ok(2)).await;
    assert_eq!(front.try_wait().expect("it is ours"), None);
    drop(clients);
    assert_eq!(generation(&driver).await, 2);
}

#[tokio::test]
async fn streams_without_end_take_what_there_is_and_it_obeys_all_the_same() {
    room_for_clients();
    let (one, two) = (Stack::start(1).await, Stack::start(2).await);
    let (place, address) = (Place::new(), free());
    let settings = format!("listen = '{address}'");
    let driver = place.driver(&settings);
    std::fs::write(place.path().join("settings.toml"), &settings).expect("written");
    let mut front = front_with(512, &place);
    until("it answers", async || driver.seen().await.is_ok()).await;
    order(&driver, 1, &one).await;
    let mut greedy = JoinSet::new();
    let mut streams = Vec::new();
    for _ in 0..12 {
        let stream = TcpStream::connect(address).await.expect("it listens");
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let (mut sender, connection) =
            builder.initial_stream_window_size(0).handshake(TokioIo::new(stream)).await.expect("HTTP/2");
        greedy.spawn(async move { drop(connection.await) });
        for _ in 0..100 {
            let request = Request::get("http://localhost/slow").body(Empty::<Bytes>::new()).expect("a request");
            sender.ready().await.expect("it takes more");
            streams.push(sender.send_request(request));
        }
    }
    until("the stack is asked", async || one.waiting.load(SeqCst)).await;
    for generation in 2..30 {
        order(&driver, generation, if generation % 2 == 0 { &two } else { &one }).await;
        until("it shows the order", async || {
            driver.observe().await.is_ok_and(|seen| seen.is_some_and(|seen| seen.route.generation.0 == generation))
        })
        .await;
    }
    assert_eq!(front.try_wait().expect("it is ours"), None);
    drop((streams, greedy));
    until("others are served again", async || User::at(address).ask("/").await == Ok(1)).await;
    assert_eq!(front.try_wait().expect("it is ours"), None);
}
