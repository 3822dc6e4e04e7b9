//! Who makes room when the front is full: the connections that have waited longest for a request of their client. Must
//! not end one itself.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
};

use super::activity::Activity;

/// Ticks below which a waiting connection is about to send.
const GRACE: u32 = 5;
/// One of so many connections is ended when the front is full, so that the search is rare.
const PORTION: usize = 32;

/// The connections there are.
#[derive(Default)]
pub(super) struct Room {
    open: Mutex<Open>,
    /// How many were told to go whose place nobody has taken yet.
    freed: AtomicUsize,
    /// When nobody was found, in ticks.
    vain: AtomicU32,
}

#[derive(Default)]
struct Open {
    last: u64,
    all: HashMap<u64, Weak<Activity>>,
}

impl Room {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an entry; the number is for [`Room::leave`].
    pub(super) fn enter(&self, activity: Weak<Activity>) -> u64 {
        let mut open = self.open();
        open.last += 1;
        let id = open.last;
        open.all.insert(id, activity);
        id
    }

    /// The connection has ended.
    pub(super) fn leave(&self, id: u64) {
        self.open().all.remove(&id);
    }

    /// Returns whether there is room for one more, now or in a moment, because somebody was told to go.
    pub(super) fn make(&self, now: u32) -> bool {
        if self.freed.fetch_update(Relaxed, Relaxed, |freed| freed.checked_sub(1)).is_ok() {
            return true;
        }
        if self.vain.load(Relaxed) == now {
            return false;
        }
        let all: Vec<Arc<Activity>> = self.open().all.values().filter_map(Weak::upgrade).collect();
        let portion = (all.len() / PORTION).max(1);
        let waiting = |activity: Arc<Activity>| Some((activity.waits_since()?, activity));
        let mut idle: Vec<(u32, Arc<Activity>)> =
            all.into_iter().filter_map(waiting).filter(|(since, _)| since + GRACE <= now).collect();
        idle.sort_unstable_by_key(|(since, _)| *since);
        idle.truncate(portion);
        idle.iter().for_each(|(_, activity)| activity.ask_to_go());
        if idle.is_empty() {
            self.vain.store(now, Relaxed);
        } else {
            self.freed.store(idle.len() - 1, Relaxed);
        }
        !idle.is_empty()
    }
}
