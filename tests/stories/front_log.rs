//! What a front and its supervisor log: in the front's folder, where people find out why something went wrong. And what the
//! controller tells of a front's trouble.

use std::{fs, os::unix::fs::PermissionsExt};

use pointsman::{clock::Clock, web_front::FrontDriver};
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;

use super::front::{Place, free, until};
use crate::support::house::House;

#[tokio::test]
async fn a_certificate_that_cannot_be_read_again_is_in_the_log() {
    let (place, address) = (Place::new(), free());
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (place.path().join("chain"), place.path().join("key"));
    let secret = made.signing_key.serialize_pem();
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, &secret).unwrap();
    let driver =
        place.driver(&format!("listen = '{address}'\ntls = {{ certificate = {certificate:?}, key = {key:?} }}"));
    driver.ensure_running().await.unwrap();
    let log = place.path().join("log");
    let read = || fs::read_to_string(&log).unwrap_or_default();
    until("both log", async || read().contains(" serving ") && read().contains("a front serves")).await;
    fs::write(&certificate, "torn").unwrap();
    // By itself, as after a renewal: nobody tells the front.
    until("the failure is logged", async || read().contains("nothing reloaded")).await;
    let line = read().lines().find(|line| line.contains("nothing reloaded")).unwrap().to_owned();
    assert!(line.contains("ERROR") && line.contains(certificate.to_str().unwrap()), "{line}");
    assert!(driver.reload().await.is_err());
    assert_eq!(read().matches("nothing reloaded").count(), 2, "asked for, it is logged too: {}", read());
    let leaked = secret.lines().filter(|line| !line.starts_with('-')).find(|line| read().contains(line));
    assert_eq!(leaked, None, "no key in the log");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_certificate_near_its_end_and_one_that_cannot_be_read_are_in_status_and_why() {
    let house = House::with("");
    let mut parameters = CertificateParams::new(["shop.test".to_owned()]).expect("a name");
    let now = i64::try_from(Clock::real().host().0 / 1000).expect("a time");
    let now = time::OffsetDateTime::from_unix_timestamp(now).expect("a time");
    // Half a day more, so that the test may take its time.
    (parameters.not_before, parameters.not_after) = (now - time::Duration::days(1), now + time::Duration::hours(228));
    let key = KeyPair::generate().expect("a key");
    house.write("pipelines/chain.pem", &parameters.self_signed(&key).expect("signed").pem());
    house.write("pipelines/key.pem", &key.serialize_pem());
    let file = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    let listen = format!("listen = \"{}\"", house.front());
    assert!(file.contains(&listen), "{file}");
    let tls = format!("{listen}, tls = {{ certificate = \"chain.pem\", key = \"key.pem\", names = [\"shop.test\"] }}");
    house.write("pipelines/shop.toml", &file.replace(&listen, &tls));
    house.start();
    let shown = |step: &str| -> Option<Value> {
        let all = house.environment()?["trouble"].as_array()?.clone();
        all.into_iter().find(|trouble| trouble["step"] == step)
    };
    let trouble = house.until("its end is told", || shown("the front's certificate"));
    let why = trouble["why"].as_str().expect("text");
    assert!(why.contains("chain.pem ends in 9 days, at ") && trouble["since"].as_str().is_some(), "{trouble}");
    let said = |arguments: &[&str]| {
        let text = String::from_utf8(house.run(arguments).stdout).expect("text");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(said(&["why", "shop/live"]).contains("ends in 9 days"), "{}", said(&["why", "shop/live"]));
    assert!(said(&["why", "shop/live"]).contains("command openssl x509 "), "{}", said(&["why", "shop/live"]));
    assert!(said(&["status"]).contains("trouble: the front's certificate: "), "{}", said(&["status"]));
    let logged = house.log().lines().filter(|line| line.contains("ends in 9 days")).count();
    assert_eq!(logged, 1, "said once: {}", house.log());
    house.write("pipelines/chain.pem", "torn");
    let failed = house.until("the failure is told", || shown("the front's certificate and pages"));
    assert!(failed["why"].as_str().is_some_and(|why| why.contains("chain.pem cannot be used")), "{failed}");
    assert!(shown("the front's certificate").is_some(), "the old one is served, and ends all the same");
}
