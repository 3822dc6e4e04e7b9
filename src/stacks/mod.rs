//! Stacks: what a release runs as. The trait, and the registry of drivers.
//!
//! Drivers do what they are asked and tell what they see. They must not decide, not wait, not loop, and must not
//! know the journal, the runner or one another.

#[cfg(feature = "aws")]
pub mod ecs;
pub mod heat;
mod logs;
mod orders;
mod own_folder;
pub mod process;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use secrecy::SecretString;
use tokio::sync::watch;

pub use self::logs::{BadPosition, Begin, LogLine, LogPage, Logs, LogsFrom, Position, Spot, Stream};
pub(crate) use self::process::{Exec, exec, run as supervise};
pub use crate::machine::Condition;
use crate::{
    machine::{EnvironmentId, Millis, Number, Release, RetirePermit, StackName, StartPermit, StopPermit},
    reach::{Reach, ReachKind},
};

/// What a stack driver is asked to bring about.
#[derive(Debug, Clone)]
pub struct StackSpec {
    /// Its name, never used before.
    pub name: StackName,
    /// Release that it runs.
    pub release: Arc<Release>,
    /// The text of the stack definition, as it was when the release was made.
    pub definition: Arc<str>,
    /// The values of the secrets that it is given, by name. Shown by nothing, and kept in no file.
    pub secrets: BTreeMap<Arc<str>, SecretString>,
    /// Where it is gone, it is not made: it was there before its deployment, which adopts it as it is.
    pub stranger: bool,
}

/// What a stack was made from, as its provider keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeFrom {
    /// Release that it runs.
    pub release: Release,
    /// The text of its stack definition.
    pub definition: String,
}

/// A stack that we own, as observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenStack {
    /// Its name, which says the environment and the deployment.
    pub name: StackName,
    /// How far it is.
    pub condition: Condition,
    /// Where it serves; empty until it is known.
    pub reach: Reach,
    /// One sentence on why it failed, or what stands out ("restarted 3 times, exit status 1").
    pub remark: Option<String>,
    /// How often a part of it has ended by itself since all of it was up. Always 0 where the provider does not tell.
    pub exits: u64,
    /// When it was made, by the provider's clock, where that is known.
    pub made: Option<Millis>,
    /// How it last did, in one sentence with the exit status and its last words.
    pub last_exit: Option<String>,
    /// Its instances, by number, where the driver can start them again.
    pub instances: Vec<SeenInstance>,
    /// The highest order to stop or start it that it has obeyed; 0: none.
    pub obeyed: u64,
}

/// One instance of a stack, as observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenInstance {
    /// The highest order for which it was ended and started again; 0: for none.
    pub started_for: u64,
    /// The highest order for which it is being ended, or was.
    pub ending_for: u64,
    /// It runs.
    pub up: bool,
    /// How often it has ended by itself in a row since it was last well for a while, or started again.
    pub ends: u32,
    /// How it last ended by itself, in one sentence with the exit status and its last words.
    pub last_exit: Option<String>,
    /// Where it serves.
    pub address: Option<SocketAddr>,
}

impl SeenStack {
    /// A stack of which nothing stands out.
    pub fn new(name: StackName, condition: Condition, reach: Reach) -> Self {
        Self {
            name,
            condition,
            reach,
            remark: None,
            exits: 0,
            made: None,
            last_exit: None,
            instances: Vec::new(),
            obeyed: 0,
        }
    }

    /// The same with a remark.
    #[must_use]
    pub fn remarked(self, remark: Option<String>) -> Self {
        Self { remark, ..self }
    }
}

/// What a stack definition names and does not have itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Parameters that it knows.
    pub parameters: BTreeSet<String>,
    /// Secrets that it must be given.
    pub secrets: BTreeSet<String>,
}

/// A step that did not work, or may have: the message is for people, and only an observation tells the truth.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The provider said no; asking again without a change is pointless.
    #[error("{0}")]
    Refused(String),
    /// Temporarily unavailable: unreachable, busy, timed out. Worth asking again.
    #[error("{0}")]
    Unavailable(String),
}

