//! The steps of a deployment, as a rail with stations: what is done, what is under way, what is to come, how long each took
//! and how long it may take. Made of the deployment's story and of its records.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::story::{End, Story};
use crate::{
    machine::{Back, Event, HookPoint, Millis, Number, Outcome, Plan, Share, Trigger},
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
    /// Here somebody aborted it.
    Aborted,
    /// Here its release was vetoed.
    Vetoed,
    /// Here a newer deployment took its place.
    Superseded,
    /// Here somebody took it back while it was watched.
    TakenBack,
}

/// Work of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepWhat {
    /// It waits for its turn.
    Queue,
    /// It waits for a person.
    Gate,
    /// Users get the maintenance page, and the live stack is stopped.
    Stop,
    Provision,
    Check,
    Hook,
    /// It gets a share of the users and is watched with that.
    Share,
    CutOver,
    Bake,
    RollBack,
}

/// Who takes the time of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepKind {
    /// Something is done.
    Work,
    /// A person is waited for.
    Human,
    /// Another deployment is waited for, or that a hold or a pin ends.
    Queue,
}

impl StepWhat {
    /// Returns whose time it takes.
    pub(crate) fn kind(self) -> StepKind {
        match self {
            Self::Queue => StepKind::Queue,
            Self::Gate => StepKind::Human,
            Self::Stop
            | Self::Provision
            | Self::Check
            | Self::Hook
            | Self::Share
            | Self::CutOver
            | Self::Bake
            | Self::RollBack => StepKind::Work,
        }
    }
}

/// One step of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Step {
    /// Name of the step.
    #[schema(example = "Provision")]
    pub name: String,
    pub what: StepWhat,
    pub kind: StepKind,
    pub state: StepState,
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
    /// The part of 100 users that it gives the new stack, where that is not all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 5)]
    pub share: Option<u8>,
}

/// How long the steps took in all, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sums {
    pub work: String,
    pub human: String,
    /// Time in the queue; `None` when it did not wait for its turn.
    pub queue: Option<String>,
}

/// Returns how long was worked, how long people were waited for, and how long it waited for its turn. A wait that goes on is
/// not measured yet, and said.
pub(crate) fn sums(steps: &[Step]) -> Sums {
    let sum = |kind: StepKind| {
        let of = || steps.iter().filter(|step| step.kind == kind);
        let goes_on = of().any(|step| step.began.is_some() && step.ended.is_none());
        match (of().filter_map(|step| step.took).sum(), goes_on && kind != StepKind::Work) {
            (0, true) => Some("goes on".to_owned()),
            (0, false) => None,
            (took, true) => Some(format!("{}, and goes on", format_duration(Millis(took)))),
            (took, false) => Some(format_duration(Millis(took))),
        }
    };
    let none = || format_duration(Millis(0));
    Sums {
        work: sum(StepKind::Work).unwrap_or_else(none),
        human: sum(StepKind::Human).unwrap_or_else(none),
        queue: sum(StepKind::Queue),
    }
}

/// A step and, of a hook or a share, which one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    what: StepWhat,
    hook: Option<(Arc<str>, HookPoint)>,
    share: Option<Share>,
}

struct Station {
    kind: Kind,
    within: Option<Millis>,
    began: Option<Millis>,
    ended: Option<Millis>,
    /// How it ended where that was not well.
    end: Option<StepState>,
}

/// The steps in their order, and the one that it is at: beyond the last one when all are done.
struct Line {
    number: Number,
    stations: Vec<Station>,
    place: usize,
    over: bool,
    /// The steps that were to come when it ended.
    cut: Vec<Station>,
    /// The hooks that run when the deployment is done with.
    after: Vec<Station>,
}

