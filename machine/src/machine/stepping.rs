//! Traffic in steps: the shares of users that a new stack gets before it gets all, and the way back from each. What was live
//! stays live until the new stack has all users.

use std::sync::Arc;

use super::{
    apply::Illegal,
    at_the_front::Seen,
    event::{Entry, Event, Outcome, Trigger},
    ids::{Generation, Millis, Number, Share},
    observation::{Health, Observation},
    phase::Phase,
    refusal::{Refusal, refused},
    release::{Gate, Otherwise},
    state::{Deployment, Environment, Pause},
    tick::{SILENT, called},
    traffic::Traffic,
};

/// The users that a deployment has, and is to have.
struct Users {
    /// The share that it was last seen to have, while that is not all of them.
    held: Option<Share>,
    /// The part of 100 that it is to have by the last order.
    ordered: u8,
}

impl Deployment {
    fn users(&self) -> Users {
        let (held, ordered) = match &self.phase {
            Phase::CuttingOver { share, held, .. } => (*held, share.map_or(100, Share::percent)),
            Phase::Watching { share } => (Some(*share), share.percent()),
            Phase::RevertRequested { share, .. } => (Some(*share), 0),
            Phase::Baking | Phase::RollbackRequested { .. } => (None, 100),
            Phase::Queued
            | Phase::AwaitingStart
            | Phase::Provisioning
            | Phase::Checking
            | Phase::AfterChecks
            | Phase::AwaitingCutover
            | Phase::Verifying
            | Phase::Paging { .. }
            | Phase::Stopping { .. }
            | Phase::Starting { .. }
            | Phase::Reverting { .. } => (None, 0),
        };
        Users { held, ordered }
    }

    /// The share of users that it was last seen to have, while that is not all of them.
    pub fn share(&self) -> Option<Share> {
        self.users().held
    }

    /// The part of 100 users that it is to have by the last order: 0 before any, 100 once it is to have all.
    pub fn ordered_share(&self) -> u8 {
        self.users().ordered
    }

    /// Whether it was to lose its share and what is live is not seen good, so that a person chooses: back all the same, or on.
    pub fn way_back_waits(&self) -> bool {
        matches!(self.phase, Phase::RevertRequested { .. }) && self.operator_needed
    }

    /// The pauses at which it keeps its share: that of its terms, until it is answered, and that of a person. One takes nothing
    /// from the other: who may not answer the first cannot end it by the second.
    fn pauses(&self) -> impl Iterator<Item = Pause> {
        let share = self.share().filter(|_| matches!(self.phase, Phase::Watching { .. }));
        let of_the_terms = || self.plan.step(share?)?.pause.clone();
        let of_the_terms = of_the_terms().filter(|_| !self.hurried).map(|gate| Pause { since: self.since, gate });
        of_the_terms.into_iter().chain(self.paused.clone().filter(|_| share.is_some()))
    }

    /// The pause at which it keeps its share, the longest where there are two.
    pub fn pause(&self) -> Option<Pause> {
        self.pauses().max_by_key(Pause::until)
    }

    /// When the time is over for which it is watched with its share, or its pause.
    pub(super) fn step_ends(&self) -> Option<Millis> {
        let watched = self.since.plus(self.plan.step(self.share()?)?.bake);
        Some(self.pause().map_or(watched, |pause| watched.max(pause.until())))
    }
}

impl Pause {
    /// When the default answer is given.
    pub fn until(&self) -> Millis {
        self.since.plus(self.gate.timeout)
    }
}

/// Why a share is not kept.
const NOT_SHOWN: &str = "the front does not show the step yet; ask again in a moment";
const NO_SHARE: &str = "only a deployment that has a share of the users is paused; `hold` stops others";

impl Environment {
    /// Who is to get users' requests while no order is open.
    pub fn wanted(&self) -> Traffic {
        let to = match self.active.as_ref().map(|d| (d.number, &d.phase)) {
            Some((number, Phase::Watching { share })) => self.with_share(number, Some(*share)),
            _ if self.is_paged() => Traffic::Nobody,
            _ => Traffic::whole(self.live.as_ref().map(|s| s.number)),
        };
        self.behind_the_page(to)
    }

    /// The traffic where a deployment gets that share, or all of it.
    pub(super) fn with_share(&self, candidate: Number, share: Option<Share>) -> Traffic {
        match (share, &self.live) {
            (Some(share), Some(live)) => Traffic::Split { base: live.number, candidate, share },
            (Some(_) | None, _) => Traffic::Whole(candidate),
        }
    }

    /// The share that a deployment gets next; nothing means all. Steps are for users who have something that works: with
    /// nothing live, or what is live down, and to bring an earlier release back, there are none.
    pub(super) fn next_share(&self, d: &Deployment, held: Option<Share>) -> Option<Share> {
        let without_users = self.live.is_none() || self.is_paged() || self.maintenance.is_some();
        let at_once = without_users || self.down.is_some() || d.trigger == Trigger::Rollback;
        let mut larger = d.plan.steps.iter().map(|step| step.share).filter(|share| Some(*share) > held);
        larger.next().filter(|_| !at_once)
    }

