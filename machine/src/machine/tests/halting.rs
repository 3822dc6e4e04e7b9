//! Stop-first: the page, the stop, the new stack, and the way back; and maintenance by the word of a person.

use super::*;

fn plan() -> Plan {
    Plan { strategy: Strategy::StopFirst, retain: Retain::UntilNext, ..Plan::default() }
}

fn stopped(number: u32, order: u64) -> StackView {
    StackView { obeyed: order, ..view(number, Condition::Stopped, Health::Unknown) }
}

fn started(number: u32, order: u64) -> StackView {
    StackView { obeyed: order, ..well(number) }
}

/// What is due, in short: who is stopped or started by which order, who is made, and where the front is sent.
fn due(story: &Story) -> Vec<String> {
    let short = |effect: Effect| match effect {
        Effect::Stop(permit) => format!("stop {} by {}", permit.number(), permit.order()),
        Effect::Start(permit) => format!("start {} by {}", permit.number(), permit.order()),
        Effect::Ensure(number) => format!("make {number}"),
        Effect::CutOver { to, .. } => format!("front to {:?}", to.base().map(|n| n.0)),
        Effect::Stage(number) => format!("stage {number}"),
        effect => format!("{effect:?}"),
    };
    story.effects().into_iter().map(short).collect()
}

/// Deployment 1 is live, and 2 has had the page shown.
fn paged() -> Story {
    let mut story = Story::new();
    story.live(1, &plan());
    story.ask(build(2, &plan())).unwrap();
    assert_eq!(story.tick(), Some(Event::Started { number: n(2) }));
    assert_eq!(due(&story), [""; 0], "nothing is made beside what is live");
    assert!(matches!(story.tick(), Some(Event::PageOrdered { back: None, .. })));
    assert_eq!((story.state(n(2)), due(&story)), (DeploymentState::Stopping, vec!["front to None".to_owned()]));
    story.obey();
    story
}

/// And 1 is stopped.
fn made_room() -> Story {
    let mut story = paged();
    assert_eq!(story.tick(), Some(Event::StopOrdered { number: n(2), stack: n(1), order: 1, back: None }));
    assert_eq!(due(&story), ["stop 1 by 1"]);
    story.stacks(&[stopped(1, 1)]);
    assert_eq!(story.tick(), Some(Event::Stopped { number: n(2) }));
    assert_eq!(due(&story), ["make 2"]);
    story
}

/// And 2 has the users.
fn moved() -> Story {
    let mut story = made_room();
    story.stacks(&[stopped(1, 1), well(2)]);
    assert_eq!(story.tick(), Some(Event::Provisioned { number: n(2) }));
    story.front().staged = Some(n(2));
    assert!(matches!(story.tick(), Some(Event::Checked { .. })));
    assert!(matches!(story.tick(), Some(Event::CutOverOrdered { share: None, .. })));
    story.obey();
    assert_eq!(story.tick(), Some(Event::WentLive { number: n(2), host: None }));
    story
}

#[test]
fn an_abort_of_a_build_that_waits_its_turn_stops_and_starts_nothing() {
    let mut story = made_room();
    story.ask(build(3, &plan())).unwrap();
    story.ask(Ask::Abort(n(3), text("not this one"))).unwrap();
    assert_eq!((story.state(n(3)), story.state(n(2))), (DeploymentState::Aborted, DeploymentState::Provisioning));
    assert_eq!(due(&story), ["make 2"], "deployment 2 goes on");
}

#[test]
fn the_live_stack_is_stopped_before_the_next_one_is_made_and_is_kept() {
    let mut story = moved();
    assert_eq!(story.env.standby().map(|s| s.stack.number), Some(n(1)));
    assert!(story.env.is_halted(n(1)) && !story.env.watched().contains(&n(1)));
    story.now = story.now.plus(plan().bake);
    assert_eq!(story.tick(), Some(Event::Succeeded { number: n(2) }));
    assert_eq!((story.tick(), due(&story)), (None, vec![]), "what is stopped is neither started again nor torn down");
}

#[test]
fn nobody_is_stopped_while_users_are_served_by_it_or_not_answered_yet() {
    let mut story = paged();
    assert!(matches!(story.tick(), Some(Event::StopOrdered { .. })));
    story.front().busy = vec![n(1)];
    assert_eq!(due(&story), [""; 0], "a request is not answered yet");
    story.now = story.now.plus(plan().drain_within);
    assert_eq!(due(&story), ["stop 1 by 1"], "its time is over");
    story.front().traffic = Traffic::Whole(n(1));
    assert!(matches!(story.tick(), Some(Event::DriftSeen { shown: Some(Number(1)), .. })));
    assert_eq!(due(&story), ["front to None"], "somebody gave it users again");
}

