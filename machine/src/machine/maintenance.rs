//! The maintenance page by the word of a person: it hides whatever goes on behind it, and nothing automatic takes it away.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    apply::Illegal,
    event::{Entry, Event},
    ids::{Generation, Millis, Number},
    phase::Phase,
    refusal::{Refusal, refused},
    state::Environment,
    traffic::Traffic,
};

/// A person has users shown the maintenance page.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Maintenance {
    /// Name of who did it.
    pub by: Arc<str>,
    /// Reason, in the words of whoever gave it.
    pub reason: Arc<str>,
    /// Since when.
    pub since: Millis,
    /// Requests are held for a while before they get the page, where the front can.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hold: bool,
}

impl Maintenance {
    pub(super) fn by(entry: &Entry, hold: bool, reason: &Arc<str>) -> Self {
        Self { by: entry.by.clone(), reason: reason.clone(), since: entry.at, hold }
    }
}

fn is_false(yes: &bool) -> bool {
    !yes
}

/// Why maintenance neither begins nor ends now.
const ORDER_OPEN: &str = "an order to the front is open; ask again in a moment";

impl Environment {
    /// Whether a person has users shown the maintenance page.
    pub fn maintenance(&self) -> Option<&Maintenance> {
        self.maintenance.as_ref()
    }

    /// What the front is told where users are to have that (rule R84).
    pub(super) fn behind_the_page(&self, to: Traffic) -> Traffic {
        if self.maintenance.is_some() && self.rules.maintenance_stays() { Traffic::Nobody } else { to }
    }

    pub(super) fn begin_maintenance(&self, hold: bool, reason: &Arc<str>) -> Result<Event, Refusal> {
        if self.maintenance.is_some() {
            return Err(Refusal::Already("maintenance is on"));
        }
        if self.always_on && self.live.is_some() {
            return Err(Refusal::NoPage);
        }
        self.no_order_is_open()?;
        Ok(Event::MaintenanceBegun { generation: self.generation.next(), hold, reason: reason.clone() })
    }

    pub(super) fn end_maintenance(&self, reason: Option<&Arc<str>>) -> Result<Event, Refusal> {
        if self.maintenance.is_none() {
            return Err(Refusal::Already("maintenance is off"));
        }
        self.no_order_is_open()?;
        Ok(Event::MaintenanceEnded { generation: self.generation.next(), reason: reason.cloned() })
    }

    /// The order of a deployment is the last one until it was seen done.
    fn no_order_is_open(&self) -> Result<(), Refusal> {
        let has_own =
            |p: &Phase| matches!(p, Phase::CuttingOver { .. } | Phase::Reverting { .. } | Phase::Paging { .. });
        match self.active.as_ref().filter(|d| has_own(&d.phase)) {
            Some(active) => Err(refused(active, ORDER_OPEN)),
            None => Ok(()),
        }
    }

    pub(super) fn maintenance_begun(
        &mut self,
        generation: Generation,
        maintenance: Maintenance,
    ) -> Result<(), Illegal> {
        let (event, number) = ("maintenance_begun", Number(0));
        if self.maintenance.is_some() {
            return Err(Illegal { event, number, why: "maintenance is on" });
        }
        let at = maintenance.since;
        self.give_order(event, generation, at)?;
        self.maintenance = Some(maintenance);
        Ok(())
    }

    pub(super) fn maintenance_ended(&mut self, generation: Generation, at: Millis) -> Result<(), Illegal> {
        let (event, number) = ("maintenance_ended", Number(0));
        if self.maintenance.is_none() {
            return Err(Illegal { event, number, why: "maintenance is off" });
        }
        self.give_order(event, generation, at)?;
        self.maintenance = None;
        Ok(())
    }

    /// An order that no deployment waits for.
    fn give_order(&mut self, event: &'static str, generation: Generation, at: Millis) -> Result<(), Illegal> {
        let number = Number(0);
        self.no_order_is_open().map_err(|_| Illegal { event, number, why: "an order of a deployment is open" })?;
        self.higher(event, number, generation)?;
        self.order(generation);
        self.carry_through(generation, at);
        Ok(())
    }
}
