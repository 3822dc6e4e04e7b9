//! What stands beside a deployment and wants a person: a standby that users were taken from, a front that somebody else
//! repoints, a tear-down that does not come to its end.

use super::{Outlook, names};
use crate::{
    machine::{Environment, EnvironmentId, Stack, Straying},
    text::{format_duration, format_time},
};

/// Says that users were taken from the standby, since when it is so, and how one goes back to it.
pub(super) fn suspect(id: &EnvironmentId, state: &Environment) -> Option<String> {
    let standby = state.standby().filter(|standby| standby.suspect)?;
    let name = names::named(&standby.stack.release, standby.stack.number);
    let taken = match &standby.taken {
        Some(taken) => {
            let (at, length) = (format_time(taken.at), format_duration(taken.at.since(taken.down_since)));
            let why = taken.reason.trim_end_matches('.');
            format!("at {at}: it was down for {length} ({why})")
        }
        None => "because it was down".to_owned(),
    };
    Some(format!(
        "Users were taken from {name}, the standby, {taken}. It is started again and checked, and nobody is sent back to \
         it by itself: `pointsman rollback {id}` does that."
    ))
}

/// Says that somebody else repoints the front, how often, and what is done about it.
pub(super) fn repointed(id: &EnvironmentId, state: &Environment, seen: &Outlook<'_>) -> Option<String> {
    let straying = state.straying().filter(|s| s.in_a_row > 0 && (state.drift().is_some() || s.operator_needed))?;
    let times = match straying.in_a_row {
        1 => format!("at {}", format_time(straying.since)),
        times => format!("{times} times since {}", format_time(straying.began)),
    };
    let shown = if straying.shown.is_empty() { String::new() } else { format!(", at last to {}", straying.shown) };
    let done = match (state.drift(), state.live()) {
        (None, _) => "It was put right.".to_owned(),
        (Some(_), Some(live)) if !is_good(live, seen) => {
            let live = names::named(&live.release, live.number);
            format!("It is left there as long as {live} is not seen to pass its checks.")
        }
        (Some(_), _) if straying.pause().0 > 0 => {
            let from = format_time(straying.mended_from());
            format!("It is put right at {from}; the pause before that grows each time.")
        }
        (Some(_), _) => "It is put right at once.".to_owned(),
    };
    Some(format!("The front was repointed by somebody else {times}{shown}. {done}{}", person(id, straying)))
}

fn person(id: &EnvironmentId, straying: &Straying) -> String {
    if straying.too_often() {
        return format!(
            " A person is needed: find who else points it, such as another controller or a scheduled script, then \
             `pointsman resume {id}`."
        );
    }
    let needed = " A person is needed: the history says why.";
    if straying.operator_needed { needed.to_owned() } else { String::new() }
}

/// Says which stacks could not be torn down in time.
pub(super) fn stuck(state: &Environment) -> impl Iterator<Item = String> {
    state.retiring().iter().filter(|r| r.operator_needed).map(|retiring| {
        let number = retiring.number;
        format!(
            "An operator is needed: the stack of deployment {number} could not be torn down in time, the history says \
             why; it is still tried."
        )
    })
}