/// Returns the steps of a deployment under these terms of which these records, which are all its own, tell. The first of
/// them is its acceptance.
pub(crate) fn rail<'a>(
    story: &Story,
    plan: &Plan,
    records: impl IntoIterator<Item = (Millis, &'a Event)>,
) -> Vec<Step> {
    let stations = planned(plan, story.trigger);
    let mut line = Line { number: story.number, stations, place: 0, over: false, cut: Vec::new(), after: Vec::new() };
    for (at, event) in records {
        line.take(at, event, story.end.as_ref());
    }
    // What ends it may be recorded of another deployment: a newer one, a veto, a rollback that clears its way.
    if let Some(end) = story.end.as_ref().filter(|_| !line.over && line.place < line.stations.len()) {
        line.end_here(end.at, ended(end.outcome, Some(end)));
    }
    let Line { stations, place, over, after, .. } = line;
    // Whoever waited for no turn is not shown to have waited.
    let turn = &stations[0];
    let waited = turn.ended.zip(turn.began).is_none_or(|(ended, began)| ended.since(began).0 >= 1000);
    let steps = stations.iter().enumerate().map(|(at, station)| station.step(at == place && !over));
    let after = after.iter().map(|station| station.step(station.ended.is_none()));
    steps.skip(usize::from(!waited)).chain(after).collect()
}

/// How the step is shown at which a deployment ended so.
fn ended(outcome: Outcome, end: Option<&End>) -> StepState {
    match outcome {
        Outcome::Aborted if end.is_some_and(|end| end.vetoed) => StepState::Vetoed,
        Outcome::Aborted => StepState::Aborted,
        Outcome::Superseded => StepState::Superseded,
        Outcome::Failed | Outcome::RolledBack | Outcome::Succeeded => StepState::Failed,
    }
}

impl Line {
    fn take(&mut self, at: Millis, event: &Event, end: Option<&End>) {
        match event {
            Event::ColdRollbackQueued { number, .. } if *number == self.number => {
                // The way back to the standby came to nothing: an earlier release is stood up again.
                if self.is_going_back() {
                    self.end_here(at, StepState::Failed);
                }
            }
            Event::Accepted { .. } | Event::ColdRollbackQueued { .. } => {
                self.stations[0].began.get_or_insert(at);
            }
            Event::PageOrdered { back: None, .. } => self.stop_first(at),
            Event::PageOrdered { back: Some(Back { outcome, .. }), .. }
            | Event::StopOrdered { back: Some(Back { outcome, .. }), .. }
            | Event::StartOrdered { outcome, .. } => self.go_back(at, ended(*outcome, None)),
            Event::RollbackRequested { .. } => self.go_back(at, StepState::TakenBack),
            Event::RevertRequested { outcome, .. } => self.go_back(at, ended(*outcome, None)),
            Event::Proceeded { .. } if self.is_going_back() => self.go_on(),
            Event::CutOverOrdered { share, .. } => self.shift(at, *share),
            Event::RevertOrdered { outcome, .. } => self.go_back(at, ended(*outcome, None)),
            Event::Ended { outcome, .. } if *outcome != Outcome::Succeeded => {
                self.end_here(at, ended(*outcome, end));
            }
            Event::Ended { .. } => self.over = true,
            Event::HookOrdered { hook, point, .. } if point.is_after_the_end() => {
                let kind = Kind { what: StepWhat::Hook, hook: Some((hook.clone(), *point)), share: None };
                self.after.push(Station { began: Some(at), ..station(kind, None) });
            }
            Event::HookFinished { hook, point, reason, .. } if point.is_after_the_end() => {
                let kind = Kind { what: StepWhat::Hook, hook: Some((hook.clone(), *point)), share: None };
                if let Some(station) = self.after.iter_mut().find(|station| station.kind == kind) {
                    station.ended = Some(at);
                    station.end = reason.is_some().then_some(StepState::Failed);
                }
            }
            event => self.close(at, event),
        }
    }

    fn is_going_back(&self) -> bool {
        self.stations.get(self.place).is_some_and(|station| station.kind.what == StepWhat::RollBack)
    }

