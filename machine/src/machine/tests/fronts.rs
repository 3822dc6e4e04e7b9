//! Fronts that go astray, are repointed by others, refuse, or cannot be pointed at nobody.

use super::*;

fn always_on() -> Plan {
    Plan { always_on: true, ..Plan::default() }
}

fn says(story: &mut Story, words: &str, refused: bool) {
    let order = story.seen.order.as_mut().expect("an order was given");
    (order.said, order.refused) = (Some(text(words)), refused);
}

#[test]
fn a_first_deployment_through_a_front_that_is_always_on_ends_where_users_are() {
    for refused in [false, true] {
        let mut story = Story::new();
        story.up_to_cutover(1, &always_on());
        says(&mut story, "Host key verification failed.", refused);
        story.at(if refused { 1 } else { 60 });
        let Some(Event::Ended { outcome: Outcome::Failed, reason, .. }) = story.tick() else { unreachable!() };
        assert!(reason.contains("Host key verification failed."), "{reason}");
        assert!(reason.contains("traffic stays where it is"), "{reason}");
        assert_eq!((story.tick(), story.env.drift()), (None, None));
        assert!(matches!(&story.effects()[..], [Effect::Retire(permit)] if permit.number() == n(1)));
        story.stacks(&[]);
        assert_eq!(story.tick(), Some(Event::Retired { number: n(1) }));
        story.live(2, &always_on());
    }
}

#[test]
fn an_abort_of_it_sends_nobody_anywhere_and_what_users_reach_is_kept() {
    let mut story = Story::new();
    let one = story.up_to_cutover(1, &always_on());
    (story.front().traffic, story.front().generation) = (Traffic::Whole(one), Generation(1));
    let event = story.ask(Ask::Abort(one, text("no"))).unwrap();
    assert!(matches!(event, Event::Ended { outcome: Outcome::Aborted, .. }));
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
    story.at(700);
    let Some(Event::OperatorNeeded { reason, .. }) = story.tick() else { unreachable!() };
    assert!(reason.contains("still sends users to it"), "{reason}");
    story.live(2, &always_on());
    assert!(story.effects().iter().any(|e| matches!(e, Effect::Retire(permit) if permit.number() == one)));
}

#[test]
fn a_refusal_is_undone_at_once_and_a_way_back_that_is_refused_can_be_given_up() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    let two = story.up_to_cutover(2, &Plan::default());
    story.refuses(Ask::Rollback(n(1), text("")), "abort it");
    says(&mut story, "permission denied", true);
    let Some(Event::RevertOrdered { to: Some(Number(1)), reason, .. }) = story.tick() else { unreachable!() };
    assert!(reason.contains("the front refused the order: permission denied"), "{reason}");
    story.refuses(Ask::Abort(two, text("")), "going back already");
    says(&mut story, "permission denied", true);
    let Some(Event::OperatorNeeded { reason, .. }) = story.tick() else { unreachable!() };
    assert!(reason.contains("permission denied"), "{reason}");
    let event = story.ask(Ask::Abort(two, text("enough"))).unwrap();
    assert!(matches!(event, Event::Ended { outcome: Outcome::Aborted, .. }));
    // What is live stays live, the front is still to be pointed at it, and nothing is torn down before that.
    assert_eq!((story.env.live().unwrap().number, story.env.drift()), (n(1), Some(Generation(4))));
    assert_eq!(story.effects(), [Effect::CutOver { to: Traffic::Whole(n(1)), generation: Generation(4) }]);
    story.obey();
    assert_eq!(story.tick(), Some(Event::DriftMended));
    assert!(matches!(&story.effects()[..], [Effect::Retire(permit)] if permit.number() == two));
}

#[test]
fn a_front_is_put_right_only_onto_what_was_seen_good_and_a_person_is_called() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    story.stacks(&[view(1, Condition::Ready, Health::Unknown)]);
    (story.front().traffic, story.front().generation) = (Traffic::Whole(n(9)), Generation(7));
    assert!(matches!(story.tick(), Some(Event::DriftSeen { in_a_row: 1, .. })));
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
    story.at(60 + 60);
    let Some(Event::OperatorNeeded { about: Some(Matter::Front), reason, .. }) = story.tick() else { unreachable!() };
    assert!(reason.contains("does not pass its checks"), "{reason}");
    assert!(story.env.needs_operator());
    story.stacks(&[well(1)]);
    story.obey();
    assert_eq!(story.tick(), Some(Event::DriftMended));
    assert!(!story.env.needs_operator());
}

