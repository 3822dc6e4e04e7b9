//! Promotion by rule, told for two environments.

use super::*;
use crate::machine::promotion::{Due, PromotionRule, Why, due, key};

const HOUR: PromotionRule = PromotionRule { after: Millis(3_600_000) };

/// What the rule says when `from` has just become what it is, `seconds` later.
fn says(from: &Story, to: &Story, seconds: u64) -> Due {
    due(&from.env, &to.env, HOUR, from.now.plus(Millis(seconds * 1000)))
}

fn refuses(from: &Story, to: &Story, why: Why) {
    assert_eq!(says(from, to, 36_000), Due::Nothing(why));
}

/// What the rule, or a person, asks the second environment for.
fn ask(to: &mut Story, from: &Story, trigger: Trigger) -> Number {
    let release = from.env.live().unwrap().release.clone();
    let key = if trigger == Trigger::Rule { key(release.number) } else { Key([99; 16]) };
    let (release, plan) = (ReleaseDraft::Existing(release), Arc::new(Plan::default()));
    to.ask(Ask::Deploy { key, build_number: None, release, plan, trigger }).unwrap();
    to.env.last_number()
}

#[test]
fn a_release_goes_on_when_it_was_good_for_long_enough() {
    let (mut from, to) = (Story::new(), Story::new());
    refuses(&from, &to, Why::NothingLive);
    from.up_to_baking(1, &Plan::default());
    refuses(&from, &to, Why::NotFoundGood(1));
    from.now = from.now.plus(Millis(60_000));
    from.tick().unwrap();
    assert_eq!(says(&from, &to, 3599), Due::At(from.now.plus(Millis(3_600_000))));
    let Due::Now(release) = says(&from, &to, 3600) else { panic!("not due") };
    assert_eq!(release.number, 1);
}

#[test]
fn a_release_goes_on_once_whatever_became_of_it() {
    let (mut from, mut to) = (Story::new(), Story::new());
    from.live(1, &Plan::default());
    let number = ask(&mut to, &from, Trigger::Rule);
    refuses(&from, &to, Why::NotNewer(1));
    to.ask(Ask::Abort(number, text("not now"))).unwrap();
    refuses(&from, &to, Why::NotNewer(1));
    assert!(to.env.knows(&key(1)) && !to.env.knows(&key(2)));
}

#[test]
fn nothing_goes_on_while_it_is_taken_back() {
    let (mut from, to) = (Story::new(), Story::new());
    let plan = Plan { retain: Retain::UntilNext, ..Plan::default() };
    from.live(1, &plan);
    from.live(2, &plan);
    from.ask(Ask::Rollback(n(2), text("bad"))).unwrap();
    refuses(&from, &to, Why::RollingBack);
    from.tick().unwrap();
    refuses(&from, &to, Why::RollingBack);
    from.obey();
    from.tick().unwrap();
    assert_eq!(says(&from, &to, 3599), Due::At(from.now.plus(Millis(3_600_000))), "its hour begins anew");
}

#[test]
fn a_veto_on_either_side_stops_it() {
    let (mut from, mut to) = (Story::new(), Story::new());
    from.live(1, &Plan::default());
    to.ask(Ask::Veto(1, text("leak"))).unwrap();
    refuses(&from, &to, Why::Vetoed(1));
    to.ask(Ask::Unveto(1)).unwrap();
    from.ask(Ask::Veto(1, text("leak"))).unwrap();
    refuses(&from, &to, Why::Vetoed(1));
}

#[test]
fn what_a_person_rolled_back_stays_away_even_when_its_veto_is_lifted() {
    let (mut from, mut to) = (Story::new(), Story::new());
    let plan = Plan { retain: Retain::UntilNext, ..Plan::default() };
    to.live(1, &plan);
    from.live(1, &plan);
    from.live(2, &plan);
    to.live(2, &plan);
    to.ask(Ask::Rollback(n(2), text("bad"))).unwrap();
    to.tick().unwrap();
    to.obey();
    to.tick().unwrap();
    refuses(&from, &to, Why::Vetoed(2));
    to.ask(Ask::Unveto(2)).unwrap();
    refuses(&from, &to, Why::NotNewer(2));
}

#[test]
fn a_person_goes_first_and_then_the_rule_goes_on() {
    let (mut from, mut to) = (Story::new(), Story::new());
    from.live(1, &Plan::default());
    let number = ask(&mut to, &from, Trigger::Person);
    from.live(2, &Plan::default());
    refuses(&from, &to, Why::PersonAtWork(number));
    to.ask(Ask::Abort(number, text("no"))).unwrap();
    assert!(matches!(says(&from, &to, 3600), Due::Now(release) if release.number == 2));
}

#[test]
fn a_hold_lets_it_queue_and_wait() {
    let (mut from, mut to) = (Story::new(), Story::new());
    from.live(1, &Plan::default());
    to.ask(Ask::Hold(text("freeze"))).unwrap();
    assert!(matches!(says(&from, &to, 3600), Due::Now(_)));
    let number = ask(&mut to, &from, Trigger::Rule);
    assert_eq!((to.tick(), to.state(number)), (None, DeploymentState::Queued));
    to.ask(Ask::Resume).unwrap();
    assert_eq!(to.tick(), Some(Event::Started { number }));
}

#[test]
fn each_reason_is_a_sentence() {
    let all = [Why::NothingLive, Why::NotFoundGood(1), Why::RollingBack, Why::Vetoed(1), Why::NotNewer(1)];
    for why in all.into_iter().chain([Why::PersonAtWork(n(1))]) {
        assert!(why.to_string().len() > 15 && !why.to_string().ends_with('.'), "{why}");
    }
}

#[test]
fn what_ci_counted_here_once_is_no_order_of_releases() {
    let (mut from, mut to) = (Story::new(), Story::new());
    let Ask::Deploy { key, release, plan, trigger, .. } = build(1, &Plan::default()) else { unreachable!() };
    to.ask(Ask::Deploy { key, build_number: Some(5000), release, plan, trigger }).unwrap();
    from.live(1, &Plan::default());
    from.live(2, &Plan::default());
    assert!(matches!(says(&from, &to, 3600), Due::Now(release) if release.number == 2));
    assert_eq!(ask(&mut to, &from, Trigger::Rule), n(2));
}

#[test]
fn a_new_release_is_numbered_above_those_of_the_pipelines_other_environments() {
    let mut story = Story::new();
    let number = |event| match event {
        Ok(Event::Accepted { release, .. }) => release.number,
        other => panic!("{other:?}"),
    };
    assert_eq!(number(story.env.command_above(7, &build(1, &Plan::default()).into(), "test")), 8);
    story.ask(build(1, &Plan::default())).unwrap();
    assert_eq!(number(story.env.command_above(0, &build(2, &Plan::default()).into(), "test")), 2);
    let release = Arc::new(Release { number: 3, ..Release::draft("v") });
    let (key, plan, trigger) = (Key([3; 16]), Arc::new(Plan::default()), Trigger::Person);
    let there = Ask::Deploy { key, build_number: None, release: ReleaseDraft::Existing(release), plan, trigger };
    assert_eq!(number(story.env.command_above(7, &there.into(), "test")), 3, "what has a number keeps it");
}
