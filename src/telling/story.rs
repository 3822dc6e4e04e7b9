//! The story of deployments, one each: who asked for what and why, when it was live, how it ended. Folded from records, which
//! may begin in the middle of the history.

use std::sync::Arc;

use crate::machine::{Back, CONTROLLER, Environment, Event, Millis, Number, Outcome, Release, Trigger};

/// What is said of a past of which a part is missing.
pub(crate) const UNREAD: &str = "a part of the state file cannot be read: what happened then is not shown here, and a \
                                 deployment of that time may look unfinished; `pointsman journal verify` names the place";

/// One deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Story {
    pub number: Number,
    pub release: Arc<Release>,
    pub trigger: Trigger,
    /// Who asked for it, when, and why where they said so.
    pub by: Arc<str>,
    pub at: Millis,
    pub reason: Option<Arc<str>>,
    /// When it got the traffic.
    pub live: Option<Millis>,
    /// The host on which the front was seen to have sent it there, where that is known.
    pub host: Option<Arc<str>>,
    /// How it ended; none while it is under way.
    pub end: Option<End>,
    /// Who asked for its rollback.
    pub rolled_back_by: Option<Arc<str>>,
    /// How long users got the maintenance page for it.
    pub downtime: Millis,
    /// The largest share of the users that it was seen to have, in percent, before it had all.
    pub share: Option<u8>,
    /// Since when they do.
    paged: Option<Millis>,
    started: bool,
    /// Its release was vetoed while it was under way.
    vetoed: bool,
    revert: Option<(Outcome, Arc<str>)>,
}

/// How a deployment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub outcome: Outcome,
    pub at: Millis,
    pub why: Arc<str>,
    /// Its release was vetoed before it was live, which is why.
    pub vetoed: bool,
}

/// Tells the deployments of these records, oldest first. What the state remembers of their ends counts.
pub(crate) fn stories<'a>(
    records: impl IntoIterator<Item = (Millis, &'a Arc<str>, &'a Event)>,
    state: &Environment,
) -> Vec<Story> {
    let mut told = Vec::new();
    for (at, by, event) in records {
        take(&mut told, (at, by, event));
    }
    for story in &mut told {
        if let Some(ended) = state.ended().iter().rev().find(|ended| ended.number == story.number) {
            let vetoed = story.vetoed && ended.outcome == Outcome::Aborted;
            story.end = Some(End { outcome: ended.outcome, at: ended.at, why: ended.reason.clone(), vetoed });
        }
    }
    told
}

