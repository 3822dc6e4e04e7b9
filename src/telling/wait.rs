//! What an environment waits for, until when, and who can change that.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Outlook, beside, halting, names, steps};
use crate::{
    machine::{
        Condition, Deployment, Environment, EnvironmentId, Gate, Millis, Otherwise, Outcome, Phase, Plan, Promise,
        Release, Trigger,
    },
    text::format_time,
};

/// Things that an environment waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WaitsFor {
    /// Someone must open a gate.
    Approval,
    /// The front is to show the maintenance page, and the live stack to be stopped.
    Stop,
    /// The stack is stood up.
    Stack,
    /// The stack must pass its checks.
    Checks,
    /// A hook runs.
    Hook,
    /// The front is to show the new stack.
    Cutover,
    /// The new stack is watched with its share of the users, or keeps it until somebody lets it go on.
    Step,
    /// The new stack is watched.
    Bake,
    /// A rollback: the release before comes back.
    Rollback,
    /// A person has to put something right.
    Operator,
    /// Automatic deployments are held.
    Resume,
    /// Another release than the one that waits is pinned.
    Pin,
    /// The next in the queue begins as soon as things are put right.
    Turn,
    /// No deployment is under way.
    Deployment,
}

/// How a rollback would be now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Readiness {
    /// The stack before is up and well: one cutover.
    Ready,
    /// The stack before is stopped and kept: it is started, checked and cut over to.
    Start,
    /// An earlier release has to be stood up again.
    Cold,
    /// There is nothing to go back to.
    None,
}

/// How a rollback would be now: ready when the stack before is up and passes its checks, start when it is stopped, cold when an earlier release
/// must be stood up again, none when there is nothing to go back to, or only a stack before that is not well.
pub(crate) fn rollback(state: &Environment, seen: &Outlook<'_>) -> Readiness {
    let standby = state.standby().and_then(|s| seen.stack(s.stack.number));
    let live = state.live().map(|s| s.release.number);
    match standby {
        Some(seen) if seen.is_good() => Readiness::Ready,
        Some(seen) if seen.condition == Condition::Stopped => Readiness::Start,
        _ if live.is_some() && state.proven().any(|release| Some(release.number) != live) => Readiness::Cold,
        _ => Readiness::None,
    }
}

/// Says what a hook that is one way means for a way back, in one sentence.
pub(crate) fn no_way_back(hook: &str, whose: &str) -> String {
    format!("hook {hook}{whose} is one way: going back returns the stack, not what the hook changed")
}

/// What going back from a release would not undo, once it was brought under these terms.
pub(crate) fn no_way_back_from(plan: &Plan, release: Option<&Release>) -> Vec<String> {
    let whose = release.map(|r| format!(" of {} (release {})", r.version, r.number)).unwrap_or_default();
    plan.hooks.iter().filter(|hook| hook.one_way).map(|hook| no_way_back(&hook.name, &whose)).collect()
}

/// What going back from what is live would not undo.
pub(crate) fn one_way(state: &Environment) -> Vec<String> {
    let whose = |r: &Release| format!(" of {} (release {})", r.version, r.number);
    let whose = state.live().map(|live| whose(&live.release)).unwrap_or_default();
    state.one_way_hooks().into_iter().map(|hook| no_way_back(&hook.name, &whose)).collect()
}

/// What an environment waits for, until when at most, and who can end it.
pub(crate) struct Waits {
    pub what: WaitsFor,
    pub until: Option<Millis>,
    pub who: Option<String>,
}

