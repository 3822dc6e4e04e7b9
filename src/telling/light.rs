//! How an environment looks from afar: one word for what users see, and what of it needs a person. Only what was seen, and
//! lately, is called healthy.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Blind, Outlook, names, wait};
use crate::{
    machine::{Environment, GateName, Millis, Number, Phase, Traffic},
    text::{format_duration, format_time},
};

/// Age at which a hold has perhaps been forgotten.
const OLD_HOLD: Millis = Millis(86_400_000);

/// What users see of an environment, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Light {
    /// What is live was seen lately, is up and passes its checks.
    Healthy,
    /// What is live passes its checks, and is watched before it counts as good.
    Watched,
    /// What is live was seen not to pass its checks; it is not called down yet.
    Failing,
    /// What is live does not do its work.
    Down,
    /// Users get the maintenance page, as they are meant to.
    Maintenance,
    /// The front shows something else than it was ordered to.
    Drift,
    /// The controller could not look lately: what users see is not known.
    NotSeen,
    /// The environment has no live release.
    Empty,
}

/// How long ago a look may be and still counts, for an environment that is looked at every `watch`.
pub(crate) fn fresh_for(watch: Millis) -> Millis {
    Millis(2 * watch.0 + 5_000)
}

/// Returns what users see.
pub(crate) fn light(state: &Environment, seen: &Outlook<'_>) -> Light {
    let Some(live) = state.live() else { return Light::Empty };
    if seen.blind().is_some() {
        return Light::NotSeen;
    }
    if state.down().is_some() {
        return Light::Down;
    }
    let serving = match seen.shows {
        None => return Light::NotSeen,
        Some(Traffic::Nobody) if state.is_paged() || state.maintenance().is_some() => return Light::Maintenance,
        Some(Traffic::Whole(number)) if number == live.number || ordered(state) == Some(number) => number,
        Some(Traffic::Split { base, candidate, .. })
            if base == live.number
                && state.active().is_some_and(|d| d.number == candidate && !d.phase.before_cutover()) =>
        {
            return with_a_share(seen, base, candidate);
        }
        Some(_) => return Light::Drift,
    };
    if state.drift().is_some() {
        return Light::Drift;
    }
    let baking = state.active().is_some_and(|d| d.number == serving && d.phase == Phase::Baking);
    match seen.stack(serving) {
        Some(stack) if stack.is_bad() => Light::Failing,
        Some(stack) if stack.is_good() && (baking || serving != live.number) => Light::Watched,
        Some(stack) if stack.is_good() => Light::Healthy,
        Some(_) | None => Light::NotSeen,
    }
}

/// The light of two stacks that share the users.
fn with_a_share(seen: &Outlook<'_>, base: Number, candidate: Number) -> Light {
    let [base, candidate] = [base, candidate].map(|number| seen.stack(number));
    match (base, candidate) {
        (Some(one), Some(other)) if one.is_bad() || other.is_bad() => Light::Failing,
        (Some(one), Some(other)) if one.is_good() && other.is_good() => Light::Watched,
        (Some(_) | None, Some(_) | None) => Light::NotSeen,
    }
}

/// The stack to which the front was told to move, before it was seen to have done so.
fn ordered(state: &Environment) -> Option<Number> {
    let active = state.active()?;
    match &active.phase {
        Phase::CuttingOver { .. } => Some(active.number),
        Phase::Reverting { to, .. } => *to,
        Phase::Queued
        | Phase::AwaitingStart
        | Phase::Provisioning
        | Phase::Checking
        | Phase::AfterChecks
        | Phase::AwaitingCutover
        | Phase::Verifying
        | Phase::Paging { .. }
        | Phase::Stopping { .. }
        | Phase::Starting { .. }
        | Phase::Watching { .. }
        | Phase::RevertRequested { .. }
        | Phase::Baking
        | Phase::RollbackRequested { .. } => None,
    }
}

/// Why a person should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NeedKind {
    /// What is live does not do its work.
    Down,
    /// Trying again does not help.
    Operator,
    /// A gate waits for an answer.
    Approval,
    /// Somebody else points the front elsewhere.
    Drift,
    /// The controller could not look lately.
    NotSeen,
    /// A hold is older than a day.
    OldHold,
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Need {
    pub kind: NeedKind,
    /// What is so, in one sentence without its subject.
    #[schema(example = "43 (1.9.0) waits for approval to replace 42 (1.8.4)")]
    pub what: String,
    /// What happens next, and who can change it.
    pub next: String,
    /// Time until which it waits, in RFC 3339; `None` when it waits for ever.
    #[schema(required, example = "2026-11-21T18:00:00.000Z")]
    pub until: Option<String>,
}

