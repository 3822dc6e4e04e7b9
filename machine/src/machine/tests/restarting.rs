//! What is live is started again, one instance after the other, and no state of that is without an end.

use super::*;

const ORDER: u64 = 900_000;

fn wish(number: u32, instance: Option<u32>) -> Command {
    Ask::Restart { number: n(number), instance, at: Millis(ORDER) }.because(Some(text("it leaks")))
}

fn before() -> InstanceView {
    InstanceView { up: true, passes: true, ..InstanceView::default() }
}

fn ending() -> InstanceView {
    InstanceView { ending_for: ORDER, ..InstanceView::default() }
}

fn starting() -> InstanceView {
    InstanceView { started_for: ORDER, ..ending() }
}

fn back() -> InstanceView {
    InstanceView { up: true, passes: true, ..starting() }
}

/// Deployment 1 is live with two instances.
fn live() -> Story {
    let mut story = Story::new();
    story.live(1, &Plan { check_within: Millis(60_000), ..Plan::default() });
    story.at(900);
    story
}

fn asked(instance: Option<u32>) -> Story {
    let mut story = live();
    let event = story.ask(wish(1, instance)).unwrap();
    assert_eq!(event, Event::RestartAsked { number: n(1), instance, order: ORDER, reason: Some(text("it leaks")) });
    story.seen.instances = vec![before(), before()];
    story
}

impl Story {
    fn instances(&mut self, instances: [InstanceView; 2]) -> &mut Self {
        self.seen.instances = instances.to_vec();
        self
    }

    fn restarts(&self, instance: usize) {
        assert_eq!(self.effects(), [Effect::Restart { number: n(1), instance, order: ORDER }]);
    }

    fn restart_ends(&mut self, words: Option<&str>) {
        let Some(Event::RestartEnded { number: Number(1), order: ORDER, reason }) = self.tick() else {
            panic!("it goes on")
        };
        match words {
            Some(words) => assert!(reason.as_deref().is_some_and(|reason| reason.contains(words)), "{reason:?}"),
            None => assert_eq!(reason, None),
        }
        assert_eq!(self.env.restart(), None);
    }
}

#[test]
fn the_next_instance_is_ended_only_when_the_one_before_is_up_and_passes() {
    let mut story = asked(None);
    assert_eq!(story.tick(), None);
    story.restarts(0);
    story.instances([ending(), before()]).stacks(&[view(1, Condition::Ready, Health::Failing)]);
    assert_eq!(story.tick(), None, "it is not down: somebody wanted that");
    story.restarts(0);
    story.instances([starting(), before()]).stacks(&[view(1, Condition::Creating, Health::Unknown)]);
    assert_eq!(story.tick(), None);
    assert_eq!(story.effects(), [Effect::Ensure(n(1))], "not the next one");
    story.instances([InstanceView { passes: false, ..back() }, before()]).stacks(&[well(1)]);
    assert_eq!((story.tick(), story.effects()), (None, vec![]), "up, and does not pass");
    story.instances([back(), before()]);
    assert_eq!(story.tick(), None);
    story.restarts(1);
    story.instances([back(), starting()]);
    assert_eq!((story.tick(), story.effects()), (None, vec![]));
    story.instances([back(), back()]).stacks(&[view(1, Condition::Ready, Health::Unknown)]);
    assert_eq!(story.tick(), None, "the checks of the whole are not back yet");
    story.stacks(&[well(1)]).restart_ends(None);
}

#[test]
fn only_the_instance_that_was_named_is_started_again() {
    let mut story = asked(Some(1));
    story.restarts(1);
    story.instances([before(), back()]);
    assert_eq!(story.effects(), []);
    story.restart_ends(None);
}

#[test]
fn an_instance_that_does_not_come_back_ends_it_with_the_reason_and_the_rest_is_left() {
    let mut story = asked(None);
    let said = Some(text("exit status 3: no database"));
    let ended = |ends| InstanceView { ends, said: said.clone(), ..starting() };
    story.instances([ended(2), before()]).stacks(&[view(1, Condition::Creating, Health::Unknown)]);
    assert_eq!(story.tick(), None);
    story.instances([ended(3), before()]);
    story.restart_ends(Some("instance 0 did not come back: exit status 3: no database"));
    assert_eq!(story.effects(), [Effect::Ensure(n(1))]);
    story.falls();
}