#[test]
fn an_abort_puts_back_what_was_stopped_and_users_get_it_only_once_it_was_started_and_seen_good() {
    let mut story = made_room();
    story.stacks(&[stopped(1, 1), view(2, Condition::Creating, Health::Unknown)]);
    let event = story.ask(Ask::Abort(n(2), text("not now"))).unwrap();
    assert!(matches!(&event, Event::StopOrdered { stack: Number(2), order: 2, back: Some(_), .. }), "{event:?}");
    story.refuses(Ask::Abort(n(2), text("at once")), "going back already");
    assert_eq!(due(&story), ["stop 2 by 2"], "never two: the new one goes first");
    story.stacks(&[stopped(1, 1), stopped(2, 2)]);
    assert!(matches!(story.tick(), Some(Event::StartOrdered { stack: Number(1), order: 3, .. })));
    assert_eq!(due(&story), ["start 1 by 3"]);
    story.stacks(&[well(1), stopped(2, 2)]);
    assert_eq!(story.tick(), None, "it was not seen to have obeyed the start");
    story.stacks(&[started(1, 3), stopped(2, 2)]);
    story.seen.may_fall = vec![n(1)];
    assert_eq!(story.tick(), None, "an earlier order can still stop it");
    story.seen.may_fall.clear();
    assert!(matches!(story.tick(), Some(Event::RevertOrdered { to: Some(Number(1)), .. })));
    story.obey();
    assert_eq!(story.tick(), Some(Event::Reverted { number: n(2), host: None }));
    assert_eq!((story.state(n(2)), story.retiring()), (DeploymentState::Aborted, vec![2]));
}

#[test]
fn before_anything_is_stopped_users_go_back_by_one_order() {
    let mut story = paged();
    let event = story.ask(Ask::Abort(n(2), text("not now"))).unwrap();
    assert!(matches!(event, Event::RevertOrdered { to: Some(Number(1)), outcome: Outcome::Aborted, .. }), "{event:?}");
    story.obey();
    assert_eq!(story.tick(), Some(Event::Reverted { number: n(2), host: None }));
}

#[test]
fn a_rollback_and_a_bake_that_goes_wrong_are_the_reverse() {
    for by_a_person in [true, false] {
        let mut story = moved();
        if by_a_person {
            story.ask(Ask::Rollback(n(2), text("orders fail"))).unwrap();
        } else {
            story.stacks(&[stopped(1, 1), view(2, Condition::Failed, Health::Failing)]).falls();
        }
        let event = story.tick();
        assert!(matches!(&event, Some(Event::PageOrdered { back: Some(_), .. })), "{event:?}");
        story.obey();
        assert!(matches!(story.tick(), Some(Event::StopOrdered { stack: Number(2), order: 2, .. })));
        assert_eq!(due(&story), ["stop 2 by 2"], "what is dead is stopped too");
        story.stacks(&[stopped(1, 1), stopped(2, 2)]);
        assert!(matches!(story.tick(), Some(Event::StartOrdered { stack: Number(1), order: 3, .. })));
        assert_eq!(story.env.live().map(|s| s.number), Some(n(1)));
        story.stacks(&[started(1, 3), stopped(2, 2)]);
        assert!(matches!(story.tick(), Some(Event::RevertOrdered { outcome: Outcome::RolledBack, .. })));
        story.obey();
        assert_eq!(story.tick(), Some(Event::Reverted { number: n(2), host: None }));
        assert_eq!((story.state(n(2)), story.env.vetoes().len()), (DeploymentState::RolledBack, 1));
    }
}

#[test]
fn nothing_starts_beside_what_may_still_come_up() {
    let mut story = made_room();
    story.seen.may_rise = vec![n(1)];
    assert_eq!(due(&story), [""; 0]);
    story.seen.may_rise = vec![n(2)];
    assert_eq!(due(&story), ["make 2"], "its own request is the same one");
    story.stacks(&[stopped(1, 1), view(9, Condition::Ready, Health::Unknown)]);
    assert_eq!(due(&story), [""; 0], "another one runs");
}

#[test]
fn a_stop_that_comes_to_nothing_leads_back_and_a_start_that_does_calls_a_person_and_makes_room() {
    let mut story = paged();
    story.tick();
    story.now = story.now.plus(plan().drain_within).plus(plan().retire_within);
    let event = story.tick();
    let Some(Event::StartOrdered { stack: Number(1), order: 2, outcome: Outcome::Failed, reason, .. }) = event else {
        panic!("{event:?}")
    };
    assert_eq!(&*reason, "stack 1 could not be stopped in time");
    story.stacks(&[StackView { obeyed: 2, ..view(1, Condition::Ready, Health::Failing) }]);
    story.now = story.now.plus(plan().provision_within).plus(plan().check_within);
    assert!(matches!(story.tick(), Some(Event::OperatorNeeded { about: None, .. })));
    story.ask(build(3, &plan())).unwrap();
    assert!(matches!(story.tick(), Some(Event::Ended { outcome: Outcome::Superseded, .. })));
}

#[test]
fn maintenance_hides_a_whole_deployment_and_users_get_what_is_live_once_it_is_off() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    story.ask(Ask::BeginMaintenance { hold: false, reason: text("the database moves") }).unwrap();
    story.refuses(Ask::BeginMaintenance { hold: true, reason: text("again") }, "maintenance is on");
    assert_eq!(due(&story), ["front to None"]);
    story.obey();
    assert_eq!(story.tick(), Some(Event::DriftMended));
    story.up_to_cutover(2, &Plan::default());
    assert_eq!(due(&story), ["front to None"], "the page stays");
    story.obey();
    assert_eq!(story.tick(), Some(Event::WentLive { number: n(2), host: None }));
    story.now = story.now.plus(Plan::default().bake);
    assert_eq!(story.tick(), Some(Event::Succeeded { number: n(2) }));
    story.ask(Ask::EndMaintenance).unwrap();
    story.refuses(Ask::EndMaintenance, "maintenance is off");
    let good = story.seen.stacks.clone().unwrap();
    story.stacks(&[well(1), view(2, Condition::Ready, Health::Unknown)]);
    assert_eq!(due(&story), [""; 0], "it is not seen good");
    story.stacks(&good);
    assert_eq!(due(&story), ["front to Some(2)"]);
}
