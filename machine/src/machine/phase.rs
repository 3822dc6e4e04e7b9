//! How far a deployment is, and the table of what holds in each phase. A new phase is a new row here, which the compiler
//! demands; what happens in it says `tick.rs`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    deployment_state::DeploymentState,
    event::Outcome,
    halting::Back,
    hook::HookPoint,
    ids::{Generation, Millis, Number, Share},
    release::{Gate, GateName},
    state::Deployment,
};

/// How far a deployment is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Waits for its turn.
    Queued,
    /// Waits at the gate before provisioning.
    AwaitingStart,
    /// The front is to show the maintenance page: before the live stack is stopped for it, or on the way back to what was.
    Paging {
        /// The order's number.
        generation: Generation,
        /// How it will have ended, where this is the way back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        back: Option<Back>,
    },
    /// Users get the maintenance page, and a stack is being stopped: the live one, or on the way back its own.
    Stopping {
        /// The order's number.
        order: u64,
        /// How it will have ended, where this is the way back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        back: Option<Back>,
    },
    /// Its stack is being stood up.
    Provisioning,
    /// Its stack is being checked, and made known to the front.
    Checking,
    /// Its checks have passed, and hooks run that want that.
    AfterChecks,
    /// Waits at the gate before the cutover.
    AwaitingCutover,
    /// Its health is read once more (rule R12).
    Verifying,
    /// The front was told, and is watched until it shows it.
    CuttingOver {
        /// The order's number.
        generation: Generation,
        /// The share of users that it is to get; nothing means all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        share: Option<Share>,
        /// The share that it was seen to have before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<Share>,
    },
    /// It has a share of users and is watched with that.
    Watching {
        /// The share that it has.
        share: Share,
    },
    /// It has a share of users and shall not; the health of the live stack is read first.
    RevertRequested {
        /// The share that it was last seen to have.
        share: Share,
        /// How it will have ended.
        outcome: Outcome,
        /// Reason, in the words of whoever or whatever gave it.
        reason: Arc<str>,
    },
    /// It is live and watched.
    Baking,
    /// A person wants the standby back; its health is read first.
    #[serde(rename = "rollback_asked")]
    RollbackRequested {
        /// Reason, in the words of whoever or whatever gave it.
        reason: Arc<str>,
    },
    /// Users get the maintenance page, and what was stopped for it is being started again.
    Starting {
        /// The order's number.
        order: u64,
        /// How it will have ended.
        outcome: Outcome,
        /// Reason, in the words of whoever or whatever gave it.
        reason: Arc<str>,
    },
    /// The front was told to send the traffic back to where it was, for whatever `outcome` says, and is watched until it
    /// shows it.
    #[serde(rename = "undoing")]
    Reverting {
        /// The deployment that gets the traffic back; `None`: nobody.
        to: Option<Number>,
        /// The order's number.
        generation: Generation,
        /// How it will have ended.
        outcome: Outcome,
        /// Reason, in the words of whoever or whatever gave it.
        reason: Arc<str>,
    },
}

/// What holds while a deployment is in a phase: one row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// How it is shown.
    pub(super) shown: DeploymentState,
    /// It is before any order to the front: nothing that users see depends on it.
    pub(super) before_cutover: bool,
    /// An order to the front is open.
    pub(super) order_open: bool,
    /// Users are to get the stack before back, or the front is being sent back.
    pub(super) going_back: bool,
    /// The gate that is closed.
    pub(super) gate: Option<GateName>,
    /// The hooks that run now, before it goes on.
    pub(super) hooks: Option<HookPoint>,
    /// The point whose hooks come next: those of all points before it have passed.
    pub(super) past: Option<HookPoint>,
    /// The limit of its time that people are shown.
    pub(super) limit: Option<Limit>,
    /// What is done for the candidate's stack.
    pub(super) ensured: Ensured,
    /// The candidate is made known to the front.
    pub(super) staged: bool,
    /// The checks of the candidate matter.
    pub(super) watched: bool,
    /// The stack whose health is read afresh before the next step (rule R12).
    pub(super) probed: Option<Probed>,
}

/// A limit of time, by the terms of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// Deadline of the gate.
    Gate,
    /// Deadline until which the stack must be up.
    Provision,
    /// Deadline until which it must pass its checks.
    Check,
    /// Deadline until which the front must show the order.
    CutOver,
    /// How long a stack may take to be stopped, once nobody is using it.
    Stop,
    /// How long a stack that was stopped may take to be up and to pass its checks.
    Start,
    /// How long it is watched with a share, or a pause lasts.
    Step,
    /// How long it is watched.
    Bake,
}

/// What is done for the stack of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ensured {
    /// It is made.
    Made,
    /// It is finished where a part of it was lost.
    Finished,
    /// Not ensured by the phase: what is live is ensured without regard to phases.
    No,
}

/// A stack whose health is read afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probed {
    Candidate,
    Live,
    Standby,
}

/// A row of what has not come to an order to the front, and has nothing of its own.
const BEFORE: Row = Row {
    shown: DeploymentState::Queued,
    before_cutover: true,
    order_open: false,
    going_back: false,
    gate: None,
    hooks: None,
    past: None,
    limit: None,
    ensured: Ensured::Finished,
    staged: false,
    watched: false,
    probed: None,
};

/// A row of what has a whole stack, which the front is to know.
const CHECKING: Row = Row {
    shown: DeploymentState::Checking,
    past: Some(HookPoint::AfterChecks),
    limit: Some(Limit::Check),
    staged: true,
    watched: true,
    ..BEFORE
};

