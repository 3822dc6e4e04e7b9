//! What an observation makes of the state: at most one event. Level-triggered: it looks at how things are, not at what
//! happened since, so a restart is one more tick, and an answer of a driver is never needed.

use std::sync::Arc;

use super::{
    command::Refusal,
    effect::shown,
    event::{Event, Outcome, Trigger},
    ids::{Generation, Millis, Number},
    observation::{Condition, DefinitionView, Health, Observation, StackView},
    release::Otherwise,
    state::{Deployment, Environment, Phase, Promise, Retiring},
};

impl Environment {
    /// The next event, if the world as seen calls for one. Nothing when the observation is older than the state
    /// (rule R5).
    pub fn tick(&self, seen: &Observation, now: Millis) -> Option<Event> {
        if self.rules.r5() && seen.as_of != self.seq {
            return None;
        }
        self.strangers_seen(seen)
            .or_else(|| self.live_seen(seen))
            .or_else(|| self.drift_seen(seen))
            .or_else(|| self.tear_down(seen, now))
            .or_else(|| self.standby_due(seen, now))
            .or_else(|| self.active.as_ref().and_then(|d| Some(d.with_what_stays(self.advance(d, seen, now)?))))
            .or_else(|| self.orphan(seen))
            .or_else(|| self.start_next())
    }

    /// The number of the next order: higher than ours and than what the front has seen, whoever gave it.
    fn next_generation(&self, seen: &Observation) -> Generation {
        seen.front.as_ref().map_or(self.generation, |f| f.generation.max(self.generation)).next()
    }

    fn strangers_seen(&self, seen: &Observation) -> Option<Event> {
        let numbers = seen.stacks.as_ref()?.iter().map(|s| s.number);
        let number = numbers.filter(|n| *n > self.last_number).min()?;
        Some(Event::StrangerFound { number })
    }

