//! The format level of a record: the oldest release that reads it as it is meant. A line carries it as `v`.
//!
//! The table is exhaustive: whoever adds a kind, a field or a value decides here whether a release that does not know it
//! would refuse or misread the record. If so, it gets the level of the next release, and [`NEWEST`] is raised with the first
//! of them. Before the first record of a level the state is copied ([`super::aside`]), so that the older release can have
//! it back.
//!
//! | level | what it was |
//! |---|---|
//! | 1 | the first format |
//! | 2 | what is live is watched (`live_down`, `live_up`, `recovered`), builds counted from the beginning again, strangers ended and adopted, restarts, `recover` and fronts that are always on in the terms, traffic in steps (`shifted`, `revert_requested`, `proceeded`, `paused`, `steps` in the terms) |

use crate::machine::{
    Adopts, Environment, Event, Gate, Hook, HookPoint, Matter, Otherwise, Outcome, Phase, Plan, Recover, RecoverTo,
    Release, Retain, Step, Strategy, Trigger,
};

/// The newest level that this program writes and reads.
pub const NEWEST: u32 = 2;

/// The level of everything that the first release knew.
pub(super) const FIRST: u32 = 1;

/// The level of `event`, which comes upon the state `before`.
pub(super) fn of(event: &Event, before: &Environment) -> u32 {
    match event {
        Event::Accepted { number: _, key: _, build_number: _, release, plan, trigger, reason: _, stranger } => {
            let terms = of_release(release).max(of_plan(plan)).max(of_trigger(*trigger));
            // The first release would refuse a number that was skipped.
            terms.max(if *stranger { 2 } else { FIRST })
        }
        Event::ColdRollbackQueued { number: _, by: _, release, plan, reason: _ } => {
            of_release(release).max(of_plan(plan))
        }
        Event::HookOrdered { number: _, hook: _, point }
        | Event::HookFinished { number: _, hook: _, point, reason: _, said: _ } => of_point(*point),
        // The first release refuses an end amid a way back; what it lets end in doubt (an adoption) counts as the rest.
        Event::Ended { number: _, outcome, reason: _ } => {
            let doubt = |phase: &Phase| phase.has_open_order();
            let amid = before.active().is_some_and(|active| doubt(&active.phase));
            of_outcome(*outcome).max(if amid { 2 } else { FIRST })
        }
        Event::RevertOrdered { number: _, to: _, generation: _, outcome, reason: _ } => of_outcome(*outcome),
        Event::OperatorNeeded { number: _, reason: _, about } => about.map_or(FIRST, |matter| match matter {
            Matter::Live | Matter::Front => 2,
        }),
        // The first release would refuse a number that it gave out.
        Event::StrangerFound { number } => {
            if *number > before.last_number() {
                FIRST
            } else {
                2
            }
        }
        // `host` is left out by a release that does not know it, which then tells of no change of the host.
        // `in_a_row` and `words` are left out by a release that does not know them, and it goes on counting from 0.
        Event::DriftSeen { shown: _, generation: _, in_a_row: _, words: _ } => FIRST,
        // `answers` are for people; a release that does not know them leaves them out.
        Event::Checked { number: _, answers: _ } => FIRST,
        Event::Started { number: _ }
        | Event::Approved { number: _, reason: _ }
        | Event::DefinitionFrozen { number: _, definition: _ }
        | Event::Provisioned { number: _ }
        | Event::WentLive { number: _, host: _ }
        | Event::Succeeded { number: _ }
        | Event::RollbackRequested { number: _, reason: _ }
        | Event::Reverted { number: _, host: _ }
        | Event::StandbyReleased { number: _, reason: _ }
        | Event::Retired { number: _ }
        | Event::OrphanFound { number: _ }
        | Event::DriftMended
        | Event::Held { reason: _ }
        | Event::Resumed { reason: _ }
        | Event::Pinned { release: _, reason: _ }
        | Event::Unpinned { reason: _ }
        | Event::Vetoed { release: _, reason: _ }
        | Event::Unvetoed { release: _, reason: _ } => FIRST,
        // The first release would send it all users.
        Event::CutOverOrdered { number: _, generation: _, share } => share.map_or(FIRST, |_| 2),
        Event::LiveDown { number: _, reason: _ }
        | Event::PageOrdered { number: _, generation: _, back: _ }
        | Event::StopOrdered { number: _, stack: _, order: _, back: _ }
        | Event::Stopped { number: _ }
        | Event::StartOrdered { number: _, stack: _, order: _, outcome: _, reason: _ }
        | Event::MaintenanceBegun { generation: _, hold: _, reason: _ }
        | Event::MaintenanceEnded { generation: _, reason: _ }
        | Event::Shifted { number: _, share: _, host: _ }
        | Event::Paused { number: _, gate: _, reason: _ }
        | Event::Proceeded { number: _, reason: _ }
        | Event::RevertRequested { number: _, outcome: _, reason: _ }
        | Event::LiveUp { number: _ }
        | Event::Recovered { number: _, to: _, generation: _, reason: _ }
        | Event::RestartAsked { number: _, instance: _, order: _, reason: _ }
        | Event::RestartEnded { number: _, order: _, reason: _ }
        | Event::BuildsReset { reason: _ }
        | Event::StrangerDismissed { number: _, reason: _ } => 2,
    }
}

