//! The supervisor of one stack: a process of its own that starts the instances, starts them again, keeps their
//! output, and ends them when the stack is to go. It outlives the controller, and its instances outlive it: whoever
//! supervises the stack next finds them running and goes on from there.
//!
//! Must not decide whether the stack is wanted: it looks for the marks `retiring` and `down` and for the newest order to stop or
//! start it, and obeys.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    fs::File,
    io,
    os::fd::AsFd,
    path::PathBuf,
    time::Duration,
};

use futures_util::future::join_all;
use rustix::process::{Signal, getpid, set_child_subreaper};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
    time::{interval, timeout},
};

use super::{
    definition::Definition,
    family::{self, Leaders, Member},
    folder::{InstancePhase, InstanceState, Spec, StackFolder, State},
    handed::Handed,
    instance,
    life::Life,
    order::RunOrder,
    ports,
};
use crate::{clock::Stopwatch, signals};

/// How often it looks whether it is to retire, should the signal have been lost, and which processes there are.
const LOOK: Duration = Duration::from_secs(1);
/// How long it goes on ending what will not end before it leaves the rest to the next look of the controller.
const SWEEP: Duration = Duration::from_secs(5);
/// How long what an instance has left behind, and its port, are waited for before it is started again.
const CLEAR: Duration = Duration::from_secs(2);
/// A stack that was up for so long is kept up for ever.
const KEPT_AFTER: Duration = Duration::from_secs(5);
/// The pause between two looks at what is being ended.
const PACE: Duration = Duration::from_millis(20);

/// State that the instances share.
pub(super) struct Shared {
    pub(super) folder: StackFolder,
    pub(super) spec: Spec,
    pub(super) definition: Definition,
    /// Secrets of the pipeline. They are nowhere else: a new supervisor is handed them again.
    pub(super) handed: Handed,
    /// Rung when what waits to be started again is not to wait any longer.
    pub(super) again: Notify,
    /// Rung when an instance is ordered to be started again.
    pub(super) ordered: Notify,
    /// It was begun for an order to start the stack again: what has ended before did not do so by itself.
    by_order: bool,
    state: RefCell<State>,
    /// Since when all instances run.
    up: Cell<Option<Stopwatch>>,
    /// The processes besides the instances' own, as seen last.
    family: RefCell<Vec<Member>>,
    /// Members as they were written last.
    written: RefCell<Vec<Member>>,
}

/// Runs the stack in this folder until it is told to stop. Returns at once when another supervisor has it.
/// Call it on the main thread, outside of any runtime.
///
/// # Errors
/// When the folder is not that of a stack, or cannot be written.
pub fn run(folder: PathBuf) -> io::Result<()> {
    let folder = StackFolder(folder);
    let Some(_lock) = take_lock(&folder)? else {
        tracing::info!("another supervisor looks after this stack");
        return Ok(());
    };
    // Fails only where it leads a session already.
    let _ = rustix::process::setsid();
    signals::give_back()?;
    // What the instances leave running comes to us, whatever it does to hide.
    set_child_subreaper(Some(getpid()))?;
    let handed = Handed::receive()?;
    let spec = folder.spec()?;
    if folder.is_elsewhere(&spec)? {
        return Err(io::Error::other("its folder is a copy: what runs belongs to the one that it was copied from"));
    }
    let definition = Definition::parse(&spec.definition).map_err(|why| io::Error::other(why.join("; ")))?;
    let boot = family::boot()?;
    let family = RefCell::new(folder.family(&boot));
    let order = folder.run_order()?;
    let state = inherited(&folder, boot, spec.endpoints.len());
    let by_order = state.obeyed.unwrap_or(0) < order.order;
    let state = RefCell::new(State { obeyed: Some(order.order), ..state });
    let (again, ordered) = (Notify::new(), Notify::new());
    let (up, written) = (Cell::new(None), RefCell::default());
    let shared = Shared { folder, spec, definition, handed, again, ordered, by_order, state, up, family, written };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(supervise(&shared))
}

