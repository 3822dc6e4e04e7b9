//! The controller's own TLS: HTTP/2 by ALPN, plain HTTP beside it, and a certificate that is replaced while it serves.

#![allow(clippy::disallowed_methods, reason = "a test starts its own server")]

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::{
    super::{Tls, router, serve},
    browser::{PASSWORD, user},
    kit::{Shop, TOKEN},
};
use crate::{outgoing, settings::TlsFiles};

/// Puts a new certificate for `localhost` where the controller has its own, and returns it.
fn certify(folder: &Path) -> reqwest::Certificate {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()
}

struct Served {
    tls: Arc<Tls>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

async fn served(shop: &Shop) -> Served {
    let (certificate, key) = (shop.folder().join("cert.pem"), shop.folder().join("key.pem"));
    let tls = Arc::new(Tls::open(TlsFiles { certificate, key }).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(serve(listener, router(shop.app.clone()), 128, Some(tls.clone()), stopped));
    Served { tls, address, stop, task }
}

impl Served {
    fn client(&self, trusted: &reqwest::Certificate) -> reqwest::Client {
        let client = outgoing::client().no_proxy().resolve("localhost", self.address);
        client.tls_certs_only([trusted.clone()]).build().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn seven_streams_and_a_request_share_one_connection() {
    let shop = Shop::new();
    let certificate = certify(shop.folder());
    let served = served(&shop).await;
    let client = served.client(&certificate);
    let mut streams = Vec::new();
    for _ in 0..7 {
        let stream = client.get(served.url("/v1/events")).bearer_auth(TOKEN).send().await.unwrap();
        assert_eq!((stream.status().as_u16(), stream.version()), (200, http::Version::HTTP_2));
        streams.push(stream);
    }
    let ports: std::collections::BTreeSet<_> = streams.iter().map(|stream| stream.remote_addr()).collect();
    assert_eq!(ports.len(), 1);
    let all = client.get(served.url("/v1/environments")).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(all.status(), 200, "no stream is in its way");
    drop(streams);
    served.end().await;
}

#[tokio::test]
async fn over_tls_people_sign_in_and_over_plain_http_the_api_goes_on() {
    let shop = Shop::new();
    user(&shop, "ann", &["viewer"]);
    let certificate = certify(shop.folder());
    let served = served(&shop).await;
    let client = served.client(&certificate);
    let form = client.post(served.url("/sign-in")).header("sec-fetch-site", "same-origin");
    let body = format!("user=ann&password={}", PASSWORD.replace(' ', "+"));
    let form = form.header("content-type", "application/x-www-form-urlencoded").body(body);
    let told = form.send().await.unwrap();
    assert_eq!(told.status(), 303);
    let cookie = told.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-pointsman=") && cookie.ends_with("; Secure"), "{cookie}");
    let (pair, _) = cookie.split_once(';').unwrap();
    let asked = client.get(served.url("/v1/environments")).header("cookie", pair).send().await.unwrap();
    assert_eq!(asked.status(), 200);
    let plain = format!("http://{}/v1/environments", served.address);
    let asked = client.get(&plain).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!((asked.status().as_u16(), asked.version()), (200, http::Version::HTTP_11));
    let asked = client.get(&plain).header("cookie", pair).send().await.unwrap();
    assert_eq!(asked.status(), 401, "that cookie is for TLS only");
    served.end().await;
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_served_and_one_that_is_broken_is_not() {
    let shop = Shop::new();
    let first = certify(shop.folder());
    let served = served(&shop).await;
    let asks = |trusted: &reqwest::Certificate| served.client(trusted).get(served.url("/healthz")).send();
    assert_eq!(asks(&first).await.unwrap().status(), 200);
    let second = certify(shop.folder());
    served.tls.look();
    assert!(asks(&first).await.is_err(), "new connections have the new one");
    assert_eq!(asks(&second).await.unwrap().status(), 200);
    fs::write(shop.folder().join("key.pem"), "torn").unwrap();
    served.tls.look();
    assert_eq!(asks(&second).await.unwrap().status(), 200, "the one from before goes on");
    fs::remove_file(shop.folder().join("key.pem")).unwrap();
    served.tls.look();
    assert_eq!(asks(&second).await.unwrap().status(), 200);
    let third = certify(shop.folder());
    served.tls.look();
    assert_eq!(asks(&third).await.unwrap().status(), 200);
    served.end().await;
}
