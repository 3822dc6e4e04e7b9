//! Taking over what was there before us.

use super::{hooks::plan as with_hooks, *};
use crate::machine::promotion::{Due, PromotionRule, Why, due};

fn adopt(name: u8, plan: &Plan) -> Ask {
    let adopts = Some(Arc::new(Adopts { stack: text("classic"), output: None }));
    let release = ReleaseDraft::New(Release { adopts, ..Release::draft("v0") });
    let (key, plan) = (Key([name; 16]), Arc::new(plan.clone()));
    Ask::Deploy { key, build_number: None, release, plan, trigger: Trigger::Person }
}

/// Tells the story as far as the order to the front.
fn cutting_over(plan: &Plan) -> Story {
    let mut story = Story::new();
    story.ask(adopt(1, plan)).unwrap();
    story.tick().unwrap();
    assert_eq!(story.effects(), [Effect::Ensure(n(1))]);
    story.stacks(&[well(1)]).tick().unwrap();
    story.front().staged = Some(n(1));
    story.tick().unwrap();
    assert!(matches!(story.tick(), Some(Event::CutOverOrdered { .. })));
    story
}

fn adopted(plan: &Plan) -> Story {
    let mut story = cutting_over(plan);
    story.obey();
    story.tick().unwrap();
    story.at(60);
    assert_eq!(story.tick(), Some(Event::Succeeded { number: n(1) }));
    story
}

/// It was given up: the stack and the front are left as they are, whatever else happens.
fn is_let_go(story: &mut Story) {
    assert_eq!((story.env.strangers(), story.retiring()), (&[n(1)][..], vec![]));
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
}

#[test]
fn a_stack_is_taken_over_and_is_the_way_back_of_the_first_deployment() {
    let mut story = adopted(&with_hooks(&[HookPoint::BeforeProvisioning, HookPoint::OnRollback, HookPoint::OnRetire]));
    assert_eq!(story.env.live().unwrap().plan.hooks.len(), 1, "of its hooks those are left that run on its end");
    story.live(2, &Plan::default());
    assert_eq!(story.env.standby().unwrap().stack.number, n(1));
    story.ask(Ask::Rollback(n(2), text("slow"))).unwrap();
    assert!(matches!(story.tick(), Some(Event::RevertOrdered { to: Some(Number(1)), .. })));
}

#[test]
fn once_found_good_it_is_torn_down_like_any_other() {
    let mut story = adopted(&with_hooks(&[HookPoint::OnRetire]));
    story.live(2, &Plan { retain: Retain::None, ..Plan::default() });
    assert_eq!(story.retiring(), [1]);
    story.hook_passes(1, HookPoint::OnRetire);
    assert!(matches!(&story.effects()[..], [Effect::Retire(permit)] if permit.number() == n(1)));
}

#[test]
fn it_is_adopted_only_where_nothing_is_live_queued_or_under_way() {
    let mut story = Story::new();
    story.ask(build(7, &Plan::default())).unwrap();
    story.refuses(adopt(1, &Plan::default()), "under way or being torn down; deployment 1 is");
    story.tick();
    story.refuses(adopt(1, &Plan::default()), "deployment 1 is");
    let mut story = adopted(&Plan::default());
    story.refuses(adopt(2, &Plan::default()), "deployment 1 is");
    story.ask(adopt(1, &Plan::default())).unwrap_err();
}

#[test]
fn what_was_adopted_is_never_stood_up_again() {
    let mut story = adopted(&Plan::default());
    let release = story.env.release_of(n(1)).unwrap().clone();
    assert_eq!(story.env.proven().count(), 0);
    story.live(2, &Plan { retain: Retain::None, ..Plan::default() });
    story.refuses(Ask::Rollback(n(2), text("slow")), "no earlier release");
    let Ask::Deploy { key, build_number, plan, trigger, .. } = build(3, &Plan::default()) else { unreachable!() };
    let again = Ask::Deploy { key, build_number, release: ReleaseDraft::Existing(release), plan, trigger };
    story.refuses(again.clone(), "release 1 was adopted with its stack");
    let rule = PromotionRule { after: Millis(0) };
    let said = due(&adopted(&Plan::default()).env, &Environment::default(), rule, Millis(1_000_000));
    assert_eq!(said, Due::Nothing(Why::Adopted(1)));
    assert!(Why::Adopted(1).to_string().contains("cannot be stood up"));
}