    /// Nothing else is safe while the front is not where the journal says, or may yet move (rule R15).
    fn drift_seen(&self, seen: &Observation) -> Option<Event> {
        let front = seen.front.as_ref()?;
        let ordered_elsewhere =
            self.active.as_ref().is_some_and(|d| matches!(d.phase, Phase::CuttingOver { .. } | Phase::Undoing { .. }));
        if ordered_elsewhere || !self.rules.r15() {
            return None;
        }
        let live = self.live.as_ref().map(|s| s.number);
        let right = shown(seen, live, self.generation) || self.may_stay(front);
        match self.drift {
            Some(_) if right => Some(Event::DriftMended),
            Some(ordered) if front.generation < ordered => None,
            _ if right => None,
            _ => Some(Event::DriftSeen { shown: front.serves, generation: self.next_generation(seen) }),
        }
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
            let goes_since = r.since.plus(r.drain_within).max(r.progress.since);
            !r.operator_needed && !r.progress.ordered && now >= goes_since.plus(r.retire_within)
        };
        let stuck = self.retiring.iter().find(late)?;
        let blocker = seen.stack(stuck.number).and_then(|s| s.remark.clone());
        let reason = match blocker {
            Some(blocker) => format!("its stack could not be torn down in time: {blocker}"),
            None if seen.front.is_none() => "its stack is not torn down because the front does not answer".to_owned(),
            None => "its stack could not be torn down in time".to_owned(),
        };
        Some(Event::OperatorNeeded { number: stuck.number, reason: reason.into() })
    }

    fn standby_due(&self, seen: &Observation, now: Millis) -> Option<Event> {
        let standby = self.standby.as_ref()?;
        let number = standby.stack.number;
        if self.active.as_ref().is_some_and(|d| matches!(d.phase, Phase::RollbackAsked { .. } | Phase::Undoing { .. }))
            || self.retiring.iter().any(|r| r.number == number)
        {
            return None;
        }
        let broken = seen.stack(number).is_some_and(|s| matches!(s.condition, Condition::Failed | Condition::Deleting));
        let over = matches!(standby.promise, Promise::Until(time) if now >= time);
        let reason = if broken { "it broke and can not be gone back to" } else { "its retention is over" };
        (broken || over).then(|| Event::StandbyReleased { number, reason: reason.into() })
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
            Phase::AwaitingStart | Phase::AwaitingCutover => self.wait_at_gate(d, now),
            Phase::Provisioning if d.release.awaits_definition() && self.rules.r26() => freezing(d, seen, now),
            Phase::Provisioning if !d.is_past_hooks(self.rules) => {
                let late = "its hooks could not begin in time";
                self.hook_of(d, true, seen, now).or_else(|| overdue(d, seen, now, d.plan.provision_within, late))
            }
            Phase::Provisioning => provisioning(d, seen, now),
            Phase::Checking => self.checking(d, seen, now),
            Phase::AfterChecks => self.after_the_checks(d, seen, now),
            Phase::Verifying => self.verifying(d, seen, now),
            Phase::CuttingOver { generation } => self.cutting_over(d, *generation, seen, now),
            Phase::Baking => self.baking(d, seen, now),
            Phase::RollbackAsked { reason } => self.rollback_asked(d, reason, seen, now),
            Phase::Undoing { to, generation, outcome, reason } => {
                let front = seen.front.as_ref();
                if shown(seen, *to, *generation) {
                    Some(Event::Undone { number })
                } else if overtaken(seen, *to, *generation) {
                    let (generation, reason) = (self.next_generation(seen), reason.clone());
                    Some(Event::UndoOrdered { number, to: *to, generation, outcome: *outcome, reason })
                } else if !d.operator_needed && now.since(d.since) >= d.plan.cut_over_within {
                    let what = if front.is_some() { "does not take the order to go back" } else { "does not answer" };
                    Some(Event::OperatorNeeded {
                        number,
                        reason: format!("the front {what}; it is still tried").into(),
                    })
                } else {
                    None
                }
            }
        }
    }

    /// A question to a person holds nobody up: a newer deployment takes its place.
    fn wait_at_gate(&self, d: &Deployment, now: Millis) -> Option<Event> {
        let number = d.number;
        if let Some(newer) = self.startable() {
            let reason = format!("deployment {newer} is newer").into();
            return Some(Event::Ended { number, outcome: Outcome::Superseded, reason });
        }
        let gate = d.question()?;
        match gate.otherwise {
            _ if now.since(d.since) < gate.timeout => None,
            // The question stands, as a build that came now would wait: a person answers it or lifts what stops it.
            Otherwise::Approve if !self.lets(d) && self.rules.r31() => None,
            Otherwise::Approve => Some(Event::Approved { number, reason: None }),
            Otherwise::Abort => {
                Some(Event::Ended { number, outcome: Outcome::Aborted, reason: "nobody approved it in time".into() })
            }
        }
    }

    fn checking(&self, d: &Deployment, seen: &Observation, now: Millis) -> Option<Event> {
        let known_to_front = seen.front.as_ref().is_some_and(|f| f.staged == Some(d.number));
        if !self.rules.r20() || known_to_front && seen.ready(d.number, Health::Passing) {
            return Some(Event::Checked { number: d.number });
        }
        let passed = seen.ready(d.number, Health::Passing);
        let late = if passed { "the front did not take it up in time" } else { "it did not pass its checks in time" };
        broken(d, seen).or_else(|| overdue(d, seen, now, d.plan.check_within, late))
    }

    fn after_the_checks(&self, d: &Deployment, seen: &Observation, now: Millis) -> Option<Event> {
        self.before_hook(d, seen.ready(d.number, Health::Passing), seen, now)
    }

    /// A run that has begun is waited for, and does not begin for a stack that is not well.
    fn before_hook(&self, d: &Deployment, well: bool, seen: &Observation, now: Millis) -> Option<Event> {
        let turn = self.hook_of(d, well, seen, now);
        let late = "it was not well in time for its hooks";
        let end = || broken(d, seen).or_else(|| overdue(d, seen, now, d.plan.check_within, late));
        if d.progress.ordered { turn } else { turn.or_else(end) }
    }

    fn verifying(&self, d: &Deployment, seen: &Observation, now: Millis) -> Option<Event> {
        let known_to_front = seen.front.as_ref().is_some_and(|f| f.staged == Some(d.number));
        let well = seen.ready(d.number, Health::Passing) || !self.rules.r12();
        if !d.is_past_hooks(self.rules) {
            return self.before_hook(d, well && known_to_front, seen, now);
        }
        if well && known_to_front && self.drift.is_none() {
            return Some(Event::CutOverOrdered { number: d.number, generation: self.next_generation(seen) });
        }
        broken(d, seen)
            .or_else(|| overdue(d, seen, now, d.plan.check_within, "it was not well right before the cutover"))
    }

    fn cutting_over(&self, d: &Deployment, ordered: Generation, seen: &Observation, now: Millis) -> Option<Event> {
        let number = d.number;
        let there = shown(seen, Some(number), ordered);
        if there && seen.public == Some(number) {
            return Some(Event::WentLive { number });
        }
        let overtaken = overtaken(seen, Some(number), ordered);
        let reason = match &seen.front {
            _ if overtaken => "someone else repointed the front",
            None => "the front did not answer in time",
            Some(_) if !there => "the front did not take the order in time",
            Some(_) => "the front's public address did not answer from the new stack in time",
        };
        if !overtaken && now.since(d.since) < d.plan.cut_over_within {
            return None;
        }
        if self.ends_in_doubt(d) {
            return Some(Event::Ended { number, outcome: Outcome::Failed, reason: reason.into() });
        }
        Some(Event::UndoOrdered {
            number,
            to: self.live.as_ref().map(|s| s.number),
            generation: self.next_generation(seen),
            outcome: Outcome::Failed,
            reason: reason.into(),
        })
    }

    fn baking(&self, d: &Deployment, seen: &Observation, now: Millis) -> Option<Event> {
        let number = d.number;
        let view = seen.stack(number);
        let gone = seen.lacks(number);
        let sick = gone || view.is_some_and(|s| s.health == Health::Failing || s.condition == Condition::Failed);
        let bad = sick || d.progress.failed.is_some();
        let over = now.since(d.since) >= d.plan.bake;
        let well = seen.ready(number, Health::Passing);
        if over && well && d.is_past_hooks(self.rules) {
            return Some(Event::Succeeded { number });
        }
        if let Some(turn) = self.hook_of(d, well, seen, now).filter(|_| !bad) {
            return Some(turn);
        }
        // A run takes its time, and so does a front that is being put right before one.
        let hook_is_late = !bad && d.hook().is_some() && (d.progress.ordered || self.drift.is_some());
        let patience_ends = d.since.plus(d.plan.bake).max(d.progress.since).plus(d.plan.check_within);
        if hook_is_late {
            let stuck = !d.progress.ordered && now >= patience_ends.plus(d.plan.cut_over_within);
            let what = "the front is not where it was sent, so its hooks do not begin; it is still tried";
            return (stuck && !d.operator_needed).then(|| Event::OperatorNeeded { number, reason: what.into() });
        }
        let patience_over = now >= patience_ends;
        if !bad && !patience_over {
            return None;
        }
        let failed_hook = d.progress.failed.clone().filter(|_| !sick);
        let why = failed_hook
            .or_else(|| view.and_then(|s| s.remark.clone()))
            .unwrap_or_else(|| "it failed its checks while it was watched".into());
        match self.standby.as_ref().map(|s| s.stack.number) {
            Some(back) if seen.ready(back, Health::Passing) => Some(Event::UndoOrdered {
                number,
                to: Some(back),
                generation: self.next_generation(seen),
                outcome: Outcome::RolledBack,
                reason: why,
            }),
            // After a restart, or while the provider is silent, nobody knows yet that it is well.
            Some(back) if !patience_over && !known_bad(back, seen) => None,
            // It may recover until its time is over; worse than a sick stack is none.
            _ if patience_over || over && bad => {
                let reason = format!("{why}; there is no healthy stack to go back to, so it stays live").into();
                Some(Event::Ended { number, outcome: Outcome::Failed, reason })
            }
            _ => None,
        }
    }

    fn rollback_asked(&self, d: &Deployment, reason: &Arc<str>, seen: &Observation, now: Millis) -> Option<Event> {
        let number = d.number;
        let standby = self.standby.as_ref().map(|s| s.stack.number)?;
        if seen.ready(standby, Health::Passing) {
            let (to, generation, outcome) = (Some(standby), self.next_generation(seen), Outcome::RolledBack);
            return Some(Event::UndoOrdered { number, to, generation, outcome, reason: reason.clone() });
        }
        let patience_over = now.since(d.since) >= d.plan.check_within;
        if seen.stacks.is_none() {
            // A warm stack is not given up because its provider is silent.
            let reason = "the provider does not answer, so the standby's health is not known; it is still tried".into();
            return (patience_over && !d.operator_needed).then_some(Event::OperatorNeeded { number, reason });
        }
        let condition = seen.stack(standby);
        let sick = condition.is_some_and(|s| s.health == Health::Failing || s.condition == Condition::Failed);
        if !sick && !seen.lacks(standby) && !patience_over {
            return None;
        }
        let reason: Arc<str> = format!("{reason}; the standby {standby} is not well").into();
        // With nothing else either, what is live stays, and the person is told.
        self.go_cold(number, &reason).or(Some(Event::Ended { number, outcome: Outcome::Failed, reason }))
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
        self.rules.r14().then_some(Event::OrphanFound { number })
    }

    /// The deployment whose turn it would be if nothing were active.
    fn startable(&self) -> Option<Number> {
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
        let free = self.active.is_none() || !self.rules.r18();
        let number = free.then(|| self.startable()).flatten()?;
        Some(Event::Started { number })
    }
}

