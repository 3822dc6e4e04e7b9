//! What people may do, and what they are told when they may not.

use super::*;

const GATE: Gate = Gate { timeout: Millis(60_000), otherwise: Otherwise::Abort, by: Vec::new(), not_the_asker: false };

fn at_the_cutover_gate(otherwise: Otherwise) -> Story {
    let mut story = Story::new();
    let plan = Plan { before_cutover: Some(Gate { otherwise, ..GATE }), ..Plan::default() };
    story.ask(build(1, &plan)).unwrap();
    story.tick().unwrap();
    story.stacks(&[well(1)]).tick().unwrap();
    story.front().staged = Some(n(1));
    assert_eq!(story.tick(), Some(Event::Checked { number: n(1), answers: Vec::new() }));
    assert_eq!((story.phase(), story.state(n(1))), (&Phase::AwaitingCutover, DeploymentState::AwaitingApproval));
    story
}

#[test]
fn a_gate_before_provisioning_stands_nothing_up() {
    let mut story = Story::new();
    story.ask(build(1, &Plan { before_provisioning: Some(GATE), ..Plan::default() })).unwrap();
    story.tick().unwrap();
    assert_eq!((story.phase(), story.effects()), (&Phase::AwaitingStart, vec![]));
    story.refuses(Ask::Approve(n(1), GateName::BeforeCutover), "another gate");
    story.ask(Ask::Approve(n(1), GateName::BeforeProvisioning)).unwrap();
    assert_eq!(story.effects(), [Effect::Ensure(n(1))]);
    story.refuses(Ask::Approve(n(1), GateName::BeforeProvisioning), "does not wait for an approval");
}

#[test]
fn a_gate_that_nobody_opens_aborts_or_opens_by_itself() {
    let mut story = at_the_cutover_gate(Otherwise::Abort);
    story.at(59);
    assert_eq!(story.tick(), None);
    story.at(60);
    assert!(matches!(story.tick(), Some(Event::Ended { outcome: Outcome::Aborted, .. })));
    assert_eq!(story.retiring(), [1]);
    let mut story = at_the_cutover_gate(Otherwise::Approve);
    story.at(60);
    assert_eq!(story.tick(), Some(Event::Approved { number: n(1), reason: None }));
    assert_eq!(story.phase(), &Phase::Verifying);
}

#[test]
fn a_question_holds_nobody_up() {
    let mut story = at_the_cutover_gate(Otherwise::Abort);
    story.ask(build(2, &Plan::default())).unwrap();
    assert!(matches!(story.tick(), Some(Event::Ended { outcome: Outcome::Superseded, .. })));
    assert_eq!(story.tick(), Some(Event::Started { number: n(2) }));
    assert!(story.apply(Event::Started { number: n(2) }).is_err());
}

#[test]
fn abort_ends_what_users_have_not_seen_and_refuses_the_rest() {
    let mut story = Story::new();
    story.refuses(Ask::Abort(n(1), text("")), "deployment 1 is not under way");
    story.ask(build(1, &Plan::default())).unwrap();
    story.ask(Ask::Abort(n(1), text("no"))).unwrap();
    assert_eq!((story.state(n(1)), story.retiring()), (DeploymentState::Aborted, vec![]));
    story.refuses(Ask::Abort(n(1), text("")), "it is aborted");
    story.up_to_baking(2, &Plan::default());
    story.refuses(Ask::Abort(n(2), text("")), "roll it back instead");
    story.refuses(Ask::Approve(n(3), GateName::BeforeCutover), "not under way");
}

#[test]
fn an_abort_of_a_running_candidate_tears_it_down() {
    let mut story = Story::new();
    story.ask(build(1, &Plan::default())).unwrap();
    story.tick().unwrap();
    story.ask(Ask::Abort(n(1), text("no"))).unwrap();
    assert_eq!((story.state(n(1)), story.retiring()), (DeploymentState::Aborted, vec![1]));
}

