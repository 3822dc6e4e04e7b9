//! What lasts: events, upgraded connections, slow answers.

use std::sync::atomic::Ordering;

use super::kit::{Client, Front, Server, get, stack, until};
use crate::web_front::FrontDriver;

#[tokio::test]
async fn events_and_upgraded_connections_outlive_two_cutovers_and_count_as_open() {
    let (blue, green) = (Server::start("blue").await, Server::start("green").await);
    let front = Front::start("").await;
    front.live(1, 1, &[blue.address]).await;
    let mut events = Client::connect(front.address).await;
    events.send("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut echo = Client::connect(front.address).await;
    echo.send("GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n").await;
    let head = echo.head().await;
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("upgrade: echo"), "{head}");
    blue.beat.notify_one();
    events.expect("tick").await;
    for (generation, server) in [(2, &green), (3, &blue)] {
        front.live(generation, u32::try_from(generation).unwrap(), &[server.address]).await;
        blue.beat.notify_one();
        events.expect("tick").await;
        echo.send("still there?").await;
        echo.expect("still there?").await;
        assert_eq!(front.driver.observe().await.unwrap().unwrap().open, [(stack(1), 2)]);
    }
    drop((events, echo));
    until("both are done", async || front.driver.observe().await.unwrap().unwrap().open.is_empty()).await;
    assert_eq!(get(front.address, "/", "").await.body, "blue");
    assert_eq!(green.hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_real_websocket_goes_through() {
    use futures_util::{SinkExt, StreamExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut socket = tokio_tungstenite::accept_async(listener.accept().await.unwrap().0).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.unwrap();
            }
        }
    });
    let front = Front::start("").await;
    front.live(1, 1, &[address]).await;
    let stream = tokio::net::TcpStream::connect(front.address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://app.test/", stream).await.unwrap();
    socket.send("hello".into()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), "hello");
    socket.close(None).await.unwrap();
}