impl StepError {
    /// Whether asking again without a change is pointless.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// Refuses a permit that is for another stack.
fn is_for(permit: Number, name: &StackName) -> Result<(), StepError> {
    if permit == name.number {
        return Ok(());
    }
    Err(StepError::Refused(format!("the permit is for {permit}, not for {name}")))
}

/// Asked again at any time by any controller; returns within [`StackDriver::call_limit`]; never sleeps or loops; an
/// error promises nothing about the world.
#[async_trait::async_trait]
pub trait StackDriver: Send + Sync {
    /// Brings the stack closer to existing. Doing it again does no harm.
    async fn ensure(&self, spec: &StackSpec) -> Result<(), StepError>;

    /// Brings the stack closer to being gone; with nothing there, does nothing.
    async fn retire(&self, name: &StackName, permit: &RetirePermit) -> Result<(), StepError>;

    /// Everything that we own, with condition and reach, in as few calls as the provider allows.
    async fn observe(&self) -> Result<Vec<SeenStack>, StepError>;

    /// How old what [`StackDriver::observe`] returned last was already: it may come from a list that the driver keeps for a
    /// while, so that the provider is not asked more often than there may be news.
    fn seen_ago(&self) -> Duration {
        Duration::ZERO
    }

    /// What the provider says of such a stack before it is made, for people: a sentence each. Makes nothing, and leaves
    /// nothing behind. A refusal is what [`StackDriver::ensure`] would meet.
    async fn preview(&self, spec: &StackSpec) -> Result<Vec<String>, StepError> {
        let _ = spec;
        Ok(Vec::new())
    }

    /// Makes a definition whole, so that it means for ever what it means now: with every file that it names, read by
    /// `read` from beside it. One message for each mistake, as of [`StackDriver::check_definition`].
    fn gather(&self, definition: &str, read: &ReadBeside<'_>) -> Result<String, Vec<String>> {
        let _ = read;
        Ok(definition.to_owned())
    }

    /// Refuses a definition that cannot work, before anything is made: one message for each mistake, beginning with
    /// `line:column: ` where it knows them.
    fn check_definition(&self, definition: &str) -> Result<(), Vec<String>>;

    /// What a good definition needs to be filled with. `None`: the driver cannot tell.
    fn needs(&self, definition: &str) -> Option<Needs> {
        let _ = definition;
        None
    }

    /// Rings, by a count that grows, when something of the stacks of this environment may have changed, so that nobody
    /// has to wait for the next look. `None`: the driver can only be asked.
    fn changes(&self, environment: &EnvironmentId) -> Option<watch::Receiver<u64>> {
        let _ = environment;
        None
    }

    /// What the instances of a stack wrote, also of one that was torn down as long as it is kept. May hold secrets.
    async fn logs(&self, name: &StackName, from: &LogsFrom) -> Result<Logs, StepError> {
        let _ = from;
        Err(StepError::Refused(format!("the driver of {name} keeps no output of its instances")))
    }

    /// The secrets that a stack has besides those that it was handed, as they are now: none of them is shown or recorded.
    fn hidden(&self, name: &StackName) -> Vec<SecretString> {
        let _ = name;
        Vec::new()
    }

    /// Rings, by a count that grows, when instances of this stack may have written. `None`: the driver can only be asked.
    fn writes(&self, name: &StackName) -> Option<watch::Receiver<u64>> {
        let _ = name;
        None
    }

    /// What a stack that is there was made from, so that it can be made again. `None`: its provider does not keep that.
    async fn made_from(&self, name: &StackName) -> Result<Option<MadeFrom>, StepError> {
        let _ = name;
        Ok(None)
    }

    /// Ends an instance, as gently as its stack definition says, and starts it again. Once for each order, which is a number
    /// that grows: doing it again for the same order does no harm, and an end by order counts as no end by itself.
    async fn restart(&self, name: &StackName, instance: usize, order: u64) -> Result<(), StepError> {
        Err(StepError::Refused(format!("instance {instance} of {name} cannot be restarted (order {order})")))
    }

    /// Whether it does [`StackDriver::restart`].
    fn can_restart(&self) -> bool {
        false
    }

    /// Ends all that runs of the stack, as gently as its definition says, and keeps all else. Obeys only an order higher than
    /// every one that it has obeyed for this stack, so that a late order does nothing; doing it again does no harm. From then
    /// on [`StackDriver::ensure`] starts nothing of it, until [`StackDriver::start`] with a higher order.
    async fn stop(&self, name: &StackName, permit: &StopPermit) -> Result<(), StepError> {
        let order = permit.order();
        Err(StepError::Refused(format!(
            "{name} cannot be stopped and kept (order {order}): its driver does not do that"
        )))
    }

