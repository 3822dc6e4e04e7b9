//! Bodies of requests: how long they are waited for, what is sent again, and what becomes of an early answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::kit::{Client, Front, Server, raw, read_head, until};

async fn a_moment(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::test]
async fn an_upload_may_take_longer_than_an_answer() {
    let blue = Server::start("blue").await;
    let front = Front::start("[timeouts]\nresponse = '300ms'\nstall = '2s'").await;
    front.live(1, 1, &[blue.address]).await;
    let mut client = Client::connect(front.address).await;
    client.send("POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n").await;
    for _ in 0..10 {
        a_moment(100).await;
        client.send("x").await;
    }
    assert_eq!(client.reply().await.body, "blue 10");
    client.send("POST /gate HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n").await;
    a_moment(700).await;
    client.send("0\r\n\r\n").await;
    let page = client.reply().await;
    assert!(
        page.status == 504 && page.head.contains("x-pointsman-front: timeout"),
        "complete, and not answered: {page:?}"
    );
}

#[tokio::test]
async fn an_upload_that_stands_still_is_the_clients_fault_or_the_stacks() {
    let blue = Server::start("blue").await;
    let front = Front::start("[timeouts]\nstall = '300ms'").await;
    front.live(1, 1, &[blue.address]).await;
    let mut client = Client::connect(front.address).await;
    client.send("POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc").await;
    let page = client.reply().await;
    assert!(page.status == 408 && page.head.contains("connection: close"), "{page:?}");
    assert!(client.is_cut().await);
    let deaf = raw(|stream, _| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    });
    front.live(2, 2, &[deaf.await]).await;
    let mut client = Client::connect(front.address).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n").await;
    client.try_send(&vec![b'x'; 32 << 20]).await;
    let page = client.reply().await;
    assert!(page.status == 504 && page.head.contains("x-pointsman-front: timeout"), "{page:?}");
}

#[tokio::test]
async fn both_ways_at_once_and_slowly() {
    let echo = raw(|mut stream, _| async move {
        read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        let mut buf = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut buf).await {
            // Chunks come and go as they are.
            stream.write_all(&buf[..count]).await.unwrap();
        }
    });
    let front = Front::start("[timeouts]\nresponse = '200ms'\nstall = '300ms'").await;
    front.live(1, 1, &[echo.await]).await;
    let mut client = Client::connect(front.address).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"), "answered before anything is sent");
    for word in ["one", "two"] {
        a_moment(800).await;
        client.send(&format!("3\r\n{word}\r\n")).await;
        client.expect(word).await;
    }
    client.send("0\r\n\r\n").await;
    client.expect("0\r\n\r\n").await;
}

#[tokio::test]
async fn chunks_that_are_none_are_the_clients_fault() {
    let blue = Server::start("blue").await;
    let front = Front::start("").await;
    front.live(1, 1, &[blue.address]).await;
    for body in ["zz\r\nabc\r\n", "3\r\nabcdef\r\n0\r\n\r\n", "3\r\nabc\r\nffffffffffffffffff\r\n", "-1\r\n"] {
        let mut client = Client::connect(front.address).await;
        client.send(&format!("POST /body HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}")).await;
        assert_eq!(client.reply().await.status, 400, "{body:?}");
        assert!(client.is_cut().await);
    }
}

#[tokio::test]
async fn an_early_answer_reaches_the_client() {
    let picky = raw(|mut stream, _| async move {
        read_head(&mut stream).await.unwrap();
        let answer = "HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 9\r\n\r\ntoo large";
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Closed with much unread, so that what we send meets a reset.
    });
    let front = Front::start("").await;
    front.live(1, 1, &[picky.await]).await;
    let part = vec![b'x'; 4 << 20];
    let mut client = Client::connect(front.address).await;
    for _ in 0..20 {
        client = Client::connect(front.address).await;
        // More than is sent: however slow the stack, and however much the system takes meanwhile, it answers early.
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n").await;
        client.try_send(&part).await;
        let reply = client.reply().await;
        assert_eq!((reply.status, reply.body.as_str()), (413, "too large"));
        assert!(reply.head.contains("connection: close"), "{}", reply.head);
    }
    assert!(client.is_cut().await, "it stands still");
}

#[tokio::test]
async fn an_answer_to_a_request_that_is_complete_keeps_the_clients_connection() {
    let reckless = raw(|mut stream, _| async move {
        read_head(&mut stream).await.unwrap();
        // The body is there, and not read: what we sent meets a reset.
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 9\r\n\r\ntoo large").await.unwrap();
    });
    let front = Front::start("").await;
    front.live(1, 1, &[reckless.await]).await;
    let mut client = Client::connect(front.address).await;
    for _ in 0..20 {
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc").await;
        let reply = client.reply().await;
        assert_eq!((reply.status, reply.body.as_str()), (413, "too large"));
    }
}

/// Answers each connection's first request, and hangs up without having said so.
async fn forgetful(bodies: Arc<AtomicUsize>) -> std::net::SocketAddr {
    raw(move |mut stream, _| {
        let bodies = bodies.clone();
        async move {
            read_head(&mut stream).await.unwrap();
            let mut body = [0; 2];
            stream.read_exact(&mut body).await.unwrap();
            assert_eq!(&body, b"ab", "the whole body comes, from its beginning");
            bodies.fetch_add(1, Ordering::SeqCst);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn a_post_does_not_meet_a_connection_that_was_just_closed() {
    let bodies = Arc::new(AtomicUsize::new(0));
    // One busy thread, so that a connection's end is there long before anybody looks.
    let front = Front::start("threads = 1").await;
    front.live(1, 1, &[forgetful(bodies.clone()).await]).await;
    let clients = (0..32).map(|_| {
        let address = front.address;
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            for number in 0..50 {
                client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab").await;
                let reply = client.reply().await;
                assert_eq!(reply.status, 200, "number {number}: {reply:?}");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    assert_eq!(bodies.load(Ordering::SeqCst), 32 * 50, "each came once");
}

#[tokio::test]
async fn an_old_stack_gets_lengths_and_no_chunks() {
    let old = raw(|mut stream, _| async move {
        let head = read_head(&mut stream).await.unwrap();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let chunked = head.contains("chunked");
        let answer = format!("{chunked} {}", String::from_utf8(body).unwrap());
        let head = format!("HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
        stream.write_all((head + &answer).as_bytes()).await.unwrap();
    });
    let front = Front::start("").await;
    front.live(1, 1, &[old.await]).await;
    let mut client = Client::connect(front.address).await;
    assert_eq!(client.get("/", "").await.body, "false ");
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        client.send("4\r\ndefg\r\n0\r\n\r\n").await;
        assert_eq!(client.reply().await.body, "false abcdefg");
    }
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n200000\r\n").await;
    client.try_send(&vec![b'x'; 2 << 20]).await;
    assert_eq!(client.reply().await.status, 411, "two megabytes are not gathered");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let generous = raw(|mut stream, _| async move {
        read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 65536]).await.is_ok() {}
    });
    let front = Front::start("[timeouts]\nstall = '300ms'").await;
    front.live(1, 1, &[generous.await]).await;
    let mut client = Client::connect(front.address).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("it is cut", async || front.driver.seen().await.unwrap().connections == 0).await;
}