    /// What is live is stopped before its own stack comes up, which is known only once its turn has come.
    fn stop_first(&mut self, at: Millis) {
        let known = self.stations.iter().any(|station| station.kind.what == StepWhat::Stop);
        if !known && let Some(now) = self.stations.get_mut(self.place) {
            now.began = None;
            self.stations.insert(self.place, Station { began: Some(at), ..plain(StepWhat::Stop, None) });
        }
    }

    /// Users get what was before. The step that it is at is the last one of the way forward; where all were done, none is.
    fn go_back(&mut self, at: Millis, state: StepState) {
        if self.is_going_back() {
            return;
        }
        self.end_here(at, state);
        self.place = self.stations.len();
        let kind = Kind { what: StepWhat::RollBack, hook: None, share: None };
        self.stations.push(Station { began: Some(at), ..station(kind, None) });
        self.over = false;
    }

    /// The way back that waited is given up: it goes on where it was.
    fn go_on(&mut self) {
        self.stations.pop();
        self.place = self.stations.len().saturating_sub(1);
        self.over = false;
        if let Some(station) = self.stations.last_mut() {
            (station.end, station.ended) = (None, None);
        }
        let known: Vec<Kind> = self.stations.iter().map(|station| station.kind.clone()).collect();
        self.stations
            .extend(std::mem::take(&mut self.cut).into_iter().filter(|station| !known.contains(&station.kind)));
    }

    /// It gets a larger share, or all users: the step before is over, and what was skipped is not shown.
    fn shift(&mut self, at: Millis, share: Option<Share>) {
        let what = if share.is_some() { StepWhat::Share } else { StepWhat::CutOver };
        let next = (self.place..self.stations.len()).find(|place| {
            let kind = &self.stations[*place].kind;
            (kind.what, kind.share) == (what, share)
        });
        let Some(next) = next else { return };
        let skipped = |station: &Station| station.kind.what == StepWhat::Share && station.began.is_none();
        let before = self.stations.iter().take(next).filter(|station| skipped(station)).count();
        let next = next - before;
        let mut place = 0;
        self.stations.retain(|station| {
            let kept = place >= next + before || !skipped(station);
            place += 1;
            kept
        });
        for station in &mut self.stations[self.place.min(next)..next] {
            station.began.get_or_insert(at);
            station.ended.get_or_insert(at);
        }
        self.place = next;
        self.stations[next].began.get_or_insert(at);
    }

    /// The step that it is at is the last one, and did not end well. What had failed before keeps its end.
    fn end_here(&mut self, at: Millis, state: StepState) {
        self.over = true;
        let Some(station) = self.stations.get_mut(self.place) else { return };
        station.end.get_or_insert(state);
        station.began.get_or_insert(at);
        station.ended.get_or_insert(at);
        self.cut = self.stations.split_off(self.place + 1);
    }

    /// Ends the step that the event closes, and those before it, and begins the next. A hook that failed is where it stays.
    fn close(&mut self, at: Millis, event: &Event) {
        let closed = (self.place..self.stations.len()).find(|place| closes(event, &self.stations[*place].kind));
        let Some(closed) = closed else { return };
        for station in &mut self.stations[self.place..=closed] {
            station.began.get_or_insert(at);
            station.ended.get_or_insert(at);
        }
        self.place = closed;
        if matches!(event, Event::HookFinished { reason: Some(_), .. }) {
            self.stations[closed].end = Some(StepState::Failed);
            return;
        }
        self.place += 1;
        match self.stations.get_mut(self.place) {
            Some(next) => {
                next.began.get_or_insert(at);
            }
            None => self.over = true,
        }
    }
}

