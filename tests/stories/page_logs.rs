//! What instances write, on the page: as it comes, of which stack, and without secrets.

use super::{
    logs::{SECRET, house, live},
    page::{PASSWORD, assert_not_loaded_again, mark, person},
};
use crate::support::browser;

#[tokio::test(flavor = "multi_thread")]
async fn lines_come_to_the_page_as_they_are_written_and_go_over_to_what_is_live_then() {
    if !browser::installed() {
        return;
    }
    let house = house();
    house.write("password", PASSWORD);
    let added = house.run(&["user", "add", "dora", "--grant", "deployer", "--password-file", "password"]);
    assert!(added.status.success(), "{added:?}");
    live(&house, "v1");
    let dora = person(&house, "dora").await;
    dora.go("/environments/shop/live").await;
    dora.click("#live .logbar a").await;
    dora.until_text("#log", "0 hello from v1 with [secret]").await;
    dora.until_text("#log .err", "oops v1").await;

    dora.go("/environments/shop/live/logs").await;
    mark(&dora).await;
    live(&house, "v2");
    dora.until_text("#log", "stack 2, v2: live").await;
    let log = dora.until_text("#log", "1 hello from v2 with [secret]").await;
    assert!(log.contains("hello from v1") && !log.contains(SECRET), "{log}");
    assert_not_loaded_again(&dora).await;
    dora.screenshot("logs").await;
    dora.assert_fits("logs").await;
    dora.assert_accessible("logs").await;
    dora.assert_quiet();
}
