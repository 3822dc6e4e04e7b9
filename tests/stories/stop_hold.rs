//! An application that must never run twice, and clients whose requests the built-in front holds meanwhile: by the real binary.

use super::stop_first::{house_with, kinds};
use crate::support::{
    house::House,
    waiting::{Got, Waiting},
};

/// Longer than any stop of these stories on a busy host.
const HOLD: &str = ", hold = { within = \"30s\", requests = 100 }";

/// Each client got an answer to each request, from these versions and in this order.
#[track_caller]
fn assert_served(all: &[Got], versions: &[&str]) {
    for got in all {
        assert_eq!((got.failed.as_slice(), got.paged), (&[] as &[String], 0), "{got:?}");
        assert_eq!(got.versions, versions, "{got:?}");
    }
}

#[track_caller]
fn assert_never_two(house: &House) {
    assert!(!house.log().contains("exit status 42"), "{}", house.log());
}

#[test]
fn clients_that_wait_go_through_a_deployment_and_a_rollback_without_an_error() {
    let house = house_with(HOLD);
    let clients = Waiting::at(house.front(), 8);
    let number = house.push("v2", "");
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v2");
    let out = house.run(&["rollback", "shop/live", "v1", "--reason", "slow", "--watch"]);
    assert!(out.status.success(), "{out:?}");
    house.assert_live("v1");
    assert_served(&clients.end(), &["v1", "v2", "v1"]);
    assert_never_two(&house);
}

#[test]
fn more_requests_than_are_held_get_the_page_and_no_other_error() {
    let house = house_with(", hold = { within = \"30s\", requests = 3 }");
    let clients = Waiting::at(house.front(), 12);
    let number = house.push("v2", "");
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v2");
    let all = clients.end();
    for got in &all {
        assert_eq!((got.failed.as_slice(), got.versions.join(" ").as_str()), (&[] as &[String], "v1 v2"), "{got:?}");
    }
    let spared = all.iter().filter(|got| got.paged == 0).count();
    assert!(spared <= 3, "{all:?}");
    assert!(all.iter().map(|got| got.paged).sum::<u64>() > 0);
}

#[test]
fn a_controller_that_is_killed_while_requests_are_held_loses_none_of_them() {
    let house = house_with(HOLD);
    let clients = Waiting::at(house.front(), 8);
    let number = house.push("v2", "");
    house.until("it is stopped", || kinds(&house).iter().any(|is| is == "stopped").then_some(()));
    house.kill();
    house.start();
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v2");
    assert_served(&clients.end(), &["v1", "v2"]);
    assert_never_two(&house);
}
