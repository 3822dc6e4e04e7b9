//! The folded state of one environment. It must stay small and free of times other than those of events: ten thousand
//! of them live in memory, and the model hashes millions.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    alive::{Down, Flaps, Taken},
    deployment_state::DeploymentState,
    event::{Outcome, Trigger},
    halting::RunOrder,
    hook::{Hook, HookProgress},
    ids::{Generation, Key, Millis, Number, Seq},
    maintenance::Maintenance,
    phase::{Phase, Probed},
    release::{Gate, Plan, Release},
    restarting::Restart,
    rules::Rules,
    straying::Straying,
};

/// One environment, folded from its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Environment {
    pub(super) seq: Seq,
    pub(super) last_number: Number,
    pub(super) last_release: u32,
    /// The newest build announced, by the sender's own count: nothing that is numbered otherwise may raise it.
    #[serde(rename = "last_order")]
    pub(super) last_build_number: Option<u64>,
    /// The newest builds that were accepted since: the sender's count, the deployment, its release. One that failed is
    /// taken out, and one whose release is vetoed does not count.
    #[serde(rename = "orders", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) counted_builds: Vec<(u64, Number, u32)>,
    /// Counts that people gave: an announced build with one of these is the same build.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) by_hand: Vec<u64>,
    /// The last order given to the front.
    pub(super) generation: Generation,
    /// Deployments whose turn has not come: at most one that brings an earlier release back, before at most one other.
    pub(super) queue: Vec<Deployment>,
    /// The host on which the last cutover was seen, where the front tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) front_host: Option<Arc<str>>,
    pub(super) active: Option<Deployment>,
    pub(super) live: Option<Stack>,
    pub(super) standby: Option<Standby>,
    pub(super) retiring: Vec<Retiring>,
    /// The order that is to put a drifted front right.
    pub(super) drift: Option<Generation>,
    /// What is live was seen not to do its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) down: Option<Down>,
    /// What is live was called up again, lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) flaps: Option<Flaps>,
    /// The front is put right, or lately was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) straying: Option<Straying>,
    /// What is live is started again, one instance after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) restart: Option<Restart>,
    /// The number of the last order to start it again; 0: there was none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) last_restart: u64,
    /// The front cannot be pointed at nobody, by the terms of the last deployment that began.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) always_on: bool,
    /// The last order to stop or to start each stack that was ever stopped, as long as it is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) runs: Vec<RunOrder>,
    /// The number of the last of these orders; 0: there was none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) last_run: u64,
    /// Since when users get the maintenance page for a deployment that stops a stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) paged_since: Option<Millis>,
    /// How long they got it the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_downtime: Option<Millis>,
    /// A person has users shown the maintenance page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) maintenance: Option<Maintenance>,
    pub(super) hold: Option<Hold>,
    pub(super) pin: Option<u32>,
    pub(super) vetoes: Vec<Veto>,
    /// Releases that were live and found good, newest last: where a cold rollback can go.
    pub(super) proven: Vec<(Arc<Release>, Arc<Plan>)>,
    pub(super) ended: Vec<Ended>,
    /// Stacks with numbers that we never gave out. Never touched.
    pub(super) strangers: Vec<Number>,
    /// Strangers that were to be adopted and were let go: they are somebody else's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) not_ours: Vec<Number>,
    /// The last order to the front when an adoption came to nothing: until there is another one, nobody waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) let_go: Option<Generation>,
    /// Builds that were accepted, oldest first.
    pub(super) keys: Vec<(Key, Number)>,
    #[serde(skip)]
    pub(super) rules: Rules,
}

impl Environment {
    /// How many builds back a repeated announcement is still recognised by its key. An older one is refused by its
    /// number where the sender counts its builds.
    pub const KEYS_KEPT: usize = 1024;
    /// How many builds are remembered by their sender's count.
    pub(super) const BUILDS_KEPT: usize = 16;
    /// How many ended deployments are kept at hand; the journal has them all.
    pub const ENDED_KEPT: usize = 10;
    /// How many releases are kept for cold rollbacks.
    pub const PROVEN_KEPT: usize = 5;
}

/// A deployment on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Deployment {
    /// Its number.
    pub number: Number,
    /// Release that it brings.
    pub release: Arc<Release>,
    /// Under which terms.
    pub plan: Arc<Plan>,
    /// Why it is here.
    pub trigger: Trigger,
    /// Who asked for it.
    #[serde(default = "nobody", skip_serializing_if = "str::is_empty")]
    pub asked_by: Arc<str>,
    /// When it was accepted.
    pub accepted: Millis,
    /// How far it is.
    pub phase: Phase,
    /// Since when.
    pub since: Millis,
    /// It was recorded that a person is needed.
    pub operator_needed: bool,
    /// How far the hooks of its plan are.
    #[serde(default, skip_serializing_if = "HookProgress::is_untouched")]
    pub progress: HookProgress,
    /// A person lets it go on before the time is over for which it is watched.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hurried: bool,
    /// A person wants it to keep the share that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
}