#[test]
fn an_adoption_that_fails_or_is_aborted_lets_the_stack_go() {
    let started = || {
        let mut story = Story::new();
        story.ask(adopt(1, &Plan::default())).unwrap();
        story.tick().unwrap();
        story
    };
    let mut story = started();
    story.at(600).tick().unwrap();
    is_let_go(&mut story);
    // The mark may come late.
    story.stacks(&[well(1)]);
    is_let_go(&mut story);
    let mut story = started();
    story.ask(Ask::Abort(n(1), text("no"))).unwrap();
    is_let_go(story.stacks(&[well(1)]));
    // Another try is another number.
    story.ask(adopt(2, &Plan::default())).unwrap();
    assert_eq!(story.tick(), Some(Event::Started { number: n(2) }));
}

#[test]
fn an_adoption_in_doubt_is_let_go_and_the_front_stays_as_it_is() {
    for obeyed in [false, true] {
        for by_hand in [false, true] {
            let mut story = cutting_over(&Plan::default());
            if obeyed {
                story.obey();
                story.seen.public = None;
            }
            if by_hand {
                let event = story.ask(Ask::Abort(n(1), text("no"))).unwrap();
                assert!(matches!(event, Event::Ended { outcome: Outcome::Aborted, .. }));
            } else {
                story.at(60);
                assert!(matches!(story.tick(), Some(Event::Ended { outcome: Outcome::Failed, .. })));
            }
            is_let_go(&mut story);
            // A build that comes to nothing is torn down all the same.
            story.ask(build(2, &Plan::default())).unwrap();
            story.tick().unwrap();
            story.ask(Ask::Abort(n(2), text("no"))).unwrap();
            story.stacks(&[well(1), well(2)]);
            assert!(matches!(&story.effects()[..], [Effect::Retire(permit)] if permit.number() == n(2)));
        }
    }
    let mut story = cutting_over(&Plan::default());
    let (number, outcome) = (n(1), Outcome::Failed);
    let undo = Event::RevertOrdered { number, to: None, generation: Generation(2), outcome, reason: text("") };
    assert!(story.apply(undo).is_err(), "the traffic was to be sent to nobody");
}

#[test]
fn one_that_was_not_found_good_is_let_go_by_its_successor() {
    let mut story = cutting_over(&Plan::default());
    story.obey();
    story.tick().unwrap();
    story.stacks(&[view(1, Condition::Ready, Health::Failing)]).at(60).falls();
    assert!(matches!(story.tick(), Some(Event::Ended { outcome: Outcome::Failed, .. })));
    assert_eq!(story.env.live().unwrap().number, n(1), "worse than a sick stack is none");
    story.up_to_baking(2, &Plan::default());
    assert_eq!((story.env.strangers(), story.retiring()), (&[n(1)][..], vec![]));
}

#[test]
fn a_front_that_shows_something_else_is_left_to_it_while_nothing_is_live() {
    let mut story = cutting_over(&Plan::default());
    story.ask(Ask::Abort(n(1), text("no"))).unwrap();
    (story.front().traffic, story.front().generation) = (Traffic::Whole(n(9)), Generation(3));
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
}

#[test]
fn one_that_was_there_is_never_looked_for_again() {
    let asks = |story: &Story| story.effects().iter().any(|e| matches!(e, Effect::Ensure(Number(1))));
    let half = view(1, Condition::Creating, Health::Unknown);
    for lost in [vec![], vec![view(1, Condition::Failed, Health::Unknown)], vec![half.clone()]] {
        let mut story = adopted(&Plan::default());
        assert!(!asks(story.stacks(&lost)), "live: {lost:?}");
        let mut story = adopted(&Plan::default());
        story.live(2, &Plan::default());
        let others: Vec<_> = lost.iter().cloned().chain([well(2)]).collect();
        assert!(!asks(story.stacks(&others)), "standby: {lost:?}");
        // What we made is brought back all the same.
        assert!(story.stacks(&[]).effects().contains(&Effect::Ensure(n(2))));
    }
    let mut story = Story::new();
    story.ask(adopt(1, &Plan::default())).unwrap();
    story.tick().unwrap();
    assert!(asks(story.stacks(std::slice::from_ref(&half))), "it is not there yet");
    story.stacks(&[well(1)]).tick().unwrap();
    assert!(!asks(story.stacks(&[half])));
}
