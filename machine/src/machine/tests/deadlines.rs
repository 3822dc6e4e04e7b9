//! Every step has an end, and the front is never trusted.

use super::*;

fn ends(story: &mut Story, words: &str) {
    let Some(Event::Ended { outcome, reason, .. }) = story.tick() else { unreachable!("{:?}", story.env.active()) };
    assert!(outcome == Outcome::Failed && reason.contains(words), "{reason}");
}

fn started(plan: &Plan) -> Story {
    let mut story = Story::new();
    story.ask(build(1, plan)).unwrap();
    story.tick().unwrap();
    story
}

#[test]
fn a_stack_that_does_not_come_up_in_time_is_given_up_and_torn_down() {
    let mut story = started(&Plan::default());
    story.stacks(&[view(1, Condition::Creating, Health::Unknown)]).at(599);
    assert_eq!((story.tick(), story.effects()), (None, vec![Effect::Ensure(n(1))]));
    story.at(600);
    ends(&mut story, "did not come up in time (600 s)");
    assert_eq!(story.retiring(), [1]);
}

#[test]
fn a_stack_that_fails_is_given_up_with_its_own_words() {
    let mut story = started(&Plan::default());
    let failed = view(1, Condition::Failed, Health::Unknown);
    story.stacks(&[StackView { remark: Some(text("exit 1")), ..failed.clone() }]);
    assert_eq!(story.effects(), []);
    ends(&mut story, "exit 1");
    let mut story = started(&Plan::default());
    story.stacks(&[failed]);
    ends(&mut story, "its stack failed");
}

#[test]
fn checks_have_to_pass_in_time_and_the_front_has_to_take_it_up() {
    let checking = || {
        let mut story = started(&Plan::default());
        story.stacks(&[well(1)]);
        story.tick().unwrap();
        story
    };
    let mut story = checking();
    story.stacks(&[view(1, Condition::Ready, Health::Unknown)]).at(299);
    assert_eq!(story.tick(), None);
    story.at(300);
    ends(&mut story, "did not pass its checks in time");
    let mut story = checking();
    story.at(300);
    ends(&mut story, "the front did not take it up in time");
    let mut story = checking();
    story.stacks(&[view(1, Condition::Ready, Health::Failing)]);
    ends(&mut story, "its stack failed");
    let mut story = checking();
    story.stacks(&[]);
    ends(&mut story, "its stack is gone");
    let mut story = checking();
    (story.seen.stacks, story.seen.front) = (None, None);
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
}

#[test]
fn health_is_read_again_right_before_the_cutover() {
    let mut story = started(&Plan::default());
    story.stacks(&[well(1)]);
    story.tick().unwrap();
    story.front().staged = Some(n(1));
    story.tick().unwrap();
    assert_eq!(story.env.must_probe(), Some(n(1)));
    story.stacks(&[view(1, Condition::Ready, Health::Unknown)]);
    assert_eq!(story.tick(), None);
    story.stacks(&[well(1)]).front().staged = None;
    assert_eq!((story.tick(), story.effects()), (None, vec![Effect::Stage(n(1))]));
    story.at(300);
    ends(&mut story, "right before the cutover");
}

#[test]
fn a_cutover_that_is_not_seen_in_time_is_undone_by_a_higher_order() {
    for (silent, obeyed, words) in [
        (true, false, "the front did not answer"),
        (false, false, "did not take the order"),
        (false, true, "public address did not answer"),
    ] {
        let mut story = Story::new();
        story.up_to_cutover(1, &Plan::default());
        if obeyed {
            story.obey();
            story.seen.public = None;
        }
        if silent {
            story.seen.front = None;
        }
        story.at(59);
        assert_eq!(story.tick(), None);
        story.at(60);
        let Some(Event::RevertOrdered { to: None, generation: Generation(2), outcome, reason, .. }) = story.tick()
        else {
            unreachable!()
        };
        assert!(outcome == Outcome::Failed && reason.contains(words), "{reason}");
    }
}

#[test]
fn an_undo_goes_on_until_the_front_shows_it_and_a_person_is_called() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    let two = story.up_to_cutover(2, &Plan::default());
    story.ask(Ask::Abort(two, text("no"))).unwrap();
    assert_eq!(story.state(two), DeploymentState::Aborting);
    assert_eq!(story.tick(), None);
    story.at(60 + 60);
    let Some(Event::OperatorNeeded { reason, .. }) = story.tick() else { unreachable!() };
    assert!(reason.contains("does not take the order"), "{reason}");
    assert_eq!((story.tick(), story.state(two)), (None, DeploymentState::NeedsOperator));
    // Somebody else gave the same number to another order: it has to be a higher one.
    (story.front().traffic, story.front().generation) = (Traffic::Whole(two), Generation(3));
    assert!(matches!(story.tick(), Some(Event::RevertOrdered { generation: Generation(4), to: Some(Number(1)), .. })));
    story.obey();
    assert_eq!(story.tick(), Some(Event::Reverted { number: two, host: None }));
    assert_eq!((story.retiring(), story.env.live().unwrap().number), (vec![2], n(1)));
}

