//! What the fold refuses, and what is remembered for how long.

use super::*;

#[test]
fn an_event_that_does_not_fit_is_refused_and_changes_nothing() {
    let mut story = Story::new();
    let number = n(1);
    for event in [
        Event::Started { number },
        Event::Approved { number, reason: None },
        Event::Provisioned { number },
        Event::Checked { number, answers: Vec::new() },
        Event::CutOverOrdered { number, generation: Generation(1), share: None },
        Event::WentLive { number, host: None },
        Event::Succeeded { number },
        Event::Reverted { number, host: None },
        Event::Retired { number },
        Event::Ended { number, outcome: Outcome::Failed, reason: text("") },
        Event::RollbackRequested { number, reason: text("") },
        Event::StandbyReleased { number, reason: text("") },
        Event::DriftSeen { shown: None, generation: Generation(0), in_a_row: 1, words: None },
    ] {
        let said = story.apply(event.clone()).unwrap_err();
        assert_eq!(serde_json::to_value(&event).unwrap()["kind"], said.event, "{event:?}: {said}");
    }
}

#[test]
fn steps_can_not_be_skipped_or_taken_twice() {
    let mut story = Story::new();
    let number = story.up_to_cutover(1, &Plan::default());
    for event in [
        Event::Provisioned { number },
        Event::Checked { number, answers: Vec::new() },
        Event::Approved { number, reason: None },
        Event::CutOverOrdered { number, generation: Generation(9), share: None },
        Event::Succeeded { number },
        Event::Reverted { number, host: None },
        Event::Ended { number, outcome: Outcome::Failed, reason: text("") },
        Event::RevertOrdered {
            number,
            to: None,
            generation: Generation(1),
            outcome: Outcome::Failed,
            reason: text(""),
        },
    ] {
        assert!(story.apply(event).is_err());
    }
    let accepted = story.env.command(&build(2, &Plan::default()).into(), "someone").unwrap();
    story.happens(accepted.clone());
    assert!(story.apply(accepted).is_err(), "a number was used twice");
}

