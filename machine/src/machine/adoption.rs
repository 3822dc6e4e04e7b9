//! Taking over a stack that was there before us and has the traffic. It is an ordinary deployment, whose stack is marked
//! as ours instead of made; but until it was found good nothing of it is ours to take away: neither the stack nor, by an
//! order to the front, the traffic that reaches it in its old way.

use std::sync::Arc;

use super::{
    hook::{Hook, HookPoint, HookProgress},
    ids::{Generation, Millis, Number},
    observation::FrontView,
    phase::Phase,
    refusal::Refusal,
    release::{Plan, Release},
    state::{Deployment, Environment, Retiring, Stack},
};

/// How a stack is done with; it is torn down either way.
pub(super) enum Exit {
    /// The stack was not sent back: its `on_retire` hooks run.
    Plain,
    /// The traffic was sent back from it: its hooks `on_rollback` run first.
    Reverted,
}

impl Environment {
    /// Whether a release may come here, and under which terms, as far as adoption is concerned.
    pub(super) fn adoptable(&self, release: &Release, is_new: bool, plan: &Arc<Plan>) -> Result<Arc<Plan>, Refusal> {
        if release.adopts.is_none() {
            return Ok(plan.clone());
        }
        if !is_new && self.rules.never_remake_adopted() {
            return Err(Refusal::WasAdopted(release.number));
        }
        let live = self.live.as_ref().map(|s| s.number);
        let under_way = || self.active.iter().chain(&self.queue).map(|d| d.number).next();
        // An order that led to what is torn down may still arrive, and is waited for by nobody once an adoption is let go.
        let retiring = || self.retiring.iter().map(|r| r.number).next();
        if let Some(other) = live.or_else(under_way).or_else(retiring) {
            return Err(Refusal::NotTheFirst(other));
        }
        Ok(of_what_is_there(plan))
    }

    /// Whether the stack of a deployment was there before it, and is not ours until it was found good.
    pub(super) fn takes_over(&self, number: Number, release: &Release) -> bool {
        release.adopts.is_some() || self.is_stranger(number)
    }

    /// Whether a stack that was there and is lost is brought back. One that was adopted is not: it would be looked for by
    /// its name, and another one of that name is a stranger's (rule R39).
    pub(super) fn makes(&self, release: &Release) -> bool {
        release.adopts.is_none() || !self.rules.never_remake_adopted()
    }

    /// Whether a deployment ends without its order to the front being reverted: to revert it would be to send users to nobody,
    /// who have a stack that was adopted (rule R40), or whose front cannot do that (rule R49).
    pub(super) fn ends_in_doubt(&self, d: &Deployment) -> bool {
        let ordered = matches!(d.phase, Phase::CuttingOver { .. });
        let left = self.takes_over(d.number, &d.release) && self.live.is_none() && self.rules.let_go_in_doubt();
        ordered && (left || self.stays_on(d))
    }

    /// Whether users stay where they are for want of an order to nobody.
    pub(super) fn stays_on(&self, d: &Deployment) -> bool {
        self.live.is_none() && d.plan.always_on && self.rules.never_to_nobody()
    }

    /// The order that the front has to have obeyed before it counts as settled. One that cannot be pointed at nobody compares
    /// no orders: what may still change it is waited out (rule R10). The order of an adoption that was let go leads to a stranger
    /// at most, so only strangers wait for it.
    pub(super) fn owed(&self, retiring: &Retiring) -> Generation {
        let compares_none = self.live.is_none() && self.always_on && self.rules.never_to_nobody();
        let let_go = self.let_go == Some(self.generation) && !(retiring.stranger && self.rules.adopt_stranger_late());
        if let_go || compares_none { Generation(0) } else { self.generation }
    }

    /// Whether nothing is live and the front serves a stack that is none of ours as far as the state knows: users may have it
    /// from before a journal that was lost, or from another installation, and there is nothing good to send them to instead
    /// (rule R54).
    pub(super) fn serves_unknown(&self, front: &FrontView) -> bool {
        let stranger = |number| self.is_stranger(number) && !self.not_ours.contains(&number);
        let known = |number: Number| {
            self.active.iter().chain(&self.queue).any(|d| d.number == number)
                || self.retiring.iter().any(|r| r.number == number)
                || self.standby.iter().any(|s| s.stack.number == number)
                // What was to be adopted and was let go is no riddle: a late order has brought users back to it.
                || self.not_ours.contains(&number)
        };
        self.live.is_none()
            && self.rules.leave_unknown_front()
            && front.traffic.stacks().any(|number| stranger(number) || !known(number))
    }

