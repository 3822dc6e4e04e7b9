//! One environment as it is shown: what is live in it, what is on its way, what could be brought back.

use serde::Serialize;
use utoipa::ToSchema;

use super::{End, Gate, Otherwise, PlannedHook, Release, State, Why};
use crate::{
    machine::{Condition, DeploymentState, Health, Outcome, Trigger},
    pipelines::Tier,
    telling::{Light, Need, PageUp, Readiness, Situation, WaitsFor},
};

/// One environment: what is live in it, what is on its way, what could be brought back, and what it waits for.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Environment {
    /// Its address.
    #[schema(example = "shop/prod")]
    pub environment: String,
    /// How many events it has seen.
    pub seq: u64,
    /// The deployment whose turn it is.
    #[schema(required)]
    pub candidate: Option<Candidate>,
    /// Deployments that wait for their turn.
    pub queue: Vec<Candidate>,
    /// The stack that has the users' traffic.
    #[schema(required)]
    pub live: Option<Stack>,
    /// Since when what is live does not do its work; null while it does.
    #[schema(required)]
    pub down: Option<Down>,
    /// How far what is live is started again; null while nobody wants that.
    #[schema(required)]
    pub restart: Option<Restart>,
    /// How somebody else repoints the front, or did so lately; null when nobody did.
    #[schema(required)]
    pub straying: Option<Straying>,
    /// It was recorded that a person is needed: for a deployment, a tear-down, what is live, or the front.
    pub needs_operator: bool,
    /// The stack before, kept warm.
    #[schema(required)]
    pub standby: Option<Standby>,
    pub rollback: Readiness,
    /// How long users got the maintenance page the last time that a deployment stopped a stack, in milliseconds.
    #[schema(required, example = 41000)]
    pub last_downtime: Option<u64>,
    /// What going back from what is live would not undo, in words: its hooks that are one way.
    pub one_way: Vec<String>,
    /// The hooks that run now.
    pub hooks: Vec<RunningHook>,
    /// Stacks that bear our mark and that the journal does not know, by number; `GET .../stacks` shows them.
    pub strangers: Vec<u32>,
    /// The deployments whose stacks are being torn down.
    pub retiring: Vec<u32>,
    /// Who stopped automatic deployments.
    #[schema(required)]
    pub hold: Option<Hold>,
    /// Who has users shown the maintenance page.
    #[schema(required)]
    pub maintenance: Option<Hold>,
    /// Each reason for which users get the maintenance page, or are to get it; none while they are served.
    pub pages: Vec<PageUp>,
    /// The only release that may be deployed.
    #[schema(required)]
    pub pin: Option<u32>,
    /// Its version, as far as it is remembered.
    #[schema(required)]
    pub pin_version: Option<String>,
    /// Releases that may not be deployed.
    pub vetoes: Vec<Veto>,
    /// What does not work at the moment, and what is wrong with the front although it serves.
    pub trouble: Vec<Trouble>,
    /// The last deployments that are over, newest last.
    pub ended: Vec<Ended>,
    /// The last deployment that failed or was rolled back, until a success or an abort came after it.
    #[schema(required)]
    pub last_failure: Option<Ended>,
    /// What it waits for, until when, and who can change that, in one sentence or two.
    pub next: String,
    /// How near it is to users, by its name; null where that does not tell.
    #[schema(required)]
    pub tier: Option<Tier>,
    /// One word on what users see.
    pub light: Light,
    /// What needs a person, the most pressing first.
    pub needs: Vec<Need>,
    pub front: Front,
    pub provider: Provider,
    /// What a rollback would bring back; null when there is nothing to go back to.
    #[schema(required)]
    pub rollback_to: Option<Release>,
    /// What to say at night, in three lines.
    pub situation: Situation,
    pub waits_for: WaitsFor,
    /// Time until which it waits at most, in RFC 3339.
    #[schema(required, example = "2026-11-21T18:00:00.000Z")]
    pub until: Option<String>,
    /// Who can end the waiting: names, or whom among many. Empty when it is nobody's to say.
    #[schema(required, example = "alice or bob")]
    pub who: Option<String>,
}

