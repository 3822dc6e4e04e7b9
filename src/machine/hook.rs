//! Hooks: what a pipeline runs besides moving the traffic, such as migrating a database or warming a cache. What one
//! runs is none of the machine's business: it knows names, points and time limits, says when one is to run, and takes
//! note of how it went.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    apply::Illegal,
    ids::{Millis, Number},
    state::{Deployment, Environment, Phase, Retiring},
};

/// One hook, as it was frozen with the plan of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hook {
    /// Its name, by which the pipeline says what it runs. No two of an environment have the same.
    pub name: Arc<str>,
    /// When it runs.
    pub at: HookPoint,
    /// After how long without a result it counts as failed, from the moment it was ordered. Its run has a time limit of
    /// its own, which must be shorter by what it takes to begin it and to end it.
    pub within: Millis,
    /// Going back does not undo what it does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_way: bool,
}

/// When a hook runs. Those of one point run one after the other, in the order of the pipeline file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookPoint {
    /// Before anything is stood up.
    BeforeProvisioning,
    /// The stack is up and has passed its checks; nobody was asked yet whether the traffic may move.
    AfterChecks,
    /// Right before the traffic moves; its health is read once more afterwards.
    BeforeCutover,
    /// It is live and being watched.
    AfterCutover,
    /// The traffic was sent back from it.
    OnRollback,
    /// It is drained and about to be torn down.
    OnRetire,
}

impl HookPoint {
    /// All of them, in their order.
    pub const ALL: [Self; 6] = [
        Self::BeforeProvisioning,
        Self::AfterChecks,
        Self::BeforeCutover,
        Self::AfterCutover,
        Self::OnRollback,
        Self::OnRetire,
    ];

    /// As people write it in the pipeline file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeProvisioning => "before-provisioning",
            Self::AfterChecks => "after-checks",
            Self::BeforeCutover => "before-cutover",
            Self::AfterCutover => "after-cutover",
            Self::OnRollback => "on-rollback",
            Self::OnRetire => "on-retire",
        }
    }

    /// Whether it belongs to a stack that is done with, not to a deployment on its way.
    pub fn is_after_the_end(self) -> bool {
        self >= Self::OnRollback
    }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a row of hooks is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct HookProgress {
    /// How many are over.
    pub done: usize,
    /// The next one was ordered and is not over.
    pub ordered: bool,
    /// When one was last ordered or over.
    pub since: Millis,
    /// Why the last one did not pass, where that matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<Arc<str>>,
}

impl HookProgress {
    pub(super) fn is_untouched(&self) -> bool {
        *self == Self::default()
    }
}

/// A run of a hook as seen; one that was never begun is not seen at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HookView {
    /// The deployment that it runs for.
    pub number: Number,
    /// Its name.
    pub hook: Arc<str>,
    /// How far it is.
    pub state: HookState,
}

/// How far the run of a hook is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HookState {
    /// It runs.
    Running,
    /// It ended well.
    Passed {
        /// The end of what it said, without secrets.
        said: Arc<str>,
    },
    /// It ended badly, or nobody knows how far it came.
    Failed {
        /// Why, in one sentence.
        reason: Arc<str>,
        /// The end of what it said, without secrets.
        said: Arc<str>,
    },
}

impl Phase {
    /// Whose hooks run now.
    fn hook_point(&self) -> Option<HookPoint> {
        match self {
            Self::Provisioning => Some(HookPoint::BeforeProvisioning),
            Self::AfterChecks => Some(HookPoint::AfterChecks),
            Self::Verifying => Some(HookPoint::BeforeCutover),
            Self::Baking => Some(HookPoint::AfterCutover),
            _ => None,
        }
    }
}

impl Deployment {
    /// The hook that it runs now, or is to run next before it goes on.
    pub fn hook(&self) -> Option<&Hook> {
        let point = self.phase.hook_point().filter(|_| self.progress.failed.is_none())?;
        self.plan.hooks.get(self.progress.done).filter(|hook| hook.at <= point)
    }

    /// Whether nothing of its hooks stands in its way.
    pub(super) fn is_past_hooks(&self) -> bool {
        self.progress.failed.is_none() && self.hook().is_none()
    }

    /// Since when it waits for what it waits for: its phase has begun, and no hook is in the way.
    pub fn waits_since(&self) -> Millis {
        self.since.max(self.progress.since)
    }
}

impl Retiring {
    /// The hook that runs now, or is to run next before the stack is torn down.
    pub fn hook(&self) -> Option<&Hook> {
        self.hooks.get(self.progress.done)
    }
}

impl Environment {
    /// The hooks whose runs the machine waits for, with the deployments that they run for. A run of any other hook is
    /// no longer wanted and is to be ended.
    pub fn hooks_ordered(&self) -> impl Iterator<Item = (Number, &Hook)> {
        let active = self.active.iter().filter(|d| d.progress.ordered).map(|d| (d.number, d.hook()));
        let retiring = self.retiring.iter().filter(|r| r.progress.ordered).map(|r| (r.number, r.hook()));
        active.chain(retiring).filter_map(|(number, hook)| Some((number, hook?)))
    }

    /// What the next hook of that number is, if it has that name, and whether it was ordered is as it should be.
    fn awaited(&mut self, event: &'static str, number: Number, hook: &str) -> Result<&mut HookProgress, Illegal> {
        let illegal = |why| Illegal { event, number, why };
        let active = self.active.as_mut().filter(|d| d.number == number);
        let retiring = self.retiring.iter_mut().find(|r| r.number == number);
        let (next, progress) = match (active, retiring) {
            (Some(d), _) => (d.hook().map(|h| h.name.clone()), &mut d.progress),
            (None, Some(r)) => (r.hook().map(|h| h.name.clone()), &mut r.progress),
            (None, None) => return Err(illegal("it is neither the active one nor being retired")),
        };
        if next.is_none_or(|next| *next != *hook) {
            return Err(illegal("that hook is not the next one"));
        }
        if progress.ordered != (event == FINISHED) {
            return Err(illegal(if progress.ordered { "it was ordered before" } else { "it was not ordered" }));
        }
        Ok(progress)
    }

    pub(super) fn order_hook(&mut self, number: Number, hook: &str, at: Millis) -> Result<(), Illegal> {
        let progress = self.awaited(ORDERED, number, hook)?;
        (progress.ordered, progress.since) = (true, at);
        Ok(())
    }

    pub(super) fn finish_hook(
        &mut self,
        number: Number,
        hook: &str,
        failed: Option<&Arc<str>>,
        at: Millis,
    ) -> Result<(), Illegal> {
        let progress = self.awaited(FINISHED, number, hook)?;
        *progress = HookProgress { done: progress.done + 1, ordered: false, since: at, failed: failed.cloned() };
        if let Some(retiring) = self.retiring.iter_mut().find(|r| r.number == number) {
            // A stack that is done with goes, however its hooks went.
            retiring.progress.failed = None;
        }
        self.after_checks(number, at);
        Ok(())
    }
}

const ORDERED: &str = "hook_ordered";
const FINISHED: &str = "hook_finished";
