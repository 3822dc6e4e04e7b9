//! What the state wants done to the world. Effects are derived from the folded state alone, so none can leave before
//! the event that calls for it is durable (rule R1), and a restart resumes them without being told (rule R21).

use std::sync::Arc;

use super::{
    halting::RunOrder,
    ids::{Generation, Number},
    observation::{Condition, DefinitionView, Health, Observation},
    phase::{Ensured, Phase},
    rules::Rules,
    state::{Environment, Retiring},
    traffic::Traffic,
};
use crate::machine::ids::Millis;

/// One thing to do. Each may be done again at any time, by anyone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Read the stack definition of this deployment's release from the source repository.
    Freeze(Number),
    /// Bring the stack closer to existing.
    Ensure(Number),
    /// Make the candidate known to the front.
    Stage(Number),
    /// Begin the run of a hook, unless it was ever begun for this deployment. Whoever runs it ends it by itself once it is
    /// no longer among [`Environment::hooks_ordered`].
    RunHook {
        /// The deployment that it runs for.
        number: Number,
        /// Its name.
        hook: Arc<str>,
    },
    /// End an instance and start it again, unless that was done for this order.
    Restart {
        /// The live stack.
        number: Number,
        /// The instance.
        instance: usize,
        /// The number of the order.
        order: u64,
    },
    /// Point the front at a stack, at two that share the users, or at nobody.
    CutOver {
        /// Who gets users' requests.
        to: Traffic,
        /// The order's number.
        generation: Generation,
    },
    /// Give the front the reach that its stacks have now, by the order that it shows already.
    Refresh {
        /// Who gets users' requests, as the front shows it.
        to: Traffic,
        /// The order's number.
        generation: Generation,
    },
    /// End all that runs of a stack, and keep the rest.
    Stop(StopPermit),
    /// Start what was stopped.
    Start(StartPermit),
    /// Bring the stack closer to being gone.
    Retire(RetirePermit),
}

/// Leave to tear a stack down. Only the machine can grant it, and only upon a fresh observation: the stack is not live,
/// not promised, the front was seen elsewhere at the last generation, and nobody is using it any more (rule R9).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RetirePermit {
    number: Number,
    drained: bool,
}

impl RetirePermit {
    /// The stack that may be torn down.
    pub fn number(&self) -> Number {
        self.number
    }
    /// Whether it was seen idle; otherwise the time for that had passed.
    pub fn drained(&self) -> bool {
        self.drained
    }
}

/// Leave to stop a stack, which keeps all of it. Only the machine can grant it, and only upon a fresh observation: the front
/// was seen elsewhere at the last generation, and nobody is using the stack any more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StopPermit {
    number: Number,
    order: u64,
    drained: bool,
}

impl StopPermit {
    /// A permit for tests of drivers, which have no machine that grants one.
    #[doc(hidden)]
    pub fn granted_by_a_test(number: Number, order: u64) -> Self {
        Self { number, order, drained: true }
    }
    /// The stack that may be stopped.
    pub fn number(&self) -> Number {
        self.number
    }
    /// The number of the order: it grows with each order to stop or start this stack, and a driver obeys no lower one.
    pub fn order(&self) -> u64 {
        self.order
    }
    /// Whether it was seen idle; otherwise the time for that had passed.
    pub fn drained(&self) -> bool {
        self.drained
    }
}

/// Leave to start a stack that was stopped. Only the machine can grant it, and only upon a fresh observation: nothing that
/// may not run beside the stack was seen to run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StartPermit {
    number: Number,
    order: u64,
}

impl StartPermit {
    /// A permit for tests of drivers, which have no machine that grants one.
    #[doc(hidden)]
    pub fn granted_by_a_test(number: Number, order: u64) -> Self {
        Self { number, order }
    }
    /// The stack that may be started.
    pub fn number(&self) -> Number {
        self.number
    }
    /// The number of the order: it grows with each order to stop or start this stack, and a driver obeys no lower one.
    pub fn order(&self) -> u64 {
        self.order
    }
}

