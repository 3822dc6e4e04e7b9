//! Orders to stop a stack, to start it again, and to restart one instance: they stand in the stack's folder before anything
//! is ended or started, so that whoever crashes, somebody goes on towards what the newest one says. An order about a stack
//! that is not there yet stands beside its folder: a request to create it that comes late creates nothing.
//!
//! Must not decide whether a stack is to run.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::{
    Inner,
    folder::{Durable, RestartOrder, StackFolder, State, read_json, replace},
    identity::{self, Processes},
    left::left,
    lock, seen, unavailable,
};
use crate::{
    machine::StackName,
    stacks::{SeenStack, StackSpec, StepError},
};

/// How many orders about stacks that never came are kept for an environment.
const KEPT: usize = 20;

/// The newest order to stop a stack or to start it again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunOrder {
    /// Its number; 0: there was none.
    pub(super) order: u64,
    /// Nothing of the stack is to run.
    pub(super) stopped: bool,
    /// Since then nothing of it was seen to run, and nobody has held its ports.
    #[serde(default)]
    pub(super) ended: bool,
}

impl StackFolder {
    /// The newest order; one without a number where there was none.
    pub(super) fn run_order(&self) -> io::Result<RunOrder> {
        for path in [self.0.join("order.json"), self.beside()?] {
            match read_json(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                read => return read,
            }
        }
        Ok(RunOrder::default())
    }

    /// Writes an order down, for good.
    pub(super) fn write_run_order(&self, order: RunOrder) -> io::Result<()> {
        let text = serde_json::to_vec(&order).map_err(io::Error::other)?;
        if self.exists() {
            replace(&self.0.join("order.json"), &text, Durable::Yes)?;
            return File::open(&self.0)?.sync_all();
        }
        let (path, parent) = (self.beside()?, self.parent()?);
        fs::create_dir_all(parent)?;
        replace(&path, &text, Durable::Yes)?;
        File::open(parent)?.sync_all()?;
        forget_old(parent)
    }

