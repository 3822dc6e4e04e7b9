//! What is said at night, in three lines: what users see now, what is being done about it and until when, and the one
//! command that helps. Where the first is not known, it says that.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Blind, Outlook, beside,
    front::front,
    halting, names, steps,
    wait::{Readiness, rollback, sentence},
};
use crate::{
    machine::{
        Condition, Deployment, Down, Ended, Environment, EnvironmentId, Outcome, Phase, RecoverTo, Restart, Stack,
    },
    text::{format_duration, format_time},
};

/// How an environment is, for whoever is woken by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Situation {
    /// What users see now, or that it is not known.
    #[schema(example = "Users see 1.4.2 (deployment 9); it is up and passes its checks.")]
    pub users: String,
    /// Words for what Pointsman does, and until when.
    #[schema(example = "It waits for the next deployment; a rollback is ready.")]
    pub doing: String,
    /// The one command that helps; null when nothing has to be done.
    #[schema(required, example = "pointsman approve shop/prod")]
    pub command: Option<String>,
}

/// Returns the three lines.
pub(crate) fn situation(id: &EnvironmentId, state: &Environment, seen: &Outlook<'_>) -> Situation {
    let front: Vec<_> = seen.front.iter().map(|trouble| front(trouble, seen.now)).collect();
    let add = |line: String, more: &str| format!("{line} {more}");
    Situation {
        users: front.iter().filter_map(|said| said.users.as_deref()).fold(users(id, state, seen), add),
        doing: front.iter().map(|said| &*said.doing).fold(doing(id, state, seen), add),
        command: command(id, state, seen)
            .map(|command| format!("pointsman {command}"))
            .or_else(|| front.into_iter().rev().find_map(|said| said.command)),
    }
}

/// Returns the last deployment that failed or was rolled back, until a success or an abort came after it.
pub(crate) fn last_failure(state: &Environment) -> Option<&Ended> {
    let last = state.ended().iter().rev().find(|ended| ended.outcome != Outcome::Superseded)?;
    matches!(last.outcome, Outcome::Failed | Outcome::RolledBack).then_some(last)
}

fn named(stack: &Stack) -> String {
    names::named(&stack.release, stack.number)
}

fn users(id: &EnvironmentId, state: &Environment, seen: &Outlook<'_>) -> String {
    let not_known = |why: String| format!("What users see is not known: {why}.");
    match seen.blind() {
        Some(Blind::Front(why)) => return not_known(format!("the front cannot be asked ({why})")),
        Some(Blind::Stale(ago)) => return not_known(format!("nobody could look for {}", format_duration(ago))),
        Some(Blind::Provider(_) | Blind::Never) | None => {}
    }
    if let Some(said) = halting::users(state, seen.shows) {
        return said;
    }
    if state.drift().is_some() {
        return users_of_a_stray(state);
    }
    if let Some(said) = steps::users(state, seen) {
        return said;
    }
    if let Some(active) = state.active().filter(|d| d.phase.has_open_order()) {
        let live = state.live().map_or("what was there before".to_owned(), named);
        return match &active.phase {
            Phase::Reverting { to: Some(to), .. } => {
                format!("Users see {live} or deployment {to}: the front was told to go back and has not shown it yet.")
            }
            _ => format!(
                "Users see {live} or {}: the front was told to move and has not shown it yet.",
                active.release.version
            ),
        };
    }
    let Some(live) = state.live() else {
        return format!("Pointsman sends users of {id} nowhere: nothing is live there yet.");
    };
    let name = named(live);
    if let Some(down) = state.down() {
        return users_of_what_is_down(&name, live, down, seen);
    }
    match (seen.blind(), seen.stack(live.number)) {
        (Some(Blind::Provider(why)), _) => {
            not_known(format!("the provider cannot be asked for the stack of {name}, which is live ({why})"))
        }
        (Some(_), _) => not_known("nothing was looked at since the controller started".to_owned()),
        (None, None) => not_known(format!("the stack of {name}, which is live, was not seen at the last look")),
        (None, Some(stack)) if stack.is_good() => {
            format!("Users see {name}; it is up and passes its checks.")
        }
        (None, Some(stack)) => {
            let remark = stack.remark.map(|remark| format!(": {remark}")).unwrap_or_default();
            let (condition, health) = (stack.condition, stack.health);
            format!("Users are sent to {name}, which is {condition}; its checks say {health}{remark}.")
        }
    }
}

