//! A deployment that gets its users in steps: what it waits for, and what users see meanwhile.

use super::{Outlook, names};
use crate::{
    machine::{Deployment, Environment, EnvironmentId, Event, Number, Otherwise, Phase, Share, Step, Traffic},
    text::{format_duration, format_time},
};

/// Says what users see of two stacks that share them, where both were seen to.
pub(super) fn users(state: &Environment, seen: &Outlook<'_>) -> Option<String> {
    let active = state.active().filter(|d| d.share().is_some() || matches!(d.phase, Phase::CuttingOver { .. }))?;
    let Some(Traffic::Split { base, candidate, share }) = seen.shows else { return None };
    let live = state.live().filter(|live| (live.number, active.number) == (base, candidate))?;
    let well = |number| match seen.stack(number) {
        Some(stack) if stack.is_good() => "passes its checks",
        Some(stack) if stack.is_bad() => "does not do its work",
        Some(_) | None => "was not seen to pass its checks",
    };
    let (old, new) = (names::named(&live.release, base), names::named(&active.release, candidate));
    let (of_old, of_new) = (well(base), well(candidate));
    Some(format!("{share} of users see {new}, which {of_new}; the others see {old}, which {of_old}."))
}

/// Says what was recorded of a deployment that gets its users in steps. `called`: what a deployment is called.
pub(super) fn done(
    id: &EnvironmentId,
    before: &Environment,
    event: &Event,
    called: impl Fn(Number) -> String,
) -> Option<String> {
    Some(match event {
        Event::RevertRequested { number, .. } => {
            let live = before.live().map_or("what is live".to_owned(), |s| names::named(&s.release, s.number));
            format!(
                "{} loses its share of the users in {id}: all go back to {live} by one order, as soon as it is seen good; \
                 follow it: `pointsman status {id} --watch`",
                called(*number)
            )
        }
        Event::Proceeded { number, .. } => format!("{} goes on in {id} as soon as it is seen good", called(*number)),
        Event::Paused { number, gate, .. } => {
            let then = match gate.otherwise {
                Otherwise::Approve => "it goes on",
                Otherwise::Abort => "all users go back",
            };
            format!(
                "{} keeps the users that it has in {id} for {} at most, then {then}; `pointsman proceed {id}` lets it go on, \
                 `pointsman abort {id}` sends all users back",
                called(*number),
                format_duration(gate.timeout)
            )
        }
        _ => return None,
    })
}

/// What a deployment with a share of the users waits for, and who can change that. `name`: what it is called.
pub(super) fn waits(
    id: &EnvironmentId,
    state: &Environment,
    active: &Deployment,
    (name, share): (&str, Share),
) -> String {
    let then = next(&active.plan.steps, share);
    if let Some(pause) = active.pause() {
        let until = format_time(pause.until());
        let otherwise = match pause.gate.otherwise {
            Otherwise::Approve if state.lets(active) => format!("it gets {then}"),
            Otherwise::Approve => format!("it gets {then} as soon as no hold and no pin stops it"),
            Otherwise::Abort => "all users go back".to_owned(),
        };
        return format!(
            "{name} keeps {share} of the users until somebody lets it go on, until {until} at the latest, then {otherwise}: \
             `pointsman proceed {id}` or `pointsman abort {id}`."
        );
    }
    if active.hurried {
        return format!("{name} has {share} of the users and gets {then} as soon as it is seen good.");
    }
    let until = active.deadline().map(format_time).unwrap_or_default();
    format!(
        "{name} has {share} of the users and is watched until {until}, then it gets {then}; `pointsman proceed {id}` goes on at \
         once, `pointsman pause {id}` keeps it there, `pointsman abort {id}` sends all users back."
    )
}

/// What it gets after that share.
fn next(steps: &[Step], share: Share) -> String {
    let next = steps.iter().find(|step| step.share > share);
    next.map_or("all of them".to_owned(), |step| step.share.to_string())
}
