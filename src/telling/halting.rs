//! Stop-first and maintenance in words: what users get while nothing serves them, what is waited for, and what was ordered.

use serde::Serialize;
use utoipa::ToSchema;

use super::names;
use crate::{
    machine::{Back, Deployment, Environment, EnvironmentId, Event, Number, Phase, Plan, Strategy, Traffic},
    text::{format_duration, format_time},
};

/// A reason for which users get the maintenance page, or are to get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PageUp {
    /// The person who turned it on, or the deployment that has a stack stopped.
    #[schema(example = "deployment 12")]
    pub by: String,
    /// When it was ordered.
    #[schema(example = "2026-11-21T12:00:00.000Z")]
    pub since: String,
    /// Words for why.
    pub reason: String,
    /// What ends it, with the command where a person can.
    #[schema(example = "`pointsman maintenance shop/prod off` ends it; nothing automatic does")]
    pub ends: String,
}

/// Returns each reason for which users get the maintenance page, the person's first: the page stays until none is left.
pub(crate) fn pages(id: &EnvironmentId, state: &Environment) -> Vec<PageUp> {
    let person = state.maintenance().map(|on| PageUp {
        by: on.by.to_string(),
        since: format_time(on.since),
        reason: on.reason.to_string(),
        ends: format!("`pointsman maintenance {id} off` ends it; nothing automatic does"),
    });
    let stop = state.active().filter(|_| state.is_paged()).map(|d| PageUp {
        by: format!("deployment {}", d.number),
        since: format_time(state.paged_since().unwrap_or(d.since)),
        reason: stop(state, d),
        ends: match d.phase.is_going_back() {
            true => "it ends once what was live is started again and seen good".to_owned(),
            false => format!(
                "it ends once {} is seen good and gets the users; `pointsman abort {id}` starts what was live again",
                names::named(&d.release, d.number)
            ),
        },
    });
    person.into_iter().chain(stop).collect()
}

/// Says why a deployment has users shown the page.
fn stop(state: &Environment, d: &Deployment) -> String {
    let live = state.live().map_or("what was live".to_owned(), |s| names::named(&s.release, s.number));
    let candidate = names::named(&d.release, d.number);
    match d.phase.is_going_back() {
        true => format!("{live} is to serve them again instead of {candidate}"),
        false => format!("{live} is stopped before {candidate} comes up, because two must not run"),
    }
}

/// Says what users get while the front shows the maintenance page, or is to show it.
pub(super) fn users(state: &Environment, shows: Option<Traffic>) -> Option<String> {
    let why = match (state.maintenance(), state.active().filter(|_| state.is_paged())) {
        (Some(m), _) => format!("{} turned maintenance on at {} ({})", m.by, format_time(m.since), m.reason),
        (None, Some(d)) => stop(state, d),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::machine::{Entry, Generation, Key, Millis, Release, Trigger};

    fn told(state: &mut Environment, events: impl IntoIterator<Item = Event>) {
        for event in events {
            state.apply(&Entry { at: Millis(1000), by: "ann".into(), event }).unwrap();
        }
    }

    fn accepted(number: u32) -> Event {
        let plan = Plan { strategy: Strategy::StopFirst, ..Plan::default() };
        Event::Accepted {
            number: Number(number),
            key: Key([u8::try_from(number).unwrap(); 16]),
            build_number: None,
            release: Arc::new(Release { number, ..Release::draft(&format!("1.4.{number}")) }),
            plan: Arc::new(plan),
            trigger: Trigger::Person,
            reason: None,
            stranger: false,
        }
    }

    fn live() -> Environment {
        let (mut state, number) = (Environment::default(), Number(1));
        let generation = Generation(1);
        told(&mut state, [accepted(1), Event::Started { number }, Event::Provisioned { number }]);
        told(&mut state, [Event::Checked { number, answers: Vec::new() }]);
        told(&mut state, [Event::CutOverOrdered { number, generation, share: None }]);
        told(&mut state, [Event::WentLive { number, host: None }, Event::Succeeded { number }]);
        state
    }

    fn row(by: &str, reason: &str, ends: &str) -> PageUp {
        let since = "1970-01-01T00:00:01.000Z".to_owned();
        PageUp { by: by.to_owned(), since, reason: reason.to_owned(), ends: ends.to_owned() }
    }

    #[test]
    fn each_reason_for_the_page_is_told_with_who_since_when_and_what_ends_it() {
        let id = "shop/prod".parse().unwrap();
        let mut state = live();
        assert_eq!(pages(&id, &state), []);
        let (number, generation) = (Number(2), Generation(2));
        told(
            &mut state,
            [accepted(2), Event::Started { number }, Event::PageOrdered { number, generation, back: None }],
        );
        let stop = row(
            "deployment 2",
            "1.4.1 (deployment 1) is stopped before 1.4.2 (deployment 2) comes up, because two must not run",
            "it ends once 1.4.2 (deployment 2) is seen good and gets the users; `pointsman abort shop/prod` starts what was \
             live again",
        );
        assert_eq!(pages(&id, &state), [stop]);

        let mut state = live();
        told(&mut state, [Event::MaintenanceBegun { generation, hold: false, reason: "the database moves".into() }]);
        let person =
            row("ann", "the database moves", "`pointsman maintenance shop/prod off` ends it; nothing automatic does");
        assert_eq!(pages(&id, &state), [person]);
        told(&mut state, [Event::MaintenanceEnded { generation: Generation(3), reason: None }]);
        assert_eq!(pages(&id, &state), []);
    }
}
