//! What a front tells its controller about trouble, while it goes on serving.

use std::{fs, path::Path, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use time::{Duration as Length, OffsetDateTime};

use super::kit::{Client, Front, Server, get, until};
use crate::{
    clock::Clock,
    machine::Millis,
    web_front::{FrontDriver, FrontTrouble},
};

const DAY: Duration = Duration::from_secs(86_400);

/// Writes a certificate for `shop.test` that begins yesterday and ends in so many days; returns the table that names it.
fn certificate(folder: &Path, days: i64) -> String {
    let mut parameters = CertificateParams::new(["shop.test".to_owned()]).unwrap();
    let now = OffsetDateTime::from_unix_timestamp(i64::try_from(Clock::real().host().0 / 1000).unwrap()).unwrap();
    // Half a day more, so that the test may take its time.
    (parameters.not_before, parameters.not_after) = (now - Length::days(1), now + Length::hours(days * 24 + 12));
    let key = KeyPair::generate().unwrap();
    let [certificate_file, key_file] = ["chain.pem", "key.pem"].map(|name| folder.join(name));
    fs::write(&certificate_file, parameters.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    format!("certificate = {certificate_file:?}, key = {key_file:?}")
}

/// The kinds of what is wrong, as the controller is told.
async fn told(front: &Front) -> Vec<FrontTrouble> {
    front.driver.observe().await.unwrap();
    front.driver.trouble(Clock::real().host())
}

#[tokio::test]
async fn the_end_of_a_certificate_is_told_from_the_chosen_day_on() {
    let files = tempfile::tempdir().unwrap();
    let (tls, clock) = (certificate(files.path(), 29), Clock::real());
    let settings = format!("tls = {{ {tls}, names = ['shop.test', 'old.test'], warn_before = '10d' }}");
    let front = Front::start_at(&settings, clock.clone()).await;
    let first = told(&front).await;
    assert!(matches!(&first[..], [FrontTrouble::CertificateNames { host, .. }] if host == "old.test"), "{first:?}");
    clock.let_pass(20 * DAY);
    let then = told(&front).await;
    let [FrontTrouble::CertificateEnds { at, file }, _] = &then[..] else { panic!("{then:?}") };
    assert_eq!((at.since(clock.host()).0 / 86_400_000, file.ends_with("chain.pem")), (9, true));
    clock.let_pass(10 * DAY);
    let ended = told(&front).await;
    assert!(matches!(&ended[..], [_, FrontTrouble::CertificateEnded { .. }]), "{ended:?}");
    // Renewed: nobody has to tell the front.
    certificate(files.path(), 90);
    until("the new one is served", async || told(&front).await.len() == 1).await;
    front.stop().await;
}

#[tokio::test]
async fn a_failed_reload_is_told_until_one_succeeds() {
    let files = tempfile::tempdir().unwrap();
    let page = files.path().join("down.html");
    fs::write(&page, "down").unwrap();
    let front = Front::start(&format!("maintenance_page = {page:?}")).await;
    fs::remove_file(&page).unwrap();
    until("the failure is told", async || !told(&front).await.is_empty()).await;
    let failed = told(&front).await;
    let [FrontTrouble::ReloadFailed { why, since, folder }] = &failed[..] else { panic!("{failed:?}") };
    assert!(why.contains("down.html") && *since > Millis(0), "{failed:?}");
    assert_eq!(folder, front.folder.path());
    fs::write(&page, "down again").unwrap();
    until("it is over", async || told(&front).await.is_empty()).await;
    front.stop().await;
}

#[tokio::test]
async fn requests_that_a_limit_refuses_are_counted() {
    let blue = Server::start("blue").await;
    let front = Front::start("limits = { connections = 1, stack_connections = 1, queue = 0 }").await;
    front.live(1, 1, &[blue.address]).await;
    let mut busy = Client::connect(front.address).await;
    busy.send("GET /gate HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("it is being answered", async || blue.hits() == 1).await;
    for _ in 0..2 {
        assert_eq!(get(front.address, "/", "").await.status, 503);
    }
    let refused = told(&front).await;
    let [FrontTrouble::ClientsRefused { limit, most: 1, times: 2, .. }] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!(limit, "limits.connections");
    blue.gate.notify_one();
    assert_eq!(busy.reply().await.body, "blue");
    front.stop().await;
}
