//! Every way in which a deployment can end, and what its rail shows then.

use std::sync::Arc;

use super::*;
use crate::{
    fixture_tests,
    machine::{Environment, Gate, Generation, Hook, Otherwise},
    telling::{deployment_of, stories},
};

const ONE: Number = Number(1);

fn plan() -> Plan {
    let gate = Gate { by: Vec::new(), not_the_asker: false, timeout: Millis(60_000), otherwise: Otherwise::Abort };
    let hook = Hook { name: "migrate".into(), at: HookPoint::AfterChecks, within: Millis(10_000), one_way: true };
    Plan { before_cutover: Some(gate), hooks: vec![hook], ..Plan::default() }
}

fn accepted(number: u32) -> Event {
    fixture_tests::accepted(number, fixture_tests::release(number), plan(), Trigger::Build)
}

fn hooked(reason: Option<Arc<str>>) -> Event {
    let (hook, point) = ("migrate".into(), HookPoint::AfterChecks);
    Event::HookFinished { number: ONE, hook, point, reason, said: "".into() }
}

/// Up to the gate: a second each.
fn to_the_gate() -> Vec<(u64, Event)> {
    let number = ONE;
    vec![
        (0, accepted(1)),
        (100, Event::Started { number }),
        (1_100, Event::Provisioned { number }),
        (2_100, Event::Checked { number, answers: Vec::new() }),
        (3_100, hooked(None)),
    ]
}

/// Up to success.
fn to_success() -> Vec<(u64, Event)> {
    let number = ONE;
    let rest = [
        (13_100, Event::Approved { number, reason: None }),
        (14_100, Event::WentLive { number, host: None }),
        (15_100, Event::Succeeded { number }),
    ];
    to_the_gate().into_iter().chain(rest).collect()
}

fn reverted(outcome: Outcome) -> [(u64, Event); 2] {
    let (number, generation, reason) = (ONE, Generation(2), "orders fail".into());
    let order = Event::RevertOrdered { number, to: None, generation, outcome, reason };
    [(20_000, order), (20_500, Event::Reverted { number, host: None })]
}

/// The steps of a deployment, all records of its environment given.
fn steps(number: Number, events: &[(u64, Event)]) -> Vec<Step> {
    let by: Arc<str> = "ann".into();
    let records = events.iter().map(|(at, event)| (Millis(*at), &by, event));
    let told = stories(records, &Environment::default());
    let story = told.iter().find(|story| story.number == number).expect("it was accepted");
    let own = |event: &Event| {
        let by = matches!(event, Event::ColdRollbackQueued { by, .. } if *by == number);
        by || deployment_of(event) == Some(number)
    };
    rail(story, &plan(), events.iter().filter(|(_, event)| own(event)).map(|(at, event)| (Millis(*at), event)))
}

fn told(number: Number, events: &[(u64, Event)]) -> Vec<(StepWhat, StepState, Option<u64>)> {
    steps(number, events).into_iter().map(|step| (step.what, step.state, step.took)).collect()
}

fn states(events: &[(u64, Event)]) -> Vec<(StepWhat, StepState)> {
    told(ONE, events).into_iter().map(|(what, state, _)| (what, state)).collect()
}

use StepState::{Aborted, Done, Failed, Now, Superseded, TakenBack, Todo, Vetoed};
use StepWhat::{Bake, Check, CutOver, Gate as Approval, Provision, Queue, RollBack};

#[test]
fn a_deployment_at_its_gate_has_done_what_came_before_and_waits_for_a_person() {
    let second = Some(1_000);
    assert_eq!(
        told(ONE, &to_the_gate()),
        [
            (Provision, Done, second),
            (Check, Done, second),
            (StepWhat::Hook, Done, second),
            (Approval, Now, None),
            (CutOver, Todo, None),
            (Bake, Todo, None),
        ]
    );
}

#[test]
fn waiting_in_line_and_for_people_is_no_work() {
    let mut events = to_success();
    events[0] = (0, accepted(1));
    for (at, _) in events.iter_mut().skip(1) {
        *at += 5_000;
    }
    let steps = steps(ONE, &events);
    assert_eq!((steps[0].what, steps[0].kind, steps[0].took), (Queue, StepKind::Queue, Some(5_100)));
    let sums = sums(&steps);
    assert_eq!((&*sums.work, &*sums.human, sums.queue.as_deref()), ("5 s", "10 s", Some("5.1 s")));
}

#[test]
fn a_release_that_was_found_good_did_not_fail_when_it_is_taken_back_later() {
    let asked = (19_000, Event::RollbackRequested { number: ONE, reason: "orders fail".into() });
    let events: Vec<_> = to_success().into_iter().chain([asked]).chain(reverted(Outcome::RolledBack)).collect();
    let told = told(ONE, &events);
    assert_eq!(told[told.len() - 2..], [(Bake, Done, Some(1_000)), (RollBack, Done, Some(1_500))]);
}

