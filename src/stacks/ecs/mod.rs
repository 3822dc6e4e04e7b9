//! Stacks of Amazon ECS: a service with a target group of its own, which a test rule of a listener leads to.
//!
//! Names and tokens come from the stack's name, and every thing carries tags that say whose it is: what an earlier try has made is
//! found, and what lacks our tags is neither used nor removed. Must not wait for a stack.

mod cluster;
mod create;
mod definition;
mod names;
mod observe;
mod retire;
mod run;
mod settings;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use self::{cluster::Cluster, definition::Definition, settings::Settings};
use super::{
    Driver, Logs, LogsFrom, Needs, SeenStack, StackDriver, StackSpec, StepError, is_for,
    orders::{Orders, RunOrder},
    own_folder,
};
use crate::{
    aws::{self, Account},
    machine::{RetirePermit, StackName, StartPermit, StopPermit},
    reach::ReachKind,
};

/// What others must know of the driver.
pub const DRIVER: Driver = Driver {
    name: "ecs",
    open,
    definition: "../stacks/ecs/NAME.json",
    settings: &[("aws", aws::KEYS), ("service", settings::SERVICE), ("target_group", settings::GROUP)],
    adopts: false,
    stops: true,
    reach: ReachKind::Named(aws::GROUP),
};

/// Opens the driver for the cluster that the settings name. Connects to nothing.
///
/// # Errors
/// What is wrong with the settings.
pub fn open(settings: &toml::Table, written_in: &Path, folder: &Path) -> Result<Arc<dyn StackDriver>, Vec<String>> {
    let settings = Settings::read(settings, written_in)?;
    let account = Account::of(settings.account.clone());
    let (installation, cluster, refused, reasons) = Default::default();
    Ok(Arc::new(Ecs { settings, account, folder: folder.to_owned(), installation, cluster, refused, reasons }))
}

/// The driver.
struct Ecs {
    settings: Settings,
    account: Arc<Account>,
    folder: PathBuf,
    /// The id of the installation, which tells its stacks from those of another one in the same account.
    installation: OnceLock<String>,
    cluster: OnceLock<Arc<Cluster>>,
    /// Stacks that AWS would not make, and why.
    refused: Mutex<BTreeMap<StackName, String>>,
    /// Why a task of a stack stopped last, and how many had failed then.
    reasons: Mutex<BTreeMap<StackName, (i32, String)>>,
}

impl Ecs {
    fn installation(&self) -> Result<&str, StepError> {
        if let Some(known) = self.installation.get() {
            return Ok(known);
        }
        let failed = |error| StepError::Unavailable(format!("{} cannot be written: {error}", self.folder.display()));
        let read = own_folder::installation(&self.folder).map_err(failed)?;
        Ok(self.installation.get_or_init(|| read))
    }

    fn cluster(&self) -> Result<Arc<Cluster>, StepError> {
        let installation = self.installation()?;
        let name = &self.settings.service.cluster;
        Ok(self.cluster.get_or_init(|| Cluster::of(&self.account, name, installation)).clone())
    }

    fn orders(&self) -> Orders {
        Orders::below(&self.folder)
    }

    fn refused(&self) -> MutexGuard<'_, BTreeMap<StackName, String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reasons(&self) -> MutexGuard<'_, BTreeMap<StackName, (i32, String)>> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl StackDriver for Ecs {
    async fn ensure(&self, spec: &StackSpec) -> Result<(), StepError> {
        let order = self.orders().is_to_run(&spec.name)?;
        self.create(spec).await?;
        if order.order > 0 {
            self.pursue(&spec.name, order).await?;
        }
        Ok(())
    }

    async fn retire(&self, name: &StackName, permit: &RetirePermit) -> Result<(), StepError> {
        is_for(permit.number(), name)?;
        self.remove(name).await
    }

    async fn stop(&self, name: &StackName, permit: &StopPermit) -> Result<(), StepError> {
        is_for(permit.number(), name)?;
        self.obey(name, RunOrder { order: permit.order(), stopped: true }).await
    }

    async fn start(&self, spec: &StackSpec, permit: &StartPermit) -> Result<(), StepError> {
        is_for(permit.number(), &spec.name)?;
        self.obey(&spec.name, RunOrder { order: permit.order(), stopped: false }).await
    }

    async fn observe(&self) -> Result<Vec<SeenStack>, StepError> {
        self.see().await
    }

    fn seen_ago(&self) -> Duration {
        self.cluster.get().map_or(Duration::ZERO, |cluster| cluster.age())
    }

    fn check_definition(&self, definition: &str) -> Result<(), Vec<String>> {
        let definition = Definition::parse(definition)?;
        let container = self.settings.service.container.as_str();
        let there = definition.containers().contains(&container);
        if there { Ok(()) } else { Err(vec![definition.no_container(container)]) }
    }

    fn needs(&self, definition: &str) -> Option<Needs> {
        Definition::parse(definition).ok().map(|definition| definition.needs())
    }

    async fn logs(&self, name: &StackName, _: &LogsFrom) -> Result<Logs, StepError> {
        Err(StepError::Refused(format!(
            "the driver ecs keeps no output: the containers of {name} write where `logConfiguration` of its task definition \
             says; of CloudWatch, `aws logs tail GROUP --follow` shows it"
        )))
    }

    /// A request that was given up may be carried out as long as a call may take.
    fn lands_within(&self) -> Duration {
        aws::CALL
    }

    fn call_limit(&self) -> Duration {
        aws::CALL * 6
    }
}
