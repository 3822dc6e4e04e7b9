//! Stop-first and maintenance in words: what users get while nothing serves them, what is waited for, and what was ordered.

use super::names;
use crate::{
    machine::{Back, Deployment, Environment, EnvironmentId, Event, Number, Phase, Plan, Strategy, Traffic},
    text::{format_duration, format_time},
};

/// Says what users get while the front shows the maintenance page, or is to show it.
pub(super) fn users(state: &Environment, shows: Option<Traffic>) -> Option<String> {
    let why = match (state.maintenance(), state.active().filter(|_| state.is_paged())) {
        (Some(m), _) => format!("{} turned maintenance on at {} ({})", m.by, format_time(m.since), m.reason),
        (None, Some(d)) => {
            let live = state.live().map_or("what was live".to_owned(), |s| names::named(&s.release, s.number));
            let candidate = names::named(&d.release, d.number);
            match d.phase.is_going_back() {
                true => format!("{live} is to serve them again instead of {candidate}"),
                false => format!("{live} is stopped before {candidate} comes up, because two must not run"),
            }
        }
        (None, None) => return None,
    };
    match shows {
        Some(Traffic::Nobody) => Some(format!("Users get the maintenance page: {why}.")),
        _ => Some(format!("Users are to get the maintenance page, which the front has not shown yet: {why}.")),
    }
}

/// How long users will get the maintenance page, as far as the last time tells: words in commas, or nothing.
pub(super) fn about(state: &Environment) -> String {
    state.last_downtime().map(|took| format!(", about {} as the last time", format_duration(took))).unwrap_or_default()
}

/// What a deployment under these terms costs users, in words that go on from it; nothing where two stacks may run.
pub(super) fn price(before: &Environment, plan: &Plan) -> String {
    if plan.strategy != Strategy::StopFirst || before.live().is_none() {
        return String::new();
    }
    format!("; users get the maintenance page while what is live is stopped and it comes up{}", about(before))
}

/// What a deployment waits for while a stack is stopped for it. `name`: what it is called.
pub(super) fn waits(state: &Environment, active: &Deployment, name: &str) -> String {
    let until = active.deadline().map(format_time).unwrap_or_default();
    let live = || state.live().map_or("what is live".to_owned(), |s| names::named(&s.release, s.number));
    let back = |back: &Back| back.reason.clone();
    match &active.phase {
        Phase::Paging { back: None, .. } => {
            format!("{name} waits for the front to show the maintenance page, until {until} at the latest.")
        }
        Phase::Paging { back: Some(way), .. } => {
            format!("{name} goes back ({}): the front is to show the maintenance page.", back(way))
        }
        Phase::Stopping { back: None, .. } => {
            format!("{name} waits for {} to be stopped, until {until} at the latest.", live())
        }
        Phase::Stopping { back: Some(way), .. } => {
            format!("{name} goes back ({}): its stack is being stopped, until {until} at the latest.", back(way))
        }
        Phase::Starting { reason, .. } => {
            format!(
                "{name} goes back ({reason}): {} is being started and checked, until {until} at the latest.",
                live()
            )
        }
        _ => format!("{name} is under way."),
    }
}

/// Says what was ordered by a person of a deployment that stops what is live, or of maintenance. `called`: what a deployment
/// is called.
pub(super) fn done(
    id: &EnvironmentId,
    before: &Environment,
    event: &Event,
    called: impl Fn(Number) -> String,
) -> Option<String> {
    let live = before.live().map_or("what was live".to_owned(), |s| names::named(&s.release, s.number));
    Some(match event {
        Event::PageOrdered { number, .. } | Event::StopOrdered { number, .. } | Event::StartOrdered { number, .. } => {
            format!(
                "{} goes back in {id}: {live} is started again, and users get it as soon as it is seen good; follow it: \
                 `pointsman status {id} --watch`",
                called(*number)
            )
        }
        Event::MaintenanceBegun { .. } => format!(
            "users of {id} get the maintenance page until `pointsman maintenance {id} off`; deployments go on behind it"
        ),
        Event::MaintenanceEnded { .. } => {
            let live = if before.live().is_some() { live } else { "nothing, since nothing is live".to_owned() };
            format!("maintenance of {id} is off: users get {live} as soon as it is seen good")
        }
        _ => return None,
    })
}