#[test]
fn a_bake_that_fails_has_failed_and_one_that_somebody_ends_was_taken_back() {
    let number = ONE;
    let live: Vec<_> = to_success().into_iter().take(7).collect();
    let failed: Vec<_> = live.iter().cloned().chain(reverted(Outcome::RolledBack)).collect();
    assert_eq!(states(&failed)[5..], [(Bake, Failed), (RollBack, Done)]);
    let asked = (19_000, Event::RollbackRequested { number, reason: "orders fail".into() });
    let asked: Vec<_> = live.into_iter().chain([asked]).chain(reverted(Outcome::RolledBack)).collect();
    assert_eq!(states(&asked)[5..], [(Bake, TakenBack), (RollBack, Done)]);
}

#[test]
fn a_way_back_that_is_ordered_again_is_one_step() {
    let [order, reverted] = reverted(Outcome::RolledBack);
    let again = (20_200, order.1.clone());
    let events: Vec<_> = to_success().into_iter().take(7).chain([order, again, reverted]).collect();
    assert_eq!(states(&events)[5..], [(Bake, Failed), (RollBack, Done)]);
}

#[test]
fn a_hook_that_fails_is_the_one_step_that_failed() {
    let ended = Event::Ended { number: ONE, outcome: Outcome::Failed, reason: "hook migrate: exit status 1".into() };
    let failed = [(3_100, hooked(Some("exit status 1".into()))), (3_200, ended)];
    let events: Vec<_> = to_the_gate().into_iter().take(4).chain(failed).collect();
    let second = Some(1_000);
    assert_eq!(
        told(ONE, &events),
        [(Provision, Done, second), (Check, Done, second), (StepWhat::Hook, Failed, second)]
    );
}

#[test]
fn each_end_before_the_cutover_is_shown_as_what_it_is() {
    let number = ONE;
    let ended = |outcome| (9_000, Event::Ended { number, outcome, reason: "said".into() });
    let gate = |last: Vec<(u64, Event)>| {
        let events: Vec<_> = to_the_gate().into_iter().chain(last).collect();
        states(&events)[3..].to_vec()
    };
    assert_eq!(gate(vec![ended(Outcome::Failed)]), [(Approval, Failed)]);
    assert_eq!(gate(vec![ended(Outcome::Aborted)]), [(Approval, Aborted)]);
    let veto = (8_000, Event::Vetoed { release: 1, reason: "it leaks".into() });
    assert_eq!(gate(vec![veto.clone(), ended(Outcome::Aborted)]), [(Approval, Vetoed)]);
    let waiting = [(0, accepted(1))];
    let waits = |last: (u64, Event)| told(ONE, &waiting.iter().cloned().chain([last]).collect::<Vec<_>>());
    // Their ends are recorded of others.
    assert_eq!(waits((5_000, accepted(2))), [(Queue, Superseded, Some(5_000))]);
    assert_eq!(waits(veto), [(Queue, Vetoed, Some(8_000))]);
}

#[test]
fn what_brings_an_earlier_release_back_has_no_gate() {
    let (by, plan, reason) = (Number(2), Arc::new(plan()), "orders fail".into());
    let cold =
        Event::ColdRollbackQueued { number: ONE, by, release: Arc::new(fixture_tests::release(7)), plan, reason };
    let started = (20_100, Event::Started { number: by });
    let events: Vec<_> = to_success().into_iter().chain([(20_000, cold), started]).collect();
    let whats: Vec<_> = steps(by, &events).iter().map(|step| (step.what, step.state)).collect();
    assert_eq!(whats, [(Provision, Now), (Check, Todo), (StepWhat::Hook, Todo), (CutOver, Todo), (Bake, Todo)]);
    assert_eq!(states(&events)[5], (Bake, Done), "what is live was found good, and still has the users");
}

#[test]
fn hooks_of_what_is_done_with_follow_its_end() {
    let (number, hook): (_, Arc<str>) = (ONE, "notify".into());
    let point = HookPoint::OnRollback;
    let ordered = (21_000, Event::HookOrdered { number, hook: hook.clone(), point });
    let live: Vec<_> = to_success().into_iter().take(7).chain(reverted(Outcome::RolledBack)).chain([ordered]).collect();
    assert_eq!(states(&live)[6..], [(RollBack, Done), (StepWhat::Hook, Now)]);
    let finished = Event::HookFinished { number, hook, point, reason: None, said: "".into() };
    let over: Vec<_> = live.into_iter().chain([(22_000, finished)]).collect();
    assert_eq!(states(&over)[6..], [(RollBack, Done), (StepWhat::Hook, Done)]);
}

#[test]
fn a_wait_that_goes_on_is_said_and_not_counted_as_nothing() {
    let step = |what: StepWhat, took: Option<u64>| {
        let time = "2026-11-21T18:00:00.000Z".to_owned();
        Step {
            name: String::new(),
            what,
            kind: what.kind(),
            state: StepState::Now,
            began: Some(time.clone()),
            ended: took.map(|_| time),
            took,
            within: None,
            share: None,
        }
    };
    let human = |steps: &[Step]| sums(steps).human;
    assert_eq!(human(&[step(StepWhat::Provision, None)]), "0 ms");
    assert_eq!(human(&[step(StepWhat::Gate, None)]), "goes on");
    assert_eq!(human(&[step(StepWhat::Gate, Some(5000)), step(StepWhat::Gate, None)]), "5 s, and goes on");
    assert_eq!(sums(&[step(StepWhat::Queue, Some(2000))]).queue.as_deref(), Some("2 s"));
}