fn users_of_a_stray(state: &Environment) -> String {
    let live = state.live().map_or("nobody".to_owned(), named);
    match state.straying().filter(|s| s.in_a_row > 0 && !s.shown.is_empty()) {
        Some(straying) => format!(
            "Users do not see {live}: somebody else pointed the front at {}, seen at {}.",
            straying.shown,
            format_time(straying.since)
        ),
        None => format!("What users see is not known: the front was told to go to {live} and has not shown it yet."),
    }
}

fn users_of_what_is_down(name: &str, live: &Stack, down: &Down, seen: &Outlook<'_>) -> String {
    let since = format_time(down.since);
    let why = down.reason.trim_end_matches('.');
    let may = match seen.stack(live.number) {
        Some(stack) if stack.is_good() && seen.blind().is_none() => {
            return format!("Users see {name}, which is up again; it was down since {since}: {why}.");
        }
        _ if seen.blind().is_some() => "What users see is not known",
        Some(stack) if stack.condition == Condition::Ready => "Users may get errors",
        _ => "Users get errors",
    };
    format!("{may}: {name}, which is live, is down since {since}: {why}.")
}

fn doing(id: &EnvironmentId, state: &Environment, seen: &Outlook<'_>) -> String {
    let under_way = state.active().is_some_and(|d| !d.phase.before_cutover());
    match (state.down(), state.live()) {
        (Some(down), Some(live)) if !under_way => {
            let then = if down.operator_needed {
                "A person is needed: the history says why.".to_owned()
            } else {
                after_that(state, live, down)
            };
            let text = match state.flaps() {
                Some(flaps) => {
                    let (times, settle) = (flaps.times.saturating_add(1), format_duration(flaps.settle()));
                    format!(
                        "Pointsman starts it again, with growing pauses. It went down {times} times in a row, so it counts as \
                         up only once it has passed its checks for {settle}. {then}"
                    )
                }
                None => format!("Pointsman starts it again, with growing pauses, until it passes its checks. {then}"),
            };
            let more = beside::repointed(id, state, seen).into_iter().chain(beside::suspect(id, state));
            more.fold(text, |text, more| text + " " + &more)
        }
        _ => match state.restart() {
            Some(restart) => format!("{} {}", restarting(state, restart), sentence(id, state, seen)),
            None => sentence(id, state, seen),
        },
    }
}

/// Says what is being restarted.
fn restarting(state: &Environment, restart: &Restart) -> String {
    let name = state.live().map_or("what is live".to_owned(), named);
    let since = format_time(restart.since);
    match restart.instance {
        Some(instance) => format!("Instance {instance} of {name} is started again, asked for at {since}."),
        None => {
            format!("The instances of {name} are started again, one after the other, asked for at {since}.")
        }
    }
}

/// What is done with a live stack that stays down.
fn after_that(state: &Environment, live: &Stack, down: &Down) -> String {
    let by = format_time(down.since.plus(live.plan.recover.after));
    let standby = state.standby().filter(|s| live.plan.recover.to == RecoverTo::Standby && !s.suspect);
    match standby {
        Some(standby) => {
            let to = named(&standby.stack);
            format!("If it stays down, users are sent to {to} from {by} on, if that passes its checks.")
        }
        None => format!("If it stays down until {by}, a person is called."),
    }
}

/// The command that helps, without the name of the program.
fn command(id: &EnvironmentId, state: &Environment, seen: &Outlook<'_>) -> Option<String> {
    let back = rollback(state, seen);
    if let Some(active) = state.active() {
        if active.operator_needed {
            return Some(for_a_stuck(id, active));
        }
        if active.gate().is_some() {
            return Some(format!("approve {id}"));
        }
        if active.pause().is_some() {
            return Some(format!("proceed {id}"));
        }
        if active.phase == Phase::Baking && state.down().is_some() && back != Readiness::None {
            return Some(format!("rollback {id}"));
        }
    }
    if state.down().is_some() && state.active().is_none_or(|d| d.phase.before_cutover()) {
        return Some(match back {
            Readiness::Ready | Readiness::Start | Readiness::Cold => format!("rollback {id}"),
            Readiness::None => format!("history {id}"),
        });
    }
    if let Some(straying) = state.straying().filter(|s| s.too_often() || state.drift().is_some() && s.in_a_row > 0) {
        let done = if straying.too_often() { "resume" } else { "history" };
        return Some(format!("{done} {id}"));
    }
    let waiting = state.active().is_none().then(|| state.queue().first()).flatten();
    match (state.hold(), state.pin(), waiting) {
        (Some(_), _, next) if next.is_none_or(super::wait::is_automatic) => Some(format!("resume {id}")),
        (_, Some(pin), Some(next)) if next.release.number != pin => Some(format!("pin {id} --lift")),
        _ if state.active().is_none() && last_failure(state).is_some() => Some(format!("history {id}")),
        _ => None,
    }
}