/// Returns what the sentence says, for scripts.
pub(crate) fn waits(state: &Environment) -> Waits {
    let is = |what| Waits { what, until: None, who: None };
    if let Some(active) = state.active() {
        let what = match active.phase {
            _ if active.operator_needed => WaitsFor::Operator,
            _ if active.progress.ordered && active.hook().is_some() => WaitsFor::Hook,
            Phase::AwaitingStart | Phase::AwaitingCutover => WaitsFor::Approval,
            Phase::Queued => WaitsFor::Turn,
            Phase::Paging { back: None, .. } | Phase::Stopping { back: None, .. } => WaitsFor::Stop,
            Phase::Provisioning => WaitsFor::Stack,
            Phase::Checking | Phase::AfterChecks | Phase::Verifying => WaitsFor::Checks,
            Phase::CuttingOver { .. } => WaitsFor::Cutover,
            Phase::Watching { .. } => WaitsFor::Step,
            Phase::Baking => WaitsFor::Bake,
            Phase::RollbackRequested { .. }
            | Phase::RevertRequested { .. }
            | Phase::Paging { .. }
            | Phase::Stopping { .. }
            | Phase::Starting { .. }
            | Phase::Reverting { .. } => WaitsFor::Rollback,
        };
        let who = match what {
            WaitsFor::Operator => Some("an operator".to_owned()),
            _ => active.question().map(|gate| approvers(gate, &active.asked_by)),
        };
        return Waits { who, until: active.deadline(), ..is(what) };
    }
    if state.needs_operator() {
        return Waits { who: Some("an operator".to_owned()), ..is(WaitsFor::Operator) };
    }
    let next = state.queue().first();
    match (state.hold(), state.pin(), next) {
        (Some(_), _, next) if next.is_none_or(is_automatic) => {
            Waits { who: Some(APPROVER.into()), ..is(WaitsFor::Resume) }
        }
        (_, Some(pin), Some(next)) if next.release.number != pin => {
            Waits { who: Some("an administrator".into()), ..is(WaitsFor::Pin) }
        }
        (_, _, Some(_)) => is(WaitsFor::Turn),
        (_, _, None) => is(WaitsFor::Deployment),
    }
}

pub(super) fn is_automatic(deployment: &Deployment) -> bool {
    matches!(deployment.trigger, Trigger::Build | Trigger::Rule)
}

/// Who opens a gate that names nobody.
const APPROVER: &str = "anybody with the role approver";

/// Who may open a gate of a deployment that `asker` asked for.
pub(crate) fn approvers(gate: &Gate, asker: &str) -> String {
    let not = Some(asker).filter(|asker| gate.not_the_asker && !asker.is_empty());
    let may: Vec<&str> = gate.by.iter().map(|name| &**name).filter(|name| Some(*name) != not).collect();
    match (may.split_last(), not) {
        (Some((one, [])), _) => (*one).to_owned(),
        (Some((last, others)), _) => format!("{} or {last}", others.join(", ")),
        (None, Some(asker)) if !gate.by.is_empty() => format!("nobody (only {asker} is named, who asked for it)"),
        (None, Some(asker)) => format!("{APPROVER} but {asker}"),
        (None, None) => APPROVER.to_owned(),
    }
}

/// One sentence, and a second one when something stands in the way.
pub(crate) fn sentence(id: &EnvironmentId, state: &Environment, seen: &Outlook<'_>) -> String {
    let mut text = match (state.active(), state.queue().first()) {
        (Some(active), _) => under_way(id, state, active, seen),
        (None, Some(next)) => queued(id, state, next),
        (None, None) => idle(id, state, seen) + &last(id, state),
    };
    if state.active().is_some_and(|d| d.operator_needed) {
        text = format!("An operator is needed, the history says why; meanwhile it is still tried. {text}");
    }
    text = beside::repointed(id, state, seen)
        .into_iter()
        .chain(beside::stuck(state))
        .fold(text, |text, more| more + " " + &text);
    text = beside::suspect(id, state).into_iter().fold(text, |text, more| text + " " + &more);
    for (number, hook) in state.hooks_ordered().filter(|(n, _)| state.active().is_none_or(|d| d.number != *n)) {
        text = format!("{text} Before the stack of deployment {number} is torn down, its hook {} runs.", hook.name);
    }
    // Who thinks of going back has to know.
    if state.active().is_none_or(|d| d.phase == Phase::Baking) {
        text = one_way(state).iter().fold(text, |text, limit| format!("{text} Mind that {limit}."));
    }
    let strangers = super::strangers(id, state, seen);
    if !strangers.is_empty() {
        text = format!("{text} Besides, {strangers}.");
    }
    if let Some(trouble) = &seen.trouble {
        text = format!("{text} In the way since {}: {}: {}", format_time(trouble.since), trouble.step, trouble.why);
    }
    text
}

