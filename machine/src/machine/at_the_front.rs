//! The rest of a deployment from the order to the front: the cutover, the watch after it, and the ways back. Nothing is
//! judged here of which nobody could look (rule R41), and no order is late that was not given (rule R42).

use std::sync::Arc;

use super::{
    command::STAYS_ON,
    effect::shown,
    event::{Event, Outcome},
    ids::{Generation, Millis, Number, Share},
    observation::{Condition, Health, Observation, OrderView, StackView},
    phase::Phase,
    rules::Rules,
    state::{Deployment, Environment},
    tick::{SILENT, called},
    traffic::Traffic,
};

/// The host that the front was seen on.
fn host(seen: &Observation) -> Option<Arc<str>> {
    seen.front.as_ref()?.host.clone()
}

/// How the stack of a deployment that is watched is seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Good,
    /// It is lost, has failed, or fails its checks.
    Bad,
    /// Neither: it may become good.
    Unclear,
    /// The provider does not answer.
    Silent,
}

/// How far the hooks of a deployment that is watched are.
enum Hooks {
    /// No order is left, or the next one waits for a good stack.
    Quiet,
    /// One is to be ordered, or its run is over.
    Turn(Event),
    /// One runs.
    Running,
    /// The next one waits until the front is put right.
    Held,
    Failed,
}

impl Environment {
    pub(super) fn cutting_over(
        &self,
        d: &Deployment,
        (ordered, share, held): (Generation, Option<Share>, Option<Share>),
        seen: &Observation,
        now: Millis,
    ) -> Option<Event> {
        let number = d.number;
        let to = self.behind_the_page(self.with_share(number, share));
        let hidden = to == Traffic::Nobody;
        let there = shown(seen, to, ordered, self.rules);
        match share.filter(|_| self.rules.base_until_whole()) {
            // The public address answers from both.
            Some(share) if there => return Some(Event::Shifted { number, share, host: host(seen) }),
            None if there && (share.is_some() || hidden || seen.public == Some(number)) => {
                return Some(Event::WentLive { number, host: host(seen) });
            }
            Some(_) | None => {}
        }
        let overtaken = overtaken(seen, to, ordered, self.rules);
        let order = self.order_is(d, ordered, there, seen, now);
        let what = match (&seen.front, &order) {
            _ if overtaken => "someone else repointed the front".to_owned(),
            (_, Order::Refused(said)) => format!("the front refused the order: {said}"),
            (None, _) => "the front did not answer in time".to_owned(),
            (Some(_), _) if there => "the front's public address did not answer from the new stack in time".to_owned(),
            (Some(_), Order::Late(Some(said))) => format!("the front did not take the order in time: {said}"),
            (Some(_), _) => "the front did not take the order in time".to_owned(),
        };
        if !overtaken && matches!(order, Order::Open) {
            return None;
        }
        if self.ends_in_doubt(d) {
            let stays = self.stays_on(d) && !self.takes_over(d.number, &d.release);
            let reason = if stays { format!("{what}; {STAYS_ON}") } else { what }.into();
            return Some(Event::Ended { number, outcome: Outcome::Failed, reason });
        }
        if held.is_some() {
            return Some(self.go_back(d, Outcome::Failed, &what.into(), seen));
        }
        if self.goes_back_to_stopped(d) {
            return Some(self.way_back(d, Outcome::Failed, &what.into(), Some(seen)));
        }
        Some(Event::RevertOrdered {
            number,
            to: self.live.as_ref().map(|s| s.number),
            generation: self.next_generation(seen),
            outcome: Outcome::Failed,
            reason: what.into(),
        })
    }

    /// Why an order to show the maintenance page has come to nothing; nothing while it may yet be obeyed.
    pub(super) fn order_fails(
        &self,
        d: &Deployment,
        ordered: Generation,
        seen: &Observation,
        now: Millis,
    ) -> Option<String> {
        let order = self.order_is(d, ordered, false, seen, now);
        let what = match (&seen.front, order) {
            (_, Order::Open) => return None,
            (None, _) => "the front does not answer".to_owned(),
            (Some(_), Order::Refused(said) | Order::Late(Some(said))) => {
                format!("the front does not show the maintenance page: {said}")
            }
            (Some(_), Order::Late(None)) => "the front does not show the maintenance page".to_owned(),
        };
        Some(what)
    }