impl Environment {
    /// All that is due now. Nothing when the observation is older than the state (rule R5).
    pub fn effects(&self, seen: &Observation, now: Millis) -> Vec<Effect> {
        if self.rules.fresh_look() && seen.as_of != self.seq {
            return Vec::new();
        }
        let mut due = Vec::new();
        due.extend(
            self.front_order()
                .filter(|(to, generation)| !shown(seen, *to, *generation, self.rules))
                .filter(|(_, generation)| self.drift != Some(*generation) || self.may_mend(seen, now))
                .map(|(to, generation)| Effect::CutOver { to, generation }),
        );
        due.extend(self.to_refresh(seen));
        due.extend(self.to_freeze(seen).map(Effect::Freeze));
        due.extend(self.stacks_to_ensure(seen).map(Effect::Ensure));
        due.extend(self.runs.iter().filter_map(|run| self.run_effect(run, seen, now)));
        due.extend(self.to_restart(seen));
        due.extend(self.hooks_to_run(seen).map(|(number, hook)| Effect::RunHook { number, hook }));
        due.extend(self.to_stage(seen).map(Effect::Stage));
        due.extend(self.retiring.iter().filter_map(|r| self.permit(r, seen, now)).map(Effect::Retire));
        due
    }

    /// The one order to the front that is open.
    pub(super) fn front_order(&self) -> Option<(Traffic, Generation)> {
        match self.active.as_ref().map(|d| (d.number, &d.phase)) {
            Some((number, Phase::CuttingOver { generation, share, .. })) => {
                Some((self.behind_the_page(self.with_share(number, *share)), *generation))
            }
            Some((_, Phase::Reverting { to, generation, .. })) => {
                Some((self.behind_the_page(Traffic::whole(*to)), *generation))
            }
            Some((_, Phase::Paging { generation, .. })) => Some((Traffic::Nobody, *generation)),
            _ => self.drift.map(|generation| (self.wanted(), generation)),
        }
    }

    /// What the front shows as it was ordered, at a reach that the stack no longer has (rule R67): the order stays the same, and so
    /// does its number. Users come to new addresses only when the stack passes there, unless nothing of the old ones is left.
    fn to_refresh(&self, seen: &Observation) -> Option<Effect> {
        let front = seen.front.as_ref().filter(|_| self.rules.refresh_reach())?;
        let (to, ordered) = self.front_order().unwrap_or_else(|| (self.wanted(), self.generation));
        let mut behind = to.stacks().filter_map(|number| Some((number, front.outdated(number)?))).peekable();
        if !shown(seen, to, ordered, self.rules) || behind.peek().is_none() {
            return None;
        }
        let good = |number| seen.ready(number, Health::Passing) || !self.rules.mend_onto_good();
        let may = behind.all(|(number, outdated)| outdated.lost || good(number));
        may.then_some(Effect::Refresh { to, generation: front.generation })
    }

    fn stacks_to_ensure(&self, seen: &Observation) -> impl Iterator<Item = Number> {
        let unfinished = |n| seen.stack(n).is_some_and(|s| s.condition == Condition::Creating);
        let candidate = self.active.as_ref().filter(|d| match d.phase.row().ensured {
            Ensured::Made if d.release.awaits_definition() && self.rules.definition_first() => false,
            Ensured::Made if !d.is_past_hooks(self.rules) || self.must_stop_first(d) => false,
            Ensured::Made => unfinished(d.number) || seen.stack(d.number).is_none() && self.may_make(d.number),
            // Something of it died, and it has not come back by itself.
            Ensured::Finished => unfinished(d.number) && self.makes(&d.release),
            Ensured::No => false,
        });
        let candidate = candidate.map(|d| d.number);
        // A host that was restarted has forgotten its processes: what is live or promised is brought back.
        let kept = self.live.iter().chain(self.standby.iter().map(|s| &s.stack));
        let stopped = |n: Number| self.is_halted(n) && self.rules.leave_stopped();
        let kept = kept.filter(|s| self.makes(&s.release)).map(|s| s.number).filter(move |n| !stopped(*n));
        let for_ever = self.rules.restart_for_ever();
        let whole = move |n| {
            seen.stack(n).is_some_and(|s| match s.condition {
                Condition::Ready | Condition::Deleting | Condition::Stopping | Condition::Stopped => true,
                Condition::Failed => !for_ever,
                Condition::Creating => false,
            })
        };
        let again = |n| seen.stack(n).is_some() || self.may_make(n);
        let lost = kept.filter(|n| seen.stacks.is_some() && !whole(*n) && again(*n)).collect::<Vec<_>>();
        candidate.into_iter().chain(lost).filter(|n| self.may_run_now(*n, seen))
    }