fn name(state: &Environment, deployment: &Deployment) -> String {
    let stranger = || state.is_stranger(deployment.number).then(|| ", adopting its stack, a stranger".to_owned());
    let adopting = deployment.release.adopts.as_ref().map(|adopts| format!(", adopting stack {}", adopts.stack));
    let adopting = adopting.or_else(stranger);
    let (number, release) = (deployment.number, &deployment.release);
    let which = if release.number == number.0 { String::new() } else { format!(", release {}", release.number) };
    format!("Deployment {number} ({}{which}{})", release.version, adopting.unwrap_or_default())
}

fn under_way(id: &EnvironmentId, state: &Environment, active: &Deployment, seen: &Outlook<'_>) -> String {
    let (name, number) = (name(state, active), active.number);
    let until = active.deadline().map(format_time).unwrap_or_default();
    let plan = &active.plan;
    if let Some(hook) = active.hook().filter(|_| active.progress.ordered) {
        let since = format_time(active.progress.since);
        let hook = format!("its hook {} ({})", hook.name, hook.at);
        let live = if active.phase == Phase::Baking { "is live, and " } else { "" };
        return format!("{name} {live}waits for {hook}, which runs since {since}, until {until} at the latest.");
    }
    match &active.phase {
        Phase::AfterChecks => format!("{name} is about to run a hook."),
        Phase::AwaitingStart | Phase::AwaitingCutover => {
            let before = matches!(active.phase, Phase::AwaitingStart);
            let (what, gate) = match before {
                true => ("a stack is stood up", &plan.before_provisioning),
                false => ("the traffic moves to it", &plan.before_cutover),
            };
            let then = match gate.as_ref().map(|gate| gate.otherwise) {
                Some(Otherwise::Approve) if state.lets(active) => "it goes on by itself",
                Some(Otherwise::Approve) => "it goes on as soon as no hold and no pin stops it",
                Some(Otherwise::Abort) | None => "it is aborted",
            };
            let who = active.question().map_or(APPROVER.into(), |gate| approvers(gate, &active.asked_by));
            format!(
                "{name} waits until {until} for {who} to approve it before {what}, then {then}: \
                 `pointsman approve {id}` or `pointsman abort {id}`."
            )
        }
        Phase::Queued => format!("{name} is queued."),
        Phase::Paging { .. } | Phase::Stopping { .. } | Phase::Starting { .. } => halting::waits(state, active, &name),
        Phase::Provisioning => format!("{name} waits for its stack to be up, until {until} at the latest."),
        Phase::Checking => {
            let remark = seen.stack(number).and_then(|stack| stack.remark);
            let remark = remark.map(|remark| format!("; last seen: {remark}")).unwrap_or_default();
            format!("{name} must pass its checks until {until}{remark}.")
        }
        Phase::Verifying => format!("{name} is asked for its health once more before the traffic moves to it."),
        Phase::CuttingOver { share: Some(share), .. } => {
            format!("{name} waits for the front to send it {share} of the users, until {until} at the latest.")
        }
        Phase::Watching { share } => steps::waits(id, state, active, (&name, *share)),
        Phase::RevertRequested { reason, .. } => {
            let live = state.live().map_or("what is live".to_owned(), |s| names::named(&s.release, s.number));
            format!("{name} is to lose its share of the users ({reason}), as soon as {live} is seen good.")
        }
        Phase::CuttingOver { .. } => {
            format!("{name} waits for the front to show it and to answer from it, until {until} at the latest.")
        }
        Phase::Baking => {
            format!("{name} is live and watched until {until}; `pointsman rollback {id}` puts back what was before.")
        }
        Phase::RollbackRequested { reason } => format!("{name} is about to be rolled back ({reason})."),
        Phase::Reverting { reason, .. } => {
            format!("{name} is undone ({reason}); it waits for the front to show what was before.")
        }
    }
}

