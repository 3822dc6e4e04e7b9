//! File descriptors: how many this process may have, how many connections fit into that, and what follows when they run
//! out. Must not know what a descriptor is used for.

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use crate::clock::{Stopwatch, after};

/// The most that is reckoned with where the system names no limit.
const UNLIMITED: u64 = 1 << 20;
/// How long an accept loop waits after an error: the same error would come again at once.
const PAUSE: Duration = Duration::from_millis(50);
/// How often the same trouble is logged.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// How often this process was refused a descriptor.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Raises the soft limit of open files to the hard one and returns what holds then.
pub(crate) fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(UNLIMITED).min(UNLIMITED)
}

/// Returns whether an error says that this process, or the host, has no descriptor or no memory left for one.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| shortages.iter().any(|shortage| shortage.raw_os_error() == code))
}

/// Returns how often this process was refused a descriptor since it began.
pub(crate) fn refused() -> u64 {
    REFUSED.load(Relaxed)
}

/// Counts an error that says so.
pub(crate) fn note(error: &io::Error) -> bool {
    let shortage = is_shortage(error);
    if shortage {
        REFUSED.fetch_add(1, Relaxed);
    }
    shortage
}

/// The errors of one accept loop. None ends the loop; after most of them it has to wait, or it would spin.
pub(crate) struct AcceptErrors {
    what: &'static str,
    since_said: u64,
    said: Option<Stopwatch>,
}

impl AcceptErrors {
    /// Returns the state for the accept loop of this socket.
    pub(crate) fn at(what: &'static str) -> Self {
        Self { what, since_said: 0, said: None }
    }

    /// Counts and logs an error; returns how long to wait before the next attempt. No time: it concerned one client only.
    pub(crate) fn pause(&mut self, error: &io::Error) -> Option<Duration> {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
            return None;
        }
        note(error);
        self.since_said += 1;
        if self.said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
            let (what, failures) = (self.what, self.since_said);
            tracing::warn!(%error, failures, "{what}: cannot accept connections now, trying again");
            (self.said, self.since_said) = (Some(Stopwatch::start()), 0);
        }
        Some(PAUSE)
    }

    /// Waits as long as [`AcceptErrors::pause`] says.
    pub(crate) async fn wait(&mut self, error: &io::Error) {
        if let Some(pause) = self.pause(error) {
            after(pause).await;
        }
    }
}

/// Descriptors that are held open for nothing, to be let go when one is needed and none is left.
pub(crate) struct Reserve {
    held: Vec<File>,
    most: usize,
}

impl Reserve {
    /// Holds so many, or as many as there are.
    pub(crate) fn of(most: usize) -> Self {
        let mut reserve = Self { held: Vec::new(), most };
        reserve.refill();
        reserve
    }

    /// Lets one go. `false`: none is left.
    pub(crate) fn release(&mut self) -> bool {
        self.held.pop().is_some()
    }

    /// Takes back what was let go, as far as there is room.
    pub(crate) fn refill(&mut self) {
        while self.held.len() < self.most {
            let Ok(file) = File::open("/dev/null") else { return };
            self.held.push(file);
        }
    }
}

/// A number of descriptors, for connections that are made in many places.
pub(crate) struct Budget {
    left: AtomicUsize,
}

/// One of them, until it is dropped.
pub(crate) struct Taken(Arc<Budget>);

impl Budget {
    /// Returns a budget of `most` descriptors.
    pub(crate) fn of(most: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(most) })
    }

    /// Takes one.
    ///
    /// # Errors
    /// What the system says when there is none left, although it would still give those that are meant for others.
    pub(crate) fn take(self: &Arc<Self>) -> io::Result<Taken> {
        let taken = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        taken.map(|_| Taken(self.clone())).map_err(|_| Errno::MFILE.into())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, Relaxed);
    }
}

/// How the descriptors of a process that forwards connections are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Connections of clients.
    pub(crate) clients: usize,
    /// Connections to where they are forwarded.
    pub(crate) onward: usize,
}

impl Shares {
    /// Divides `limit`, of which `fixed` are needed for other things. Clients get what was wished for, and at most half of
    /// the rest: each of them may need a second one.
    pub(crate) fn of(limit: u64, fixed: u64, wished: usize) -> Self {
        let free = usize::try_from(limit.saturating_sub(fixed)).unwrap_or(usize::MAX).max(4);
        let clients = wished.min(free / 2);
        Self { clients, onward: free - clients }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_they_wish_or_half_of_what_there_is() {
        assert_eq!(Shares::of(65_536, 100, 8192), Shares { clients: 8192, onward: 57_244 });
        assert_eq!(Shares::of(1024, 100, 8192), Shares { clients: 462, onward: 462 });
        assert_eq!(Shares::of(256, 80, 20), Shares { clients: 20, onward: 156 });
        assert_eq!(Shares::of(10, 100, 8192), Shares { clients: 2, onward: 2 }, "never none");
    }

    #[test]
    fn what_concerns_one_client_takes_no_pause_and_all_else_does() {
        let mut errors = AcceptErrors::at("a test");
        let os = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        for errno in [Errno::CONNABORTED, Errno::INTR] {
            assert_eq!(errors.pause(&os(errno)), None, "{errno:?}");
        }
        let before = refused();
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert_eq!(errors.pause(&os(errno)), Some(PAUSE), "{errno:?}");
        }
        assert!(refused() >= before + 4);
        for errno in [Errno::PERM, Errno::PROTO, Errno::BADF] {
            assert_eq!(errors.pause(&os(errno)), Some(PAUSE), "it must not spin: {errno:?}");
        }
    }

    #[test]
    fn a_budget_gives_out_what_it_has_and_takes_it_back() {
        let budget = Budget::of(1);
        let taken = budget.take().unwrap();
        assert!(is_shortage(&budget.take().err().unwrap()));
        drop(taken);
        assert!(budget.take().is_ok());
    }

    #[test]
    fn a_reserve_gives_back_what_it_has_and_no_more() {
        let mut reserve = Reserve::of(2);
        assert!(reserve.release() && reserve.release() && !reserve.release());
        reserve.refill();
        assert!(reserve.release());
    }
}
