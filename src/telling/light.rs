//! How an environment looks from afar: one word for what users see, and what of it needs a person. Only what was seen, and
//! lately, is called healthy.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Outlook, names, wait};
use crate::{
    machine::{Condition, Environment, GateName, Health, Millis, Phase},
    text::{format_duration, format_time},
};

/// After how long a hold is one that was perhaps forgotten.
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
    /// The front shows something else than it was ordered to.
    Drift,
    /// Nobody could look lately: what users see is not known.
    NotSeen,
    /// Nothing is live.
    Empty,
}

/// How long ago a look may be and still counts, for an environment that is looked at every `watch`.
pub(crate) fn fresh_for(watch: Millis) -> Millis {
    Millis(2 * watch.0 + 5_000)
}

/// Returns what users see. `fresh`: how long a look counts, see [`fresh_for`].
pub(crate) fn light(state: &Environment, seen: &Outlook<'_>, now: Millis, fresh: Millis) -> Light {
    let looked = seen.looked.is_some_and(|looked| now.since(looked) <= fresh);
    let Some(live) = state.live() else { return Light::Empty };
    if !looked || seen.front_silent.is_some() {
        return Light::NotSeen;
    }
    if state.down().is_some() {
        return Light::Down;
    }
    if state.drift().is_some() {
        return Light::Drift;
    }
    let baking = state.active().is_some_and(|d| d.number == live.number && d.phase == Phase::Baking);
    match seen.stack(live.number) {
        Some(stack) if stack.health == Health::Failing || stack.condition == Condition::Failed => Light::Failing,
        Some(stack) if stack.condition == Condition::Ready && stack.health == Health::Passing => {
            if baking {
                Light::Watched
            } else {
                Light::Healthy
            }
        }
        Some(_) | None => Light::NotSeen,
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
    /// Nobody could look lately.
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
    /// Until when it waits, in RFC 3339, where it does not wait for ever.
    #[schema(required, example = "2026-11-21T18:00:00.000Z")]
    pub until: Option<String>,
}

/// Returns what needs a person, the most pressing first.
pub(crate) fn needs(state: &Environment, seen: &Outlook<'_>, now: Millis, fresh: Millis) -> Vec<Need> {
    let mut needs = Vec::new();
    needs.extend(down(state, seen, now));
    needs.extend(operator(state));
    needs.extend(approval(state));
    needs.extend(drift(state));
    if light(state, seen, now, fresh) == Light::NotSeen {
        needs.push(not_seen(state, seen, now));
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
    let (gate, question) = (active.gate()?, active.question()?);
    let over = match (gate, state.live()) {
        (GateName::BeforeCutover, Some(live)) => format!("to replace {}", names::short(&live.release)),
        (GateName::BeforeCutover, None) => "to go live".to_owned(),
        (GateName::BeforeProvisioning, _) => "to begin".to_owned(),
    };
    let who = wait::approvers(question, &active.asked_by);
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

fn not_seen(state: &Environment, seen: &Outlook<'_>, now: Millis) -> Need {
    let since = seen.looked.map_or("since the controller started".to_owned(), |looked| {
        format!("for {}", format_duration(now.since(looked)))
    });
    let live = state.live().map_or("what is live".to_owned(), |live| names::short(&live.release));
    let (what, cause) = match (seen.front_silent, seen.looked) {
        (Some(why), _) => ("the front cannot be asked".to_owned(), format!(" Cause: {why}.")),
        (None, Some(looked)) if now.since(looked) < Millis(1000) => {
            (format!("{live} is live and was not seen"), String::new())
        }
        (None, _) => (format!("nobody could look {since}"), String::new()),
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
