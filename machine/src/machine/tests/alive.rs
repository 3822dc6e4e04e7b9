//! What is live is kept alive, and it is said when it is not.

use super::*;

fn live() -> Story {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    story
}

#[test]
fn the_first_look_that_shows_what_is_live_down_is_recorded_with_its_reason() {
    let remark = |stack: StackView| StackView { remark: Some(text("exit status 1")), ..stack };
    for (stacks, words) in [
        (vec![], "its stack is gone"),
        (vec![remark(view(1, Condition::Failed, Health::Unknown))], "exit status 1"),
        (vec![view(1, Condition::Ready, Health::Failing)], "it fails its checks"),
        (vec![remark(view(1, Condition::Creating, Health::Unknown))], "exit status 1"),
        (vec![view(1, Condition::Deleting, Health::Passing)], "is being deleted"),
    ] {
        let mut story = live();
        story.stacks(&stacks).at(100);
        let Some(Event::LiveDown { number: Number(1), reason }) = story.tick() else { unreachable!() };
        assert!(reason.contains(words), "{reason}");
        let down = story.env.down().cloned().unwrap();
        assert_eq!((down.since, down.reason), (Millis(100_000), reason));
        assert_eq!(story.tick(), None, "it is recorded once");
        story.stacks(&[view(1, Condition::Ready, Health::Unknown)]);
        assert_eq!(story.tick(), None, "not yet seen good");
        story.stacks(&[well(1)]);
        assert_eq!(story.tick(), Some(Event::LiveUp { number: n(1) }));
        assert_eq!(story.env.down(), None);
        assert_eq!(story.tick(), None);
    }
}

#[test]
fn what_is_live_is_not_called_down_while_nobody_knows() {
    let mut story = live();
    story.stacks(&[view(1, Condition::Ready, Health::Unknown)]);
    assert_eq!(story.tick(), None);
    story.stacks(&[view(1, Condition::Creating, Health::Passing)]);
    assert_eq!(story.tick(), None, "some of it is started again, and its checks pass");
    story.seen.stacks = None;
    assert_eq!(story.tick(), None);
}

#[test]
fn what_takes_the_place_of_what_was_down_is_not_down() {
    let mut story = live();
    story.stacks(&[]);
    assert!(matches!(story.tick(), Some(Event::LiveDown { .. })));
    assert_eq!(story.effects(), [Effect::Ensure(n(1))], "it is started again");
    story.ask(build(2, &Plan::default())).unwrap();
    assert_eq!(story.tick(), Some(Event::Started { number: n(2) }));
    story.stacks(&[well(2)]);
    story.tick();
    story.front().staged = Some(n(2));
    assert_eq!(story.tick(), Some(Event::Checked { number: n(2), answers: Vec::new() }));
    assert!(matches!(story.tick(), Some(Event::CutOverOrdered { .. })));
    story.obey();
    assert_eq!(story.tick(), Some(Event::WentLive { number: n(2), host: None }));
    assert_eq!(story.env.down(), None);
    assert!(story.apply(Event::LiveUp { number: n(2) }).is_err());
    assert!(story.apply(Event::LiveDown { number: n(1), reason: text("") }).is_err());
}

fn two(recover: RecoverTo) -> Story {
    let recover = Recover { to: recover, after: Millis(30_000) };
    let plan = Plan { recover, retain: Retain::UntilNext, ..Plan::default() };
    let mut story = Story::new();
    story.live(1, &plan);
    story.live(2, &plan);
    story.at(1000).stacks(&[well(1), view(2, Condition::Ready, Health::Failing)]).falls();
    story
}

#[test]
fn users_go_to_the_standby_when_what_is_live_stays_down() {
    let mut story = two(RecoverTo::Standby);
    story.at(1029);
    assert_eq!(story.tick(), None);
    story.at(1030);
    let Some(Event::Recovered { number: Number(2), to: Number(1), generation, reason }) = story.tick() else {
        unreachable!()
    };
    assert!(reason.contains("stack 2 was down for 30 s (it fails its checks)"), "{reason}");
    assert_eq!(story.effects(), [Effect::CutOver { to: Traffic::Whole(n(1)), generation }]);
    assert_eq!((story.env.live().unwrap().number, story.env.down()), (n(1), None));
    let standby = story.env.standby().unwrap();
    assert!(standby.stack.number == n(2) && standby.suspect && standby.promise == Promise::UntilNext);
    assert!(story.env.hold().is_some() && story.env.vetoes()[0].release == 2);
    story.obey();
    assert_eq!(story.tick(), Some(Event::DriftMended));
    // No automatic way back, even if it gets well and the other one falls.
    story.stacks(&[view(1, Condition::Failed, Health::Unknown), well(2)]).falls();
    story.at(1100);
    let Some(Event::OperatorNeeded { about: Some(Matter::Live), .. }) = story.tick() else { unreachable!() };
    assert_eq!((story.tick(), story.effects()), (None, vec![Effect::Ensure(n(1))]));
    // A person may; what stood in has done no wrong.
    story.ask(Ask::Rollback(n(1), text("2 is mended"))).unwrap();
    assert!(matches!(story.tick(), Some(Event::RevertOrdered { to: Some(Number(2)), .. })));
    story.obey();
    assert_eq!(story.tick(), Some(Event::Reverted { number: n(1), host: None }));
    assert_eq!(story.env.vetoes().iter().map(|v| v.release).collect::<Vec<_>>(), [2]);
}

