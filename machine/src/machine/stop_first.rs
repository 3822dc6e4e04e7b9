//! The steps of a deployment that stops what is live before its own stack comes up, and the way back: page, stop, start, check,
//! order. What is recorded of stacks that are stopped is in `halting.rs`.

use std::sync::Arc;

use super::{
    effect::shown,
    event::{Event, Outcome},
    halting::Back,
    ids::{Generation, Millis, Number},
    observation::Observation,
    phase::Phase,
    state::{Deployment, Environment},
    tick::called,
    traffic::Traffic,
};

/// Decisions after a look.
impl Environment {
    /// Users are to get the page, as the first step of a deployment that stops what they have.
    pub(super) fn page_first(&self, d: &Deployment, seen: &Observation) -> Event {
        Event::PageOrdered { number: d.number, generation: self.next_generation(seen), back: None }
    }

    pub(super) fn paging(
        &self,
        d: &Deployment,
        (generation, back): (Generation, Option<&Back>),
        seen: &Observation,
        now: Millis,
    ) -> Option<Event> {
        let number = d.number;
        if let (None, Some(vetoed)) = (back, self.vetoed(d.release.number).filter(|_| self.rules.veto_stops())) {
            return Some(self.way_back(d, Outcome::Aborted, &vetoed.to_string().into(), Some(seen)));
        }
        if shown(seen, Traffic::Nobody, generation, self.rules) || !self.rules.page_before_stop() {
            let stack = self.to_stop(d, back)?;
            return Some(Event::StopOrdered { number, stack, order: self.next_run(Some(seen)), back: back.cloned() });
        }
        if seen.front.as_ref().is_some_and(|front| front.generation >= generation) {
            return Some(Event::PageOrdered { number, generation: self.next_generation(seen), back: back.cloned() });
        }
        let what = self.order_fails(d, generation, seen, now)?;
        match back {
            None => Some(self.way_back(d, Outcome::Failed, &what.into(), Some(seen))),
            Some(_) if d.operator_needed => None,
            Some(_) => Some(called(number, format!("{what}; it is still tried"))),
        }
    }

    /// The stack that a deployment has stopped: the live one on its way, its own one on the way back.
    fn to_stop(&self, d: &Deployment, back: Option<&Back>) -> Option<Number> {
        if back.is_some() { Some(d.number) } else { self.live.as_ref().map(|s| s.number) }
    }

    pub(super) fn stopping(
        &self,
        d: &Deployment,
        (order, back): (u64, Option<&Back>),
        seen: &Observation,
        now: Millis,
    ) -> Option<Event> {
        let (number, stack) = (d.number, self.to_stop(d, back)?);
        let vetoed = self.vetoed(d.release.number).filter(|_| back.is_none() && self.rules.veto_stops());
        if let Some(vetoed) = vetoed {
            return Some(self.way_back(d, Outcome::Aborted, &vetoed.to_string().into(), Some(seen)));
        }
        let stopped = self.is_stopped(stack, order, seen);
        match back {
            None if stopped => return Some(Event::Stopped { number }),
            Some(Back { outcome, reason }) if stopped => {
                return self.start_again(d, *outcome, reason, Some(seen));
            }
            None | Some(_) => {}
        }
        let limit = d.plan.drain_within.plus(d.plan.retire_within);
        let (late, what) = if seen.stacks.is_none() {
            let late = seen.watched(d.since, now, self.rules).reaches(limit);
            (late, format!("the provider does not answer, so nobody knows whether stack {stack} is stopped"))
        } else {
            let late = seen.watched_stacks(d.since, now, self.rules).reaches(limit);
            let said = seen.stack(stack).and_then(|s| s.remark.as_deref());
            let said = said.map(|said| format!(": {said}")).unwrap_or_default();
            (late, format!("stack {stack} could not be stopped in time{said}"))
        };
        let silent = seen.stacks.is_none();
        match back {
            _ if !late => None,
            None if !silent => Some(self.way_back(d, Outcome::Failed, &what.into(), Some(seen))),
            _ if d.operator_needed => None,
            _ => Some(called(number, format!("{what}; users get the maintenance page, and it is still tried"))),
        }
    }