fn for_a_stuck(id: &EnvironmentId, active: &Deployment) -> String {
    match active.phase {
        // The one way back is asked for already; `abort` once more goes it in any case.
        Phase::Watching { .. } | Phase::RevertRequested { .. } => format!("abort {id}"),
        Phase::Baking => format!("rollback {id}"),
        Phase::Starting { .. } | Phase::Paging { back: None, .. } | Phase::Stopping { back: None, .. } => {
            format!("abort {id}")
        }
        Phase::RollbackRequested { .. } | Phase::Paging { .. } | Phase::Stopping { .. } | Phase::Reverting { .. } => {
            format!("history {id}")
        }
        Phase::Queued
        | Phase::AwaitingStart
        | Phase::Provisioning
        | Phase::Checking
        | Phase::AfterChecks
        | Phase::AwaitingCutover
        | Phase::Verifying
        | Phase::CuttingOver { .. } => format!("abort {id}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        machine::{Entry, Event, Generation, Health, Key, Millis, Number, Plan, Release, Trigger},
        telling::Glimpse,
        web_front::FrontTrouble,
    };

    fn told(state: &mut Environment, events: impl IntoIterator<Item = Event>) {
        for event in events {
            let entry = Entry { at: Millis(1_000), by: "test".into(), event };
            state.apply(&entry).unwrap();
        }
    }

    fn live(state: &mut Environment, number: u32) {
        accepted(state, number);
        let (generation, number) = (Generation(number.into()), Number(number));
        let went = [
            Event::CutOverOrdered { number, generation, share: None },
            Event::WentLive { number, host: None },
            Event::Succeeded { number },
        ];
        told(
            state,
            [Event::Started { number }, Event::Provisioned { number }, Event::Checked { number, answers: Vec::new() }],
        );
        told(state, went);
    }

    fn accepted(state: &mut Environment, number: u32) {
        let release = Arc::new(Release { number, ..Release::draft(&format!("1.4.{number}")) });
        let (key, plan) = (Key([u8::try_from(number).unwrap(); 16]), Arc::new(Plan::default()));
        let (number, trigger) = (Number(number), Trigger::Person);
        told(
            state,
            [Event::Accepted {
                number,
                key,
                build_number: None,
                release,
                plan,
                trigger,
                reason: None,
                stranger: false,
            }],
        );
    }

    fn looked(stacks: &[(u32, Condition, Health)]) -> Outlook<'static> {
        let glimpse = |&(number, condition, health): &(u32, Condition, Health)| Glimpse {
            number: Number(number),
            condition,
            health,
            remark: None,
        };
        Outlook {
            now: Millis(1),
            looked: Some(Millis(1)),
            stacks: stacks.iter().map(glimpse).collect(),
            ..Outlook::default()
        }
    }

    #[test]
    fn what_users_see_is_said_only_where_it_is_known() {
        let id = "shop/prod".parse().unwrap();
        let mut state = Environment::default();
        assert_eq!(
            situation(&id, &state, &looked(&[])).users,
            "Pointsman sends users of shop/prod nowhere: nothing is live there yet."
        );
        live(&mut state, 1);
        let says = |seen: &Outlook<'_>| situation(&id, &state, seen).users;
        let good = looked(&[(1, Condition::Ready, Health::Passing)]);
        assert_eq!(says(&good), "Users see 1.4.1 (deployment 1); it is up and passes its checks.");
        for (unknown, why) in [
            (Outlook::default(), "nothing was looked at since the controller started"),
            (looked(&[]), "was not seen at the last look"),
            (Outlook { front_silent: Some("timed out"), ..good.clone() }, "the front cannot be asked (timed out)"),
            (
                Outlook { stacks_silent: Some("503"), ..good.clone() },
                "the provider cannot be asked for the stack of 1.4.1",
            ),
            (Outlook { now: Millis(60_001), fresh: Millis(25_000), ..good.clone() }, "nobody could look for 1 min"),
        ] {
            let said = says(&unknown);
            assert!(said.starts_with("What users see is not known: ") && said.contains(why), "{said}");
        }
    }

    #[test]
    fn what_is_down_is_said_with_its_reason_and_the_command_is_the_way_back_where_there_is_one() {
        let id = "shop/prod".parse().unwrap();
        let mut state = Environment::default();
        live(&mut state, 1);
        let down = |number| Event::LiveDown { number: Number(number), reason: "exit status 42.".into() };
        let mut first = state.clone();
        told(&mut first, [down(1)]);
        let said = situation(&id, &first, &looked(&[(1, Condition::Failed, Health::Failing)]));
        let why = "1.4.1 (deployment 1), which is live, is down since 1970-01-01T00:00:01.000Z: exit status 42.";
        assert_eq!(said.users, format!("Users get errors: {why}"));
        let doing = "Pointsman starts it again, with growing pauses, until it passes its checks. If it stays down until \
                     1970-01-01T00:00:31.000Z, a person is called.";
        assert_eq!(said.doing, doing);
        assert_eq!(said.command.as_deref(), Some("pointsman history shop/prod"));
        let said = situation(&id, &first, &looked(&[(1, Condition::Ready, Health::Failing)])).users;
        assert_eq!(said, format!("Users may get errors: {why}"), "one of its instances may answer");
        let said = situation(&id, &first, &Outlook::default()).users;
        assert_eq!(said, format!("What users see is not known: {why}"));
        live(&mut state, 2);
        told(&mut state, [down(2)]);
        let said = situation(
            &id,
            &state,
            &looked(&[(2, Condition::Failed, Health::Failing), (1, Condition::Ready, Health::Passing)]),
        );
        assert_eq!(said.command.as_deref(), Some("pointsman rollback shop/prod"));
    }

    #[test]
    fn what_is_wrong_with_the_front_is_said_beside_what_users_see() {
        let id = "shop/prod".parse().unwrap();
        let mut state = Environment::default();
        live(&mut state, 1);
        let hour = 3_600_000;
        let ends = FrontTrouble::CertificateEnds { file: "/c.pem".into(), at: Millis(300 * hour) };
        let seen = |hours: u64, trouble| Outlook {
            now: Millis(hours * hour),
            looked: Some(Millis(hours * hour)),
            front: vec![trouble],
            ..looked(&[(1, Condition::Ready, Health::Passing)])
        };
        let soon = situation(&id, &state, &seen(60, &ends));
        assert_eq!(
            soon.users, "Users see 1.4.1 (deployment 1); it is up and passes its checks.",
            "they see nothing of it"
        );
        assert!(soon.doing.contains(" /c.pem ends in 10 days, at 1970-01-13T12:00:00.000Z. "), "{}", soon.doing);
        assert!(soon.command.as_deref().is_some_and(|command| command.starts_with("openssl x509 ")), "{soon:?}");
        let ended = FrontTrouble::CertificateEnded { file: "/c.pem".into(), at: Millis(300 * hour) };
        let users = situation(&id, &state, &seen(400, &ended)).users;
        assert!(
            users.starts_with("Users see 1.4.1") && users.contains("Browsers refuse the front's certificate"),
            "{users}"
        );
    }

    #[test]
    fn a_failure_is_remembered_until_a_success() {
        let mut state = Environment::default();
        live(&mut state, 1);
        assert_eq!(last_failure(&state), None);
        let ended = |number, outcome| Event::Ended { number, outcome, reason: "exit status 1".into() };
        accepted(&mut state, 2);
        told(&mut state, [Event::Started { number: Number(2) }, ended(Number(2), Outcome::Failed)]);
        assert_eq!(last_failure(&state).map(|ended| ended.number), Some(Number(2)));
        live(&mut state, 3);
        assert_eq!(last_failure(&state), None);
    }
}
