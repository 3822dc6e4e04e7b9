//! What is live and does not do its work: when it counts as down and as up again, and when users are sent to the standby
//! instead. It decides from the look alone; what is down is started again by the effects, for ever.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    adoption::Exit,
    apply::Illegal,
    effect::shown,
    event::{Entry, Event, Matter},
    ids::{Generation, Millis, Number},
    observation::{Condition, Health, Observation},
    phase::Phase,
    release::RecoverTo,
    state::{Deployment, Environment, Promise, Stack, Standby},
    traffic::Traffic,
};

/// The live stack was seen not to do its work.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Down {
    /// Since when, as far as anybody looked.
    pub since: Millis,
    /// One sentence on what was seen.
    pub reason: Arc<str>,
    /// It was recorded that a person is needed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub operator_needed: bool,
}

/// The live stack went down and came up again, lately.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flaps {
    /// How often in a row it was called up again.
    pub times: u32,
    /// When it last was.
    pub up_at: Millis,
}

impl Flaps {
    /// Time without it after which the next one starts a new row.
    const ROW: Millis = Millis(3_600_000);

    /// How long it must stay good before it is called up again: the longer, the oftener it went down.
    pub fn settle(&self) -> Millis {
        Millis((10_000_u64 << self.times.saturating_sub(1).min(5)).min(300_000))
    }
}

/// Users were taken from a stack because it was down.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Taken {
    /// When users were sent elsewhere.
    pub at: Millis,
    /// Since when it was down.
    pub down_since: Millis,
    /// One sentence on what was seen.
    pub reason: Arc<str>,
}

