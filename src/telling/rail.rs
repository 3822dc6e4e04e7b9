//! The steps of a deployment, as a rail with stations: what is done, what is under way, what is to come, how long each took
//! and how long it may take. Made of the deployment's plan and of its records.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    machine::{Event, HookPoint, Millis, Outcome, Plan},
    text::{format_duration, format_time},
};

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepState {
    Done,
    Now,
    /// Its turn has not come.
    Todo,
    /// Here it ended, and not well.
    Failed,
}

/// One step of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Step {
    /// What it is called.
    #[schema(example = "Provision")]
    pub name: String,
    pub state: StepState,
    /// It is a person's to end.
    pub human: bool,
    /// When it began, in RFC 3339.
    #[schema(required, example = "2026-11-21T18:00:00.000Z")]
    pub began: Option<String>,
    /// When it ended.
    #[schema(required)]
    pub ended: Option<String>,
    /// How long it took, in milliseconds; null before it has ended.
    #[schema(required)]
    pub took: Option<u64>,
    /// How long it may take, as people say it.
    #[schema(required, example = "5 min")]
    pub within: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Turn,
    Gate,
    Provision,
    Check,
    Hook(std::sync::Arc<str>, HookPoint),
    CutOver,
    Bake,
    Revert,
}

struct Station {
    kind: Kind,
    within: Option<Millis>,
    began: Option<Millis>,
    ended: Option<Millis>,
    failed: bool,
}

/// The steps in their order, the one that it is at, and whether it has ended.
struct Line {
    stations: Vec<Station>,
    place: usize,
    over: bool,
}

/// Returns the steps of the deployment under these terms that these records, which are all its own, tell of. The first of
/// them is its acceptance.
pub(crate) fn rail<'a>(plan: &Plan, records: impl IntoIterator<Item = (Millis, &'a Event)>) -> Vec<Step> {
    let mut line = Line { stations: planned(plan), place: 0, over: false };
    for (at, event) in records {
        line.take(at, event);
    }
    let Line { stations, place, over } = line;
    // Whoever waited for no turn is not shown to have waited.
    let turn = &stations[0];
    let waited = turn.ended.zip(turn.began).is_none_or(|(ended, began)| ended.since(began).0 >= 1000);
    let steps = stations.iter().enumerate().map(|(at, station)| station.step(at == place && !over));
    steps.skip(usize::from(!waited)).collect()
}

impl Line {
    fn take(&mut self, at: Millis, event: &Event) {
        match event {
            Event::Accepted { .. } | Event::ColdRollbackQueued { .. } => {
                self.stations[0].began.get_or_insert(at);
            }
            Event::RevertOrdered { .. } => {
                self.end_here(at);
                self.stations.push(Station { began: Some(at), ..station(Kind::Revert, None) });
                (self.place, self.over) = (self.stations.len() - 1, false);
            }
            Event::Ended { outcome, .. } => {
                if *outcome != Outcome::Succeeded {
                    self.end_here(at);
                }
                self.over = true;
            }
            event => self.close(at, event),
        }
    }

    /// The step that it is at is the last one, and did not end well.
    fn end_here(&mut self, at: Millis) {
        self.stations.truncate(self.place + 1);
        let station = &mut self.stations[self.place];
        station.failed = true;
        station.began.get_or_insert(at);
        station.ended = Some(at);
    }

    /// Ends the step that the event closes, and those before it, and begins the next.
    fn close(&mut self, at: Millis, event: &Event) {
        let closed = (self.place..self.stations.len()).find(|place| closes(event, &self.stations[*place].kind));
        let Some(closed) = closed else { return };
        for station in &mut self.stations[self.place..=closed] {
            station.began.get_or_insert(at);
            station.ended.get_or_insert(at);
        }
        self.stations[closed].failed = matches!(event, Event::HookFinished { reason: Some(_), .. });
        match self.stations.get_mut(closed + 1) {
            Some(next) => {
                next.began.get_or_insert(at);
                self.place = closed + 1;
            }
            None => self.over = true,
        }
    }
}

/// Returns how long was worked, and how long people were waited for, in words.
pub(crate) fn sums(steps: &[Step]) -> (String, String) {
    let sum = |human: bool| {
        let of = steps.iter().filter(|step| step.human == human);
        format_duration(Millis(of.filter_map(|step| step.took).sum()))
    };
    (sum(false), sum(true))
}

fn planned(plan: &Plan) -> Vec<Station> {
    let gate = |gate: &Option<crate::machine::Gate>| {
        gate.as_ref().map(|gate| station(Kind::Gate, Some(gate.timeout))).into_iter()
    };
    let hooks = |point: HookPoint| {
        let of = plan.hooks.iter().filter(move |hook| hook.at == point);
        of.map(move |hook| station(Kind::Hook(hook.name.clone(), point), Some(hook.within)))
    };
    let mut line = vec![station(Kind::Turn, None)];
    line.extend(gate(&plan.before_provisioning));
    line.extend(hooks(HookPoint::BeforeProvisioning));
    line.push(station(Kind::Provision, Some(plan.provision_within)));
    line.push(station(Kind::Check, Some(plan.check_within)));
    line.extend(hooks(HookPoint::AfterChecks));
    line.extend(gate(&plan.before_cutover));
    line.extend(hooks(HookPoint::BeforeCutover));
    line.push(station(Kind::CutOver, Some(plan.cut_over_within)));
    line.extend(hooks(HookPoint::AfterCutover));
    line.push(station(Kind::Bake, Some(plan.bake)));
    line
}

