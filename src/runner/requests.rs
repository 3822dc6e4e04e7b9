//! Requests of ours to a provider that have left and may still land: they can make, start or stop a stack after whoever sent
//! them has gone on. The machine starts no stack beside one that can still come up.

use std::{collections::HashMap, time::Duration};

use crate::machine::{Effect, Environment, Millis, Number};

/// What one environment has sent.
#[derive(Debug)]
pub(super) struct Requests {
    /// When this life of the controller began: what was sent before is not known.
    since: Millis,
    /// How long a request may still land after its call has come back or was given up.
    lands_within: Duration,
    /// When a request to make or start a stack was last on its way.
    rises: HashMap<Number, Millis>,
    /// The same of requests to stop one, by their orders.
    falls: HashMap<(Number, u64), Millis>,
}

impl Requests {
    pub(super) fn new(lands_within: Duration, now: Millis) -> Self {
        Self { since: now, lands_within, rises: HashMap::new(), falls: HashMap::new() }
    }

    /// A request leaves, or its call has come back.
    pub(super) fn on_its_way(&mut self, effect: &Effect, now: Millis) {
        match effect {
            Effect::Ensure(number) => _ = self.rises.insert(*number, now),
            Effect::Start(permit) => _ = self.rises.insert(permit.number(), now),
            Effect::Stop(permit) => _ = self.falls.insert((permit.number(), permit.order()), now),
            Effect::Freeze(_)
            | Effect::Stage(_)
            | Effect::RunHook { .. }
            | Effect::Restart { .. }
            | Effect::CutOver { .. }
            | Effect::Refresh { .. }
            | Effect::Retire(_) => {}
        }
    }

    /// The stacks that a request can still make or start, and those that one can still stop by an order that is not their
    /// last. What has landed by now is forgotten.
    pub(super) fn open(&mut self, state: &Environment, now: Millis) -> (Vec<Number>, Vec<Number>) {
        let within = Millis::from(self.lands_within);
        let open = |at: &Millis| now.since(*at) < within;
        self.rises.retain(|_, at| open(at));
        self.falls.retain(|_, at| open(at));
        if open(&self.since) {
            let mut all = known(state);
            all.sort_unstable();
            all.dedup();
            return (
                all.clone(),
                all.into_iter().filter(|n| state.run_order(*n).is_some_and(|run| !run.stop)).collect(),
            );
        }
        let last = |number| state.run_order(number).map_or(0, |run| run.order);
        let mut falls: Vec<Number> =
            self.falls.keys().filter(|(number, order)| *order < last(*number)).map(|(number, _)| *number).collect();
        let mut rises: Vec<Number> = self.rises.keys().copied().collect();
        rises.sort_unstable();
        falls.sort_unstable();
        falls.dedup();
        (rises, falls)
    }
}

/// The stacks that an earlier life of the controller may have asked for.
fn known(state: &Environment) -> Vec<Number> {
    let kept = state.live().into_iter().chain(state.standby().map(|s| &s.stack)).map(|s| s.number);
    let under_way = state.active().map(|d| d.number);
    kept.chain(under_way).chain(state.retiring().iter().map(|r| r.number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_may_come_up_until_the_last_request_for_it_cannot_land_any_more() {
        let state = Environment::default();
        let mut requests = Requests::new(Duration::from_secs(60), Millis(0));
        requests.on_its_way(&Effect::Ensure(Number(2)), Millis(70_000));
        requests.on_its_way(&Effect::Ensure(Number(2)), Millis(75_000));
        requests.on_its_way(&Effect::Stage(Number(3)), Millis(75_000));
        assert_eq!(requests.open(&state, Millis(134_999)), (vec![Number(2)], vec![]));
        assert_eq!(requests.open(&state, Millis(135_000)), (vec![], vec![]));
    }
}
