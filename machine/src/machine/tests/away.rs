//! No judgement without a look: a controller that was away, a clock that jumped, a process that was stopped.

use super::*;

const HOUR: u64 = 3600;

/// This life of the controller begins now.
fn restarts(story: &mut Story) {
    story.seen.looked = Looked { since: story.now, ..Looked::default() };
    story.seen.order = None;
}

#[test]
fn a_candidate_has_its_time_again_after_an_absence() {
    let mut story = Story::new();
    story.ask(build(1, &Plan::default())).unwrap();
    story.tick().unwrap();
    story.stacks(&[view(1, Condition::Creating, Health::Unknown)]).at(HOUR);
    restarts(&mut story);
    assert_eq!(story.tick(), None);
    story.at(HOUR + 599);
    assert_eq!(story.tick(), None);
    story.at(HOUR + 600);
    assert!(matches!(story.tick(), Some(Event::Ended { outcome: Outcome::Failed, .. })));
}

#[test]
fn a_bake_is_decided_by_fresh_looks() {
    let baking = |health| {
        let mut story = Story::new();
        story.live(1, &Plan::default());
        story.up_to_baking(2, &Plan::default());
        story.at(HOUR);
        restarts(&mut story);
        story.stacks(&[well(1), view(2, Condition::Ready, health)]);
        story
    };
    let mut story = baking(Health::Unknown);
    assert_eq!(story.tick(), None, "nothing is known yet");
    story.stacks(&[well(1), well(2)]).at(HOUR + 60);
    assert_eq!(story.tick(), Some(Event::Succeeded { number: n(2) }));
    let mut story = baking(Health::Failing);
    story.falls();
    assert!(matches!(story.tick(), Some(Event::RevertOrdered { to: Some(Number(1)), .. })));
}

#[test]
fn an_order_that_was_never_given_is_not_late() {
    let mut story = Story::new();
    let one = story.up_to_cutover(1, &Plan::default());
    story.seen.order = None;
    story.at(HOUR);
    assert_eq!(story.tick(), None);
    assert_eq!(story.effects(), [Effect::CutOver { to: Traffic::Whole(one), generation: Generation(1) }]);
    restarts(&mut story);
    story.seen.order = Some(OrderView { generation: Generation(1), said: Some(text("no route")), refused: false });
    assert_eq!(story.tick(), None, "it was given a moment ago");
    story.at(HOUR + 60);
    let Some(Event::RevertOrdered { reason, .. }) = story.tick() else { unreachable!() };
    assert!(reason.contains("did not take the order in time: no route"), "{reason}");
}

#[test]
fn a_hook_that_was_ordered_and_never_begun_has_its_time() {
    let hook = Hook { name: "h".into(), at: HookPoint::BeforeProvisioning, within: Millis(10_000), one_way: false };
    let mut story = Story::new();
    story.ask(build(1, &Plan { hooks: vec![hook], ..Plan::default() })).unwrap();
    story.tick().unwrap();
    assert!(matches!(story.tick(), Some(Event::HookOrdered { .. })));
    story.at(HOUR);
    restarts(&mut story);
    assert_eq!(story.tick(), None);
    assert!(matches!(&story.effects()[..], [Effect::RunHook { .. }]));
    story.at(HOUR + 10);
    assert!(matches!(story.tick(), Some(Event::HookFinished { reason: Some(_), .. })));
}

#[test]
fn a_gate_and_a_retention_are_over_by_the_clock_once_somebody_could_have_acted() {
    let plan = Plan { retain: Retain::For(Millis(2 * HOUR * 1000)), ..Plan::default() };
    let mut story = Story::new();
    story.live(1, &plan);
    story.live(2, &plan);
    story.at(48 * HOUR);
    restarts(&mut story);
    assert_eq!(story.tick(), None);
    story.at(48 * HOUR + 600);
    assert!(matches!(story.tick(), Some(Event::StandbyReleased { .. })));

    let gate = Gate { timeout: Millis(60_000), otherwise: Otherwise::Abort, by: Vec::new(), not_the_asker: false };
    let mut story = Story::new();
    story.ask(build(1, &Plan { before_provisioning: Some(gate), ..Plan::default() })).unwrap();
    story.tick().unwrap();
    story.at(HOUR);
    restarts(&mut story);
    assert_eq!(story.tick(), None, "nobody could have approved it");
    story.at(HOUR + 60);
    assert!(matches!(story.tick(), Some(Event::Ended { outcome: Outcome::Aborted, .. })));
}

