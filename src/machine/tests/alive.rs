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
    story.ask(&build(2, &Plan::default())).unwrap();
    assert_eq!(story.tick(), Some(Event::Started { number: n(2) }));
    story.stacks(&[well(2)]);
    story.tick();
    story.front().staged = Some(n(2));
    assert_eq!(story.tick(), Some(Event::Checked { number: n(2) }));
    assert!(matches!(story.tick(), Some(Event::CutOverOrdered { .. })));
    story.obey();
    assert_eq!(story.tick(), Some(Event::WentLive { number: n(2) }));
    assert_eq!(story.env.down(), None);
    assert!(story.apply(Event::LiveUp { number: n(2) }).is_err());
    assert!(story.apply(Event::LiveDown { number: n(1), reason: text("") }).is_err());
}
