//! What is run besides: nothing goes past a point before its hooks have passed.

use super::{HookPoint::*, *};

pub(super) fn hook(name: &str, at: HookPoint) -> Hook {
    Hook { name: text(name), at, within: Millis(100_000), one_way: false }
}

/// A plan with one hook at each of these points, called like it.
pub(super) fn plan(points: &[HookPoint]) -> Plan {
    Plan { hooks: points.iter().map(|at| hook(at.as_str(), *at)).collect(), ..Plan::default() }
}

impl Story {
    /// The hook of that point, if it is what is due next, is ordered, and its run is to begin.
    fn orders(&mut self, number: u32, at: HookPoint) -> Effect {
        let hook = text(at.as_str());
        assert_eq!(self.tick(), Some(Event::HookOrdered { number: n(number), hook: hook.clone(), point: at }));
        let run = Effect::RunHook { number: n(number), hook };
        assert!(self.effects().contains(&run), "{:?}", self.effects());
        run
    }

    fn run_is(&mut self, number: u32, at: HookPoint, state: HookState) -> &mut Self {
        let hook = text(at.as_str());
        self.seen.hooks.retain(|view| view.number != n(number) || view.hook != hook);
        self.seen.hooks.push(HookView { number: n(number), hook, state });
        self
    }

    /// It runs, is not begun again, and passes.
    pub(super) fn hook_passes(&mut self, number: u32, at: HookPoint) {
        let run = self.orders(number, at);
        self.run_is(number, at, HookState::Running);
        assert_eq!((self.tick(), self.effects().contains(&run)), (None, false));
        self.run_is(number, at, HookState::Passed { said: text("ok") });
        let Some(Event::HookFinished { reason: None, said, point, .. }) = self.tick() else { unreachable!() };
        assert_eq!((&*said, point), ("ok", at));
    }

    pub(super) fn hook_fails(&mut self, number: u32, at: HookPoint) {
        self.orders(number, at);
        self.run_is(number, at, HookState::Failed { reason: text("exit 1"), said: text("") });
        assert!(matches!(self.tick(), Some(Event::HookFinished { reason: Some(_), .. })));
    }

    fn asked(plan: &Plan) -> Self {
        let mut story = Self::new();
        story.ask(build(1, plan)).unwrap();
        story.tick().unwrap();
        story
    }

    /// Its stack is up and the front knows it.
    fn up(&mut self) -> &mut Self {
        self.stacks(&[well(1)]);
        assert_eq!(self.tick(), Some(Event::Provisioned { number: n(1) }));
        self.front().staged = Some(n(1));
        assert_eq!(self.tick(), Some(Event::Checked { number: n(1), answers: Vec::new() }));
        self
    }
}

fn failed(story: &mut Story, words: &str) {
    let Some(Event::Ended { outcome: Outcome::Failed, reason, .. }) = story.tick() else {
        unreachable!("{:?}", story.env.active())
    };
    assert!(reason.contains(words), "{reason}");
}

fn calls(story: &mut Story, words: &str) {
    let event = story.tick();
    let Some(Event::OperatorNeeded { reason, .. }) = event else { unreachable!("{event:?}") };
    assert!(reason.contains(words), "{reason}");
}

#[test]
fn nothing_is_stood_up_before_its_hooks_have_passed() {
    let mut story = Story::asked(&plan(&[BeforeProvisioning]));
    assert_eq!(story.effects(), []);
    assert!(story.apply(Event::Provisioned { number: n(1) }).is_err());
    story.hook_passes(1, BeforeProvisioning);
    assert_eq!(story.effects(), [Effect::Ensure(n(1))]);
    assert_eq!(story.env.hooks_ordered().count(), 0);
}

#[test]
fn hooks_run_at_their_points_one_after_the_other_and_health_is_read_after_the_last() {
    let at = [AfterChecks, BeforeCutover];
    let mut story = Story::asked(&plan(&at));
    story.up();
    assert_eq!((story.phase(), story.state(n(1))), (&Phase::AfterChecks, DeploymentState::Checking));
    story.hook_passes(1, AfterChecks);
    assert_eq!((story.phase(), story.env.must_probe()), (&Phase::Verifying, None));
    assert!(story.apply(Event::CutOverOrdered { number: n(1), generation: Generation(1), share: None }).is_err());
    story.hook_passes(1, BeforeCutover);
    assert_eq!(story.env.must_probe(), Some(n(1)));
    assert!(matches!(story.tick(), Some(Event::CutOverOrdered { .. })));
}

