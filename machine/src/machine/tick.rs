//! What an observation makes of the state: at most one event. Level-triggered: it looks at how things are, not at what
//! happened since, so a restart is one more tick, and an answer of a driver is never needed.

use std::sync::Arc;

use super::{
    event::{Event, Outcome, Trigger},
    ids::{Generation, Millis, Number},
    observation::{Condition, DefinitionView, Health, Observation, StackView},
    phase::Phase,
    refusal::Refusal,
    release::{Otherwise, Retain},
    state::{Deployment, Environment, Promise, Retiring},
};

impl Environment {
    /// The next event, if the world as seen calls for one. Nothing when the observation is older than the state
    /// (rule R5).
    pub fn tick(&self, seen: &Observation, now: Millis) -> Option<Event> {
        if self.rules.fresh_look() && seen.as_of != self.seq {
            return None;
        }
        self.strangers_seen(seen)
            .or_else(|| self.restart_seen(seen, now))
            .or_else(|| self.live_seen(seen, now))
            .or_else(|| self.drift_seen(seen, now))
            .or_else(|| self.recovery(seen, now))
            .or_else(|| self.tear_down(seen, now))
            .or_else(|| self.standby_due(seen, now))
            .or_else(|| self.next_step(seen, now))
            .or_else(|| self.orphan(seen))
            .or_else(|| self.start_next())
    }

    /// The number of the next order: higher than ours and than what the front has seen, whoever gave it.
    pub(super) fn next_generation(&self, seen: &Observation) -> Generation {
        seen.front.as_ref().map_or(self.generation, |f| f.generation.max(self.generation)).next()
    }

    fn tear_down(&self, seen: &Observation, now: Millis) -> Option<Event> {
        let gone = self.retiring.iter().find(|r| seen.lacks(r.number) && !r.owes_rollback_hooks());
        if let Some(gone) = gone {
            return Some(Event::Retired { number: gone.number });
        }
        if let Some(hook) = self.retiring.iter().find_map(|r| self.hook_of_retiring(r, seen, now)) {
            return Some(hook);
        }
        let late = |r: &&Retiring| {
            let watched = |since| seen.watched(since, now, self.rules);
            let over = watched(r.since).reaches(r.drain_within.plus(r.retire_within));
            !r.operator_needed && !r.progress.ordered && over && watched(r.progress.since).reaches(r.retire_within)
        };
        let stuck = self.retiring.iter().find(late)?;
        let blocker = seen.stack(stuck.number).and_then(|s| s.remark.clone());
        let reason = match blocker {
            _ if seen.front.as_ref().is_some_and(|f| f.traffic.reaches(stuck.number)) => {
                "its stack is not torn down because the front still sends users to it".to_owned()
            }
            Some(blocker) => format!("its stack could not be torn down in time: {blocker}"),
            None if seen.front.is_none() => "its stack is not torn down because the front does not answer".to_owned(),
            None => "its stack could not be torn down in time".to_owned(),
        };
        Some(called(stuck.number, reason))
    }

    fn standby_due(&self, seen: &Observation, now: Millis) -> Option<Event> {
        let standby = self.standby.as_ref()?;
        let number = standby.stack.number;
        if self.active.as_ref().is_some_and(|d| d.phase.is_going_back())
            || self.retiring.iter().any(|r| r.number == number)
        {
            return None;
        }
        // It may be what users need next (rule R44).
        let well = self.live.as_ref().is_some_and(|s| seen.ready(s.number, Health::Passing)) && self.down.is_none();
        if !well && self.rules.keep_standby_while_down() {
            return None;
        }
        let lost = |condition| match condition {
            Condition::Deleting => true,
            Condition::Failed => !self.rules.keep_standby_while_down(),
            Condition::Creating | Condition::Ready | Condition::Stopping | Condition::Stopped => false,
        };
        let broken = seen.stack(number).is_some_and(|s| lost(s.condition));
        let length = match self.live.as_ref().map(|s| s.plan.retain) {
            Some(Retain::For(length)) => length,
            Some(Retain::None | Retain::UntilNext) | None => Millis(0),
        };
        let since = |until: Millis| until.since(length);
        let over = matches!(standby.promise, Promise::Until(time) if now >= time && seen.is_over(since(time), length, now, self.rules));
        let reason = if broken { "it is being deleted and cannot be gone back to" } else { "its retention is over" };
        (broken || over).then(|| Event::StandbyReleased { number, reason: reason.into() })
    }

