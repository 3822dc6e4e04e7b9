//! What is deployed and under which terms. Both are frozen when a build is accepted, so that a rollback brings back
//! the release with its configuration, and an edited pipeline file changes only what comes after.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    hook::Hook,
    ids::{Millis, Share},
    rules::Rules,
};

/// What a build produced, frozen and numbered per pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Release {
    /// Counted per pipeline, from 1.
    pub number: u32,
    /// What people call it: `v2`, `1.4.0`, `main@3f2c1e`.
    pub version: Arc<str>,
    /// Where the artifact is: a folder, an image reference, an address. Meaning is the stack driver's.
    pub artifact: Arc<str>,
    /// The commit it was built from, where the sender said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Arc<str>>,
    /// SHA-256 of the stack definition, by which its text is kept. Empty as long as it is to be read at `source`.
    pub definition: Arc<str>,
    /// Where in the source repository, at `commit`, the definition stands, when it comes from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Arc<str>>,
    /// Values for the stack definition, those of the environment and those of the build together.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<Arc<str>, Arc<str>>,
    /// Parameters that the build itself gave: they go along when it is promoted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub given: BTreeMap<Arc<str>, Arc<str>>,
    /// Fingerprints of the secrets that its stacks are given, by name; never a value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<Arc<str>, Arc<str>>,
    /// The address of the build, http or https, for people to click.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Arc<str>>,
    /// Its stack was there before us and is taken over, not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopts: Option<Arc<Adopts>>,
}

/// A stack that somebody else made and that becomes ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Adopts {
    /// Its name at the provider.
    pub stack: Arc<str>,
    /// Output that says where it answers, where it is not the one that the definition would name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Arc<str>>,
}

impl Release {
    /// Whether its stack definition is still to be read from the source repository.
    pub fn awaits_definition(&self) -> bool {
        self.source.is_some() && self.definition.is_empty()
    }
}

/// The terms of one deployment: gates, deadlines, bake and retention, as they stood when it was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// Someone must agree before anything is stood up.
    pub before_provisioning: Option<Gate>,
    /// Someone must agree before the traffic moves.
    pub before_cutover: Option<Gate>,
    /// How long the stack may take to be there.
    pub provision_within: Millis,
    /// How long it may take, once there, to pass its checks.
    pub check_within: Millis,
    /// How long the front may take to show the order, and its public address to answer from the new stack.
    pub cut_over_within: Millis,
    /// The shares of users that the new stack gets, one after the other and ever larger, before it gets all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Whether the live stack runs beside the new one, or is stopped first.
    #[serde(skip_serializing_if = "Strategy::is_side_by_side")]
    pub strategy: Strategy,
    /// How long the new stack is watched before the deployment counts.
    pub bake: Millis,
    /// How long requests in flight on a stack without traffic may take to finish.
    pub drain_within: Millis,
    /// How long a tear-down may take, after the drain, before it is marked `needs_operator`.
    pub retire_within: Millis,
    /// How long the previous stack stays warm once the new one has succeeded.
    pub retain: Retain,
    /// What is run besides, by point and then as the pipeline file has it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// What is done when it is live, down, and stays so.
    #[serde(skip_serializing_if = "Recover::is_usual")]
    pub recover: Recover,
    /// Its front cannot be pointed at nobody.
    #[serde(skip_serializing_if = "is_false")]
    pub always_on: bool,
    /// Whoever asked said that it repairs an incident. Changes nothing of what is done: figures count it.
    #[serde(skip_serializing_if = "is_false")]
    pub repairs: bool,
}

/// Whether two stacks of an environment may run at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The new stack comes up beside the live one, and users move from one to the other.
    #[default]
    SideBySide,
    /// Users get the maintenance page and the live stack is stopped before the new one comes up: two must never run.
    StopFirst,
}

impl Strategy {
    fn is_side_by_side(&self) -> bool {
        *self == Self::SideBySide
    }
}

/// One step of a cutover that is not done at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Step {
    /// The share of users that the new stack gets.
    pub share: Share,
    /// How long it is watched with that share.
    pub bake: Millis,
    /// Someone must agree before it gets more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Gate>,
}

/// What is done when what is live is down and stays so: it is started again in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Recover {
    /// Where users are sent then.
    pub to: RecoverTo,
    /// How long it must have been seen down. After that a person is called where users cannot be sent elsewhere.
    pub after: Millis,
}

/// Where users are sent when what is live stays down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoverTo {
    /// Nowhere else: it is started again.
    Restart,
    /// Back to the standby, if that is seen good.
    Standby,
}

impl Recover {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Recover {
    fn default() -> Self {
        Self { to: RecoverTo::Restart, after: Millis(30_000) }
    }
}

impl Plan {
    /// Returns the step at which the new stack has that share.
    pub fn step(&self, share: Share) -> Option<&Step> {
        self.steps.iter().find(|step| step.share == share)
    }
}

impl Default for Plan {
    fn default() -> Self {
        let seconds = |s: u64| Millis(s * 1000);
        Self {
            before_provisioning: None,
            before_cutover: None,
            provision_within: seconds(600),
            check_within: seconds(300),
            cut_over_within: seconds(60),
            steps: Vec::new(),
            strategy: Strategy::SideBySide,
            bake: seconds(60),
            drain_within: seconds(30),
            retire_within: seconds(600),
            retain: Retain::For(seconds(1800)),
            hooks: Vec::new(),
            recover: Recover::default(),
            always_on: false,
            repairs: false,
        }
    }
}

/// A question to a person, with an answer for the case that nobody gives one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Gate {
    /// How long the question stands.
    pub timeout: Millis,
    /// Outcome without an answer in time.
    pub otherwise: Otherwise,
    /// Who may answer; everybody when nobody is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<Arc<str>>,
    /// Whoever asked for the deployment may not answer.
    #[serde(default, skip_serializing_if = "is_false")]
    pub not_the_asker: bool,
}

fn is_false(yes: &bool) -> bool {
    !yes
}

/// The gates of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateName {
    /// The gate before anything is stood up.
    BeforeProvisioning,
    /// The gate before the traffic moves.
    BeforeCutover,
}

/// The default answer of a [`Gate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// Go on.
    Approve,
    /// Stop; what was stood up is retired.
    Abort,
}

/// How long the previous stack is kept as rollback target. No number means "no" or "for ever": words do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retain {
    /// Retired as soon as the new one has succeeded.
    None,
    /// This long after the new one has succeeded.
    For(Millis),
    /// Kept until the next deployment goes live.
    UntilNext,
}

/// Whether a front can tell a late order from a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fencing {
    /// It compares generations: a late order changes nothing (rule R7).
    CompareAndSet,
    /// It cannot, so nothing is torn down before the lifetime of a request and the staleness of a read have passed
    /// since the last order (rules R10, R23).
    WaitOut(Millis),
}

impl Fencing {
    /// Whether no order that was ever sent can still change the front. `last_order`: when one was last sent, or when
    /// this controller began if it has sent none.
    pub fn quiet(self, last_order: Millis, now: Millis, rules: Rules) -> bool {
        match self {
            Self::CompareAndSet => true,
            Self::WaitOut(wait) => !rules.wait_out_unfenced() || now.since(last_order) >= wait,
        }
    }
}