#[test]
fn only_the_last_good_releases_are_kept() {
    let mut story = Story::new();
    let plan = Plan { retain: Retain::None, ..Plan::default() };
    for name in 1..=7 {
        let number = story.live(name, &plan);
        story.stacks(&[well(number.0)]);
        while story.tick().is_some() {}
    }
    assert_eq!(story.env.proven().map(|r| r.number).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    assert_eq!(story.env.ended().len(), 7);
}

#[test]
fn the_same_release_is_found_good_only_once() {
    let mut story = Story::new();
    story.live(1, &Plan::default());
    let release = ReleaseDraft::Existing(story.env.release_of(n(1)).unwrap().clone());
    let Ask::Deploy { build_number, plan, trigger, .. } = build(2, &Plan::default()) else { unreachable!() };
    let again = Ask::Deploy { key: Key([2; 16]), build_number, release, plan, trigger };
    story.ask(again.clone()).unwrap();
    story.tick().unwrap();
    story.stacks(&[well(1), well(2)]).tick().unwrap();
    story.front().staged = Some(n(2));
    story.tick().unwrap();
    story.tick().unwrap();
    story.obey();
    story.tick().unwrap();
    story.at(1000).tick().unwrap();
    assert_eq!(story.env.proven().count(), 1);
}

#[test]
fn a_state_says_whether_it_is_final_and_reads_as_the_glossary_has_it() {
    use DeploymentState::*;
    let going =
        [Queued, Provisioning, Checking, AwaitingApproval, CuttingOver, Baking, Aborting, RollingBack, NeedsOperator];
    let over = [Succeeded, Aborted, RolledBack, Failed, Superseded];
    assert!(going.iter().all(|s| !s.is_final()) && over.iter().all(|s| s.is_final()));
    for state in going.iter().chain(&over) {
        assert_eq!(serde_json::to_value(state).unwrap(), state.to_string());
    }
}

#[test]
fn every_phase_is_shown_and_watched() {
    let mut story = Story::new();
    story.ask(build(1, &Plan::default())).unwrap();
    assert_eq!((story.state(n(1)), story.env.must_probe()), (DeploymentState::Queued, None));
    story.tick().unwrap();
    assert_eq!((story.state(n(1)), story.env.watched()), (DeploymentState::Provisioning, vec![]));
    story.stacks(&[well(1)]).tick().unwrap();
    assert_eq!((story.state(n(1)), story.env.watched()), (DeploymentState::Checking, vec![n(1)]));
    let mut story = Story::new();
    story.up_to_cutover(1, &Plan::default());
    assert_eq!((story.state(n(1)), story.env.watched()), (DeploymentState::CuttingOver, vec![n(1)]));
    story.obey();
    story.tick().unwrap();
    assert_eq!((story.state(n(1)), story.env.watched()), (DeploymentState::Baking, vec![n(1)]));
    assert_eq!(story.env.generation(), Generation(1));
}

#[test]
fn broken_states_are_noticed() {
    let good = {
        let mut story = Story::new();
        story.live(1, &Plan::default());
        story.live(2, &Plan::default());
        story.up_to_cutover(3, &Plan::default());
        story.env
    };
    type Spoil = fn(&mut Environment);
    let broken: [(&str, Spoil); 14] = [
        ("its own rollback target", |e| e.standby.as_mut().unwrap().stack.number = n(2)),
        ("the live stack is being torn down", |e| retire(e, 2)),
        ("promised rollback target is being torn down", |e| retire(e, 1)),
        ("never found good", |e| e.standby.as_mut().unwrap().stack.proven = false),
        ("nothing live", |e| e.live = None),
        ("active deployment's stack is being torn down", |e| retire(e, 3)),
        ("a candidate is live", |e| e.active.as_mut().unwrap().number = n(2)),
        ("is the rollback target", |e| e.active.as_mut().unwrap().number = n(1)),
        ("not live", |e| e.active.as_mut().unwrap().phase = Phase::Baking),
        ("nothing to go from", |e| e.active.as_mut().unwrap().phase = Phase::RollbackRequested { reason: text("") }),
        ("not the last order", |e| e.generation = Generation(9)),
        ("active deployment is queued", |e| e.active.as_mut().unwrap().phase = Phase::Queued),
        ("drift order", |e| e.drift = Some(Generation(1))),
        ("not given out", |e| e.last_number = n(2)),
    ];
    for (words, spoil) in broken {
        let mut env = good.clone();
        env.check().unwrap();
        spoil(&mut env);
        let said = env.check().unwrap_err().to_string();
        assert!(said.contains(words), "{said} is not {words}");
    }
}

fn retire(env: &mut Environment, number: u32) {
    let (since, limit) = (Millis(0), Millis(1));
    env.retiring.push(Retiring {
        number: n(number),
        since,
        drain_within: limit,
        retire_within: limit,
        operator_needed: false,
        hooks: Vec::new(),
        progress: HookProgress::default(),
        release: None,
        stranger: false,
    });
}

#[test]
fn a_record_without_a_reason_reads_and_writes_as_it_always_did() {
    for (old, event) in [
        (r#"{"kind":"approved","number":1}"#, Event::Approved { number: n(1), reason: None }),
        (r#"{"kind":"resumed"}"#, Event::Resumed { reason: None }),
        (r#"{"kind":"pinned","release":1}"#, Event::Pinned { release: 1, reason: None }),
        (r#"{"kind":"unpinned"}"#, Event::Unpinned { reason: None }),
        (r#"{"kind":"unvetoed","release":1}"#, Event::Unvetoed { release: 1, reason: None }),
    ] {
        assert_eq!(serde_json::to_string(&event).unwrap(), old);
        assert_eq!(serde_json::from_str::<Event>(old).unwrap(), event);
    }
}
