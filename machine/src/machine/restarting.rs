//! The restart of what is live, one instance after the other: when it may be asked for, which instance is next, and how it
//! ends. An instance is ended only while those started again before it are up and pass (rule R63).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    apply::Illegal,
    effect::Effect,
    event::Event,
    ids::{Millis, Number},
    observation::{Condition, Health, InstanceView, Observation},
    phase::Phase,
    refusal::{Refusal, refused},
    state::Environment,
};

/// Number of ends in a row, after a restart, at which an instance counts as not coming back.
const ENDS: u32 = 3;

/// A restart that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Restart {
    /// The stack.
    pub number: Number,
    /// The only instance that is meant; none means all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<u32>,
    /// The number of the order: an instance that was started again for it is not ended for it once more.
    pub order: u64,
    /// Since when.
    pub since: Millis,
}

impl Restart {
    fn is_for(&self, instance: usize) -> bool {
        self.instance.is_none_or(|only| usize::try_from(only) == Ok(instance))
    }

    /// How many of these it was done for, and how many it is for.
    pub fn progress(&self, instances: &[InstanceView]) -> (usize, usize) {
        let wanted = || instances.iter().enumerate().filter(|(instance, _)| self.is_for(*instance));
        (wanted().filter(|(_, i)| i.was_started(self.order) && i.is_well()).count(), wanted().count())
    }

    /// Returns the instances that it is for, as seen.
    fn wanted<'a>(&self, seen: &'a Observation) -> impl Iterator<Item = (usize, &'a InstanceView)> {
        let this = self.clone();
        seen.instances.iter().enumerate().filter(move |(instance, _)| this.is_for(*instance))
    }
}

impl InstanceView {
    fn is_well(&self) -> bool {
        self.up && self.passes
    }

    fn was_started(&self, order: u64) -> bool {
        self.started_for >= order
    }
}

impl Environment {
    /// The answer to whoever wants the live stack started again. `at`: the time, of which the order's number is made, so that
    /// it is new also where an older journal was put back.
    pub(super) fn restart_command(
        &self,
        (number, instance, at): (Number, Option<u32>, Millis),
        reason: Option<&Arc<str>>,
    ) -> Result<Event, Refusal> {
        let live = self.live.as_ref().map(|s| s.number);
        if live != Some(number) {
            return Err(Refusal::NotLive { number, live });
        }
        if let Some(going) = &self.restart {
            return Err(Refusal::Restarting(going.number));
        }
        if let Some(active) = self.active.as_ref().filter(|d| !d.phase.before_cutover()) {
            let hint = match active.phase == Phase::Baking {
                true => "while it is watched, a restart would count against it; restart once it has ended",
                false => "users are being moved; restart once that has ended",
            };
            return Err(refused(active, hint));
        }
        if let Some(active) = self.active.as_ref().filter(|_| self.is_paged()) {
            return Err(refused(active, "the live stack is stopped for it; restart once it has ended"));
        }
        let order = at.0.max(self.last_restart + 1);
        Ok(Event::RestartAsked { number, instance, order, reason: reason.cloned() })
    }

    pub(super) fn asked(
        &mut self,
        number: Number,
        instance: Option<u32>,
        order: u64,
        at: Millis,
    ) -> Result<(), Illegal> {
        let event = "restart_asked";
        if self.restart.is_some() {
            return Err(Illegal { event, number, why: "a restart is going already" });
        }
        if self.live.as_ref().is_none_or(|s| s.number != number) {
            return Err(Illegal { event, number, why: "it is not live" });
        }
        if order <= self.last_restart {
            return Err(Illegal { event, number, why: "its order is not higher than the last" });
        }
        self.last_restart = order;
        self.restart = Some(Restart { number, instance, order, since: at });
        Ok(())
    }

    pub(super) fn restart_ended(&mut self, number: Number, order: u64) -> Result<(), Illegal> {
        let why = "no such restart is going";
        let going = self.restart.take_if(|r| (r.number, r.order) == (number, order));
        going.map(drop).ok_or(Illegal { event: "restart_ended", number, why })
    }