/// Goes on telling with one more event.
pub(crate) fn take(told: &mut Vec<Story>, (at, by, event): (Millis, &Arc<str>, &Event)) {
    let new = |number, release: &Arc<Release>, trigger, reason: Option<&Arc<str>>| {
        Story::begun(number, release, trigger, (by, at, reason))
    };
    let end = |outcome, why: &Arc<str>| Some(End { outcome, at, why: why.clone(), vetoed: false });
    match event {
        Event::Accepted { number, release, trigger, reason, .. } => {
            let why: Arc<str> = format!("deployment {number} is newer").into();
            let waiting = |s: &&mut Story| !s.started && s.end.is_none() && s.trigger != Trigger::Rollback;
            told.iter_mut().filter(waiting).for_each(|story| story.end = end(Outcome::Superseded, &why));
            told.push(new(*number, release, *trigger, reason.as_ref()));
        }
        Event::ColdRollbackQueued { number, by: next, release, reason, .. } => {
            clear_the_way(told, *number, at);
            if let Some(story) = told.iter_mut().find(|s| s.number == *number) {
                (story.rolled_back_by, story.end) = (Some(by.clone()), end(Outcome::RolledBack, reason));
            }
            told.push(new(*next, release, Trigger::Rollback, Some(reason)));
        }
        Event::Vetoed { release, .. } => {
            let why: Arc<str> = "its release was vetoed".into();
            let concerned = |s: &&mut Story| s.live.is_none() && s.end.is_none() && s.release.number == *release;
            for story in told.iter_mut().filter(concerned) {
                story.vetoed = true;
                if !story.started {
                    story.end = Some(End { outcome: Outcome::Aborted, at, why: why.clone(), vetoed: true });
                }
            }
        }
        event => {
            if let Event::RollbackRequested { number, .. } = event {
                clear_the_way(told, *number, at);
            }
            let Some(story) = deployment_of(event).and_then(|number| told.iter_mut().find(|s| s.number == number))
            else {
                return;
            };
            story.note_page(at, event);
            match event {
                Event::Started { .. } => story.started = true,
                Event::WentLive { host, .. } => (story.live, story.host) = (Some(at), host.clone()),
                Event::Succeeded { .. } => story.end = end(Outcome::Succeeded, &"".into()),
                Event::Ended { outcome, reason, .. } => {
                    let vetoed = story.vetoed && *outcome == Outcome::Aborted;
                    story.end = Some(End { outcome: *outcome, at, why: reason.clone(), vetoed });
                }
                Event::Shifted { share, .. } => story.share = story.share.max(Some(share.percent())),
                Event::RollbackRequested { .. } => story.rolled_back_by = Some(by.clone()),
                Event::RevertRequested { outcome: Outcome::RolledBack, .. } if **by != *CONTROLLER => {
                    story.rolled_back_by = Some(by.clone());
                }
                Event::PageOrdered { back: Some(Back { outcome, reason }), .. }
                | Event::StopOrdered { back: Some(Back { outcome, reason }), .. }
                | Event::StartOrdered { outcome, reason, .. }
                | Event::RevertOrdered { outcome, reason, .. } => story.revert = Some((*outcome, reason.clone())),
                Event::Reverted { .. } => {
                    story.end = story.revert.take().and_then(|(outcome, why)| end(outcome, &why)).or(story.end.take());
                }
                _ => {}
            }
        }
    }
}

impl Story {
    fn begun(
        number: Number,
        release: &Arc<Release>,
        trigger: Trigger,
        (by, at, reason): (&Arc<str>, Millis, Option<&Arc<str>>),
    ) -> Self {
        Self {
            number,
            release: release.clone(),
            trigger,
            by: by.clone(),
            at,
            reason: reason.cloned(),
            live: None,
            host: None,
            end: None,
            rolled_back_by: None,
            downtime: Millis(0),
            share: None,
            paged: None,
            started: false,
            vetoed: false,
            revert: None,
        }
    }

    /// Counts how long users get the maintenance page.
    fn note_page(&mut self, at: Millis, event: &Event) {
        match event {
            Event::StopOrdered { .. } => {
                self.paged.get_or_insert(at);
            }
            Event::WentLive { .. } | Event::Reverted { .. } | Event::Ended { .. } => {
                let length = self.paged.take().map_or(Millis(0), |since| at.since(since));
                self.downtime = self.downtime.plus(length);
            }
            _ => {}
        }
    }
}

/// A rollback aborts what has not reached its cutover.
fn clear_the_way(told: &mut [Story], live: Number, at: Millis) {
    let why: Arc<str> = format!("deployment {live} is being rolled back").into();
    let before = |s: &&mut Story| s.started && s.live.is_none() && s.end.is_none() && s.number != live;
    let aborted = || Some(End { outcome: Outcome::Aborted, at, why: why.clone(), vetoed: false });
    told.iter_mut().filter(before).for_each(|story| story.end = aborted());
}

