//! Which build is the newest by its sender's own count: an older one that comes later is refused. Must not know why a
//! build failed or who vetoed it.

use super::{event::Trigger, ids::Number, state::Environment};

impl Environment {
    /// Returns the newest build by its sender's count, of those that neither failed nor are vetoed.
    pub fn newest_build(&self) -> Option<u64> {
        let banned = |release: u32| self.vetoes.iter().any(|veto| veto.release == release);
        let counted = self.orders.iter().filter(|(_, _, release)| !banned(*release)).map(|(order, ..)| *order);
        if self.orders.is_empty() { self.last_order } else { counted.max() }
    }

    /// Returns the last deployment of the build with that number by its sender's count, while it is remembered.
    pub fn deployment_of_build(&self, order: u64) -> Option<Number> {
        let of = self.orders.iter().rev().find(|(counted, number, _)| *counted == order && *number != Number(0));
        of.map(|(_, number, _)| *number)
    }

    /// The deployment of the very build that is asked for, by its sender's count, where a person gave the count then or does
    /// so now (rule R66). What was announced twice under two names is not that: a run that is run again keeps its number.
    pub(super) fn same_build(&self, order: Option<u64>, trigger: Trigger) -> Option<Number> {
        let order = order.filter(|order| trigger == Trigger::Person || self.by_hand.contains(order))?;
        self.deployment_of_build(order)
    }

    /// Remembers a build by its sender's count; of many the greatest stay.
    pub(super) fn count(&mut self, order: Option<u64>, number: Number, (release, trigger): (u32, Trigger)) {
        let Some(order) = order else { return };
        if trigger == Trigger::Person {
            self.by_hand.push(order);
        }
        if let (true, Some(before)) = (self.orders.is_empty(), self.last_order) {
            // Of a snapshot of an older version: which build it was is not known.
            self.orders.push((before, Number(0), 0));
        }
        self.orders.push((order, number, release));
        self.orders.sort_unstable();
        if self.orders.len() > Self::ORDERS_KEPT {
            self.orders.remove(0);
        }
        self.last_order = self.orders.last().map(|(order, ..)| *order);
        self.forget_uncounted();
    }

    fn forget_uncounted(&mut self) {
        self.by_hand.retain(|order| self.orders.iter().any(|(counted, ..)| counted == order));
    }

    /// Counts builds from the beginning.
    pub(super) fn reset_builds(&mut self) {
        (self.last_order, self.orders, self.by_hand) = (None, Vec::new(), Vec::new());
    }

    /// Forgets a build that failed: it makes no other too old.
    pub(super) fn uncount(&mut self, number: Number) {
        let counted = self.orders.len();
        self.orders.retain(|(_, of, _)| *of != number);
        if self.orders.len() < counted {
            self.last_order = self.orders.last().map(|(order, ..)| *order);
            self.forget_uncounted();
        }
    }
}
