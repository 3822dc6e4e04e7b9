//! Where a rollback leads: the one answer for the page, the API, the plan of an act and whoever is held to what they saw. What
//! the machine does with a rollback decides; this says it before somebody asks for one.

use std::sync::Arc;

use super::{
    Outlook,
    wait::{Readiness, rollback},
};
use crate::machine::{Ask, Command, Environment, Event, Release};

/// The way back from what is live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WayBack {
    /// Release that users would get.
    pub release: Arc<Release>,
    /// How: warm or cold, never none.
    pub readiness: Readiness,
}

/// Returns where a rollback would lead now; none when it would be refused, or would come to nothing.
pub(crate) fn way_back(state: &Environment, seen: &Outlook<'_>) -> Option<WayBack> {
    let live = state.live()?;
    let rollback_of_it = Command::from(Ask::Rollback(live.number, "".into()));
    match state.command(&rollback_of_it, "").ok()? {
        Event::ColdRollbackQueued { release, .. } => Some(WayBack { release, readiness: Readiness::Cold }),
        Event::RollbackRequested { .. } => {
            let standby = &state.standby()?.stack;
            // One that is known to be bad is not waited for: the release that was found good last is stood up again.
            let lost = seen.stack(standby.number).is_some_and(|stack| stack.is_bad());
            let proven = || state.proven().rev().find(|release| release.number != live.release.number);
            let release = if lost { proven()? } else { &standby.release };
            match rollback(state, seen) {
                Readiness::None => None,
                readiness => Some(WayBack { release: release.clone(), readiness }),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture_tests::{self, make_live},
        machine::{Condition, Entry, Health, Millis, Number},
        telling::Glimpse,
    };

    fn live(state: &mut Environment, number: u32, release: u32) {
        make_live(state, number, fixture_tests::release(release));
    }

    fn seen(standby: Health) -> Outlook<'static> {
        let glimpse = Glimpse { number: Number(2), condition: Condition::Ready, health: standby, remark: None };
        Outlook { looked: Some(Millis(0)), stacks: vec![glimpse], ..Outlook::default() }
    }

    #[test]
    fn it_leads_to_the_standby_and_to_the_last_good_release_where_that_is_known_to_be_bad() {
        let mut state = Environment::default();
        let leads = |state: &Environment, health| {
            way_back(state, &seen(health)).map(|back| (back.release.number, back.readiness))
        };
        assert_eq!(leads(&state, Health::Passing), None, "nothing is live");
        live(&mut state, 1, 1);
        assert_eq!(leads(&state, Health::Passing), None, "there was nothing before");
        live(&mut state, 2, 2);
        live(&mut state, 3, 3);
        assert_eq!(leads(&state, Health::Passing), Some((2, Readiness::Ready)));
        assert_eq!(leads(&state, Health::Unknown), Some((2, Readiness::Cold)), "it may yet come up");
        assert_eq!(leads(&state, Health::Failing), Some((2, Readiness::Cold)), "the last one that was found good");
        let rolled = Event::RollbackRequested { number: Number(3), reason: "orders fail".into() };
        state.apply(&Entry { at: Millis(0), by: "test".into(), event: rolled }).unwrap();
        assert_eq!(leads(&state, Health::Passing), None, "it is going back already");
    }

    #[test]
    fn the_same_release_deployed_again_is_no_way_back_to_itself() {
        let mut state = Environment::default();
        live(&mut state, 1, 1);
        live(&mut state, 2, 2);
        live(&mut state, 3, 2);
        assert_eq!(way_back(&state, &seen(Health::Passing)).map(|back| back.release.number), Some(2), "warm, as it is");
        let bad = way_back(&state, &seen(Health::Failing));
        assert_eq!(bad.map(|back| (back.release.number, back.readiness)), Some((1, Readiness::Cold)));
    }
}
