//! The checks of one environment's stacks, as they go on beside everything else: which probe is due, and what all of
//! them say so far. Verdicts are [`crate::checks::Watch`]'s; nothing here decides.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};

use super::world::{Verdicts, World};
use crate::{
    checks::{Probe, ProbeResult, Watch},
    machine::{Millis, Number, StackName},
};

/// A probe that has come back.
pub struct Probed {
    number: Number,
    probe: Probe,
    result: ProbeResult,
}

/// The checks under way.
pub struct Watching {
    world: Arc<World>,
    stacks: HashMap<Number, Watch>,
}

impl Watching {
    /// Nothing is watched yet.
    pub fn new(world: Arc<World>) -> Self {
        Self { world, stacks: HashMap::new() }
    }

    /// Watches these, and no others any more.
    pub fn follow(&mut self, numbers: &[Number]) {
        self.stacks.retain(|number, _| numbers.contains(number));
        for number in numbers {
            self.stacks.entry(*number).or_insert_with(|| Watch::new(self.world.checks.clone()));
        }
    }

    /// Tells where the stacks serve.
    pub fn endpoints(&mut self, endpoints: &HashMap<Number, Vec<SocketAddr>>) {
        let now = self.world.clock.now();
        for (number, watch) in &mut self.stacks {
            watch.set_endpoints(endpoints.get(number).map(Vec::as_slice).unwrap_or_default(), now);
        }
    }

    /// What the checks say.
    pub fn verdicts(&self) -> Verdicts {
        self.stacks.iter().map(|(number, watch)| (*number, (watch.health(), watch.remark()))).collect()
    }

    /// The probes that are due. While nothing is under way they are no more frequent than `at_most`.
    pub fn due(&mut self, now: Millis, at_most: Option<Duration>) -> Vec<BoxFuture<'static, Probed>> {
        let mut begun = Vec::new();
        for (&number, watch) in &mut self.stacks {
            let stack = StackName { environment: self.world.id.clone(), number };
            for probe in watch.due(now, at_most) {
                let (stack, checks) = (stack.clone(), self.world.checks.clone());
                begun.push(
                    async move {
                        let result = checks.run(&probe, &stack).await;
                        Probed { number, probe, result }
                    }
                    .boxed(),
                );
            }
        }
        begun
    }

    /// When the next probe is due.
    pub fn next_due(&self) -> Option<Millis> {
        self.stacks.values().filter_map(Watch::next_due).min()
    }

    /// Takes the result of a probe.
    pub fn record(&mut self, probed: Probed) {
        let now = self.world.clock.now();
        if let Some(watch) = self.stacks.get_mut(&probed.number) {
            watch.record(&probed.probe, probed.result, now);
        }
    }
}
