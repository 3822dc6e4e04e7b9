//! The way back.

use super::*;

fn two_live(retain: Retain) -> Story {
    let mut story = Story::new();
    let plan = Plan { retain, ..Plan::default() };
    story.live(1, &plan);
    story.live(2, &plan);
    story
}

#[test]
fn rollback_to_a_warm_standby_is_one_cutover_and_holds_and_vetoes() {
    let mut story = two_live(Retain::UntilNext);
    story.ask(Ask::Rollback(n(2), text("slow"))).unwrap();
    assert_eq!(story.env.must_probe(), Some(n(1)));
    assert_eq!(story.state(n(2)), DeploymentState::RollingBack);
    assert_eq!(story.effects(), []);
    assert!(matches!(story.tick(), Some(Event::RevertOrdered { to: Some(Number(1)), generation: Generation(3), .. })));
    assert_eq!(story.effects(), [Effect::CutOver { to: Traffic::Whole(n(1)), generation: Generation(3) }]);
    story.obey();
    assert_eq!(story.tick(), Some(Event::Reverted { number: n(2), host: None }));
    assert_eq!(story.env.live().unwrap().number, n(1));
    assert_eq!(story.state(n(2)), DeploymentState::RolledBack);
    assert_eq!(story.retiring(), [2]);
    assert!(story.env.hold().unwrap().reason.contains("slow"));
    assert_eq!(story.env.vetoes()[0].release, 2);
    assert_eq!(story.env.proven().map(|r| r.number).collect::<Vec<_>>(), [1]);
}

#[test]
fn without_a_standby_the_last_good_release_is_deployed_again_before_anything_else() {
    let mut story = two_live(Retain::None);
    assert_eq!(story.retiring(), [1]);
    story.stacks(&[well(2)]);
    assert_eq!(story.tick(), Some(Event::Retired { number: n(1) }));
    story.ask(build(3, &Plan::default())).unwrap();
    let event = story.ask(Ask::Rollback(n(2), text("slow"))).unwrap();
    assert!(matches!(event, Event::ColdRollbackQueued { by: Number(4), release, .. } if release.number == 1));
    assert_eq!(story.env.queue().iter().map(|d| d.number.0).collect::<Vec<_>>(), [4, 3]);
    assert!(!story.env.live().unwrap().proven && story.env.hold().is_some());
    story.refuses(Ask::Rollback(n(2), text("")), "no earlier");
    story.ask(Ask::Pin(3)).unwrap();
    assert_eq!(story.tick(), Some(Event::Started { number: n(4) }));
}

#[test]
fn a_rollback_aborts_what_has_not_reached_its_cutover() {
    let mut story = two_live(Retain::UntilNext);
    story.ask(build(3, &Plan::default())).unwrap();
    story.tick();
    story.ask(Ask::Rollback(n(2), text("slow"))).unwrap();
    assert_eq!(story.state(n(3)), DeploymentState::Aborted);
    assert_eq!(story.retiring(), [3]);
}

#[test]
fn a_rollback_that_names_what_is_not_live_is_refused() {
    let story = two_live(Retain::UntilNext);
    story.refuses(Ask::Rollback(n(1), text("")), "deployment 1 is not live, 2 is; look again");
    Story::new().refuses(Ask::Rollback(n(1), text("")), "deployment 1 is not live; look again");
}

#[test]
fn a_rollback_during_a_cutover_says_to_abort_and_one_going_back_says_so() {
    let mut story = two_live(Retain::UntilNext);
    story.up_to_cutover(3, &Plan::default());
    story.refuses(Ask::Rollback(n(2), text("")), "abort it");
    story.ask(Ask::Abort(n(3), text(""))).unwrap();
    story.refuses(Ask::Rollback(n(2), text("")), "going back already");
    story.refuses(Ask::Abort(n(3), text("")), "going back already");
    assert!(story.apply(Event::RollbackRequested { number: n(2), reason: text("") }).is_err());
}

#[test]
fn checks_that_fail_while_it_bakes_send_the_traffic_back_at_once() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    story.up_to_baking(2, &Plan::default());
    let sick = StackView { remark: Some(text("500s")), ..view(2, Condition::Ready, Health::Failing) };
    story.stacks(&[well(1), sick]);
    story.falls();
    let Some(Event::RevertOrdered { to, outcome, reason, .. }) = story.tick() else { unreachable!() };
    assert_eq!((to, outcome, &*reason), (Some(n(1)), Outcome::RolledBack, "500s"));
}

#[test]
fn a_stack_that_is_gone_or_failed_while_it_bakes_is_bad_too() {
    for stacks in [vec![well(1)], vec![well(1), view(2, Condition::Failed, Health::Unknown)]] {
        let mut story = Story::new();
        story.live(1, &Plan::default());
        story.up_to_baking(2, &Plan::default());
        story.stacks(&stacks);
        story.falls();
        assert!(matches!(story.tick(), Some(Event::RevertOrdered { to: Some(Number(1)), .. })));
    }
}

