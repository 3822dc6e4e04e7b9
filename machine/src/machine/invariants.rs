//! What must hold of the state alone, after every event. The model asserts it in every state it reaches; the journal
//! asserts it at start, so that a damaged history is noticed before anything acts on it.

use super::{
    ids::Number,
    phase::Phase,
    state::{Deployment, Environment, Retiring},
};

/// A broken invariant, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state of the environment is inconsistent: {0}")]
pub struct Violation(pub &'static str);

impl Environment {
    /// Checks them all.
    pub fn check(&self) -> Result<(), Violation> {
        let hold = |good: bool, what| if good { Ok(()) } else { Err(Violation(what)) };
        let live = self.live.as_ref().map(|s| s.number);
        let standby = self.standby.as_ref().map(|s| s.stack.number);
        let retiring = |n: Number| self.retiring.iter().any(|r| r.number == n);
        hold(live.is_none() || live != standby, "the live stack is its own rollback target")?;
        hold(!live.is_some_and(retiring), "the live stack is being torn down")?;
        hold(!standby.is_some_and(retiring), "the promised rollback target is being torn down")?;
        hold(self.standby.as_ref().is_none_or(|s| s.stack.proven), "a rollback target was never found good")?;
        hold(standby.is_none() || live.is_some(), "there is a rollback target but nothing live")?;
        let kept = self.live.iter().chain(self.standby.iter().map(|s| &s.stack)).map(|s| &s.release);
        let undefined = kept.chain(self.proven()).any(|r| r.awaits_definition());
        hold(!undefined, "what was live, or can be again, has no stack definition")?;
        hold(
            !self.proven().any(|r| r.adopts.is_some()) || !self.rules.never_remake_adopted(),
            "what was adopted is to be stood up again",
        )?;
        let proven = self.live.as_ref().is_some_and(|s| s.proven);
        let let_go = |n: Number| self.not_ours.contains(&n) || proven && self.strangers.contains(&n);
        let given_up = |n: Number| self.strangers.contains(&n);
        hold(!live.is_some_and(let_go) && !standby.is_some_and(given_up), "what is live or promised was let go")?;
        let missed = |r: &Retiring| r.progress.done > r.hooks.len() || r.progress.ordered && r.hook().is_none();
        hold(!self.retiring.iter().any(missed), "a tear-down waits for a hook that is not there")?;
        if let Some(active) = &self.active {
            self.check_hooks(active)?;
            let number = active.number;
            let is_live = live == Some(number);
            let shared = matches!(active.phase, Phase::Watching { .. } | Phase::RevertRequested { .. });
            hold(!shared || live.is_some(), "users are shared with nobody")?;
            let ordered = matches!(active.phase, Phase::CuttingOver { .. });
            let candidate = active.phase.before_cutover() || ordered || shared;
            hold(!retiring(number), "the active deployment's stack is being torn down")?;
            hold(!(candidate && is_live), "a candidate is live")?;
            hold(standby != Some(number), "the active deployment's stack is the rollback target")?;
            self.check_phase(active)?;
        }
        let halted = live.is_some_and(|n| self.is_halted(n));
        hold(!halted || self.active.is_some(), "what is live is stopped, and nothing is under way")?;
        hold(!halted || self.down.is_none(), "what is stopped is down")?;
        hold(self.runs.iter().all(|run| run.order <= self.last_run), "an order to a stack is later than the last")?;
        hold(self.down.is_none() || live.is_some(), "nothing live is down")?;
        hold(self.flaps.is_none() || live.is_some(), "nothing live was down")?;
        hold(self.restart.as_ref().is_none_or(|r| r.order == self.last_restart), "a restart is not the last one")?;
        hold(self.drift.is_none_or(|d| d == self.generation), "a drift order is not the last order")?;
        hold(self.queue.len() <= 2, "more than two deployments are queued")?;
        hold(self.queue.iter().all(|d| d.phase == Phase::Queued), "a queued deployment is not queued")?;
        let numbers = self.queue.iter().chain(&self.active).map(|d| d.number).chain(live).chain(standby);
        hold(numbers.max().is_none_or(|n| n <= self.last_number), "a number is in use that was not given out")
    }

    /// What holds of a deployment in its phase.
    fn check_phase(&self, active: &Deployment) -> Result<(), Violation> {
        let hold = |good: bool, what| if good { Ok(()) } else { Err(Violation(what)) };
        let (number, live) = (active.number, self.live.as_ref().map(|s| s.number));
        let (standby, is_live) = (self.standby.as_ref().map(|s| s.stack.number), live == Some(number));
        match &active.phase {
            Phase::Baking => hold(is_live, "what is being watched is not live")?,
            Phase::RollbackRequested { .. } => {
                hold(is_live && standby.is_some(), "a rollback has nothing to go from or to")?;
            }
            Phase::Reverting { to, generation, .. } => {
                hold(*to == if is_live { standby } else { live }, "an undo goes to what is not kept")?;
                hold(*generation == self.generation, "an undo is not the last order")?;
            }
            Phase::CuttingOver { generation, share, held } => {
                hold(*generation == self.generation, "a cutover is not the last order")?;
                hold(share.is_none() || share > held, "a share does not grow")?;
            }
            Phase::Paging { generation, .. } => {
                hold(*generation == self.generation, "an order for the page is not the last order")?;
                hold(live.is_some(), "nothing is live and the maintenance page is ordered")?;
            }
            Phase::Stopping { order, back } => {
                let stops = if back.is_some() { Some(number) } else { live };
                let ordered = |n| self.run_order(n).is_some_and(|run| run.stop && run.order == *order);
                hold(stops.is_some_and(ordered), "what is being stopped is not ordered to stop")?;
            }
            Phase::Starting { order, .. } => {
                let ordered = |n| self.run_order(n).is_some_and(|run| !run.stop && run.order == *order);
                hold(!is_live && live.is_some_and(ordered), "what is being started is not live")?;
            }
            Phase::Queued => hold(false, "an active deployment is queued")?,
            Phase::AwaitingStart
            | Phase::Provisioning
            | Phase::Checking
            | Phase::AfterChecks
            | Phase::AwaitingCutover
            | Phase::Verifying
            | Phase::Watching { .. }
            | Phase::RevertRequested { .. } => {}
        }
        Ok(())
    }

    /// Where a deployment is, the hooks of what lies behind it have passed.
    fn check_hooks(&self, active: &Deployment) -> Result<(), Violation> {
        let Deployment { plan, progress, phase, .. } = active;
        // A rollback may be of what was found good long ago.
        let Some(point) = phase.row().past else { return Ok(()) };
        let missed = plan.hooks.iter().skip(progress.done).any(|hook| hook.at < point);
        if missed && self.rules.hooks_first() {
            return Err(Violation("a deployment is past hooks that have not run"));
        }
        if progress.done > plan.hooks.len() || plan.hooks.get(progress.done).is_none() && progress.ordered {
            return Err(Violation("a deployment runs a hook that is not there"));
        }
        Ok(())
    }
}
