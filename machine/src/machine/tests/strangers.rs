//! Making a stack live that bears our mark and that the journal does not know.

use super::{hooks::plan as with_hooks, *};
use crate::machine::promotion::{Due, PromotionRule, Why, due};

fn adopt(number: u32, name: u8, plan: &Plan) -> Ask {
    let (release, plan) = (Release::draft("before"), Arc::new(plan.clone()));
    Ask::AdoptStranger { number: n(number), key: Key([name; 16]), release, plan }
}

/// One is live, and 7 is a stranger that is well.
fn restored() -> Story {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    story.stacks(&[well(1), well(7)]);
    assert_eq!(story.tick(), Some(Event::StrangerFound { number: n(7) }));
    story
}

/// Tells of a lost journal: nothing is live, and users have 7 from before.
fn journal_lost() -> Story {
    let mut story = Story::new();
    (story.front().traffic, story.front().generation) = (Traffic::Whole(n(7)), Generation(40));
    story.stacks(&[well(7)]);
    assert_eq!(story.tick(), Some(Event::StrangerFound { number: n(7) }));
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
    story
}

/// Tells the story as far as the order to the front.
fn cutting_over(story: &mut Story) {
    story.ask(adopt(7, 7, &Plan::default())).unwrap();
    assert_eq!(story.tick(), Some(Event::Started { number: n(7) }));
    assert_eq!(story.effects(), [], "nothing is made");
    assert_eq!(story.tick(), Some(Event::Provisioned { number: n(7) }));
    story.front().staged = Some(n(7));
    assert_eq!(story.tick(), Some(Event::Checked { number: n(7), answers: Vec::new() }));
    assert!(matches!(story.tick(), Some(Event::CutOverOrdered { .. })));
}

fn adopted(mut story: Story) -> Story {
    cutting_over(&mut story);
    story.obey();
    assert_eq!(story.tick(), Some(Event::WentLive { number: n(7), host: None }));
    story.now = story.now.plus(Plan::default().bake);
    assert_eq!(story.tick(), Some(Event::Succeeded { number: n(7) }));
    story
}

/// It is a stranger as it was before, and nothing is done to it.
fn is_left_alone(story: &mut Story) {
    assert_eq!((story.env.strangers(), story.retiring()), (&[n(7)][..], vec![]));
    assert_eq!(story.env.unknown_stacks().collect::<Vec<_>>(), [n(7)]);
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
}

#[test]
fn it_is_live_under_its_own_number_and_what_was_live_is_the_way_back() {
    let mut story = adopted(restored());
    let live = story.env.live().unwrap();
    assert_eq!((live.number, &*live.release.version, live.proven), (n(7), "before", true));
    assert_eq!(story.env.standby().unwrap().stack.number, n(1));
    assert_eq!((story.env.strangers(), story.env.last_number()), (&[][..], n(7)));
    // From now on it is ours: started again for ever, and torn down when its time is over.
    story.stacks(&[well(1)]).falls();
    assert_eq!(story.effects(), [Effect::Ensure(n(7))]);
    story.ask(Ask::Rollback(n(7), text("slow"))).unwrap();
    assert!(matches!(story.tick(), Some(Event::RevertOrdered { to: Some(Number(1)), .. })));
    story.obey();
    assert_eq!(story.tick(), Some(Event::Reverted { number: n(7), host: None }));
    assert_eq!(story.retiring(), [7]);
}

#[test]
fn one_that_fails_its_checks_is_left_alone_with_the_reason() {
    let mut story = restored();
    story.ask(adopt(7, 7, &Plan::default())).unwrap();
    story.tick().unwrap();
    story.tick().unwrap();
    assert_eq!(story.env.unknown_stacks().count(), 0, "it is a candidate");
    let bad = StackView { remark: Some(text("/healthz answers 500")), ..view(7, Condition::Ready, Health::Failing) };
    story.stacks(&[well(1), bad]);
    let Some(Event::Ended { outcome: Outcome::Failed, reason, .. }) = story.tick() else { panic!("it goes on") };
    assert_eq!(&*reason, "/healthz answers 500; stack 7 is left as it is, a stranger again");
    is_left_alone(&mut story);
    // The same release is the same in the next try, so that a veto of it counts.
    story.ask(adopt(7, 8, &Plan::default())).unwrap();
    assert_eq!(story.env.queue()[0].release.number, 2);
    story.ask(Ask::Abort(n(7), text("no"))).unwrap();
    story.ask(Ask::Veto(2, text("loses orders"))).unwrap();
    story.refuses(adopt(7, 9, &Plan::default()), "release 2 is vetoed: loses orders");
}

#[test]
fn one_that_turns_bad_while_it_is_watched_gives_the_traffic_back_and_is_left_alone() {
    let mut story = restored();
    cutting_over(&mut story);
    story.obey();
    story.tick().unwrap();
    story.stacks(&[well(1), view(7, Condition::Ready, Health::Failing)]).at(1_000).falls();
    let Some(Event::RevertOrdered { to, outcome, .. }) = story.tick() else { panic!("it stays") };
    assert_eq!((to, outcome), (Some(n(1)), Outcome::RolledBack));
    story.obey();
    assert_eq!(story.tick(), Some(Event::Reverted { number: n(7), host: None }));
    is_left_alone(&mut story);
}

#[test]
fn an_abort_amid_the_cutover_sends_users_back_to_what_is_live_and_leaves_it_alone() {
    let mut story = restored();
    cutting_over(&mut story);
    let undo = story.ask(Ask::Abort(n(7), text("no"))).unwrap();
    assert!(matches!(undo, Event::RevertOrdered { to: Some(Number(1)), .. }), "{undo:?}");
    story.obey();
    assert_eq!(story.tick(), Some(Event::Reverted { number: n(7), host: None }));
    is_left_alone(&mut story);
}

