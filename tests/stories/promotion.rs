//! Promotion by rule: two environments, and time that passes at once.

use std::{sync::Arc, time::Duration};

use pointsman::{
    machine::{Ask, DeploymentState, Millis, Number, Plan, Release, Retain, promotion::PromotionRule},
    runner::{Adapt, Promotion},
};

use crate::support::yard::Yard;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// Two environments of one journal; what is good in qa for an hour goes to prod.
async fn pair() -> (Yard, Yard) {
    let qa = Yard::with(|plan| plan.retain = Retain::UntilNext).await;
    let prod = behind(&qa, Arc::new(|release| Ok(release.clone())));
    (qa, prod)
}

fn behind(qa: &Yard, adapt: Adapt) -> Yard {
    let rule = move || Promotion {
        from: "shop/qa".parse().unwrap(),
        rule: PromotionRule { after: Millis(3_600_000) },
        plan: Arc::new(Plan { bake: Millis(0), ..Plan::default() }),
        adapt: adapt.clone(),
    };
    Yard::behind(qa, "shop/prod", Arc::new(rule))
}

#[tokio::test]
async fn what_is_good_in_qa_for_an_hour_goes_to_prod_by_itself() {
    let (mut qa, prod) = pair().await;
    qa.push("v1").await;
    qa.settle().await;
    prod.pass(50 * MINUTE);
    assert_eq!(prod.now().last_number(), Number(0), "not yet");
    prod.pass(11 * MINUTE);
    prod.until_state(Number(1), DeploymentState::Succeeded).await;
    prod.assert_live("v1");
    let said = prod.journal.history(None, 100).unwrap();
    let asked = said.iter().find(|r| r.environment.environment.as_str() == "prod").unwrap();
    assert_eq!(&*asked.by, "rule");
}

#[tokio::test]
async fn what_was_rolled_back_meanwhile_stays_out_of_prod() {
    let (mut qa, prod) = pair().await;
    for version in ["v1", "v2"] {
        qa.push(version).await;
        qa.settle().await;
    }
    prod.pass(30 * MINUTE);
    qa.rollback().await.unwrap();
    qa.settle().await;
    prod.pass(31 * MINUTE);
    qa.settle().await;
    assert_eq!(prod.now().last_number(), Number(0), "the hour of what is live now began anew");
    prod.pass(30 * MINUTE);
    prod.until_state(Number(1), DeploymentState::Succeeded).await;
    prod.assert_live("v1");
}

#[tokio::test]
async fn what_is_rolled_back_while_it_is_asked_for_stays_out_of_prod() {
    let mut qa = Yard::with(|plan| plan.retain = Retain::UntilNext).await;
    for version in ["v1", "v2"] {
        qa.push(version).await;
        qa.settle().await;
    }
    let (journal, clock, live) = (qa.journal.clone(), qa.clock.clone(), qa.now().live().unwrap().number);
    let adapt = move |release: &Release| {
        // The rule has made up its mind, and has not asked yet.
        if &*release.version == "v2" {
            let (id, back) = ("shop/qa".parse().unwrap(), Ask::Rollback(live, "broken".into()));
            let asked = journal.command(&id, "alice", clock.now(), back);
            tokio::runtime::Handle::current().block_on(asked).unwrap();
        }
        Ok(release.clone())
    };
    let prod = behind(&qa, Arc::new(adapt));
    prod.pass(61 * MINUTE);
    qa.until_state(Number(2), DeploymentState::RolledBack).await;
    qa.assert_live("v1");
    prod.pass(61 * MINUTE);
    prod.until_state(Number(1), DeploymentState::Succeeded).await;
    prod.assert_live("v1");
}

#[tokio::test]
async fn a_pipeline_that_gets_a_new_first_environment_goes_on_counting() {
    let (mut qa, prod) = pair().await;
    prod.announce("v1", 5000).await.unwrap();
    prod.settle().await;
    qa.push("v2").await;
    qa.settle().await;
    assert_eq!(qa.now().live().unwrap().release.number, 2, "release 1 is what prod took before");
    prod.pass(61 * MINUTE);
    prod.until_state(Number(2), DeploymentState::Succeeded).await;
    prod.assert_live("v2");
}

#[tokio::test]
async fn a_held_prod_shows_what_waits_and_takes_it_when_resumed() {
    let (mut qa, prod) = pair().await;
    prod.command(Ask::Hold("the holidays".into())).await.unwrap();
    qa.push("v1").await;
    qa.settle().await;
    prod.pass(2 * HOUR);
    prod.until_state(Number(1), DeploymentState::Queued).await;
    qa.push("v2").await;
    qa.settle().await;
    prod.pass(2 * HOUR);
    prod.until_state(Number(2), DeploymentState::Queued).await;
    prod.assert_ended(Number(1), DeploymentState::Superseded, "newer");
    prod.command(Ask::Resume).await.unwrap();
    prod.settle().await;
    prod.assert_live("v2");
}

#[tokio::test]
async fn a_restart_in_between_loses_nothing_and_does_nothing_twice() {
    let (mut qa, mut prod) = pair().await;
    qa.push("v1").await;
    qa.settle().await;
    prod.pass(30 * MINUTE);
    prod.kill_controller();
    prod.pass(31 * MINUTE);
    prod.start_controller();
    prod.until_state(Number(1), DeploymentState::Succeeded).await;
    prod.kill_controller();
    prod.start_controller();
    prod.pass(2 * HOUR);
    prod.settle().await;
    prod.command(Ask::Hold("a later event".into())).await.unwrap();
    assert_eq!(prod.now().last_number(), Number(1));
    prod.assert_live("v1");
}
