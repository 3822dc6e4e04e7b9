//! The shapes of what the API shows, apart from those of the state file: these may grow, and their names are for ever.
//! Nothing but shapes: what is in them is said by [`super::view`] and [`crate::telling`].

mod environment;
mod people;

pub(super) use environment::*;
pub(super) use people::*;
use serde::Serialize;
use utoipa::ToSchema;

use crate::machine::DeploymentState;

/// All environments that the caller may see.
#[derive(Serialize, ToSchema)]
pub(super) struct Environments {
    pub environments: Vec<Environment>,
    /// What people should know of the controller itself, in sentences.
    pub warnings: Vec<String>,
}

/// Hook of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct PlannedHook {
    #[schema(example = "migrate")]
    pub name: String,
    /// When: `before-provisioning`, `after-checks`, `before-cutover`, `after-cutover`, `on-rollback` or `on-retire`.
    #[schema(example = "after-checks")]
    pub at: &'static str,
    /// Going back does not undo it.
    pub one_way: bool,
}

/// A question to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Gate {
    pub name: GateName,
    /// Who may answer, by name; everybody whose role is large enough when nobody is named.
    pub by: Vec<String>,
    /// Whoever asked for the deployment may not answer.
    pub not: Option<String>,
    /// How long the question stands, as people say it.
    #[schema(example = "6 h")]
    pub within: String,
    pub otherwise: Otherwise,
}

/// Where a deployment stops until someone agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum GateName {
    /// The gate before anything is stood up.
    BeforeProvisioning,
    /// The gate before the traffic moves.
    BeforeCutover,
}

impl GateName {
    /// Returns its name in requests.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::BeforeProvisioning => "before_provisioning",
            Self::BeforeCutover => "before_cutover",
        }
    }
}

/// Outcome when nobody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Otherwise {
    Approve,
    Abort,
}

/// The state of a deployment.
#[derive(serde::Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
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

/// Why a deployment was asked for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "the shape of the machine's own word")]
pub(super) enum Why {
    Build,
    Rule,
    Person,
    Rollback,
}

/// How a deployment ended.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "the shape of the machine's own word")]
pub(super) enum End {
    Succeeded,
    Aborted,
    Failed,
    RolledBack,
    Superseded,
}

/// Release: the product of a build.
#[derive(Serialize, ToSchema)]
pub(super) struct Release {
    /// Counted per pipeline.
    pub number: u32,
    #[schema(example = "1.4.0")]
    pub version: String,
    pub artifact: String,
    #[schema(required)]
    pub commit: Option<String>,
    /// The build's own page.
    #[schema(required)]
    pub link: Option<String>,
    /// The stack of somebody else's making that is taken over for it; null where a stack is stood up.
    #[schema(required, example = "reporting_qa_41")]
    pub adopts: Option<String>,
}

/// One deployment, and how far it is.
#[derive(Serialize, ToSchema)]
pub(super) struct Deployment {
    #[schema(example = "shop/prod/7")]
    pub deployment: String,
    pub number: u32,
    #[schema(value_type = State)]
    pub state: DeploymentState,
    /// It changes no more by itself.
    pub r#final: bool,
    /// Why it ended.
    #[schema(required)]
    pub reason: Option<String>,
    #[schema(required)]
    pub release: Option<u32>,
    #[schema(required)]
    pub version: Option<String>,
    /// Until when it keeps the share of the users that it has, unless somebody lets it go on; null where it does not.
    #[schema(required, example = "2026-11-21T12:00:00.000Z")]
    pub paused_until: Option<String>,
}

/// What was recorded: a deployment that is on its way.
#[derive(Serialize, ToSchema)]
pub(super) struct Accepted {
    #[schema(example = "shop/prod/7")]
    pub deployment: String,
    pub number: u32,
    /// Its state; `ended` when it ended so long ago that only the history knows how.
    pub state: String,
    /// What was done, in a sentence; empty when it was recorded before.
    pub said: String,
    /// What a rollback does not undo, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub one_way: Vec<String>,
}

/// Answer to an act that was recorded.
#[derive(Serialize, ToSchema)]
pub(super) struct Done {
    #[schema(example = "shop/prod")]
    pub environment: String,
    #[schema(value_type = Event)]
    pub event: crate::machine::Event,
    /// One sentence on what was done.
    #[schema(example = "1.4.2 (release 7) is vetoed in shop/prod: it is not deployed any more")]
    pub said: String,
    /// What a rollback does not undo, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub one_way: Vec<String>,
}

/// An announcement that is understood and leads to no deployment.
#[derive(Serialize, ToSchema)]
pub(super) struct Ignored {
    /// Reason why it is no build to deploy.
    #[schema(example = "its branch is `fix-typo`; only builds of main count")]
    pub ignored: String,
    /// The deployment of the newer build that supersedes it, where that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, example = "shop/qa/5")]
    pub superseded_by: Option<String>,
}

/// Records of the state file, oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct History {
    #[schema(value_type = Vec<Record>)]
    pub records: Vec<crate::journal::Record>,
    /// There may be older ones of that kind: as many as were asked for were found, or enough of the state file was read.
    pub more: bool,
}

/// One event of one environment, as the state file holds it.
#[derive(Serialize, ToSchema)]
pub(super) struct Record {
    /// The version of the line.
    v: u32,
    /// Its place in the whole state file.
    seq: u64,
    /// Milliseconds since 1970.
    at: u64,
    environment: String,
    /// Who: a token's name, `local:NAME`, `webhook:SENDER`, `rule`, `pointsman`.
    by: String,
    event: Event,
    /// Ties it to all records before it.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    sum: String,
}

/// Something that happened. What else it holds depends on its kind.
#[derive(Serialize, ToSchema)]
pub(super) struct Event {
    #[schema(example = "accepted")]
    kind: String,
    /// The deployment that it is about.
    #[schema(required = false)]
    number: Option<u32>,
    /// Why, in one sentence.
    #[schema(required = false)]
    reason: Option<String>,
    /// Name of the hook, for `hook_ordered` and `hook_finished`.
    #[schema(required = false)]
    hook: Option<String>,
    /// The end of the hook's output, without secrets, for `hook_finished`.
    #[schema(required = false)]
    said: Option<String>,
    /// What the checks answered, for `checked`: the question (`asked`), the answer (`said`), the number of `endpoints`, and
    /// the milliseconds of the slowest (`slowest`).
    #[schema(required = false)]
    answers: Option<Vec<serde_json::Value>>,
}
