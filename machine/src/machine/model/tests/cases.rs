//! The worlds that ship, made of an environment's own terms: whatever these are, no promise breaks, and all that they say is in
//! the worlds.

use std::sync::Arc;

use super::{
    explore::whole,
    shipped::{Terms, cases},
};
use crate::machine::{
    Gate, Hook, HookPoint, Millis, Otherwise, Plan, Recover, RecoverTo, Retain, Share, Step, Strategy,
};

fn terms(plan: Plan) -> Terms {
    Terms { plan: Arc::new(plan), fenced: true, from_git: false, checked: true, adopts: false }
}

fn gate(otherwise: Otherwise) -> Gate {
    Gate { timeout: Millis(3_600_000), otherwise, by: vec!["ann".into()], not_the_asker: true }
}

fn step(percent: i64, pause: Option<Gate>) -> Step {
    Step { share: Share::try_from(percent).unwrap(), bake: Millis(300_000), pause }
}

/// All that terms can say, more of it than any world of the tests has.
fn everything() -> Plan {
    let hook = |(n, at): (usize, &HookPoint)| Hook {
        name: format!("hook {n}").into(),
        at: *at,
        within: Millis(9),
        one_way: true,
    };
    Plan {
        before_provisioning: Some(gate(Otherwise::Approve)),
        before_cutover: Some(gate(Otherwise::Abort)),
        steps: vec![step(5, None), step(20, Some(gate(Otherwise::Abort))), step(50, None), step(75, None)],
        hooks: HookPoint::ALL.iter().chain(&HookPoint::ALL).enumerate().map(hook).collect(),
        retain: Retain::UntilNext,
        recover: Recover { to: RecoverTo::Standby, after: Millis(30_000) },
        ..Plan::default()
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are what one runs this for")]
fn no_terms_break_a_promise() {
    let most = if whole() { 100_000 } else { 3_000 };
    for (what, terms) in [
        ("default", terms(Plan::default())),
        ("everything", Terms { from_git: true, adopts: true, ..terms(everything()) }),
        (
            "unfenced",
            Terms { fenced: false, ..terms(Plan { always_on: true, retain: Retain::None, ..Plan::default() }) },
        ),
        ("stop first", terms(Plan { strategy: Strategy::StopFirst, ..Plan::default() })),
    ] {
        for case in cases(&terms).all() {
            let mut explorer = case.explorer();
            while explorer.states() < most {
                let open = explorer.next(512);
                if open.is_empty() {
                    break;
                }
                let found = explorer.follow(&open);
                explorer.take(found);
            }
            let (states, depth, left) = (explorer.states(), explorer.depth(), explorer.left());
            println!("{what}: {}: {states} states, {depth} steps deep, {left} left", case.name());
            assert_eq!((explorer.broken(), explorer.way().len()), (None, 0), "{what}: {}", case.name());
            assert!(states > 100, "{what}: {}: only {states} states", case.name());
        }
    }
}

#[test]
fn the_worlds_have_what_the_terms_say() {
    let all = terms(everything());
    let plan = cases(&Terms { from_git: true, ..all.clone() });
    let told = format!("{:?}", plan.all());
    for part in [
        "gate_start: Some(Approve)",
        "gate_cutover: Some(Abort)",
        "guarded: true",
        "steps: [5, 20, 50, 75], pause: Some(Abort)",
        "retain: UntilNext",
        "recover: Standby",
        "source: Answers",
        "hooks: [BeforeProvisioning, AfterChecks, BeforeCutover, AfterCutover, OnRollback, OnRetire]",
        "people: Steps",
        "fenced: true",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let names = |terms: &Terms| cases(terms).all().iter().map(|case| case.name()).collect::<Vec<_>>();
    assert!(names(&all).iter().any(|name| name.contains("hook")));
    assert!(!names(&terms(Plan::default())).iter().any(|name| name.contains("hook")));
    assert_eq!(names(&all).last(), Some(&"most of this at once"));
}

/// A million of them are held while a level is worked out.
#[test]
fn a_state_is_small() {
    let size = std::mem::size_of::<super::world::World>();
    assert!(size <= 1_600, "{size} bytes");
}