/// Returns what needs a person, the most pressing first.
pub(crate) fn needs(state: &Environment, seen: &Outlook<'_>) -> Vec<Need> {
    let now = seen.now;
    let mut needs = Vec::new();
    needs.extend(down(state, seen, now));
    needs.extend(operator(state));
    needs.extend(approval(state));
    needs.extend(drift(state));
    if light(state, seen) == Light::NotSeen {
        needs.push(not_seen(state, seen));
    }
    needs.extend(old_hold(state, now));
    needs
}

fn down(state: &Environment, seen: &Outlook<'_>, now: Millis) -> Option<Need> {
    let (down, live) = (state.down()?, state.live()?);
    let length = format_duration(now.since(down.since));
    let back = match (state.standby(), wait::rollback(state, seen)) {
        (Some(standby), wait::Readiness::Ready) => {
            format!("The way back to {} is warm.", names::short(&standby.stack.release))
        }
        (Some(standby), wait::Readiness::Start) => {
            format!("The way back starts {}, which is stopped.", names::short(&standby.stack.release))
        }
        (_, wait::Readiness::Cold) => "The way back is cold: an earlier release would be stood up again.".to_owned(),
        _ => "There is no way back.".to_owned(),
    };
    let reason = down.reason.trim_end_matches('.');
    Some(Need {
        kind: NeedKind::Down,
        what: format!("{} is live and down for {length}", names::short(&live.release)),
        next: format!("{reason}. It is started again. {back}"),
        until: None,
    })
}

fn operator(state: &Environment) -> Option<Need> {
    if !state.needs_operator() || state.down().is_some() {
        return None;
    }
    let what = match state.active() {
        Some(active) if active.operator_needed => format!("deployment {} does not go on by itself", active.number),
        _ => "trying again does not help".to_owned(),
    };
    let next = "The history says why. It is still tried.".to_owned();
    Some(Need { kind: NeedKind::Operator, what, next, until: None })
}

fn approval(state: &Environment) -> Option<Need> {
    let active = state.active()?;
    let (question, pause) = (active.question().cloned(), active.pause());
    let question = question.or_else(|| pause.map(|pause| pause.gate))?;
    let over = match (active.gate(), state.live()) {
        (Some(GateName::BeforeCutover), Some(live)) => format!("to replace {}", names::short(&live.release)),
        (Some(GateName::BeforeCutover), None) => "to go live".to_owned(),
        (Some(GateName::BeforeProvisioning), _) => "to begin".to_owned(),
        (None, _) => format!("to get more than {} % of users", active.ordered_share()),
    };
    let who = wait::approvers(&question, &active.asked_by);
    let asked = if active.asked_by.is_empty() { String::new() } else { format!("Asked by {}. ", active.asked_by) };
    let otherwise = match question.otherwise {
        crate::machine::Otherwise::Approve => "it goes on by itself",
        crate::machine::Otherwise::Abort => "it is aborted",
    };
    Some(Need {
        kind: NeedKind::Approval,
        what: format!("{} waits for approval {over}", names::short(&active.release)),
        next: format!("{asked}Who can: {who}. Without an answer {otherwise}."),
        until: active.deadline().map(format_time),
    })
}

fn drift(state: &Environment) -> Option<Need> {
    let straying = state.straying().filter(|s| state.drift().is_some() || s.operator_needed)?;
    let live = state.live().map_or("nobody".to_owned(), |live| names::short(&live.release));
    let shown = if straying.shown.is_empty() { "something else".to_owned() } else { straying.shown.to_string() };
    let times = if straying.in_a_row > 1 { format!(", {} times in a row", straying.in_a_row) } else { String::new() };
    Some(Need {
        kind: NeedKind::Drift,
        what: format!("the front shows {shown}; it was ordered to show {live}"),
        next: format!("Somebody else changed it{times}. Find who else points it."),
        until: None,
    })
}

