//! What a client connection is doing, so that one that does nothing, or drips, can be cut. Must not cut it itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::Shared;
use crate::web_front::builtin::settings::Timeouts;

/// Notes of one connection. Times are in ticks; 0 is "not".
pub(super) struct Activity {
    shared: Arc<Shared>,
    /// HTTP/2 has bytes of its own between requests, so only HTTP/1 has a clock for heads.
    http2: AtomicBool,
    requests: AtomicU32,
    idle_since: AtomicU32,
    head_since: AtomicU32,
    write_stuck_since: AtomicU32,
    /// Its number among all connections.
    id: u64,
    asked_to_go: Notify,
    /// A request's body was not read to its end: what comes next may be the rest of it.
    unread: AtomicBool,
    /// The body of the request that is open has more to come. HTTP/1 only.
    in_body: AtomicBool,
    /// It does not speak HTTP any more.
    foreign: AtomicBool,
    /// Its request waits, and nothing more of it is read. HTTP/1 only.
    waits: AtomicBool,
}

/// What is to be done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Leave it alone.
    Fine,
    /// It waits for a next request that does not come: close it politely.
    Idle,
    /// It holds us up: cut it.
    Stuck,
}

impl Activity {
    /// A fresh HTTP/1 connection owes us a request head.
    pub(super) fn new(shared: &Arc<Shared>) -> Arc<Self> {
        let now = shared.now();
        Arc::new_cyclic(|this| Self {
            shared: shared.clone(),
            http2: AtomicBool::new(false),
            requests: AtomicU32::new(0),
            idle_since: AtomicU32::new(now),
            head_since: AtomicU32::new(now),
            write_stuck_since: AtomicU32::new(0),
            id: shared.room.enter(this.clone()),
            asked_to_go: Notify::new(),
            unread: AtomicBool::new(false),
            in_body: AtomicBool::new(false),
            foreign: AtomicBool::new(false),
            waits: AtomicBool::new(false),
        })
    }

    /// Since when it has waited for a request, or for the rest of its head; `None`: it has one.
    pub(super) fn waits_since(&self) -> Option<u32> {
        let since = self.idle_since.load(Relaxed).max(self.head_since.load(Relaxed));
        (self.requests.load(Relaxed) == 0).then_some(since)
    }

    /// It is not among those any more that may be asked to go.
    pub(super) fn retire(&self) {
        self.shared.room.leave(self.id);
    }

    /// The front is full, and others have something to ask.
    pub(super) fn ask_to_go(&self) {
        self.asked_to_go.notify_one();
    }

    /// Returns when the connection is to make room; what to do then.
    pub(super) async fn told_to_go(&self) -> Verdict {
        self.asked_to_go.notified().await;
        match (self.requests.load(Relaxed), self.head_since.load(Relaxed)) {
            (0, 0) => Verdict::Idle,
            (0, _) => Verdict::Stuck,
            // A request has come meanwhile.
            _ => Verdict::Fine,
        }
    }

    /// The client has chosen HTTP/2.
    pub(super) fn speaks_http2(&self) {
        self.http2.store(true, Relaxed);
        self.head_since.store(0, Relaxed);
    }

    pub(super) fn now(&self) -> u32 {
        self.shared.now()
    }

    /// Bytes came in.
    pub(super) fn read(&self) {
        if !self.http2.load(Relaxed) && self.requests.load(Relaxed) == 0 && self.head_since.load(Relaxed) == 0 {
            self.head_since.store(self.shared.now(), Relaxed);
        }
    }

    /// Bytes could, or could not, be written.
    pub(super) fn wrote(&self, stuck: bool) {
        let noted = self.write_stuck_since.load(Relaxed) != 0;
        if stuck != noted {
            self.write_stuck_since.store(if stuck { self.shared.now() } else { 0 }, Relaxed);
        }
    }

    /// A request head is complete; the request lasts until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.head_since.store(0, Relaxed);
        self.hold()
    }

    /// Something of a request goes on until what is returned is dropped.
    pub(super) fn hold(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Relaxed);
        Busy(self.clone())
    }

    /// A request's body is given up before its end.
    pub(super) fn left_unread(&self) {
        self.unread.store(true, Relaxed);
    }

    /// Returns true when the client may still be sending a body that nobody wants.
    pub(super) fn is_unread(&self) -> bool {
        self.unread.load(Relaxed)
    }

    /// The body of a request begins, or is complete.
    pub(super) fn in_body(&self, begins: bool) {
        self.in_body.store(begins, Relaxed);
    }

    /// A request waits until what is returned is dropped. What is left of it is not read meanwhile, so that somebody has to look whether
    /// its client is still there. HTTP/2 reads on, and sees that by itself.
    pub(super) fn watch_its_end(self: &Arc<Self>) -> Option<Waits> {
        self.is_http1().then(|| {
            self.waits.store(true, Relaxed);
            Waits(self.clone())
        })
    }

    /// Returns true while nothing of the connection is read.
    pub(super) fn waits(&self) -> bool {
        self.waits.load(Relaxed)
    }

    /// The connection changes its protocol.
    pub(super) fn speaks_something_else(&self) {
        self.foreign.store(true, Relaxed);
    }

    /// Returns true when what comes in is text of HTTP/1.
    pub(super) fn is_http1(&self) -> bool {
        !self.http2.load(Relaxed) && !self.foreign.load(Relaxed)
    }

    /// Returns true when what comes next over HTTP/1 can only be a head, also while another request is being answered.
    pub(super) fn awaits_head(&self) -> bool {
        !self.in_body.load(Relaxed) && !self.is_unread()
    }

    /// Returns true when no request is open.
    pub(super) fn is_quiet(&self) -> bool {
        self.requests.load(Relaxed) == 0
    }

    /// Looks at the notes.
    pub(super) fn verdict(&self, timeouts: &Timeouts) -> Verdict {
        let now = self.shared.now();
        let longer = |since: &AtomicU32, limit: Duration| {
            let since = since.load(Relaxed);
            since != 0 && u128::from(now.saturating_sub(since)) * 100 >= limit.as_millis()
        };
        if longer(&self.write_stuck_since, timeouts.stall) {
            return Verdict::Stuck;
        }
        if !self.is_quiet() {
            return Verdict::Fine;
        }
        if longer(&self.head_since, timeouts.header) {
            return Verdict::Stuck;
        }
        let idle = self.head_since.load(Relaxed) == 0 && longer(&self.idle_since, timeouts.idle);
        if idle { Verdict::Idle } else { Verdict::Fine }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.retire();
    }
}

/// A request that waits.
pub(super) struct Waits(Arc<Activity>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.waits.store(false, Relaxed);
    }
}

/// A request in progress.
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.shared.now(), Relaxed);
        self.0.requests.fetch_sub(1, Relaxed);
    }
}