#[test]
fn hold_stops_builds_but_not_people() {
    let mut story = Story::new();
    story.refuses(Ask::Resume, "nothing is held");
    story.ask(Ask::Hold(text("freeze"))).unwrap();
    let hold = story.env.hold().unwrap();
    assert_eq!((&*hold.by, &*hold.reason), ("test", "freeze"));
    story.ask(build(1, &Plan::default())).unwrap();
    assert_eq!(story.tick(), None);
    let Ask::Deploy { build_number, release, plan, .. } = build(2, &Plan::default()) else { unreachable!() };
    story.ask(Ask::Deploy { key: Key([2; 16]), build_number, release, plan, trigger: Trigger::Person }).unwrap();
    assert_eq!(story.tick(), Some(Event::Started { number: n(2) }));
    story.ask(Ask::Resume).unwrap();
    assert!(story.env.hold().is_none());
}

#[test]
fn a_pin_lets_only_its_release_pass() {
    let mut story = Story::new();
    story.refuses(Ask::Unpin, "nothing is pinned");
    story.ask(Ask::Pin(2)).unwrap();
    story.ask(build(1, &Plan::default())).unwrap();
    assert_eq!((story.tick(), story.env.pin()), (None, Some(2)));
    story.ask(build(2, &Plan::default())).unwrap();
    assert_eq!(story.tick(), Some(Event::Started { number: n(2) }));
    story.ask(Ask::Unpin).unwrap();
    assert_eq!(story.env.pin(), None);
}

#[test]
fn a_pin_stops_people_too() {
    let mut story = Story::new();
    story.ask(Ask::Pin(9)).unwrap();
    let Ask::Deploy { build_number, release, plan, .. } = build(1, &Plan::default()) else { unreachable!() };
    story.ask(Ask::Deploy { key: Key([1; 16]), build_number, release, plan, trigger: Trigger::Person }).unwrap();
    assert_eq!(story.tick(), None);
}

#[test]
fn a_vetoed_release_is_refused_and_taken_out_of_the_queue() {
    let mut story = Story::new();
    story.up_to_baking(1, &Plan::default());
    story.ask(build(2, &Plan::default())).unwrap();
    story.ask(Ask::Veto(2, text("leak"))).unwrap();
    assert_eq!((story.state(n(2)), story.env.queue().len()), (DeploymentState::Aborted, 0));
    story.ask(Ask::Veto(2, text("big leak"))).unwrap();
    assert_eq!(story.env.vetoes().len(), 1);
    let release = story.env.release_of(n(2)).unwrap().clone();
    let Ask::Deploy { build_number, plan, trigger, .. } = build(3, &Plan::default()) else { unreachable!() };
    let again =
        Ask::Deploy { key: Key([3; 16]), build_number, release: ReleaseDraft::Existing(release), plan, trigger };
    story.refuses(again.clone(), "release 2 is vetoed: big leak");
    story.ask(Ask::Unveto(2)).unwrap();
    story.refuses(Ask::Unveto(2), "not vetoed");
    assert!(story.ask(again.clone()).is_ok());
}

#[test]
fn a_vetoed_release_is_no_way_back() {
    let mut story = Story::new();
    let plan = Plan { retain: Retain::None, ..Plan::default() };
    story.live(1, &plan);
    story.live(2, &plan);
    story.ask(Ask::Veto(1, text("leak"))).unwrap();
    story.refuses(Ask::Rollback(n(2), text("")), "no earlier release");
}

