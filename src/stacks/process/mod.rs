//! Stacks that are processes of this host: what `stacks/process/*.toml` describes, started detached, found again
//! after a restart of the controller, ended without a trace.
//!
//! Every stack has a folder, and a supervisor: a detached process of our own program that holds the folder's lock for
//! its life (see [`run`]). The driver only writes folders, starts supervisors and reads what they say; it must not wait
//! for any of it.

mod definition;
mod folder;
mod handed;
mod identity;
mod instance;
mod launch;
mod output;
mod ports;
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

pub use launch::{Exec, exec};
pub use supervisor::run;

use self::{
    definition::Definition,
    folder::{Durable, InstancePhase, Spec, StackFolder, State, replace},
    identity::Mark,
};
use super::{Needs, SeenStack, StackDriver, StackSpec, StackStatus, StepError};
use crate::{
    machine::{RetirePermit, StackName},
    random,
};

/// How many retired stacks of an environment keep their folder with its logs.
const RETIRED_KEPT: usize = 5;

/// Opens the driver; its supervisors run our own program. It has no settings.
///
/// # Errors
/// When there are settings, or our own program can not be found.
pub fn open(settings: &toml::Table, _: &Path, folder: &Path) -> Result<Arc<dyn StackDriver>, Vec<String>> {
    let meaningless = |key| format!("`{key}` means nothing to process stacks; remove it");
    let mistakes: Vec<String> = settings.keys().map(meaningless).collect();
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let program =
        std::env::current_exe().map_err(|error| vec![format!("our own program can not be found: {error}")])?;
    Ok(Arc::new(Process::new(folder, program)))
}

/// The driver.
#[derive(Clone)]
pub struct Process {
    folder: PathBuf,
    program: PathBuf,
    /// Opened by the first call: who only reads definitions leaves no trace.
    opened: Arc<Mutex<Option<Arc<Inner>>>>,
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
        Self { folder: folder.to_owned(), program, opened: Arc::default() }
    }

    fn inner(&self) -> Result<Arc<Inner>, StepError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = &*opened {
            return Ok(inner.clone());
        }
        let inner = Inner::open(&self.folder, &self.program)
            .map_err(|error| unavailable(&format!("{} can not be written", self.folder.display()), &error))?;
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
            work(&inner)
        })
        .await
        .map_err(|error| unavailable("the work was cut short", &error))?
    }
}

#[async_trait::async_trait]
impl StackDriver for Process {
    async fn ensure(&self, spec: &StackSpec) -> Result<(), StepError> {
        let spec = spec.clone();
        self.blocking(move |inner| inner.ensure(&spec)).await
    }

    async fn retire(&self, name: &StackName, permit: &RetirePermit) -> Result<(), StepError> {
        if permit.number() != name.number {
            return Err(StepError::Refused(format!("the permit is for {}, not for {name}", permit.number())));
        }
        let name = name.clone();
        self.blocking(move |inner| inner.retire(&name)).await
    }

    async fn observe(&self) -> Result<Vec<SeenStack>, StepError> {
        self.blocking(Inner::observe).await
    }

    fn check_definition(&self, definition: &str) -> Result<(), Vec<String>> {
        Definition::parse(definition).map(drop)
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
        let supervised = folder.exists() && folder.is_supervised().map_err(failed)?;
        if supervised {
            return Ok(());
        }
        let definition = Definition::parse(&wanted.definition).map_err(|why| StepError::Refused(why.join("\n")))?;
        if let Some(missing) = definition.handed().find(|name| !wanted.secrets.contains_key(*name)) {
            return Err(StepError::Refused(format!(
                "the stack definition of {name} wants the secret {missing}, which the pipeline does not hand over: add \
                 it to [secrets] and to `stack.secrets`, and deploy again"
            )));
        }
        if !folder.exists() {
            let _serial = lock(&self.folder).map_err(failed)?;
            if !folder.exists() {
                let endpoints = ports::allot(&self.folder, &definition).map_err(failed)?;
                let spec = Spec {
                    name: name.clone(),
                    endpoints,
                    mark: Mark::new(&self.installation, name),
                    release: wanted.release.as_ref().clone(),
                    definition: wanted.definition.to_string(),
                };
                for (instance, endpoint) in spec.endpoints.iter().enumerate() {
                    launch::fill(&definition, &spec, instance, *endpoint, &folder.0).map_err(StepError::Refused)?;
                }
                folder.create(&spec).map_err(failed)?;
            }
        }
        let handed = handed::send(&wanted.secrets, definition.handed()).map_err(failed)?;
        self.supervise(&folder, name, handed.into()).map_err(failed)
    }

