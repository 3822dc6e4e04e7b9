//! The fold: what each event makes of the state. It decides nothing; it refuses an event that does not fit, because
//! then either the state file or the code is wrong, and going on would make it worse.

use std::sync::Arc;

use super::{
    adoption::Exit,
    event::{Entry, Event, Outcome, Trigger},
    hook::HookProgress,
    ids::{Generation, Millis, Number, Seq},
    phase::Phase,
    release::{Plan, Release, Retain},
    state::{Deployment, Ended, Environment, Hold, Promise, Stack, Standby, Veto},
};

/// An event that does not fit the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event} of deployment {number} does not fit: {why}")]
pub struct Illegal {
    /// The event's kind.
    pub event: &'static str,
    /// The deployment it names.
    pub number: Number,
    /// Reason why the event is illegal.
    pub why: &'static str,
}

impl Environment {
    /// Folds one event. On error nothing has changed.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Illegal> {
        let at = entry.at;
        match &entry.event {
            Event::Accepted { number, key, build_number, release, plan, trigger, stranger, .. } => {
                self.free(*number, *stranger)?;
                self.supersede_queue(*number, at);
                self.remember(*key, *number, *build_number, (release.number, *trigger));
                self.enqueue(*number, release, plan, *trigger, entry);
            }
            Event::Started { number } => self.start(*number, at)?,
            Event::Approved { number, .. } => self.approve(*number, at)?,
            Event::DefinitionFrozen { number, definition } => self.freeze(*number, definition)?,
            Event::Provisioned { number } => self.provisioned(*number, at)?,
            Event::Checked { number, .. } => self.checked(*number, at)?,
            Event::HookOrdered { number, hook, .. } => self.order_hook(*number, hook, at)?,
            Event::HookFinished { number, hook, reason, .. } => self.finish_hook(*number, hook, reason.as_ref(), at)?,
            Event::CutOverOrdered { number, generation, share } => self.cut_over(*number, (*generation, *share), at)?,
            Event::PageOrdered { .. }
            | Event::StopOrdered { .. }
            | Event::Stopped { .. }
            | Event::StartOrdered { .. }
            | Event::MaintenanceBegun { .. }
            | Event::MaintenanceEnded { .. } => self.apply_page(entry)?,
            Event::Shifted { number, share, host } => self.shifted(*number, *share, host.as_ref(), at)?,
            Event::Proceeded { number, .. } => self.proceeded(*number, at)?,
            Event::Paused { number, gate, .. } => self.paused(*number, gate, at)?,
            Event::RevertRequested { number, outcome, reason } => {
                self.lose_share(*number, (*outcome, reason), entry)?
            }
            Event::WentLive { number, host } => self.went_live(*number, host.as_ref(), at)?,
            Event::Succeeded { number } => self.succeeded(*number, at)?,
            Event::Ended { number, outcome, reason } => self.end_early(*number, *outcome, reason, at)?,
            Event::RollbackRequested { number, reason } => self.request_rollback(*number, reason, entry)?,
            Event::RevertOrdered { number, to, generation, outcome, reason } => {
                let (to, generation, outcome, reason) = (*to, *generation, *outcome, reason.clone());
                self.revert_ordered(*number, Phase::Reverting { to, generation, outcome, reason }, generation, at)?;
            }
            Event::Reverted { number, host } => self.reverted(*number, host.as_ref(), at, &entry.by)?,
            Event::ColdRollbackQueued { number, by, release, plan, reason } => {
                self.unused("rollback_went_cold", *by)?;
                self.cold_rollback_queued(*number, reason, at, &entry.by)?;
                self.enqueue(*by, release, plan, Trigger::Rollback, entry);
            }
            Event::StandbyReleased { number, .. } => self.release_standby(*number, at)?,
            Event::Retired { number } => self.retired(*number)?,
            Event::OrphanFound { number } => self.retire(*number, &Plan::default(), (Vec::new(), None), at),
            Event::StrangerFound { number } => self.stranger_found(*number, at)?,
            Event::StrangerDismissed { number, .. } => self.stranger_dismissed(*number, at)?,
            Event::DriftSeen { shown, generation, in_a_row, words } => {
                self.stray((*shown, words.as_ref()), *generation, *in_a_row, at)?;
            }
            Event::DriftMended => self.settle_front(),
            Event::Recovered { number, to, generation, reason } => {
                self.recovered((*number, *to), *generation, reason, (&entry.by, at))?;
            }
            Event::LiveDown { number, reason } => self.live_down(*number, reason, at)?,
            Event::LiveUp { number } => self.live_up(*number, at)?,
            Event::RestartAsked { number, instance, order, .. } => self.asked(*number, *instance, *order, at)?,
            Event::RestartEnded { number, order, .. } => self.restart_ended(*number, *order)?,
            Event::OperatorNeeded { number, reason, about } => self.call_for(*number, *about, (reason, entry)),
            Event::Held { reason } => self.set_hold(&entry.by, reason, at),
            Event::Resumed { .. } => self.resume(),
            Event::Pinned { release, .. } => self.pin = Some(*release),
            Event::BuildsReset { .. } => self.reset_builds(),
            Event::Unpinned { .. } => self.pin = None,
            Event::Vetoed { release, reason } => self.veto(*release, reason, at),
            Event::Unvetoed { release, .. } => self.vetoes.retain(|v| v.release != *release),
        }
        self.seq = Seq(self.seq.0 + 1);
        Ok(())
    }

    pub(super) fn higher(&self, event: &'static str, number: Number, generation: Generation) -> Result<(), Illegal> {
        let why = "its generation is not higher than the last";
        if generation > self.generation { Ok(()) } else { Err(Illegal { event, number, why }) }
    }

    /// A newer order takes the place of every order before it, also of one that was to mend a drift.
    pub(super) fn order(&mut self, generation: Generation) {
        self.generation = generation;
        self.settle_front();
    }

    fn enqueue(&mut self, number: Number, release: &Arc<Release>, plan: &Arc<Plan>, trigger: Trigger, entry: &Entry) {
        self.last_number = self.last_number.max(number);
        self.last_release = self.last_release.max(release.number);
        let (release, plan) = (release.clone(), plan.clone());
        let queued = Deployment {
            number,
            release,
            plan,
            trigger,
            asked_by: entry.by.clone(),
            accepted: entry.at,
            phase: Phase::Queued,
            since: entry.at,
            operator_needed: false,
            progress: HookProgress::default(),
            hurried: false,
            paused: None,
        };
        let place = if trigger == Trigger::Rollback { 0 } else { self.queue.len() };
        self.queue.insert(place, queued);
    }

    fn supersede_queue(&mut self, by: Number, at: Millis) {
        let reason: Arc<str> = format!("deployment {by} is newer").into();
        let (kept, older) = std::mem::take(&mut self.queue).into_iter().partition(|d| d.trigger == Trigger::Rollback);
        self.queue = kept;
        for deployment in older {
            self.end(deployment.number, &deployment.release, Outcome::Superseded, &reason, at);
        }
    }

    fn remember(&mut self, key: super::Key, number: Number, build_number: Option<u64>, what: (u32, Trigger)) {
        self.count(build_number, number, what);
        if self.keys.len() >= Self::KEYS_KEPT {
            self.keys.drain(..Self::KEYS_KEPT / 8);
        }
        self.keys.push((key, number));
    }

    fn start(&mut self, number: Number, at: Millis) -> Result<(), Illegal> {
        let illegal = |why| Illegal { event: "started", number, why };
        if self.active.is_some() && self.rules.one_active() {
            return Err(illegal("another deployment is active"));
        }
        let place = self.queue.iter().position(|d| d.number == number).ok_or_else(|| illegal("it is not queued"))?;
        let mut deployment = self.queue.remove(place);
        let gate = deployment.plan.before_provisioning.is_some() && deployment.trigger != Trigger::Rollback;
        deployment.phase = if gate { Phase::AwaitingStart } else { Phase::Provisioning };
        deployment.since = at;
        self.always_on = deployment.plan.always_on;
        self.active = Some(deployment);
        Ok(())
    }

    pub(super) fn active_mut(&mut self, event: &'static str, number: Number) -> Result<&mut Deployment, Illegal> {
        let why = "it is not the active one";
        self.active.as_mut().filter(|d| d.number == number).ok_or(Illegal { event, number, why })
    }

    pub(super) fn step(
        &mut self,
        event: &'static str,
        number: Number,
        at: Millis,
        from: impl Fn(&Phase) -> bool,
        to: Phase,
    ) -> Result<(), Illegal> {
        let active = self.active_mut(event, number)?;
        if !from(&active.phase) {
            return Err(Illegal { event, number, why: "it is not in the right phase" });
        }
        (active.phase, active.since, active.operator_needed) = (to, at, false);
        (active.hurried, active.paused) = (false, None);
        Ok(())
    }

    /// Its release is whole now: from here on it means the same for ever.
    fn freeze(&mut self, number: Number, definition: &Arc<str>) -> Result<(), Illegal> {
        let illegal = |why| Illegal { event: "definition_frozen", number, why };
        let active = self.active_mut("definition_frozen", number)?;
        if !matches!(active.phase, Phase::Provisioning) {
            return Err(illegal("it is not in the right phase"));
        }
        if !active.release.awaits_definition() {
            return Err(illegal("its release has a definition"));
        }
        active.release = Arc::new(Release { definition: definition.clone(), ..Release::clone(&active.release) });
        Ok(())
    }

    fn provisioned(&mut self, number: Number, at: Millis) -> Result<(), Illegal> {
        let event = "provisioned";
        self.defined(number)?;
        self.past_hooks(event, number)?;
        self.step(event, number, at, |p| matches!(p, Phase::Provisioning), Phase::Checking)
    }

    /// What has a stack has a definition (rule R26).
    fn defined(&self, number: Number) -> Result<(), Illegal> {
        let awaits = self.active.as_ref().is_some_and(|d| d.number == number && d.release.awaits_definition());
        let why = "its stack definition was not read";
        if awaits && self.rules.definition_first() {
            Err(Illegal { event: "provisioned", number, why })
        } else {
            Ok(())
        }
    }

    fn approve(&mut self, number: Number, at: Millis) -> Result<(), Illegal> {
        let before_cutover = matches!(self.active_mut("approved", number)?.phase, Phase::AwaitingCutover);
        let next = if before_cutover { Phase::Verifying } else { Phase::Provisioning };
        let from = |p: &Phase| matches!(p, Phase::AwaitingStart | Phase::AwaitingCutover);
        self.step("approved", number, at, from, next)
    }

    fn checked(&mut self, number: Number, at: Millis) -> Result<(), Illegal> {
        self.step("checked", number, at, |p| matches!(p, Phase::Checking), Phase::AfterChecks)?;
        self.after_checks(number, at);
        Ok(())
    }

    /// Goes on to the gate, or past it, once the hooks for that have passed.
    pub(super) fn after_checks(&mut self, number: Number, at: Millis) {
        let rules = self.rules;
        let passed =
            |d: &&mut Deployment| d.number == number && d.phase == Phase::AfterChecks && d.is_past_hooks(rules);
        let Some(active) = self.active.as_mut().filter(passed) else { return };
        let gate = active.plan.before_cutover.is_some() && active.trigger != Trigger::Rollback;
        active.phase = if gate { Phase::AwaitingCutover } else { Phase::Verifying };
        active.since = at;
    }

    /// The former live stack becomes the rollback target if it was found good; else the one before it stays.
    fn went_live(&mut self, number: Number, host: Option<&Arc<str>>, at: Millis) -> Result<(), Illegal> {
        self.step("went_live", number, at, |p| matches!(p, Phase::CuttingOver { .. }), Phase::Baking)?;
        let active = self.active_mut("went_live", number)?;
        let (release, plan, trigger) = (active.release.clone(), active.plan.clone(), active.trigger);
        let adopted = self.strangers.contains(&number);
        let former = self.live.replace(Stack { number, release, plan, since: at, proven: false, adopted });
        self.front_host = host.cloned();
        self.forget_down();
        self.page_is_over(at);
        let (displaced, exit) = match former {
            Some(stack) if stack.proven => {
                let standby = Standby { stack, promise: Promise::WhileBaking, suspect: false, taken: None };
                (self.standby.replace(standby).map(|s| s.stack), Exit::Plain)
            }
            unproven => (unproven, if trigger == Trigger::Rollback { Exit::Reverted } else { Exit::Plain }),
        };
        if let Some(standby) = &mut self.standby {
            standby.promise = Promise::WhileBaking;
        }
        if let Some(stack) = displaced {
            self.dismiss(&stack, exit, at);
        }
        Ok(())
    }

    fn succeeded(&mut self, number: Number, at: Millis) -> Result<(), Illegal> {
        self.past_hooks("succeeded", number)?;
        let illegal = |why| Illegal { event: "succeeded", number, why };
        let active = self.active_mut("succeeded", number)?;
        if !matches!(active.phase, Phase::Baking) {
            return Err(illegal("it is not in the right phase"));
        }
        let (release, plan) = (active.release.clone(), active.plan.clone());
        let live = self.live.as_mut().filter(|s| s.number == number).ok_or_else(|| illegal("it is not live"))?;
        live.proven = true;
        self.strangers.retain(|n| *n != number);
        self.keep_proven(&release, &plan);
        self.active = None;
        self.end(number, &release, Outcome::Succeeded, &"live and found good".into(), at);
        match (plan.retain, self.standby.as_mut()) {
            (Retain::For(length), Some(standby)) => standby.promise = Promise::Until(at.plus(length)),
            (Retain::UntilNext, Some(standby)) => standby.promise = Promise::UntilNext,
            (Retain::None, Some(standby)) => {
                let number = standby.stack.number;
                self.release_standby(number, at)?;
            }
            (_, None) => {}
        }
        Ok(())
    }

    /// Where a cold rollback can go, which is not to what only ever was taken over (rule R39).
    fn keep_proven(&mut self, release: &Arc<Release>, plan: &Arc<Plan>) {
        self.proven.retain(|(r, _)| r.number != release.number);
        if release.adopts.is_some() && self.rules.never_remake_adopted() {
            return;
        }
        if self.proven.len() >= Self::PROVEN_KEPT {
            self.proven.remove(0);
        }
        self.proven.push((release.clone(), plan.clone()));
    }

    pub(super) fn end_early(
        &mut self,
        number: Number,
        outcome: Outcome,
        reason: &Arc<str>,
        at: Millis,
    ) -> Result<(), Illegal> {
        if let Some(place) = self.queue.iter().position(|d| d.number == number) {
            let queued = self.queue.remove(place);
            self.end(number, &queued.release, outcome, reason, at);
            return Ok(());
        }
        let active = self.active_mut("ended", number)?.clone();
        let looked_away = active.phase.has_open_order();
        let back =
            matches!(active.phase, Phase::Reverting { .. } | Phase::RevertRequested { .. } | Phase::Starting { .. });
        let given_up = self.may_give_up(&active) && back;
        let made = !matches!(active.phase, Phase::AwaitingStart);
        let live = self.live.as_ref().is_some_and(|s| s.number == number);
        if looked_away && self.rules.revert_in_doubt() && !self.ends_in_doubt(&active) && !given_up {
            return Err(Illegal { event: "ended", number, why: "its cutover has to be undone first" });
        }
        let paged = self.is_paged() && active.number == number;
        if paged && made && !given_up && self.rules.start_before_return() {
            return Err(Illegal { event: "ended", number, why: "what was stopped for it has to be started first" });
        }
        self.active = None;
        if made && !live && self.rules.retire_what_failed() {
            self.discard(&active, Exit::Plain, at);
        }
        if let Some(standby) = self.standby.as_mut().filter(|_| live) {
            standby.promise = Promise::UntilNext;
        }
        if given_up {
            self.paged_since = None;
            // Users belong to what is live; whether the order back arrived cannot be known by looking.
            let generation = self.generation.next();
            self.order(generation);
            self.carry_through(generation, at);
        }
        self.end(number, &active.release, outcome, reason, at);
        Ok(())
    }

    pub(super) fn release_standby(&mut self, number: Number, at: Millis) -> Result<(), Illegal> {
        let illegal = Illegal { event: "standby_released", number, why: "it is not the standby" };
        let stack = self.standby.as_ref().filter(|s| s.stack.number == number).ok_or(illegal)?.stack.clone();
        if self.rules.unpromise_first() {
            self.standby = None;
        }
        self.dismiss(&stack, Exit::Plain, at);
        Ok(())
    }

    fn retired(&mut self, number: Number) -> Result<(), Illegal> {
        let why = "it was not being retired";
        let place = self.retiring.iter().position(|r| r.number == number);
        self.runs.retain(|run| run.number != number);
        self.retiring.remove(place.ok_or(Illegal { event: "retired", number, why })?);
        if !self.rules.unpromise_first() {
            self.standby.take_if(|s| s.stack.number == number);
        }
        Ok(())
    }

    pub(super) fn set_hold(&mut self, by: &Arc<str>, reason: &Arc<str>, at: Millis) {
        self.hold = Some(Hold { by: by.clone(), reason: reason.clone(), since: at });
    }

    pub(super) fn veto(&mut self, release: u32, reason: &Arc<str>, at: Millis) {
        self.vetoes.retain(|v| v.release != release);
        self.vetoes.push(Veto { release, reason: reason.clone() });
        self.proven.retain(|(r, _)| r.number != release);
        let waiting = self.queue.iter().filter(|d| d.release.number == release);
        for number in waiting.map(|d| d.number).collect::<Vec<_>>() {
            let place = self.queue.iter().position(|d| d.number == number);
            let queued = place.map(|place| self.queue.remove(place));
            if let Some(queued) = queued {
                self.end(number, &queued.release, Outcome::Aborted, &"its release was vetoed".into(), at);
            }
        }
    }

    pub(super) fn end(
        &mut self,
        number: Number,
        release: &Arc<Release>,
        outcome: Outcome,
        reason: &Arc<str>,
        at: Millis,
    ) {
        if outcome == Outcome::Failed {
            self.uncount(number);
        }
        self.ended.retain(|e| e.number != number);
        if self.ended.len() >= Self::ENDED_KEPT {
            self.ended.remove(0);
        }
        self.ended.push(Ended { number, release: release.clone(), outcome, reason: reason.clone(), at });
    }
}
