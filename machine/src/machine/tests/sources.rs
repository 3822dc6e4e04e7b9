//! Stack definitions that are read from the source repository.

use super::*;

/// A release whose definition stands in git.
fn from_git(version: &str) -> Release {
    Release { source: Some(text("deploy/stack.toml")), commit: Some(text("3f2c1e")), ..Release::draft(version) }
}

fn announce(name: u8, plan: Plan) -> Ask {
    let release = ReleaseDraft::New(from_git("v"));
    Ask::Deploy { key: Key([name; 16]), build_number: None, release, plan: Arc::new(plan), trigger: Trigger::Build }
}

fn awaiting(name: u8) -> Story {
    let mut story = Story::new();
    story.ask(announce(name, Plan::default())).unwrap();
    story.tick().unwrap();
    story
}

fn kept(story: &mut Story, digest: &str) {
    story.seen.definition = DefinitionView::Kept(text(digest));
    let number = story.env.active().unwrap().number;
    assert_eq!(story.tick(), Some(Event::DefinitionFrozen { number, definition: text(digest) }));
    story.seen.definition = DefinitionView::default();
}

/// Tells the story from the frozen definition to the end of the watch.
fn goes_live(story: &mut Story) -> Number {
    let number = story.env.active().unwrap().number;
    assert_eq!(story.effects(), [Effect::Ensure(number)]);
    let mut stacks = story.seen.stacks.clone().unwrap();
    stacks.push(well(number.0));
    story.stacks(&stacks).tick().unwrap();
    story.front().staged = Some(number);
    story.tick().unwrap();
    story.tick().unwrap();
    story.obey();
    assert_eq!(story.tick(), Some(Event::WentLive { number, host: None }));
    story.now = story.now.plus(Plan::default().bake);
    assert_eq!(story.tick(), Some(Event::Succeeded { number }));
    number
}

#[test]
fn nothing_is_stood_up_before_the_definition_is_recorded() {
    let mut story = awaiting(1);
    assert_eq!((story.effects(), story.tick()), (vec![Effect::Freeze(n(1))], None));
    story.stacks(&[well(1)]);
    assert_eq!(story.tick(), None, "a stack by that name proves nothing");
    assert!(story.apply(Event::Provisioned { number: n(1) }).is_err());
    story.stacks(&[]).at(500);
    kept(&mut story, "d1");
    assert_eq!(&*story.env.release_of(n(1)).unwrap().definition, "d1");
    assert!(story.apply(Event::DefinitionFrozen { number: n(1), definition: text("d2") }).is_err());
    goes_live(&mut story);
    assert_eq!(&*story.env.live().unwrap().release.definition, "d1");
}

#[test]
fn a_definition_is_frozen_only_while_its_stack_is_to_be_stood_up() {
    let mut story = Story::new();
    let frozen = Event::DefinitionFrozen { number: n(1), definition: text("d") };
    assert!(story.apply(frozen.clone()).is_err());
    let gate = Gate { timeout: Millis(1), otherwise: Otherwise::Abort, by: Vec::new(), not_the_asker: false };
    story.ask(announce(1, Plan { before_provisioning: Some(gate), ..Plan::default() })).unwrap();
    story.tick().unwrap();
    assert_eq!(story.effects(), [], "nobody agreed to it yet");
    assert!(story.apply(frozen).is_err());
}

#[test]
fn a_repository_that_does_not_answer_in_time_ends_the_deployment_and_says_why() {
    let mut story = awaiting(1);
    story.seen.definition = DefinitionView::Unread(Some(text("git.example did not answer within 10s")));
    story.at(599);
    assert_eq!((story.tick(), story.effects()), (None, vec![Effect::Freeze(n(1))]));
    story.at(600);
    story.tick().unwrap();
    let (state, why) = story.env.deployment_state(n(1)).unwrap();
    assert_eq!(state, DeploymentState::Failed);
    let said = "its stack definition could not be read in time (600 s): git.example did not answer within 10s";
    assert_eq!(why, Some(said));
    assert_eq!(story.retiring(), [1]);
    assert_eq!(story.tick(), Some(Event::Retired { number: n(1) }));
}

#[test]
fn a_definition_that_is_not_there_ends_the_deployment_at_once_with_that_reason() {
    let mut story = awaiting(1);
    story.seen.definition = DefinitionView::Refused(text("deploy/stack.toml is not in commit 3f2c1e"));
    assert_eq!(story.effects(), []);
    story.tick().unwrap();
    let failed = (DeploymentState::Failed, Some("deploy/stack.toml is not in commit 3f2c1e"));
    assert_eq!(story.env.deployment_state(n(1)), Some(failed));
}

#[test]
fn an_abort_does_not_wait_for_the_repository() {
    let mut story = awaiting(1);
    story.ask(Ask::Abort(n(1), text("no"))).unwrap();
    assert_eq!((story.state(n(1)), story.effects()), (DeploymentState::Aborted, vec![]));
    story.seen.definition = DefinitionView::Kept(text("late"));
    assert_eq!(story.tick(), Some(Event::Retired { number: n(1) }));
    assert!(story.apply(Event::DefinitionFrozen { number: n(1), definition: text("late") }).is_err());
}

#[test]
fn a_warm_rollback_goes_before_a_deployment_that_waits_for_the_repository() {
    let mut story = Story::new();
    let plan = Plan { retain: Retain::UntilNext, ..Plan::default() };
    story.live(1, &plan);
    story.live(2, &plan);
    story.ask(announce(3, Plan::default())).unwrap();
    story.tick().unwrap();
    assert_eq!(story.effects(), [Effect::Freeze(n(3))]);
    story.ask(Ask::Rollback(n(2), text("bad"))).unwrap();
    assert_eq!(story.state(n(3)), DeploymentState::Aborted);
    assert!(matches!(story.tick(), Some(Event::Retired { .. })));
    assert!(matches!(story.tick(), Some(Event::RevertOrdered { to: Some(Number(1)), .. })));
}

#[test]
fn a_cold_rollback_brings_the_frozen_definition_back_without_the_repository() {
    let mut story = Story::new();
    let plan = || Plan { retain: Retain::None, ..Plan::default() };
    for (name, digest) in [(1, "d1"), (2, "d2")] {
        story.ask(announce(name, plan())).unwrap();
        story.tick().unwrap();
        kept(&mut story, digest);
        goes_live(&mut story);
    }
    story.ask(Ask::Rollback(n(2), text("bad"))).unwrap();
    story.stacks(&[well(2)]);
    while story.env.active().is_none() {
        story.tick().unwrap();
    }
    let back = story.env.active().unwrap();
    assert_eq!((back.number, back.trigger, &*back.release.definition), (n(3), Trigger::Rollback, "d1"));
    assert_eq!(story.effects(), [Effect::Ensure(n(3))]);
}

#[test]
fn a_promoted_release_awaits_the_definition_of_its_new_environment() {
    let release = Release { number: 7, definition: text(""), source: Some(text("prod.toml")), ..from_git("v7") };
    let mut story = Story::new();
    let (key, plan) = (Key([1; 16]), Arc::new(Plan::default()));
    let release = ReleaseDraft::Existing(Arc::new(release));
    story.ask(Ask::Deploy { key, build_number: None, release, plan, trigger: Trigger::Person }).unwrap();
    story.tick().unwrap();
    assert_eq!(story.effects(), [Effect::Freeze(n(1))]);
    kept(&mut story, "prod's");
    goes_live(&mut story);
    let live = &story.env.live().unwrap().release;
    assert_eq!((live.number, &*live.definition), (7, "prod's"));
}