/// A deployment on its way.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Candidate {
    pub number: u32,
    pub release: Release,
    #[schema(value_type = State)]
    pub state: DeploymentState,
    #[schema(value_type = Why)]
    pub trigger: Trigger,
    /// Who asked for it.
    #[schema(example = "alice")]
    pub asked_by: String,
    /// Since when it is in that state.
    pub since: String,
    /// Time until which it may stay so.
    #[schema(required)]
    pub until: Option<String>,
    /// The gate that it waits at.
    #[schema(required)]
    pub gate: Option<Gate>,
    /// How its users come to it in steps; null where its terms have none.
    #[schema(required)]
    pub traffic: Option<InSteps>,
    /// Its hooks, in order.
    pub hooks: Vec<Hook>,
    /// Its stack, as it was seen.
    #[schema(required)]
    pub stack: Option<Seen>,
}

/// How a deployment gets its users in steps.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct InSteps {
    /// The part of 100 users that it was ordered to have; 0 before the first step, 100 once it was to have all.
    #[schema(example = 5)]
    pub ordered: u8,
    /// The part that the front was seen to send it; null where that is not known.
    #[schema(required, example = 5)]
    pub seen: Option<u8>,
    /// The shares that it is to have one after the other, and how long it is watched with each.
    pub steps: Vec<TrafficStep>,
    /// The pause at which it keeps its share.
    #[schema(required)]
    pub pause: Option<StepPause>,
    /// It was to lose its share, and what is live does not pass its checks: a person lets it go on, or aborts it once more.
    pub way_back_waits: bool,
}

/// One step of traffic.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TrafficStep {
    /// The part of 100 users.
    #[schema(example = 5)]
    pub share: u8,
    /// How long it is watched with that share, as people say it.
    #[schema(example = "5 min")]
    pub bake: String,
    /// Somebody is asked before it gets more.
    pub pause: bool,
}

/// A pause at a step.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct StepPause {
    /// Time at which the default answer is given.
    pub until: String,
    /// What happens without an answer.
    pub otherwise: Otherwise,
}

/// A hook of a deployment, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct Hook {
    #[serde(flatten)]
    pub hook: PlannedHook,
    pub state: HookState,
}

/// How far a hook is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum HookState {
    /// Its turn has not come.
    Waiting,
    Running,
    Passed,
    Failed,
}

/// A hook that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct RunningHook {
    #[serde(flatten)]
    pub hook: PlannedHook,
    /// The deployment that it runs for.
    pub number: u32,
    pub since: String,
    /// When it counts as failed.
    pub until: String,
}

/// A stack that has the traffic, or had it.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Stack {
    /// The deployment that made it.
    pub number: u32,
    pub release: Release,
    /// Since when it is live.
    pub since: String,
    /// It was watched and found good.
    pub proven: bool,
    #[schema(required)]
    pub stack: Option<Seen>,
}

/// What is live does not do its work.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Down {
    pub since: String,
    /// One sentence on what was seen.
    pub reason: String,
    /// It was recorded that a person is needed.
    pub operator_needed: bool,
}

/// The stack before, and how long it is kept.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Standby {
    #[serde(flatten)]
    pub stack: Stack,
    /// A time, or what has to come first.
    pub until: String,
    /// Users were taken from it because it was down: nobody is sent back to it but by a person.
    pub suspect: bool,
    /// When and for what reason that was; null when it was not so, or is not remembered.
    #[schema(required)]
    pub taken: Option<Taken>,
}

/// What is live is started again, one instance after the other.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Restart {
    /// The deployment that is live.
    pub number: u32,
    /// The only instance that is meant; null: all of them.
    #[schema(required)]
    pub instance: Option<u32>,
    /// The number of the order, which is in its records.
    pub order: u64,
    #[schema(example = "2026-11-26T02:58:12.000Z")]
    pub since: String,
    /// How many instances are back and pass their checks; null where nobody has looked yet.
    #[schema(required)]
    pub back: Option<usize>,
    /// How many there are to be started again.
    #[schema(required)]
    pub of: Option<usize>,
}

/// Users were taken from a stack because it was down.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Taken {
    /// When users were sent elsewhere.
    pub at: String,
    /// Since when it was down.
    pub down_since: String,
    /// One sentence on what was seen.
    pub reason: String,
}

/// Somebody else repoints the front.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Straying {
    /// When the first of the row was seen.
    pub since: String,
    /// How often in a row.
    pub times: u32,
    /// What the front showed at last, in words; empty where it shows nothing that has a name.
    #[schema(example = "stack 3")]
    pub shown: String,
    /// When it may be put right: the pause before that grows each time.
    pub mended_from: String,
    /// It was recorded that a person is needed.
    pub operator_needed: bool,
}

