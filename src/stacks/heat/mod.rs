//! Stacks of OpenStack's Heat: what `stacks/heat/*.toml` and its HOT template describe, made in a project of a cloud, found
//! again by their tags, and deleted.
//!
//! A name is no lock in Heat, an answer may be lost, and a filter that Heat does not know is silently left out. So
//! whatever is done is looked for by tag before and after, and every tag is checked here again: what does not carry all of
//! ours is not listed and never deleted. Must not wait for a stack.

mod actions;
mod adopt;
mod client;
mod cloud_keys;
mod clouds;
mod create;
mod credentials;
mod definition;
mod endpoints;
mod gather;
mod kept;
mod keystone;
mod listing;
mod observe;
mod pace;
mod preview;
mod quota;
mod settings;
mod tags;
mod template;
mod usual;

use std::{
    collections::{BTreeMap, HashMap},
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use reqwest::Method;

pub use definition::KEYS as DEFINITION_KEYS;
pub use settings::KEYS as CLOUD_KEYS;

use self::{
    client::{ACT, Client, Failure, HEAT, Question},
    definition::Definition,
    kept::Kept,
    listing::{Ours, Seen},
    observe::{Asked, Detail},
    settings::Settings,
};
use super::{
    Driver, Logs, LogsFrom, Needs, ReadBeside, SeenStack, StackDriver, StackSpec, StepError, is_for, own_folder,
};
use crate::{
    clock::Stopwatch,
    machine::{RetirePermit, StackName, StartPermit, StopPermit},
    reach::ReachKind,
};

/// Reads the `OS_*` variables of an openrc file: what they say of a cloud, by the keys of a clouds.yaml.
///
/// # Errors
/// What cannot be done or contradicts itself, in one sentence that names the variable or the key and repeats no secret.
pub fn openrc(variables: &[(String, String)]) -> Result<BTreeMap<String, String>, String> {
    let facts = clouds::variables(variables)?;
    credentials::Parts::of(&facts)?;
    Ok(facts)
}

/// What others must know of the driver.
pub const DRIVER: Driver = Driver {
    name: "heat",
    open,
    definition: "../stacks/heat/NAME.toml",
    settings: &[("cloud", CLOUD_KEYS)],
    adopts: true,
    stops: true,
    reach: ReachKind::Addresses,
};

/// Opens the driver for the cloud that the settings name. Connects to nothing.
///
/// # Errors
/// What is wrong with the settings.
pub fn open(settings: &toml::Table, written_in: &Path, folder: &Path) -> Result<Arc<dyn StackDriver>, Vec<String>> {
    Ok(Arc::new(Heat::open(settings, written_in, folder)?))
}

/// The driver.
pub struct Heat {
    client: Client,
    folder: PathBuf,
    /// The id of the installation, which tells its stacks from those of another one in the same project.
    /// Made by the first call: who only reads definitions leaves no trace.
    installation: OnceLock<String>,
    state: Mutex<State>,
    /// One look at a time.
    looking: tokio::sync::Mutex<()>,
}

/// What is known until the next look. Nothing of it is needed after a restart.
struct State {
    seen: Seen,
    /// What was asked about single stacks, by their ids.
    details: HashMap<(String, Asked), Detail>,
    /// Stacks that Heat would not make, and why.
    refused: BTreeMap<StackName, String>,
    /// The reason why Heat could not delete a stack the last time, by its id. The deletion is retried.
    stuck: HashMap<String, String>,
    /// When a stack was last asked to be suspended or resumed, by its id.
    tried: HashMap<String, Stopwatch>,
}

impl Heat {
    /// The driver that keeps what it must in that folder.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn open(settings: &toml::Table, written_in: &Path, folder: &Path) -> Result<Self, Vec<String>> {
        let settings = Settings::read(settings, written_in)?;
        let seen = Seen::in_folder(folder);
        let (details, refused, stuck, tried) = Default::default();
        let state = State { seen, details, refused, stuck, tried };
        Ok(Self {
            client: Client::new(settings),
            folder: folder.to_owned(),
            installation: OnceLock::new(),
            state: Mutex::new(state),
            looking: tokio::sync::Mutex::default(),
        })
    }

    /// Returns the id of this installation.
    fn installation(&self) -> Result<&str, StepError> {
        if let Some(known) = self.installation.get() {
            return Ok(known);
        }
        let failed = |error| StepError::Unavailable(format!("{} cannot be written: {error}", self.folder.display()));
        let read = own_folder::installation(&self.folder).map_err(failed)?;
        Ok(self.installation.get_or_init(|| read))
    }

    /// What is ours and does not say so in Heat.
    fn kept(&self) -> Kept {
        Kept::below(&self.folder)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes a stack of ours, as it was just seen with all its tags.
    async fn delete(&self, ours: &Ours) -> Result<(), StepError> {
        let name = &ours.called;
        let question = Question {
            service: HEAT,
            method: Method::DELETE,
            // By name and id: by one of them alone Heat redirects.
            path: &["stacks", name, &ours.id],
            query: &[],
            body: None,
            limit: ACT,
        };
        let _change = self.change(&ours.tagged.name);
        match self.client.ask(&question).await {
            Ok(_) | Err(Failure::Said { status: 404, .. }) => Ok(()),
            Err(failure) => Err(failure.step(&format!("deleting {name}"))),
        }
    }

    /// Takes the lock under which one controller at a time stands up stacks of an environment.
    fn lock(&self, name: &StackName) -> io::Result<Option<File>> {
        let file = format!("{}.{}", name.environment.pipeline, name.environment.environment);
        let path = self.folder.join("locks").join(file);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[async_trait::async_trait]
impl StackDriver for Heat {
    async fn ensure(&self, spec: &StackSpec) -> Result<(), StepError> {
        let order = self.orders().is_to_run(&spec.name)?;
        match &spec.release.adopts {
            Some(adopts) => self.adopt(spec, adopts).await?,
            None => self.create(spec).await?,
        }
        if order.order > 0 {
            self.pursue(&spec.name, order).await?;
        }
        Ok(())
    }

    async fn retire(&self, name: &StackName, permit: &RetirePermit) -> Result<(), StepError> {
        is_for(permit.number(), name)?;
        self.state().refused.remove(name);
        // Not what was seen a moment ago: the tags are read now, and what does not have ours is not in the listing.
        let listing = self.look_now().await?;
        for ours in listing.stacks.iter().filter(|ours| ours.tagged.name == *name && !ours.is_going()) {
            self.delete(ours).await?;
        }
        self.orders().forget(name)
    }

    async fn stop(&self, name: &StackName, permit: &StopPermit) -> Result<(), StepError> {
        is_for(permit.number(), name)?;
        self.suspend(name, permit.order()).await
    }

    async fn start(&self, spec: &StackSpec, permit: &StartPermit) -> Result<(), StepError> {
        is_for(permit.number(), &spec.name)?;
        self.resume(spec, permit.order()).await
    }

    async fn observe(&self) -> Result<Vec<SeenStack>, StepError> {
        self.see().await
    }

    fn seen_ago(&self) -> Duration {
        self.state().seen.age()
    }

    async fn preview(&self, spec: &StackSpec) -> Result<Vec<String>, StepError> {
        self.try_out(spec).await
    }

    fn gather(&self, definition: &str, read: &ReadBeside<'_>) -> Result<String, Vec<String>> {
        gather::gather(definition, read)
    }

    fn check_definition(&self, definition: &str) -> Result<(), Vec<String>> {
        Definition::parse(definition).map(drop)
    }

    fn needs(&self, definition: &str) -> Option<Needs> {
        Definition::parse(definition).ok().map(|definition| definition.needs())
    }

    async fn logs(&self, name: &StackName, _: &LogsFrom) -> Result<Logs, StepError> {
        let listing = self.look_now().await?;
        let ours = listing.stacks.iter().find(|ours| ours.tagged.name == *name);
        let name = ours.map_or_else(|| name.to_string(), |ours| ours.called.clone());
        Err(StepError::Refused(format!(
            "the driver heat keeps no output: the servers of {name} have it; find them with `openstack stack resource list \
             --filter type=OS::Nova::Server {name}`, then look with `openstack console log show SERVER`"
        )))
    }

    fn settings_notes(&self) -> Vec<String> {
        self.client.settings_notes()
    }

    /// A request that was given up is taken by Heat's engine within its `rpc_response_timeout`, 60 s by default, or not at all.
    fn lands_within(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn call_limit(&self) -> Duration {
        Duration::from_secs(120)
    }
}
