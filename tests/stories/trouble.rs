//! The world misbehaves, and every deployment ends all the same.

use std::{sync::atomic::Ordering, time::Duration};

use pointsman::{
    clock::Clock,
    machine::{DeploymentState, Generation, Millis, Number, StackName},
    runner::Board,
    web_front::FrontTrouble,
};

use crate::support::{memory::Fault, yard::Yard};

const HOUR: Duration = Duration::from_secs(3600);

fn stack(number: u32) -> StackName {
    StackName { environment: "shop/qa".parse().unwrap(), number: Number(number) }
}

async fn with_v1_live() -> Yard {
    let mut t = Yard::new().await;
    t.push("v1").await;
    t.settle().await;
    t
}

#[tokio::test]
async fn a_stack_that_is_never_well_is_refused() {
    let mut t = with_v1_live().await;
    t.stacks.sick.lock().unwrap().push("v2".into());
    let number = t.push("v2").await;
    t.until_state(number, DeploymentState::Checking).await;
    t.pass(HOUR);
    t.settle().await;
    t.assert_ended(number, DeploymentState::Failed, "");
    t.assert_live("v1");
    t.assert_stacks(&["v1"]);
}

#[tokio::test]
async fn a_stack_that_can_not_be_made_says_why() {
    let mut t = with_v1_live().await;
    t.stacks.failing.lock().unwrap().push("v2".into());
    let number = t.push("v2").await;
    t.settle().await;
    t.assert_ended(number, DeploymentState::Failed, "quota exceeded");
    t.assert_stacks(&["v1"]);
}

#[tokio::test]
async fn a_stack_that_is_never_there_is_given_up() {
    let mut t = with_v1_live().await;
    t.stacks.stuck.lock().unwrap().push("v2".into());
    let number = t.push("v2").await;
    t.until_state(number, DeploymentState::Provisioning).await;
    t.pass(HOUR);
    t.settle().await;
    t.assert_ended(number, DeploymentState::Failed, "did not come up in time");
    t.assert_stacks(&["v1"]);
}

#[tokio::test]
async fn calls_that_fail_get_lost_or_lose_their_answer_are_tried_again() {
    for fault in [Fault::Lost, Fault::ReplyLost] {
        let mut t = Yard::new().await;
        t.stacks.faults.next(fault);
        t.front.faults.next(fault);
        t.front.faults.next(fault);
        t.push("v1").await;
        t.settle().await;
        t.assert_live("v1");
        t.assert_stacks(&["v1"]);
    }
}

#[tokio::test]
async fn what_a_provider_or_a_front_refuses_ends_at_once_with_its_words_and_leaves_nothing() {
    for front in [false, true] {
        let mut t = with_v1_live().await;
        if front {
            t.front.refuses.store(true, Ordering::SeqCst)
        } else {
            t.stacks.faults.next(Fault::Refused)
        }
        let number = t.push("v2").await;
        t.settle().await;
        let why = if front {
            "the front refuses it: no such front"
        } else {
            "its stack cannot be stood up: the provider says no"
        };
        t.assert_ended(number, DeploymentState::Failed, why);
        t.assert_live("v1");
        t.assert_stacks(&["v1"]);
        // What is put right is deployed again.
        t.front.refuses.store(false, Ordering::SeqCst);
        t.push("v3").await;
        t.settle().await;
        t.assert_live("v3");
    }
}

#[tokio::test]
async fn a_front_that_is_down_holds_the_cutover_and_nothing_else() {
    let mut t = with_v1_live().await;
    t.front.unreachable.store(true, Ordering::SeqCst);
    let number = t.push("v2").await;
    t.until_state(number, DeploymentState::Checking).await;
    t.front.unreachable.store(false, Ordering::SeqCst);
    t.settle().await;
    t.assert_live("v2");
}

#[tokio::test]
async fn a_public_address_that_does_not_answer_from_the_new_stack_undoes_the_cutover() {
    let mut t = with_v1_live().await;
    t.front.public_elsewhere.store(true, Ordering::SeqCst);
    let number = t.push("v2").await;
    t.until_state(number, DeploymentState::CuttingOver).await;
    t.until_front(Generation(2)).await;
    t.pass(HOUR);
    t.settle().await;
    t.assert_ended(number, DeploymentState::Failed, "public address");
    t.assert_live("v1");
    t.assert_stacks(&["v1"]);
}

#[tokio::test]
async fn an_abort_in_the_cutover_goes_back_by_a_higher_generation() {
    let mut t = with_v1_live().await;
    t.front.public_elsewhere.store(true, Ordering::SeqCst);
    let number = t.push("v2").await;
    t.until_state(number, DeploymentState::CuttingOver).await;
    t.abort(number).await.unwrap();
    t.settle().await;
    t.assert_ended(number, DeploymentState::Aborted, "the story wants it");
    t.assert_live("v1");
    assert_eq!(t.front.generation().0, 3);
}

