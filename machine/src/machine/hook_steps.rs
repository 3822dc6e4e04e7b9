//! The steps of hooks: when one is to run, when its run counts as over, and what becomes of the state then.
//!
//! A hook is ordered before its run begins, as the front is before it moves: so a restart neither forgets it nor begins
//! its time anew, and what is stopped meanwhile knows that it may have begun.

use std::sync::Arc;

use super::{
    apply::Illegal,
    event::Event,
    hook::{Hook, HookPoint, HookProgress, HookState},
    ids::{Millis, Number},
    observation::Observation,
    phase::Phase,
    rules::Rules,
    state::{Deployment, Environment, Retiring},
};

const ORDERED: &str = "hook_ordered";
const FINISHED: &str = "hook_finished";

impl Deployment {
    /// The hook that it runs now, or is to run next before it goes on.
    pub fn hook(&self) -> Option<&Hook> {
        let point = self.phase.row().hooks.filter(|_| self.progress.failed.is_none())?;
        self.plan.hooks.get(self.progress.done).filter(|hook| hook.at <= point)
    }

    /// Whether nothing of its hooks stands in its way: those of a point come before whatever is beyond it (rule R32), and
    /// those after the cutover before its success (rule R33).
    pub(super) fn is_past_hooks(&self, rules: Rules) -> bool {
        let needed = if self.phase == Phase::Baking { rules.hooks_before_success() } else { rules.hooks_first() };
        !needed || self.progress.failed.is_none() && self.hook().is_none()
    }

    /// Since when it waits for what it waits for: its phase has begun, and no hook is in the way.
    pub fn waits_since(&self) -> Millis {
        self.since.max(self.progress.since)
    }

    /// The hooks that going back does not undo, and that have run or may have begun.
    pub fn one_way_hooks(&self) -> impl Iterator<Item = &Hook> {
        let begun = self.progress.done + usize::from(self.progress.ordered);
        self.plan.hooks.iter().take(begun).filter(|hook| hook.one_way)
    }

    /// The same event, which is its end before anybody saw it, with what stays of it all the same.
    pub(super) fn with_what_stays(&self, mut event: Event) -> Event {
        let unseen =
            self.phase.before_cutover() || matches!(self.phase, Phase::CuttingOver { .. } | Phase::Watching { .. });
        if let Event::Ended { reason, .. } | Event::RevertOrdered { reason, .. } | Event::RevertRequested { reason, .. } =
            &mut event
            && unseen
        {
            *reason = self.what_stays(reason);
        }
        event
    }

    pub(super) fn what_stays(&self, reason: &Arc<str>) -> Arc<str> {
        let running = self.hook().filter(|_| self.progress.ordered).map(|hook| &hook.name);
        let one = |hook: &Hook| match running == Some(&hook.name) {
            true => format!("; hook {} is one way and may have begun: what it has changed stays changed", hook.name),
            false => format!("; hook {} is one way: what it has changed stays changed", hook.name),
        };
        self.one_way_hooks().fold(reason.clone(), |reason, hook| format!("{reason}{}", one(hook)).into())
    }
}

impl Retiring {
    /// The hook that runs now, or is to run next before the stack is torn down.
    pub fn hook(&self) -> Option<&Hook> {
        self.hooks.get(self.progress.done)
    }

    /// Whether it is still to be told that the traffic was sent back, even if the stack itself is gone.
    pub(super) fn owes_rollback_hooks(&self) -> bool {
        self.hook().is_some_and(|hook| hook.at == HookPoint::OnRollback)
    }
}

/// What is read of the hooks that are due or run.
impl Environment {
    /// The hooks whose runs the machine waits for, with the deployments that they run for. A run of any other hook is
    /// no longer wanted and is to be ended.
    pub fn hooks_ordered(&self) -> impl Iterator<Item = (Number, &Hook)> {
        let active = self.active.iter().filter(|d| d.progress.ordered).map(|d| (d.number, d.hook()));
        let retiring = self.retiring.iter().filter(|r| r.progress.ordered).map(|r| (r.number, r.hook()));
        active.chain(retiring).filter_map(|(number, hook)| Some((number, hook?)))
    }

    /// The hooks of what is live that going back to another stack does not undo.
    pub fn one_way_hooks(&self) -> Vec<&Hook> {
        let Some(live) = &self.live else { return Vec::new() };
        match self.active.as_ref().filter(|d| d.number == live.number && d.phase == Phase::Baking) {
            Some(baking) => baking.one_way_hooks().collect(),
            None => live.plan.hooks.iter().filter(|hook| hook.one_way).collect(),
        }
    }
}

/// Decisions on hooks after a look.
impl Environment {
    /// What the hook of a deployment calls for that may be ordered now, if it may: the order, or the end of its run.
    pub(super) fn hook_of(&self, d: &Deployment, may: bool, seen: &Observation, now: Millis) -> Option<Event> {
        self.hook_turn((d.number, d.hook()?), &d.progress, may, seen, now)
    }