    /// Whether instances are ended now: not while users are being moved.
    fn restarts_now(&self, restart: &Restart) -> bool {
        let live = self.live.as_ref().is_some_and(|s| s.number == restart.number);
        live && !self.is_paged() && self.active.as_ref().is_none_or(|d| d.phase.before_cutover())
    }

    /// Whether what is not well of the live stack comes of its restart. Should it not come back, the restart ends.
    pub(super) fn is_restarting(&self, seen: &Observation) -> bool {
        let begun = |r: &Restart| r.wanted(seen).any(|(_, i)| i.ending_for >= r.order);
        let whole = |r: &Restart| {
            let condition = seen.stack(r.number).map(|s| s.condition);
            matches!(condition, Some(Condition::Creating | Condition::Ready))
        };
        self.restart.as_ref().is_some_and(|r| self.restarts_now(r) && begun(r) && whole(r))
    }

    /// The end of a restart: all is done, an instance does not come back, its time is over, or the stack is not live any more.
    pub(super) fn restart_seen(&self, seen: &Observation, now: Millis) -> Option<Event> {
        let restart = self.restart.as_ref()?;
        let (number, order) = (restart.number, restart.order);
        let ended = |reason: Option<String>| Event::RestartEnded { number, order, reason: reason.map(Into::into) };
        let Some(live) = self.live.as_ref().filter(|s| s.number == number) else {
            return Some(ended(Some("it is no longer live".to_owned())));
        };
        if seen.lacks(number) {
            return Some(ended(Some("its stack is gone".to_owned())));
        }
        let started: Vec<_> = restart.wanted(seen).filter(|(_, i)| i.was_started(order)).collect();
        let wanted = restart.wanted(seen).count();
        let stays_good = self.down.is_some() || seen.ready(number, Health::Passing);
        let all =
            started.len() == wanted && started.iter().all(|(_, i)| i.is_well()) || !self.rules.one_instance_at_a_time();
        if wanted > 0 && all && stays_good {
            return Some(ended(None));
        }
        let why = |(instance, i): &(usize, &InstanceView)| {
            let said = i.said.as_deref().unwrap_or("it does not pass its checks");
            format!("instance {instance} did not come back: {said}")
        };
        if let Some(lost) = started.iter().find(|(_, i)| !i.up && i.ends >= ENDS) {
            return Some(ended(Some(why(lost))));
        }
        // So much for each that was started again: one that hangs is not waited for as long as all of them may take.
        let limit = live.plan.check_within.0.saturating_mul(u64::try_from(started.len().max(1)).unwrap_or(u64::MAX));
        if !seen.watched_stacks(restart.since, now, self.rules).reaches(Millis(limit)) {
            return None;
        }
        let late = started.iter().find(|(_, i)| !i.is_well()).map(why);
        let late = late.unwrap_or_else(|| match restart.wanted(seen).find(|(_, i)| !i.was_started(order)) {
            Some((instance, _)) => format!("instance {instance} was not ended and started again in time"),
            None if wanted > 0 => "its stack does not pass its checks".to_owned(),
            None => "no such instance was seen".to_owned(),
        });
        Some(ended(Some(format!("{late} ({} s)", limit.div_ceil(1000)))))
    }

    /// The next instance to end, once those before it are up and pass.
    pub(super) fn to_restart(&self, seen: &Observation) -> Option<Effect> {
        let restart = self.restart.as_ref().filter(|r| self.restarts_now(r))?;
        let (number, order) = (restart.number, restart.order);
        let whole = seen.stack(number).is_some_and(|s| s.condition != Condition::Deleting);
        let waits = restart.wanted(seen).any(|(_, i)| i.was_started(order) && !i.is_well())
            && self.rules.one_instance_at_a_time();
        let (instance, _) = restart.wanted(seen).find(|(_, i)| !i.was_started(order)).filter(|_| whole && !waits)?;
        Some(Effect::Restart { number, instance, order })
    }
}