fn not_seen(state: &Environment, seen: &Outlook<'_>) -> Need {
    let live = state.live().map_or("what is live".to_owned(), |live| names::short(&live.release));
    let why = |why: &str| format!(" Cause: {}.", why.trim_end_matches('.'));
    let (what, cause) = match seen.blind() {
        Some(Blind::Never) => ("nobody could look since the controller started".to_owned(), String::new()),
        Some(Blind::Stale(ago)) => (format!("nobody could look for {}", format_duration(ago)), String::new()),
        Some(Blind::Front(said)) => ("the front cannot be asked".to_owned(), why(said)),
        Some(Blind::Provider(said)) => {
            let since = seen.stacks_at.map(|at| format!(" for {}", format_duration(seen.now.since(at))));
            (format!("its stacks could not be seen{}", since.unwrap_or_default()), why(said))
        }
        None => {
            let remark = state.live().and_then(|live| seen.stack(live.number)?.remark);
            (format!("{live} is live and was not seen to pass its checks"), remark.map(why).unwrap_or_default())
        }
    };
    let next = format!("Whether {live} serves users is not known.{cause} It is looked at again.");
    Need { kind: NeedKind::NotSeen, what, next, until: None }
}

fn old_hold(state: &Environment, now: Millis) -> Option<Need> {
    let hold = state.hold().filter(|hold| now.since(hold.since) >= OLD_HOLD)?;
    let waiting = match state.queue().len() {
        0 => String::new(),
        1 => " One deployment waits behind it.".to_owned(),
        many => format!(" {many} deployments wait behind it."),
    };
    Some(Need {
        kind: NeedKind::OldHold,
        what: format!("held for {} by {}", format_duration(now.since(hold.since)), hold.by),
        next: format!("{}.{waiting} Whoever may approve can resume.", hold.reason.trim_end_matches('.')),
        until: None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        machine::{Condition, Entry, Event, Generation, Health, Key, Plan, Release, Trigger},
        telling::Glimpse,
    };

    fn live() -> Environment {
        let (number, release) = (Number(1), Arc::new(Release { number: 1, ..Release::draft("1.4.1") }));
        let (key, plan, trigger) = (Key([1; 16]), Arc::new(Plan::default()), Trigger::Person);
        let mut state = Environment::default();
        for event in [
            Event::Accepted { number, key, build_number: None, release, plan, trigger, reason: None, stranger: false },
            Event::Started { number },
            Event::Provisioned { number },
            Event::Checked { number, answers: Vec::new() },
            Event::CutOverOrdered { number, generation: Generation(1), share: None },
            Event::WentLive { number, host: None },
            Event::Succeeded { number },
        ] {
            state.apply(&Entry { at: Millis(0), by: "test".into(), event }).unwrap();
        }
        state
    }

    fn stack(health: Health) -> Vec<Glimpse<'static>> {
        vec![Glimpse { number: Number(1), condition: Condition::Ready, health, remark: None }]
    }

    /// All was seen a moment ago, and is well.
    fn good() -> Outlook<'static> {
        Outlook {
            now: Millis(50_000),
            fresh: Millis(25_000),
            looked: Some(Millis(49_000)),
            stacks_at: Some(Millis(49_000)),
            shows: Some(Traffic::Whole(Number(1))),
            stacks: stack(Health::Passing),
            ..Outlook::default()
        }
    }

    #[test]
    fn it_is_green_only_where_provider_front_and_checks_have_all_answered_lately() {
        let state = live();
        assert_eq!(light(&state, &good()), Light::Healthy);
        assert_eq!(needs(&state, &good()), []);
        for (blind, said) in [
            (Outlook { looked: None, ..good() }, "nobody could look since the controller started"),
            (Outlook { now: Millis(90_000), ..good() }, "nobody could look for 41 s"),
            (Outlook { front_silent: Some("refused"), ..good() }, "the front cannot be asked"),
            (Outlook { stacks_silent: Some("503"), now: Millis(60_000), ..good() }, "could not be seen for 11 s"),
            (Outlook { shows: None, ..good() }, "was not seen to pass its checks"),
            (Outlook { stacks: Vec::new(), ..good() }, "was not seen to pass its checks"),
            (Outlook { stacks: stack(Health::Unknown), ..good() }, "was not seen to pass its checks"),
        ] {
            assert_eq!(light(&state, &blind), Light::NotSeen, "{said}");
            let [need] = &needs(&state, &blind)[..] else { panic!("{said}") };
            assert!(need.kind == NeedKind::NotSeen && need.what.contains(said), "{need:?}");
        }
    }

    #[test]
    fn what_the_front_shows_is_what_is_judged() {
        let state = live();
        assert_eq!(light(&state, &Outlook { stacks: stack(Health::Failing), ..good() }), Light::Failing);
        for elsewhere in [Traffic::Nobody, Traffic::Whole(Number(7))] {
            assert_eq!(light(&state, &Outlook { shows: Some(elsewhere), ..good() }), Light::Drift);
        }
    }
}