/// What the supervisor before has said, as far as it still means something.
fn inherited(folder: &StackFolder, boot: String, instances: usize) -> State {
    // A stack that is new has nothing behind it.
    let mut state = folder.state().unwrap_or_else(|| State { boot: boot.clone(), ..State::default() });
    let same = state.boot == boot;
    state.instances.resize_with(instances, InstanceState::default);
    for entry in state.instances.iter_mut().filter(|_| !same) {
        entry.pid = None;
    }
    State { pid: getpid().as_raw_nonzero().get(), boot, ..state }
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

/// Order to the supervisor.
enum Told {
    /// The stack is to go, or to rest.
    End,
    /// Only this process ends: its instances go on.
    Leave,
}

async fn supervise(shared: &Shared) -> io::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let told = told(shared)?;
    if shared.is_to_end() {
        join_all(shared.running().into_iter().map(|life| instance::end(shared, life))).await;
    } else {
        shared.has_its_secrets()?;
        let found = shared.find_instances();
        shared.end_strays().await;
        shared.folder.write_state(&shared.state.borrow())?;
        let keep = |(nth, life)| instance::keep(shared, nth, life, stopped.clone());
        let mut instances = Box::pin(join_all(found.into_iter().enumerate().map(keep)));
        let told = tokio::select! {
            told = told => told,
            _ = &mut instances => Told::End,
            never = shared.watch_family() => match never {},
        };
        if matches!(told, Told::Leave) {
            tracing::info!("told to end; the instances go on");
            return Ok(());
        }
        tracing::info!("the stack is to go, or to rest; ending its instances");
        stop.send_replace(true);
        instances.await;
    }
    shared.sweep(shared.definition.stop.grace).await;
    shared.rests();
    tracing::info!("the supervisor ends with the stack");
    Ok(())
}

/// Returns when the supervisor must end. Signals are heard from this call on.
fn told(shared: &Shared) -> io::Result<impl Future<Output = Told>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut again = signal(SignalKind::hangup())?;
    Ok(async move {
        let mut look = interval(LOOK);
        loop {
            let signalled = tokio::select! {
                _ = term.recv() => true,
                _ = interrupt.recv() => true,
                _ = again.recv() => {
                    if !(shared.take_run_order() | shared.take_order()) {
                        tracing::info!("told to start what has ended without a pause");
                        shared.again.notify_waiters();
                    }
                    false
                }
                _ = look.tick() => {
                    shared.take_run_order();
                    shared.take_order();
                    false
                }
            };
            // The mark comes before the signal.
            match (shared.is_to_end(), signalled) {
                (true, _) => return Told::End,
                (false, true) => return Told::Leave,
                (false, false) => {}
            }
        }
    })
}

async fn until(mut done: impl FnMut() -> bool) {
    let mut look = interval(PACE);
    while !done() {
        look.tick().await;
    }
}

impl Shared {
    /// Whether nothing of the stack is to run any longer.
    fn is_to_end(&self) -> bool {
        self.folder.is_retiring() || self.folder.is_down() || self.run_order().is_some_and(|order| order.stopped)
    }

    fn run_order(&self) -> Option<RunOrder> {
        let read = self.folder.run_order();
        read.inspect_err(|error| tracing::warn!("the order to stop or start the stack cannot be read: {error}")).ok()
    }

    /// Takes note of a newer order to start what runs already.
    fn take_run_order(&self) -> bool {
        let Some(order) = self.run_order().filter(|order| !order.stopped) else { return false };
        let new = self.state.borrow().obeyed.unwrap_or(0) < order.order;
        if new {
            tracing::info!(order = order.order, "it is to run, as it does");
            self.change(|state| state.obeyed = Some(order.order));
        }
        new
    }

    /// Refuses to go on without the secrets that the definition wants: who was to end the stack was handed none, and it may be
    /// wanted again since.
    fn has_its_secrets(&self) -> io::Result<()> {
        let missing = self.definition.handed().find(|name| self.handed.value(name).is_none());
        let why = |name| format!("the secret {name} was not handed over; whoever wants the stack hands it over");
        missing.map_or(Ok(()), |name| Err(io::Error::other(why(name))))
    }

    /// The processes of instances, as an earlier supervisor wrote them down, that run.
    fn running(&self) -> Vec<Life> {
        let state = self.state.borrow();
        let known = state.instances.iter().filter_map(|entry| entry.pid);
        known.filter_map(|(pid, start)| Life::found(pid, start)).collect()
    }

