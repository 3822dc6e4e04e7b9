//! Which processes are ours. Numbers of processes are used again, so every process that we start carries a mark in its
//! environment, which its children inherit: that finds the ones that nobody remembers, and no others.
//!
//! Must not decide who is to be ended. Limit: a process that another user runs, or that overwrites its environment
//! in memory, cannot be found this way; `family.rs` finds it by where it comes from.

use std::{collections::BTreeMap, fs, io};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::machine::StackName;

/// The variable that processes of a stack carry.
pub(super) const OF_STACK: &str = "POINTSMAN_STACK";
/// The variable that says whose stack it is: several installations may share a host.
pub(super) const INSTALLATION: &str = "POINTSMAN_INSTALLATION";
/// The variable of an instance within its stack.
pub(super) const INSTANCE: &str = "POINTSMAN_INSTANCE";
/// The variable that only the supervisor carries, instead of [`OF_STACK`].
pub(super) const SUPERVISES: &str = "POINTSMAN_SUPERVISES";

/// What tells the processes of one stack from all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) installation: String,
    /// `pipeline/environment#number`.
    pub(super) stack: String,
}

impl Mark {
    pub(super) fn new(installation: &str, name: &StackName) -> Self {
        Self { installation: installation.to_owned(), stack: format!("{}#{}", name.environment, name.number) }
    }

    /// The processes of this stack, now.
    pub(super) fn processes(&self) -> Vec<Process> {
        let mut all = marked(&self.installation);
        all.remove(&self.stack).unwrap_or_default()
    }

    /// The instance that a process of this stack is, or comes from.
    pub(super) fn instance_of(&self, pid: i32) -> Option<usize> {
        let environment = Environ::of(pid).ok()?;
        self.is_carried(OF_STACK, &environment).then(|| environment.get(INSTANCE)?.parse().ok()).flatten()
    }

    fn is_carried(&self, variable: &str, environment: &Environ) -> bool {
        environment.has(INSTALLATION, &self.installation) && environment.has(variable, &self.stack)
    }

    /// Signals the supervisor of this stack, if this process is it.
    pub(super) fn signal_supervisor(&self, pid: i32, signal: Signal) -> io::Result<bool> {
        signal_if(pid, signal, |environment| self.is_carried(SUPERVISES, environment))
    }
}

/// A process as found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// The instance that it or an ancestor of it is.
    pub(super) instance: Option<usize>,
}

/// All processes of an installation by the stack that they carry. One look at each process of the host.
pub(super) fn marked(installation: &str) -> BTreeMap<String, Vec<Process>> {
    let mut found: BTreeMap<String, Vec<Process>> = BTreeMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        let Ok(environment) = Environ::of(pid) else { continue };
        if !environment.has(INSTALLATION, installation) {
            continue;
        }
        if let Some(stack) = environment.get(OF_STACK) {
            let instance = environment.get(INSTANCE).and_then(|n| n.parse().ok());
            found.entry(stack.to_owned()).or_default().push(Process { pid, instance });
        }
    }
    found
}

/// The stack, of any installation, whose mark a process carries.
pub(super) fn mark_of(pid: i32) -> Option<Mark> {
    let environment = Environ::of(pid).ok()?;
    let (installation, stack) = (environment.get(INSTALLATION)?, environment.get(OF_STACK)?);
    Some(Mark { installation: installation.to_owned(), stack: stack.to_owned() })
}

/// Signals a process through a handle to it, after looking at who it is: between the look and the signal its number
/// can not become another's.
fn signal_if(pid: i32, signal: Signal, ours: impl Fn(&Environ) -> bool) -> io::Result<bool> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(false) };
    let handle = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::SRCH) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if !Environ::of(pid.as_raw_nonzero().get()).is_ok_and(|environment| ours(&environment)) {
        return Ok(false);
    }
    match pidfd_send_signal(&handle, signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The environment that a process was started with. Holds secrets of others: never shown.
struct Environ(Vec<u8>);

impl Environ {
    fn of(pid: i32) -> io::Result<Self> {
        fs::read(format!("/proc/{pid}/environ")).map(Self)
    }

    fn get(&self, name: &str) -> Option<&str> {
        let value =
            self.0.split(|b| *b == 0).find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        std::str::from_utf8(value).ok()
    }

    fn has(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }
}
