//! How far an environment is behind the one before it, in releases. A promotion brings the newest of them.

use std::collections::BTreeSet;

use crate::machine::{Environment, Outcome, promotion::is_reverting};

/// Returns how many releases `here` is behind what is live in the environment before it: those that were found good there, or
/// are live there, and are newer than what is live here. What is vetoed in either, superseded, aborted or rolled back does not
/// count, nor does anything while something older is live there, or is being brought back. As far as the last deployments
/// there are remembered.
pub(crate) fn behind(before: &Environment, here: &Environment) -> usize {
    let Some(theirs) = before.live().map(|live| live.release.number) else { return 0 };
    let ours = here.live().map_or(0, |live| live.release.number);
    let vetoed = |release: &u32| [before, here].iter().any(|e| e.vetoes().iter().any(|veto| veto.release == *release));
    if vetoed(&theirs) || is_reverting(before) {
        return 0;
    }
    let good = before.ended().iter().filter(|ended| ended.outcome == Outcome::Succeeded).map(|e| e.release.number);
    let newer = |release: &u32| *release > ours && *release <= theirs && !vetoed(release);
    good.chain([theirs]).filter(newer).collect::<BTreeSet<u32>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture_tests::{self, make_live},
        machine::{Entry, Event, Millis, Number, Plan, Trigger},
    };

    fn told(state: &mut Environment, events: impl IntoIterator<Item = Event>) {
        for event in events {
            state.apply(&Entry { at: Millis(0), by: "test".into(), event }).unwrap();
        }
    }

    fn accepted(state: &mut Environment, release: u32) -> Number {
        let number = state.last_number().next();
        let accepted =
            fixture_tests::accepted(number.0, fixture_tests::release(release), Plan::default(), Trigger::Build);
        told(state, [accepted]);
        number
    }

    fn live(state: &mut Environment, release: u32) {
        make_live(state, state.last_number().next().0, fixture_tests::release(release));
    }

    fn of(releases: &[u32]) -> Environment {
        let mut state = Environment::default();
        releases.iter().for_each(|release| live(&mut state, *release));
        state
    }

    #[test]
    fn it_is_behind_by_what_was_found_good_before_and_is_newer() {
        assert_eq!(behind(&of(&[]), &of(&[])), 0);
        assert_eq!(behind(&of(&[1]), &of(&[])), 1);
        assert_eq!(behind(&of(&[1, 2, 5]), &of(&[1])), 2);
        assert_eq!(behind(&of(&[1, 2, 2]), &of(&[2])), 0);
        assert_eq!(behind(&of(&[1, 2, 1]), &of(&[2])), 0, "an older one is live there");
    }

    #[test]
    fn what_nobody_could_promote_does_not_count() {
        let veto = |release| Event::Vetoed { release, reason: "it leaks".into() };
        let (mut qa, mut prod) = (of(&[1, 2, 3]), of(&[1]));
        told(&mut qa, [veto(2)]);
        assert_eq!(behind(&qa, &prod), 1, "one in between is vetoed there");
        told(&mut prod, [veto(3)]);
        assert_eq!(behind(&qa, &prod), 0, "what is live there is vetoed here");
        let mut qa = of(&[1]);
        accepted(&mut qa, 2);
        accepted(&mut qa, 3);
        assert_eq!(behind(&qa, &of(&[1])), 0, "superseded, or still to come");
        let mut qa = of(&[1, 2]);
        told(&mut qa, [Event::RollbackRequested { number: Number(2), reason: "orders fail".into() }]);
        assert_eq!(behind(&qa, &of(&[])), 0, "something older comes back");
    }
}
