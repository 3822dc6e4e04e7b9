//! What the state of a deployment is called, by everybody who shows it.

use serde::{Deserialize, Serialize};

use super::event::Outcome;

/// The name of a deployment's state, as the page, the API and the CLI show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the glossary's")]
pub enum DeploymentState {
    Queued,
    Stopping,
    Provisioning,
    Checking,
    AwaitingApproval,
    CuttingOver,
    Shifting,
    Baking,
    Succeeded,
    Aborting,
    Aborted,
    RollingBack,
    RolledBack,
    Failed,
    Superseded,
    NeedsOperator,
}

impl DeploymentState {
    /// Whether it changes no more by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Aborted | Self::RolledBack | Self::Failed | Self::Superseded)
    }
}

impl std::fmt::Display for DeploymentState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Queued => "queued",
            Self::Stopping => "stopping",
            Self::Provisioning => "provisioning",
            Self::Checking => "checking",
            Self::AwaitingApproval => "awaiting_approval",
            Self::CuttingOver => "cutting_over",
            Self::Shifting => "shifting",
            Self::Baking => "baking",
            Self::Succeeded => "succeeded",
            Self::Aborting => "aborting",
            Self::Aborted => "aborted",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::NeedsOperator => "needs_operator",
        })
    }
}

impl From<Outcome> for DeploymentState {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Aborted => Self::Aborted,
            Outcome::Failed => Self::Failed,
            Outcome::RolledBack => Self::RolledBack,
            Outcome::Superseded => Self::Superseded,
        }
    }
}
