//! Traffic in steps: what each share waits for, and the way back from it.

use super::*;

fn share(percent: i64) -> Share {
    Share::try_from(percent).unwrap()
}

fn gate(otherwise: Otherwise) -> Gate {
    Gate { timeout: Millis(7_200_000), otherwise, by: Vec::new(), not_the_asker: false }
}

fn plan() -> Plan {
    let step = |percent, seconds: u64| Step { share: share(percent), bake: Millis(seconds * 1000), pause: None };
    Plan { steps: vec![step(5, 300), step(50, 600)], retain: Retain::UntilNext, ..Plan::default() }
}

fn split(percent: i64) -> Traffic {
    Traffic::Split { base: n(1), candidate: n(2), share: share(percent) }
}

/// Deployment 1 is live, and 2 has been seen with 5 % of the users.
fn at_five_with(plan: &Plan) -> Story {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    story.up_to_cutover(2, plan);
    assert_eq!(story.effects(), [Effect::CutOver { to: split(5), generation: Generation(2) }]);
    story.obey();
    assert_eq!(story.tick(), Some(Event::Shifted { number: n(2), share: share(5), host: None }));
    assert_eq!((story.state(n(2)), story.tick()), (DeploymentState::Shifting, None));
    story
}

fn at_five() -> Story {
    at_five_with(&plan())
}

fn later(story: &mut Story, seconds: u64) {
    story.now = story.now.plus(Millis(seconds * 1000));
}

#[test]
fn each_share_is_watched_and_what_was_live_stays_live_until_the_new_stack_has_all_users() {
    let mut story = at_five();
    later(&mut story, 299);
    assert_eq!(story.tick(), None);
    later(&mut story, 1);
    assert!(matches!(story.tick(), Some(Event::CutOverOrdered { share: Some(more), .. }) if more == share(50)));
    assert_eq!(story.env.live().unwrap().number, n(1));
    story.obey();
    assert_eq!(story.tick(), Some(Event::Shifted { number: n(2), share: share(50), host: None }));
    assert_eq!(story.env.wanted(), split(50));
    later(&mut story, 600);
    assert!(matches!(story.tick(), Some(Event::CutOverOrdered { share: None, .. })));
    story.obey();
    assert_eq!(story.tick(), Some(Event::WentLive { number: n(2), host: None }));
    assert_eq!((story.env.live().unwrap().number, story.env.standby().unwrap().stack.number), (n(2), n(1)));
}

#[test]
fn a_candidate_that_turns_bad_loses_its_share_by_one_order() {
    let mut story = at_five();
    story.stacks(&[well(1), view(2, Condition::Ready, Health::Failing)]);
    let Some(Event::RevertOrdered { to, outcome, reason, .. }) = story.tick() else { panic!("it keeps its share") };
    assert_eq!((to, outcome), (Some(n(1)), Outcome::RolledBack));
    assert_eq!(&*reason, "it failed while it had 5 % of the users");
    assert_eq!(story.effects(), [Effect::CutOver { to: Traffic::Whole(n(1)), generation: Generation(3) }]);
    story.obey();
    assert_eq!(story.tick(), Some(Event::Reverted { number: n(2), host: None }));
    assert_eq!((story.state(n(2)), story.retiring()), (DeploymentState::RolledBack, vec![2]));
    assert!(story.env.hold().is_some() && story.env.vetoes()[0].release == 2);
}

#[test]
fn users_go_back_only_to_what_is_seen_good_and_a_person_is_called_and_decides() {
    let mut story = at_five();
    story.stacks(&[view(1, Condition::Ready, Health::Failing), view(2, Condition::Ready, Health::Failing)]);
    story.falls();
    let event = story.tick();
    assert!(matches!(event, Some(Event::RevertRequested { outcome: Outcome::RolledBack, .. })), "{event:?}");
    assert_eq!((story.env.must_probe(), story.effects()), (Some(n(1)), vec![]));
    story.refuses(Ask::Abort(n(2), text("at once")), "going back already");
    later(&mut story, 300);
    let event = story.tick();
    assert!(matches!(event, Some(Event::OperatorNeeded { about: None, .. })), "{event:?}");
    let mut forced = Story { env: story.env.clone(), now: story.now, seen: story.seen.clone() };
    let event = forced.ask(Ask::Abort(n(2), text("at once"))).unwrap();
    assert!(matches!(event, Event::RevertOrdered { to: Some(Number(1)), outcome: Outcome::RolledBack, .. }));
    let mut on = Story { env: story.env.clone(), now: story.now, seen: story.seen.clone() };
    on.ask(Ask::Proceed(n(2))).unwrap();
    on.stacks(&[view(1, Condition::Ready, Health::Failing), well(2)]);
    assert!(matches!(on.tick(), Some(Event::OperatorNeeded { about: Some(Matter::Live), .. })));
    assert!(matches!(on.tick(), Some(Event::CutOverOrdered { share: None, .. })), "what is live is down");
    story
        .ask(Ask::Deploy {
            key: Key([3; 16]),
            build_number: None,
            release: ReleaseDraft::New(Release::draft("mended")),
            plan: Arc::new(plan()),
            trigger: Trigger::Person,
        })
        .unwrap();
    let event = story.tick();
    assert!(matches!(event, Some(Event::Ended { outcome: Outcome::Superseded, .. })), "{event:?}");
}