#[test]
fn the_time_in_which_the_process_was_stopped_does_not_count() {
    let mut story = Story::new();
    story.ask(build(1, &Plan::default())).unwrap();
    story.tick().unwrap();
    story.stacks(&[view(1, Condition::Creating, Health::Unknown)]).at(700);
    story.seen.looked.breaks = [(Millis(100_000), Millis(300_000)), (Millis(650_000), Millis(690_000))].into();
    assert_eq!(story.tick(), None);
    story.at(840);
    assert!(matches!(story.tick(), Some(Event::Ended { .. })));
}

/// A controller that is killed each so many seconds and back a moment later.
fn lives(story: &mut Story, began: u64, length: u64, until: u64) -> Option<(u64, Event)> {
    let mut before = Vec::new();
    for start in (began..until).step_by(usize::try_from(length).unwrap()) {
        for second in start..start + length - 1 {
            let since = Millis(start * 1000);
            story.seen.looked = Looked { since, before: before.as_slice().into(), ..Looked::default() };
            story.at(second);
            if let Some(event) = story.tick() {
                return Some((second, event));
            }
        }
        before.push((Millis(start * 1000), Millis((start + length - 1) * 1000)));
    }
    None
}

#[test]
fn a_deployment_ends_although_the_controller_is_killed_again_and_again() {
    for (length, latest) in [(20, 660), (5, 1900)] {
        let mut story = Story::new();
        story.ask(build(1, &Plan::default())).unwrap();
        story.tick().unwrap();
        story.stacks(&[view(1, Condition::Creating, Health::Unknown)]);
        let (at, event) = lives(&mut story, 10, length, 10_000).expect("it ends");
        assert!(matches!(event, Event::Ended { outcome: Outcome::Failed, .. }), "{event:?}");
        assert!((600..latest * 5 / 4).contains(&at), "killed each {length} s it ended after {at} s");
    }
}

#[test]
fn a_life_that_has_just_begun_judges_nothing_by_what_earlier_ones_watched() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    story.up_to_baking(2, &Plan::default());
    let began = story.now.0 / 1000;
    // All of the bake and nearly all of the time to get well was watched, long ago.
    let before = [(story.now, Millis((began + 355) * 1000))];
    let begins = began + 50_000;
    let looked = Looked { since: Millis(begins * 1000), before: before.into(), ..Looked::default() };
    story.seen.looked = looked;
    for second in 0..15 {
        story.stacks(&[well(1), view(2, Condition::Ready, Health::Unknown)]).at(begins + second);
        assert_eq!(story.tick(), None, "its checks have had {second} s");
    }
    story.stacks(&[well(1), well(2)]).at(begins + 30);
    assert_eq!(story.tick(), Some(Event::Succeeded { number: n(2) }));
}

#[test]
fn a_gate_is_not_over_at_the_end_of_a_long_absence_whatever_was_watched_before() {
    let gate = Gate { timeout: Millis(3_600_000), otherwise: Otherwise::Abort, by: Vec::new(), not_the_asker: false };
    let mut story = Story::new();
    story.ask(build(1, &Plan { before_provisioning: Some(gate), ..Plan::default() })).unwrap();
    story.tick().unwrap();
    let before = [(Millis(0), Millis(1_800_000))];
    story.seen.looked = Looked { since: Millis(HOUR * 9000), before: before.into(), ..Looked::default() };
    story.at(HOUR * 9 + 599);
    assert_eq!(story.tick(), None, "nobody could answer it for hours");
    story.at(HOUR * 9 + 600);
    assert!(matches!(story.tick(), Some(Event::Ended { outcome: Outcome::Aborted, .. })));
    // A short one is nobody's reason to wait.
    let mut story = Story::new();
    let gate = Gate { timeout: Millis(3_600_000), otherwise: Otherwise::Abort, by: Vec::new(), not_the_asker: false };
    story.ask(build(1, &Plan { before_provisioning: Some(gate), ..Plan::default() })).unwrap();
    story.tick().unwrap();
    let before = [(Millis(0), Millis(HOUR * 1000 - 60_000))];
    story.seen.looked = Looked { since: Millis(HOUR * 1000), before: before.into(), ..Looked::default() };
    story.at(HOUR);
    assert!(matches!(story.tick(), Some(Event::Ended { outcome: Outcome::Aborted, .. })));
}
