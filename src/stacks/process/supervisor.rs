//! The supervisor of one stack: a process of its own that starts the instances, starts them again, keeps their
//! output, and ends them when it is told. It outlives the controller, and its instances do not outlive it.
//!
//! Must not decide whether the stack is wanted: it looks for the mark `retiring` and for TERM, and obeys. One thread,
//! because the kernel ends the instances when the *thread* that started them ends.

use std::{cell::RefCell, fs::File, io, os::fd::AsFd, path::PathBuf, time::Duration};

use futures_util::future::join_all;
use rustix::process::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::{interval, timeout},
};

use super::{
    definition::Definition,
    folder::{InstancePhase, InstanceState, Spec, StackFolder, State},
    handed::Handed,
    instance,
};

/// How often it looks whether it is to retire, should the signal have been lost.
const LOOK: Duration = Duration::from_secs(1);
/// How long it goes on ending what will not end before it leaves the rest to the next look of the controller.
const SWEEP: Duration = Duration::from_secs(5);

/// What the instances share.
pub(super) struct Shared {
    pub(super) folder: StackFolder,
    pub(super) spec: Spec,
    pub(super) definition: Definition,
    /// Secrets of the pipeline. They are nowhere else: a new supervisor is handed them anew.
    pub(super) handed: Handed,
    state: RefCell<State>,
}

/// Runs the stack in this folder until it is told to stop. Returns at once when another supervisor has it.
/// Call it on the main thread, outside of any runtime.
///
/// # Errors
/// When the folder is not that of a stack, or can not be written.
pub fn run(folder: PathBuf) -> io::Result<()> {
    let folder = StackFolder(folder);
    let Some(_lock) = take_lock(&folder)? else { return Ok(()) };
    // Fails only where it leads a session already.
    let _ = rustix::process::setsid();
    let handed = Handed::receive()?;
    let spec = folder.spec()?;
    let definition = Definition::parse(&spec.definition).map_err(|why| io::Error::other(why.join("; ")))?;
    let instances = vec![InstanceState::default(); spec.endpoints.len()];
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let state = RefCell::new(State { pid, instances });
    let shared = Shared { folder, spec, definition, handed, state };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(supervise(&shared))
}

/// The lock comes with standard input from whoever started us, so that nobody can come between; started by hand,
/// we take it ourselves.
fn take_lock(folder: &StackFolder) -> io::Result<Option<File>> {
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (ours, given) = (rustix::fs::stat(folder.0.join("lock")), rustix::fs::fstat(&stdin)?);
    let is_lock = ours.is_ok_and(|ours| (ours.st_dev, ours.st_ino) == (given.st_dev, given.st_ino));
    if is_lock && stdin.try_lock().is_ok() {
        return Ok(Some(stdin));
    }
    folder.try_lock()
}

async fn supervise(shared: &Shared) -> io::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // What a supervisor that was killed has left would hold the ports.
    sweep(shared, Duration::ZERO).await;
    shared.folder.write_state(&shared.state.borrow())?;
    let instances = async {
        join_all((0..shared.spec.endpoints.len()).map(|i| instance::keep(shared, i, stopped.clone()))).await;
    };
    let told = async {
        let mut look = interval(LOOK);
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = interrupt.recv() => break,
                _ = look.tick() => if shared.folder.is_retiring() { break },
            }
        }
        stop.send_replace(true);
    };
    tokio::join!(instances, told);
    sweep(shared, shared.definition.stop.grace).await;
    Ok(())
}

/// Ends what carries the stack's mark but is no child of ours: asks first where there is a `grace`, then insists.
async fn sweep(shared: &Shared, grace: Duration) {
    let mark = &shared.spec.mark;
    let ended = |signal: Signal| {
        let left = mark.processes();
        for process in &left {
            // Gone already, or not ours to signal: the next look tells.
            let _ = mark.signal(*process, signal);
        }
        left.is_empty()
    };
    if grace.is_zero() || !ended(Signal::TERM) {
        let _ = timeout(grace, until(|| mark.processes().is_empty())).await;
        let _ = timeout(SWEEP, until(|| ended(Signal::KILL))).await;
    }
}

async fn until(mut done: impl FnMut() -> bool) {
    let mut look = interval(Duration::from_millis(20));
    while !done() {
        look.tick().await;
    }
}

impl Shared {
    /// Changes what is known of an instance, and lets the controller know.
    pub(super) fn update(&self, instance: usize, change: impl FnOnce(&mut InstanceState)) {
        let mut state = self.state.borrow_mut();
        let Some(entry) = state.instances.get_mut(instance) else { return };
        let before = entry.clone();
        change(entry);
        if *entry != before {
            // On a full disk the controller sees an old state, and the instance runs on.
            let _ = self.folder.write_state(&state);
        }
    }

    pub(super) fn enter(&self, instance: usize, phase: InstancePhase) {
        self.update(instance, |entry| entry.phase = phase);
    }
}
