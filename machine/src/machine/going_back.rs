//! The fold of going back: a rollback that is asked for, the order that reverts the front, and an earlier release that is
//! deployed again because no warm stack is there.

use std::sync::Arc;

use super::{
    adoption::Exit,
    apply::Illegal,
    event::{Entry, Outcome, Trigger},
    hook::HookProgress,
    ids::{Generation, Millis, Number},
    phase::Phase,
    state::{Deployment, Environment, Stack},
};

impl Environment {
    pub(super) fn request_rollback(&mut self, number: Number, reason: &Arc<str>, entry: &Entry) -> Result<(), Illegal> {
        let at = entry.at;
        let illegal = |why| Illegal { event: "rollback_requested", number, why };
        if self.standby.is_none() {
            return Err(illegal("there is no standby"));
        }
        let live = self.live.clone().filter(|s| s.number == number).ok_or_else(|| illegal("it is not live"))?;
        self.clear_the_way(number, at)?;
        let phase = Phase::RollbackRequested { reason: reason.clone() };
        match &mut self.active {
            Some(active) => {
                (active.phase, active.since, active.operator_needed) = (phase, at, false);
                active.hurried = false;
            }
            None => {
                let Stack { number, release, plan, since: accepted, .. } = live;
                self.active = Some(Deployment {
                    number,
                    release,
                    plan,
                    trigger: Trigger::Person,
                    asked_by: entry.by.clone(),
                    accepted,
                    phase,
                    since: at,
                    operator_needed: false,
                    progress: HookProgress::default(),
                    hurried: false,
                    paused: None,
                });
            }
        }
        // It holds at once, and in that person's name.
        self.set_hold(&entry.by, &format!("deployment {number} is rolled back: {reason}").into(), at);
        Ok(())
    }

    /// Aborts whatever has not reached its cutover, so that a rollback of `live` is the only thing going on.
    fn clear_the_way(&mut self, live: Number, at: Millis) -> Result<(), Illegal> {
        let Some(active) = &self.active else { return Ok(()) };
        let other = active.number;
        if other == live {
            return Ok(());
        }
        if !active.phase.before_cutover() || self.is_paged() {
            return Err(Illegal { event: "rollback", number: live, why: "another deployment is in its cutover" });
        }
        let reason = active.what_stays(&format!("deployment {live} is being rolled back").into());
        self.end_early(other, Outcome::Aborted, &reason, at)
    }

    pub(super) fn revert_ordered(
        &mut self,
        number: Number,
        next: Phase,
        generation: Generation,
        at: Millis,
    ) -> Result<(), Illegal> {
        let event = "undo_ordered";
        self.higher(event, number, generation)?;
        if self.active.as_ref().is_some_and(|d| d.number == number && self.ends_in_doubt(d)) {
            return Err(Illegal { event, number, why: "it was to take the traffic from nobody" });
        }
        self.step(event, number, at, |p| !p.before_cutover(), next)?;
        self.order(generation);
        Ok(())
    }

    pub(super) fn reverted(
        &mut self,
        number: Number,
        host: Option<&Arc<str>>,
        at: Millis,
        by: &Arc<str>,
    ) -> Result<(), Illegal> {
        let active = self.active_mut("undone", number)?;
        let Phase::Reverting { to, outcome, reason, .. } = active.phase.clone() else {
            return Err(Illegal { event: "undone", number, why: "it is not in the right phase" });
        };
        let active = active.clone();
        let release = active.release.clone();
        // Back to what users were only taken from because it was down: what stood in for it has done no wrong.
        let stood_in = self.standby.as_ref().is_some_and(|s| s.suspect && Some(s.stack.number) == to);
        if self.live.as_ref().is_some_and(|s| s.number == number) {
            let standby = self.standby.take_if(|s| Some(s.stack.number) == to);
            let back = standby.ok_or(Illegal { event: "undone", number, why: "it goes back to no standby" })?;
            let former = self.live.replace(Stack { since: at, ..back.stack });
            self.forget_down();
            former.iter().for_each(|stack| self.dismiss(stack, Exit::Reverted, at));
        } else {
            self.discard(&active, Exit::Reverted, at);
        }
        (self.active, self.front_host) = (None, host.cloned());
        self.page_is_over(at);
        self.end(number, &release, outcome, &reason, at);
        if outcome == Outcome::RolledBack {
            if self.hold.is_none() {
                self.set_hold(by, &format!("release {} was rolled back: {reason}", release.version).into(), at);
            }
            if !stood_in {
                self.veto(release.number, &reason, at);
            }
        }
        Ok(())
    }

    pub(super) fn cold_rollback_queued(
        &mut self,
        number: Number,
        reason: &Arc<str>,
        at: Millis,
        by: &Arc<str>,
    ) -> Result<(), Illegal> {
        let why = "it is not live";
        let live = self.live.as_ref().filter(|s| s.number == number);
        let release = live.ok_or(Illegal { event: "rollback_went_cold", number, why })?.release.clone();
        self.clear_the_way(number, at)?;
        if self.active.take().is_some() {
            self.end(number, &release, Outcome::Failed, reason, at);
        }
        if let Some(standby) = self.standby.as_ref().map(|s| s.stack.number) {
            self.release_standby(standby, at)?;
        }
        if let Some(live) = &mut self.live {
            live.proven = false;
        }
        self.set_hold(by, &format!("release {} is being rolled back: {reason}", release.version).into(), at);
        self.veto(release.number, reason, at);
        Ok(())
    }
}
