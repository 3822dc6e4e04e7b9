//! The checks of one environment's stacks, as they go on beside everything else: which probe is due, and what all of
//! them say so far. Verdicts are [`crate::checks::Watch`]'s; nothing here decides.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};

use super::world::{Verdict, Verdicts, World};
use crate::{
    checks::{self, Asked, At, Check, KnownAs, NoPass, Probe, Subject, Watch},
    machine::{CheckAnswer, Environment, Millis, Number},
    reach::Reach,
};

/// A probe that has come back.
pub(super) struct Probed {
    number: Number,
    probe: Probe,
    answer: Result<Duration, NoPass>,
}

/// The checks under way.
pub(super) struct Watching {
    world: Arc<World>,
    stacks: HashMap<Number, Watch>,
    /// Stacks that the front showed as live or staged when it was last seen.
    at_front: Vec<Number>,
    /// Where the stacks are asked.
    reach: HashMap<Number, Reach>,
    /// When a round of probes was last begun.
    begun: Millis,
}

/// How far the front knows a stack. `expected`: the candidate that is about to be staged.
pub(crate) fn known_as(number: Number, at_front: &[Number], expected: Option<Number>) -> KnownAs {
    match (at_front.contains(&number), expected == Some(number)) {
        (true, _) => KnownAs::Known,
        (false, true) => KnownAs::Expected,
        (false, false) => KnownAs::Forgotten,
    }
}

/// Asks once, at the stack or through the front.
async fn ask(world: &World, check: &Check, subject: &Subject, at: At) -> Result<Duration, NoPass> {
    match at {
        At::Stack(address) => checks::probe(check, subject, Asked::Stack(address)).await,
        At::Front => {
            let way = world.way_to(subject, check).map_err(NoPass::NotReached)?;
            checks::probe(check, subject, Asked::Front(&way)).await
        }
    }
}

impl Watching {
    /// Returns watches of nothing yet.
    pub(super) fn new(world: Arc<World>) -> Self {
        Self { world, stacks: HashMap::new(), at_front: Vec::new(), reach: HashMap::new(), begun: Millis(0) }
    }

    /// Watches these, and no others any more.
    pub(super) fn follow(&mut self, numbers: &[Number]) {
        self.stacks.retain(|number, _| numbers.contains(number));
        for number in numbers {
            self.stacks.entry(*number).or_insert_with(|| Watch::new(self.world.checks.clone()));
        }
    }

    /// Tells where the stacks serve, and which of them the front knows. `at_front`: `None` while nobody knows.
    pub(super) fn serve_at(
        &mut self,
        reach: &HashMap<Number, Reach>,
        at_front: Option<&[Number]>,
        expected: Option<Number>,
    ) {
        let now = self.world.clock.now();
        self.reach.clone_from(reach);
        if let Some(at_front) = at_front {
            self.at_front = at_front.to_vec();
        }
        for (number, watch) in &mut self.stacks {
            let known = known_as(*number, &self.at_front, expected);
            watch.set_endpoints(reach.get(number).map(Reach::addresses).unwrap_or_default(), known, now);
        }
    }

    /// Returns the verdicts of the checks.
    pub(super) fn verdicts(&self) -> Verdicts {
        let (now, pause) = (self.world.clock.now(), self.world.watch);
        let of = |(number, watch): (&Number, &Watch)| Verdict {
            health: watch.health(),
            remark: watch.remark(),
            reach: self.reach.get(number).cloned().unwrap_or_default(),
            unanswered: watch.unanswered_since(now, pause),
        };
        self.stacks.iter().map(|of_stack| (*of_stack.0, of(of_stack))).collect()
    }

    /// What the checks of a stack answered last, where they passed.
    pub(super) fn answers(&self, number: Number) -> Vec<CheckAnswer> {
        self.stacks.get(&number).map_or_else(Vec::new, Watch::answers)
    }

    /// The probes that are due. While nothing is under way there is at most one round of them each `at_most`.
    pub(super) fn due(
        &mut self,
        state: &Environment,
        now: Millis,
        at_most: Option<Duration>,
    ) -> Vec<BoxFuture<'static, Probed>> {
        if at_most.is_some_and(|pause| now.since(self.begun) < pause.into()) {
            return Vec::new();
        }
        let mut round = Vec::new();
        for (&number, watch) in &mut self.stacks {
            let Some(subject) = self.world.subject(number, state) else { continue };
            for probe in watch.due(now) {
                let (subject, world) = (subject.clone(), self.world.clone());
                let ask = async move {
                    let answer = match world.checks.list.get(probe.check) {
                        Some(check) => ask(&world, check, &subject, probe.at).await,
                        None => Err(NoPass::NotReached("there is no such check".to_owned())),
                    };
                    Probed { number, probe, answer }
                };
                round.push(ask.boxed());
            }
        }
        if !round.is_empty() {
            self.begun = now;
        }
        round
    }

    /// When the next probe is due, under the same condition.
    pub(super) fn next_due(&self, at_most: Option<Duration>) -> Option<Millis> {
        let next = self.stacks.values().filter_map(Watch::next_due).min()?;
        Some(at_most.map_or(next, |pause| next.max(self.begun.plus(pause.into()))))
    }

    /// Takes the answer of a probe.
    pub(super) fn record(&mut self, probed: Probed) {
        let now = self.world.clock.now();
        if let Some(watch) = self.stacks.get_mut(&probed.number) {
            watch.record(now, probed.probe, probed.answer);
        }
    }
}
