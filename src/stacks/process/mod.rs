//! Stacks that are processes of this host: what `stacks/process/*.toml` describes, started detached, found again
//! after a restart of the controller, ended without a trace.
//!
//! Every stack has a folder, and a supervisor: a detached process of our own program that holds the folder's lock for
//! its life (see [`run`]). The driver only writes folders, starts supervisors and reads what they say; it must not wait
//! for any of it.

mod changes;
mod definition;
mod down;
mod family;
mod folder;
mod handed;
mod identity;
mod instance;
mod launch;
mod left;
mod life;
mod logs;
mod order;
mod output;
mod ports;
mod relocation;
mod seen;
mod supervisor;
mod template;

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::process::Signal;
use secrecy::SecretString;
use tokio::sync::watch;

pub use down::{down, stacks};
pub use launch::{Exec, exec};
pub use relocation::{elsewhere, settle};
pub use supervisor::run;

use self::{
    changes::Changes,
    definition::Definition,
    folder::{Durable, InstancePhase, RestartOrder, Spec, StackFolder, replace},
    identity::{Mark, Processes},
    left::left,
    order::rests,
};
use super::{Condition, Driver, Logs, LogsFrom, MadeFrom, Needs, SeenStack, StackDriver, StackSpec, StepError, is_for};
use crate::{
    log_file::for_last_words,
    machine::{EnvironmentId, RetirePermit, StackName, StartPermit, StopPermit},
    random,
    reach::{Reach, ReachKind},
};

/// How many retired stacks of an environment keep their folder with its logs.
const RETIRED_KEPT: usize = 5;

/// What others must know of the driver.
pub const DRIVER: Driver = Driver {
    name: "process",
    open,
    definition: "../stacks/process/NAME.toml",
    settings: &[],
    adopts: false,
    stops: true,
    reach: ReachKind::Addresses,
};

/// Opens the driver; its supervisors run our own program. It has no settings.
///
/// # Errors
/// When there are settings, or our own program cannot be found.
pub fn open(settings: &toml::Table, _: &Path, folder: &Path) -> Result<Arc<dyn StackDriver>, Vec<String>> {
    let meaningless = |key| format!("`{key}` means nothing to process stacks; remove it");
    let mistakes: Vec<String> = settings.keys().map(meaningless).collect();
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let program = std::env::current_exe().map_err(|error| vec![format!("our own program cannot be found: {error}")])?;
    Ok(Arc::new(Process::new(folder, program)))
}

/// The driver.
#[derive(Clone)]
pub struct Process {
    folder: PathBuf,
    program: PathBuf,
    /// Opened by the first call: who only reads definitions leaves no trace.
    opened: Arc<Mutex<Option<Arc<Inner>>>>,
    changes: Arc<Changes>,
}

struct Inner {
    folder: PathBuf,
    /// The program whose `stack-run` is the supervisor.
    program: PathBuf,
    /// Tells our processes from those of another installation on this host.
    installation: String,
    /// Supervisors that we started: their ends are awaited, so that none stays in the table of processes.
    started: Mutex<Vec<Child>>,
}

impl Inner {
    fn open(folder: &Path, program: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder.join("stacks"))?;
        let folder = folder.canonicalize()?;
        let installation = installation(&folder)?;
        Ok(Self { folder, program: program.to_owned(), installation, started: Mutex::default() })
    }
}

impl Process {
    /// The driver whose stacks live below that folder. `program` is this one, whose `stack-run` is the supervisor.
    pub fn new(folder: &Path, program: PathBuf) -> Self {
        Self { folder: folder.to_owned(), program, opened: Arc::default(), changes: Arc::default() }
    }

    fn inner(&self) -> Result<Arc<Inner>, StepError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = &*opened {
            return Ok(inner.clone());
        }
        let inner = Inner::open(&self.folder, &self.program)
            .map_err(|error| unavailable(&format!("{} cannot be written", self.folder.display()), &error))?;
        Ok(opened.insert(Arc::new(inner)).clone())
    }

    /// File work stays off the threads that everything else runs on.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StepError> + Send + 'static,
    ) -> Result<T, StepError> {
        let driver = self.clone();
        tokio::task::spawn_blocking(move || {
            let inner = driver.inner()?;
            inner.reap();
            let done = work(&inner);
            driver.changes.follow(&inner.folder);
            done
        })
        .await
        .map_err(|error| unavailable("the task was cancelled", &error))?
    }
}

#[async_trait::async_trait]
impl StackDriver for Process {
    /// A call is work of this process, and ends with it.
    fn lands_within(&self) -> std::time::Duration {
        std::time::Duration::from_secs(2)
    }