    /// It has a share of users: it gets more once it was watched with that, and loses it when it turns bad.
    pub(super) fn watching(&self, d: &Deployment, share: Share, seen: &Observation, now: Millis) -> Option<Event> {
        let number = d.number;
        if let Some(vetoed) = self.vetoed(d.release.number).filter(|_| self.rules.veto_stops()) {
            return Some(self.go_back(d, Outcome::Aborted, &vetoed.to_string().into(), seen));
        }
        let bake = d.plan.step(share).map_or(Millis(0), |step| step.bake);
        let late = bake.plus(d.plan.check_within);
        let remark = || seen.stack(number).and_then(|s| s.remark.clone());
        let bad = |what: &str| {
            let said = remark().map(|remark| format!(": {remark}")).unwrap_or_default();
            let reason = format!("{what} while it had {share} of the users{said}").into();
            Some(self.go_back(d, Outcome::RolledBack, &reason, seen))
        };
        match self.seen_baking(d, seen) {
            Seen::Bad => bad("it failed"),
            Seen::Unclear if seen.watched_stacks(d.since, now, self.rules).reaches(late) => {
                bad("it was not seen well in time")
            }
            Seen::Unclear if self.rules.watch_each_step() => None,
            Seen::Silent => {
                let late = seen.watched(d.since, now, self.rules).reaches(late) && !d.operator_needed;
                late.then(|| called(number, SILENT))
            }
            Seen::Good | Seen::Unclear => self.step_on(d, (share, bake), seen, now),
        }
    }

    fn step_on(
        &self,
        d: &Deployment,
        (share, bake): (Share, Millis),
        seen: &Observation,
        now: Millis,
    ) -> Option<Event> {
        let number = d.number;
        let over = |pause: &Pause| seen.is_over(pause.since, pause.gate.timeout, now, self.rules);
        let paused = d.pauses().next().is_some();
        // A question to a person holds nobody up.
        if let Some(newer) = self.startable().filter(|_| paused) {
            let reason = format!("deployment {newer} is newer").into();
            return Some(self.go_back(d, Outcome::Superseded, &reason, seen));
        }
        if d.pauses().any(|pause| pause.gate.otherwise == Otherwise::Abort && over(&pause)) {
            return Some(self.go_back(d, Outcome::Aborted, &"nobody let it go on in time".into(), seen));
        }
        let stopped = paused && !self.lets(d) && self.rules.stopped_stays_asked();
        if stopped || !d.pauses().all(|pause| over(&pause)) {
            return None;
        }
        let watched = seen.watched_stacks(d.since, now, self.rules).reaches(bake);
        let over = d.hurried || watched || !self.rules.watch_each_step();
        let settled = self.drift.is_none() || self.cannot_mend(seen);
        let (generation, share) = (self.next_generation(seen), self.next_share(d, Some(share)));
        // Behind the maintenance page no share has any users.
        (over && settled && self.maintenance.is_none()).then_some(Event::CutOverOrdered { number, generation, share })
    }

    /// Takes a deployment its share: by one order where what is live was seen good in this look (rule R71), which is waited
    /// for elsewhere.
    pub(super) fn go_back(&self, d: &Deployment, outcome: Outcome, reason: &Arc<str>, seen: &Observation) -> Event {
        let (number, reason) = (d.number, reason.clone());
        let live = self.live.as_ref().map(|s| s.number);
        let good = live.is_some_and(|live| seen.ready(live, Health::Passing)) || !self.rules.back_onto_good();
        if good {
            let generation = self.next_generation(seen);
            Event::RevertOrdered { number, to: live, generation, outcome, reason }
        } else {
            Event::RevertRequested { number, outcome, reason }
        }
    }

    /// All users are to go back to what is live: as soon as that is seen good.
    pub(super) fn revert_requested(
        &self,
        d: &Deployment,
        (outcome, reason): (Outcome, &Arc<str>),
        seen: &Observation,
        now: Millis,
    ) -> Option<Event> {
        let number = d.number;
        let back = self.go_back(d, outcome, reason, seen);
        if matches!(back, Event::RevertOrdered { .. }) {
            return Some(back);
        }
        // Whatever mends both must not wait for either.
        if let Some(newer) = self.startable().filter(|_| self.may_give_up(d) && self.rules.make_room()) {
            let reason = format!("{reason}; deployment {newer} takes its place").into();
            return Some(Event::Ended { number, outcome: Outcome::Superseded, reason });
        }
        let limit = d.plan.check_within;
        let (late, what) = if seen.stacks.is_none() {
            let what = "the provider does not answer, so the health of what is live is not known; it is still tried";
            (seen.watched(d.since, now, self.rules).reaches(limit), what)
        } else {
            let what = "what is live does not pass its checks, so no more users are sent to it: abort it once more and they \
                        are, proceed and the new stack gets all";
            (seen.watched_stacks(d.since, now, self.rules).reaches(limit), what)
        };
        (late && !d.operator_needed).then(|| called(number, what))
    }
}

