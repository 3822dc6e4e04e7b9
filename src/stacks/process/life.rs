//! The life of one instance's process, whether this supervisor started it or found it running: its end is noticed at
//! once through a handle to the process. Must not decide whether it is to run.

use std::{
    io,
    os::fd::OwnedFd,
    os::unix::process::ExitStatusExt,
    process::{Child, ExitStatus},
};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::{Interest, unix::AsyncFd};

use super::family::Stat;

/// What is said where nobody can know the exit status: only who started a process is told it.
const STATUS_UNKNOWN: &str = "it ended; its exit status is not known, because its supervisor was replaced meanwhile";

/// A process that leads a group of its own.
pub(super) struct Life {
    pid: Pid,
    start: u64,
    handle: AsyncFd<OwnedFd>,
    /// The child; `None` when an earlier supervisor started it.
    child: Option<Child>,
}

impl Life {
    /// Takes a child that nobody has waited for.
    ///
    /// # Errors
    /// When the host gives no handle to it.
    pub(super) fn of(child: Child) -> io::Result<Self> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the kernel gave a process number out of range"))?;
        Self::handle(pid, Some(child))
    }

    /// The process that an earlier supervisor of this stack started, if it runs.
    pub(super) fn found(pid: i32, start: u64) -> Option<Self> {
        let life = Self::handle(Pid::from_raw(pid)?, None).ok()?;
        // Looked at after the handle was taken: the number cannot become another's now.
        let stat = Stat::of(pid)?;
        (stat.start == start && !stat.has_ended()).then_some(Self { start, ..life })
    }

    #[expect(
        deprecated,
        reason = "its successor is no safe function; an owned handle is neither closed nor replaced in there"
    )]
    fn handle(pid: Pid, child: Option<Child>) -> io::Result<Self> {
        let handle = AsyncFd::with_interest(pidfd_open(pid, PidfdFlags::empty())?, Interest::READABLE)?;
        let start = Stat::of(pid.as_raw_nonzero().get()).map_or(0, |stat| stat.start);
        Ok(Self { pid, start, handle, child })
    }

    /// Its number, and when it began in clock ticks since the host came up.
    pub(super) fn who(&self) -> (i32, u64) {
        (self.pid.as_raw_nonzero().get(), self.start)
    }

    pub(super) fn is_ours(&self) -> bool {
        self.child.is_some()
    }

    /// Returns when it has ended, without reaping it.
    ///
    /// # Errors
    /// When the handle cannot be watched.
    pub(super) async fn ended(&self) -> io::Result<()> {
        self.handle.readable().await.map(|mut ready| ready.retain_ready())
    }

    /// Signals its group, once: to many programs a second TERM means something else than the first.
    pub(super) fn signal(&self, signal: Signal) {
        let (pid, start) = self.who();
        // A child is not waited for yet, so that its number is its own and its group's.
        if self.is_ours() || Stat::of(pid).is_some_and(|stat| stat.start == start && !stat.has_ended()) {
            // Gone already is as good.
            let _ = kill_process_group(self.pid, signal);
        }
    }

    /// Kills what is left of its group once it has ended, and says how it ended.
    pub(super) fn bury(mut self, kill_group: bool) -> String {
        let Some(child) = &mut self.child else { return STATUS_UNKNOWN.to_owned() };
        if kill_group {
            // It is not waited for yet, so the number is still its group's. Nobody left in it is as good.
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
        match child.try_wait() {
            Ok(Some(status)) => show_exit(status),
            Ok(None) => "it ended, and cannot be waited for".to_owned(),
            Err(error) => format!("its end could not be read: {error}"),
        }
    }
}

fn show_exit(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(9)) => "killed by signal 9 (KILL; out of memory?)".to_owned(),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}