#[test]
fn one_that_hangs_has_its_time_and_so_has_one_that_is_never_ended() {
    for (first, words) in [
        (
            InstanceView { passes: false, said: Some(text("no answer")), ..back() },
            "did not come back: no answer (60 s)",
        ),
        (before(), "instance 0 was not ended and started again in time (60 s)"),
    ] {
        let mut story = asked(None);
        story.instances([first, before()]).at(959);
        assert_eq!(story.tick(), None);
        story.at(960).restart_ends(Some(words));
    }
    let mut story = asked(Some(7));
    story.at(960).restart_ends(Some("no such instance was seen"));
}

#[test]
fn it_ends_when_the_stack_is_gone_or_is_no_longer_live() {
    let mut story = asked(None);
    story.stacks(&[]).restart_ends(Some("its stack is gone"));

    let mut story = asked(None);
    let seen = std::mem::take(&mut story.seen.instances);
    story.up_to_cutover(2, &Plan::default());
    story.seen.instances = seen;
    assert!(story.effects().iter().all(|e| !matches!(e, Effect::Restart { .. })), "not while users are being moved");
    story.obey();
    assert_eq!(story.tick(), Some(Event::WentLive { number: n(2), host: None }));
    story.restart_ends(Some("it is no longer live"));
}

#[test]
fn a_rollback_ends_no_more_instances_and_then_the_restart() {
    let plan = Plan { retain: Retain::UntilNext, ..Plan::default() };
    let (mut story, two) = (Story::new(), n(2));
    story.live(1, &plan);
    story.live(2, &plan);
    let order = story.now.0;
    story.ask(Ask::Restart { number: two, instance: None, at: story.now }).unwrap();
    story.instances([before(), before()]);
    assert!(story.effects().contains(&Effect::Restart { number: two, instance: 0, order }));
    story.ask(Ask::Rollback(two, text("slow"))).unwrap();
    assert_eq!(story.effects(), [], "the way back is not waited for, and nothing more is ended");
    assert!(matches!(story.tick(), Some(Event::RevertOrdered { to: Some(Number(1)), .. })));
    story.obey();
    assert_eq!(story.tick(), Some(Event::Reverted { number: two, host: None }));
    let ended = story.tick();
    assert!(
        matches!(&ended, Some(Event::RestartEnded { number: Number(2), reason: Some(why), .. }) if why.contains("no longer live")),
        "{ended:?}"
    );
    assert_eq!(story.env.restart(), None);
}

#[test]
fn what_cannot_be_is_refused() {
    Story::new().refuses(wish(1, None), "deployment 1 is not live");
    let story = asked(None);
    story.refuses(wish(1, None), "stack 1 is being started again already");
    let mut story = live();
    story.refuses(wish(2, None), "deployment 2 is not live, 1 is");
    story.up_to_cutover(2, &Plan::default());
    story.refuses(wish(1, None), "users are being moved");
    story.obey();
    assert_eq!(story.tick(), Some(Event::WentLive { number: n(2), host: None }));
    story.refuses(wish(2, None), "while it is watched, a restart would count against it");
    let (number, instance, reason) = (n(2), None, None);
    assert!(story.apply(Event::RestartAsked { number: n(1), instance, order: 1, reason: reason.clone() }).is_err());
    story.happens(Event::RestartAsked { number, instance, order: 5, reason: reason.clone() });
    assert!(story.apply(Event::RestartEnded { number, order: 4, reason: reason.clone() }).is_err());
    story.happens(Event::RestartEnded { number, order: 5, reason: reason.clone() });
    let again = Event::RestartAsked { number, instance, order: 5, reason };
    assert!(story.apply(again).is_err(), "no order is given twice");
}
