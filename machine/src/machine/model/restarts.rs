//! What is promised of a restart: judged when it is called done, and when an instance is about to be ended.

use super::{
    canon::{Core, id},
    config::Config,
    promises::Promise,
    world::{Look, Request, Thing, World},
};
use crate::machine::{Condition, Event, Health};

impl Thing {
    /// Ends an instance and starts it again, unless that was done for this order.
    pub(super) fn restart(&mut self, instance: usize, order: u8) {
        if self.started[instance] < order && matches!(self.condition, Condition::Creating | Condition::Ready) {
            self.started[instance] = order;
            (self.condition, self.health) = (Condition::Creating, Health::Unknown);
        }
    }

    fn is_up(&self) -> bool {
        self.condition == Condition::Ready && self.health == Health::Passing
    }
}

/// What is done was seen done, and is.
pub(super) fn judge_restart(w: &mut World, base: &Core, event: &Event, look: Option<&Look>) {
    let Event::RestartEnded { number, order, reason: None } = event else { return };
    let one = base.env.restart().and_then(|r| r.instance);
    let done = |t: &Thing| {
        let mut started = t.started.iter().enumerate().filter(|(i, _)| one.is_none_or(|one| one as usize == *i));
        t.owner == id(*number) && t.is_up() && started.all(|(_, started)| u64::from(*started) >= *order)
    };
    if !look.is_some_and(|look| look.cloud.stacks.iter().flatten().any(done)) {
        w.told.broken = Some(Promise::RestartedInName);
    }
}

impl Config<'_> {
    /// Whoever ends an instance has seen the others that were started again up.
    pub(super) fn judge_restarts(&self, w: &mut World, c: usize, look: &Look) {
        let ends = |t: &Thing, r: Request| matches!(r, Request::Restart(n, _, order) if n == t.owner && t.started.contains(&order));
        let hand = w.controllers[c].hand;
        let broken = look.cloud.stacks.iter().flatten().any(|t| !t.is_up() && hand.iter().any(|r| ends(t, r)));
        if broken {
            w.told.broken = Some(Promise::TwoAtOnce);
        }
    }
}