#[test]
fn a_front_that_shows_what_nobody_ordered_is_put_right_first() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    (story.front().traffic, story.front().generation) = (Traffic::Nobody, Generation(7));
    assert_eq!(
        story.tick(),
        Some(Event::DriftSeen { shown: None, generation: Generation(8), in_a_row: 1, words: None })
    );
    assert_eq!(story.effects(), [Effect::CutOver { to: Traffic::Whole(n(1)), generation: Generation(8) }]);
    assert_eq!(story.tick(), None);
    story.front().generation = Generation(8);
    assert!(matches!(story.tick(), Some(Event::DriftSeen { generation: Generation(9), .. })));
    story.obey();
    assert_eq!(story.tick(), Some(Event::DriftMended));
    assert_eq!((story.tick(), story.env.drift()), (None, None));
}

#[test]
fn with_nothing_live_a_front_that_serves_an_unknown_stack_is_left_to_it() {
    let mut story = Story::new();
    for unknown in [n(4), Number(u32::MAX)] {
        (story.front().traffic, story.front().generation) = (Traffic::Whole(unknown), Generation(9));
        assert_eq!((story.tick(), story.effects()), (None, vec![]), "{unknown}");
    }
    // What is deployed takes it over, by a higher number.
    story.live(1, &Plan::default());
    assert_eq!((story.front().traffic, story.front().generation > Generation(9)), (Traffic::Whole(n(1)), true));
    (story.front().traffic, story.front().generation) = (Traffic::Whole(Number(u32::MAX)), Generation(90));
    assert!(matches!(story.tick(), Some(Event::DriftSeen { .. })), "now there is something good to send users to");
}

#[test]
fn nothing_is_torn_down_while_the_front_may_show_it_or_is_in_use() {
    let mut story = Story::new();
    story.live(1, &Plan { retain: Retain::None, ..Plan::default() });
    story.live(2, &Plan { retain: Retain::None, ..Plan::default() });
    let permits = |story: &Story| story.effects().iter().any(|e| matches!(e, Effect::Retire(_)));
    assert!(permits(&story));
    story.seen.quiet = false;
    assert!(!permits(&story));
    story.seen.quiet = true;
    story.front().traffic = Traffic::Whole(n(1));
    assert!(!permits(&story));
    story.front().traffic = Traffic::Whole(n(2));
    story.front().generation = Generation(1);
    assert!(!permits(&story));
    story.front().generation = Generation(2);
    story.front().busy = vec![n(1)];
    assert!(!permits(&story));
    story.at(120 + 30);
    assert!(matches!(&story.effects()[..], [Effect::Retire(permit)] if !permit.drained()));
    story.stacks(&[view(1, Condition::Deleting, Health::Unknown), well(2)]);
    assert!(!permits(&story));
}

#[test]
fn a_tear_down_that_does_not_end_calls_a_person_once() {
    for (remark, silent, words) in
        [(Some("in use"), false, "in time: in use"), (None, false, "in time"), (None, true, "front does not answer")]
    {
        let mut story = Story::new();
        story.live(1, &Plan { retain: Retain::None, ..Plan::default() });
        story.live(2, &Plan { retain: Retain::None, ..Plan::default() });
        let stuck = StackView { remark: remark.map(text), ..view(1, Condition::Failed, Health::Unknown) };
        story.stacks(&[stuck, well(2)]).at(120 + 629);
        if silent {
            story.seen.front = None;
        }
        assert_eq!(story.tick(), None);
        story.at(120 + 630);
        let Some(Event::OperatorNeeded { number: Number(1), reason, .. }) = story.tick() else { unreachable!() };
        assert!(reason.contains(words), "{reason}");
        assert_eq!(story.tick(), None);
    }
}

#[test]
fn a_provider_that_is_silent_ends_nothing_and_calls_a_person() {
    let mut story = Story::new();
    story.up_to_baking(1, &Plan::default());
    story.seen.stacks = None;
    story.at(60 + 299);
    assert_eq!(story.tick(), None);
    story.at(60 + 300);
    let Some(Event::OperatorNeeded { reason, .. }) = story.tick() else { unreachable!() };
    assert!(reason.contains("the provider does not answer"), "{reason}");
    assert_eq!(story.tick(), None);
    story.stacks(&[well(1)]);
    assert_eq!(story.tick(), Some(Event::Succeeded { number: n(1) }));

    let mut story = started(&Plan::default());
    story.seen.stacks = None;
    story.at(600);
    assert!(matches!(story.tick(), Some(Event::OperatorNeeded { .. })));
    // It answers after an hour: what it was silent does not count, and the stack has its time.
    story.at(3600).stacks(&[view(1, Condition::Creating, Health::Unknown)]);
    story.seen.looked.silent = [(Millis(0), Millis(3_600_000))].into();
    assert_eq!(story.tick(), None);
    story.at(3600 + 600);
    ends(&mut story, "did not come up in time");
}
