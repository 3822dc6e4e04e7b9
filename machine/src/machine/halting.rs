//! Stacks that are stopped and kept: of two that must never run at the same time, the live one is stopped before the next one
//! comes up, while the front shows the maintenance page. How that goes is in `stop_first.rs`.
//!
//! Which stacks are meant to be stopped is recorded before any of them is told, and each order to stop or to start has a number:
//! a stack obeys no lower one than the last, so that a late order does nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    apply::Illegal,
    event::{Entry, Event, Outcome},
    ids::{Generation, Millis, Number},
    maintenance::Maintenance,
    observation::{Condition, Health, Observation},
    phase::Phase,
    release::Strategy,
    state::{Deployment, Environment, Stack},
};

/// How a deployment will have ended that is on its way back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Back {
    /// How it will have ended.
    pub outcome: Outcome,
    /// Reason, in the words of whoever or whatever gave it.
    pub reason: Arc<str>,
}

/// The last order to stop or to start a stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunOrder {
    /// The stack.
    pub number: Number,
    /// The order's number.
    pub order: u64,
    /// It is to be stopped; otherwise it is to run.
    pub stop: bool,
    /// Since when.
    pub since: Millis,
    /// How long requests in flight may take to finish before it is stopped.
    pub drain_within: Millis,
}

/// What is read.
impl Environment {
    /// The last order to stop or to start a stack, if it was ever stopped.
    pub fn run_order(&self, number: Number) -> Option<&RunOrder> {
        self.runs.iter().find(|run| run.number == number)
    }

    /// The number of the last order to stop or to start a stack.
    pub fn last_run(&self) -> u64 {
        self.last_run
    }

    /// Whether a stack is meant to be stopped.
    pub fn is_halted(&self, number: Number) -> bool {
        self.run_order(number).is_some_and(|run| run.stop)
    }

    /// How long users got the maintenance page the last time that a deployment stopped a stack: about as long as the next time.
    pub fn last_downtime(&self) -> Option<Millis> {
        self.last_downtime
    }

    /// Since when the front shows the maintenance page for a deployment, or was told to.
    pub fn paged_since(&self) -> Option<Millis> {
        self.paged_since
    }

    pub(super) fn live_is_halted(&self) -> bool {
        self.live.as_ref().is_some_and(|s| self.is_halted(s.number))
    }

    /// Whether users get the maintenance page because a deployment has stopped what they had, or is about to.
    pub fn is_paged(&self) -> bool {
        let phase = self.active.as_ref().map(|d| &d.phase);
        let at_it = matches!(phase, Some(Phase::Paging { .. } | Phase::Stopping { .. } | Phase::Starting { .. }));
        at_it || self.live_is_halted()
    }

    /// Whether a deployment stops the live stack before its own comes up, and has not done so yet.
    pub(super) fn must_stop_first(&self, d: &Deployment) -> bool {
        let stop_first = d.plan.strategy == Strategy::StopFirst && self.rules.one_meant_to_run();
        stop_first && self.live.is_some() && !self.live_is_halted()
    }

    /// Whether two stacks must not run at the same time.
    fn never_two(&self) -> bool {
        let plans = self.active.iter().map(|d| &d.plan).chain(self.live.iter().map(|s| &s.plan));
        plans.into_iter().any(|plan| plan.strategy == Strategy::StopFirst)
    }

    /// Whether a stack may be made or started as far as the others are concerned (rules R76, R81).
    pub(super) fn may_run_now(&self, number: Number, seen: &Observation) -> bool {
        let stopped = |condition| condition == Condition::Stopped;
        let alone = seen.stacks.iter().flatten().all(|s| s.number == number || stopped(s.condition));
        let alone = alone || !self.rules.start_alone();
        let still = seen.may_rise.iter().all(|n| *n == number) || !self.rules.start_when_still();
        !self.never_two() || alone && still
    }

    /// What keeps a stack from being made, in words: another one that runs.
    pub(super) fn stands_in_the_way(&self, number: Number, seen: &Observation) -> Option<String> {
        let other = |s: &&super::StackView| s.number != number && s.condition != Condition::Stopped;
        let other = seen.stacks.iter().flatten().find(other).filter(|_| !self.may_run_now(number, seen))?;
        let (other, is) = (other.number, other.condition);
        Some(format!("its stack was not made in time, because stack {other} is {is} and two must not run"))
    }

    /// Whether a stack was seen good, and to have obeyed the last order to start it, while no earlier one can stop it any more
    /// (rule R77).
    pub(super) fn is_good(&self, number: Number, seen: &Observation) -> bool {
        let obeyed = |run: &RunOrder| {
            !run.stop && seen.stack(number).is_some_and(|s| s.obeyed >= run.order) || !self.rules.obeyed_the_start()
        };
        let falls = seen.may_fall.contains(&number) && self.rules.obeyed_the_start();
        seen.ready(number, Health::Passing) && self.run_order(number).is_none_or(obeyed) && !falls
    }

    /// Whether a stack that is meant to be stopped was seen to be.
    pub(super) fn is_stopped(&self, number: Number, order: u64, seen: &Observation) -> bool {
        let dead = |condition| condition == Condition::Failed && !self.rules.stop_the_dead();
        let view = |s: &super::StackView| {
            s.condition == Condition::Stopped && (s.obeyed >= order || !self.rules.obeyed_the_start())
                || dead(s.condition)
        };
        let risen = seen.may_rise.contains(&number) && self.rules.start_when_still();
        seen.lacks(number) && !risen || seen.stack(number).is_some_and(view)
    }