    /// How an order is that is not seen done.
    fn order_is<'a>(
        &self,
        d: &Deployment,
        ordered: Generation,
        there: bool,
        seen: &'a Observation,
        now: Millis,
    ) -> Order<'a> {
        let given: Option<&OrderView> = seen.given(ordered);
        let said = given.and_then(|order| order.said.as_deref());
        if given.is_some_and(|order| order.refused) && seen.front.is_some() && !there {
            return Order::Refused(said.unwrap_or("it does not say why"));
        }
        let late = seen.watched(d.since, now, self.rules).reaches(d.plan.cut_over_within);
        let waited_for = given.is_some() || there || !self.rules.late_only_if_given();
        if late && waited_for { Order::Late(said) } else { Order::Open }
    }

    pub(super) fn reverting(&self, d: &Deployment, seen: &Observation, now: Millis) -> Option<Event> {
        let Phase::Reverting { to, generation, outcome, reason } = &d.phase else { return None };
        let number = d.number;
        let back = self.behind_the_page(Traffic::whole(*to));
        if shown(seen, back, *generation, self.rules) {
            return Some(Event::Reverted { number, host: host(seen) });
        }
        if overtaken(seen, back, *generation, self.rules) {
            let (generation, reason) = (self.next_generation(seen), reason.clone());
            return Some(Event::RevertOrdered { number, to: *to, generation, outcome: *outcome, reason });
        }
        let order = self.order_is(d, *generation, false, seen, now);
        if d.operator_needed || matches!(order, Order::Open) {
            return None;
        }
        let what = match (&seen.front, order) {
            (None, _) => "the front does not answer".to_owned(),
            (Some(_), Order::Refused(said) | Order::Late(Some(said))) => {
                format!("the front does not take the order to go back: {said}")
            }
            (Some(_), _) => "the front does not take the order to go back".to_owned(),
        };
        Some(called(number, format!("{what}; it is still tried, until it is aborted")))
    }

    pub(super) fn seen_baking(&self, d: &Deployment, seen: &Observation) -> Seen {
        if seen.lacks(d.number) || seen.stack(d.number).is_some_and(StackView::is_bad) {
            Seen::Bad
        } else if seen.ready(d.number, Health::Passing) {
            Seen::Good
        } else if seen.stacks.is_none() && self.rules.only_watched_time() {
            Seen::Silent
        } else {
            Seen::Unclear
        }
    }

    fn hooks_baking(&self, d: &Deployment, stack: Seen, seen: &Observation, now: Millis) -> Hooks {
        if d.progress.failed.is_some() {
            return Hooks::Failed;
        }
        match self.hook_of(d, stack == Seen::Good, seen, now) {
            Some(turn) => Hooks::Turn(turn),
            None if d.hook().is_none() => Hooks::Quiet,
            None if d.progress.ordered => Hooks::Running,
            None if self.drift.is_some() => Hooks::Held,
            None => Hooks::Quiet,
        }
    }

    /// What a deployment that is watched calls for, as a table: how its stack is seen, how far its hooks are, whether it was
    /// watched long enough, and whether it had all the time there is to get well.
    pub(super) fn baking(&self, d: &Deployment, seen: &Observation, now: Millis) -> Option<Event> {
        let (number, plan) = (d.number, &d.plan);
        let watched_stacks = |since| seen.watched_stacks(since, now, self.rules);
        let watched = |since| seen.watched(since, now, self.rules);
        let over = d.hurried || watched_stacks(d.since).reaches(plan.bake);
        let out_of_time = watched_stacks(d.since).reaches(plan.bake.plus(plan.check_within))
            && watched_stacks(d.progress.since).reaches(plan.check_within);
        let call = |late, what| (late && !d.operator_needed).then(|| called(number, what));
        let stack = self.seen_baking(d, seen);
        if stack == Seen::Good && over && d.is_past_hooks(self.rules) {
            return Some(Event::Succeeded { number });
        }
        match (stack, self.hooks_baking(d, stack, seen, now)) {
            (Seen::Bad, _) | (_, Hooks::Failed) => self.after_a_bad_bake(d, seen, stack, (over, out_of_time)),
            (_, Hooks::Turn(turn)) => Some(turn),
            // A run takes its time, and so does a front that is being put right before one.
            (_, Hooks::Running) => None,
            (_, Hooks::Held) => {
                let most = plan.check_within.plus(plan.cut_over_within);
                let late = watched(d.since).reaches(plan.bake.plus(most)) && watched(d.progress.since).reaches(most);
                call(late, "the front is not where it was sent, so its hooks do not begin; it is still tried")
            }
            (Seen::Silent, Hooks::Quiet) => call(watched(d.since).reaches(plan.bake.plus(plan.check_within)), SILENT),
            (Seen::Good | Seen::Unclear, Hooks::Quiet) if out_of_time => {
                self.after_a_bad_bake(d, seen, stack, (false, out_of_time))
            }
            (Seen::Good | Seen::Unclear, Hooks::Quiet) => None,
        }
    }

    /// Back to the standby if that was seen good. It is waited for until it was seen bad (rule R48).
    fn after_a_bad_bake(
        &self,
        d: &Deployment,
        seen: &Observation,
        stack: Seen,
        (over, out_of_time): (bool, bool),
    ) -> Option<Event> {
        let number = d.number;
        let failed_hook = d.progress.failed.clone().filter(|_| stack != Seen::Bad);
        let remark = || seen.stack(number).and_then(|s| s.remark.clone());
        let why = failed_hook.or_else(remark).unwrap_or_else(|| "it failed its checks while it was watched".into());
        match self.standby.as_ref().map(|s| s.stack.number) {
            Some(back) if self.goes_back_to_stopped(d) && can_start(back, seen) => {
                Some(self.way_back(d, Outcome::RolledBack, &why, Some(seen)))
            }
            Some(back) if self.is_good(back, seen) => Some(Event::RevertOrdered {
                number,
                to: Some(back),
                generation: self.next_generation(seen),
                outcome: Outcome::RolledBack,
                reason: why,
            }),
            // After a restart, or while the provider is silent, nobody knows yet that it is well.
            Some(back) if !known_bad(back, seen) && (!out_of_time || self.rules.wait_for_standby()) => {
                let what = format!("{why}; the standby {back} is not seen good either, and is waited for");
                (out_of_time && !d.operator_needed).then(|| called(number, what))
            }
            // It may recover until its time is over; worse than a sick stack is none.
            _ if out_of_time || over => {
                let reason = format!("{why}; there is no healthy stack to go back to, so it stays live").into();
                Some(Event::Ended { number, outcome: Outcome::Failed, reason })
            }
            _ => None,
        }
    }

    pub(super) fn rollback_requested(
        &self,
        d: &Deployment,
        reason: &Arc<str>,
        seen: &Observation,
        now: Millis,
    ) -> Option<Event> {
        let number = d.number;
        let standby = self.standby.as_ref().map(|s| s.stack.number)?;
        let stopped = self.goes_back_to_stopped(d);
        if stopped && can_start(standby, seen) {
            return Some(self.way_back(d, Outcome::RolledBack, reason, Some(seen)));
        }
        if self.is_good(standby, seen) {
            let (to, generation, outcome) = (Some(standby), self.next_generation(seen), Outcome::RolledBack);
            return Some(Event::RevertOrdered { number, to, generation, outcome, reason: reason.clone() });
        }
        if seen.stacks.is_none() {
            // A warm stack is not given up because its provider is silent.
            let late = seen.watched(d.since, now, self.rules).reaches(d.plan.check_within) && !d.operator_needed;
            let why = "the provider does not answer, so the standby's health is not known; it is still tried";
            return late.then(|| called(number, why));
        }
        let out_of_time = seen.watched_stacks(d.since, now, self.rules).reaches(d.plan.check_within);
        let sick = seen.stack(standby).is_some_and(StackView::is_bad);
        let lost = seen.lacks(standby);
        // What is lost is being started again, and what is started may yet come up (rule R48).
        let hopeless =
            sick || lost && (out_of_time || stopped) || (lost || out_of_time) && !self.rules.wait_for_standby();
        if !hopeless {
            let why = format!("the standby {standby} is not up yet; it is waited for, until the rollback is aborted");
            return (out_of_time && !d.operator_needed).then(|| called(number, why));
        }
        let reason: Arc<str> = format!("{reason}; the standby {standby} is not well").into();
        // With nothing else either, what is live stays, and the person is told.
        self.cold_rollback(number, &reason).or(Some(Event::Ended { number, outcome: Outcome::Failed, reason }))
    }
}