fn is_good(live: &Stack, seen: &Outlook<'_>) -> bool {
    seen.stack(live.number).is_some_and(|stack| stack.is_good())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        machine::{
            Condition, Entry, Event, Generation, Health, Key, Matter, Millis, Number, Plan, Recover, RecoverTo,
            Release, Trigger,
        },
        telling::{Glimpse, WaitsFor, situation, waits},
    };

    struct Told {
        id: EnvironmentId,
        state: Environment,
        now: u64,
    }

    impl Told {
        fn two_live(recover: Recover) -> Self {
            let mut told = Self { id: "shop/prod".parse().unwrap(), state: Environment::default(), now: 0 };
            for number in [1, 2] {
                let release = Arc::new(Release { number, ..Release::draft(&format!("1.4.{number}")) });
                let (key, plan) =
                    (Key([u8::try_from(number).unwrap(); 16]), Arc::new(Plan { recover, ..Plan::default() }));
                let (generation, number, trigger) = (Generation(number.into()), Number(number), Trigger::Person);
                told.happens(Event::Accepted {
                    number,
                    key,
                    build_number: None,
                    release,
                    plan,
                    trigger,
                    reason: None,
                    stranger: false,
                });
                told.happens(Event::Started { number });
                told.happens(Event::Provisioned { number });
                told.happens(Event::Checked { number, answers: Vec::new() });
                told.happens(Event::CutOverOrdered { number, generation, share: None });
                told.happens(Event::WentLive { number, host: None });
                told.happens(Event::Succeeded { number });
            }
            told
        }

        fn happens(&mut self, event: Event) {
            let entry = Entry { at: Millis(self.now * 1000), by: "pointsman".into(), event };
            self.state.apply(&entry).unwrap();
        }

        fn down(&mut self) {
            self.happens(Event::LiveDown { number: Number(2), reason: "exit status 42.".into() });
        }

        fn drift(&mut self, generation: u64, in_a_row: u32) {
            let words = Some("10.0.0.9:80".into());
            let generation = Generation(generation);
            self.happens(Event::DriftSeen { shown: Some(Number(1)), generation, in_a_row, words });
        }
    }

    fn good(numbers: &[u32]) -> Outlook<'static> {
        let glimpse = |n: &u32| Glimpse {
            number: Number(*n),
            condition: Condition::Ready,
            health: Health::Passing,
            remark: None,
        };
        Outlook {
            now: Millis(1),
            looked: Some(Millis(1)),
            stacks: numbers.iter().map(glimpse).collect(),
            ..Outlook::default()
        }
    }

    #[test]
    fn what_is_down_is_told_with_what_is_done_when_it_stays_so_and_from_when() {
        let after = Millis(30_000);
        for (to, words) in [
            (RecoverTo::Standby, "users are sent to 1.4.1 (deployment 1) from 1970-01-01T00:00:30.000Z on"),
            (RecoverTo::Restart, "If it stays down until 1970-01-01T00:00:30.000Z, a person is called."),
        ] {
            let mut told = Told::two_live(Recover { to, after });
            told.down();
            let said = situation(&told.id, &told.state, &good(&[1])).doing;
            assert!(said.contains(words), "{said}");
            told.happens(Event::OperatorNeeded { number: Number(2), reason: "x".into(), about: Some(Matter::Live) });
            let said = situation(&told.id, &told.state, &good(&[1])).doing;
            assert!(said.ends_with("A person is needed: the history says why."), "{said}");
            assert_eq!(waits(&told.state).what, WaitsFor::Operator);
        }
    }

    #[test]
    fn a_suspect_standby_is_told_with_when_and_for_what_users_were_taken_from_it_and_the_way_back() {
        let mut told = Told::two_live(Recover { to: RecoverTo::Standby, after: Millis(30_000) });
        told.down();
        told.now = 31;
        let (number, to, generation) = (Number(2), Number(1), Generation(3));
        told.happens(Event::Recovered { number, to, generation, reason: "stack 2 is down".into() });
        told.happens(Event::DriftMended);
        let said = situation(&told.id, &told.state, &good(&[1]));
        assert_eq!(said.users, "Users see 1.4.1 (deployment 1); it is up and passes its checks.");
        let words = "Users were taken from 1.4.2 (deployment 2), the standby, at 1970-01-01T00:00:31.000Z: it was down for \
                     31 s (exit status 42). It is started again and checked, and nobody is sent back to it by itself: \
                     `pointsman rollback shop/prod` does that.";
        assert!(said.doing.ends_with(words), "{}", said.doing);
        assert!(said.doing.contains("Automatic deployments are held by pointsman"), "{}", said.doing);
        assert_eq!(said.command.as_deref(), Some("pointsman resume shop/prod"));
    }

    #[test]
    fn a_front_that_others_repoint_is_told_with_how_often_where_to_and_when_it_is_put_right() {
        let mut told = Told::two_live(Recover::default());
        let mut says = |at: u64, generation, in_a_row| {
            told.now = at;
            told.drift(generation, in_a_row);
            situation(&told.id, &told.state, &good(&[1, 2]))
        };
        let first = says(10, 3, 1);
        assert_eq!(
            first.users,
            "Users do not see 1.4.2 (deployment 2): somebody else pointed the front at 10.0.0.9:80, seen at \
             1970-01-01T00:00:10.000Z."
        );
        let words = "The front was repointed by somebody else at 1970-01-01T00:00:10.000Z, at last to 10.0.0.9:80. It is put \
                     right at once.";
        assert!(first.doing.starts_with(words), "{}", first.doing);
        assert_eq!(first.command.as_deref(), Some("pointsman history shop/prod"));
        let fifth = says(100, 7, 5);
        let words = "The front was repointed by somebody else 5 times since 1970-01-01T00:00:10.000Z, at last to 10.0.0.9:80. \
                     It is put right at 1970-01-01T00:01:48.000Z; the pause before that grows each time. A person is needed: \
                     find who else points it";
        assert!(fifth.doing.starts_with(words), "{}", fifth.doing);
        assert_eq!(fifth.command.as_deref(), Some("pointsman resume shop/prod"));
        let sick = situation(&told.id, &told.state, &good(&[1])).doing;
        assert!(sick.contains("left there as long as 1.4.2 (deployment 2) is not seen to pass its checks"), "{sick}");
    }

    #[test]
    fn an_order_that_was_not_carried_through_is_no_doing_of_others() {
        let mut told = Told::two_live(Recover { to: RecoverTo::Standby, after: Millis(30_000) });
        told.down();
        let (number, to, generation) = (Number(2), Number(1), Generation(3));
        told.happens(Event::Recovered { number, to, generation, reason: "stack 2 is down".into() });
        let said = situation(&told.id, &told.state, &good(&[1]));
        assert!(
            said.users.contains("the front was told to go to 1.4.1 (deployment 1) and has not shown it"),
            "{}",
            said.users
        );
        assert!(!said.doing.contains("somebody else"), "{}", said.doing);
    }
}