    /// The number of the next order to stop or to start a stack: higher than ours and than what any of them has obeyed.
    pub(super) fn next_run(&self, seen: Option<&Observation>) -> u64 {
        let obeyed = seen.into_iter().flat_map(|seen| seen.stacks.iter().flatten()).map(|s| s.obeyed).max();
        self.last_run.max(obeyed.unwrap_or(0)) + 1
    }
}

/// The fold.
impl Environment {
    /// Folds the events of the maintenance page, and of stacks that are stopped and started for it.
    pub(super) fn apply_page(&mut self, entry: &Entry) -> Result<(), Illegal> {
        let Entry { at, event, .. } = entry;
        let at = *at;
        if let Event::PageOrdered { number, generation, back } = event {
            self.page_ordered(*number, *generation, back.as_ref(), at)
        } else if let Event::StopOrdered { number, stack, order, back } = event {
            self.stop_ordered(*number, (*stack, *order), back.as_ref(), at)
        } else if let Event::StartOrdered { number, stack, order, outcome, reason } = event {
            self.start_ordered(*number, (*stack, *order), (*outcome, reason), at)
        } else if let Event::Stopped { number } = event {
            let from = |p: &Phase| matches!(p, Phase::Stopping { back: None, .. });
            self.step("stopped", *number, at, from, Phase::Provisioning)
        } else if let Event::MaintenanceBegun { generation, hold, reason } = event {
            self.maintenance_begun(*generation, Maintenance::by(entry, *hold, reason))
        } else if let Event::MaintenanceEnded { generation, .. } = event {
            self.maintenance_ended(*generation, at)
        } else {
            Ok(())
        }
    }

    fn page_ordered(
        &mut self,
        number: Number,
        generation: Generation,
        back: Option<&Back>,
        at: Millis,
    ) -> Result<(), Illegal> {
        let event = "page_ordered";
        self.higher(event, number, generation)?;
        if self.live.is_none() {
            return Err(Illegal { event, number, why: "nothing is live" });
        }
        let ahead = back.is_none();
        let from = move |p: &Phase| match p {
            Phase::Provisioning => ahead,
            Phase::Paging { back, .. } => back.is_none() == ahead,
            Phase::CuttingOver { .. } | Phase::Baking | Phase::RollbackRequested { .. } => !ahead,
            Phase::Queued
            | Phase::AwaitingStart
            | Phase::Checking
            | Phase::AfterChecks
            | Phase::AwaitingCutover
            | Phase::Verifying
            | Phase::Stopping { .. }
            | Phase::Watching { .. }
            | Phase::RevertRequested { .. }
            | Phase::Starting { .. }
            | Phase::Reverting { .. } => false,
        };
        self.step(event, number, at, from, Phase::Paging { generation, back: back.cloned() })?;
        self.order(generation);
        Ok(())
    }

    fn stop_ordered(
        &mut self,
        number: Number,
        (stack, order): (Number, u64),
        back: Option<&Back>,
        at: Millis,
    ) -> Result<(), Illegal> {
        let event = "stop_ordered";
        let illegal = |why| Illegal { event, number, why };
        let drain_within = self.active_mut(event, number)?.plan.drain_within;
        let expected = if back.is_some() { Some(number) } else { self.live.as_ref().map(|s| s.number) };
        if expected != Some(stack) {
            return Err(illegal("it stops another stack than the one that makes room"));
        }
        if order <= self.last_run {
            return Err(illegal("its order is not higher than the last"));
        }
        let (ahead, halted) = (back.is_none(), self.live_is_halted());
        let from = move |p: &Phase| {
            let paged = matches!(p, Phase::Paging { back, .. } if back.is_none() == ahead);
            // Once the live stack is stopped, the page is shown already.
            paged || p.before_cutover() && !ahead && halted
        };
        self.step(event, number, at, from, Phase::Stopping { order, back: back.cloned() })?;
        self.set_run(RunOrder { number: stack, order, stop: true, since: at, drain_within });
        self.paged_since.get_or_insert(at);
        if self.live.as_ref().is_some_and(|s| s.number == stack) {
            self.forget_down();
        }
        Ok(())
    }

    /// From here on what is started is live, whether or not its deployment was ever over.
    fn start_ordered(
        &mut self,
        number: Number,
        (stack, order): (Number, u64),
        (outcome, reason): (Outcome, &Arc<str>),
        at: Millis,
    ) -> Result<(), Illegal> {
        let event = "start_ordered";
        let illegal = |why| Illegal { event, number, why };
        if order <= self.last_run {
            return Err(illegal("its order is not higher than the last"));
        }
        let live = self.live.as_ref().map(|s| s.number);
        let standby = self.standby.as_ref().map(|s| s.stack.number);
        let goes_back = if live == Some(number) { standby } else { live };
        if goes_back != Some(stack) {
            return Err(illegal("it starts what users did not have before"));
        }
        let next = Phase::Starting { order, outcome, reason: reason.clone() };
        let from = |p: &Phase| matches!(p, Phase::Stopping { .. } | Phase::Paging { back: None, .. });
        self.step(event, number, at, from, next)?;
        if live == Some(number) {
            let back = self.standby.take().ok_or_else(|| illegal("there is no standby"))?;
            self.live = Some(Stack { since: at, ..back.stack });
        }
        let drain_within = Millis(0);
        self.set_run(RunOrder { number: stack, order, stop: false, since: at, drain_within });
        self.forget_down();
        Ok(())
    }

    /// Users have a stack again.
    pub(super) fn page_is_over(&mut self, at: Millis) {
        self.last_downtime = self.paged_since.take().map(|since| at.since(since)).or(self.last_downtime);
    }

    fn set_run(&mut self, run: RunOrder) {
        self.last_run = run.order;
        self.runs.retain(|known| known.number != run.number);
        self.runs.push(run);
    }
}
