//! A build becomes a live stack.

use super::*;

#[test]
fn a_first_build_goes_live_and_has_nothing_to_go_back_to() {
    let mut story = Story::new();
    let one = story.live(1, &Plan::default());
    assert_eq!(story.env.live().unwrap().number, one);
    assert!(story.env.live().unwrap().proven && story.env.standby().is_none() && story.env.active().is_none());
    assert_eq!(story.state(one), DeploymentState::Succeeded);
    assert_eq!(story.env.release_of(one).unwrap().number, 1);
    story.refuses(Ask::Rollback(one, text("")), "no earlier release");
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
}

#[test]
fn the_former_live_stack_is_kept_for_its_time_and_then_torn_down() {
    let mut story = Story::new();
    let plan = Plan::default();
    let (one, two) = (story.live(1, &plan), story.live(2, &plan));
    assert_eq!(story.env.standby().unwrap().promise, Promise::Until(story.now.plus(Millis(1_800_000))));
    assert_eq!(story.env.watched(), [two, one]);
    story.at(120 + 1799);
    assert_eq!(story.tick(), None);
    story.at(120 + 1800);
    assert!(matches!(story.tick(), Some(Event::StandbyReleased { number, .. }) if number == one));
    assert_eq!(story.retiring(), [1]);
    let permit = story.effects();
    assert!(matches!(&permit[..], [Effect::Retire(permit)] if permit.number() == one && permit.drained()));
    story.stacks(&[well(2)]);
    assert_eq!(story.tick(), Some(Event::Retired { number: one }));
    assert!(story.retiring().is_empty());
}

#[test]
fn a_newer_build_takes_the_place_of_one_that_waits() {
    let mut story = Story::new();
    story.up_to_baking(1, &Plan::default());
    for name in [2, 3] {
        story.ask(build(name, &Plan::default())).unwrap();
    }
    assert_eq!(story.env.queue().len(), 1);
    assert_eq!(story.state(n(2)), DeploymentState::Superseded);
    assert_eq!(story.state(n(3)), DeploymentState::Queued);
}

#[test]
fn a_build_announced_twice_or_too_late_is_refused() {
    let mut story = Story::new();
    let numbered = |name, build_number| match build(name, &Plan::default()) {
        Ask::Deploy { key, release, plan, trigger, .. } => {
            Ask::Deploy { key, build_number: Some(build_number), release, plan, trigger }
        }
        other => other,
    };
    story.ask(numbered(1, 7)).unwrap();
    assert_eq!(story.env.command(&numbered(1, 7).into(), "someone"), Err(Refusal::Duplicate(n(1))));
    assert_eq!(
        story.env.command(&numbered(2, 6).into(), "someone"),
        Err(Refusal::Stale { build_number: 6, newest: 7 })
    );
    assert!(story.env.command(&numbered(2, 7).into(), "someone").is_ok());
}

#[test]
fn the_host_on_which_a_cutover_was_seen_is_recorded_with_it_and_stays_until_the_next_one() {
    let on = |host: &str| Some(Arc::<str>::from(host));
    let (mut story, plan) = (Story::new(), Plan::default());
    let one = story.up_to_cutover(1, &plan);
    story.front().host = on("web1 (identity a)");
    story.obey();
    assert_eq!(story.tick(), Some(Event::WentLive { number: one, host: on("web1 (identity a)") }));
    // Another machine has the name now: what was seen is not rewritten.
    story.front().host = on("web2 (identity b)");
    story.now = story.now.plus(plan.bake);
    assert_eq!(story.tick(), Some(Event::Succeeded { number: one }));
    assert_eq!(story.env.front_host(), on("web1 (identity a)").as_ref());
    let two = story.up_to_cutover(2, &plan);
    story.obey();
    assert_eq!(story.tick(), Some(Event::WentLive { number: two, host: on("web2 (identity b)") }));
    assert_eq!(story.env.front_host(), on("web2 (identity b)").as_ref());
}

fn numbered(name: u8, build_number: u64) -> Ask {
    match build(name, &Plan::default()) {
        Ask::Deploy { key, release, plan, trigger, .. } => {
            Ask::Deploy { key, build_number: Some(build_number), release, plan, trigger }
        }
        other => other,
    }
}

fn by_hand(name: u8, build_number: u64) -> Ask {
    match numbered(name, build_number) {
        Ask::Deploy { key, build_number, release, plan, .. } => {
            Ask::Deploy { key, build_number, release, plan, trigger: Trigger::Person }
        }
        other => other,
    }
}

#[test]
fn a_build_that_is_announced_and_deployed_by_hand_under_the_same_number_is_one_build() {
    let mut story = Story::new();
    story.ask(by_hand(1, 7)).unwrap();
    assert_eq!(story.env.command(&numbered(2, 7).into(), "jenkins"), Err(Refusal::Duplicate(n(1))));
    assert_eq!(story.env.command(&by_hand(3, 7).into(), "ann"), Err(Refusal::Duplicate(n(1))));
    story.ask(numbered(4, 8)).unwrap();
    assert_eq!(story.env.command(&by_hand(5, 8).into(), "ann"), Err(Refusal::Duplicate(n(2))));
    // A run that was run again keeps its number, and has another name.
    story.ask(numbered(6, 8)).unwrap();
    // Without a number it is meant.
    story.ask(build(7, &Plan::default())).unwrap();
    story.ask(Ask::ResetBuilds("the job was made again".into())).unwrap();
    story.ask(numbered(8, 7)).unwrap();
}