#[test]
fn two_hooks_of_one_point_run_in_the_order_of_the_file() {
    let hooks = vec![hook("b", BeforeCutover), hook("a", BeforeProvisioning), hook("c", BeforeProvisioning)];
    let mut story = Story::asked(&Plan { hooks, ..Plan::default() });
    for name in ["a", "c"] {
        assert!(matches!(story.tick(), Some(Event::HookOrdered { hook, .. }) if *hook == *name));
        let state = HookState::Passed { said: text("") };
        story.seen.hooks = vec![HookView { number: n(1), hook: text(name), state }];
        assert!(matches!(story.tick(), Some(Event::HookFinished { hook, .. }) if *hook == *name));
    }
    assert_eq!(story.effects(), [Effect::Ensure(n(1))]);
}

#[test]
fn the_question_to_a_person_comes_after_the_hooks_after_the_checks_and_before_those_before_the_cutover() {
    let gate = Gate { timeout: Millis(10), otherwise: Otherwise::Abort, by: vec![], not_the_asker: false };
    let terms = Plan { before_cutover: Some(gate), ..plan(&[AfterChecks, BeforeCutover]) };
    let mut story = Story::asked(&terms);
    story.up();
    story.refuses(Ask::Approve(n(1), GateName::BeforeCutover), "does not wait for an approval");
    story.hook_passes(1, AfterChecks);
    assert_eq!(story.phase(), &Phase::AwaitingCutover);
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
    story.ask(Ask::Approve(n(1), GateName::BeforeCutover)).unwrap();
    story.hook_passes(1, BeforeCutover);
}

#[test]
fn a_hook_that_fails_before_the_cutover_ends_the_deployment_and_the_traffic_stays() {
    let mut story = Story::asked(&plan(&[BeforeProvisioning]));
    story.hook_fails(1, BeforeProvisioning);
    assert_eq!(story.effects(), []);
    failed(&mut story, "hook before-provisioning failed: exit 1");
    for at in [AfterChecks, BeforeCutover] {
        let mut story = Story::asked(&plan(&[at]));
        story.up().hook_fails(1, at);
        failed(&mut story, "failed: exit 1");
        assert_eq!((story.retiring(), story.env.generation()), (vec![1], Generation(0)));
    }
}

#[test]
fn a_hook_that_gives_no_result_in_time_has_failed() {
    for run in [None, Some(HookState::Running)] {
        let mut story = Story::asked(&plan(&[BeforeProvisioning]));
        // Its time counts from its order, however long nobody was there to give it.
        story.at(7_000).orders(1, BeforeProvisioning);
        if let Some(state) = run {
            story.run_is(1, BeforeProvisioning, state);
        }
        story.at(7_099);
        assert_eq!(story.tick(), None);
        story.at(7_100);
        let Some(Event::HookFinished { reason: Some(reason), .. }) = story.tick() else { unreachable!() };
        assert_eq!(&*reason, "it gave no result in time (100 s)");
        failed(&mut story, "in time");
    }
}

#[test]
fn no_hook_begins_for_a_stack_that_is_not_well() {
    for at in [AfterChecks, BeforeCutover] {
        let mut story = Story::asked(&plan(&[at]));
        story.up().stacks(&[view(1, Condition::Ready, Health::Unknown)]);
        assert_eq!((story.tick(), story.effects()), (None, vec![]));
        story.at(300);
        failed(&mut story, "not well in time for its hooks");
        let mut story = Story::asked(&plan(&[at]));
        story.up().stacks(&[]);
        failed(&mut story, "its stack is gone");
        // One that runs already is waited for.
        let mut story = Story::asked(&plan(&[at]));
        story.up().orders(1, at);
        story.stacks(&[]);
        assert_eq!(story.tick(), None);
        story.run_is(1, at, HookState::Passed { said: text("") }).tick().unwrap();
        failed(&mut story, "its stack is gone");
    }
}

#[test]
fn no_hook_begins_while_the_front_is_astray() {
    let mut story = Story::asked(&plan(&[BeforeProvisioning]));
    (story.front().traffic, story.front().generation) = (Traffic::Whole(n(1)), Generation(3));
    assert!(matches!(story.tick(), Some(Event::DriftSeen { .. })));
    assert_eq!(story.tick(), None);
    story.at(600);
    calls(&mut story, "does not take the order that puts it right");
    failed(&mut story, "could not begin in time");
    let mut story = Story::asked(&plan(&[BeforeProvisioning]));
    let run = story.orders(1, BeforeProvisioning);
    (story.front().traffic, story.front().generation) = (Traffic::Whole(n(1)), Generation(3));
    story.tick().unwrap();
    assert!(!story.effects().contains(&run));
}

