//! The sweep for what nobody remembers: stacks of environments that no pipeline file describes. They are told of and
//! never touched, because a file that is missing by mistake must not cost a running application. (Orphans of known
//! environments are the machine's, rule R14.)

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::{shared::SharedStacks, world::World};
use crate::{clock::Clock, machine::EnvironmentId};

/// The sweep.
pub(super) struct Sweep {
    providers: Vec<Arc<SharedStacks>>,
    known: HashSet<EnvironmentId>,
    told: Mutex<BTreeSet<String>>,
    clock: Clock,
}

impl Sweep {
    /// A sweep over the providers of these environments.
    pub(super) fn new(worlds: &[World], clock: Clock) -> Self {
        let mut providers: Vec<Arc<SharedStacks>> = Vec::new();
        for world in worlds {
            if !providers.iter().any(|p| Arc::ptr_eq(p, &world.stacks)) {
                providers.push(world.stacks.clone());
            }
        }
        let known = worlds.iter().map(|w| w.id.clone()).collect();
        Self { providers, known, told: Mutex::default(), clock }
    }

    /// Sweeps again and again until `stop` says so.
    pub(super) async fn run(self: Arc<Self>, every: Duration, mut stop: watch::Receiver<bool>) -> bool {
        while !*stop.borrow_and_update() {
            self.once().await;
            tokio::select! {
                () = self.clock.wait(every) => {}
                _ = stop.changed() => {}
            }
        }
        true
    }

    async fn once(&self) {
        let mut unaccounted = BTreeSet::new();
        for provider in &self.providers {
            // A provider that does not answer is told of by every environment that uses it.
            let Ok(listing) = provider.listing().await else { continue };
            let strange = listing.iter().filter(|(id, _)| !self.known.contains(id));
            unaccounted.extend(strange.flat_map(|(_, stacks)| stacks).map(|s| s.name.to_string()));
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for stack in unaccounted.difference(&told) {
            tracing::warn!(
                stack,
                "{stack} belongs to an environment that no pipeline file describes: it is left alone; \
                 put the file back, or tear the stack down by hand"
            );
        }
        *told = unaccounted;
    }
}
