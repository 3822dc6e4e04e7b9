//! The overview, made once for all who want the same of it and may see the same: hundreds of pages that are open follow one
//! computation, not hundreds. Must not decide what anybody may see.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use tokio::sync::Mutex as Turn;

use super::{
    App, Problem,
    overview::{Overview, Wanted, at_a_glance},
};
use crate::{access::Caller, machine::Millis};

/// How long one is good for while nothing is recorded: health is in no record. Shorter than the pause between two looks of a page,
/// so that each look brings news.
const GOOD_FOR: Millis = Millis(900);
/// How many different ones are kept at most.
const KEPT: usize = 256;

/// What is kept of the overview, by what is wanted and may be seen.
#[derive(Default)]
pub struct Glances(Mutex<HashMap<Key, Kept>>);

/// A part of a page: its name, and its text.
type Part = (String, String);
/// The view, and the places that may be seen.
type Key = (Wanted, Vec<String>);
/// The last one. Whoever holds it makes it for all who wait.
type Kept = Arc<Turn<Option<Arc<Glance>>>>;

/// The overview as it was at a moment.
pub(super) struct Glance {
    pub view: Overview,
    /// The parts of the page that may change, once somebody has asked for them.
    parts: OnceLock<Arc<Vec<Part>>>,
    /// When it was made, and the last record that is in it.
    pub at: Millis,
    newest: u64,
}

impl Glances {
    /// Returns the overview that this caller wants, with all that is recorded.
    pub(super) async fn of(&self, app: &App, caller: &Caller, wanted: &Wanted) -> Arc<Glance> {
        let kept = self.kept((wanted.clone(), caller.places()), app.clock.now());
        let mut kept = kept.lock().await;
        let (now, newest) = (app.clock.now(), app.journal.newest());
        if let Some(last) = &*kept
            && last.newest >= newest
            && last.is_good(now)
        {
            return last.clone();
        }
        let glance = Glance { view: at_a_glance(app, caller, wanted), parts: OnceLock::new(), at: now, newest };
        let glance = Arc::new(glance);
        *kept = Some(glance.clone());
        glance
    }

    fn kept(&self, key: Key, now: Millis) -> Kept {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT && !all.contains_key(&key) {
            // What is being made is nobody's to drop; what is old is nobody's to wait for.
            all.retain(|_, kept| match kept.try_lock() {
                Ok(kept) => kept.as_ref().is_some_and(|glance| glance.is_good(now)),
                Err(_) => true,
            });
        }
        all.entry(key).or_default().clone()
    }
}

impl Glance {
    fn is_good(&self, now: Millis) -> bool {
        now.since(self.at) < GOOD_FOR
    }

    /// Returns the parts of its page, which are made once.
    pub(super) fn parts(&self, make: impl FnOnce() -> Result<Vec<Part>, Problem>) -> Result<Arc<Vec<Part>>, Problem> {
        if let Some(parts) = self.parts.get() {
            return Ok(parts.clone());
        }
        let parts = Arc::new(make()?);
        Ok(self.parts.get_or_init(|| parts).clone())
    }
}