/// A deployment keeps the share of users that it has until somebody lets it go on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pause {
    /// Since when.
    pub since: Millis,
    /// How long, and what then.
    pub gate: Gate,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn is_false(yes: &bool) -> bool {
    !yes
}

fn nobody() -> Arc<str> {
    "".into()
}

/// A stack that has, or had, the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stack {
    /// The deployment that made it.
    pub number: Number,
    /// Release that it runs.
    pub release: Arc<Release>,
    /// The terms it came with.
    pub plan: Arc<Plan>,
    /// Since when it is live.
    pub since: Millis,
    /// It was watched and found good: only such a stack is promised as rollback target.
    pub proven: bool,
    /// It was a stranger: the journal did not know it before a person adopted it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub adopted: bool,
}

/// The rollback target.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Standby {
    /// The stack.
    pub stack: Stack,
    /// How long it is promised.
    pub promise: Promise,
    /// Users were taken from it because it was down: there is no automatic way back to it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspect: bool,
    /// When and for what reason that was, where it is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
}

/// How long a standby is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// Promised while its successor is being watched.
    WhileBaking,
    /// Promised until that time.
    Until(Millis),
    /// Promised until the next deployment is live.
    UntilNext,
}

/// A stack that is being torn down. There is no way back from here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Retiring {
    /// Number of the deployment.
    pub number: Number,
    /// Since when: its drain and its deadline count from here.
    pub since: Millis,
    /// How long its last requests may take.
    pub drain_within: Millis,
    /// How long the tear-down may take before it is marked `needs_operator`.
    pub retire_within: Millis,
    /// It was recorded that a person is needed.
    pub operator_needed: bool,
    /// What is run before it is torn down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// How far these are.
    #[serde(default, skip_serializing_if = "HookProgress::is_untouched")]
    pub progress: HookProgress,
    /// What it runs, which these are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Arc<Release>>,
    /// It was a stranger, to which an order of an adoption may yet lead.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stranger: bool,
}

/// Automatic deployments are stopped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hold {
    /// Name of who did it.
    pub by: Arc<str>,
    /// Reason, in the words of whoever or whatever gave it.
    pub reason: Arc<str>,
    /// Since when.
    pub since: Millis,
}

/// A release that may not be deployed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Veto {
    /// Its number.
    pub release: u32,
    /// Reason, in the words of whoever or whatever gave it.
    pub reason: Arc<str>,
}

/// A deployment that is over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ended {
    /// Its number.
    pub number: Number,
    /// Release that it brought.
    pub release: Arc<Release>,
    /// How it ended.
    pub outcome: Outcome,
    /// Reason, in the words of whoever or whatever gave it.
    pub reason: Arc<str>,
    /// Time, in milliseconds since the Unix epoch.
    pub at: Millis,
}

