//! What can happen to an environment. Events are what the state file holds: their names and fields are for ever.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    halting::Back,
    hook::HookPoint,
    ids::{Generation, Key, Millis, Number, Share},
    release::{Gate, Plan, Release},
};

/// The author of what the controller decides by itself.
pub const CONTROLLER: &str = "pointsman";

/// One event with its time and its author: what [`super::Environment::apply`] folds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Time, in milliseconds since the Unix epoch.
    pub at: Millis,
    /// Who: `pointsman`, `webhook:jenkins`, `rule`, the name of a token, or `local:` and a name.
    pub by: Arc<str>,
    /// Event that was recorded.
    pub event: Event,
}

/// A check that passed, with its answer. It is kept for people; nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckAnswer {
    /// The question, such as `GET /healthz`.
    pub asked: Arc<str>,
    /// The answer, such as `200`.
    pub said: Arc<str>,
    /// Number of endpoints that gave it.
    pub endpoints: usize,
    /// Time that the slowest of them took.
    pub slowest: Millis,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A deployment was asked for and is queued; those waiting before it are superseded.
    Accepted {
        /// Its number.
        number: Number,
        /// What makes it the same if it is asked for again.
        key: Key,
        /// The sender's own count, by which an older build is known.
        #[serde(rename = "order", default, skip_serializing_if = "Option::is_none")]
        build_number: Option<u64>,
        /// Release that goes live.
        release: Arc<Release>,
        /// Under which terms.
        plan: Arc<Plan>,
        /// Why it is here.
        trigger: Trigger,
        /// Why, where whoever asked said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Arc<str>>,
        /// Its stack is there already: a stranger, under the number that it carries (rule R64).
        #[serde(default, skip_serializing_if = "is_false")]
        stranger: bool,
    },
    /// It is its turn.
    Started {
        /// Number of the deployment.
        number: Number,
    },
    /// The gate it waited at is open.
    Approved {
        /// Number of the deployment.
        number: Number,
        /// Why, where whoever asked said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Arc<str>>,
    },
    /// Its stack definition was read from the source repository and is kept.
    DefinitionFrozen {
        /// Number of the deployment.
        number: Number,
        /// The SHA-256 of the text.
        definition: Arc<str>,
    },
    /// Its stack was seen complete.
    Provisioned {
        /// Number of the deployment.
        number: Number,
    },
    /// Its stack passed the checks, and the front knows it.
    Checked {
        /// Number of the deployment.
        number: Number,
        /// What the checks answered in the look that this was judged by; empty where an earlier version recorded it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        answers: Vec<CheckAnswer>,
    },
    /// A hook is to run.
    HookOrdered {
        /// The deployment that it runs for.
        number: Number,
        /// Its name.
        hook: Arc<str>,
        /// When it runs.
        point: HookPoint,
    },
    /// The run of a hook was seen to be over, or its time is.
    HookFinished {
        /// The deployment that it ran for.
        number: Number,
        /// Its name.
        hook: Arc<str>,
        /// When it runs.
        point: HookPoint,
        /// Why it did not pass, in one sentence; nothing when it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Arc<str>>,
        /// The end of what it said, without secrets.
        #[serde(default = "nothing", skip_serializing_if = "str::is_empty")]
        said: Arc<str>,
    },
    /// The front is to send the traffic to it, or a share.
    CutOverOrdered {
        /// Number of the deployment.
        number: Number,
        /// The order's number.
        generation: Generation,
        /// The share of users that it gets; nothing means all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        share: Option<Share>,
    },
    /// The front was seen to send it a share of users. It is watched with that.
    Shifted {
        /// Number of the deployment.
        number: Number,
        /// The share that it has.
        share: Share,
        /// The host on which the front was seen, by name and identity, where it tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<Arc<str>>,
    },
    /// A person wants it to go on at once: the rest of the time for which it is watched is skipped, and a pause is over.
    Proceeded {
        /// Number of the deployment.
        number: Number,
        /// Why, where whoever asked said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Arc<str>>,
    },
    /// A person wants it to keep the share that it has until somebody lets it go on.
    Paused {
        /// Number of the deployment.
        number: Number,
        /// How long, and what then.
        gate: Gate,
        /// Why, where whoever asked said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Arc<str>>,
    },
    /// The front was seen to serve it, and its public address to answer from it.
    WentLive {
        /// Number of the deployment.
        number: Number,
        /// The host on which the front was seen, by name and identity, where it tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<Arc<str>>,
    },
    /// It was watched and found good.
    Succeeded {
        /// Number of the deployment.
        number: Number,
    },
    /// It ended without the traffic having moved, or with nothing better to move it to. Its stack, unless live, is to be
    /// torn down, whatever of it there may be.
    Ended {
        /// Number of the deployment.
        number: Number,
        /// How the deployment ended.
        outcome: Outcome,
        /// Why, in one sentence.
        reason: Arc<str>,
    },
    /// A person wants the previous stack back. Anything that has not reached the cutover is aborted.
    RollbackRequested {
        /// The deployment that is live and shall not be.
        number: Number,
        /// Reason, in the words of whoever or whatever gave it.
        reason: Arc<str>,
    },
    /// It has a share of users and shall not: all go back to the live stack as soon as that was seen good.
    RevertRequested {
        /// The deployment that loses its share.
        number: Number,
        /// How the deployment will have ended.
        outcome: Outcome,
        /// Reason, in the words of whoever or whatever gave it.
        reason: Arc<str>,
    },
    /// The front is to send the traffic back to where it was before: for a rollback, an abort, or a cutover that failed.
    #[serde(rename = "undo_ordered")]
    RevertOrdered {
        /// The deployment that loses the traffic.
        number: Number,
        /// Where the traffic goes; nobody had it before the first deployment.
        to: Option<Number>,
        /// The order's number, higher than that of the order it reverts.
        generation: Generation,
        /// How the deployment will have ended.
        outcome: Outcome,
        /// Reason, in the words of whoever or whatever gave it.
        reason: Arc<str>,
    },
    /// The front was seen where it was sent by [`Event::RevertOrdered`].
    #[serde(rename = "undone")]
    Reverted {
        /// The deployment that lost the traffic.
        number: Number,
        /// The host on which the front was seen, by name and identity, where it tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<Arc<str>>,
    },
    /// There is no warm stack to go back to: an earlier release is deployed again, before anything else.
    #[serde(rename = "rollback_went_cold")]
    ColdRollbackQueued {
        /// The deployment that is live and shall not be.
        number: Number,
        /// The number of the deployment that replaces it.
        by: Number,
        /// Release that comes back.
        release: Arc<Release>,
        /// Under which terms.
        plan: Arc<Plan>,
        /// Reason, in the words of whoever or whatever gave it.
        reason: Arc<str>,
    },
    /// The standby is no longer promised and is torn down.
    StandbyReleased {
        /// Number of the deployment.
        number: Number,
        /// Reason, in the words of whoever or whatever gave it.
        reason: Arc<str>,
    },
    /// A stack was seen to be gone.
    Retired {
        /// Number of the deployment.
        number: Number,
    },
    /// The sweep found a stack of ours that nobody remembers (rule R14).
    OrphanFound {
        /// Number of the deployment.
        number: Number,
    },
    /// A stack carries a number that was not given out yet, or to a deployment that has not begun, which ends. It is left
    /// alone, and its number is skipped.
    StrangerFound {
        /// Number of the deployment.
        number: Number,
    },
    /// The front is to show all users the maintenance page: before the live stack is stopped, or on the way back to one that
    /// is.
    PageOrdered {
        /// Number of the deployment.
        number: Number,
        /// The order's number.
        generation: Generation,
        /// How the deployment will have ended, where this is the way back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        back: Option<Back>,
    },
    /// A stack is to be stopped, and kept as it is: the front was seen to show the maintenance page.
    StopOrdered {
        /// Number of the deployment.
        number: Number,
        /// The stack that is stopped: the live one, or on the way back that of the deployment.
        stack: Number,
        /// The order's number, higher than all before: a stack obeys no lower one.
        order: u64,
        /// How the deployment will have ended, where this is the way back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        back: Option<Back>,
    },
    /// The live stack was seen stopped: its successor may come up.
    Stopped {
        /// Number of the deployment.
        number: Number,
    },
    /// What was stopped is to be started again. It is live from here on, and users get it back once it was seen good.
    StartOrdered {
        /// The deployment that does not keep the traffic, or did not get it.
        number: Number,
        /// The stack that is started.
        stack: Number,
        /// The order's number, higher than all before.
        order: u64,
        /// How the deployment will have ended.
        outcome: Outcome,
        /// Reason, in the words of whoever or whatever gave it.
        reason: Arc<str>,
    },
    /// A person wants users to get the maintenance page until somebody ends that.
    MaintenanceBegun {
        /// The number of the order to the front.
        generation: Generation,
        /// Requests are held for a while before they get the page, where the front can.
        #[serde(default, skip_serializing_if = "is_false")]
        hold: bool,
        /// Reason, in the words of whoever gave it.
        reason: Arc<str>,
    },
    /// A person wants users to get what is live again, as soon as it was seen good.
    MaintenanceEnded {
        /// The number of the order to the front.
        generation: Generation,
        /// Why, where whoever asked said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Arc<str>>,
    },
    /// A person wants a stranger gone: it is torn down as soon as nothing needs it (rule R58).
    StrangerDismissed {
        /// The number that it carries.
        number: Number,
        /// The reason, for people.
        reason: Arc<str>,
    },
    /// The front shows what nobody ordered, or may yet come to (rule R15): it is sent to the live stack again.
    DriftSeen {
        /// Stack that the front showed.
        shown: Option<Number>,
        /// The number of the new order.
        generation: Generation,
        /// How often in a row somebody else repointed it, with this time; 0 in records from before that was counted.
        #[serde(default)]
        in_a_row: u32,
        /// What it showed, in words, where more is known than a number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        words: Option<Arc<str>>,
    },
    /// The front shows the live stack again.
    DriftMended,
    /// What is live was seen not to do its work. It is started again for ever.
    LiveDown {
        /// The number of the live stack.
        number: Number,
        /// One sentence on what was seen.
        reason: Arc<str>,
    },
    /// What is live was seen to be up and to pass its checks again.
    LiveUp {
        /// The number of the live stack.
        number: Number,
    },
    /// What was live stayed down: users are sent to the standby, which was seen good. What was down becomes the standby, if it
    /// had been found good, and there is no automatic way back to it.
    Recovered {
        /// Number of the stack that was live and down.
        number: Number,
        /// The standby that is live now.
        to: Number,
        /// The order's number.
        generation: Generation,
        /// The reason, for people.
        reason: Arc<str>,
    },
    /// A person wants what is live started again, one instance after the other.
    RestartAsked {
        /// The number of the live stack.
        number: Number,
        /// The only instance that is meant; none means all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instance: Option<u32>,
        /// The number of the order, higher than all before: no instance is ended twice for one.
        order: u64,
        /// Why, where whoever asked said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Arc<str>>,
    },
    /// All that was to be started again is up and passes its checks, or that came to nothing.
    RestartEnded {
        /// The number of the stack.
        number: Number,
        /// The number of the order.
        order: u64,
        /// Why it did not come to its end; nothing when it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Arc<str>>,
    },
    /// Trying again does not help; a person must look. What is due is still tried.
    OperatorNeeded {
        /// The deployment.
        number: Number,
        /// What is wrong, and the command that would help.
        reason: Arc<str>,
        /// What it is about, where that is not the deployment itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        about: Option<Matter>,
    },
    /// Automatic deployments are stopped.
    Held {
        /// Reason, in the words of whoever or whatever gave it.
        reason: Arc<str>,
    },
    /// Automatic deployments go on.
    Resumed {
        /// Why, where whoever asked said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Arc<str>>,
    },
    /// Only this release may be deployed.
    Pinned {
        /// Its number.
        release: u32,
        /// Why, where whoever asked said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Arc<str>>,
    },
    /// Any release may be deployed.
    Unpinned {
        /// Why, where whoever asked said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Arc<str>>,
    },
    /// This release may not be deployed.
    Vetoed {
        /// Its number.
        release: u32,
        /// Reason, in the words of whoever or whatever gave it.
        reason: Arc<str>,
    },
    /// This release may be deployed again.
    Unvetoed {
        /// Its number.
        release: u32,
        /// Why, where whoever asked said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Arc<str>>,
    },
    /// Builds are counted from the beginning: the next one that is announced is the newest, whatever its number.
    BuildsReset {
        /// The reason, for people.
        reason: Arc<str>,
    },
}

/// What a person is called for besides a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matter {
    /// What is live is down and stays so.
    Live,
    /// The front is not where it was sent, or does not stay there.
    Front,
}

fn is_false(yes: &bool) -> bool {
    !yes
}

fn nothing() -> Arc<str> {
    "".into()
}

/// Why a deployment was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A build was announced.
    Build,
    /// A rule promoted it.
    Rule,
    /// A person wants it; a hold does not stop it.
    Person,
    /// It brings an earlier release back; neither a hold nor a pin stops it.
    Rollback,
}

/// How a deployment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Live, watched, good.
    Succeeded,
    /// Stopped before it was live.
    Aborted,
    /// It did not come up, did not pass, or turned bad with nothing to go back to.
    Failed,
    /// It was live and is not any more, because it turned bad or a person said so.
    RolledBack,
    /// A newer one took its place before it was live.
    Superseded,
}