#[test]
fn a_deployment_counts_only_when_the_hooks_after_its_cutover_have_passed() {
    let mut story = Story::new();
    story.up_to_baking(1, &plan(&[AfterCutover]));
    story.orders(1, AfterCutover);
    story.at(99);
    assert_eq!(story.tick(), None);
    assert!(story.apply(Event::Succeeded { number: n(1) }).is_err());
    story.run_is(1, AfterCutover, HookState::Passed { said: text("") }).tick().unwrap();
    assert_eq!(story.tick(), Some(Event::Succeeded { number: n(1) }));
    // And they do not make its watch shorter.
    let mut story = Story::new();
    story.up_to_baking(1, &plan(&[AfterCutover]));
    story.hook_passes(1, AfterCutover);
    assert_eq!(story.tick(), None);
}

#[test]
fn a_hook_that_fails_after_the_cutover_sends_the_traffic_back() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    story.up_to_baking(2, &plan(&[AfterCutover]));
    story.hook_fails(2, AfterCutover);
    let Some(Event::RevertOrdered { to, outcome, reason, .. }) = story.tick() else { unreachable!() };
    assert_eq!((to, outcome), (Some(n(1)), Outcome::RolledBack));
    assert_eq!(&*reason, "hook after-cutover failed: exit 1");
}

#[test]
fn one_that_failed_after_the_cutover_waits_for_news_of_the_standby() {
    let failed_after_bake = || {
        let mut story = Story::new();
        story.live(1, &Plan::default());
        story.up_to_baking(2, &plan(&[AfterCutover]));
        story.at(60 + 70).hook_fails(2, AfterCutover);
        story.stacks(&[view(1, Condition::Ready, Health::Unknown), well(2)]);
        assert_eq!(story.tick(), None);
        story
    };
    let mut story = failed_after_bake();
    story.stacks(&[well(1), well(2)]);
    let Some(Event::RevertOrdered { to, reason, .. }) = story.tick() else { unreachable!() };
    assert_eq!((to, &*reason), (Some(n(1)), "hook after-cutover failed: exit 1"));
    let mut story = failed_after_bake();
    story.at(60 + 70 + 299);
    assert_eq!(story.tick(), None);
    story.at(60 + 70 + 300);
    calls(&mut story, "the standby 1 is not seen good either");
    story.stacks(&[view(1, Condition::Ready, Health::Failing), well(2)]);
    failed(&mut story, "there is no healthy stack to go back to");
}

#[test]
fn a_hook_that_runs_keeps_no_sick_stack_waiting_for_news_of_the_standby() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    story.up_to_baking(2, &plan(&[AfterCutover]));
    story.at(60 + 60).orders(2, AfterCutover);
    let unknown = view(1, Condition::Ready, Health::Unknown);
    story.stacks(&[unknown, view(2, Condition::Ready, Health::Failing)]).at(60 + 60 + 299).falls();
    assert_eq!(story.tick(), None);
    story.at(60 + 60 + 300);
    calls(&mut story, "the standby 1 is not seen good either");
    story.stacks(&[view(2, Condition::Ready, Health::Failing)]);
    failed(&mut story, "stays live");
}

#[test]
fn a_person_is_called_once_when_a_front_astray_lets_no_hook_begin_after_the_cutover() {
    let mut story = Story::new();
    story.up_to_baking(1, &plan(&[AfterCutover]));
    (story.front().traffic, story.front().generation) = (Traffic::Nobody, Generation(3));
    assert!(matches!(story.tick(), Some(Event::DriftSeen { .. })));
    story.seen.front = None;
    story.at(60 + 300 + 59);
    calls(&mut story, "the front does not answer");
    assert_eq!(story.tick(), None);
    story.at(60 + 300 + 60);
    let Some(Event::OperatorNeeded { reason, .. }) = story.tick() else { unreachable!() };
    assert!(reason.contains("the front is not where it was sent"), "{reason}");
    assert_eq!((story.tick(), story.state(n(1))), (None, DeploymentState::NeedsOperator));
    // It answers again.
    story.obey();
    assert_eq!(story.tick(), Some(Event::DriftMended));
    story.orders(1, AfterCutover);
    assert_eq!(story.state(n(1)), DeploymentState::Baking);
    story.run_is(1, AfterCutover, HookState::Passed { said: text("") }).tick().unwrap();
    assert_eq!(story.tick(), Some(Event::Succeeded { number: n(1) }));
}

