//! Which build is the newest by its sender's own count: an older one that comes later is refused. Must not know why a
//! build failed or who vetoed it.

use super::{ids::Number, state::Environment};

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

    /// Remembers a build by its sender's count; of many the greatest stay.
    pub(super) fn count(&mut self, order: Option<u64>, number: Number, release: u32) {
        let Some(order) = order else { return };
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
    }

    /// Forgets a build that failed: it makes no other too old.
    pub(super) fn uncount(&mut self, number: Number) {
        let counted = self.orders.len();
        self.orders.retain(|(_, of, _)| *of != number);
        if self.orders.len() < counted {
            self.last_order = self.orders.last().map(|(order, ..)| *order);
        }
    }
}
