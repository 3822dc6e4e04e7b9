//! A front is replaced by another without losing a request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::kit::{Client, Front, Server, get, stack, until};
use crate::web_front::{FrontDriver, builtin::process};

#[tokio::test]
async fn under_load_a_successor_takes_over_and_nobody_fails_or_sees_an_older_stack() {
    let (blue, green) = (Server::start("blue").await, Server::start("green").await);
    let old = Front::start("").await;
    old.live(3, 1, &[blue.address]).await;
    let mut idle = Client::connect(old.address).await;
    assert_eq!(idle.get("/", "").await.body, "blue");
    let mut slow = Client::connect(old.address).await;
    slow.send("GET /gate HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("it is open", async || blue.hits.load(Ordering::SeqCst) == 2).await;
    let stop = Arc::new(AtomicBool::new(false));
    let arrived = Arc::new(AtomicUsize::new(0));
    let client = |_| {
        let (address, stop, arrived) = (old.address, stop.clone(), arrived.clone());
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            let (mut last, mut is_there) = (String::from("blue"), false);
            while !stop.load(Ordering::SeqCst) {
                let reply = client.get("/", "").await;
                assert_eq!(reply.status, 200);
                assert!(last == "blue" || reply.body == "green", "an older stack is seen");
                let leaves = reply.head.contains("connection: close");
                if leaves {
                    client = Client::connect(address).await;
                } else if reply.body == "green" && !is_there {
                    // The old front asks everybody to go before it ever points at green: this is the new one.
                    is_there = true;
                    arrived.fetch_add(1, Ordering::SeqCst);
                }
                last = reply.body;
            }
        })
    };
    let clients: Vec<_> = (0..8).map(client).collect();
    let new = Front::start_in(old.folder.clone(), old.address, "threads = 1", true).await;
    let seen = new.driver.observe().await.unwrap().unwrap();
    assert_eq!(seen.route.generation.0, 3, "the successor knows the generation");
    assert!(seen.open.iter().any(|(name, count)| *name == stack(1) && *count >= 1), "what is open there counts here");
    new.live(4, 2, &[green.address]).await;
    let reply = idle.get("/", "").await;
    assert_eq!(reply.body, "green", "the one that left follows");
    assert!(reply.head.contains("connection: close"), "and asks its clients to go");
    until("each has had an answer from the successor", async || arrived.load(Ordering::SeqCst) == 8).await;
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    blue.gate.notify_one();
    assert_eq!(slow.reply().await.body, "blue", "what was in flight completes");
    drop((idle, slow));
    old.ended().await.unwrap();
    assert_eq!(get(new.address, "/", "").await.body, "green");
    new.stop().await;
}

#[tokio::test]
async fn a_successor_that_can_not_begin_changes_nothing() {
    let blue = Server::start("blue").await;
    let old = Front::start("").await;
    old.live(1, 1, &[blue.address]).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!("listen = ['{}', '{}']", old.address, taken.local_addr().unwrap());
    std::fs::write(old.folder.path().join("settings.toml"), text).unwrap();
    let start = process::Start { take_over: true, ..Default::default() };
    let failed = process::run(old.folder.path(), start, std::future::pending()).await;
    assert!(failed.unwrap_err().to_string().contains("cannot be listened on"));
    until("the old one serves again", async || old.driver.seen().await.is_ok()).await;
    assert_eq!(get(old.address, "/", "").await.body, "blue");
}