    /// Notes that the instances have ended, as they were told.
    fn rests(&self) {
        self.change(|state| {
            for entry in &mut state.instances {
                let runs = entry.pid.is_some_and(|(pid, start)| Life::found(pid, start).is_some());
                if !runs {
                    (entry.phase, entry.pid) = (InstancePhase::Stopped, None);
                }
            }
        });
    }

    /// Takes the order to start an instance again, unless it was taken before. It is written down before anything ends.
    fn take_order(&self) -> bool {
        let order = match self.folder.restart_order() {
            Ok(Some(order)) => order,
            Ok(None) => return false,
            Err(error) => {
                tracing::warn!("the order to start an instance again cannot be read: {error}");
                return false;
            }
        };
        let new = self.entry(order.instance, |entry| entry.ending_for < order.order) == Some(true);
        if new {
            tracing::info!(instance = order.instance, order = order.order, "it is to be started again");
            self.update(order.instance, |entry| entry.ending_for = order.order);
            self.ordered.notify_waiters();
        }
        new
    }

    /// Whether an instance is ordered to be started again.
    pub(super) fn is_ordered(&self, instance: usize) -> bool {
        self.entry(instance, InstanceState::is_ordered) == Some(true)
    }

    /// Returns once the instance was ordered to restart.
    pub(super) async fn ordered(&self, instance: usize) {
        loop {
            let rung = self.ordered.notified();
            tokio::pin!(rung);
            // Rung from now on, also before it is waited for.
            rung.as_mut().enable();
            if self.is_ordered(instance) {
                return;
            }
            rung.await;
        }
    }

    fn entry<T>(&self, instance: usize, of: impl FnOnce(&InstanceState) -> T) -> Option<T> {
        self.state.borrow().instances.get(instance).map(of)
    }

    /// The instances that run already. One that is gone has ended while nobody looked.
    fn find_instances(&self) -> Vec<Option<Life>> {
        if let Ok(Some(restart)) = self.folder.restart_order()
            && self.by_order
        {
            self.update(restart.instance, |entry| entry.ending_for = entry.ending_for.max(restart.order));
        }
        let known: Vec<_> = self.state.borrow().instances.iter().map(|entry| entry.pid).collect();
        let find = |(instance, pid): (usize, Option<(i32, u64)>)| {
            let life = pid.and_then(|(pid, start)| Life::found(pid, start));
            if life.is_none() && self.by_order {
                self.update(instance, InstanceState::begins_again);
            }
            let (pid, _) = pid?;
            if life.is_some() {
                tracing::info!(instance, pid, "it runs; going on with it");
            } else if self.by_order || self.is_ordered(instance) {
                self.update(instance, |entry| entry.pid = None);
            } else {
                let why = "it ended while it had no supervisor; its exit status is not known";
                self.ended_by_itself(instance, why, |entry| entry.restarts += 1);
            }
            life
        };
        known.into_iter().enumerate().map(find).collect()
    }

    /// Ends what is of the stack and belongs to no instance that runs: it would hold the ports.
    async fn end_strays(&self) {
        let running = self.leaders();
        let strays = || {
            let all = self.members().into_iter().chain(family::marked(&self.spec.mark));
            let stray = |member: &Member| {
                let of_running = member.instance.is_none_or(|instance| running.values().any(|nth| *nth == instance));
                !of_running && !running.contains_key(&member.pid) && member.is_alive()
            };
            all.filter(stray).collect::<Vec<_>>()
        };
        end(strays, SWEEP).await;
    }

    /// Ends what an instance that has ended left behind, and waits until its port is free.
    pub(super) async fn end_family_of(&self, instance: usize) {
        let left = || {
            let all = self.members().into_iter().chain(family::marked(&self.spec.mark));
            let others = self.leaders();
            let of_it = |member: &Member| {
                member.instance == Some(instance) && !others.contains_key(&member.pid) && member.is_alive()
            };
            all.filter(of_it).collect::<Vec<_>>()
        };
        end(left, CLEAR).await;
        let Some(endpoint) = self.spec.endpoints.get(instance) else { return };
        if ports::can_listen(*endpoint).is_ok() {
            return;
        }
        // Nobody knew whose it is, but it is of this stack and holds the port of this instance.
        let holder = || {
            let holder = family::listener(*endpoint);
            let ours = self.members();
            holder.into_iter().filter(|h| ours.iter().any(|m| (m.pid, m.start) == (h.pid, h.start))).collect()
        };
        end(holder, CLEAR).await;
    }