    fn next_step(&self, seen: &Observation, now: Millis) -> Option<Event> {
        let d = self.active.as_ref()?;
        let event = self.with_what_was_stopped(d, self.advance(d, seen, now)?, Some(seen));
        Some(self.with_what_is_left(d, d.with_what_stays(event)))
    }

    fn advance(&self, d: &Deployment, seen: &Observation, now: Millis) -> Option<Event> {
        let number = d.number;
        if let Some(Refusal::Vetoed(release, why)) = self.banned(d) {
            let reason = format!("release {release} is vetoed: {why}").into();
            return Some(Event::Ended { number, outcome: Outcome::Aborted, reason });
        }
        if let Some(reason) = d.progress.failed.clone().filter(|_| d.phase.before_cutover()) {
            return Some(Event::Ended { number, outcome: Outcome::Failed, reason });
        }
        match &d.phase {
            Phase::Queued => None,
            Phase::AwaitingStart | Phase::AwaitingCutover => self.wait_at_gate(d, seen, now),
            Phase::Provisioning if d.release.awaits_definition() && self.rules.definition_first() => {
                self.freezing(d, seen, now)
            }
            Phase::Provisioning if self.must_stop_first(d) => Some(self.page_first(d, seen)),
            Phase::Paging { generation, back } => self.paging(d, (*generation, back.as_ref()), seen, now),
            Phase::Stopping { order, back } => self.stopping(d, (*order, back.as_ref()), seen, now),
            Phase::Starting { outcome, reason, .. } => self.starting(d, (*outcome, reason), seen, now),
            Phase::Provisioning if !d.is_past_hooks(self.rules) => {
                let late = "its hooks could not begin in time";
                self.hook_of(d, true, seen, now).or_else(|| self.overdue(d, seen, now, d.plan.provision_within, late))
            }
            Phase::Provisioning => self.provisioning(d, seen, now),
            Phase::Checking => self.checking(d, seen, now),
            Phase::AfterChecks => self.after_the_checks(d, seen, now),
            Phase::Verifying => self.verifying(d, seen, now),
            Phase::CuttingOver { generation, share, held } => {
                self.cutting_over(d, (*generation, *share, *held), seen, now)
            }
            Phase::Watching { share } => self.watching(d, *share, seen, now),
            Phase::RevertRequested { outcome, reason, .. } => self.revert_requested(d, (*outcome, reason), seen, now),
            Phase::Baking => self.baking(d, seen, now),
            Phase::RollbackRequested { reason } => self.rollback_requested(d, reason, seen, now),
            Phase::Reverting { .. } => self.reverting(d, seen, now),
        }
    }

    /// A question to a person holds nobody up: a newer deployment takes its place.
    fn wait_at_gate(&self, d: &Deployment, seen: &Observation, now: Millis) -> Option<Event> {
        let number = d.number;
        if let Some(newer) = self.startable() {
            let reason = format!("deployment {newer} is newer").into();
            return Some(Event::Ended { number, outcome: Outcome::Superseded, reason });
        }
        let gate = d.question()?;
        match gate.otherwise {
            _ if !seen.is_over(d.since, gate.timeout, now, self.rules) => None,
            // The question stands, as a build that came now would wait: a person answers it or lifts what stops it.
            Otherwise::Approve if !self.lets(d) && self.is_paged() && self.rules.page_waits_for_nobody() => {
                let reason = "nobody approved it in time, and users get the maintenance page meanwhile".into();
                Some(Event::Ended { number, outcome: Outcome::Aborted, reason })
            }
            Otherwise::Approve if !self.lets(d) && self.rules.stopped_stays_asked() => None,
            Otherwise::Approve => Some(Event::Approved { number, reason: None }),
            Otherwise::Abort => {
                Some(Event::Ended { number, outcome: Outcome::Aborted, reason: "nobody approved it in time".into() })
            }
        }
    }