/// Whether a stack was seen to be one that nobody can go back to now.
fn known_bad(number: Number, seen: &Observation) -> bool {
    let bad =
        |s: &StackView| s.health == Health::Failing || matches!(s.condition, Condition::Failed | Condition::Deleting);
    seen.lacks(number) || seen.stack(number).is_some_and(bad)
}

/// The front will never show the order: it obeyed another one that is not lower. A tie is somebody else's order too.
fn overtaken(seen: &Observation, to: Option<Number>, ordered: Generation) -> bool {
    !shown(seen, to, ordered) && seen.front.as_ref().is_some_and(|f| f.generation >= ordered)
}

fn freezing(d: &Deployment, seen: &Observation, now: Millis) -> Option<Event> {
    let number = d.number;
    match &seen.definition {
        DefinitionView::Kept(definition) => Some(Event::DefinitionFrozen { number, definition: definition.clone() }),
        DefinitionView::Refused(why) => Some(Event::Ended { number, outcome: Outcome::Failed, reason: why.clone() }),
        DefinitionView::Unread(why) => {
            let late = "its stack definition could not be read in time";
            overdue_because(d, now, d.plan.provision_within, late, why.as_deref())
        }
    }
}

fn provisioning(d: &Deployment, seen: &Observation, now: Millis) -> Option<Event> {
    match seen.stack(d.number).map(|s| s.condition) {
        Some(Condition::Ready) => Some(Event::Provisioned { number: d.number }),
        Some(Condition::Failed) => broken(d, seen),
        Some(Condition::Creating | Condition::Deleting) | None => {
            overdue(d, seen, now, d.plan.provision_within, "its stack did not come up in time")
        }
    }
}

