//! What tests of whoever reads the machine's state begin with: a deployment that is accepted, and the events of one that goes well.

use std::sync::Arc;

use crate::machine::{Entry, Environment, Event, Generation, Key, Millis, Number, Plan, Release, Trigger};

/// A release of this number, version 1.4.NUMBER.
pub(crate) fn release(number: u32) -> Release {
    Release { number, ..Release::draft(&format!("1.4.{number}")) }
}

/// A deployment that is accepted.
pub(crate) fn accepted(number: u32, release: Release, plan: Plan, trigger: Trigger) -> Event {
    let key = Key(u128::from(number).to_be_bytes());
    let (number, release, plan) = (Number(number), Arc::new(release), Arc::new(plan));
    Event::Accepted { number, key, build_number: None, release, plan, trigger, reason: None, stranger: false }
}

/// What follows where all goes well.
pub(crate) fn to_success(number: Number, generation: Generation) -> [Event; 6] {
    [
        Event::Started { number },
        Event::Provisioned { number },
        Event::Checked { number, answers: Vec::new() },
        Event::CutOverOrdered { number, generation, share: None },
        Event::WentLive { number, host: None },
        Event::Succeeded { number },
    ]
}

/// Makes a release live, and found good.
pub(crate) fn make_live(state: &mut Environment, number: u32, release: Release) {
    let generation = Generation(state.generation().0 + 1);
    let first = accepted(number, release, Plan::default(), Trigger::Person);
    for event in std::iter::once(first).chain(to_success(Number(number), generation)) {
        state.apply(&Entry { at: Millis(0), by: "test".into(), event }).expect("it fits");
    }
}