#[test]
fn a_stack_that_is_reached_elsewhere_is_no_drift_and_the_front_is_told_by_the_same_order() {
    let mut story = Story::new();
    let one = story.live(1, &Plan::default());
    let (generation, outdated) = (story.env.generation(), |lost| vec![Outdated { number: one, lost }]);
    let refresh = [Effect::Refresh { to: Traffic::Whole(one), generation }];
    story.front().outdated = outdated(false);
    assert_eq!((story.tick(), story.effects()), (None, refresh.to_vec()));
    // The instance that is new has not passed its checks yet.
    story.stacks(&[view(1, Condition::Ready, Health::Unknown)]);
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
    story.front().outdated = outdated(true);
    assert_eq!(
        (story.tick(), story.effects()),
        (None, refresh.to_vec()),
        "nobody answers at the old addresses any more"
    );
    story.stacks(&[well(1)]).front().outdated = vec![];
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
}

#[test]
fn a_candidate_that_is_reached_elsewhere_is_staged_again_and_goes_live() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    let Event::Accepted { number: two, .. } = story.ask(build(2, &Plan::default())).unwrap() else { unreachable!() };
    assert_eq!(story.tick(), Some(Event::Started { number: two }));
    story.stacks(&[well(1), view(2, Condition::Ready, Health::Unknown)]).front().staged = Some(two);
    assert_eq!(story.tick(), Some(Event::Provisioned { number: two }));
    assert_eq!(story.effects(), []);
    story.front().outdated = vec![Outdated { number: two, lost: false }];
    assert_eq!((story.tick(), story.effects()), (None, vec![Effect::Stage(two)]));
    story.stacks(&[well(1), well(2)]);
    assert_eq!(story.tick(), Some(Event::Checked { number: two, answers: Vec::new() }));
    assert!(matches!(story.tick(), Some(Event::CutOverOrdered { .. })), "and it holds up nothing");
    story.obey();
    let generation = story.env.generation();
    assert_eq!(story.effects(), [Effect::Refresh { to: Traffic::Whole(two), generation }]);
    assert_eq!(story.tick(), Some(Event::WentLive { number: two, host: None }));
}

#[test]
fn a_new_build_does_not_wait_for_a_front_that_cannot_be_put_right() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    story.stacks(&[view(1, Condition::Ready, Health::Failing)]).falls();
    (story.front().traffic, story.front().generation) = (Traffic::Nobody, Generation(7));
    assert!(matches!(story.tick(), Some(Event::DriftSeen { .. })));
    story.live(2, &Plan::default());
    assert_eq!(story.env.drift(), None);
}

#[test]
fn who_repoints_again_and_again_is_answered_ever_more_seldom_then_held() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    let mut time = 100;
    let mut waited = Vec::new();
    for times in 1..=Straying::TOO_OFTEN {
        story.at(time);
        let generation = Generation(story.env.generation().0 + 1);
        (story.front().traffic, story.front().generation) = (Traffic::Whole(n(9)), generation);
        story.front().words = Some(text("other-9 at 10.0.0.9:80"));
        let Some(Event::DriftSeen { in_a_row, .. }) = story.tick() else { unreachable!() };
        assert_eq!(in_a_row, times);
        if times == Straying::TOO_OFTEN {
            break;
        }
        let begun = time;
        while story.effects().is_empty() {
            assert_eq!(story.tick(), None);
            time += 1;
            story.at(time);
        }
        waited.push(time - begun);
        story.obey();
        assert_eq!(story.tick(), Some(Event::DriftMended));
    }
    assert_eq!(waited, [0, 0, 2, 4]);
    let Some(Event::OperatorNeeded { about: Some(Matter::Front), reason, .. }) = story.tick() else { unreachable!() };
    assert!(reason.contains("5 times in a row, at last to other-9 at 10.0.0.9:80"), "{reason}");
    assert!(story.env.hold().is_some_and(|hold| hold.reason == reason) && story.env.needs_operator());
    story.at(time + 8);
    story.obey();
    assert_eq!(story.tick(), Some(Event::DriftMended));
    assert!(story.env.needs_operator(), "that it is right now is not the end of it");
    story.ask(Ask::Resume).unwrap();
    assert!(!story.env.needs_operator() && story.env.straying().is_none());
}
