//! How hostile the world is, and which rules are switched off.

use std::sync::{Arc, OnceLock, PoisonError};

use super::{people::NAMED, source::Repository, ways::share, world::Wish};
use crate::machine::{
    Fencing, Gate, HookPoint, Millis, Otherwise, Plan, Recover, RecoverTo, Retain, Rules, Step, Strategy,
};

/// When a look may be acted upon: no deadline has passed; those of 10 have; that of the checks (500) too; all have.
pub(super) const CLOCKS: [Millis; 4] = [Millis(0), Millis(100), Millis(1_000), Millis(u64::MAX / 2)];

/// How often each bad thing may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// Deliveries of each build's webhook.
    pub(super) hooks: [u8; 3],
    pub(super) crash: u8,
    /// Requests lost.
    pub(super) lose: u8,
    /// Requests that arrive and are still on their way.
    pub(super) repeat: u8,
    /// Requests sent that would change nothing now, but may later.
    pub(super) resend: u8,
    /// Checks that change their mind.
    pub(super) flap: u8,
    pub(super) create_fails: u8,
    pub(super) retire_fails: u8,
    /// Stacks that vanish or break by themselves.
    pub(super) die: u8,
    /// Dead stacks that whoever looks after them brings up again.
    pub(super) revive: u8,
    /// Stops that come to nothing.
    pub(super) stop_fails: u8,
    /// Stacks of which a provider replaces an instance: their reach changes.
    pub(super) replace: u8,
    /// Lease taken from a controller that still lives.
    pub(super) takeover: u8,
    /// Looks that show an older world.
    pub(super) stale: u8,
    /// Looks at which the provider or the front does not answer.
    pub(super) blind: u8,
    /// Somebody repoints the front by hand, or the front loses its memory.
    pub(super) drift: u8,
    /// Definitions that are not there.
    pub(super) refuse: u8,
    /// Runs of hooks that fail.
    pub(super) run_fails: u8,
    /// How often the repository is replaced by another one.
    pub(super) rewrite: u8,
    /// Looks after a time in which nobody could look, or after the clock has jumped.
    pub(super) away: u8,
    /// Commands other than approvals by those who may.
    pub(super) wishes: u8,
}

/// What the front makes of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obedience {
    /// It does what it is told.
    Obeys,
    /// It never does, and does not say so.
    Deaf,
    /// It never does, and says that it never will.
    Refuses,
}

/// The commands that people give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "some are for worlds of the tests only"))]
pub(super) enum People {
    AbortAndRollback,
    HoldPinVeto,
    All,
    /// They start what is live again, and roll back.
    Restart,
    /// They let a share grow, or keep it, and abort or roll back what has one.
    Steps,
    /// They begin and end maintenance, abort and roll back.
    Maintain,
}

impl People {
    pub(super) fn give(self, wish: Wish) -> bool {
        let stops = matches!(wish, Wish::Approve(..) | Wish::Meddle(..) | Wish::Abort(_) | Wish::Rollback(_));
        let stops = stops || matches!(wish, Wish::Dismiss(_) | Wish::Adopt(_));
        match self {
            Self::Restart => matches!(wish, Wish::Restart(..) | Wish::Rollback(_)),
            _ if matches!(wish, Wish::Restart(..)) => false,
            Self::Steps => stops || matches!(wish, Wish::Proceed(_) | Wish::Pause(_)),
            _ if matches!(wish, Wish::Proceed(_) | Wish::Pause(_)) => false,
            Self::Maintain => stops || matches!(wish, Wish::Maintain(_)),
            _ if matches!(wish, Wish::Maintain(_)) => false,
            Self::AbortAndRollback => stops,
            Self::HoldPinVeto => !stops || matches!(wish, Wish::Approve(..)),
            Self::All => true,
        }
    }
}