#[test]
fn one_that_is_gone_is_not_made_again() {
    let mut story = restored();
    story.ask(adopt(7, 7, &Plan::default())).unwrap();
    story.tick().unwrap();
    story.stacks(&[well(1)]);
    assert_eq!(story.effects(), []);
    let Some(Event::Ended { reason, .. }) = story.tick() else { panic!("it is waited for") };
    assert!(reason.starts_with("its stack is gone"), "{reason}");
    // One whose parts ended is started again: that makes nothing.
    let mut story = restored();
    story.ask(adopt(7, 7, &Plan::default())).unwrap();
    story.tick().unwrap();
    story.stacks(&[well(1), view(7, Condition::Creating, Health::Unknown)]);
    assert_eq!(story.effects(), [Effect::Ensure(n(7))]);
}

#[test]
fn only_a_stranger_is_adopted_and_only_while_nothing_else_goes_on() {
    let plan = Plan::default();
    let mut story = restored();
    for (number, what) in [(1, "stack 1 is live"), (9, "stack 9 was not found here")] {
        story.refuses(adopt(number, 7, &plan), what);
    }
    story.ask(build(2, &plan)).unwrap();
    story.refuses(adopt(7, 7, &plan), "stack 7 is not adopted while deployment 8 is queued");
    story.tick().unwrap();
    story.refuses(adopt(7, 7, &plan), "deployment 8 is under way");
    let mut story = restored();
    story.ask(adopt(7, 7, &plan)).unwrap();
    assert_eq!(story.env.command(&adopt(7, 7, &plan).into(), "test"), Err(Refusal::Duplicate(n(7))));
    story.refuses(Ask::DismissStranger(n(7), text("tidy")), "belongs to a deployment that is queued");
    story.ask(Ask::Abort(n(7), text("no"))).unwrap();
    story.ask(Ask::DismissStranger(n(7), text("tidy"))).unwrap();
    story.refuses(adopt(7, 8, &plan), "is being torn down already");
    // What was to be adopted from elsewhere and was let go is somebody else's, whatever its number.
    let mut story = Story::new();
    let adopts = Some(Arc::new(Adopts { stack: text("classic"), output: None }));
    let release = ReleaseDraft::New(Release { adopts, ..Release::draft("v0") });
    let (key, plan, trigger) = (Key([1; 16]), Arc::new(plan), Trigger::Person);
    story.ask(Ask::Deploy { key, build_number: None, release, plan, trigger }).unwrap();
    story.tick().unwrap();
    story.ask(Ask::Abort(n(1), text("no"))).unwrap();
    story.refuses(adopt(1, 7, &Plan::default()), "was let go, so it is somebody else's");
}

#[test]
fn with_nothing_live_users_keep_it_while_it_is_adopted_and_when_that_fails() {
    let story = adopted(journal_lost());
    assert_eq!((story.env.live().unwrap().number, story.env.standby().is_none()), (n(7), true));
    // Queued behind a pin, checked, in doubt: no look takes it from users.
    let mut story = journal_lost();
    story.ask(Ask::Pin(9)).unwrap();
    story.ask(adopt(7, 7, &Plan::default())).unwrap();
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
    story.ask(Ask::Unpin).unwrap();
    story.ask(Ask::Abort(n(7), text("no"))).unwrap();
    is_left_alone(&mut story);
    let mut story = journal_lost();
    story.ask(adopt(7, 7, &Plan::default())).unwrap();
    story.tick().unwrap();
    story.tick().unwrap();
    story.at(1_000);
    assert!(matches!(story.tick(), Some(Event::Ended { outcome: Outcome::Failed, .. })));
    is_left_alone(&mut story);
    let mut story = journal_lost();
    cutting_over(&mut story);
    assert!(matches!(story.ask(Ask::Abort(n(7), text("no"))), Ok(Event::Ended { .. })), "users stay");
    is_left_alone(&mut story);
}

#[test]
fn a_late_order_to_one_that_is_ended_is_overtaken_first() {
    let mut story = journal_lost();
    story.front().traffic = Traffic::Nobody;
    cutting_over(&mut story);
    story.ask(Ask::Abort(n(7), text("no"))).unwrap();
    story.ask(Ask::DismissStranger(n(7), text("tidy"))).unwrap();
    assert!(!story.effects().iter().any(|effect| matches!(effect, Effect::Retire(_))), "the order may yet arrive");
    assert!(matches!(story.tick(), Some(Event::DriftSeen { .. })));
    story.obey();
    assert_eq!(story.tick(), Some(Event::DriftMended));
    assert!(matches!(&story.effects()[..], [Effect::Retire(permit)] if permit.number() == n(7)));
}

#[test]
fn its_hooks_are_those_of_its_end_and_no_rule_promotes_it() {
    let mut story = restored();
    let plan = with_hooks(&[HookPoint::BeforeProvisioning, HookPoint::AfterCutover, HookPoint::OnRetire]);
    story.ask(adopt(7, 7, &plan)).unwrap();
    assert_eq!(story.env.queue()[0].plan.hooks.len(), 1, "the others ran long ago");
    let story = adopted(restored());
    let said = due(&story.env, &Environment::default(), PromotionRule { after: Millis(0) }, Millis(u64::MAX / 2));
    assert_eq!(said, Due::Nothing(Why::WasAStranger(2)));
    assert!(Why::WasAStranger(2).to_string().contains("a person may promote it"));
}
