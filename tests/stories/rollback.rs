//! The way back.

use std::time::Duration;

use pointsman::machine::{Ask, DeploymentState, Millis, Number, Refusal, Retain};

use crate::support::yard::Yard;

#[tokio::test]
async fn a_warm_rollback_is_one_cutover_and_builds_nothing() {
    let mut t = Yard::new().await;
    t.push("v1").await;
    t.settle().await;
    let bad = t.push("v2").await;
    t.settle().await;
    let made = t.stacks.made.load(std::sync::atomic::Ordering::SeqCst);
    let cutovers = t.front.cutovers.load(std::sync::atomic::Ordering::SeqCst);
    t.rollback().await.unwrap();
    t.settle().await;
    t.assert_live("v1");
    t.assert_stacks(&["v1"]);
    t.assert_ended(bad, DeploymentState::RolledBack, "the story wants it");
    assert_eq!(t.stacks.made.load(std::sync::atomic::Ordering::SeqCst), made);
    assert_eq!(t.front.cutovers.load(std::sync::atomic::Ordering::SeqCst), cutovers + 1);
}

#[tokio::test]
async fn a_rollback_holds_what_would_undo_it() {
    let mut t = Yard::new().await;
    t.push("v1").await;
    t.settle().await;
    t.push("v2").await;
    t.settle().await;
    t.rollback().await.unwrap();
    t.settle().await;
    let next = t.push("v3").await;
    t.pass(Duration::from_secs(60));
    t.until_state(next, DeploymentState::Queued).await;
    t.assert_live("v1");
    t.command(Ask::Resume).await.unwrap();
    t.settle().await;
    t.assert_live("v3");
}

#[tokio::test]
async fn a_stack_that_turns_bad_while_it_bakes_is_rolled_back() {
    let mut t = Yard::new().await;
    t.push("v1").await;
    t.settle().await;
    t.plan.bake = Millis(3_600_000);
    let bad = t.push("v2").await;
    t.until_state(bad, DeploymentState::Baking).await;
    t.stacks.set_well("v2", false);
    t.settle().await;
    t.assert_live("v1");
    t.assert_ended(bad, DeploymentState::RolledBack, "500");
}

#[tokio::test]
async fn without_a_warm_stack_the_last_good_release_is_stood_up_again() {
    let mut t = Yard::with(|plan| plan.retain = Retain::None).await;
    t.push("v1").await;
    t.settle().await;
    t.push("v2").await;
    t.settle().await;
    t.assert_stacks(&["v2"]);
    t.rollback().await.unwrap();
    t.settle().await;
    t.assert_live("v1");
    t.assert_stacks(&["v1"]);
}

#[tokio::test]
async fn a_standby_that_is_not_well_is_not_gone_back_to() {
    let mut t = Yard::new().await;
    t.push("v1").await;
    t.settle().await;
    t.push("v2").await;
    t.settle().await;
    t.stacks.set_well("v1", false);
    t.stacks.sick.lock().unwrap().clear();
    t.rollback().await.unwrap();
    t.settle().await;
    t.assert_live("v1");
    assert_eq!(t.front.serves().unwrap().number, Number(3), "a new stack of the same release");
}

#[tokio::test]
async fn a_rollback_names_what_it_means() {
    let mut t = Yard::new().await;
    t.push("v1").await;
    t.settle().await;
    assert_eq!(t.rollback().await, Err(Refusal::NothingToGoBackTo));
    t.push("v2").await;
    t.settle().await;
    let late = Ask::Rollback(Number(1), "I saw version 1".into());
    assert_eq!(t.command(late).await, Err(Refusal::NotLive { number: Number(1), live: Some(Number(2)) }));
    t.assert_live("v2");
}
