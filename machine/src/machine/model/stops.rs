//! Stacks that are stopped and started again, and what is promised of them: judged when a request arrives or is taken in hand.

use super::{
    config::Config,
    promises::Promise,
    ways::Way,
    world::{Id, Request, Thing, World},
};
use crate::machine::{Condition, Health};

impl Thing {
    /// It obeys no lower order than the last where it compares them.
    pub(super) fn stop(&mut self, order: u8, counts: bool) {
        let known = counts && order < self.obeyed || self.condition == Condition::Deleting;
        if !known && self.condition != Condition::Stopped {
            (self.condition, self.health) = (Condition::Stopping, Health::Unknown);
        }
        if !known {
            self.obeyed = self.obeyed.max(order);
        }
    }

    pub(super) fn start(&mut self, order: u8, counts: bool) {
        let known = counts && order < self.obeyed || self.condition == Condition::Deleting;
        let sleeps = matches!(self.condition, Condition::Stopping | Condition::Stopped | Condition::Failed);
        if !known && sleeps {
            (self.condition, self.health, self.asleep) = (Condition::Creating, Health::Unknown, false);
        }
        if !known {
            self.obeyed = self.obeyed.max(order);
        }
    }

    /// It comes up, passes its checks at last, is stopped at last, or is gone.
    pub(super) fn progressed(self, slow_checks: bool) -> Option<Self> {
        let slow = slow_checks && self.condition == Condition::Creating;
        let health = if slow { Health::Unknown } else { Health::Passing };
        match self.condition {
            Condition::Deleting => None,
            Condition::Stopping => Some(Self { condition: Condition::Stopped, asleep: true, ..self }),
            Condition::Creating | Condition::Ready | Condition::Failed | Condition::Stopped => {
                Some(Self { condition: Condition::Ready, health, ..self })
            }
        }
    }

    /// Whoever looks after it brings it up.
    pub(super) fn comes_up(&mut self) {
        (self.condition, self.health) = (Condition::Ready, Health::Passing);
    }

    /// Whether it runs, or may come up by itself.
    pub(super) fn runs(&self) -> bool {
        !self.asleep
    }
}

impl Config<'_> {
    /// What a stop must not hit, judged when it arrives, however late.
    pub(super) fn judge_stop(&self, w: &mut World, id: Id, order: u8, patient: bool) {
        let Some(thing) = w.cloud.stacks[self.slot(id)] else { return };
        if self.counts && order < thing.obeyed || thing.condition == Condition::Stopped {
            return;
        }
        let front = &w.cloud.front;
        if front.way.reaches(id) && !w.told.by_hand {
            w.told.broken = Some(Promise::StoppedUnderUsers);
        } else if patient && front.busy.has(id) {
            w.told.broken = Some(Promise::RequestKilled);
        }
    }

    /// While a person has maintenance on, no order leads to a stack.
    pub(super) fn judge_maintenance(&self, w: &mut World, c: usize) {
        let leads =
            |r: Request| matches!(r, Request::CutOver(to, _) | Request::Refresh(to, ..) if to != Way::default());
        let on = self.base(w, c).env.maintenance().is_some();
        if on && w.controllers[c].hand.iter().any(leads) {
            w.told.broken = Some(Promise::MaintenanceEndedByItself);
        }
    }
}
