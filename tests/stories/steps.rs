//! Users come to a new release in steps: by the whole controller with a front in memory and told time, and by the real binary
//! with its own front, while users hammer it and the controller is killed.

use std::time::Duration;

use pointsman::machine::{
    Ask, DeploymentState, Gate, Generation, Millis, Number, Otherwise, Outcome, Plan, Refusal, Share, Step,
};
use serde_json::Value;

use crate::support::{house::House, users::Users, yard::Yard};

fn share(percent: i64) -> Share {
    Share::try_from(percent).unwrap()
}

fn in_steps(plan: &mut Plan) {
    let step = |percent, minutes: u64| Step { share: share(percent), bake: Millis(minutes * 60_000), pause: None };
    plan.steps = vec![step(5, 5), step(50, 10)];
}

const MINUTE: Duration = Duration::from_secs(60);

/// v1 is live, and v2 has 5 % of the users.
async fn at_five() -> (Yard, Number) {
    let mut t = Yard::with(in_steps).await;
    t.push("v1").await;
    t.settle().await;
    assert_eq!(t.front.generation(), Generation(1), "the first one gets all users at once");
    let number = t.push("v2").await;
    t.until_state(number, DeploymentState::Shifting).await;
    assert_eq!(t.front.split(), Some(share(5)));
    t.assert_live("v1");
    (t, number)
}

#[tokio::test]
async fn each_step_is_watched_and_then_the_new_release_is_live() {
    let (t, number) = at_five().await;
    t.pass(5 * MINUTE);
    t.until("it has half of the users", |e| e.active().and_then(|d| d.share()) == Some(share(50))).await;
    assert_eq!((t.front.generation(), t.front.split()), (Generation(3), Some(share(50))));
    t.assert_live("v1");
    t.pass(10 * MINUTE);
    t.settle().await;
    t.assert_live("v2");
    assert_eq!((t.front.generation(), t.front.split()), (Generation(4), None));
    t.assert_ended(number, DeploymentState::Succeeded, "");
}

#[tokio::test]
async fn a_release_that_turns_bad_at_five_percent_loses_them_by_one_order() {
    let (t, number) = at_five().await;
    t.stacks.set_well("v2", false);
    t.settle().await;
    t.assert_ended(number, DeploymentState::RolledBack, "while it had 5 % of the users");
    t.assert_live("v1");
    assert_eq!((t.front.generation(), t.front.split()), (Generation(3), None));
}

#[tokio::test]
async fn people_go_on_keep_and_abort_and_a_restart_forgets_none_of_it() {
    let (mut t, number) = at_five().await;
    let gate = Gate { timeout: Millis(3_600_000), otherwise: Otherwise::Abort, by: Vec::new(), not_the_asker: false };
    t.command(Ask::Pause(number, gate)).await.unwrap();
    t.kill_controller();
    t.start_controller();
    t.pass(20 * MINUTE);
    t.until("it is looked at again", |e| e.active().is_some_and(|d| d.paused.is_some())).await;
    assert_eq!(t.front.split(), Some(share(5)));
    t.command(Ask::Proceed(number)).await.unwrap();
    t.until("it has half of the users", |e| e.active().and_then(|d| d.share()) == Some(share(50))).await;
    t.abort(number).await.unwrap();
    t.settle().await;
    t.assert_ended(number, DeploymentState::Aborted, "");
    assert_eq!((t.front.split(), t.front.generation()), (None, Generation(4)));
    let gone = t.command(Ask::Proceed(number)).await;
    assert!(matches!(gone, Err(Refusal::NotUnderWay { .. })), "{gone:?}");
}

const TERMS: &str = "steps = [{ share = 5, bake = \"1s\" }, { share = 50, bake = \"1s\" }]\nbake = \"200ms\"\n\
                     deadlines = { provision = \"10s\", check = \"10s\" }";

/// The part of 100 users that goes to each version, as the last so many of them met it.
fn shifted(record: &Value) -> Option<u64> {
    (record["event"]["kind"] == "shifted").then(|| record["event"]["share"].as_u64()).flatten()
}

#[test]
fn no_user_meets_a_failure_at_any_step_and_the_controller_may_die_at_each() {
    let house = House::with_v1_live(TERMS);
    let users = Users::of(house.front());
    let number = house.push("v2", "");
    house.until("it has a share", || house.records().iter().find_map(shifted));
    house.kill();
    house.start();
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v2");
    let shares: Vec<u64> = house.records().iter().filter_map(shifted).collect();
    assert_eq!(shares, [5, 50]);
    let met = users.end();
    assert_eq!((met.unexplained, met.explained), (vec![], vec![]), "{} were served", met.served);
    assert!(met.served > 100, "{} were served", met.served);
}

#[test]
fn who_presses_on_at_five_percent_is_answered_with_what_is_so_and_what_helps() {
    let house = House::with_v1_live(&TERMS.replace("5, bake = \"1s\"", "5, bake = \"1h\""));
    let number = house.push("v2", "");
    house.until_state(number, "shifting");
    let says = |command: &str, words: &[&str]| {
        let out = house.run(&command.split(' ').collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        words.iter().for_each(|words| assert!(said.contains(words), "{command}: {words}: {said}"));
    };
    says("status shop/live", &["shifting", "5 % of users"]);
    says("why shop/live", &["5 % of users see v2", "the others see v1", "pointsman proceed shop/live"]);
    says("pause shop/live --for 2h --reason odd", &["keeps the users that it has", "2 h"]);
    says("why shop/live", &["keeps 5 % of the users", "`pointsman proceed shop/live`"]);
    says("pause shop/live --for 0s", &["longer than nothing"]);
    let needs = house.try_ask("GET", "/v1/overview", "").expect("an answer").body;
    assert!(needs.contains("waits for approval to get more than 5 % of users"), "{needs}");
    says("proceed shop/live", &["goes on", "as soon as it is seen good"]);
    house.until("it has half", || house.records().iter().filter_map(shifted).find(|share| *share == 50));
    says("rollback shop/live v9 --reason slow", &["goes back to v1", "nothing was rolled back"]);
    says("rollback shop/live v1 --reason slow", &["loses its share of the users", "by one order"]);
    house.settle();
    let why = house.assert_outcome(number, "rolled_back");
    assert_eq!(why, "slow");
    house.assert_live("v1");
    says("history shop/live --records", &["shifted", "5 % of the users", "proceeded", "paused"]);
    let ended = house.records().iter().any(|r| r["event"]["outcome"] == serde_json::json!(Outcome::RolledBack));
    assert!(ended);
}
