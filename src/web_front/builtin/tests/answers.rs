//! What other proxies let pass passes, and what no client should see does not.

use std::{net::SocketAddr, time::Duration};

use tokio::io::AsyncWriteExt;

use super::kit::{Client, Front, Server, free_address, get, raw, read_head, says, until};

/// A front before a stack that always says this.
async fn before(answer: &'static str) -> Front {
    let front = Front::start("").await;
    front.live(1, 1, &[says(answer).await]).await;
    front
}

/// A stack that answers with so many fields, and says in the body how many came.
async fn answers_with(fields: usize) -> SocketAddr {
    let fields = many(fields);
    raw(move |mut stream, _| {
        let fields = fields.clone();
        async move {
            let count = read_head(&mut stream).await.unwrap().matches("x-field-").count();
            let answer = format!("HTTP/1.1 200 OK\r\n{fields}content-length: 4\r\n\r\n{count:4}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await
}

fn many(fields: usize) -> String {
    (0..fields).map(|n| format!("x-field-{n}: {n}\r\n")).collect()
}

#[tokio::test]
async fn as_many_fields_as_are_allowed_go_both_ways_and_more_are_refused() {
    for (settings, most) in [("", 240), ("[limits]\nheader_fields = 1024", 1000)] {
        let front = Front::start(settings).await;
        front.live(1, 1, &[answers_with(most).await]).await;
        let reply = get(front.address, "/", &many(most)).await;
        assert_eq!((reply.status, reply.body.trim()), (200, most.to_string().as_str()), "{settings}");
        assert_eq!(reply.head.matches("x-field-").count(), most);
        assert_eq!(get(front.address, "/", &many(most + 100)).await.status, 431);
        front.live(2, 2, &[answers_with(most + 100).await]).await;
        assert_eq!(get(front.address, "/", "").await.status, 502);
        let large = format!("a: {}\r\n", "b".repeat(40_000));
        assert_eq!(get(front.address, "/", &large).await.status, 431);
    }
}

#[tokio::test]
async fn with_a_length_and_chunks_the_chunks_count() {
    for fields in ["content-length: 3\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 9"]
    {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n");
        let front = before(answer.leak()).await;
        let mut client = Client::connect(front.address).await;
        for _ in 0..2 {
            client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let head = client.head().await;
            assert!(!head.contains("content-length"), "{head}");
            client.expect("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n").await;
        }
    }
}

#[tokio::test]
async fn old_servers_answers_become_ours() {
    for answer in [
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let front = before(answer).await;
        let mut client = Client::connect(front.address).await;
        for _ in 0..3 {
            let reply = client.get("/", "").await;
            assert!(reply.head.starts_with("HTTP/1.1 200"), "{}", reply.head);
            assert!(!reply.head.contains("connection"), "the client's connection lives on: {}", reply.head);
            assert_eq!(reply.body, "ok");
        }
    }
    let front = before("HTTP/1.0 200 OK\r\n\r\nuntil the end").await;
    let mut client = Client::connect(front.address).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(client.head().await.contains("transfer-encoding: chunked"));
    client.expect("until the end\r\n0\r\n\r\n").await;
    let mut old = Client::connect(front.address).await;
    old.send("GET / HTTP/1.0\r\n\r\n").await;
    assert!(!old.head().await.contains("chunked"), "an old client knows no chunks");
    old.expect("until the end").await;
    assert!(old.is_cut().await);
}

#[tokio::test]
async fn odd_heads_are_read() {
    let front = before(
        "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
         HTTP/1.1 200 OK\r\nx-a : 1\r\nnot a header\r\ncontent-length : 2\r\n\r\nok",
    )
    .await;
    let mut client = Client::connect(front.address).await;
    for _ in 0..2 {
        let reply = client.get("/", "").await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "ok"));
        assert!(reply.head.contains("x-a: 1\r\n"), "{}", reply.head);
    }
}

#[tokio::test]
async fn a_change_of_protocol_that_nobody_asked_for_is_an_error() {
    let front = before("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
    for asked in ["", "connection: upgrade\r\nupgrade: other\r\n", "connection: upgrade\r\nupgrade: h2c\r\n"] {
        let mut client = Client::connect(front.address).await;
        let page = client.get("/", asked).await;
        assert!(page.status == 502 && page.head.contains("x-pointsman-front: bad-answer"), "{asked}: {page:?}");
        assert_eq!(client.get("/", "").await.status, 502, "the client's connection is of use");
    }
    let mut client = Client::connect(front.address).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: Echo, other\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 101"));
}

#[tokio::test]
async fn an_encoding_for_one_hop_is_not_passed_on_as_if_it_were_none() {
    let front =
        before("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\nconnection: close\r\n\r\n0\r\n\r\n").await;
    let page = get(front.address, "/", "").await;
    assert!(page.status == 502 && page.head.contains("bad-answer"), "{page:?}");
}

#[tokio::test]
async fn a_raw_target_reaches_the_stack_encoded() {
    let blue = Server::start("blue").await;
    let front = Front::start("").await;
    front.live(1, 1, &[blue.address]).await;
    let mut client = Client::connect(front.address).await;
    for _ in 0..2 {
        client.send_bytes(b"GET /headers?q=\"<a>`\xe9{|}^\\ HTTP/1.1\r\nhost: a\r\nx-kept: <\"`>\r\n\r\n").await;
        let reply = client.reply().await;
        assert_eq!(reply.status, 200);
        assert!(reply.body.starts_with("GET /headers?q=%22%3Ca%3E%60%E9{|}^\\\n"), "{}", reply.body);
        assert!(reply.body.contains("x-kept: <\"`>\n"), "{}", reply.body);
    }
    client.send("POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\n").await;
    client.send("GET /<\"> xyz").await;
    assert_eq!(client.reply().await.body, "blue 12", "a body is no head");
    client.send("GET /<a>").await;
    client.send(" HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 200);
}

#[tokio::test]
async fn raw_targets_of_requests_in_a_row_are_encoded_too() {
    let blue = Server::start("blue").await;
    let front = Front::start("").await;
    front.live(1, 1, &[blue.address]).await;
    let mut client = Client::connect(front.address).await;
    let head = |nth: u32| format!("GET /headers?<{nth}> HTTP/1.1\r\nhost: a\r\n\r\n");
    let body = "POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\nGET /<9>";
    client.send(&format!("{}{body}{}", head(1), head(2))).await;
    assert!(client.reply().await.body.starts_with("GET /headers?%3C1%3E\n"));
    assert_eq!(client.reply().await.body, "blue 8");
    assert!(client.reply().await.body.starts_with("GET /headers?%3C2%3E\n"));
    client.send("GET /gate HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("it is being answered", async || blue.hits() == 4).await;
    client.send(&head(3)).await;
    blue.gate.notify_one();
    assert_eq!(client.reply().await.body, "blue");
    assert!(client.reply().await.body.starts_with("GET /headers?%3C3%3E\n"), "it came while another was answered");
    client.send("GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 101"));
    client.send("GET /<a> HTTP/1.1\r\n\r\n").await;
    client.expect("GET /<a> HTTP/1.1\r\n\r\n").await;
}

#[tokio::test]
async fn a_stack_that_comes_back_in_a_moment_is_waited_for() {
    let address = free_address();
    let front = Front::start("").await;
    front.live(1, 1, &[address]).await;
    let mut client = Client::connect(front.address).await;
    client.send("POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _back = Server::start_at("back", address).await;
    assert_eq!(client.reply().await.body, "back 2");
}

#[tokio::test]
async fn a_stack_has_no_more_connections_than_it_may_have_and_a_short_queue() {
    let blue = Server::start("blue").await;
    let front = Front::start("[limits]\nstack_connections = 2\nqueue = 1\n[timeouts]\nqueue = '30s'").await;
    front.live(1, 1, &[blue.address]).await;
    let mut busy = Vec::new();
    for count in 1..=2 {
        let mut client = Client::connect(front.address).await;
        client.send("GET /gate HTTP/1.1\r\nhost: a\r\n\r\n").await;
        until("it is there", async || blue.hits() == count).await;
        busy.push(client);
    }
    let (mut one, mut other) = (Client::connect(front.address).await, Client::connect(front.address).await);
    one.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    other.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    // Whichever comes first waits, and nobody else may.
    let (page, waits) = tokio::select! {
        page = one.reply() => (page, &mut other),
        page = other.reply() => (page, &mut one),
    };
    assert_eq!(page.status, 503);
    assert!(page.head.contains("x-pointsman-front: busy") && page.head.contains("retry-after: 5"), "{}", page.head);
    blue.gate.notify_one();
    assert_eq!(waits.reply().await.body, "blue", "its turn has come");
    blue.gate.notify_one();
    until("there is room again", async || get(front.address, "/", "").await.status == 200).await;
    let impatient = Front::start("[limits]\nstack_connections = 1\n[timeouts]\nqueue = '100ms'").await;
    impatient.live(1, 1, &[blue.address]).await;
    let hits = blue.hits();
    let mut client = Client::connect(impatient.address).await;
    client.send("GET /gate HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("it is there", async || blue.hits() > hits).await;
    assert_eq!(get(impatient.address, "/", "").await.status, 503, "it took too long");
}