    fn checking(&self, d: &Deployment, seen: &Observation, now: Millis) -> Option<Event> {
        let known_to_front = seen.front.as_ref().is_some_and(|f| f.staged == Some(d.number));
        if !self.rules.recorded_pass() || known_to_front && seen.ready(d.number, Health::Passing) {
            return Some(Event::Checked { number: d.number, answers: Vec::new() });
        }
        let passed = seen.ready(d.number, Health::Passing);
        let late = if passed { "the front did not take it up in time" } else { "it did not pass its checks in time" };
        broken(d, seen).or_else(|| self.overdue(d, seen, now, d.plan.check_within, late))
    }

    fn after_the_checks(&self, d: &Deployment, seen: &Observation, now: Millis) -> Option<Event> {
        self.before_hook(d, seen.ready(d.number, Health::Passing), seen, now)
    }

    /// A run that has begun is waited for, and does not begin for a stack that is not well.
    fn before_hook(&self, d: &Deployment, well: bool, seen: &Observation, now: Millis) -> Option<Event> {
        let turn = self.hook_of(d, well, seen, now);
        let late = "it was not well in time for its hooks";
        let end = || broken(d, seen).or_else(|| self.overdue(d, seen, now, d.plan.check_within, late));
        if d.progress.ordered { turn } else { turn.or_else(end) }
    }

    fn verifying(&self, d: &Deployment, seen: &Observation, now: Millis) -> Option<Event> {
        let known_to_front = seen.front.as_ref().is_some_and(|f| f.staged == Some(d.number));
        let well = seen.ready(d.number, Health::Passing) || !self.rules.recheck_before_cutover();
        if !d.is_past_hooks(self.rules) {
            return self.before_hook(d, well && known_to_front, seen, now);
        }
        if well && known_to_front && (self.drift.is_none() || self.cannot_mend(seen)) {
            let (generation, share) = (self.next_generation(seen), self.next_share(d, None));
            return Some(Event::CutOverOrdered { number: d.number, generation, share });
        }
        broken(d, seen)
            .or_else(|| self.overdue(d, seen, now, d.plan.check_within, "it was not well right before the cutover"))
    }

    fn freezing(&self, d: &Deployment, seen: &Observation, now: Millis) -> Option<Event> {
        let number = d.number;
        match &seen.definition {
            DefinitionView::Kept(definition) => {
                Some(Event::DefinitionFrozen { number, definition: definition.clone() })
            }
            DefinitionView::Refused(why) => {
                Some(Event::Ended { number, outcome: Outcome::Failed, reason: why.clone() })
            }
            DefinitionView::Unread(why) => {
                let limit = d.plan.provision_within;
                let late = seen.watched(d.waits_since(), now, self.rules).reaches(limit);
                let reason = "its stack definition could not be read in time";
                late.then(|| ended_late(d, limit, reason, why.as_deref()))
            }
        }
    }

    fn provisioning(&self, d: &Deployment, seen: &Observation, now: Millis) -> Option<Event> {
        match seen.stack(d.number).map(|s| s.condition) {
            Some(Condition::Ready) => Some(Event::Provisioned { number: d.number }),
            Some(Condition::Failed) => broken(d, seen),
            None if !self.may_make(d.number) && seen.lacks(d.number) => broken(d, seen),
            Some(Condition::Creating | Condition::Deleting | Condition::Stopping | Condition::Stopped) | None => {
                let other = self.stands_in_the_way(d.number, seen);
                let late = other.unwrap_or_else(|| "its stack did not come up in time".to_owned());
                self.overdue(d, seen, now, d.plan.provision_within, &late)
            }
        }
    }

