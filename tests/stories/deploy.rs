//! A build becomes a live stack, and the old one is retired.

use std::time::Duration;

use pointsman::machine::{Ask, DeploymentState, Gate, Millis, Otherwise, Refusal, Retain};

use crate::support::yard::Yard;

const HOUR: Duration = Duration::from_secs(3600);

fn gate(otherwise: Otherwise) -> Option<Gate> {
    Some(Gate { timeout: Millis(3_600_000), otherwise, by: Vec::new(), not_the_asker: false })
}

#[tokio::test]
async fn a_build_goes_live_and_the_one_before_stays_warm() {
    let mut t = Yard::new().await;
    t.push("v1").await;
    t.settle().await;
    t.assert_live("v1");
    t.push("v2").await;
    t.settle().await;
    t.assert_live("v2");
    t.assert_stacks(&["v1", "v2"]);
    t.pass(HOUR);
    t.until("the retention is over", |e| e.standby().is_none() && e.retiring().is_empty()).await;
    t.assert_stacks(&["v2"]);
}

#[tokio::test]
async fn without_retention_the_old_stack_goes_at_once() {
    let mut t = Yard::with(|plan| plan.retain = Retain::None).await;
    t.push("v1").await;
    t.settle().await;
    t.push("v2").await;
    t.settle().await;
    t.assert_stacks(&["v2"]);
}

#[tokio::test]
async fn until_next_keeps_the_old_stack_until_the_next_one_is_live() {
    let mut t = Yard::with(|plan| plan.retain = Retain::UntilNext).await;
    for version in ["v1", "v2", "v3"] {
        t.push(version).await;
        t.settle().await;
        t.pass(24 * HOUR);
    }
    t.assert_stacks(&["v2", "v3"]);
}

#[tokio::test]
async fn the_newest_build_wins_the_queue() {
    let mut t = Yard::with(|plan| plan.before_provisioning = gate(Otherwise::Abort)).await;
    let first = t.push("v1").await;
    t.until_state(first, DeploymentState::AwaitingApproval).await;
    let last = t.push("v2").await;
    t.until_state(last, DeploymentState::AwaitingApproval).await;
    t.assert_ended(first, DeploymentState::Superseded, "newer");
    t.approve(last).await.unwrap();
    t.settle().await;
    t.assert_live("v2");
    t.assert_stacks(&["v2"]);
}

#[tokio::test]
async fn the_same_build_announced_again_is_the_same_deployment() {
    let t = Yard::new().await;
    let first = t.announce("v1", 7).await.unwrap();
    assert_eq!(t.announce("v1", 7).await, Err(Refusal::Duplicate(first)));
    t.settle().await;
    assert_eq!(t.announce("v1", 7).await, Err(Refusal::Duplicate(first)));
    assert_eq!(t.announce("v0", 6).await, Err(Refusal::Stale { build_number: 6, newest: 7 }));
    t.assert_live("v1");
}

#[tokio::test]
async fn nobody_approves_and_the_default_answer_is_given() {
    let mut t = Yard::with(|plan| plan.before_cutover = gate(Otherwise::Abort)).await;
    let number = t.push("v1").await;
    t.until_state(number, DeploymentState::AwaitingApproval).await;
    t.pass(2 * HOUR);
    t.settle().await;
    t.assert_ended(number, DeploymentState::Aborted, "nobody approved");
    t.assert_stacks(&[]);
    t.plan.before_cutover = gate(Otherwise::Approve);
    let number = t.push("v2").await;
    t.until_state(number, DeploymentState::AwaitingApproval).await;
    t.pass(2 * HOUR);
    t.settle().await;
    t.assert_live("v2");
}

#[tokio::test]
async fn a_hold_stops_builds_and_a_resume_lets_them_go_on() {
    let mut t = Yard::new().await;
    t.command(Ask::Hold("the database is being moved".into())).await.unwrap();
    let number = t.push("v1").await;
    t.pass(HOUR);
    t.until_state(number, DeploymentState::Queued).await;
    t.command(Ask::Resume).await.unwrap();
    t.settle().await;
    t.assert_live("v1");
}

#[tokio::test]
async fn an_abort_before_the_cutover_leaves_nothing_behind() {
    let mut t = Yard::with(|plan| plan.before_cutover = gate(Otherwise::Approve)).await;
    let number = t.push("v1").await;
    t.until_state(number, DeploymentState::AwaitingApproval).await;
    t.abort(number).await.unwrap();
    t.settle().await;
    t.assert_ended(number, DeploymentState::Aborted, "the story wants it");
    t.assert_stacks(&[]);
    assert!(matches!(t.abort(number).await, Err(Refusal::NotUnderWay { .. })));
}