    /// What an order to stop or to start a stack wants done, while that was not seen to have obeyed it.
    fn run_effect(&self, run: &RunOrder, seen: &Observation, now: Millis) -> Option<Effect> {
        let RunOrder { number, order, .. } = *run;
        let view = seen.stack(number).filter(|s| s.condition != Condition::Deleting)?;
        if self.retiring.iter().any(|r| r.number == number) {
            return None;
        }
        let obeyed = view.obeyed >= order;
        if run.stop {
            let done = obeyed && view.condition == Condition::Stopped
                || view.condition == Condition::Failed && !self.rules.stop_the_dead();
            let drained = self.idle(number, (run.since, run.drain_within), self.generation, seen, now);
            return drained.filter(|_| !done).map(|drained| Effect::Stop(StopPermit { number, order, drained }));
        }
        let done = obeyed && !matches!(view.condition, Condition::Stopping | Condition::Stopped);
        (!done && self.may_run_now(number, seen)).then_some(Effect::Start(StartPermit { number, order }))
    }

    fn to_freeze(&self, seen: &Observation) -> Option<Number> {
        let candidate = self.active.as_ref().filter(|d| matches!(d.phase, Phase::Provisioning))?;
        let unread = matches!(seen.definition, DefinitionView::Unread(_));
        (candidate.release.awaits_definition() && unread).then_some(candidate.number)
    }

    fn to_stage(&self, seen: &Observation) -> Option<Number> {
        let candidate = self.active.as_ref()?;
        let front = seen.front.as_ref()?;
        let known = front.staged == Some(candidate.number) && front.outdated(candidate.number).is_none();
        (candidate.phase.row().staged && !known).then_some(candidate.number)
    }

    fn permit(&self, retiring: &Retiring, seen: &Observation, now: Millis) -> Option<RetirePermit> {
        let hooks_are_over = retiring.hook().is_none() || !self.rules.hooks_before_retirement();
        let drained = self.drained(retiring, seen, now).filter(|_| hooks_are_over)?;
        Some(RetirePermit { number: retiring.number, drained })
    }

    /// Whether nobody needs the stack any more, and whether it was seen idle.
    pub(super) fn drained(&self, retiring: &Retiring, seen: &Observation, now: Millis) -> Option<bool> {
        let number = retiring.number;
        let stack = seen.stack(number)?;
        if stack.condition == Condition::Deleting {
            return None;
        }
        let live = self.live.as_ref().is_some_and(|s| s.number == number);
        let promised = self.rules.unpromise_first() && self.standby.as_ref().is_some_and(|s| s.stack.number == number);
        if self.rules.retire_only_unused() && (live || promised) {
            return None;
        }
        self.idle(number, (retiring.since, retiring.drain_within), self.owed(retiring), seen, now)
    }

    /// Whether no user reaches the stack by an order that is not lower, and whether it was seen idle.
    fn idle(
        &self,
        number: Number,
        (since, drain_within): (Millis, Millis),
        owed: Generation,
        seen: &Observation,
        now: Millis,
    ) -> Option<bool> {
        let front = seen.front.as_ref()?;
        let reached =
            if self.rules.whole_route() { front.traffic.reaches(number) } else { front.traffic.base() == Some(number) };
        let stops = self.is_halted(number);
        let guarded = if stops { self.rules.page_before_stop() } else { self.rules.retire_only_unused() };
        if guarded && (reached || front.generation < owed) {
            return None;
        }
        if !seen.quiet {
            return None;
        }
        let drained = !front.busy.contains(&number);
        let out_of_time = seen.watched(since, now, self.rules).reaches(drain_within);
        (drained || out_of_time || !self.rules.drain_first()).then_some(drained)
    }
}

/// Whether the front shows the order done.
pub(super) fn shown(seen: &Observation, to: Traffic, generation: Generation, rules: Rules) -> bool {
    let same = |traffic: Traffic| traffic == to || traffic.base() == to.base() && !rules.whole_route();
    seen.front.as_ref().is_some_and(|front| same(front.traffic) && front.generation >= generation)
}