    fn retire(&self, name: &StackName) -> Result<(), StepError> {
        let failed = |error| unavailable(&format!("{name} could not be torn down"), &error);
        let folder = StackFolder::of(&self.folder, name);
        if !folder.exists() {
            return Ok(());
        }
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
            Mark::new(&self.installation, name).signal_supervisor(state.pid, Signal::TERM).map_err(failed)?;
        }
        Ok(())
    }

    fn observe(&self) -> Result<Vec<SeenStack>, StepError> {
        let failed = |error| unavailable(&format!("{} could not be read", self.folder.display()), &error);
        // One look at all processes for all that are on their way out, and only if there are any.
        let mut processes = None;
        let mut seen = Vec::new();
        for (name, folder) in StackFolder::all(&self.folder).map_err(failed)? {
            if !folder.is_retiring() {
                seen.push(look(name, &folder));
                continue;
            }
            let supervised = folder.is_supervised().map_err(failed)?;
            let mark = Mark::new(&self.installation, &name);
            let left = processes.get_or_insert_with(|| identity::marked(&self.installation)).get(&mark.stack);
            let left = left.map_or(0, Vec::len);
            if !supervised && left == 0 && self.archive(&name, &folder).map_err(failed)? {
                continue;
            }
            if !supervised && left > 0 {
                self.supervise(&folder, &name, Stdio::null()).map_err(failed)?;
            }
            seen.push(leaving(name, &folder, left));
        }
        Ok(seen)
    }

    /// Starts a supervisor unless there is one. It inherits the lock that we hold, so there is never a second.
    /// `handed`: the secrets, as its standard output.
    fn supervise(&self, folder: &StackFolder, name: &StackName, handed: Stdio) -> io::Result<()> {
        let Some(lock) = folder.try_lock()? else { return Ok(()) };
        let mark = Mark::new(&self.installation, name);
        let log = OpenOptions::new().create(true).append(true).open(folder.0.join("logs/supervisor.log"))?;
        let mut command = Command::new(&self.program);
        command.arg("stack-run").arg("--folder").arg(&folder.0).current_dir(&folder.0);
        command.env_clear().envs(launch::passed_on());
        command.env(identity::SUPERVISES, &mark.stack).env(identity::INSTALLATION, &mark.installation);
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
        let environment = &name.environment;
        let retired =
            self.folder.join("retired").join(environment.pipeline.as_str()).join(environment.environment.as_str());
        fs::create_dir_all(&retired)?;
        let place = retired.join(name.number.to_string());
        // The number was torn down before, and came back by a late request.
        remove(&place)?;
        match fs::rename(&folder.0, &place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
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

/// A stack that is meant to be.
fn look(name: StackName, folder: &StackFolder) -> SeenStack {
    let spec = match folder.spec() {
        Ok(spec) => spec,
        Err(error) => {
            let remark = Some(format!("what it is can not be read: {error}"));
            return SeenStack { name, status: StackStatus::Failed, endpoints: Vec::new(), remark };
        }
    };
    let (status, remark) = match (folder.is_supervised(), folder.state()) {
        (Ok(true), Some(state)) => judge(&state),
        (Ok(true), None) => (StackStatus::Creating, None),
        (Ok(false), None) => (StackStatus::Creating, last_words(folder)),
        (Ok(false), Some(_)) => {
            (StackStatus::Creating, Some("its supervisor ended: it waits to be started again".to_owned()))
        }
        (Err(error), _) => (StackStatus::Creating, Some(format!("its lock can not be read: {error}"))),
    };
    SeenStack { name, status, endpoints: spec.endpoints, remark }
}

fn judge(state: &State) -> (StackStatus, Option<String>) {
    let tell = |phase: InstancePhase, what: &str| {
        let (index, found) = state.instances.iter().enumerate().find(|(_, i)| i.phase == phase)?;
        let why = found.last_exit.as_deref().unwrap_or("no reason was given");
        Some(format!("instance {index} {what}: {why}"))
    };
    if let Some(remark) = tell(InstancePhase::Failed, "failed") {
        return (StackStatus::Failed, Some(remark));
    }
    let running = state.instances.iter().all(|i| i.phase == InstancePhase::Running);
    let status = if running { StackStatus::Ready } else { StackStatus::Creating };
    let restarted = state.instances.iter().enumerate().filter(|(_, i)| i.restarts > 0).max_by_key(|(_, i)| i.restarts);
    let remark = tell(InstancePhase::Pausing, "ended and will be started again").or_else(|| {
        let (index, found) = restarted?;
        let times = if found.restarts == 1 { "once".to_owned() } else { format!("{} times", found.restarts) };
        Some(format!("instance {index} was restarted {times}, at last: {}", found.last_exit.as_deref()?))
    });
    (status, remark)
}

fn leaving(name: StackName, folder: &StackFolder, left: usize) -> SeenStack {
    let endpoints = folder.spec().map(|spec| spec.endpoints).unwrap_or_default();
    let remark = (left > 0).then(|| format!("{left} of its processes still run"));
    SeenStack { name, status: StackStatus::Deleting, endpoints, remark }
}

/// Why a supervisor ended before it could say anything else.
fn last_words(folder: &StackFolder) -> Option<String> {
    let log = fs::read_to_string(folder.0.join("logs/supervisor.log")).ok()?;
    Some(format!("its supervisor ended: {}", log.lines().next_back()?))
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
