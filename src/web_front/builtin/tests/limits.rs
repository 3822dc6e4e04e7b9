//! Clients that hold the front up are cut, and no more come in than may.

use std::sync::atomic::Ordering::SeqCst;

use super::kit::{Client, Front, Server, get, until};

#[tokio::test]
async fn a_client_that_drips_its_header_is_cut_and_others_are_served() {
    let blue = Server::start("blue").await;
    let front = Front::start("[timeouts]\nheader = '200ms'").await;
    front.live(1, 1, &[blue.address]).await;
    let mut silent = Client::connect(front.address).await;
    let mut dripping = Client::connect(front.address).await;
    dripping.send("GET / HTTP/1.1\r\nhost").await;
    let mut second = Client::connect(front.address).await;
    assert_eq!(second.get("/", "").await.status, 200);
    second.send("GET / HT").await;
    assert_eq!(get(front.address, "/", "").await.status, 200);
    assert!(silent.is_cut().await && dripping.is_cut().await && second.is_cut().await);
}

#[tokio::test]
async fn an_idle_connection_outlives_the_limit_for_headers_but_not_its_own() {
    let blue = Server::start("blue").await;
    let front = Front::start("[timeouts]\nheader = '200ms'\nidle = '800ms'").await;
    front.live(1, 1, &[blue.address]).await;
    let mut client = Client::connect(front.address).await;
    assert_eq!(client.get("/", "").await.status, 200);
    let begin = std::time::Instant::now();
    assert!(client.is_cut().await);
    assert!(begin.elapsed().as_millis() >= 600, "cut after {:?}", begin.elapsed());
}

#[tokio::test]
async fn a_client_that_does_not_send_its_body_is_cut() {
    let blue = Server::start("blue").await;
    let front = Front::start("[timeouts]\nstall = '200ms'").await;
    front.live(1, 1, &[blue.address]).await;
    let mut client = Client::connect(front.address).await;
    client.send("POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc").await;
    assert!(client.is_cut().await);
}

#[tokio::test]
async fn beyond_the_limit_of_connections_one_is_told_so() {
    let blue = Server::start("blue").await;
    let front = Front::start("[limits]\nconnections = 2").await;
    front.live(1, 1, &[blue.address]).await;
    let (mut one, mut two) = (Client::connect(front.address).await, Client::connect(front.address).await);
    for busy in [&mut one, &mut two] {
        busy.send("GET /gate HTTP/1.1\r\nhost: a\r\n\r\n").await;
    }
    until("both are being answered", async || blue.hits.load(SeqCst) == 2).await;
    let mut three = Client::connect(front.address).await;
    let page = three.get("/", "").await;
    assert!(page.status == 503 && page.head.contains("x-pointsman-front: crowded"), "{page:?}");
    assert!(page.head.contains("connection: close") && three.is_cut().await);
    drop(one);
    until("there is room", async || get(front.address, "/", "").await.status == 200).await;
}

#[tokio::test]
async fn when_full_whoever_waits_for_longest_makes_room_and_a_request_is_never_cut() {
    let blue = Server::start("blue").await;
    let front = Front::start("[limits]\nconnections = 3").await;
    front.live(1, 1, &[blue.address]).await;
    let mut busy = Client::connect(front.address).await;
    busy.send("GET /gate HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("it is being answered", async || blue.hits.load(SeqCst) == 1).await;
    let mut silent = Client::connect(front.address).await;
    let mut idle = Client::connect(front.address).await;
    assert_eq!(idle.get("/", "").await.status, 200);
    // Not at once, but as soon as one of the others has been idle for a moment.
    until("a fourth is served", async || {
        Client::connect(front.address).await.get("/", "connection: close\r\n").await.status == 200
    })
    .await;
    assert!(silent.is_cut().await, "it never asked for anything");
    blue.gate.notify_one();
    assert_eq!(busy.reply().await.body, "blue");
}

#[tokio::test]
async fn a_header_that_is_too_large_is_refused() {
    let front = Front::start("[limits]\nheader_bytes = 8192").await;
    let mut client = Client::connect(front.address).await;
    client.send(&format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(20_000))).await;
    assert_eq!(client.reply().await.status, 431);
}