/// The end of a candidate whose stack is lost or found bad.
fn broken(d: &Deployment, seen: &Observation) -> Option<Event> {
    let view: Option<&StackView> = seen.stack(d.number);
    let bad = view.is_some_and(|s| s.condition == Condition::Failed || s.health == Health::Failing);
    let reason = match view {
        None if seen.lacks(d.number) => "its stack is gone".into(),
        Some(s) if bad => s.remark.clone().unwrap_or_else(|| "its stack failed".into()),
        _ => return None,
    };
    Some(Event::Ended { number: d.number, outcome: Outcome::Failed, reason })
}

/// The end of a candidate whose time is over; what was last said of its stack is why.
fn overdue(d: &Deployment, seen: &Observation, now: Millis, limit: Millis, reason: &str) -> Option<Event> {
    overdue_because(d, now, limit, reason, seen.stack(d.number).and_then(|s| s.remark.as_deref()))
}

fn overdue_because(d: &Deployment, now: Millis, limit: Millis, reason: &str, remark: Option<&str>) -> Option<Event> {
    if now.since(d.waits_since()) < limit {
        return None;
    }
    let said = remark.map(|remark| format!(": {remark}")).unwrap_or_default();
    let reason = format!("{reason} ({} s){said}", limit.0.div_ceil(1000)).into();
    Some(Event::Ended { number: d.number, outcome: Outcome::Failed, reason })
}