/// What was seen of a stack a moment ago.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Seen {
    pub condition: Condition,
    pub health: Health,
    /// Where it serves: its addresses, or the one thing of its provider that stands for them.
    pub endpoints: Vec<String>,
    #[schema(required)]
    pub remark: Option<String>,
    /// How often instances of it ended by themselves; null where its driver does not tell.
    #[schema(required)]
    pub restarts: Option<Restarts>,
    /// Requests in flight on it.
    #[schema(required)]
    pub open_requests: Option<u64>,
    /// When it was so, as its provider has shown it.
    pub looked: String,
}

/// How often instances of a stack ended by themselves, and were started again.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Restarts {
    /// How often since all of it was up.
    pub count: u64,
    /// How the last one ended, in one sentence; null when none did.
    #[schema(required, example = "instance 0: exit status 42")]
    pub last: Option<String>,
}

/// What the front has counted of users' requests, since a cutover or since it began.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::http) struct Counted {
    /// Since when, by the clock of the front's host.
    #[schema(example = "2026-11-21T18:00:00.000Z")]
    pub since: String,
    /// True when counting began at the last cutover; false when the front started after it, and earlier counts are
    /// lost.
    pub cutover: bool,
    /// The stack that users are sent to, then the one before.
    pub sides: Vec<Side>,
}

/// Counts of one stack.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::http) struct Side {
    /// The deployment that made it.
    pub number: u32,
    /// Requests of users that it answered, or failed to.
    pub requests: u64,
    /// Requests that ended with a 5xx of the stack, or without a complete answer.
    pub failed: u64,
}

/// Somebody stopped automatic deployments, or has users shown the maintenance page.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Hold {
    pub by: String,
    pub reason: String,
    pub since: String,
}

/// A release that may not be deployed.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Veto {
    pub release: u32,
    /// Its version, as far as it is remembered.
    #[schema(required)]
    pub version: Option<String>,
    pub reason: String,
}

/// A step that does not work, or something that is wrong with the front.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Trouble {
    pub step: String,
    pub why: String,
    pub since: String,
}

/// A deployment that is over.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Ended {
    pub number: u32,
    pub version: String,
    #[schema(value_type = End)]
    pub outcome: Outcome,
    pub reason: String,
    pub at: String,
}

/// What receives users' traffic, as it was seen.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Front {
    /// Its driver.
    pub driver: String,
    /// The deployment whose stack it sends users to; null where that is nobody, or nothing that is known.
    #[schema(required)]
    pub shows: Option<u32>,
    /// The deployment whose stack it sends a share of the users; null where all go to one.
    #[schema(required)]
    pub split: Option<SeenSplit>,
    /// Why it could not be asked lately; null when it answered.
    #[schema(required)]
    pub silent: Option<String>,
    /// When it answered last; null when it has not since the controller started.
    #[schema(required)]
    pub looked: Option<String>,
    /// Requests of users and how many failed; null where it does not count, or did not answer.
    #[schema(required)]
    pub counted: Option<Counted>,
    /// Why it does not count; null where it does, or did not answer.
    #[schema(required)]
    pub not_counted: Option<String>,
    /// How the candidate is reached before users get it; null where it is not, or nobody has looked yet.
    #[schema(required)]
    pub preview: Option<Preview>,
}

/// How the candidate is reached before users get it. The key has an address of its own, `.../preview`.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Preview {
    /// The address that people open, without the key.
    #[schema(example = "https://shop.example/.pointsman/preview")]
    pub address: String,
    /// The header that tools send, with the key as its value.
    #[schema(example = "x-pointsman-preview")]
    pub header: String,
    /// The host name that leads to it; null where there is none.
    #[schema(required)]
    pub host: Option<String>,
    /// The address ranges from which alone it can be reached; empty: from everywhere.
    pub from: Vec<String>,
}

/// A share of the users that goes to a second stack.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct SeenSplit {
    /// The deployment whose stack gets it.
    pub number: u32,
    /// The part of 100 users.
    #[schema(example = 5)]
    pub share: u8,
}

/// What the stacks run on, as it was asked.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Provider {
    /// Its driver.
    pub driver: String,
    /// Why it could not be asked lately; null when it answered.
    #[schema(required)]
    pub silent: Option<String>,
    /// When the stacks were as it showed them last; null when it has not since the controller started.
    #[schema(required)]
    pub looked: Option<String>,
}