    /// What was stopped is started: users get it back once it was seen good.
    pub(super) fn starting(
        &self,
        d: &Deployment,
        (outcome, reason): (Outcome, &Arc<str>),
        seen: &Observation,
        now: Millis,
    ) -> Option<Event> {
        let (number, live) = (d.number, self.live.as_ref().map(|s| s.number)?);
        let settled = self.drift.is_none() || self.cannot_mend(seen);
        if self.is_good(live, seen) && settled {
            let (to, generation, reason) = (Some(live), self.next_generation(seen), reason.clone());
            return Some(Event::RevertOrdered { number, to, generation, outcome, reason });
        }
        // Whatever mends it must not wait for it.
        if let Some(newer) = self.startable().filter(|_| self.may_give_up(d) && self.rules.make_room()) {
            let reason = format!("{reason}; deployment {newer} takes its place").into();
            return Some(Event::Ended { number, outcome: Outcome::Superseded, reason });
        }
        let limit = d.plan.provision_within.plus(d.plan.check_within);
        let (late, what) = if seen.stacks.is_none() {
            let what = "the provider does not answer, so nobody knows whether it runs".to_owned();
            (seen.watched(d.since, now, self.rules).reaches(limit), what)
        } else {
            let said = seen.stack(live).and_then(|s| s.remark.as_deref());
            let said = said.map(|said| format!(": {said}")).unwrap_or_default();
            (seen.watched_stacks(d.since, now, self.rules).reaches(limit), format!("it is not seen good{said}"))
        };
        let what = format!("stack {live} was started again and {what}; users get the maintenance page until it is");
        (late && !d.operator_needed).then(|| called(number, what))
    }

    /// The end of a deployment that has, or had, users shown the maintenance page: what they had is put back first (rule R80).
    /// Without a look where a person gave the word.
    pub(super) fn way_back(
        &self,
        d: &Deployment,
        outcome: Outcome,
        reason: &Arc<str>,
        seen: Option<&Observation>,
    ) -> Event {
        let number = d.number;
        let had_users = self.live.as_ref().is_some_and(|s| s.number == number);
        let reason = if had_users { reason.clone() } else { d.what_stays(reason) };
        let back = Back { outcome, reason: reason.clone() };
        let generation = seen.map_or(self.generation.next(), |seen| self.next_generation(seen));
        let order = self.next_run(seen);
        match &d.phase {
            // Nothing was stopped for it: users go back by one order.
            Phase::Paging { .. } if !self.may_be_stopped(seen) => {
                let to = self.live.as_ref().map(|s| s.number);
                Event::RevertOrdered { number, to, generation, outcome, reason }
            }
            // The new stack was never made.
            Phase::Paging { .. } | Phase::Stopping { .. } => match self.start_again(d, outcome, &reason, seen) {
                Some(start) => start,
                None => Event::Ended { number, outcome, reason },
            },
            Phase::Queued
            | Phase::AwaitingStart
            | Phase::Provisioning
            | Phase::Checking
            | Phase::AfterChecks
            | Phase::AwaitingCutover
            | Phase::Verifying => Event::StopOrdered { number, stack: number, order, back: Some(back) },
            Phase::CuttingOver { .. }
            | Phase::Watching { .. }
            | Phase::RevertRequested { .. }
            | Phase::Baking
            | Phase::RollbackRequested { .. }
            | Phase::Starting { .. }
            | Phase::Reverting { .. } => Event::PageOrdered { number, generation, back: Some(back) },
        }
    }

    /// Whether the live stack was stopped for an earlier deployment, and was not seen good since.
    fn may_be_stopped(&self, seen: Option<&Observation>) -> bool {
        let good = |n| seen.is_some_and(|seen| self.is_good(n, seen));
        let live = self.live.as_ref().map(|s| s.number);
        live.is_some_and(|n| self.run_order(n).is_some() && !good(n)) && self.rules.obeyed_the_start()
    }

    /// The order that starts what users had before a deployment.
    fn start_again(
        &self,
        d: &Deployment,
        outcome: Outcome,
        reason: &Arc<str>,
        seen: Option<&Observation>,
    ) -> Option<Event> {
        let before = self.live.as_ref().filter(|s| s.number != d.number).or(self.standby.as_ref().map(|s| &s.stack));
        let (number, stack, order) = (d.number, before?.number, self.next_run(seen));
        Some(Event::StartOrdered { number, stack, order, outcome, reason: reason.clone() })
    }

    /// Whether going back from a deployment means to start what was stopped.
    pub(super) fn goes_back_to_stopped(&self, d: &Deployment) -> bool {
        let live = self.live.as_ref().map(|s| s.number);
        let before = if live == Some(d.number) { self.standby.as_ref().map(|s| s.stack.number) } else { live };
        let forward = !matches!(d.phase, Phase::Paging { back: Some(_), .. } | Phase::Stopping { back: Some(_), .. });
        before.is_some_and(|n| self.is_halted(n)) && forward && self.rules.start_before_return()
    }

    /// The same event, where that is the end of a deployment which has stopped what users had: they get it back first.
    pub(super) fn with_what_was_stopped(&self, d: &Deployment, event: Event, seen: Option<&Observation>) -> Event {
        if let Event::Ended { number, outcome, reason } = &event
            && *number == d.number
            && self.stopped_for(d)
        {
            return self.way_back(d, *outcome, reason, seen);
        }
        event
    }

    /// Whether the live stack is stopped for a deployment that has not got its users. One that waits for its turn has stopped nothing.
    fn stopped_for(&self, d: &Deployment) -> bool {
        let has_its_turn = self.active.as_ref().is_some_and(|active| active.number == d.number);
        has_its_turn && d.phase.before_cutover() && self.live_is_halted() && self.rules.start_before_return()
    }
}