/// How an order to the front is that is not seen done.
enum Order<'a> {
    /// It may yet be obeyed.
    Open,
    /// It was not obeyed in time; with what the front said, where it said anything.
    Late(Option<&'a str>),
    /// Giving it again is pointless; with what the front said.
    Refused(&'a str),
}

/// Whether a stack was seen to be one that nobody can go back to now.
fn known_bad(number: Number, seen: &Observation) -> bool {
    let bad = |s: &StackView| s.is_bad() || s.condition == Condition::Deleting;
    seen.lacks(number) || seen.stack(number).is_some_and(bad)
}

/// Whether what was stopped was seen to be there, so that it can be started.
fn can_start(number: Number, seen: &Observation) -> bool {
    let there = |condition| match condition {
        Condition::Creating | Condition::Ready | Condition::Stopping | Condition::Stopped => true,
        Condition::Failed | Condition::Deleting => false,
    };
    seen.stack(number).is_some_and(|s| there(s.condition))
}

/// The front will never show the order: it obeyed another one that is not lower. A tie is somebody else's order too.
fn overtaken(seen: &Observation, to: Traffic, ordered: Generation, rules: Rules) -> bool {
    !shown(seen, to, ordered, rules) && seen.front.as_ref().is_some_and(|f| f.generation >= ordered)
}
