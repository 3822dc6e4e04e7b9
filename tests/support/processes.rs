//! Finds the processes of this host that belong to an installation, so that a story can see that none is left.

use std::{fs, path::Path};

use rustix::process::{Pid, Signal, kill_process};

use super::soon::soon;

/// A process of an installation.
#[derive(Debug)]
pub struct Process {
    pub pid: i32,
    arguments: Vec<String>,
    /// `pipeline/environment#number`, of the stack that it is or supervises.
    pub stack: Option<String>,
}

impl Process {
    /// Whether it is the program at this command.
    pub fn runs(&self, command: &str) -> bool {
        self.arguments.get(1).is_some_and(|a| a == command)
    }

    /// Whether one of its arguments has this in it.
    pub fn names(&self, text: &str) -> bool {
        self.arguments.iter().any(|argument| argument.contains(text))
    }

    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    pub fn signal(&self, signal: Signal) {
        // Gone already is as good.
        let _ = kill_process(Pid::from_raw(self.pid).expect("a process"), signal);
    }
}

/// Returns the processes that name the folder, and those that carry the mark that is kept in the file `installation`.
pub fn of(folder: &Path, installation: &Path) -> Vec<Process> {
    let id = fs::read_to_string(installation).unwrap_or_default();
    let folder = folder.to_str().expect("text");
    let pids = fs::read_dir("/proc").expect("Linux").filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    let look = |pid: i32| {
        let read = |what: &str| {
            let bytes = fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).split('\0').map(str::to_owned).collect::<Vec<_>>()
        };
        let (arguments, variables) = (read("cmdline"), read("environ"));
        let value =
            |name: &str| variables.iter().find_map(|v| v.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned);
        let marked = !id.is_empty() && value("POINTSMAN_INSTALLATION").as_deref() == Some(id.trim());
        let ours = marked || arguments.iter().any(|a| a.starts_with(folder));
        let stack = value("POINTSMAN_STACK").or_else(|| value("POINTSMAN_SUPERVISES")).filter(|_| marked);
        ours.then_some(Process { pid, arguments, stack })
    };
    pids.filter_map(look).collect()
}

/// Ends them, and says so if that cannot be done.
pub fn end(left: impl Fn() -> Vec<Process>) {
    let gone = soon(|| {
        let left = left();
        left.iter().for_each(Process::kill);
        left.is_empty()
    });
    if !gone {
        println!("left behind: {:?}", left());
    }
}