fn station(kind: Kind, within: Option<Millis>) -> Station {
    Station { kind, within, began: None, ended: None, failed: false }
}

fn closes(event: &Event, kind: &Kind) -> bool {
    match (event, kind) {
        (Event::Started { .. }, Kind::Turn)
        | (Event::Approved { .. }, Kind::Gate)
        | (Event::Provisioned { .. }, Kind::Provision)
        | (Event::Checked { .. }, Kind::Check)
        | (Event::WentLive { .. }, Kind::CutOver)
        | (Event::Succeeded { .. }, Kind::Bake)
        | (Event::Reverted { .. }, Kind::Revert) => true,
        (Event::HookFinished { hook, point, .. }, Kind::Hook(name, at)) => hook == name && point == at,
        _ => false,
    }
}

impl Station {
    fn step(&self, now: bool) -> Step {
        let state = match (self.failed, self.ended, now) {
            (true, ..) => StepState::Failed,
            (false, Some(_), _) => StepState::Done,
            (false, None, true) => StepState::Now,
            (false, None, false) => StepState::Todo,
        };
        let name = match &self.kind {
            Kind::Turn => "Wait in line".to_owned(),
            Kind::Gate => "Approval".to_owned(),
            Kind::Provision => "Provision".to_owned(),
            Kind::Check => "Check".to_owned(),
            Kind::Hook(name, _) => format!("Hook {name}"),
            Kind::CutOver => "Cut over".to_owned(),
            Kind::Bake => "Bake".to_owned(),
            Kind::Revert => "Roll back".to_owned(),
        };
        Step {
            name,
            state,
            human: self.kind == Kind::Gate,
            began: self.began.map(format_time),
            ended: self.ended.map(format_time),
            took: self.ended.zip(self.began).map(|(ended, began)| ended.since(began).0),
            within: self.within.map(format_duration),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::machine::{Gate, Generation, Hook, Key, Number, Otherwise, Release, Trigger};

    fn plan() -> Plan {
        let gate = Gate { by: Vec::new(), not_the_asker: false, timeout: Millis(60_000), otherwise: Otherwise::Abort };
        let hook = Hook { name: "migrate".into(), at: HookPoint::AfterChecks, within: Millis(10_000), one_way: true };
        Plan { before_cutover: Some(gate), hooks: vec![hook], ..Plan::default() }
    }

    fn accepted(number: Number) -> Event {
        let (release, plan) = (Arc::new(Release::draft("1.4.2")), Arc::new(plan()));
        let trigger = Trigger::Build;
        Event::Accepted {
            number,
            key: Key([0; 16]),
            build_number: None,
            release,
            plan,
            trigger,
            reason: None,
            stranger: false,
        }
    }

    fn told(events: &[(u64, Event)]) -> Vec<(String, StepState, Option<u64>)> {
        let steps = rail(&plan(), events.iter().map(|(at, event)| (Millis(*at), event)));
        steps.into_iter().map(|step| (step.name, step.state, step.took)).collect()
    }

    #[test]
    fn a_deployment_at_its_gate_has_done_what_came_before_and_waits_for_a_person() {
        let number = Number(1);
        let (hook, point): (Arc<str>, _) = ("migrate".into(), HookPoint::AfterChecks);
        let events = [
            (1_000, accepted(number)),
            (1_100, Event::Started { number }),
            (3_100, Event::Provisioned { number }),
            (4_100, Event::Checked { number }),
            (4_200, Event::HookOrdered { number, hook: hook.clone(), point }),
            (5_100, Event::HookFinished { number, hook, point, reason: None, said: "".into() }),
        ];
        let step = |name: &str, state, took| (name.to_owned(), state, took);
        assert_eq!(
            told(&events),
            [
                step("Provision", StepState::Done, Some(2_000)),
                step("Check", StepState::Done, Some(1_000)),
                step("Hook migrate", StepState::Done, Some(1_000)),
                step("Approval", StepState::Now, None),
                step("Cut over", StepState::Todo, None),
                step("Bake", StepState::Todo, None),
            ]
        );
    }

    #[test]
    fn a_deployment_that_failed_ends_where_it_failed_and_one_that_was_undone_says_so() {
        let number = Number(1);
        let failed = Event::Ended { number, outcome: Outcome::Failed, reason: "no room".into() };
        let events = [(0, accepted(number)), (5_000, Event::Started { number }), (9_000, failed)];
        assert_eq!(
            told(&events),
            [
                ("Wait in line".to_owned(), StepState::Done, Some(5_000)),
                ("Provision".to_owned(), StepState::Failed, Some(4_000)),
            ]
        );
        let undo = Event::RevertOrdered {
            number,
            to: None,
            generation: Generation(2),
            outcome: Outcome::RolledBack,
            reason: "orders fail".into(),
        };
        let events = [
            (0, accepted(number)),
            (1, Event::Started { number }),
            (2, Event::Provisioned { number }),
            (3, Event::Checked { number }),
            (4, Event::WentLive { number, host: None }),
            (50, undo),
            (60, Event::Reverted { number, host: None }),
        ];
        let told = told(&events);
        let last: Vec<_> = told[told.len() - 2..].iter().map(|(name, state, took)| (&**name, *state, *took)).collect();
        assert_eq!(last, [("Bake", StepState::Failed, Some(46)), ("Roll back", StepState::Done, Some(10))]);
    }
}
