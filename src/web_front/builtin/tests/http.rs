//! What becomes of a request and of its answer on their way.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::kit::{Client, Front, Server, get, until};

#[tokio::test]
async fn what_belongs_to_one_hop_goes_no_further() {
    let blue = Server::start("blue").await;
    let front = Front::start("").await;
    front.live(1, 1, &[blue.address]).await;
    let sent = "connection: keep-alive, X-Secret\r\nx-secret: 1\r\nte: trailers\r\nkeep-alive: 5\r\n\
                proxy-authorization: x\r\nupgrade: h2c\r\nx-pointsman-other: 7\r\nx_pointsman_x: 1\r\nx-kept: 1\r\n";
    let reply = get(front.address, "/headers?a=b", &(front.probe() + sent)).await;
    assert!(reply.body.starts_with("GET /headers?a=b\n"), "{}", reply.body);
    assert!(reply.body.contains("x-kept: 1") && reply.body.contains("host: app.test"), "{}", reply.body);
    for gone in ["x-secret", "te:", "keep-alive", "proxy-auth", "upgrade", "connection", "pointsman"] {
        assert!(!reply.body.contains(gone), "{gone} went through:\n{}", reply.body);
    }
    assert!(!reply.head.contains("x-hop"), "{}", reply.head);
    assert!(reply.head.contains("x-pointsman-stack: environment=shop/qa; number=1"), "{}", reply.head);
    let front_of_nothing = Front::start("").await;
    for unknown in ["", "x-pointsman-probe: 1\r\n", "x-pointsman-probe:\r\n"] {
        let unasked = get(front.address, "/headers", unknown).await;
        assert!(!unasked.head.contains("pointsman"), "told, or forged, without a right to know: {}", unasked.head);
        assert!(!unasked.body.contains("pointsman"), "{}", unasked.body);
    }
    let other = get(front.address, "/headers", &front_of_nothing.probe()).await;
    assert!(!other.head.contains("pointsman"), "the secret of another front: {}", other.head);
}

#[tokio::test]
async fn a_proxy_before_us_is_believed_when_there_is_one() {
    let blue = Server::start("blue").await;
    let front = Front::start("behind_proxy = true").await;
    front.live(1, 1, &[blue.address]).await;
    let sent = "x-forwarded-for: 10.0.0.9\r\nx-forwarded-proto: https\r\nforwarded: for=10.0.0.9\r\n\
                x-real-ip: 10.0.0.9\r\nx_forwarded_for: 6.6.6.6\r\nx_real-ip: 6.6.6.6\r\n";
    let body = get(front.address, "/headers", sent).await.body;
    for line in [
        "x-forwarded-for: 10.0.0.9, 127.0.0.1\n",
        "x-forwarded-proto: https\n",
        "x-forwarded-host: app.test\n",
        "x-real-ip: 10.0.0.9\n",
        "forwarded: for=10.0.0.9, for=127.0.0.1;host=\"app.test\";proto=http\n",
    ] {
        assert!(body.contains(line), "{line} is missing in:\n{body}");
    }
    assert!(!body.contains("6.6.6.6"), "no proxy says that: {body}");
}

#[tokio::test]
async fn what_clients_claim_about_themselves_is_replaced() {
    let blue = Server::start("blue").await;
    let front = Front::start("").await;
    front.live(1, 1, &[blue.address]).await;
    let names = ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X_Forwarded_For", "x-forwarded_for", "X_REAL_IP"];
    let others = ["X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X_Forwarded_Proto", "True-Client-IP"];
    let sent: String = names.iter().chain(&others).map(|name| format!("{name}: 6.6.6.6\r\n")).collect();
    let body = get(front.address, "/headers", &sent).await.body;
    assert!(!body.contains("6.6.6.6"), "{body}");
    for line in [
        "x-forwarded-for: 127.0.0.1\n",
        "x-forwarded-proto: http\n",
        "x-forwarded-host: app.test\n",
        "forwarded: for=127.0.0.1;host=\"app.test\";proto=http\n",
    ] {
        assert!(body.contains(line), "{line} is missing in:\n{body}");
    }
}

