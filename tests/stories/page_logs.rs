//! What instances write, on the page: as it comes, of which stack, and without secrets.

use super::{
    hook_logs,
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

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_a_hook_come_to_the_page_while_it_runs() {
    if !browser::installed() {
        return;
    }
    let house = hook_logs::house();
    house.write("password", PASSWORD);
    let added = house.run(&["user", "add", "dora", "--grant", "deployer", "--password-file", "password"]);
    assert!(added.status.success(), "{added:?}");
    let dora = person(&house, "dora").await;
    dora.go("/environments/shop/live").await;
    house.push("v1", "");
    dora.until_text("#next", "What hook migrate of deployment 1 writes").await;
    dora.click("#next a").await;
    dora.until_text("#log", "begins with [secret]").await;
    mark(&dora).await;
    house.write("go-two", "");
    let log = dora.until_text("#log", "step two").await;
    assert!(!log.contains(hook_logs::SECRET) && !log.contains("is done"), "{log}");
    assert_not_loaded_again(&dora).await;
    dora.screenshot("hook-logs").await;
    dora.assert_fits("hook-logs").await;
    dora.assert_accessible("hook-logs").await;
    house.write("go-three", "");
    let log = dora.until_text("#log", "hook migrate succeeded").await;
    assert_eq!(log.matches("step two").count(), 1, "{log}");
    house.settle();
    dora.go("/environments/shop/live/logs").await;
    dora.click(".tabs a[href$='hook=migrate']").await;
    dora.until_text("#log", "hook migrate succeeded").await;
    dora.assert_quiet();
}