    /// Whether the front may stay as it is, since users may reach by it what is, or was, to be adopted: to put it right
    /// would be to send them to nobody.
    pub(super) fn may_stay(&self, front: &FrontView) -> bool {
        if self.serves_unknown(front) {
            return true;
        }
        if self.live.is_none() && self.always_on && self.rules.never_to_nobody() {
            return true;
        }
        let adopting = self.active.as_ref().filter(|d| self.takes_over(d.number, &d.release)).map(|d| d.number);
        let theirs = |number: Number| adopting == Some(number) || self.strangers.contains(&number);
        let adoption = adopting.is_some() || self.let_go == Some(self.generation);
        // What is torn down must not be sent users by an order that comes late: it is overtaken by a newer one.
        let late = self.retiring.iter().any(|r| r.stranger && front.generation < self.owed(r));
        let stays = front.traffic.base().map_or(!late, theirs);
        self.live.is_none() && adoption && self.rules.let_go_in_doubt() && stays
    }

    /// The end of a candidate that never had the traffic by an order that was seen done.
    pub(super) fn discard(&mut self, d: &Deployment, exit: Exit, at: Millis) {
        let at_the_front = d.release.adopts.is_some() || matches!(d.phase, Phase::CuttingOver { .. });
        if self.takes_over(d.number, &d.release) && self.live.is_none() && at_the_front && self.rules.let_go_in_doubt()
        {
            self.let_go = Some(self.generation);
        }
        self.part_with(d.number, (&d.release, &d.plan), false, exit, at);
    }

    /// The end of a stack that has, or had, the traffic.
    pub(super) fn dismiss(&mut self, stack: &Stack, exit: Exit, at: Millis) {
        self.part_with(stack.number, (&stack.release, &stack.plan), stack.proven, exit, at);
    }

    fn part_with(
        &mut self,
        number: Number,
        (release, plan): (&Arc<Release>, &Plan),
        proven: bool,
        exit: Exit,
        at: Millis,
    ) {
        if self.is_stranger(number) && !proven {
            return;
        }
        if release.adopts.is_some() && !proven && self.rules.keep_unproven_adopted() {
            if !self.strangers.contains(&number) {
                self.strangers.push(number);
            }
            if !self.not_ours.contains(&number) {
                self.not_ours.push(number);
            }
            return;
        }
        let hooks = match exit {
            Exit::Plain => of_point(plan, &[HookPoint::OnRetire]),
            Exit::Reverted => of_point(plan, &[HookPoint::OnRollback, HookPoint::OnRetire]),
        };
        // Its own deployment may be too long ago to be at hand.
        let release = (!hooks.is_empty()).then(|| release.clone());
        self.retire(number, plan, (hooks, release), at);
    }

    /// Its tear-down is due from now on.
    pub(super) fn retire(
        &mut self,
        number: Number,
        plan: &Plan,
        (hooks, release): (Vec<Hook>, Option<Arc<Release>>),
        at: Millis,
    ) {
        if self.retiring.iter().any(|r| r.number == number) {
            return;
        }
        let Plan { drain_within, retire_within, .. } = *plan;
        let (operator_needed, progress) = (false, HookProgress::default());
        self.retiring.push(Retiring {
            number,
            since: at,
            drain_within,
            retire_within,
            operator_needed,
            hooks,
            progress,
            release,
            stranger: false,
        });
    }
}

/// The terms for a stack that is there: what hooks do to a release that is new was done to this one long ago.
pub(super) fn of_what_is_there(plan: &Arc<Plan>) -> Arc<Plan> {
    let hooks = of_point(plan, &[HookPoint::OnRetire]);
    if hooks.len() == plan.hooks.len() { plan.clone() } else { Arc::new(Plan { hooks, ..Plan::clone(plan) }) }
}

fn of_point(plan: &Plan, points: &[HookPoint]) -> Vec<Hook> {
    plan.hooks.iter().filter(|hook| points.contains(&hook.at)).cloned().collect()
}