/// Returns the deployment that an event is about, or whose stack.
pub(crate) fn deployment_of(event: &Event) -> Option<Number> {
    match event {
        Event::Accepted { number, .. }
        | Event::Started { number }
        | Event::Approved { number, .. }
        | Event::DefinitionFrozen { number, .. }
        | Event::Provisioned { number }
        | Event::Checked { number, .. }
        | Event::HookOrdered { number, .. }
        | Event::HookFinished { number, .. }
        | Event::CutOverOrdered { number, .. }
        | Event::PageOrdered { number, .. }
        | Event::StopOrdered { number, .. }
        | Event::Stopped { number }
        | Event::StartOrdered { number, .. }
        | Event::Shifted { number, .. }
        | Event::Proceeded { number, .. }
        | Event::Paused { number, .. }
        | Event::RevertRequested { number, .. }
        | Event::WentLive { number, .. }
        | Event::Succeeded { number }
        | Event::Ended { number, .. }
        | Event::RollbackRequested { number, .. }
        | Event::RevertOrdered { number, .. }
        | Event::Reverted { number, .. }
        | Event::ColdRollbackQueued { number, .. }
        | Event::StandbyReleased { number, .. }
        | Event::Retired { number }
        | Event::OrphanFound { number }
        | Event::StrangerFound { number }
        | Event::StrangerDismissed { number, .. }
        | Event::LiveDown { number, .. }
        | Event::LiveUp { number }
        | Event::Recovered { number, .. }
        | Event::RestartAsked { number, .. }
        | Event::RestartEnded { number, .. }
        | Event::OperatorNeeded { number, .. } => Some(*number),
        Event::DriftSeen { .. }
        | Event::DriftMended
        | Event::MaintenanceBegun { .. }
        | Event::MaintenanceEnded { .. }
        | Event::Held { .. }
        | Event::Resumed { .. }
        | Event::Pinned { .. }
        | Event::Unpinned { .. }
        | Event::Vetoed { .. }
        | Event::Unvetoed { .. }
        | Event::BuildsReset { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Key, Plan, Share};

    #[test]
    fn a_superseded_build_and_what_a_rollback_aborts_have_their_end_also_when_the_state_forgot_them() {
        let release = |number: u32| Arc::new(Release { number, ..Release::draft(&format!("1.4.{number}")) });
        let accepted = |number: u32| {
            let (key, plan, release) = (Key([0; 16]), Arc::new(Plan::default()), release(number));
            let number = Number(number);
            Event::Accepted {
                number,
                key,
                build_number: None,
                release,
                plan,
                trigger: Trigger::Build,
                reason: None,
                stranger: false,
            }
        };
        let [one, three] = [1, 3].map(Number);
        let events = [
            accepted(1),
            Event::Started { number: one },
            Event::WentLive { number: one, host: None },
            Event::Succeeded { number: one },
            accepted(2),
            accepted(3),
            Event::Started { number: three },
            Event::RollbackRequested { number: one, reason: "orders fail".into() },
            Event::RevertOrdered {
                number: one,
                to: None,
                generation: crate::machine::Generation(2),
                outcome: Outcome::RolledBack,
                reason: "orders fail".into(),
            },
            Event::Reverted { number: one, host: None },
        ];
        let by: Arc<str> = "ann".into();
        let records = events.iter().enumerate().map(|(at, event)| (Millis(at as u64), &by, event));
        let told = stories(records, &Environment::default());
        let ends: Vec<_> = told.iter().map(|s| s.end.as_ref().map(|end| (end.outcome, &*end.why, end.at.0))).collect();
        assert_eq!(
            ends,
            [
                Some((Outcome::RolledBack, "orders fail", 9)),
                Some((Outcome::Superseded, "deployment 3 is newer", 5)),
                Some((Outcome::Aborted, "deployment 1 is being rolled back", 7)),
            ]
        );
        assert_eq!((told[0].live, told[0].rolled_back_by.as_deref()), (Some(Millis(2)), Some("ann")));
    }

    #[test]
    fn the_largest_share_that_a_deployment_had_is_what_it_cost() {
        let (number, by): (_, Arc<str>) = (Number(1), "ann".into());
        let shifted = |percent: i64| Event::Shifted { number, share: Share::try_from(percent).unwrap(), host: None };
        let accepted = Event::Accepted {
            number,
            key: Key([0; 16]),
            build_number: None,
            release: Arc::new(Release { number: 1, ..Release::draft("1.4.1") }),
            plan: Arc::new(Plan::default()),
            trigger: Trigger::Build,
            reason: None,
            stranger: false,
        };
        let ended = Event::Ended { number, outcome: Outcome::Aborted, reason: "orders fail".into() };
        let events = [accepted, Event::Started { number }, shifted(5), shifted(50), ended];
        let records = events.iter().enumerate().map(|(at, event)| (Millis(at as u64), &by, event));
        let told = stories(records, &Environment::default());
        assert_eq!((told[0].share, told[0].live), (Some(50), None));
    }
}