    async fn ensure(&self, spec: &StackSpec) -> Result<(), StepError> {
        let spec = spec.clone();
        self.blocking(move |inner| inner.ensure(&spec)).await
    }

    async fn retire(&self, name: &StackName, permit: &RetirePermit) -> Result<(), StepError> {
        is_for(permit.number(), name)?;
        let name = name.clone();
        self.blocking(move |inner| inner.retire(&name)).await
    }

    async fn observe(&self) -> Result<Vec<SeenStack>, StepError> {
        self.blocking(Inner::observe).await
    }

    async fn restart(&self, name: &StackName, instance: usize, order: u64) -> Result<(), StepError> {
        let name = name.clone();
        self.blocking(move |inner| inner.restart(&name, RestartOrder { instance, order })).await
    }

    async fn stop(&self, name: &StackName, permit: &StopPermit) -> Result<(), StepError> {
        is_for(permit.number(), name)?;
        let (name, order) = (name.clone(), permit.order());
        self.blocking(move |inner| inner.stop(&name, order)).await
    }

    async fn start(&self, spec: &StackSpec, permit: &StartPermit) -> Result<(), StepError> {
        is_for(permit.number(), &spec.name)?;
        let (spec, order) = (spec.clone(), permit.order());
        self.blocking(move |inner| inner.start(&spec, order)).await
    }

    fn can_restart(&self) -> bool {
        true
    }

    fn changes(&self, environment: &EnvironmentId) -> Option<watch::Receiver<u64>> {
        Some(self.changes.of(environment))
    }

    fn hidden(&self, name: &StackName) -> Vec<SecretString> {
        // One that is not there has said nothing.
        logs::folder_of(&self.folder, name).map(|folder| logs::hidden(&folder)).unwrap_or_default()
    }

    async fn logs(&self, name: &StackName, from: &LogsFrom) -> Result<Logs, StepError> {
        let (folder, name, from) = (self.folder.clone(), name.clone(), from.clone());
        let read = tokio::task::spawn_blocking(move || {
            let failed = |error| unavailable(&format!("reading the output of {name} failed"), &error);
            logs::read(&folder, &name, &from).map_err(failed)
        });
        read.await.map_err(|error| unavailable("the task was cancelled", &error))?
    }

    fn writes(&self, name: &StackName) -> Option<watch::Receiver<u64>> {
        let folder = logs::folder_of(&self.folder, name)?;
        self.changes.writes(&folder.0.join("logs"))
    }

    fn check_definition(&self, definition: &str) -> Result<(), Vec<String>> {
        Definition::parse(definition).map(drop)
    }

    async fn made_from(&self, name: &StackName) -> Result<Option<MadeFrom>, StepError> {
        let name = name.clone();
        self.blocking(move |inner| inner.made_from(&name)).await.map(Some)
    }

    fn reads_this_host(&self) -> bool {
        true
    }

    fn notes(&self, definition: &str) -> Vec<String> {
        Definition::parse(definition).map_or_else(|_| Vec::new(), |definition| definition.notes())
    }

    fn needs(&self, definition: &str) -> Option<Needs> {
        Definition::parse(definition).ok().map(|definition| definition.needs())
    }
}

