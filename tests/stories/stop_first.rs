//! An application that must never run twice: the live stack is stopped before the next one comes up, and started again on the way
//! back. By the whole controller with stacks in memory, and by the real binary with an application that notices a second one.

use pointsman::machine::{Ask, Condition, DeploymentState, Plan, Refusal, Retain, Strategy};
use serde_json::Value;

use crate::support::{
    house::House,
    users::{Met, Users},
    yard::Yard,
};

fn stop_first(plan: &mut Plan) {
    (plan.strategy, plan.retain) = (Strategy::StopFirst, Retain::UntilNext);
}

async fn v1_live() -> Yard {
    let mut t = Yard::with(stop_first).await;
    t.push("v1").await;
    t.settle().await;
    t.assert_live("v1");
    t
}

#[tokio::test]
async fn the_stack_before_is_stopped_kept_and_started_again_by_a_rollback() {
    let mut t = v1_live().await;
    let number = t.push("v2").await;
    t.settle().await;
    t.assert_live("v2");
    assert_eq!(t.stacks.condition("v1"), Some(Condition::Stopped));
    t.assert_stacks(&["v1", "v2"]);
    t.rollback().await.unwrap();
    t.settle().await;
    t.assert_live("v1");
    t.assert_ended(number, DeploymentState::RolledBack, "");
    t.assert_stacks(&["v1"]);
}

#[tokio::test]
async fn a_release_that_never_passes_gives_its_place_back() {
    let mut t = v1_live().await;
    t.stacks.sick.lock().unwrap().push("v2".to_owned());
    let number = t.push("v2").await;
    t.until_state(number, DeploymentState::Checking).await;
    assert_eq!(t.stacks.condition("v1"), Some(Condition::Stopped));
    t.pass(2 * std::time::Duration::from_millis(Plan::default().check_within.0));
    t.settle().await;
    t.assert_ended(number, DeploymentState::Failed, "did not pass its checks in time");
    t.assert_live("v1");
    t.assert_stacks(&["v1"]);
}

#[tokio::test]
async fn maintenance_stays_until_a_person_ends_it_and_a_deployment_goes_on_behind_it() {
    let mut t = Yard::new().await;
    t.push("v1").await;
    t.settle().await;
    t.command(Ask::BeginMaintenance { hold: false, reason: "the database moves".into() }).await.unwrap();
    t.until("the page is shown", |e| e.drift().is_none()).await;
    t.push("v2").await;
    t.settle().await;
    assert_eq!((t.front.serves(), t.now().live().map(|s| s.number.0)), (None, Some(2)));
    let again = t.command(Ask::BeginMaintenance { hold: false, reason: "again".into() }).await;
    assert_eq!(again, Err(Refusal::Already("maintenance is on")));
    t.command(Ask::EndMaintenance).await.unwrap();
    t.settle().await;
    t.assert_live("v2");
}

const TERMS: &str = "strategy = \"stop-first\"\nbake = \"200ms\"\nretain = \"until-next\"\n\
                     deadlines = { provision = \"10s\", check = \"10s\" }";

/// A house whose application ends at once where another one of it runs.
fn house() -> House {
    house_with("")
}

/// The same, with more keys of the front's table: `, KEY = VALUE`.
pub(super) fn house_with(front: &str) -> House {
    let house = House::with(TERMS);
    let pipeline = std::fs::read_to_string(house.path("pipelines/shop.toml")).expect("a pipeline");
    house.write("pipelines/shop.toml", &pipeline.replacen(":8080\"", &format!(":8080\"{front}"), 1));
    let lock = house.path("lock").display().to_string();
    let sample = "exec {pointsman} sample --listen {address}:{port} --version {version} {parameters.extra}";
    let alone =
        sample.replacen("exec ", &format!("exec flock --nonblock --no-fork --conflict-exit-code 42 {lock} "), 1);
    house.write("stacks/process/app.toml", &house.definition(&alone));
    house.start();
    house.push("v1", "");
    house.settle();
    house.assert_live("v1");
    house
}

pub(super) fn kinds(house: &House) -> Vec<String> {
    let kind = |record: Value| record["event"]["kind"].as_str().map(str::to_owned);
    house.records().into_iter().filter_map(kind).collect()
}

/// Users met nothing but the release and the page, and no application met another one.
fn assert_never_two(house: &House, met: &Met) {
    assert_eq!(met.unexplained, [""; 0], "{} were served, {} got the page", met.served, met.paged);
    let twice =
        house.log().lines().filter(|line| line.contains("exit status 42")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(twice, [""; 0]);
}

#[test]
fn two_never_run_users_get_the_page_meanwhile_and_a_rollback_starts_what_was_stopped() {
    let house = house();
    let users = Users::of(house.front());
    let number = house.push("v2", "");
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v2");
    let says = |command: &str, words: &[&str]| {
        let out = house.run(&command.split(' ').collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        words.iter().for_each(|words| assert!(said.contains(words), "{command}: {words}: {said}"));
    };
    says("why shop/live", &["a rollback starts what is stopped and cuts over, about", "as the last time"]);
    says("rollback shop/live v1 --reason slow --watch", &["rolled back after"]);
    house.assert_live("v1");
    says("history shop/live", &["users got the maintenance page for"]);
    says("maintenance shop/live on --reason audit", &["get the maintenance page until"]);
    says("status shop/live", &["maintenance", "audit"]);
    says("maintenance shop/live off", &["is off"]);
    house.until("users are served again", || house.live_version().filter(|live| live == "v1"));
    let met = users.end();
    assert!(met.served > 50 && met.paged > 0, "{met:?}");
    assert_never_two(&house, &met);
    let order = ["page_ordered", "stop_ordered", "stopped", "provisioned", "went_live", "start_ordered", "undone"];
    let kinds = kinds(&house);
    let mut found = kinds.iter();
    order.iter().for_each(|kind| assert!(found.any(|is| is == kind), "{kind} is missing in its place: {kinds:?}"));
}

#[test]
fn the_controller_may_die_between_any_stop_and_start() {
    for kind in ["page_ordered", "stop_ordered", "stopped", "cut_over_ordered"] {
        let house = house();
        let users = Users::of(house.front());
        let number = house.push("v2", "");
        house.until(kind, || kinds(&house).iter().any(|is| is == kind).then_some(()));
        house.kill();
        house.start();
        house.settle();
        house.assert_outcome(number, "succeeded");
        house.assert_live("v2");
        assert_never_two(&house, &users.end());
    }
}

#[test]
fn who_turns_maintenance_on_without_a_reason_or_twice_is_told_what_helps() {
    let house = House::with_v1_live("bake = \"200ms\"");
    let refused = |command: &str, words: &str| {
        let out = house.run(&command.split(' ').collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && said.contains(words), "{command}: {said}");
    };
    refused("maintenance shop/live on", "--reason");
    refused("maintenance shop/live off", "maintenance is off");
    refused("maintenance shop/nowhere off", "shop/nowhere");
    let empty = house.try_ask("POST", "/v1/environments/shop/live/maintenance", "{}").expect("an answer");
    assert_eq!(empty.status, 400, "{}", empty.body);
}