/// Reading, for everybody else.
impl Environment {
    /// How many events were folded.
    pub fn seq(&self) -> Seq {
        self.seq
    }
    /// The last order given to the front.
    pub fn generation(&self) -> Generation {
        self.generation
    }
    /// The last deployment number given out.
    pub fn last_number(&self) -> Number {
        self.last_number
    }
    /// The highest number of a release that ever came here.
    pub fn last_release(&self) -> u32 {
        self.last_release
    }
    /// Returns the deployments whose turn has not come.
    pub fn queue(&self) -> &[Deployment] {
        &self.queue
    }
    /// The one whose turn it is.
    pub fn active(&self) -> Option<&Deployment> {
        self.active.as_ref()
    }
    /// The stack that has the traffic.
    pub fn live(&self) -> Option<&Stack> {
        self.live.as_ref()
    }
    /// The rollback target.
    pub fn standby(&self) -> Option<&Standby> {
        self.standby.as_ref()
    }
    /// Returns the stacks that are being torn down.
    pub fn retiring(&self) -> &[Retiring] {
        &self.retiring
    }
    /// Whether the front is being put right.
    pub fn drift(&self) -> Option<Generation> {
        self.drift
    }
    /// The host on which the last cutover was seen, by name and identity, where the front tells.
    pub fn front_host(&self) -> Option<&Arc<str>> {
        self.front_host.as_ref()
    }
    /// Whether what is live was seen not to do its work.
    pub fn down(&self) -> Option<&Down> {
        self.down.as_ref()
    }
    /// Whether what is live was called up again, lately.
    pub fn flaps(&self) -> Option<&Flaps> {
        self.flaps.as_ref()
    }
    /// Whether what is live is started again.
    pub fn restart(&self) -> Option<&Restart> {
        self.restart.as_ref()
    }
    /// Whether somebody else repoints the front, or did so lately.
    pub fn straying(&self) -> Option<&Straying> {
        self.straying.as_ref()
    }
    /// Whether automatic deployments are stopped.
    pub fn hold(&self) -> Option<&Hold> {
        self.hold.as_ref()
    }
    /// The only release that may be deployed.
    pub fn pin(&self) -> Option<u32> {
        self.pin
    }
    /// Releases that may not be deployed.
    pub fn vetoes(&self) -> &[Veto] {
        &self.vetoes
    }
    /// Releases that a cold rollback can bring back, newest last.
    pub fn proven(&self) -> impl DoubleEndedIterator<Item = &Arc<Release>> {
        self.proven.iter().map(|(release, _)| release)
    }
    /// The last deployments that are over, newest last.
    pub fn ended(&self) -> &[Ended] {
        &self.ended
    }
    /// Returns the deployment that was accepted under this very key.
    pub fn deployment_of(&self, key: &Key) -> Option<Number> {
        self.keys.iter().rev().find(|(known, _)| known == key).map(|(_, number)| *number)
    }
    /// Whether a command with this key was granted before, as far as the last [`Environment::KEYS_KEPT`] tell.
    pub fn knows(&self, key: &Key) -> bool {
        self.keys.iter().any(|(known, _)| known.same_name(*key))
    }
    /// Stacks with numbers that were never given out.
    pub fn strangers(&self) -> &[Number] {
        &self.strangers
    }
    /// Returns those of the strangers that bear our mark and are not adopted now: not those that were let go.
    pub fn unknown_stacks(&self) -> impl Iterator<Item = Number> {
        let adopted = self.active.iter().map(|d| d.number).chain(self.live.iter().map(|s| s.number));
        let adopted: Vec<Number> = adopted.collect();
        self.strangers.iter().copied().filter(move |n| !self.not_ours.contains(n) && !adopted.contains(n))
    }

    /// The state of a deployment, and why if it has ended; `None` when it is unknown or longer ago than
    /// [`Environment::ENDED_KEPT`] deployments.
    pub fn deployment_state(&self, number: Number) -> Option<(DeploymentState, Option<&str>)> {
        let under_way = self.active.iter().chain(&self.queue).find(|d| d.number == number);
        under_way.map(|d| (d.state(), None)).or_else(|| {
            let ended = self.ended.iter().rev().find(|e| e.number == number)?;
            Some((ended.outcome.into(), Some(&*ended.reason)))
        })
    }

    /// The release a stack of this environment runs, for those that exist or are to exist.
    pub fn release_of(&self, number: Number) -> Option<&Arc<Release>> {
        let stacks = self.live.iter().chain(self.standby.iter().map(|s| &s.stack));
        let under_way = self.active.iter().chain(&self.queue);
        stacks
            .map(|s| (s.number, &s.release))
            .chain(under_way.map(|d| (d.number, &d.release)))
            .chain(self.ended.iter().map(|e| (e.number, &e.release)))
            .chain(self.retiring.iter().filter_map(|r| Some((r.number, r.release.as_ref()?))))
            .find_map(|(n, release)| (n == number).then_some(release))
    }

    /// The stacks whose checks matter now: the candidate, the live one, the standby.
    pub fn watched(&self) -> Vec<Number> {
        let candidate = self.active.as_ref().filter(|d| d.phase.row().watched);
        let live = self.live.as_ref().map(|s| s.number);
        let standby = self.standby.as_ref().map(|s| s.stack.number);
        let all = candidate.map(|d| d.number).into_iter().chain(live).chain(standby);
        all.filter(|number| !self.is_halted(*number)).collect()
    }

    /// The stack whose health has to be read afresh, not remembered, before the next step (rule R12).
    pub fn must_probe(&self) -> Option<Number> {
        let standby = || self.standby.as_ref().map(|s| s.stack.number);
        match self.active.as_ref().map(|d| (d, d.phase.row().probed)) {
            Some((d, Some(Probed::Candidate))) => Some(d.number).filter(|_| d.is_past_hooks(self.rules)),
            Some((_, Some(Probed::Standby))) => standby().filter(|n| !self.is_halted(*n)),
            Some((_, Some(Probed::Live))) => self.live.as_ref().map(|s| s.number),
            Some((_, None)) => None,
            None => self.down.as_ref().and_then(|_| standby()),
        }
    }
}