    /// Ends all that there is of the stack: asks first where there is a `grace`, then insists.
    async fn sweep(&self, grace: Duration) {
        let all = || {
            let mut all = self.members();
            all.extend(family::marked(&self.spec.mark));
            all.retain(Member::is_alive);
            all
        };
        if !grace.is_zero() {
            all().iter().for_each(|member| member.signal(Signal::TERM));
            // When the time is over, it insists.
            let _ = timeout(grace, until(|| all().is_empty())).await;
        }
        end(all, SWEEP).await;
        self.remember();
    }

    /// Keeps an eye on which processes there are, so that the next supervisor knows them, too; and on how long all is well.
    async fn watch_family(&self) -> Infallible {
        let mut look = interval(LOOK);
        loop {
            look.tick().await;
            self.members();
            self.remember();
            let long = self.up.get().is_some_and(|since| since.elapsed() >= KEPT_AFTER);
            self.change(|state| state.kept |= long);
        }
    }

    /// The processes besides the instances' own, now.
    fn members(&self) -> Vec<Member> {
        let before = self.family.take();
        let now = family::look(&self.spec.mark, &self.leaders(), self.spec.endpoints.len(), &before);
        self.family.replace(now.clone());
        now
    }

    fn remember(&self) {
        let family = self.family.borrow();
        if *self.written.borrow() != *family {
            self.written.replace(family.clone());
            // On a full disk the next supervisor knows fewer of them; the marks find most.
            let _ = self.folder.write_family(&self.state.borrow().boot, &family);
        }
    }

    fn leaders(&self) -> Leaders {
        let state = self.state.borrow();
        let running = state.instances.iter().enumerate().filter_map(|(nth, entry)| Some((entry.pid?.0, nth)));
        running.collect()
    }

    pub(super) fn is_kept(&self) -> bool {
        self.state.borrow().kept
    }

    /// Changes what is known of an instance, and lets the controller know.
    pub(super) fn update(&self, instance: usize, change: impl FnOnce(&mut InstanceState)) {
        self.change(|state| {
            if let Some(entry) = state.instances.get_mut(instance) {
                change(entry);
            }
        });
    }

    /// Records that an instance has ended though nobody asked it to. Counts it once the stack was up: before, it is for
    /// the deployment to say that it does not come up.
    pub(super) fn ended_by_itself(&self, instance: usize, why: &str, change: impl FnOnce(&mut InstanceState)) {
        tracing::warn!(instance, "ended by itself: {why}");
        self.change(|state| {
            let Some(entry) = state.instances.get_mut(instance) else { return };
            (entry.pid, entry.last_exit) = (None, Some(why.to_owned()));
            change(entry);
            if state.was_up {
                entry.exits += 1;
                state.last_exit = Some(format!("instance {instance} ended by itself: {why}"));
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.borrow_mut();
        let before = state.clone();
        change(&mut state);
        let up = state.instances.iter().all(|entry| entry.phase == InstancePhase::Running);
        state.was_up |= up;
        self.up.set(up.then(|| self.up.get().unwrap_or_else(Stopwatch::start)));
        if *state != before {
            // On a full disk the controller sees an old state, and the instance runs on.
            let _ = self.folder.write_state(&state);
        }
    }

    /// It is being started, also for the order that it was ended for: from here on whoever comes next starts it, too.
    pub(super) fn starts(&self, instance: usize) {
        self.update(instance, |entry| {
            (entry.phase, entry.pid) = (InstancePhase::Starting, None);
            if entry.is_ordered() {
                (entry.started_for, entry.in_a_row, entry.pause) = (entry.ending_for, 0, 0);
                entry.last_exit = None;
            }
        });
    }

    pub(super) fn enter(&self, instance: usize, phase: InstancePhase) {
        self.update(instance, |entry| entry.phase = phase);
    }
}

/// Kills what `left` finds until it finds nothing, or the time is over: the next look of the controller tells.
async fn end(left: impl Fn() -> Vec<Member>, within: Duration) {
    let killed = || {
        let left = left();
        left.iter().for_each(|member| member.signal(Signal::KILL));
        left.is_empty()
    };
    let _ = timeout(within, until(killed)).await;
}
