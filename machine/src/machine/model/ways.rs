//! Who gets users in the modelled world, and what is promised of traffic that moves in steps: judged when an event is written.

use std::fmt;

use super::{
    canon::{Core, id},
    config::{CLOCKS, Config},
    promises::Promise,
    world::{Id, Look, World},
};
use crate::machine::{Deployment, Event, Number, Phase, Share, Traffic, Trigger};

/// How long each step is watched, and a pause at most.
pub(super) const STEP: usize = 1;

/// Who gets users: `share` of 100 of them go to `beside`, where that is somebody, and all others to `base`; 0 is nobody.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Way {
    /// Who gets all that is not shared.
    pub base: Id,
    /// Who gets the share.
    pub beside: Id,
    /// The part of 100 users.
    pub share: u8,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { base, beside: 0, .. } => write!(f, "{base}"),
            Self { base, beside, share } => write!(f, "{base} and {share} % {beside}"),
        }
    }
}

impl Way {
    pub(super) fn whole(base: Id) -> Self {
        Self { base, ..Self::default() }
    }

    pub(super) fn of(traffic: Traffic) -> Self {
        match traffic {
            Traffic::Nobody => Self::default(),
            Traffic::Whole(number) => Self::whole(id(number)),
            Traffic::Split { base, candidate, share } => {
                Self { base: id(base), beside: id(candidate), share: share.percent() }
            }
        }
    }

    pub(super) fn traffic(self) -> Traffic {
        let number = |id: Id| (id != 0).then_some(Number(id.into()));
        match (number(self.base), number(self.beside)) {
            (Some(base), Some(candidate)) => Traffic::Split { base, candidate, share: share(self.share) },
            (base, _) => Traffic::whole(base),
        }
    }

    /// All stacks that users reach.
    pub(super) fn stacks(self) -> impl Iterator<Item = Id> {
        [self.base, self.beside].into_iter().filter(|id| *id != 0)
    }

    pub(super) fn reaches(self, id: Id) -> bool {
        self.stacks().any(|reached| reached == id)
    }
}

pub(super) fn share(of_100: u8) -> Share {
    Share::try_from(i64::from(of_100)).expect("shares of the model are shares")
}

impl Config<'_> {
    /// The ways that somebody may set by hand where traffic moves in steps: the first step's share for a stack that is there.
    pub(super) fn ways_by_hand(&self, now: Way, known: Id) -> Option<Way> {
        let share = *self.steps.first()?;
        let beside = Way { base: now.base, beside: known, share };
        (now.base != 0 && known != now.base && beside != now).then_some(beside)
    }

    /// What an event means for the shares that users were promised to move in.
    pub(super) fn judge_shares(&self, w: &mut World, base: &Core, event: &Event, look: Option<&Look>) {
        let active = base.env.active();
        let told = &mut w.told;
        match event {
            Event::CutOverOrdered { share, .. } => {
                let held = active.and_then(Deployment::share);
                let next = self.steps.iter().copied().find(|next| held.is_none_or(|held| *next > held.percent()));
                let at_once = base.live() == 0
                    || base.env.is_paged()
                    || base.env.maintenance().is_some()
                    || base.env.down().is_some()
                    || active.is_some_and(|d| d.trigger == Trigger::Rollback);
                if share.map(Share::percent) != next.filter(|_| !at_once) {
                    told.broken = Some(Promise::StepSkipped);
                }
            }
            Event::WentLive { .. } if base.env.maintenance().is_some() => {}
            Event::WentLive { number, .. } if look.is_some_and(|l| l.cloud.front.way != Way::whole(id(*number))) => {
                told.broken = Some(Promise::NotYetLive);
            }
            Event::RevertRequested { .. } => told.rollback = 1,
            Event::Proceeded { .. } => told.rollback = 0,
            Event::RevertOrdered { to, .. } => {
                let shared = active.is_some_and(|d| d.share().is_some());
                let good = |look: &Look| to.is_some_and(|to| look.is_good(id(to)));
                // A person's second word counts more than health.
                if shared && look.is_some_and(|look| !good(look)) {
                    told.broken = Some(Promise::BlindMove);
                }
            }
            _ => {}
        }
    }

    /// A share that grows was watched, or a person let it.
    pub(super) fn judge_step(&self, w: &mut World, base: &Core, event: &Event, clock: usize) {
        let watched = |d: &Deployment| matches!(d.phase, Phase::Watching { .. }) && !d.hurried;
        let steps_on = matches!(event, Event::CutOverOrdered { .. }) && base.env.active().is_some_and(watched);
        let asked = base.env.active().is_some_and(|d| d.pause().is_some() && !base.env.lets(d));
        if steps_on && asked {
            w.told.broken = Some(Promise::OpensWhileHeld);
        }
        if steps_on && CLOCKS[clock] < CLOCKS[STEP] {
            w.told.broken = Some(Promise::StepSkipped);
        }
    }
}
