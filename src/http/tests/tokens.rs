//! Tokens that end: by time, by a person, by damage, also under an open stream; and that their text stands nowhere.

use std::{
    fs::{self, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::StreamExt;
use http::StatusCode;
use tower::ServiceExt;

use super::kit::{Shop, bearer};
use crate::access::{
    Role,
    file::Token,
    kept::{self, Row},
};

const ALL: &str = "/v1/environments";
const HOLD: &str = "/v1/environments/shop/qa/hold";

/// Captures the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Everything on this thread, as long as the guard lives.
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
        (log, tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish()))
    }

    fn said(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_token_that_expired_is_told_since_when() {
    let shop = Shop::new();
    let token = shop.token("erin", Role::Viewer, &[]);
    assert_eq!(shop.ask(&token, "GET", ALL, "").await.status, 200);
    shop.app.clock.let_pass(Duration::from_secs(86_400));
    let told = shop.ask(&token, "GET", ALL, "").await;
    let expired = kept::read::<Token>(shop.folder()).unwrap()[0].expires.unwrap();
    let since = format!("the token `erin` expired at {}", crate::text::format_time(expired));
    told.refused(StatusCode::UNAUTHORIZED, &since);
    assert_eq!(told.headers["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn a_token_that_is_revoked_is_refused_from_then_on() {
    let shop = Shop::new();
    let (rose, ruth) = (shop.token("rose", Role::Deployer, &[]), shop.token("ruth", Role::Deployer, &[]));
    for _ in 0..3 {
        assert_eq!(shop.ask(&rose, "GET", ALL, "").await.status, 200);
    }
    kept::remove::<Token>(shop.folder(), "rose").unwrap();
    let told = shop.ask(&rose, "POST", HOLD, "").await;
    told.refused(StatusCode::UNAUTHORIZED, "the token is missing or wrong");
    assert!(shop.state("shop/qa").hold().is_none());
    assert_eq!(shop.ask(&ruth, "POST", HOLD, "").await.status, 200);
}

#[tokio::test]
async fn a_wrong_token_is_never_told_what_is_wrong_with_it() {
    let shop = Shop::new();
    let good = shop.token("good", Role::Viewer, &[]);
    let other = format!("{}{}", &good[..good.len() - 1], if good.ends_with('0') { '1' } else { '0' });
    let mut answers = Vec::new();
    for wrong in [&*other, &good[..good.len() - 1], &good.to_uppercase(), "pm_", "x", "", &"x".repeat(10_000)] {
        let told = shop.ask(wrong, "GET", ALL, "").await;
        assert_eq!(told.status, 401);
        answers.push(told.body);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
}

#[tokio::test]
async fn a_stream_ends_when_its_token_does() {
    let shop = Shop::new();
    let token = shop.token("sam", Role::Viewer, &["shop/qa"]);
    let request = bearer(&token, "GET", "/v1/events").body(axum::body::Body::empty()).unwrap();
    let mut stream = shop.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    let hello = stream.next().await.unwrap().unwrap();
    assert_eq!(hello, "id: 0\n\n");
    shop.post("/v1/environments/shop/prod/hold", "").await;
    shop.post(HOLD, "").await;
    let first = String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(first.contains("shop/qa") && !first.contains("shop/prod"), "{first}");
    kept::remove::<Token>(shop.folder(), "sam").unwrap();
    shop.app.clock.let_pass(Duration::from_secs(1));
    shop.post("/v1/environments/shop/qa/resume", "").await;
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_ends_with_its_token_as_well() {
    let shop = Shop::new();
    let token = shop.token("sam", Role::Viewer, &[]);
    let request = bearer(&token, "GET", "/v1/events").body(axum::body::Body::empty()).unwrap();
    let mut stream = shop.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    assert_eq!(stream.next().await.unwrap().unwrap(), "id: 0\n\n");
    let silent = tokio::time::timeout(Duration::from_secs(12), stream.next());
    assert!(silent.await.is_err(), "it goes on while the token is good");
    kept::remove::<Token>(shop.folder(), "sam").unwrap();
    shop.app.clock.let_pass(Duration::from_secs(1));
    let end = tokio::time::timeout(Duration::from_secs(6), stream.next());
    assert!(end.await.expect("it goes on without a token").is_none());
}

#[tokio::test]
async fn a_damaged_file_lets_nobody_in_but_the_local_token_and_is_told_once() {
    let (log, _guard) = Log::begin();
    let shop = Shop::new();
    let token = shop.token("dana", Role::Admin, &[]);
    assert_eq!(shop.ask(&token, "GET", ALL, "").await.status, 200);
    let path = shop.folder().join(Token::FILE);
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replace("expires = ", "expire = ")).unwrap();
    for _ in 0..5 {
        let told = shop.ask(&token, "GET", ALL, "").await;
        told.refused(StatusCode::SERVICE_UNAVAILABLE, "no token can be checked at the moment");
    }
    assert_eq!(shop.get(ALL).await.status, 200);
    let place = format!("{}:8:1: unknown key `expire`; did you mean `expires`?", path.display());
    assert_eq!(log.said().matches(&place).count(), 1, "{}", log.said());

    fs::write(&path, &good).unwrap();
    assert_eq!(shop.ask(&token, "GET", ALL, "").await.status, 200);
    assert!(log.said().contains("can be used again"));
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    shop.ask(&token, "GET", ALL, "").await.refused(StatusCode::SERVICE_UNAVAILABLE, "the controller's log says why");
    assert!(log.said().contains("others than its owner can write it: chmod 600"));
    fs::remove_file(&path).unwrap();
    shop.ask(&token, "GET", ALL, "").await.refused(StatusCode::UNAUTHORIZED, "the token is missing or wrong");
}

#[tokio::test]
async fn the_text_of_a_token_stands_nowhere() {
    let (log, _guard) = Log::begin();
    let shop = Shop::new();
    let token = shop.token("carl", Role::Deployer, &["shop/qa"]);
    let mut told = String::new();
    for (method, path) in [("GET", ALL), ("POST", HOLD), ("POST", "/v1/environments/shop/qa/pin"), ("GET", "/no")] {
        told += &shop.ask(&token, method, path, "").await.body.to_string();
    }
    fs::write(shop.folder().join(Token::FILE), "[[tokens]]\nname = 7\n").unwrap();
    told += &shop.ask(&token, "GET", ALL, "").await.body.to_string();
    fs::remove_file(shop.folder().join(Token::FILE)).unwrap();
    told += &shop.ask(&token, "GET", ALL, "").await.body.to_string();
    told += &serde_json::to_string(&shop.app.journal.history(None, 100).unwrap()).unwrap();
    told += &log.said();
    assert!(told.contains("carl") && !told.contains(&token) && !told.contains(&token[3..20]), "{told}");
}
