//! What a front and its supervisor log: in the front's folder, where people find out why something went wrong.

use std::{fs, os::unix::fs::PermissionsExt};

use pointsman::web_front::FrontDriver;

use super::front::{Place, free, until};

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