#[test]
fn a_veto_ends_what_is_on_its_way_before_its_cutover() {
    for phase in [Phase::AwaitingStart, Phase::Provisioning, Phase::Checking, Phase::AwaitingCutover, Phase::Verifying]
    {
        let gate = |wanted: Phase| (phase == wanted).then_some(GATE);
        let plan = Plan {
            before_provisioning: gate(Phase::AwaitingStart),
            before_cutover: gate(Phase::AwaitingCutover),
            ..Plan::default()
        };
        let mut story = Story::new();
        story.ask(build(1, &plan)).unwrap();
        story.tick().unwrap();
        story.stacks(&[well(1)]).front().staged = Some(n(1));
        while *story.phase() != phase {
            story.tick().unwrap();
        }
        story.ask(Ask::Veto(1, text("leak"))).unwrap();
        if let Some(gate) = story.env.active().unwrap().gate() {
            story.refuses(Ask::Approve(n(1), gate), "release 1 is vetoed: leak");
        }
        let ended = Event::Ended { number: n(1), outcome: Outcome::Aborted, reason: text("release 1 is vetoed: leak") };
        assert_eq!(story.tick(), Some(ended));
        assert_eq!(story.retiring(), if phase == Phase::AwaitingStart { vec![] } else { vec![1] });
    }
}

#[test]
fn a_veto_comes_too_late_once_the_traffic_was_ordered() {
    let mut story = Story::new();
    let number = story.up_to_cutover(1, &Plan::default());
    story.ask(Ask::Veto(1, text("leak"))).unwrap();
    story.obey();
    assert_eq!(story.tick(), Some(Event::WentLive { number, host: None }));
}

#[test]
fn what_is_held_does_not_approve_itself() {
    let mut story = at_the_cutover_gate(Otherwise::Approve);
    story.ask(Ask::Hold(text("freeze"))).unwrap();
    story.at(3_600);
    assert_eq!(story.tick(), None);
    story.ask(Ask::Resume).unwrap();
    story.ask(Ask::Pin(9)).unwrap();
    assert_eq!(story.tick(), None);
    story.ask(Ask::Unpin).unwrap();
    assert_eq!(story.tick(), Some(Event::Approved { number: n(1), reason: None }));
}

#[test]
fn what_is_held_is_still_a_persons_to_approve_or_to_stop() {
    let mut story = at_the_cutover_gate(Otherwise::Approve);
    story.ask(Ask::Hold(text("freeze"))).unwrap();
    story.at(60);
    assert!(story.env.command(&Ask::Abort(n(1), text("no")).into(), "test").is_ok());
    story.ask(Ask::Approve(n(1), GateName::BeforeCutover)).unwrap();
    assert_eq!(story.phase(), &Phase::Verifying);
    let mut story = at_the_cutover_gate(Otherwise::Abort);
    story.ask(Ask::Hold(text("freeze"))).unwrap();
    story.at(60);
    assert!(matches!(story.tick(), Some(Event::Ended { outcome: Outcome::Aborted, .. })));
}

#[test]
fn the_reason_that_a_person_gives_is_recorded() {
    let why = || Some(text("the audit"));
    let mut story = at_the_cutover_gate(Otherwise::Abort);
    let approve = Ask::Approve(n(1), GateName::BeforeCutover).because(why());
    assert_eq!(story.ask(approve.clone()), Ok(Event::Approved { number: n(1), reason: why() }));
    story.refuses(approve.clone(), "does not wait for an approval");
    story.ask(Ask::Hold(text("freeze"))).unwrap();
    assert_eq!(story.ask(Ask::Resume.because(why())), Ok(Event::Resumed { reason: why() }));
    assert_eq!(story.ask(Ask::Pin(1).because(why())), Ok(Event::Pinned { release: 1, reason: why() }));
    assert_eq!(story.ask(Ask::Unpin.because(why())), Ok(Event::Unpinned { reason: why() }));
    story.ask(Ask::Veto(9, text("leak"))).unwrap();
    assert_eq!(story.ask(Ask::Unveto(9).because(why())), Ok(Event::Unvetoed { release: 9, reason: why() }));
    let Ok(Event::Accepted { reason, .. }) = story.ask(build(2, &Plan::default()).because(why())) else { panic!() };
    assert_eq!(reason, why());
    let abort = story.ask(Ask::Abort(n(2), text("no")).because(why()));
    assert_eq!(abort, Ok(Event::Ended { number: n(2), outcome: Outcome::Aborted, reason: text("no") }));
    assert_eq!(Ask::Resume.because(None), Ask::Resume.into());
}
