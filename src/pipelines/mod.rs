//! Pipelines: applications and their environments, as `pipelines/NAME.toml` describes them. Parsing and validation,
//! with every mistake pointed at. It must not know the journal, must not talk to the network, and must not call a
//! driver except to ask whether its settings make sense.

pub mod artifacts;
pub mod frozen;
pub mod keys;
mod load;
mod parse;
pub mod release;
#[cfg(test)]
mod tests;
mod tier;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use load::{Loaded, Registry, load};
pub(crate) use parse::{program, secret};
pub use tier::Tier;

use crate::checks::Checks;
use crate::hooks::HookDefinition;
use crate::machine::{EnvironmentId, Name, Plan, promotion::PromotionRule};
use crate::stacks::{self, Needs};

/// One application and its environments.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The stem of its file's name.
    pub name: Name,
    /// Description for people.
    pub description: String,
    /// Where it was read from.
    pub file: PathBuf,
    /// The keys of those who may announce its builds, and which builds count.
    pub webhook: Webhook,
    /// Where its source is.
    pub source: Option<Source>,
    /// The secrets that stacks may be given, by name.
    pub secrets: BTreeMap<Arc<str>, SecretSource>,
    /// Where its builds may come from.
    pub artifacts: artifacts::Artifacts,
    /// Environments in the order of promotion; the first one takes the builds and numbers the releases. Never empty.
    pub environments: Vec<Arc<EnvironmentDefinition>>,
}

/// How builds are announced.
#[derive(Debug, Clone, Default)]
pub struct Webhook {
    /// The keys with which they are signed; several while one replaces another.
    pub secrets: Vec<SecretSource>,
    /// The artifact of builds whose sender names none, with `{commit}`, `{short_commit}`, `{branch}`, `{tag}`, `{build}`,
    /// `{version}` and `{job}` in it.
    pub artifact: Option<String>,
    /// The version of builds whose sender names none, likewise.
    pub version: Option<String>,
    /// Only builds of these branches count; all when there is none.
    pub branches: Vec<String>,
    /// Only builds of these jobs or workflows count; all when there is none.
    pub jobs: Vec<String>,
    /// The parameters that a build may set; any when this is `None`.
    pub parameters: Option<Vec<String>>,
    /// What starts the runs that count, in the sender's own words; what the sender's file says when this is `None`.
    pub triggers: Option<Vec<String>>,
    /// The largest delivery that is taken, in bytes; `LARGEST` of the intake when this is `None`.
    pub largest: Option<u64>,
}

/// A repository with the source of an application.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its address: http, https, ssh, `user@host:path`, or a folder.
    pub git: String,
    /// The user who reads it.
    pub user: Option<String>,
    /// Their password or token.
    pub password: Option<SecretSource>,
    /// The address of the page of a commit, with `{commit}` in it.
    pub web: Option<String>,
}

/// Where a secret is kept. The value itself is nowhere in a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, whose content without the last newline is the secret.
    File(PathBuf),
    /// A variable of the environment of `pointsman serve`.
    Env(String),
}

impl SecretSource {
    /// Returns where it is, for people.
    pub fn place(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Env(name) => format!("the variable {name}"),
        }
    }
}

/// One place where an application runs.
#[derive(Debug, Clone)]
pub struct EnvironmentDefinition {
    /// Its address.
    pub id: EnvironmentId,
    /// Trigger that brings a release here.
    pub deploy: DeployOn,
    /// What promotes to here by itself; without it a person does.
    pub promotion: Option<PromotionRule>,
    /// Driver and definition of its stacks.
    pub stack: StackDefinition,
    /// Front that receives the traffic.
    pub front: FrontDefinition,
    /// Checks that a stack must pass.
    pub checks: Checks,
    /// What is run besides, by point and then in the order of the file.
    pub hooks: Vec<HookDefinition>,
    /// The terms of a deployment.
    pub plan: Arc<Plan>,
    /// How often it is looked at while nothing happens.
    pub watch: Duration,
    /// What is run on trouble, where that is not what `pointsman.toml` says; a program of no words is none.
    pub on_trouble: Option<Program>,
}

/// A program and its arguments. No words are no program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// The program, then its arguments.
    pub words: Vec<String>,
    /// The folder that it runs in: that of the file that names it.
    pub folder: PathBuf,
}

/// What brings a release to an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeployOn {
    /// A build that is announced.
    Build,
    /// A person, or a rule, that promotes it from the environment before.
    Promotion,
}