/// What people ask.
impl Environment {
    pub(super) fn proceed(&self, number: Number, by: &str, reason: Option<&Arc<str>>) -> Result<Event, Refusal> {
        let d = self.find(number)?;
        let is_watched = matches!(d.phase, Phase::Watching { .. } | Phase::Baking);
        if !is_watched && !d.way_back_waits() {
            return Err(refused(d, "it is not being watched"));
        }
        for pause in d.pauses() {
            self.may_answer(d, &pause.gate, by)?;
        }
        if d.hurried && d.paused.is_none() {
            return Err(Refusal::Already("it goes on already, as soon as it is seen good"));
        }
        Ok(Event::Proceeded { number: d.number, reason: reason.cloned() })
    }

    pub(super) fn pause(&self, number: Number, gate: &Gate, reason: Option<&Arc<str>>) -> Result<Event, Refusal> {
        let d = self.find(number)?;
        if matches!(d.phase, Phase::Watching { .. }) {
            return Ok(Event::Paused { number: d.number, gate: gate.clone(), reason: reason.cloned() });
        }
        let moves = matches!(d.phase, Phase::CuttingOver { share: Some(_), .. });
        Err(refused(d, if moves { NOT_SHOWN } else { NO_SHARE }))
    }

    /// A rollback of what has a share of the users and is not live yet.
    pub(super) fn rollback_of_a_share(&self, number: Number, reason: &Arc<str>) -> Option<Event> {
        let d = self.active.as_ref().filter(|d| d.number == number)?;
        let (outcome, reason) = (Outcome::RolledBack, d.what_stays(reason));
        if let Phase::CuttingOver { share: Some(_), held: None, .. } = d.phase {
            // What is live had all users a moment ago.
            let (to, generation) = (self.live.as_ref().map(|s| s.number), self.generation.next());
            return Some(Event::RevertOrdered { number, to, generation, outcome, reason });
        }
        let has_share = d.share().is_some() && !d.phase.is_going_back();
        has_share.then_some(Event::RevertRequested { number, outcome, reason })
    }
}

/// The fold.
impl Environment {
    pub(super) fn cut_over(
        &mut self,
        number: Number,
        (generation, share): (Generation, Option<Share>),
        at: Millis,
    ) -> Result<(), Illegal> {
        let event = "cut_over_ordered";
        self.higher(event, number, generation)?;
        self.past_hooks(event, number)?;
        let held = self.active.as_ref().and_then(Deployment::share);
        if share.is_some() && (share <= held || self.live.is_none()) {
            return Err(Illegal { event, number, why: "its share does not grow" });
        }
        let from = |p: &Phase| matches!(p, Phase::Verifying | Phase::Watching { .. });
        self.step(event, number, at, from, Phase::CuttingOver { generation, share, held })?;
        self.order(generation);
        Ok(())
    }

    pub(super) fn shifted(
        &mut self,
        number: Number,
        share: Share,
        host: Option<&Arc<str>>,
        at: Millis,
    ) -> Result<(), Illegal> {
        let ordered = |p: &Phase| matches!(p, Phase::CuttingOver { share: ordered, .. } if *ordered == Some(share));
        self.step("shifted", number, at, ordered, Phase::Watching { share })?;
        self.front_host = host.cloned();
        Ok(())
    }

    pub(super) fn lose_share(
        &mut self,
        number: Number,
        (outcome, reason): (Outcome, &Arc<str>),
        Entry { at, by, .. }: &Entry,
    ) -> Result<(), Illegal> {
        let event = "revert_requested";
        let why = "it has no share of the users";
        let share = self.active_mut(event, number)?.share().ok_or(Illegal { event, number, why })?;
        let next = Phase::RevertRequested { share, outcome, reason: reason.clone() };
        let from = |p: &Phase| matches!(p, Phase::Watching { .. } | Phase::CuttingOver { .. });
        self.step(event, number, *at, from, next)?;
        if outcome == Outcome::RolledBack && self.hold.is_none() {
            self.set_hold(by, &format!("deployment {number} is rolled back: {reason}").into(), *at);
        }
        Ok(())
    }

    pub(super) fn proceeded(&mut self, number: Number, at: Millis) -> Result<(), Illegal> {
        let event = "proceeded";
        let phase = self.active_mut(event, number)?.phase.clone();
        if let Phase::RevertRequested { share, .. } = phase {
            self.step(event, number, at, |_| true, Phase::Watching { share })?;
        } else if !matches!(phase, Phase::Watching { .. } | Phase::Baking) {
            return Err(Illegal { event, number, why: "it is not being watched" });
        }
        let active = self.active_mut(event, number)?;
        (active.hurried, active.paused) = (true, None);
        Ok(())
    }

    pub(super) fn paused(&mut self, number: Number, gate: &Gate, at: Millis) -> Result<(), Illegal> {
        let event = "paused";
        let active = self.active_mut(event, number)?;
        if !matches!(active.phase, Phase::Watching { .. }) {
            return Err(Illegal { event, number, why: "it has no share of the users" });
        }
        (active.paused, active.hurried) = (Some(Pause { since: at, gate: gate.clone() }), false);
        Ok(())
    }
}