fn queued(id: &EnvironmentId, state: &Environment, next: &Deployment) -> String {
    let name = name(state, next);
    match (state.hold(), state.pin()) {
        (Some(hold), _) if is_automatic(next) => format!(
            "{name} waits: automatic deployments are held by {} since {} ({}); `pointsman resume {id}` lets them go on.",
            hold.by,
            format_time(hold.since),
            hold.reason
        ),
        (_, Some(pin)) if next.release.number != pin => format!(
            "{name} waits: the environment is pinned to {}; `pointsman pin {id} --lift` lets others in.",
            names::release(state, pin)
        ),
        _ => format!("{name} is next; it begins as soon as what is torn down or put right is done."),
    }
}

/// How the last deployment ended, where that was not well.
fn last(id: &EnvironmentId, state: &Environment) -> String {
    let last = state.ended().iter().rev().find(|ended| ended.outcome != Outcome::Superseded);
    let Some(ended) = last.filter(|ended| ended.outcome != Outcome::Succeeded) else { return String::new() };
    let veto = state.vetoes().iter().find(|veto| veto.release == ended.release.number);
    let veto = veto.filter(|_| ended.outcome == Outcome::Aborted);
    let veto = veto.map(|veto| format!("; the veto says: {}", veto.reason)).unwrap_or_default();
    let outcome = match ended.outcome {
        Outcome::Failed => "failed",
        Outcome::RolledBack => "was rolled back",
        Outcome::Aborted | Outcome::Superseded | Outcome::Succeeded => "was aborted",
    };
    let (name, at) = (names::named(&ended.release, ended.number), format_time(ended.at));
    let why = ended.reason.trim_end_matches('.');
    format!(" The last one, {name}, {outcome} at {at}: {why}{veto}; `pointsman history {id}` tells more.")
}

fn idle(id: &EnvironmentId, state: &Environment, seen: &Outlook<'_>) -> String {
    if let Some(hold) = state.hold() {
        let since = format_time(hold.since);
        return format!(
            "Automatic deployments are held by {} since {since} ({}); `pointsman resume {id}` lets them go on.",
            hold.by, hold.reason
        );
    }
    if state.live().is_none() {
        return "Nothing was deployed yet; the first deployment goes live here.".to_owned();
    }
    let until = match state.standby().map(|s| s.promise) {
        Some(Promise::Until(time)) => format!(" until {}", format_time(time)),
        Some(Promise::UntilNext) => " until the next deployment".to_owned(),
        Some(Promise::WhileBaking) | None => String::new(),
    };
    match rollback(state, seen) {
        Readiness::Ready => format!("It waits for the next deployment; a rollback is ready{until}."),
        Readiness::Start => format!(
            "It waits for the next deployment; a rollback starts what is stopped and cuts over{}; users get the maintenance \
             page meanwhile{until}.",
            halting::about(state)
        ),
        Readiness::Cold => "It waits for the next deployment; a rollback would be cold.".to_owned(),
        Readiness::None if state.standby().is_some() => {
            "It waits for the next deployment; the stack before is not well, and there is nothing else to roll back to."
                .to_owned()
        }
        Readiness::None => "It waits for the next deployment; there is nothing to roll back to yet.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        fixture_tests::{make_live, release},
        machine::Adopts,
    };

    #[test]
    fn a_rollback_is_called_cold_only_where_there_is_a_release_to_go_to() {
        let adopts = Arc::new(Adopts { stack: "classic".into(), output: None });
        let id = "shop/qa".parse().unwrap();
        for (first, said, words) in [
            (None, Readiness::Cold, "a rollback would be cold"),
            (Some(adopts), Readiness::None, "the stack before is not well, and there is nothing else"),
        ] {
            let mut state = Environment::default();
            make_live(&mut state, 1, Release { adopts: first, ..release(1) });
            make_live(&mut state, 2, release(2));
            assert!(state.standby().is_some());
            assert!(rollback(&state, &Outlook::default()) == said);
            let sentence = idle(&id, &state, &Outlook::default());
            assert!(sentence.contains(words), "{sentence}");
        }
    }
}