fn nth(times: u32) -> String {
    let end = match (times % 100, times % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{times}{end} time")
}

fn is_false(yes: &bool) -> bool {
    !yes
}

/// Why a stack was seen not to do its work; nothing while it does, and while nobody knows.
fn why_down(number: Number, seen: &Observation) -> Option<Arc<str>> {
    if seen.lacks(number) {
        return Some("its stack is gone".into());
    }
    let stack = seen.stack(number)?;
    let what = match (stack.condition, stack.health) {
        (Condition::Stopping | Condition::Stopped, _) => return None,
        (Condition::Failed, _) => "its stack failed",
        (Condition::Deleting, _) => "its stack is being deleted",
        (_, Health::Failing) => "it fails its checks",
        (Condition::Creating, Health::Unknown) => "it is not up",
        (Condition::Creating, Health::Passing) | (Condition::Ready, _) => return None,
    };
    Some(stack.remark.clone().unwrap_or_else(|| what.into()))
}

impl Environment {
    /// Whether a person is needed for anything: a deployment, a tear-down, what is live, or the front.
    pub fn needs_operator(&self) -> bool {
        self.active.as_ref().is_some_and(|d| d.operator_needed)
            || self.retiring.iter().any(|r| r.operator_needed)
            || self.down.as_ref().is_some_and(|d| d.operator_needed)
            || self.straying.as_ref().is_some_and(|s| s.operator_needed)
    }

    /// What the look makes of the live stack: that it is down, or up again. What went down before counts as up only once it
    /// has stayed good (rule R61): else it would be recorded at each look for ever, and never be down for long.
    pub(super) fn live_seen(&self, seen: &Observation, now: Millis) -> Option<Event> {
        let number = self.live.as_ref()?.number;
        match &self.down {
            None if self.is_restarting(seen) || self.is_paged() => None,
            None => why_down(number, seen).map(|reason| Event::LiveDown { number, reason }),
            Some(_) => {
                let settle =
                    self.flaps.as_ref().filter(|_| self.rules.settle_after_flap()).map_or(Millis(0), Flaps::settle);
                let up = seen.ready(number, Health::Passing) && seen.good_for(now) >= settle;
                up.then_some(Event::LiveUp { number })
            }
        }
    }

    /// What becomes of a live stack that stays down: users go to the standby where that is wanted and seen good, or a person
    /// is called. Neither is in the way of what is under way at the front (rule R46).
    pub(super) fn recovery(&self, seen: &Observation, now: Millis) -> Option<Event> {
        let (down, live) = (self.down.as_ref()?, self.live.as_ref()?);
        why_down(live.number, seen)?;
        let length = seen.watched_down(down.since, now, self.rules);
        if !length.reaches(live.plan.recover.after) {
            return None;
        }
        let at_the_front = |d: &Deployment| !d.phase.before_cutover();
        let busy = self.active.as_ref().is_some_and(at_the_front);
        let settled = self.drift.is_none() && shown(seen, Traffic::Whole(live.number), self.generation, self.rules);
        let free = !busy && settled || !self.rules.recover_when_idle();
        let standby = self.standby.as_ref().filter(|_| live.plan.recover.to == RecoverTo::Standby);
        let stopped = |n: Number| self.is_halted(n) && self.rules.never_recover_to_stopped();
        let standby = standby.filter(|s| !stopped(s.stack.number));
        let standby = standby.filter(|s| !s.suspect || !self.rules.never_back_to_suspect()).map(|s| s.stack.number);
        let good = |n: &Number| seen.ready(*n, Health::Passing) || !self.rules.recover_onto_good();
        let down_for = |what: &str| {
            let seconds = length.all.0.div_ceil(1000);
            let times =
                self.flaps.as_ref().map(|flaps| format!(", the {} in a row", nth(flaps.times.saturating_add(1))));
            let (number, times, reason) = (live.number, times.unwrap_or_default(), &down.reason);
            format!("stack {number} was down for {seconds} s{times} ({reason}); {what}").into()
        };
        if let Some(to) = standby.filter(good).filter(|_| free) {
            let (generation, reason) = (self.next_generation(seen), down_for("users are sent to the standby"));
            return Some(Event::Recovered { number: live.number, to, generation, reason });
        }
        // With a share of its users elsewhere it is down all the same.
        let in_steps = self.active.as_ref().is_some_and(|d| matches!(d.phase, Phase::Watching { .. }));
        if down.operator_needed || busy && !in_steps || !self.rules.call_operator() {
            return None;
        }
        let reason = down_for("it is started again and again, and users are not sent elsewhere");
        Some(Event::OperatorNeeded { number: live.number, reason, about: Some(Matter::Live) })
    }

    /// The standby takes the place of what was live, in the same event as the order to the front.
    pub(super) fn recovered(
        &mut self,
        (number, to): (Number, Number),
        generation: Generation,
        reason: &Arc<str>,
        (by, at): (&Arc<str>, Millis),
    ) -> Result<(), Illegal> {
        let event = "recovered";
        self.is_live(event, number)?;
        self.higher(event, number, generation)?;
        if self.active.as_ref().is_some_and(|d| !d.phase.before_cutover()) && self.rules.recover_when_idle() {
            return Err(Illegal { event, number, why: "a deployment is at the front" });
        }
        let why = "it goes to no standby";
        let back = self.standby.take_if(|s| s.stack.number == to).ok_or(Illegal { event, number, why })?;
        self.order(generation);
        let former = self.live.replace(Stack { since: at, ..back.stack });
        let taken = self.down.take().map(|down| Taken { at, down_since: down.since, reason: down.reason });
        self.flaps = None;
        self.carry_through(generation, at);
        let Some(former) = former else { return Ok(()) };
        let release = former.release.clone();
        if former.proven {
            self.standby = Some(Standby { stack: former, promise: Promise::UntilNext, suspect: true, taken });
        } else {
            self.dismiss(&former, Exit::Reverted, at);
        }
        if self.hold.is_none() {
            let why = format!("users were taken from release {}: {reason}", release.version).into();
            self.set_hold(by, &why, at);
        }
        self.veto(release.number, reason, at);
        Ok(())
    }

    pub(super) fn live_down(&mut self, number: Number, reason: &Arc<str>, at: Millis) -> Result<(), Illegal> {
        self.is_live("live_down", number)?;
        if self.down.is_some() {
            return Err(Illegal { event: "live_down", number, why: "it was down before" });
        }
        self.down = Some(Down { since: at, reason: reason.clone(), operator_needed: false });
        self.flaps.take_if(|flaps| at.since(flaps.up_at) >= Flaps::ROW);
        Ok(())
    }

    pub(super) fn live_up(&mut self, number: Number, at: Millis) -> Result<(), Illegal> {
        self.is_live("live_up", number)?;
        let why = "it was not down";
        self.down.take().ok_or(Illegal { event: "live_up", number, why })?;
        let times = self.flaps.as_ref().map_or(1, |flaps| flaps.times.saturating_add(1));
        self.flaps = Some(Flaps { times, up_at: at });
        Ok(())
    }

    /// Something else has the traffic: what was known of the stack before is its own.
    pub(super) fn forget_down(&mut self) {
        (self.down, self.flaps) = (None, None);
    }

    pub(super) fn call_for(&mut self, number: Number, about: Option<Matter>, (reason, entry): (&Arc<str>, &Entry)) {
        match about {
            None => self.call_operator(number),
            Some(Matter::Front) => self.front_needs_operator(&entry.by, reason, entry.at),
            Some(Matter::Live) => self.down.iter_mut().for_each(|down| down.operator_needed = true),
        }
    }

    fn call_operator(&mut self, number: Number) {
        if let Some(active) = self.active.as_mut().filter(|d| d.number == number) {
            active.operator_needed = true;
        }
        if let Some(retiring) = self.retiring.iter_mut().find(|r| r.number == number) {
            retiring.operator_needed = true;
        }
    }

    fn is_live(&self, event: &'static str, number: Number) -> Result<(), Illegal> {
        let live = self.live.as_ref().is_some_and(|s| s.number == number);
        if live { Ok(()) } else { Err(Illegal { event, number, why: "it is not live" }) }
    }
}