#[test]
fn users_stay_and_a_person_is_called_where_nothing_healthy_is_there() {
    for (recover, standby) in
        [(RecoverTo::Restart, well(1)), (RecoverTo::Standby, view(1, Condition::Ready, Health::Unknown))]
    {
        let mut story = two(recover);
        story.stacks(&[standby, view(2, Condition::Ready, Health::Failing)]).at(1030);
        let Some(Event::OperatorNeeded { about: Some(Matter::Live), .. }) = story.tick() else { unreachable!() };
        assert!(story.env.needs_operator());
        assert_eq!((story.tick(), story.env.live().unwrap().number), (None, n(2)));
        story.stacks(&[well(1), well(2)]);
        assert_eq!(story.tick(), Some(Event::LiveUp { number: n(2) }));
        assert!(!story.env.needs_operator());
    }
}

#[test]
fn a_recovery_waits_for_a_deployment_that_is_at_the_front_and_counts_only_watched_time() {
    let mut story = two(RecoverTo::Standby);
    story.at(5000);
    story.seen.looked.since = story.now;
    assert_eq!(story.tick(), None, "nobody has seen it down for long");
    story.stacks(&[well(1), well(2)]);
    story.tick();
    story.up_to_cutover(3, &Plan::default());
    let sick = [well(1), view(2, Condition::Ready, Health::Failing), well(3)];
    story.stacks(&sick).falls();
    story.at(5059);
    assert_eq!(story.tick(), None);
    assert!(
        story.apply(Event::Recovered { number: n(2), to: n(1), generation: Generation(9), reason: text("") }).is_err()
    );
}

/// The looks of one life of the controller at a live stack that goes up and down.
struct Flapping {
    story: Story,
    good: Vec<(Millis, Millis)>,
    up_since: Option<Millis>,
}

impl Flapping {
    fn new(recover: RecoverTo) -> Self {
        let plan = Plan { recover: Recover { to: recover, after: Millis(30_000) }, ..Plan::default() };
        let mut story = Story::new();
        story.live(1, &plan);
        story.up_to_baking(2, &plan);
        story.stacks(&[well(1), well(2)]).at(1000);
        while story.tick().is_some() {}
        Self { story, good: Vec::new(), up_since: None }
    }

    /// One look, with what it makes of it.
    fn looks(&mut self, good: bool, at: u64) -> Option<Event> {
        let now = Millis(at * 1000);
        match (good, self.up_since) {
            (true, None) => self.up_since = Some(now),
            (false, Some(since)) => {
                self.good.push((since, now));
                self.up_since = None;
            }
            _ => {}
        }
        let health = if good { Health::Passing } else { Health::Failing };
        let looked =
            Looked { good: self.good.as_slice().into(), good_since: self.up_since.unwrap_or(now), ..Looked::default() };
        self.story.seen.looked = looked;
        self.story.stacks(&[well(1), view(2, Condition::Ready, health)]).at(at);
        self.story.tick()
    }
}

#[test]
fn a_live_stack_that_is_up_for_two_seconds_of_every_ten_is_left_for_the_standby() {
    let mut flapping = Flapping::new(RecoverTo::Standby);
    let mut told = Vec::new();
    for second in 1001..1200 {
        let up = second % 10 >= 8;
        match flapping.looks(up, second) {
            Some(Event::Recovered { to: Number(1), reason, .. }) => {
                assert!(reason.contains(", the 2nd time in a row"), "{reason}");
                assert!(told.len() == 3 && second < 1050, "{told:?} at {second}");
                return;
            }
            Some(event) => told.push(event),
            None => {}
        }
    }
    panic!("users were never sent to the standby: {told:?}");
}

#[test]
fn what_goes_down_again_and_again_is_called_up_only_once_it_has_stayed_good_ever_longer() {
    let mut flapping = Flapping::new(RecoverTo::Restart);
    let mut at = 2000;
    for settle in [0, 10, 20, 40, 80, 160, 300, 300] {
        assert!(matches!(flapping.looks(false, at), Some(Event::LiveDown { .. })), "{settle}");
        assert_eq!(flapping.looks(false, at + 1), None);
        let up = at + 2;
        for early in (0..settle).step_by(5) {
            assert_eq!(flapping.looks(true, up + early), None, "good for {early} s of {settle}");
        }
        assert_eq!(flapping.looks(true, up + settle), Some(Event::LiveUp { number: n(2) }), "{settle}");
        at = up + settle + 1;
    }
    at += 3600;
    flapping.looks(false, at);
    assert_eq!(flapping.looks(true, at + 1), Some(Event::LiveUp { number: n(2) }), "an hour later it is another row");
}