    /// The end of a candidate whose time is over; what was last said of its stack is why. While its provider is silent nobody
    /// can say that of it, and a person is called instead.
    fn overdue(&self, d: &Deployment, seen: &Observation, now: Millis, limit: Millis, reason: &str) -> Option<Event> {
        if seen.stacks.is_none() && self.rules.only_watched_time() {
            let late = seen.watched(d.waits_since(), now, self.rules).reaches(limit) && !d.operator_needed;
            return late.then(|| called(d.number, SILENT));
        }
        let late = seen.watched_stacks(d.waits_since(), now, self.rules).reaches(limit);
        late.then(|| ended_late(d, limit, reason, seen.stack(d.number).and_then(|s| s.remark.as_deref())))
    }

    /// A late request can bring back what was torn down, so this never ends (rule R14).
    fn orphan(&self, seen: &Observation) -> Option<Event> {
        let known = |n: Number| {
            let kept = self.live.iter().chain(self.standby.iter().map(|s| &s.stack)).any(|s| s.number == n);
            kept || self.active.iter().chain(&self.queue).any(|d| d.number == n)
                || self.retiring.iter().any(|r| r.number == n)
                || self.strangers.contains(&n)
        };
        let number = seen.stacks.as_ref()?.iter().map(|s| s.number).find(|n| !known(*n))?;
        self.rules.sweep_orphans().then_some(Event::OrphanFound { number })
    }

    /// The deployment whose turn it would be if nothing were active.
    pub(super) fn startable(&self) -> Option<Number> {
        self.queue.iter().find(|d| self.lets(d)).map(|d| d.number)
    }

    /// Whether neither a hold nor a pin stops it from beginning, or from going on without an answer to its gate.
    pub fn lets(&self, d: &Deployment) -> bool {
        let pinned_elsewhere = self.pin.is_some_and(|pin| pin != d.release.number);
        match d.trigger {
            Trigger::Rollback => true,
            Trigger::Person => !pinned_elsewhere,
            Trigger::Build | Trigger::Rule => self.hold.is_none() && !pinned_elsewhere,
        }
    }

    fn start_next(&self) -> Option<Event> {
        let free = self.active.is_none() || !self.rules.one_active();
        let number = free.then(|| self.startable()).flatten()?;
        Some(Event::Started { number })
    }
}

/// The end of a candidate whose stack is lost or found bad.
fn broken(d: &Deployment, seen: &Observation) -> Option<Event> {
    let view: Option<&StackView> = seen.stack(d.number);
    let bad = view.is_some_and(StackView::is_bad);
    let reason = match view {
        None if seen.lacks(d.number) => "its stack is gone".into(),
        Some(s) if bad => s.remark.clone().unwrap_or_else(|| "its stack failed".into()),
        _ => return None,
    };
    Some(Event::Ended { number: d.number, outcome: Outcome::Failed, reason })
}

/// A person is called for a deployment.
pub(super) fn called(number: Number, reason: impl Into<Arc<str>>) -> Event {
    Event::OperatorNeeded { number, reason: reason.into(), about: None }
}

/// Why a person is called for a deployment of whose stack nobody can tell.
pub(super) const SILENT: &str = "the provider does not answer, so nobody knows how its stack is; it is still tried";

fn ended_late(d: &Deployment, limit: Millis, reason: &str, remark: Option<&str>) -> Event {
    let said = remark.map(|remark| format!(": {remark}")).unwrap_or_default();
    let reason = format!("{reason} ({} s){said}", limit.0.div_ceil(1000)).into();
    Event::Ended { number: d.number, outcome: Outcome::Failed, reason }
}