/// One world to explore.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config<'t> {
    pub(super) name: &'static str,
    pub(super) controllers: usize,
    pub(super) builds: u8,
    /// Webhooks carry the sender's own count.
    pub(super) numbered: bool,
    /// Delivery of a build that is a person's instead, under a name of its own, counted from the last one; 0: none.
    pub(super) by_hand: u8,
    /// Deployment 1 is live at the start.
    pub(super) live_at_start: bool,
    /// The front serves a stack that nobody here knows at the start, the stranger if there is one: the journal was lost.
    pub(super) unknown_at_start: bool,
    /// The front compares generations.
    pub(super) fenced: bool,
    /// Users' requests outlast a cutover.
    pub(super) long_requests: bool,
    /// A stack that is up is not at once known to be well.
    pub(super) slow_checks: bool,
    pub(super) gate_start: Option<Otherwise>,
    pub(super) gate_cutover: Option<Otherwise>,
    /// The gate at the start is for one person, the other one for everybody but the one who asked.
    pub(super) guarded: bool,
    /// Where releases have their definitions from.
    pub(super) source: Repository,
    pub(super) retain: Retain,
    /// The shares of users that a deployment gets one after the other, and the pause at each.
    pub(super) steps: &'t [u8],
    pub(super) pause: Option<Otherwise>,
    /// Two stacks must not run at the same time.
    pub(super) stop_first: bool,
    /// Stacks compare the numbers of orders to stop and to start.
    pub(super) counts: bool,
    /// The hooks of every deployment but the first one where that is live at the start.
    pub(super) hooks: &'t [HookPoint],
    /// The runs of hooks from this point on never end.
    pub(super) silent: Option<HookPoint>,
    /// The first so many builds are adoptions of the stack that is there.
    pub(super) adopts: u8,
    /// A stack with the number 2 bears our mark, and the journal, which is older or new, does not know it.
    pub(super) stranger: bool,
    /// Where users are sent when what is live stays down.
    pub(super) recover: RecoverTo,
    pub(super) front: Obedience,
    /// The front cannot be pointed at nobody.
    pub(super) always_on: bool,
    /// How often in a row somebody repointed the front before the start.
    pub(super) strayed: u32,
    /// How often in a row what is live went down and came up before the start.
    pub(super) flapped: u32,
    /// No life of the controller is long enough for anything: all time was watched by earlier ones.
    pub(super) looped: bool,
    pub(super) people: People,
    pub(super) budget: Budget,
    /// Rules switched off: what ships switches none off.
    #[cfg(test)]
    pub(super) off: &'static [u32],
}

impl Config<'_> {
    /// Whether a rule is in force.
    #[cfg(test)]
    pub(super) fn on(&self, rule: u32) -> bool {
        !self.off.contains(&rule)
    }

    /// Whether a rule is in force: outside of the tests all are.
    #[cfg(not(test))]
    #[inline(always)]
    pub(super) fn on(&self, _rule: u32) -> bool {
        true
    }

    #[cfg(test)]
    pub(super) fn core_rules(&self) -> Rules {
        Rules::without(self.off)
    }

    #[cfg(not(test))]
    pub(super) fn core_rules(&self) -> Rules {
        Rules::default()
    }

    pub(super) fn fencing(&self) -> Fencing {
        if self.fenced { Fencing::CompareAndSet } else { Fencing::WaitOut(Millis(1)) }
    }

    fn plan_step(&self, of_100: u8) -> Step {
        let gate = |otherwise| Gate { timeout: Millis(10), otherwise, by: Vec::new(), not_the_asker: false };
        Step { share: share(of_100), bake: Millis(10), pause: self.pause.map(gate) }
    }

    /// The terms of every deployment. One object for each set of terms, so that comparing them is cheap.
    pub(super) fn plan(&self) -> Arc<Plan> {
        static PLANS: OnceLock<std::sync::Mutex<Vec<Arc<Plan>>>> = OnceLock::new();
        let gate = |otherwise| Gate { timeout: Millis(10), otherwise, by: Vec::new(), not_the_asker: false };
        let named = |g: Gate| Gate { by: if self.guarded { vec![NAMED.into()] } else { Vec::new() }, ..g };
        let other = |g: Gate| Gate { not_the_asker: self.guarded, ..g };
        let plan = Plan {
            before_provisioning: self.gate_start.map(gate).map(named),
            before_cutover: self.gate_cutover.map(gate).map(other),
            provision_within: Millis(10),
            check_within: Millis(500),
            cut_over_within: Millis(10),
            steps: self.steps.iter().map(|of_100| self.plan_step(*of_100)).collect(),
            strategy: if self.stop_first { Strategy::StopFirst } else { Strategy::SideBySide },
            bake: Millis(10),
            drain_within: Millis(10),
            retire_within: Millis(3_000),
            retain: self.retain,
            hooks: self.plan_hooks(),
            recover: Recover { to: self.recover, after: Millis(10) },
            always_on: self.always_on,
            repairs: false,
        };
        let mut plans = PLANS.get_or_init(Default::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = plans.iter().find(|p| ***p == plan) {
            return known.clone();
        }
        plans.push(Arc::new(plan));
        plans[plans.len() - 1].clone()
    }
}