fn planned(plan: &Plan, trigger: Trigger) -> Vec<Station> {
    // What brings an earlier release back waits for nobody.
    let gate = |gate: &Option<crate::machine::Gate>| {
        let gate = gate.as_ref().filter(|_| trigger != Trigger::Rollback);
        gate.map(|gate| plain(StepWhat::Gate, Some(gate.timeout))).into_iter()
    };
    let hooks = |point: HookPoint| {
        let of = plan.hooks.iter().filter(move |hook| hook.at == point);
        of.map(move |hook| {
            let kind = Kind { what: StepWhat::Hook, hook: Some((hook.name.clone(), point)), share: None };
            station(kind, Some(hook.within))
        })
    };
    let mut line = vec![plain(StepWhat::Queue, None)];
    line.extend(gate(&plan.before_provisioning));
    line.extend(hooks(HookPoint::BeforeProvisioning));
    line.push(plain(StepWhat::Provision, Some(plan.provision_within)));
    line.push(plain(StepWhat::Check, Some(plan.check_within)));
    line.extend(hooks(HookPoint::AfterChecks));
    line.extend(gate(&plan.before_cutover));
    line.extend(hooks(HookPoint::BeforeCutover));
    // At once for what brings an earlier release back.
    let steps = plan.steps.iter().filter(|_| trigger != Trigger::Rollback);
    line.extend(steps.map(|step| {
        let kind = Kind { what: StepWhat::Share, hook: None, share: Some(step.share) };
        station(kind, Some(step.bake))
    }));
    line.push(plain(StepWhat::CutOver, Some(plan.cut_over_within)));
    line.extend(hooks(HookPoint::AfterCutover));
    line.push(plain(StepWhat::Bake, Some(plan.bake)));
    line
}

fn plain(what: StepWhat, within: Option<Millis>) -> Station {
    station(Kind { what, hook: None, share: None }, within)
}

fn station(kind: Kind, within: Option<Millis>) -> Station {
    Station { kind, within, began: None, ended: None, end: None }
}

fn closes(event: &Event, kind: &Kind) -> bool {
    match (event, kind.what) {
        (Event::Started { .. }, StepWhat::Queue)
        | (Event::Approved { .. }, StepWhat::Gate)
        | (Event::Stopped { .. }, StepWhat::Stop)
        | (Event::Provisioned { .. }, StepWhat::Provision)
        | (Event::Checked { .. }, StepWhat::Check)
        | (Event::WentLive { .. }, StepWhat::CutOver)
        | (Event::Succeeded { .. }, StepWhat::Bake)
        | (Event::Reverted { .. }, StepWhat::RollBack) => true,
        (Event::HookFinished { hook, point, .. }, StepWhat::Hook) => {
            kind.hook.as_ref().is_some_and(|(name, at)| (name, at) == (hook, point))
        }
        _ => false,
    }
}

impl Station {
    fn step(&self, now: bool) -> Step {
        let state = match (self.end, self.ended, now) {
            (Some(end), ..) => end,
            (None, Some(_), _) => StepState::Done,
            (None, None, true) => StepState::Now,
            (None, None, false) => StepState::Todo,
        };
        let name = match (self.kind.what, &self.kind.hook) {
            (_, Some((name, _))) => format!("Hook {name}"),
            (StepWhat::Hook, None) => "Hook".to_owned(),
            (StepWhat::Queue, None) => "Wait in line".to_owned(),
            (StepWhat::Gate, None) => "Approval".to_owned(),
            (StepWhat::Stop, None) => "Stop the live stack".to_owned(),
            (StepWhat::Provision, None) => "Provision".to_owned(),
            (StepWhat::Check, None) => "Check".to_owned(),
            (StepWhat::Share, None) => self.kind.share.map_or("Share".to_owned(), |share| format!("{share} of users")),
            (StepWhat::CutOver, None) => "Cut over".to_owned(),
            (StepWhat::Bake, None) => "Bake".to_owned(),
            (StepWhat::RollBack, None) => "Roll back".to_owned(),
        };
        Step {
            name,
            what: self.kind.what,
            kind: self.kind.what.kind(),
            state,
            began: self.began.map(format_time),
            ended: self.ended.map(format_time),
            took: self.ended.zip(self.began).map(|(ended, began)| ended.since(began).0),
            within: self.within.map(format_duration),
            share: self.kind.share.map(Share::percent),
        }
    }
}

#[cfg(test)]
mod tests;