    /// The same for a stack that is done with.
    pub(super) fn hook_of_retiring(&self, r: &Retiring, seen: &Observation, now: Millis) -> Option<Event> {
        let hook = r.hook().filter(|_| self.rules.hooks_before_retirement())?;
        let may = r.owes_rollback_hooks() || self.drained(r, seen, now).is_some();
        self.hook_turn((r.number, hook), &r.progress, may, seen, now)
    }

    fn hook_turn(
        &self,
        (number, hook): (Number, &Hook),
        progress: &HookProgress,
        may: bool,
        seen: &Observation,
        now: Millis,
    ) -> Option<Event> {
        let Hook { name, at: point, within, .. } = hook;
        let (hook, point) = (name.clone(), *point);
        if !progress.ordered {
            // What it would reach by the front's address might not be what it is for (rule R36).
            let astray = self.drift.is_some() && self.rules.no_hook_astray();
            return (may && !astray).then_some(Event::HookOrdered { number, hook, point });
        }
        let late = seen.watched(progress.since, now, self.rules).reaches(*within);
        let over = |reason, said| Some(Event::HookFinished { number, hook, point, reason, said });
        match seen.hook(number, name) {
            Some(HookState::Passed { said }) => over(None, said.clone()),
            Some(HookState::Failed { reason, said }) => over(Some(reason.clone()), said.clone()),
            // Whatever became of the run, a deployment does not wait for it for ever (rule R35).
            Some(HookState::Running) | None if late && self.rules.hook_time_limit() => {
                over(Some(format!("it gave no result in time ({} s)", within.0.div_ceil(1000)).into()), "".into())
            }
            Some(HookState::Running) | None => None,
        }
    }

    /// The runs to begin: those that were ordered and are not there.
    pub(super) fn hooks_to_run(&self, seen: &Observation) -> impl Iterator<Item = (Number, Arc<str>)> {
        let settled = self.drift.is_none() || !self.rules.no_hook_astray();
        let ordered = self.hooks_ordered().filter(move |_| settled);
        ordered.filter(|(n, hook)| seen.hook(*n, &hook.name).is_none()).map(|(n, hook)| (n, hook.name.clone()))
    }
}

/// The fold.
impl Environment {
    /// How far the hooks of that number are, if it has a next one of that name.
    fn awaited(&mut self, event: &'static str, number: Number, hook: &str) -> Result<&mut HookProgress, Illegal> {
        let illegal = |why| Illegal { event, number, why };
        let active = self.active.as_mut().filter(|d| d.number == number);
        let retiring = self.retiring.iter_mut().find(|r| r.number == number);
        let (next, progress) = match (active, retiring) {
            (Some(d), _) => (d.hook().map(|h| *h.name == *hook), &mut d.progress),
            (None, Some(r)) => (r.hook().map(|h| *h.name == *hook), &mut r.progress),
            (None, None) => return Err(illegal("it is neither the active one nor being retired")),
        };
        match next {
            Some(true) if progress.ordered == (event == FINISHED) => Ok(progress),
            Some(true) if progress.ordered => Err(illegal("that hook was ordered before")),
            Some(true) => Err(illegal("that hook was not ordered")),
            Some(false) | None => Err(illegal("that hook is not the next one")),
        }
    }

    pub(super) fn order_hook(&mut self, number: Number, hook: &str, at: Millis) -> Result<(), Illegal> {
        let progress = self.awaited(ORDERED, number, hook)?;
        (progress.ordered, progress.since) = (true, at);
        // If somebody was called because it could not begin: it does.
        if let Some(active) = self.active.as_mut().filter(|d| d.number == number) {
            active.operator_needed = false;
        }
        Ok(())
    }

    /// A failure ends a deployment; a stack that is done with goes, however its hooks went.
    pub(super) fn finish_hook(
        &mut self,
        number: Number,
        hook: &str,
        reason: Option<&Arc<str>>,
        at: Millis,
    ) -> Result<(), Illegal> {
        let progress = self.awaited(FINISHED, number, hook)?;
        *progress = HookProgress { done: progress.done + 1, ordered: false, since: at, failed: None };
        if let Some(active) = self.active.as_mut().filter(|d| d.number == number) {
            active.progress.failed = reason.map(|reason| format!("hook {hook} failed: {reason}").into());
        }
        self.after_checks(number, at);
        Ok(())
    }

    /// Refuses to go past a point before the hooks for it have passed (rules R32, R33).
    pub(super) fn past_hooks(&self, event: &'static str, number: Number) -> Result<(), Illegal> {
        let held = self.active.as_ref().is_some_and(|d| d.number == number && !d.is_past_hooks(self.rules));
        if held { Err(Illegal { event, number, why: "its hooks have not passed" }) } else { Ok(()) }
    }
}