#[test]
fn abort_and_rollback_are_one_order_at_each_step() {
    for outcome in [Outcome::Aborted, Outcome::RolledBack] {
        let mut story = at_five();
        let ask = match outcome {
            Outcome::Aborted => Ask::Abort(n(2), text("orders fail")),
            _ => Ask::Rollback(n(2), text("orders fail")),
        };
        story.ask(ask).unwrap();
        let Some(Event::RevertOrdered { to: Some(Number(1)), outcome: ended, reason, .. }) = story.tick() else {
            panic!("no order")
        };
        assert_eq!((ended, &*reason), (outcome, "orders fail"));
        story.obey();
        story.tick();
        assert_eq!(story.env.hold().is_some(), outcome == Outcome::RolledBack);
    }
    at_five().refuses(Ask::Rollback(n(1), text("")), "abort it");
}

#[test]
fn a_person_lets_it_go_on_at_once_or_keeps_it_there() {
    let mut story = at_five();
    story.ask(Ask::Proceed(n(2))).unwrap();
    story.refuses(Ask::Proceed(n(2)), "already");
    assert!(matches!(story.tick(), Some(Event::CutOverOrdered { share: Some(more), .. }) if more == share(50)));
    story.refuses(Ask::Pause(n(2), gate(Otherwise::Abort)), "ask again in a moment");
    story.obey();
    story.tick();
    story.ask(Ask::Pause(n(2), gate(Otherwise::Abort))).unwrap();
    later(&mut story, 7_199);
    assert_eq!(story.tick(), None, "it was watched for long enough, and is paused");
    later(&mut story, 1);
    let Some(Event::RevertOrdered { outcome: Outcome::Aborted, reason, .. }) = story.tick() else { panic!("no end") };
    assert_eq!(&*reason, "nobody let it go on in time");
}

#[test]
fn a_pause_of_the_terms_is_answered_by_those_who_are_named() {
    let mut plan = plan();
    plan.steps[0].pause = Some(Gate { by: vec![text("alice")], ..gate(Otherwise::Abort) });
    let mut story = at_five_with(&plan);
    later(&mut story, 600);
    assert_eq!(story.tick(), None);
    story.refuses(Ask::Proceed(n(2)), "for alice to say");
    // Whoever may pause it cannot answer in her place by that.
    story.ask(Ask::Pause(n(2), Gate { timeout: Millis(1_000), ..gate(Otherwise::Approve) })).unwrap();
    later(&mut story, 600);
    assert_eq!(story.tick(), None);
    story.refuses(Ask::Proceed(n(2)), "for alice to say");
    let event = story.env.command(&Ask::Proceed(n(2)).into(), "alice").unwrap();
    story.happens(event);
    assert!(matches!(story.tick(), Some(Event::CutOverOrdered { .. })));
}

#[test]
fn a_pause_holds_no_newer_build_up() {
    let mut plan = plan();
    plan.steps[0].pause = Some(gate(Otherwise::Abort));
    let mut story = at_five_with(&plan);
    story.ask(build(3, &plan)).unwrap();
    let event = story.tick();
    assert!(matches!(event, Some(Event::RevertOrdered { outcome: Outcome::Superseded, .. })), "{event:?}");
}

#[test]
fn a_share_is_part_of_what_the_front_was_ordered_to_show() {
    let mut story = at_five();
    story.front().traffic = split(50);
    let event = story.tick();
    assert!(matches!(event, Some(Event::DriftSeen { .. })), "{event:?}");
    assert_eq!(story.effects(), [Effect::CutOver { to: split(5), generation: Generation(3) }]);
    story.stacks(&[view(1, Condition::Ready, Health::Unknown), well(2)]);
    assert_eq!(story.effects(), [], "it is not put right onto what is not seen good");
}

#[test]
fn there_are_no_steps_where_nothing_works_that_they_would_protect() {
    let mut first = Story::new();
    first.up_to_cutover(1, &plan());
    assert_eq!(first.effects(), [Effect::CutOver { to: Traffic::Whole(n(1)), generation: Generation(1) }]);
    let mut down = Story::new();
    down.live(1, &plan());
    down.stacks(&[view(1, Condition::Ready, Health::Failing)]);
    down.falls();
    down.up_to_cutover(2, &plan());
    assert_eq!(down.effects(), [Effect::CutOver { to: Traffic::Whole(n(2)), generation: Generation(2) }]);
}

#[test]
fn what_is_vetoed_keeps_no_share() {
    let mut story = at_five();
    story.ask(Ask::Veto(2, text("it leaks"))).unwrap();
    let event = story.tick();
    assert!(matches!(event, Some(Event::RevertOrdered { outcome: Outcome::Aborted, .. })), "{event:?}");
}

#[test]
fn a_front_that_does_not_take_a_larger_share_is_sent_back() {
    let mut story = at_five();
    later(&mut story, 300);
    story.tick();
    later(&mut story, 60);
    let event = story.tick();
    assert!(
        matches!(event, Some(Event::RevertOrdered { to: Some(Number(1)), outcome: Outcome::Failed, .. })),
        "{event:?}"
    );
}