fn of_release(release: &Release) -> u32 {
    let Release {
        number: _,
        version: _,
        artifact: _,
        commit: _,
        definition: _,
        source: _,
        parameters: _,
        given: _,
        secrets: _,
        link: _,
        adopts,
    } = release;
    adopts.as_deref().map_or(FIRST, |Adopts { stack: _, output: _ }| FIRST)
}

fn of_plan(plan: &Plan) -> u32 {
    let Plan {
        before_provisioning,
        before_cutover,
        provision_within: _,
        check_within: _,
        cut_over_within: _,
        steps,
        strategy,
        bake: _,
        drain_within: _,
        retire_within: _,
        retain,
        hooks,
        recover,
        always_on,
        // A release that does not know it does the same, and counts it among the planned ones.
        repairs: _,
    } = plan;
    let of_step = |Step { share: _, bake: _, pause }: &Step| pause.as_ref().map_or(2, |gate| of_gate(gate).max(2));
    let gates = before_provisioning.iter().chain(before_cutover).map(of_gate).chain(steps.iter().map(of_step));
    let hooks = hooks.iter().map(|Hook { name: _, at, within: _, one_way: _ }| of_point(*at));
    let retain = match retain {
        Retain::None | Retain::For(_) | Retain::UntilNext => FIRST,
    };
    // The first release would send users nowhere where the front is always on, and never to the standby.
    let recover = if *recover == Recover::default() { FIRST } else { of_recover(*recover) };
    let always_on = if *always_on { 2 } else { FIRST };
    // The first release would let two run at the same time.
    let strategy = match strategy {
        Strategy::SideBySide => FIRST,
        Strategy::StopFirst => 2,
    };
    gates.chain(hooks).fold(retain.max(recover).max(always_on).max(strategy), u32::max)
}

fn of_gate(gate: &Gate) -> u32 {
    let Gate { timeout: _, otherwise, by: _, not_the_asker: _ } = gate;
    match otherwise {
        Otherwise::Approve | Otherwise::Abort => FIRST,
    }
}

fn of_recover(recover: Recover) -> u32 {
    let Recover { to, after: _ } = recover;
    match to {
        RecoverTo::Restart | RecoverTo::Standby => 2,
    }
}

fn of_trigger(trigger: Trigger) -> u32 {
    match trigger {
        Trigger::Build | Trigger::Rule | Trigger::Person | Trigger::Rollback => FIRST,
    }
}

fn of_outcome(outcome: Outcome) -> u32 {
    match outcome {
        Outcome::Succeeded | Outcome::Aborted | Outcome::Failed | Outcome::RolledBack | Outcome::Superseded => FIRST,
    }
}

fn of_point(point: HookPoint) -> u32 {
    match point {
        HookPoint::BeforeProvisioning
        | HookPoint::AfterChecks
        | HookPoint::BeforeCutover
        | HookPoint::AfterCutover
        | HookPoint::OnRollback
        | HookPoint::OnRetire => FIRST,
    }
}