#[test]
fn a_build_that_was_deployed_by_hand_and_failed_may_be_announced() {
    let mut story = Story::new();
    let Event::Accepted { number, .. } = story.ask(by_hand(1, 7)).unwrap() else { unreachable!() };
    assert_eq!(story.tick(), Some(Event::Started { number }));
    story.stacks(&[StackView { condition: Condition::Failed, ..well(1) }]);
    assert!(matches!(story.tick(), Some(Event::Ended { outcome: Outcome::Failed, .. })));
    story.ask(numbered(2, 7)).unwrap();
}

#[test]
fn a_build_that_failed_or_is_vetoed_makes_no_other_too_old_and_a_reset_counts_from_the_beginning() {
    let mut story = Story::new();
    story.ask(numbered(1, 7)).unwrap();
    story.ask(numbered(2, 999_999_999_999_999)).unwrap();
    assert!(matches!(story.env.command(&numbered(3, 8).into(), "someone"), Err(Refusal::Stale { .. })));
    story.ask(Ask::Veto(2, "a slip".into())).unwrap();
    assert_eq!(story.env.newest_build(), Some(7));
    assert_eq!(
        story.env.command(&numbered(3, 6).into(), "someone"),
        Err(Refusal::Stale { build_number: 6, newest: 7 })
    );
    story.ask(Ask::Unveto(2)).unwrap();
    assert_eq!(story.env.newest_build(), Some(999_999_999_999_999));
    story.ask(Ask::ResetBuilds("the job was made again".into())).unwrap();
    assert_eq!(story.env.newest_build(), None);
    story.refuses(Ask::ResetBuilds("twice".into()), "nothing to reset");
    story.ask(numbered(3, 1)).unwrap();
    assert_eq!(story.env.newest_build(), Some(1));
    for more in 0..40 {
        story.ask(numbered(10 + more, 10 + u64::from(more))).unwrap();
    }
    assert_eq!(story.env.newest_build(), Some(49), "however many were counted");
}

#[test]
fn an_old_key_is_forgotten_only_after_many_builds() {
    let mut story = Story::new();
    for name in 0..Environment::KEYS_KEPT as u32 {
        let mut command = build(0, &Plan::default());
        if let Ask::Deploy { key, .. } = &mut command {
            key.0[..4].copy_from_slice(&name.to_be_bytes());
        }
        story.ask(command.clone()).unwrap();
    }
    story.refuses(build(0, &Plan::default()), "as deployment 1");
    assert_eq!(story.env.ended().len(), Environment::ENDED_KEPT);
    story.ask(build(9, &Plan::default())).unwrap();
    assert!(story.env.command(&build(0, &Plan::default()).into(), "someone").is_ok());
    assert_eq!(story.env.keys.len(), Environment::KEYS_KEPT - Environment::KEYS_KEPT / 8 + 1);
}

#[test]
fn an_old_look_moves_nothing() {
    let mut story = Story::new();
    story.ask(build(1, &Plan::default())).unwrap();
    story.seen.as_of = Seq(0);
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
}

#[test]
fn the_public_address_has_to_answer_from_the_new_stack() {
    let mut story = Story::new();
    let one = story.up_to_cutover(1, &Plan::default());
    story.obey();
    story.seen.public = None;
    assert_eq!(story.tick(), None);
    story.seen.public = Some(one);
    assert_eq!(story.tick(), Some(Event::WentLive { number: one, host: None }));
}

#[test]
fn what_is_live_or_promised_is_brought_back_when_its_host_forgot_it() {
    let mut story = Story::new();
    let (one, two) = (story.live(1, &Plan::default()), story.live(2, &Plan::default()));
    story.stacks(&[]).falls();
    assert_eq!(story.tick(), None);
    assert_eq!(story.effects(), [Effect::Ensure(two), Effect::Ensure(one)]);
    story.seen.stacks = None;
    assert_eq!(story.effects(), []);
}

#[test]
fn a_stack_with_a_number_never_given_out_is_left_alone_and_its_number_skipped() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    story.stacks(&[well(1), well(5), well(3)]);
    assert_eq!(story.tick(), Some(Event::StrangerFound { number: n(3) }));
    assert_eq!(story.tick(), Some(Event::StrangerFound { number: n(5) }));
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
    assert_eq!(story.env.strangers(), [n(3), n(5)]);
    story.ask(build(2, &Plan::default())).unwrap();
    assert_eq!(story.env.last_number(), n(6));
    assert!(story.apply(Event::StrangerFound { number: n(5) }).is_err());
}

#[test]
fn a_stack_that_nobody_remembers_is_swept_up() {
    let mut story = Story::new();
    story.up_to_baking(1, &Plan::default());
    story.ask(build(2, &Plan::default())).unwrap();
    story.ask(Ask::Abort(n(2), text(""))).unwrap();
    story.stacks(&[well(1), well(2)]);
    assert_eq!(story.tick(), Some(Event::OrphanFound { number: n(2) }));
    assert_eq!(story.retiring(), [2]);
    assert_eq!(story.tick(), None);
}

#[test]
fn a_stack_with_the_number_of_a_queued_deployment_is_a_stranger_and_the_deployment_ends() {
    let mut story = Story::new();
    story.up_to_baking(1, &Plan::default());
    story.ask(build(2, &Plan::default())).unwrap();
    story.stacks(&[well(1), well(2)]);
    assert_eq!(story.tick(), Some(Event::StrangerFound { number: n(2) }));
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
    let (state, why) = story.env.deployment_state(n(2)).unwrap();
    assert_eq!((state, why.unwrap().contains("deploy it again")), (DeploymentState::Failed, true));
    story.ask(build(3, &Plan::default())).unwrap();
    assert_eq!(story.env.queue()[0].number, n(3));
}