impl Inner {
    fn ensure(&self, wanted: &StackSpec) -> Result<(), StepError> {
        let name = &wanted.name;
        let failed = |error| unavailable(&format!("{name} could not be started"), &error);
        let folder = StackFolder::of(&self.folder, name);
        if folder.is_retiring() {
            return Err(StepError::Unavailable(format!("{name} is being torn down")));
        }
        self.is_here(&folder, name)?;
        let order = folder.run_order().map_err(failed)?;
        if order.stopped {
            return Err(rests(name, order));
        }
        let supervised = folder.exists() && folder.is_supervised().map_err(failed)?;
        if supervised {
            return self.begin_again(&folder, name).map_err(failed);
        }
        let definition = Definition::parse(&wanted.definition).map_err(|why| StepError::Refused(why.join("\n")))?;
        if let Some(missing) = definition.handed().find(|name| !wanted.secrets.contains_key(*name)) {
            return Err(StepError::Refused(format!(
                "the stack definition of {name} needs the secret {missing}, which the pipeline does not hand over: add \
                 it to [secrets] and to `stack.secrets`, and deploy again"
            )));
        }
        if !folder.exists() && wanted.stranger {
            return Err(StepError::Refused(format!(
                "{name} is gone, and a stack that was adopted is not created again"
            )));
        }
        if !folder.exists() {
            let _serial = lock(&self.folder).map_err(failed)?;
            let order = folder.run_order().map_err(failed)?;
            if order.stopped {
                return Err(rests(name, order));
            }
            if !folder.exists() {
                let endpoints = ports::allot(&self.folder, &definition).map_err(failed)?;
                let spec = Spec {
                    name: name.clone(),
                    endpoints,
                    mark: Mark::new(&self.installation, name, String::new()),
                    release: wanted.release.as_ref().clone(),
                    definition: wanted.definition.to_string(),
                    boot: family::boot().map_err(failed)?,
                    began: family::ticks().map_err(failed)?,
                    artifact_at: fs::canonicalize(&*wanted.release.artifact)
                        .ok()
                        .filter(|_| wanted.release.artifact.starts_with('/')),
                };
                for (instance, endpoint) in spec.endpoints.iter().enumerate() {
                    launch::fill(&definition, &spec, instance, *endpoint, &folder.0).map_err(StepError::Refused)?;
                }
                folder.create(&spec, order).map_err(failed)?;
            }
        }
        folder.unmark_down().map_err(failed)?;
        let handed = handed::send(&wanted.secrets, definition.handed()).map_err(failed)?;
        self.supervise(&folder, name, handed.into()).map_err(failed)
    }

    /// Has what was given up started again: it is wanted. What runs or waits is left alone.
    fn begin_again(&self, folder: &StackFolder, name: &StackName) -> io::Result<()> {
        let Some(state) = folder.state() else { return Ok(()) };
        if state.instances.iter().any(|entry| entry.phase == InstancePhase::Failed) {
            // A supervisor of an older version ends upon it, and the next one starts what is missing.
            self.mark(folder, name)?.signal_supervisor(state.pid, Signal::HUP)?;
        }
        Ok(())
    }

    /// The mark of a stack, as its folder says; where that cannot be read, that of what was started for this folder.
    fn mark(&self, folder: &StackFolder, name: &StackName) -> io::Result<Mark> {
        match folder.spec() {
            Ok(spec) => Ok(spec.mark),
            Err(_) => Ok(Mark::new(&self.installation, name, identity::place(&folder.0)?)),
        }
    }

    /// Refuses to touch a stack whose folder is a copy: what runs belongs to the one that it was copied from.
    fn is_here(&self, folder: &StackFolder, name: &StackName) -> Result<(), StepError> {
        let Ok(spec) = folder.spec() else { return Ok(()) };
        let elsewhere = folder.is_elsewhere(&spec);
        match elsewhere.map_err(|error| unavailable(&format!("{name} cannot be looked at"), &error))? {
            false => Ok(()),
            true => Err(StepError::Unavailable(format!(
                "the folder of {name} is a copy: the stack belongs to the installation that it was copied from and is not \
                 touched; see `pointsman serve --help` for --moved and --new-installation"
            ))),
        }
    }

    fn made_from(&self, name: &StackName) -> Result<MadeFrom, StepError> {
        let folder = StackFolder::of(&self.folder, name);
        if !folder.exists() || folder.is_retiring() {
            return Err(StepError::Refused(format!("{name} is gone, or is being torn down")));
        }
        self.is_here(&folder, name)?;
        let spec = folder.spec().map_err(|error| unavailable(&format!("what {name} is cannot be read"), &error))?;
        Ok(MadeFrom { release: spec.release, definition: spec.definition })
    }

    fn retire(&self, name: &StackName) -> Result<(), StepError> {
        let failed = |error| unavailable(&format!("{name} could not be torn down"), &error);
        let folder = StackFolder::of(&self.folder, name);
        if !folder.exists() {
            return folder.forget_beside().map_err(failed);
        }
        self.is_here(&folder, name)?;
        if !folder.is_retiring()
            && let Err(error) = folder.mark_retiring()
            // Otherwise another call has marked it at the same moment, or has just put it away.
            && folder.exists()
            && !folder.is_retiring()
        {
            return Err(failed(error));
        }
        // A supervisor that has said nothing yet looks for the mark by itself.
        if let Some(state) = folder.state()
            && folder.is_supervised().map_err(failed)?
        {
            let mark = self.mark(&folder, name).map_err(failed)?;
            mark.signal_supervisor(state.pid, Signal::TERM).map_err(failed)?;
        }
        Ok(())
    }

