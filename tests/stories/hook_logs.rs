//! What a hook writes, as people read it while it runs: as it comes, without secrets, whoever is killed meanwhile.

use std::fs;

use super::logs::{Follower, run};
use crate::support::house::House;

pub(super) const SECRET: &str = "canary-of-the-migration";
/// Says a line, and goes on when somebody says so.
const SCRIPT: &str = "echo begins with $DB; touch ../said-one; while ! test -e ../go-two; do sleep 0.02; done; \
                      echo step two >&2; touch ../said-two; while ! test -e ../go-three; do sleep 0.02; done; echo is done; \
                      test ! -e ../fail || { echo no such table; exit 3; }";

/// A house with a migration that is held after each line.
pub(super) fn house() -> House {
    let house = House::with("bake = \"200ms\"");
    house.write("secrets/db", SECRET);
    let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    let hook = format!(
        "\n[[environments.hooks]]\nname = \"migrate\"\nat = \"after-checks\"\ncommand = [\"sh\", \"-c\", '''{SCRIPT}''']\n\
         secrets = [\"db\"]\n"
    );
    house.write("pipelines/shop.toml", &format!("[secrets]\ndb = {{ file = \"../secrets/db\" }}\n{pipeline}{hook}"));
    house.start();
    house
}

#[test]
fn lines_of_a_migration_come_while_it_runs_also_those_that_it_wrote_while_the_controller_was_dead() {
    let house = house();
    let (_, why) = run(&house, "logs shop/live --hook migrate", 1);
    assert!(why.contains("hook migrate did not run yet in shop/live"), "{why}");
    let number = house.push("v1", "");
    house.until("it runs", || house.path("said-one").exists().then_some(()));
    let mut follower = Follower::attach(&house, "logs shop/live --hook migrate --follow");
    follower.note("hook migrate of deployment 1 --");
    assert_eq!(follower.line("begins with"), "begins with [secret]\n");
    house.kill();
    house.write("go-two", "");
    house.until("it goes on", || house.path("said-two").exists().then_some(()));
    house.start();
    assert_eq!(follower.line("step two"), "step two\n");
    house.write("go-three", "");
    assert_eq!(follower.line("is done"), "is done\n", "each line comes once");
    follower.note("hook migrate succeeded --");
    assert_eq!(follower.ended(), 0);
    house.settle();
    house.assert_outcome(number, "succeeded");
    let (out, told) = run(&house, "logs shop/live --hook migrate --deployment 1", 0);
    assert_eq!(out, "begins with [secret]\nstep two\nis done\n");
    assert!(told.contains("hook migrate succeeded"), "{told}");
    for entry in fs::read_dir(house.path("state/hooks/shop/live/1-migrate")).expect("its folder") {
        let path = entry.expect("an entry").path();
        assert!(!fs::read_to_string(&path).expect("text").contains("canary"), "{}", path.display());
    }

    house.write("fail", "");
    house.push("v2", "");
    house.settle();
    let (_, told) = run(&house, "logs shop/live --hook migrate --lines 1", 0);
    assert!(told.contains("hook migrate failed: it ended with exit status 3: no such table"), "{told}");
    let (_, why) = run(&house, "logs shop/live --hook seed", 1);
    assert!(
        why.contains("shop/live has no hook \"seed\"; it has: migrate; there are: migrate of deployment 2"),
        "{why}"
    );
    run(&house, "logs shop/live --hook migrate --stack 1", 2);
    run(&house, "logs shop/live --deployment 1", 2);
}
