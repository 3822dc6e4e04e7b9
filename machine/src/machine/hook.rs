//! Hooks: what a pipeline runs besides moving the traffic, such as migrating a database or warming a cache. What one
//! runs is none of the machine's business: it knows names, points and time limits, says when one is to run, and takes
//! note of how it went.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::ids::{Millis, Number};

/// One hook, as it was frozen with the plan of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hook {
    /// Its name, by which the pipeline says what it runs. No two of an environment have the same.
    pub name: Arc<str>,
    /// When it runs.
    pub at: HookPoint,
    /// Time from the order after which it counts as failed without a result. Its run has a time limit of
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
    /// The point before anything is stood up.
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

    /// Returns the name that people write in the pipeline file.
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