#[test]
fn a_stack_keeps_its_release_for_its_last_hooks() {
    let mut story = Story::new();
    let plan = Plan { retain: Retain::UntilNext, ..plan(&[OnRetire]) };
    story.live(1, &plan);
    story.live(2, &plan);
    for name in 3..3 + u8::try_from(Environment::ENDED_KEPT).unwrap() {
        let Event::Accepted { number, .. } = story.ask(build(name, &plan)).unwrap() else { unreachable!() };
        story.ask(Ask::Abort(number, text("no"))).unwrap();
    }
    assert!(story.env.ended().iter().all(|e| e.number > n(2)));
    story.up_to_baking(20, &plan);
    assert_eq!((story.retiring(), story.env.release_of(n(1)).unwrap().number), (vec![1], 1));
}

#[test]
fn with_nothing_to_go_back_to_it_stays_live_and_has_failed() {
    let mut story = Story::new();
    story.up_to_baking(1, &plan(&[AfterCutover]));
    story.hook_fails(1, AfterCutover);
    assert_eq!(story.tick(), None);
    story.at(60);
    failed(&mut story, "hook after-cutover failed: exit 1; there is no healthy stack to go back to, so it stays live");
    assert_eq!(story.env.live().map(|s| (s.number, s.proven)), Some((n(1), false)));
}

#[test]
fn a_stack_that_is_sick_goes_back_at_once_whatever_runs() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    story.up_to_baking(2, &plan(&[AfterCutover]));
    story.orders(2, AfterCutover);
    story.stacks(&[well(1), view(2, Condition::Ready, Health::Failing)]).falls();
    assert!(matches!(story.tick(), Some(Event::RevertOrdered { .. })));
    assert_eq!((story.env.hooks_ordered().count(), story.env.active().unwrap().hook()), (0, None));
}

#[test]
fn what_was_sent_back_is_told_so_and_is_torn_down_after_its_hooks() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    story.up_to_baking(2, &plan(&[OnRollback, OnRetire]));
    story.ask(Ask::Rollback(n(2), text("slow"))).unwrap();
    story.tick().unwrap();
    story.obey();
    story.front().busy = vec![n(2)];
    assert_eq!(story.tick(), Some(Event::Reverted { number: n(2), host: None }));
    story.hook_passes(2, OnRollback);
    // Requests are still in flight on it.
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
    story.front().busy = vec![];
    story.orders(2, OnRetire);
    assert!(!story.effects().iter().any(|e| matches!(e, Effect::Retire(_))));
    story.run_is(2, OnRetire, HookState::Failed { reason: text("exit 1"), said: text("") }).tick().unwrap();
    assert!(matches!(&story.effects()[..], [Effect::Retire(permit)] if permit.number() == n(2)));
}

#[test]
fn a_stack_that_is_gone_owes_only_the_hooks_on_its_rollback() {
    let mut story = Story::new();
    story.up_to_cutover(1, &plan(&[OnRollback, OnRetire]));
    story.ask(Ask::Abort(n(1), text("no"))).unwrap();
    story.obey();
    story.tick().unwrap();
    story.stacks(&[]);
    story.hook_passes(1, OnRollback);
    assert_eq!(story.tick(), Some(Event::Retired { number: n(1) }));
}

#[test]
fn what_a_cold_rollback_displaces_was_sent_back_too() {
    let mut story = Story::new();
    let terms = Plan { retain: Retain::None, ..plan(&[OnRollback]) };
    story.live(1, &terms);
    story.live(2, &terms);
    story.stacks(&[well(2)]).tick().unwrap();
    story.ask(Ask::Rollback(n(2), text("slow"))).unwrap();
    assert_eq!(story.tick(), Some(Event::Started { number: n(3) }));
    story.stacks(&[well(2), well(3)]).tick().unwrap();
    story.front().staged = Some(n(3));
    story.tick().unwrap();
    story.tick().unwrap();
    story.obey();
    assert_eq!(story.tick(), Some(Event::WentLive { number: n(3), host: None }));
    story.hook_passes(2, OnRollback);
    // An ordinary successor displaces without it.
    let mut story = Story::new();
    story.live(1, &terms);
    story.live(2, &terms);
    assert_eq!((story.retiring(), story.env.retiring()[0].hooks.len()), (vec![1], 0));
}

