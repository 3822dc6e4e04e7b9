//! `pointsman down`: all that runs of an installation on this host ends, and a controller starts it again.

use crate::support::house::House;

const TERMS: &str = "bake = \"100ms\"\nretain = \"10m\"";

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn everything_ends_and_comes_back_with_the_controller() {
    let house = House::with_v1_live(TERMS);
    house.push("v2", "");
    house.settle();
    let refused = house.run(&["down", "--yes"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("stop it first: `kill "), "{}", said(&refused));
    house.assert_live("v2");

    house.stop();
    let asked = house.run(&["down"]);
    assert!(said(&asked).contains("nothing was ended") && !asked.status.success(), "{}", said(&asked));
    assert_eq!(house.live_version().as_deref(), Some("v2"), "users are served without a controller");
    let down = house.run(&["down", "--yes"]);
    assert!(down.status.success(), "{}", said(&down));
    for what in ["front of shop/live: ended", "stack shop-live-1: ended", "stack shop-live-2: ended"] {
        assert!(said(&down).contains(what), "{}", said(&down));
    }
    // Of the front, the process may still close its connections.
    house.until("nothing runs", || house.processes().is_empty().then_some(()));
    assert!(house.run(&["down", "--yes"]).status.success(), "there is nothing left to end");

    house.start();
    house.until("v2 is served again", || (house.live_version()? == "v2").then_some(()));
    let records = house.records();
    assert!(records.iter().all(|r| r["event"]["kind"] != "recovered"), "{records:?}");
}

#[test]
fn what_outlived_its_supervisors_ends_too() {
    let house = House::with_v1_live(TERMS);
    house.kill();
    house.processes().iter().filter(|p| p.runs("stack-run") || p.runs("front-run")).for_each(|p| p.kill());
    assert_eq!(house.live_version().as_deref(), Some("v1"), "front and instance go on");
    let down = house.run(&["down", "--yes"]);
    assert!(down.status.success(), "{}", said(&down));
    house.until("nothing runs", || house.processes().is_empty().then_some(()));
}

#[test]
fn where_nothing_is_installed_it_says_so() {
    let house = House::with(TERMS);
    let refused = house.run(&["down", "--yes"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("there is no installation in"), "{}", said(&refused));
}