    /// Forgets an order that came before the stack.
    pub(super) fn forget_beside(&self) -> io::Result<()> {
        match fs::remove_file(self.beside()?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Where the order stands as long as the folder is not there.
    fn beside(&self) -> io::Result<PathBuf> {
        let number = self.0.file_name().ok_or_else(|| io::Error::other("a stack's folder has a name"))?;
        Ok(self.parent()?.join(format!(".{}{SUFFIX}", number.to_string_lossy())))
    }
}

const SUFFIX: &str = "-order";

/// Forgets all but the newest orders about stacks that never came: no request to create one is that late.
fn forget_old(parent: &Path) -> io::Result<()> {
    let number = |name: &str| name.strip_prefix('.')?.strip_suffix(SUFFIX)?.parse::<u32>().ok();
    let named = |entry: fs::DirEntry| Some((number(entry.file_name().to_str()?)?, entry.path()));
    let mut found = Vec::new();
    for entry in fs::read_dir(parent)? {
        found.extend(named(entry?));
    }
    found.sort_unstable();
    found.iter().rev().skip(KEPT).try_for_each(|(_, path)| fs::remove_file(path))
}

impl Inner {
    /// Has all of a stack ended, and keeps the rest.
    pub(super) fn stop(&self, name: &StackName, order: u64) -> Result<(), StepError> {
        let failed = |error| unavailable(&format!("{name} could not be stopped"), &error);
        let folder = self.orderable(name)?;
        if !self.takes(&folder, RunOrder { order, stopped: true, ended: false }).map_err(failed)? {
            return Ok(());
        }
        if let Some(state) = folder.state()
            && folder.is_supervised().map_err(failed)?
        {
            // One that hears nothing looks at the order by itself.
            self.mark(&folder, name).map_err(failed)?.signal_supervisor(state.pid, Signal::TERM).map_err(failed)?;
        }
        Ok(())
    }

    /// Has all of a stack that was stopped started again.
    pub(super) fn start(&self, wanted: &StackSpec, order: u64) -> Result<(), StepError> {
        let name = &wanted.name;
        let failed = |error| unavailable(&format!("{name} could not be started again"), &error);
        let folder = self.orderable(name)?;
        let is_there = folder.exists();
        let known = folder.run_order().map_err(failed)?.order > 0;
        if (is_there || known)
            && !self.takes(&folder, RunOrder { order, stopped: false, ended: false }).map_err(failed)?
        {
            return Ok(());
        }
        if !is_there {
            return Err(StepError::Unavailable(format!("{name} is not there, so nothing of it is started again")));
        }
        if let Some(state) = folder.state().filter(|state| state.obeyed.is_none_or(|obeyed| obeyed < order))
            && folder.is_supervised().map_err(failed)?
        {
            // A supervisor of an older version knows no such order: it leaves, and another one takes its place.
            let signal = if state.obeyed.is_some() { Signal::HUP } else { Signal::TERM };
            self.mark(&folder, name).map_err(failed)?.signal_supervisor(state.pid, signal).map_err(failed)?;
        }
        self.ensure(wanted)
    }

    /// Tells the supervisor to end an instance and to start it again. Where there is none, the next one sees the order.
    pub(super) fn restart(&self, name: &StackName, order: RestartOrder) -> Result<(), StepError> {
        let RestartOrder { instance, .. } = order;
        let failed = |error| unavailable(&format!("instance {instance} of {name} could not be restarted"), &error);
        let folder = StackFolder::of(&self.folder, name);
        if !folder.exists() || folder.is_retiring() {
            return Err(StepError::Unavailable(format!("{name} is not there, so nothing of it is started again")));
        }
        self.is_here(&folder, name)?;
        let at_rest = folder.run_order().map_err(failed)?;
        if at_rest.stopped {
            return Err(rests(name, at_rest));
        }
        let known = folder.restart_order().map_err(failed)?;
        if known.is_none_or(|known| known.order < order.order || known.instance != instance) {
            folder.order_restart(order).map_err(failed)?;
        }
        let taken = |state: &State| state.instances.get(instance).is_some_and(|i| i.ending_for >= order.order);
        let state = folder.state().filter(|state| !folder.is_down() && !taken(state));
        let Some(state) = state else { return Ok(()) };
        if folder.is_supervised().map_err(failed)? {
            self.mark(&folder, name).map_err(failed)?.signal_supervisor(state.pid, Signal::HUP).map_err(failed)?;
        }
        Ok(())
    }

    /// The folder of a stack that may be given orders.
    fn orderable(&self, name: &StackName) -> Result<StackFolder, StepError> {
        let folder = StackFolder::of(&self.folder, name);
        self.is_here(&folder, name)?;
        if folder.is_retiring() {
            return Err(StepError::Unavailable(format!("{name} is being torn down, which ends all of it")));
        }
        Ok(folder)
    }

    /// Writes the order down, unless a newer one is known. Returns whether it is the newest now.
    fn takes(&self, folder: &StackFolder, order: RunOrder) -> io::Result<bool> {
        let _serial = lock(&self.folder)?;
        let known = folder.run_order()?;
        if known.order >= order.order {
            return Ok((known.order, known.stopped) == (order.order, order.stopped));
        }
        folder.write_run_order(order)?;
        Ok(true)
    }

    /// How far a stack is that is to be stopped. Where its supervisor is gone before all has ended, another one ends the rest.
    pub(super) fn at_rest(
        &self,
        name: StackName,
        folder: &StackFolder,
        order: RunOrder,
        processes: &mut Option<Processes>,
    ) -> io::Result<SeenStack> {
        if order.ended {
            return Ok(seen::stopped(name, folder, order));
        }
        let supervised = folder.is_supervised()?;
        let mark = self.mark(folder, &name)?;
        let marked = processes.get_or_insert_with(|| identity::marked(&self.installation));
        let left = left(folder, &mark, mark.count(marked))?;
        if !supervised && left.is_nothing() {
            let ended = RunOrder { ended: true, ..order };
            return Ok(if self.ends(folder, ended)? {
                seen::stopped(name, folder, ended)
            } else {
                seen::stopping(name, folder, order, &left)
            });
        }
        if !supervised && left.processes > 0 {
            self.supervise(folder, &name, Stdio::null())?;
        }
        Ok(seen::stopping(name, folder, order, &left))
    }

    /// Notes that nothing of a stack runs any more, unless another order came meanwhile.
    fn ends(&self, folder: &StackFolder, ended: RunOrder) -> io::Result<bool> {
        let _serial = lock(&self.folder)?;
        let same = folder.run_order()? == RunOrder { ended: false, ..ended };
        if same {
            folder.write_run_order(ended)?;
        }
        Ok(same)
    }
}

/// Why nothing of a stack that was stopped is started.
pub(super) fn rests(name: &StackName, order: RunOrder) -> StepError {
    StepError::Unavailable(format!(
        "{name} was stopped by order {} and is kept as it is: only a newer order to start it starts it again",
        order.order
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_about_a_stack_that_is_not_there_stands_beside_it_and_old_ones_are_forgotten() {
        let driver = tempfile::tempdir().expect("a folder");
        let folder = |number: u32| StackFolder(driver.path().join(format!("stacks/shop/prod/{number}")));
        let stop = RunOrder { order: 3, stopped: true, ended: false };
        for number in 1..=25 {
            assert_eq!(folder(number).run_order().expect("read"), RunOrder::default());
            folder(number).write_run_order(stop).expect("written");
        }
        assert_eq!(StackFolder::all(driver.path()).expect("read").len(), 0, "it is no stack");
        assert_eq!(folder(5).run_order().expect("read"), RunOrder::default());
        assert_eq!(folder(6).run_order().expect("read"), stop);
        folder(25).forget_beside().expect("removed");
        assert_eq!(folder(25).run_order().expect("read"), RunOrder::default());
    }

    #[test]
    fn an_order_that_cannot_be_read_is_an_error() {
        let driver = tempfile::tempdir().expect("a folder");
        let folder = StackFolder(driver.path().join("1"));
        fs::create_dir(&folder.0).expect("made");
        fs::write(folder.0.join("order.json"), "{}").expect("written");
        assert!(folder.run_order().is_err());
    }
}
