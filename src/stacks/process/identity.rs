//! Tells which processes are ours. Numbers of processes are used again, so every process that we start carries a mark
//! in its environment, which its children inherit: that finds the ones that nobody remembers, and no others.
//!
//! Must not decide who is to be ended. Limit: a process that another user runs, or that overwrites its environment
//! in memory, cannot be found this way; `family.rs` finds it by where it comes from.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::machine::StackName;

/// The variable that processes of a stack carry.
pub(super) const OF_STACK: &str = "POINTSMAN_STACK";
/// The variable that says whose stack it is: several installations may share a host.
pub(super) const INSTALLATION: &str = "POINTSMAN_INSTALLATION";
/// The variable that says which folder the stack has: a copy of that folder is another one.
pub(super) const PLACE: &str = "POINTSMAN_PLACE";
/// The variable of an instance within its stack.
pub(super) const INSTANCE: &str = "POINTSMAN_INSTANCE";
/// The variable that only the supervisor carries, instead of [`OF_STACK`].
pub(super) const SUPERVISES: &str = "POINTSMAN_SUPERVISES";

/// What tells the processes of one stack from all others, also from those of a copy of its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) installation: String,
    /// The stack, as `pipeline/environment#number`.
    pub(super) stack: String,
    /// The identity of the stack's folder, by [`place`]. Empty: made by a version that did not know it.
    #[serde(default)]
    pub(super) place: String,
    /// What it was before the folder was moved, as people said: processes with these are of this stack, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) former: Vec<String>,
}

/// Returns what tells a folder from a copy of it, as long as the host is up: its number, and when it was made.
pub(super) fn place(folder: &Path) -> io::Result<String> {
    let seen = fs::metadata(folder)?;
    let born = seen.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    let born = born.map_or(0, |since| since.as_nanos());
    Ok(format!("{:x}-{:x}-{born:x}", seen.dev(), seen.ino()))
}

impl Mark {
    pub(super) fn new(installation: &str, name: &StackName, place: String) -> Self {
        let stack = format!("{}#{}", name.environment, name.number);
        Self { installation: installation.to_owned(), stack, place, former: Vec::new() }
    }

    /// The same for the place that the folder has now; what was made before is of it, too.
    pub(super) fn moved_to(mut self, place: String) -> Self {
        if self.place != place {
            let before = std::mem::replace(&mut self.place, place);
            self.former.retain(|former| *former != before && *former != self.place);
            self.former.push(before);
        }
        self
    }

    /// The processes of this stack, now.
    pub(super) fn processes(&self) -> Vec<Process> {
        marked(&self.installation)
            .remove(&self.stack)
            .unwrap_or_default()
            .into_iter()
            .filter(|p| self.covers(&p.place))
            .collect()
    }

    /// How many of these processes are of this stack.
    pub(super) fn count(&self, processes: &Processes) -> usize {
        let marked = processes.get(&self.stack).into_iter().flatten();
        marked.filter(|process| self.covers(&process.place)).count()
    }

    /// The instance that a process of this stack is, or comes from.
    pub(super) fn instance_of(&self, pid: i32) -> Option<usize> {
        let environment = Environ::of(pid).ok()?;
        self.is_carried(OF_STACK, &environment).then(|| environment.get(INSTANCE)?.parse().ok()).flatten()
    }

    /// Whether a place is that of this stack, or was.
    pub(super) fn covers(&self, place: &str) -> bool {
        self.place == place || self.former.iter().any(|former| former == place)
    }

    fn is_carried(&self, variable: &str, environment: &Environ) -> bool {
        environment.has(INSTALLATION, &self.installation)
            && environment.has(variable, &self.stack)
            && self.covers(environment.place())
    }

    /// Signals the supervisor of this stack, if this process is it.
    pub(super) fn signal_supervisor(&self, pid: i32, signal: Signal) -> io::Result<bool> {
        signal_if(pid, signal, |environment| self.is_carried(SUPERVISES, environment))
    }
}

/// A process as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// The identity of the folder that its stack had when it was started; empty: it does not say.
    pub(super) place: String,
    /// The instance that it or an ancestor of it is.
    pub(super) instance: Option<usize>,
}

/// Processes by the stack that they carry.
pub(super) type Processes = BTreeMap<String, Vec<Process>>;

/// All processes of an installation. One look at each process of the host.
pub(super) fn marked(installation: &str) -> Processes {
    let mut found = Processes::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        let Ok(environment) = Environ::of(pid) else { continue };
        if !environment.has(INSTALLATION, installation) {
            continue;
        }
        if let Some(stack) = environment.get(OF_STACK) {
            let instance = environment.get(INSTANCE).and_then(|n| n.parse().ok());
            let place = environment.place().to_owned();
            found.entry(stack.to_owned()).or_default().push(Process { pid, place, instance });
        }
    }
    found
}

/// Whether a process carries the mark of a stack, of any installation, but not this one.
pub(super) fn is_of_another(pid: i32, mark: &Mark) -> bool {
    let environment = Environ::of(pid).ok().filter(|environment| environment.get(OF_STACK).is_some());
    environment.is_some_and(|environment| !mark.is_carried(OF_STACK, &environment))
}

/// The supervisors of an installation, with the folder that each is told to look after.
pub(super) fn supervisors(installation: &str) -> Vec<(i32, PathBuf)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let look = |pid: i32| {
        let environment = Environ::of(pid).ok()?;
        environment.get(SUPERVISES)?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let folder = line.split(|b| *b == 0).skip_while(|word| *word != b"--folder").nth(1)?;
        let folder = PathBuf::from(std::str::from_utf8(folder).ok()?);
        environment.has(INSTALLATION, installation).then_some((pid, folder))
    };
    pids.filter_map(look).collect()
}

/// Signals a process through a handle to it, after looking at who it is: between the look and the signal its number
/// cannot become another's.
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

    /// Empty: it was started by a version that did not say.
    fn place(&self) -> &str {
        self.get(PLACE).unwrap_or("")
    }

    fn has(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }
}