#[test]
fn with_nothing_healthy_to_go_back_to_the_sick_stack_stays_until_its_watch_is_over() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    story.up_to_baking(2, &Plan::default());
    let failing = |number| view(number, Condition::Ready, Health::Failing);
    story.stacks(&[failing(1), failing(2)]);
    story.falls();
    assert_eq!(story.tick(), None);
    story.at(60 + 60);
    assert!(matches!(story.tick(), Some(Event::Ended { outcome: Outcome::Failed, .. })));
    assert_eq!(story.env.live().unwrap().number, n(2));
    assert_eq!(story.env.standby().unwrap().promise, Promise::UntilNext);
    assert!(story.retiring().is_empty());
}

#[test]
fn a_standby_that_broke_is_started_again_and_one_that_is_sick_makes_a_rollback_cold() {
    let mut story = two_live(Retain::UntilNext);
    story.stacks(&[view(1, Condition::Failed, Health::Unknown), well(2)]);
    assert_eq!((story.tick(), story.effects()), (None, vec![Effect::Ensure(n(1))]));
    let deleting = view(1, Condition::Deleting, Health::Unknown);
    story.stacks(&[deleting.clone(), view(2, Condition::Ready, Health::Failing)]).falls();
    assert_eq!(story.tick(), None, "what is live is not well: it may be needed");
    story.stacks(&[deleting, well(2)]);
    assert_eq!(story.tick(), Some(Event::LiveUp { number: n(2) }));
    assert!(matches!(story.tick(), Some(Event::StandbyReleased { .. })));

    let mut story = two_live(Retain::UntilNext);
    story.ask(Ask::Rollback(n(2), text("slow"))).unwrap();
    story.stacks(&[view(1, Condition::Ready, Health::Unknown), well(2)]);
    assert_eq!(story.tick(), None);
    story.stacks(&[view(1, Condition::Ready, Health::Failing), well(2)]);
    assert!(matches!(story.tick(), Some(Event::ColdRollbackQueued { by: Number(3), .. })));
    assert_eq!((story.state(n(2)), story.retiring()), (DeploymentState::Failed, vec![1]));
}

#[test]
fn a_silent_provider_does_not_cost_the_warm_standby() {
    let mut story = two_live(Retain::UntilNext);
    story.ask(Ask::Rollback(n(2), text("slow"))).unwrap();
    story.seen.stacks = None;
    assert_eq!(story.tick(), None);
    story.at(120 + 300);
    assert!(matches!(story.tick(), Some(Event::OperatorNeeded { .. })));
    assert_eq!((story.tick(), story.state(n(2))), (None, DeploymentState::NeedsOperator));
    story.stacks(&[well(1), well(2)]);
    assert!(matches!(story.tick(), Some(Event::RevertOrdered { to: Some(Number(1)), .. })));
}

#[test]
fn an_unproven_stack_is_never_kept_as_standby() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    story.up_to_baking(2, &Plan::default());
    story.happens(Event::Ended { number: n(2), outcome: Outcome::Failed, reason: text("sick") });
    story.up_to_baking(3, &Plan::default());
    assert_eq!(story.env.standby().unwrap().stack.number, n(1));
    assert_eq!(story.env.standby().unwrap().promise, Promise::WhileBaking);
    assert_eq!(story.retiring(), [2]);
}

#[test]
fn a_bake_that_failed_waits_for_a_standby_of_which_nothing_is_known_yet() {
    let baking = |standby: Health| {
        let mut story = Story::new();
        story.live(1, &Plan::default());
        story.up_to_baking(2, &Plan::default());
        story.stacks(&[view(1, Condition::Ready, standby), view(2, Condition::Ready, Health::Failing)]);
        story.at(60 + 60);
        story.falls();
        story
    };
    for silent in [false, true] {
        let mut story = baking(Health::Unknown);
        if silent {
            story.seen.stacks = None;
        }
        assert_eq!(story.tick(), None);
        story.stacks(&[well(1), view(2, Condition::Ready, Health::Failing)]);
        assert!(matches!(story.tick(), Some(Event::RevertOrdered { to: Some(Number(1)), .. })));
    }
    // It does not for one that is known to be bad, nor for ever.
    let ends = |story: &mut Story| matches!(story.tick(), Some(Event::Ended { outcome: Outcome::Failed, .. }));
    assert!(ends(&mut baking(Health::Failing)));
    let sick = view(2, Condition::Ready, Health::Failing);
    assert!(ends(baking(Health::Unknown).stacks(&[sick])));
    let mut story = baking(Health::Unknown);
    story.at(60 + 60 + 299);
    assert_eq!(story.tick(), None);
    story.at(60 + 60 + 300);
    let Some(Event::OperatorNeeded { reason, .. }) = story.tick() else { unreachable!() };
    assert!(reason.contains("the standby 1 is not seen good either"), "{reason}");
    story.stacks(&[well(1), view(2, Condition::Ready, Health::Failing)]);
    assert!(matches!(story.tick(), Some(Event::RevertOrdered { .. })));
}