    fn observe(&self) -> Result<Vec<SeenStack>, StepError> {
        let failed = |error| unavailable(&format!("{} could not be read", self.folder.display()), &error);
        // One look at all processes for all that are on their way out, and only if there are any.
        let mut processes = None;
        let mut seen = Vec::new();
        for (name, folder) in StackFolder::all(&self.folder).map_err(failed)? {
            if let Err(why) = self.is_here(&folder, &name) {
                seen.push(SeenStack::new(name, Condition::Creating, Reach::default()).remarked(Some(why.to_string())));
                continue;
            }
            if !folder.is_retiring() {
                seen.push(self.look(name, &folder, &mut processes).map_err(failed)?);
                continue;
            }
            let supervised = folder.is_supervised().map_err(failed)?;
            let mark = self.mark(&folder, &name).map_err(failed)?;
            let marked = processes.get_or_insert_with(|| identity::marked(&self.installation));
            let left = left(&folder, &mark, mark.count(marked)).map_err(failed)?;
            if !supervised && left.is_nothing() && self.archive(&name, &folder).map_err(failed)? {
                continue;
            }
            if !supervised && left.processes > 0 {
                self.supervise(&folder, &name, Stdio::null()).map_err(failed)?;
            }
            seen.push(seen::leaving(name, &folder, &left));
        }
        Ok(seen)
    }

    /// A stack that is meant to be, running or stopped.
    fn look(&self, name: StackName, folder: &StackFolder, processes: &mut Option<Processes>) -> io::Result<SeenStack> {
        match folder.run_order() {
            Ok(order) if order.stopped => self.at_rest(name, folder, order, processes),
            Ok(order) => Ok(seen::look(name, folder, order)),
            Err(error) => {
                let why = format!("whether it is to run cannot be read: {error}");
                Ok(SeenStack::new(name, Condition::Creating, Reach::default()).remarked(Some(why)))
            }
        }
    }

    /// Starts a supervisor unless there is one. It inherits the lock that we hold, so there is never a second.
    /// `handed`: the secrets, as its standard output.
    fn supervise(&self, folder: &StackFolder, name: &StackName, handed: Stdio) -> io::Result<()> {
        let Some(lock) = folder.try_lock()? else { return Ok(()) };
        // What it was cannot be read: its processes are ended all the same.
        if folder.spec().is_ok() {
            folder.begin_again_here()?;
        }
        let mark = self.mark(folder, name)?;
        let log = for_last_words(&folder.0.join("logs/supervisor.log"))?;
        let mut command = Command::new(&self.program);
        command.arg("stack-run").arg("--folder").arg(&folder.0).current_dir(&folder.0);
        command.env_clear().envs(launch::passed_on());
        command.env(identity::SUPERVISES, &mark.stack).env(identity::INSTALLATION, &mark.installation);
        command.env(identity::PLACE, &mark.place);
        let child = command.stdin(lock).stdout(handed).stderr(log).spawn()?;
        self.started.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        Ok(())
    }

    fn reap(&self) {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    /// Puts the folder away, and forgets older ones. `false`: somebody has just taken its lock.
    fn archive(&self, name: &StackName, folder: &StackFolder) -> io::Result<bool> {
        let Some(_lock) = folder.try_lock()? else { return Ok(false) };
        let place = logs::retired(&self.folder, name);
        let retired = place.parent().map(Path::to_owned).ok_or_else(|| io::Error::other("a folder has a parent"))?;
        fs::create_dir_all(&retired)?;
        // The number was torn down before, and came back by a late request.
        remove(&place)?;
        match fs::rename(&folder.0, &place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        folder.forget_beside()?;
        // What it wrote to its own folder goes with it; spec, state and logs are kept.
        remove(&place.join("work"))?;
        let numbers = fs::read_dir(&retired)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let kept: BTreeMap<u32, PathBuf> = numbers.map(|n| (n, retired.join(n.to_string()))).collect();
        kept.values().rev().skip(RETIRED_KEPT).try_for_each(|old| remove(old))?;
        Ok(true)
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// One at a time, whichever controller it is.
fn lock(folder: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock"))?;
    file.lock()?;
    Ok(file)
}

/// The name of this installation, made up at first use.
fn installation(folder: &Path) -> io::Result<String> {
    let path = folder.join("installation");
    let _serial = lock(folder)?;
    if let Ok(text) = fs::read_to_string(&path)
        && !text.trim().is_empty()
    {
        return Ok(text.trim().to_owned());
    }
    let name = random::hex_of(8)?;
    replace(&path, name.as_bytes(), Durable::Yes)?;
    Ok(name)
}

fn unavailable(what: &str, error: &dyn std::fmt::Display) -> StepError {
    StepError::Unavailable(format!("{what}: {error}"))
}