#[tokio::test]
async fn a_front_that_someone_repointed_is_put_right() {
    let mut t = with_v1_live().await;
    t.push("v2").await;
    t.settle().await;
    let before = t.now().seq();
    t.front.meddle(None);
    t.until("the drift was seen and mended", |e| e.seq() > before && e.drift().is_none()).await;
    t.assert_live("v2");
}

#[tokio::test]
async fn a_front_that_is_found_on_another_host_than_the_last_cutover_is_told_until_the_next_one() {
    let mut t = Yard::new().await;
    t.front.is_on("web1 (identity a)");
    t.push("v1").await;
    t.settle().await;
    t.until_front_trouble(None).await;
    // DNS has moved, and no setting was changed; the machine there even serves the same.
    t.front.is_on("web2 (identity b)");
    let moved = FrontTrouble::OtherHost { host: "web2 (identity b)".into(), before: "web1 (identity a)".into() };
    t.until_front_trouble(Some(&moved)).await;
    // A restart does not make it the same host.
    t.stop_controller().await;
    t.board = Board::default();
    t.start_controller();
    t.until_front_trouble(Some(&moved)).await;
    t.push("v2").await;
    t.settle().await;
    t.assert_live("v2");
    t.until_front_trouble(None).await;
}

#[tokio::test]
async fn a_stack_that_nobody_remembers_is_swept_up() {
    let mut t = with_v1_live().await;
    t.push("v2").await;
    t.settle().await;
    t.pass(HOUR);
    t.until("the standby is gone", |e| e.standby().is_none() && e.retiring().is_empty()).await;
    let before = t.now().seq();
    t.stacks.conjure(stack(1));
    t.until("the orphan was seen and is gone", |e| e.seq() > before && e.retiring().is_empty()).await;
    t.assert_stacks(&["v2"]);
}

#[tokio::test]
async fn a_number_from_nowhere_is_left_alone_and_skipped() {
    let mut t = with_v1_live().await;
    t.stacks.conjure(stack(7));
    t.until("the stranger was seen", |e| e.strangers() == [Number(7)]).await;
    assert_eq!(t.push("v2").await, Number(8));
    t.settle().await;
    assert!(t.stacks.names().contains(&stack(7)));
}

#[tokio::test]
async fn requests_in_flight_hold_the_tear_down_until_the_drain_is_over() {
    let mut t = Yard::with(|plan| plan.retain = pointsman::machine::Retain::None).await;
    t.push("v1").await;
    t.settle().await;
    t.front.hold_open(stack(1), 3);
    t.push("v2").await;
    t.until("v1 is retired", |e| !e.retiring().is_empty()).await;
    t.assert_stacks(&["v1", "v2"]);
    t.front.hold_open(stack(1), 0);
    t.settle().await;
    t.assert_stacks(&["v2"]);
}

#[tokio::test]
async fn a_live_stack_that_was_lost_is_brought_back() {
    let t = with_v1_live().await;
    t.stacks.lose("v1");
    let made = || t.stacks.made.load(Ordering::SeqCst) == 2;
    tokio::time::timeout(Duration::from_secs(10), async {
        while !made() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it was not made again");
    t.assert_stacks(&["v1"]);
}

#[tokio::test]
async fn a_controller_that_dies_anywhere_goes_on_where_it_was() {
    // Killed after each event of a deployment in turn, until the deployment lives through without a kill.
    for after in 0.. {
        let mut t = with_v1_live().await;
        let begun = t.now().seq().0;
        t.push("v2").await;
        t.until("so far", |e| e.seq().0 > begun + after || e.active().is_none() && e.queue().is_empty()).await;
        t.kill_controller();
        let over = t.now().active().is_none() && t.now().queue().is_empty();
        t.start_controller();
        t.settle().await;
        t.assert_live("v2");
        t.assert_stacks(&["v1", "v2"]);
        if over {
            break;
        }
    }
}

#[tokio::test]
async fn a_controller_that_is_stopped_finishes_its_calls() {
    let mut t = with_v1_live().await;
    t.push("v2").await;
    t.stop_controller().await;
    t.start_controller();
    t.settle().await;
    t.assert_live("v2");
}

#[tokio::test]
async fn a_clock_that_jumped_while_the_controller_was_down_costs_nothing_that_is_live() {
    for (ahead, what) in [(HOUR, "an hour"), (24 * HOUR, "a day")] {
        let mut t = Yard::with(|plan| plan.check_within = Millis(300_000)).await;
        t.push("v1").await;
        t.settle().await;
        let number = t.push("v2").await;
        t.until_state(number, DeploymentState::Checking).await;
        t.kill_controller();
        t.pass(ahead);
        t.start_controller();
        t.settle().await;
        // Its time was over while nobody looked; whichever way it ended, users have a stack that is well.
        let live = t.live_version();
        assert!(live.as_deref() == Some("v1") || live.as_deref() == Some("v2"), "{what}: {live:?}");
        // And back again: time stands still at the last record until the host has caught up.
        t.kill_controller();
        let last = t.now().deployment_state(number).map(|_| t.clock.now()).unwrap();
        t.clock = Clock::not_before(last);
        t.start_controller();
        t.push("v3").await;
        t.settle().await;
        t.assert_live("v3");
    }
}