/// A row of what has a share of the users.
const WATCHING: Row = Row {
    shown: DeploymentState::Shifting,
    past: Some(HookPoint::AfterCutover),
    limit: Some(Limit::Step),
    ensured: Ensured::Finished,
    watched: true,
    probed: Some(Probed::Candidate),
    ..AFTER
};

/// A row of what users are to leave again.
const BACK: Row = Row { shown: DeploymentState::RollingBack, going_back: true, ..AFTER };

/// A row of what has come to an order to the front.
const AFTER: Row = Row { before_cutover: false, ensured: Ensured::No, ..BEFORE };

/// A row of what has users shown the maintenance page, and a stack stopped.
fn stopping(back: Option<&Back>) -> Row {
    match back {
        None => Row { shown: DeploymentState::Stopping, ..AFTER },
        Some(back) => Row { shown: going_back(back.outcome), ..BACK },
    }
}

fn going_back(outcome: Outcome) -> DeploymentState {
    if outcome == Outcome::Aborted { DeploymentState::Aborting } else { DeploymentState::RollingBack }
}

impl Phase {
    /// Returns the row of the phase: the table.
    pub(super) fn row(&self) -> Row {
        use DeploymentState as Shown;
        match self {
            Self::Queued => BEFORE,
            Self::AwaitingStart => Row {
                shown: Shown::AwaitingApproval,
                gate: Some(GateName::BeforeProvisioning),
                limit: Some(Limit::Gate),
                ..BEFORE
            },
            Self::Paging { back, .. } => {
                Row { order_open: true, limit: Some(Limit::CutOver), ..stopping(back.as_ref()) }
            }
            Self::Stopping { back, .. } => Row { limit: Some(Limit::Stop), ..stopping(back.as_ref()) },
            Self::Starting { outcome, .. } => {
                Row { shown: going_back(*outcome), limit: Some(Limit::Start), probed: Some(Probed::Live), ..BACK }
            }
            Self::Provisioning => Row {
                shown: Shown::Provisioning,
                hooks: Some(HookPoint::BeforeProvisioning),
                limit: Some(Limit::Provision),
                ensured: Ensured::Made,
                ..BEFORE
            },
            Self::Checking => CHECKING,
            Self::AfterChecks => Row { hooks: Some(HookPoint::AfterChecks), staged: false, ..CHECKING },
            Self::AwaitingCutover => Row {
                shown: Shown::AwaitingApproval,
                gate: Some(GateName::BeforeCutover),
                past: Some(HookPoint::BeforeCutover),
                limit: Some(Limit::Gate),
                ..CHECKING
            },
            Self::Verifying => Row {
                hooks: Some(HookPoint::BeforeCutover),
                past: Some(HookPoint::BeforeCutover),
                limit: None,
                probed: Some(Probed::Candidate),
                ..CHECKING
            },
            Self::CuttingOver { .. } => Row {
                shown: Shown::CuttingOver,
                order_open: true,
                past: Some(HookPoint::AfterCutover),
                limit: Some(Limit::CutOver),
                watched: true,
                ..AFTER
            },
            Self::Watching { .. } => WATCHING,
            Self::RevertRequested { outcome, .. } => {
                Row { shown: going_back(*outcome), order_open: true, watched: true, probed: Some(Probed::Live), ..BACK }
            }
            Self::Baking => Row {
                shown: Shown::Baking,
                hooks: Some(HookPoint::AfterCutover),
                past: Some(HookPoint::AfterCutover),
                limit: Some(Limit::Bake),
                ..AFTER
            },
            Self::RollbackRequested { .. } => Row { probed: Some(Probed::Standby), ..BACK },
            Self::Reverting { outcome, .. } => Row { shown: going_back(*outcome), order_open: true, ..BACK },
        }
    }

    /// Returns whether it is before any order to the front: nothing that users see depends on it.
    pub fn before_cutover(&self) -> bool {
        self.row().before_cutover
    }

    /// Returns whether an order to the front is open, so that nobody knows where users are.
    pub fn has_open_order(&self) -> bool {
        self.row().order_open
    }

    /// Returns whether users are to get the stack before back, or the front is being sent back.
    pub fn is_going_back(&self) -> bool {
        self.row().going_back
    }
}

impl Deployment {
    /// Returns the gate that it waits at.
    pub fn gate(&self) -> Option<GateName> {
        self.phase.row().gate
    }

    /// Returns the terms of the gate that it waits at.
    pub fn question(&self) -> Option<&Gate> {
        match self.gate()? {
            GateName::BeforeProvisioning => self.plan.before_provisioning.as_ref(),
            GateName::BeforeCutover => self.plan.before_cutover.as_ref(),
        }
    }

    /// Returns its state, as shown.
    pub fn state(&self) -> DeploymentState {
        if self.operator_needed { DeploymentState::NeedsOperator } else { self.phase.row().shown }
    }

    /// Returns until when its phase, or the hook that runs, is over at the latest, where that has a limit.
    pub fn deadline(&self) -> Option<Millis> {
        if let Some(hook) = self.hook().filter(|_| self.progress.ordered) {
            return Some(self.progress.since.plus(hook.within));
        }
        let (plan, waits) = (&self.plan, self.waits_since());
        Some(match self.phase.row().limit? {
            Limit::Gate => waits.plus(self.question()?.timeout),
            Limit::Provision => waits.plus(plan.provision_within),
            Limit::Check => waits.plus(plan.check_within),
            Limit::CutOver => waits.plus(plan.cut_over_within),
            Limit::Stop => self.since.plus(plan.drain_within).plus(plan.retire_within),
            Limit::Start => self.since.plus(plan.provision_within).plus(plan.check_within),
            Limit::Step => self.step_ends()?,
            // Its hooks run within that time.
            Limit::Bake => self.since.plus(plan.bake),
        })
    }
}