#[test]
fn a_person_is_called_for_a_tear_down_only_after_its_hooks() {
    let mut story = Story::new();
    let terms = Plan { retain: Retain::None, ..plan(&[OnRetire]) };
    story.live(1, &terms);
    story.live(2, &terms);
    story.at(120 + 629).orders(1, OnRetire);
    story.at(120 + 629 + 99);
    assert_eq!(story.tick(), None);
    story.at(120 + 629 + 100);
    assert!(matches!(story.tick(), Some(Event::HookFinished { .. })));
    assert_eq!(story.tick(), None);
    story.at(120 + 629 + 100 + 600);
    assert!(matches!(story.tick(), Some(Event::OperatorNeeded { .. })));
}

#[test]
fn what_one_way_hooks_have_done_is_said_where_a_deployment_ends_without_being_seen() {
    let one_way = |at| Plan { hooks: vec![Hook { one_way: true, ..hook("migrate", at) }], ..Plan::default() };
    let begin = || {
        let mut story = Story::asked(&one_way(BeforeProvisioning));
        story.tick().unwrap();
        story
    };
    let aborted = |mut story: Story| {
        let event = story.ask(Ask::Abort(n(1), text("no"))).unwrap();
        let (Event::Ended { reason, .. } | Event::RevertOrdered { reason, .. }) = event else { unreachable!() };
        reason.to_string()
    };
    assert_eq!(aborted(Story::asked(&one_way(BeforeProvisioning))), "no");
    let may = "no; hook migrate is one way and may have begun: what it has changed stays changed";
    assert_eq!(aborted(begin()), may);
    let passed = |mut story: Story| {
        let state = HookState::Passed { said: text("") };
        story.seen.hooks = vec![HookView { number: n(1), hook: text("migrate"), state }];
        story.tick().unwrap();
        story
    };
    assert_eq!(aborted(passed(begin())), "no; hook migrate is one way: what it has changed stays changed");
    let mut story = passed(begin());
    story.stacks(&[view(1, Condition::Failed, Health::Unknown)]);
    failed(&mut story, "its stack failed; hook migrate is one way");
    let mut story = Story::new();
    story.up_to_baking(1, &one_way(AfterCutover));
    assert!(story.env.one_way_hooks().is_empty());
    story.tick().unwrap();
    assert_eq!(story.env.one_way_hooks().len(), 1);
}

#[test]
fn records_of_hooks_fit_the_state_or_are_refused() {
    let event = |hook: &str, order: bool| match order {
        true => Event::HookOrdered { number: n(1), hook: text(hook), point: BeforeProvisioning },
        false => {
            let (hook, said) = (text(hook), text(""));
            Event::HookFinished { number: n(1), hook, point: BeforeProvisioning, reason: None, said }
        }
    };
    let mut story = Story::asked(&plan(&[BeforeProvisioning, AfterChecks]));
    assert!(story.apply(event("before-provisioning", false)).is_err());
    assert!(story.apply(event("after-checks", true)).is_err());
    story.happens(event("before-provisioning", true));
    assert!(story.apply(event("before-provisioning", true)).is_err());
    story.happens(event("before-provisioning", false));
    assert!(story.apply(event("before-provisioning", false)).is_err());
    assert!(Story::new().apply(event("before-provisioning", true)).is_err());
}

#[test]
fn a_plan_and_a_state_without_hooks_are_written_as_they_always_were() {
    let plan = serde_json::to_value(Plan::default()).unwrap();
    assert!(plan.get("hooks").is_none());
    let story = Story::asked(&Plan::default());
    let state = serde_json::to_value(&story.env).unwrap();
    assert!(state["active"].get("progress").is_none() && state.get("let_go").is_none());
    assert_eq!(serde_json::from_value::<Environment>(state).unwrap(), story.env);
    let hook = r#"{"name":"migrate","at":"after_checks","within":1}"#;
    assert_eq!(serde_json::to_string(&serde_json::from_str::<Hook>(hook).unwrap()).unwrap(), hook);
    for at in HookPoint::ALL {
        assert_eq!(serde_json::to_value(at).unwrap(), at.as_str().replace('-', "_"));
        assert_eq!(at.to_string(), at.as_str());
    }
}