/// Driver and definition of stacks.
#[derive(Debug, Clone)]
pub struct StackDefinition {
    /// The driver's name.
    pub driver: String,
    /// The driver's own settings.
    pub settings: toml::Table,
    /// The folder from which file names in the settings are meant: that of the pipeline file.
    pub folder: PathBuf,
    /// Where the definition is.
    pub definition: DefinitionSource,
    /// Values for it, that a build may override.
    pub parameters: BTreeMap<Arc<str>, Arc<str>>,
    /// The secrets that it is given: what its definition calls each, and what [`Pipeline::secrets`] does.
    pub secrets: BTreeMap<Arc<str>, Arc<str>>,
    /// Whether the driver can start instances again.
    pub can_restart: bool,
    /// Whether its stacks read files of this host, so that an artifact may be a path.
    pub reads_this_host: bool,
    /// What people should know of the definition and the settings, though it is no mistake.
    pub notes: Vec<String>,
}

/// Where a stack definition is.
#[derive(Debug, Clone)]
pub enum DefinitionSource {
    /// A file of this host.
    File(DefinitionFile),
    /// A path in the source repository, at the commit of the release.
    Git(Arc<str>),
}

/// A stack definition in a file of this host.
#[derive(Debug, Clone)]
pub struct DefinitionFile {
    /// Where it was read.
    pub path: PathBuf,
    /// Its text as it is now. A release keeps the text that it was made with, by [`frozen`].
    pub text: Arc<str>,
    /// The text's SHA-256, in hexadecimal digits.
    pub digest: Arc<str>,
    /// What it needs, where its driver can tell.
    pub needs: Option<Needs>,
}

impl StackDefinition {
    /// Says why the driver cannot take over a stack that somebody else made, where it cannot.
    pub fn cannot_adopt(&self) -> Option<String> {
        let adopting = || stacks::DRIVERS.iter().filter(|driver| driver.adopts).map(|driver| driver.name);
        if adopting().any(|name| name == self.driver) {
            return None;
        }
        let names: Vec<String> = adopting().map(|name| format!("{name:?}")).collect();
        let (driver, names) = (&self.driver, names.join(" or "));
        Some(format!("stacks of the driver {driver:?} cannot be taken over, only those of the driver {names}"))
    }

    /// The definition, if it is in a file of this host.
    pub fn file(&self) -> Option<&DefinitionFile> {
        match &self.definition {
            DefinitionSource::File(file) => Some(file),
            DefinitionSource::Git(_) => None,
        }
    }
}

/// Front that receives the traffic.
#[derive(Debug, Clone)]
pub struct FrontDefinition {
    /// The driver's name.
    pub driver: String,
    /// Everything else in its table.
    pub settings: toml::Table,
    /// The folder from which file names in the settings are meant: that of the pipeline file.
    pub folder: PathBuf,
}

/// All pipelines of an installation.
#[derive(Debug, Clone, Default)]
pub struct Pipelines(BTreeMap<Name, Arc<Pipeline>>);

impl Pipelines {
    /// A pipeline by its name.
    pub fn get(&self, name: &Name) -> Option<&Arc<Pipeline>> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Pipeline>> {
        self.0.values()
    }

    /// All environments, by pipeline, in the order of promotion.
    pub fn environments(&self) -> impl Iterator<Item = &Arc<EnvironmentDefinition>> {
        self.0.values().flat_map(|pipeline| &pipeline.environments)
    }

    /// An environment by its address.
    pub fn environment(&self, id: &EnvironmentId) -> Option<&Arc<EnvironmentDefinition>> {
        self.get(&id.pipeline)?.environments.iter().find(|e| e.id == *id)
    }
}

impl FromIterator<Pipeline> for Pipelines {
    fn from_iter<I: IntoIterator<Item = Pipeline>>(pipelines: I) -> Self {
        Self(pipelines.into_iter().map(|p| (p.name.clone(), Arc::new(p))).collect())
    }
}

impl Pipeline {
    /// The environment that takes the builds.
    pub fn entry(&self) -> Option<&Arc<EnvironmentDefinition>> {
        self.environments.first()
    }

    /// The environment from which a release is promoted to this one.
    pub fn before(&self, id: &EnvironmentId) -> Option<&Arc<EnvironmentDefinition>> {
        let place = self.environments.iter().position(|e| e.id == *id)?;
        self.environments.get(place.checked_sub(1)?)
    }

    /// The folder against which the file's own paths are meant.
    pub fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("."))
    }
}