#[tokio::test]
async fn requests_with_two_meanings_are_refused_or_given_one() {
    let blue = Server::start("blue").await;
    let front = Front::start("").await;
    front.live(1, 1, &[blue.address]).await;
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a@b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a:x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost:\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: <a>\r\n\r\n",
    ] {
        let mut client = Client::connect(front.address).await;

        client.send(request).await;
        assert_eq!(client.reply().await.status, 400, "{request:?}");
    }
    assert_eq!(blue.hits.load(Ordering::SeqCst), 0, "none of them reached the stack");
    let mut client = Client::connect(front.address).await;
    client
        .send("POST /headers HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")
        .await;
    let reply = client.reply().await;
    assert!(!reply.body.contains("content-length: 50"), "{}", reply.body);
    assert!(client.is_cut().await, "nothing else is read from such a connection");
    let mut client = Client::connect(front.address).await;
    client.send("GET http://real.test/headers HTTP/1.1\r\nhost: other.test\r\n\r\n").await;
    assert!(client.reply().await.body.contains("host: real.test\n"));
}

#[tokio::test]
async fn bodies_stream_and_expect_continue_works() {
    let blue = Server::start("blue").await;
    let front = Front::start("").await;
    front.live(1, 1, &[blue.address]).await;
    let mut client = Client::connect(front.address).await;
    client.send("POST /body HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 100"));
    client.send("hello").await;
    assert_eq!(client.reply().await.body, "blue 5");
    client.send("POST /body HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    client.send("4\r\ndefg\r\n0\r\n\r\n").await;
    assert_eq!(client.reply().await.body, "blue 7");
}

/// A stack whose every connection answers one request, and dies when the second one arrives.
async fn dies_on_the_second() -> (std::net::SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicU64::new(0));
    let seen = requests.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut buf = [0; 4096];
                for turn in 0..2 {
                    if stream.read(&mut buf).await.unwrap_or(0) == 0 {
                        return;
                    }
                    seen.fetch_add(1, Ordering::SeqCst);
                    if turn == 0 {
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                    }
                }
            });
        }
    });
    (address, requests)
}

#[tokio::test]
async fn what_can_be_repeated_is_repeated_and_what_can_not_is_not() {
    let (address, requests) = dies_on_the_second().await;
    let front = Front::start("threads = 1").await;
    front.live(1, 1, &[address]).await;
    let mut client = Client::connect(front.address).await;
    assert_eq!(client.get("/", "").await.status, 200);
    assert_eq!(client.get("/", "").await.status, 200, "on a connection that died, repeated on a new one");
    assert_eq!(requests.load(Ordering::SeqCst), 3);
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab").await;
    assert_eq!(client.reply().await.status, 502, "nobody knows whether the stack acted on it");
    assert_eq!(requests.load(Ordering::SeqCst), 4, "sent once");
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_passed_over() {
    let blue = Server::start("blue").await;
    let front = Front::start("").await;
    front.live(1, 1, &[super::kit::free_address(), blue.address]).await;
    let mut client = Client::connect(front.address).await;
    for _ in 0..10 {
        client.send("POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab").await;
        assert_eq!(client.reply().await.body, "blue 2");
    }
}

#[tokio::test]
async fn http2_is_spoken_over_tls_and_without() {
    let blue = Server::start("blue").await;
    let keys = rcgen::generate_simple_self_signed(["app.test".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&certificate, keys.cert.pem()).unwrap();
    std::fs::write(&key, keys.signing_key.serialize_pem()).unwrap();
    let tls = format!("[tls]\ncertificate = '{}'\nkey = '{}'", certificate.display(), key.display());
    for settings in ["", tls.as_str()] {
        let front = Front::start(settings).await;
        front.live(1, 1, &[blue.address]).await;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(keys.cert.der().clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let builder = reqwest::Client::builder().tls_backend_preconfigured(config).resolve("app.test", front.address);
        let builder = if settings.is_empty() { builder.http2_prior_knowledge() } else { builder };
        let client = builder.build().unwrap();
        let scheme = if settings.is_empty() { "http" } else { "https" };
        let url = format!("{scheme}://app.test:{}/headers", front.address.port());
        let response = client.get(url).send().await.unwrap();
        assert_eq!(response.version(), hyper::Version::HTTP_2);
        let body = response.text().await.unwrap();
        assert!(body.contains(&format!("x-forwarded-proto: {scheme}\n")), "{body}");
        assert!(body.contains(&format!("host: app.test:{}\n", front.address.port())), "{body}");
        use crate::web_front::FrontDriver;
        assert_eq!(front.driver.ask_public().await.unwrap(), Some(super::kit::stack(1)));
        drop(client);
        until("all is done", async || front.driver.seen().await.unwrap().connections == 0).await;
    }
}