    /// Starts all of a stack that was stopped. Obeys only an order higher than every one that it has obeyed for this stack;
    /// doing it again does no harm.
    async fn start(&self, spec: &StackSpec, permit: &StartPermit) -> Result<(), StepError> {
        let (name, order) = (&spec.name, permit.order());
        Err(StepError::Refused(format!("{name} cannot be started again (order {order}): its driver does not do that")))
    }

    /// Whether its stacks run on this host, so that the artifact of a release may be a path here.
    fn reads_this_host(&self) -> bool {
        false
    }

    /// What people should know of a good definition, a sentence each: what it lets a build do.
    fn notes(&self, definition: &str) -> Vec<String> {
        let _ = definition;
        Vec::new()
    }

    /// What people should know of its settings, though they are no mistake, a sentence each.
    fn settings_notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// How long a request to make, start or stop a stack may still be obeyed after its call has come back, or was given up.
    fn lands_within(&self) -> Duration {
        self.call_limit()
    }

    /// The longest that one call may take.
    fn call_limit(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// Everything that others must know of a driver before it is opened: nobody outside of this folder names one.
#[derive(Clone, Copy)]
pub struct Driver {
    /// Its name in pipeline files, and the name of its folder below `stacks` of the state folder.
    pub name: &'static str,
    /// Opens it.
    pub open: Open,
    /// An example of `definition`, for messages.
    pub definition: &'static str,
    /// Its own keys of `stack` with the keys of the table that each may hold, explained in `docs/pipeline-file.md` under a
    /// heading of that name.
    pub settings: &'static [(&'static str, &'static [&'static str])],
    /// Whether [`StackDriver::ensure`] of a release that [adopts](Release::adopts) takes over a stack that somebody else made.
    /// It makes none then, and changes nothing of it but whose it is.
    pub adopts: bool,
    /// Whether it does [`StackDriver::stop`] and [`StackDriver::start`].
    pub stops: bool,
    /// How its stacks are reached.
    pub reach: ReachKind,
}

/// The drivers there are. Adding one is one new module and one line here. The first one is the example of messages.
///
/// What a driver keeps of stacks that were made lies in its folder below `stacks`, `retired` or `adopted`: that tells an
/// installation that lost its journal from a new one.
pub const DRIVERS: &[Driver] = &[
    process::DRIVER,
    heat::DRIVER,
    #[cfg(feature = "aws")]
    ecs::DRIVER,
];

/// Returns the driver of this name.
pub fn driver(name: &str) -> Option<&'static Driver> {
    DRIVERS.iter().find(|driver| driver.name == name)
}

/// What runs of the stacks in this folder for another one, each in words. `folder`: that of all drivers.
pub fn elsewhere(folder: &Path) -> Vec<String> {
    process::elsewhere(&process::DRIVER.below(folder))
}

/// Makes the stacks in this folder its own, after it was moved. `folder`: that of all drivers.
///
/// # Errors
/// When the folder of a stack cannot be written.
pub fn settle(folder: &Path) -> std::io::Result<()> {
    process::settle(&process::DRIVER.below(folder))
}

/// Lists the stacks in this folder that run on this host. `folder`: that of all drivers.
///
/// # Errors
/// When the folder cannot be read.
pub fn of_this_host(folder: &Path) -> std::io::Result<Vec<StackName>> {
    process::stacks(&process::DRIVER.below(folder))
}

/// Ends such a stack, while no controller runs. A controller that is started again starts it again.
///
/// # Errors
/// When it cannot be told, or does not end.
pub async fn end(folder: &Path, program: &Path, name: &StackName) -> std::io::Result<()> {
    process::down(&process::DRIVER.below(folder), program, name).await
}

impl Driver {
    /// The driver's own folder, in that of all drivers.
    fn below(&self, folder: &Path) -> PathBuf {
        folder.join(self.name)
    }
}

/// Opens a driver. `settings` is the `stack` table of an environment without the keys that all drivers have; file names in it
/// are meant from `written_in`, the folder of the pipeline file. `folder` is the driver's own place on disk, below the
/// state folder. Mistakes in the settings are returned all at once, each beginning with its key.
pub type Open =
    fn(settings: &toml::Table, written_in: &Path, folder: &Path) -> Result<Arc<dyn StackDriver>, Vec<String>>;

/// Reads a file that a definition names, by its path from where the definition is.
pub type ReadBeside<'a> = dyn Fn(&str) -> Result<String, String> + 'a;
