//! What a release is in an environment: made from a build in the first one, and from what is live in one environment
//! when it goes to the next. Must not number it, and must not decide whether it may go there.

use std::{collections::BTreeMap, sync::Arc};

use super::{DefinitionSource, EnvironmentDefinition, Pipeline, parse::unknown_parameter};
use crate::{
    intake::build::Build,
    machine::{Adopts, Release},
    secrets::Secrets,
    stacks::Needs,
    text::excerpt,
};

/// An error of making a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Parameters that a build may not set, or that mean nothing: each by name, with a sentence.
    #[error("{}", .0.iter().map(|(_, why)| &**why).collect::<Vec<_>>().join("; "))]
    Parameters(Vec<(Arc<str>, String)>),
    /// Its artifact, or another text that may name a file, is not to be taken.
    #[error("{0}")]
    Artifact(String),
    /// Its stack definition stands in the source repository, and nobody knows at which commit.
    #[error("the stack definition {0} is read from git at the release's commit: the build must name its `commit`")]
    NoCommit(Arc<str>),
    /// The commit is not named in full: another one that begins alike could be made and would be read instead.
    #[error(
        "the stack definition {0} is read from git at the release's commit: the build must name its `commit` in full, with \
         40 hexadecimal digits (64 with SHA-256)"
    )]
    ShortCommit(Arc<str>),
}

/// The release that a build becomes in the first environment. Its number is given when it is accepted.
///
/// # Errors
/// What of the build cannot be taken, and what would be; also a commit that a later environment could not take.
pub fn of_build(
    pipeline: &Pipeline,
    entry: &EnvironmentDefinition,
    build: &Build,
    secrets: &Secrets,
) -> Result<Release, Refused> {
    let wrong = bad_parameters(pipeline, entry, build);
    if !wrong.is_empty() {
        return Err(Refused::Parameters(wrong));
    }
    let given = build.parameters.iter().map(|(name, value)| (&**name, &**value));
    pipeline.artifacts.allow(&build.artifact, &build.version, given).map_err(Refused::Artifact)?;
    let in_git = pipeline.environments.iter().find_map(|e| match &e.stack.definition {
        DefinitionSource::Git(path) => Some(path),
        DefinitionSource::File(_) => None,
    });
    if let (Some(path), Some(commit)) = (in_git, &build.commit) {
        in_full(path, Some(commit))?;
    }
    let release = Release {
        number: 0,
        version: build.version.clone(),
        artifact: pipeline.artifacts.without_links(&build.artifact).map_or(build.artifact.clone(), Arc::from),
        commit: build.commit.clone(),
        definition: "".into(),
        source: None,
        parameters: parameters(entry, &build.parameters),
        given: build.parameters.clone(),
        secrets: secrets.fingerprints(&pipeline.name, &entry.stack.secrets),
        link: build.link.clone(),
        adopts: None,
    };
    with_own_definition(release, entry)
}

/// The release of a stack that somebody else made, as far as it is known. Of the environment's definition it has where
/// the stack serves, if that is known without a commit.
pub fn adopted(environment: &EnvironmentDefinition, adopts: Adopts, version: Arc<str>) -> Release {
    Release {
        number: 0,
        version,
        artifact: adopts.stack.clone(),
        commit: None,
        definition: environment.stack.file().map_or_else(|| "".into(), |file| file.digest.clone()),
        source: None,
        parameters: BTreeMap::new(),
        given: BTreeMap::new(),
        secrets: BTreeMap::new(),
        link: None,
        adopts: Some(adopts.into()),
    }
}

/// The release that is live in one environment, as it is to be in another: the same build under the same number, with
/// the other's own parameters and secrets. Where both name the same stack definition, it keeps the very text that it
/// was tried with.
///
/// # Errors
/// When the other's stack definition cannot be known.
pub fn promoted(
    pipeline: &Pipeline,
    from: &EnvironmentDefinition,
    to: &EnvironmentDefinition,
    live: &Release,
    secrets: &Secrets,
) -> Result<Release, Refused> {
    if live.adopts.is_none() {
        pipeline.artifacts.still_harmless(&live.artifact).map_err(Refused::Artifact)?;
    }
    let release = Release {
        parameters: parameters(to, &live.given),
        secrets: secrets.fingerprints(&pipeline.name, &to.stack.secrets),
        ..live.clone()
    };
    if same_definition(from, to) { Ok(release) } else { with_own_definition(release, to) }
}

/// A release as it is deployed again where it was before: with the definition and the parameters that it had, and the secrets
/// of today.
///
/// # Errors
/// What its artifact would show.
pub fn again(
    pipeline: &Pipeline,
    environment: &EnvironmentDefinition,
    release: &Release,
    secrets: &Secrets,
) -> Result<Release, Refused> {
    pipeline.artifacts.still_harmless(&release.artifact).map_err(Refused::Artifact)?;
    let secrets = secrets.fingerprints(&pipeline.name, &environment.stack.secrets);
    Ok(Release { secrets, ..release.clone() })
}

fn same_definition(from: &EnvironmentDefinition, to: &EnvironmentDefinition) -> bool {
    from.stack.driver == to.stack.driver
        && match (&from.stack.definition, &to.stack.definition) {
            (DefinitionSource::File(from), DefinitionSource::File(to)) => from.path == to.path,
            (DefinitionSource::Git(from), DefinitionSource::Git(to)) => from == to,
            _ => false,
        }
}

/// Returns the release with the definition that the environment names now.
fn with_own_definition(release: Release, environment: &EnvironmentDefinition) -> Result<Release, Refused> {
    let (definition, source) = match &environment.stack.definition {
        DefinitionSource::File(file) => (file.digest.clone(), None),
        DefinitionSource::Git(path) => {
            in_full(path, release.commit.as_ref())?;
            ("".into(), Some(path.clone()))
        }
    };
    Ok(Release { definition, source, ..release })
}

/// Whether a definition at this path can be read at this commit and at no other.
fn in_full(path: &Arc<str>, commit: Option<&Arc<str>>) -> Result<(), Refused> {
    let commit = commit.ok_or_else(|| Refused::NoCommit(path.clone()))?;
    let whole = matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| b.is_ascii_hexdigit());
    if whole { Ok(()) } else { Err(Refused::ShortCommit(path.clone())) }
}

/// What stands between a release and a stack definition that was read after the release was made: what the definition
/// wants and the environment does not hand over and, in the environment that takes builds, what the build said and the
/// definition does not know. What an environment itself says need not be known: it and the repository do not change
/// at the same moment.
pub fn unmet(needs: &Needs, release: &Release, takes_builds: bool) -> Vec<String> {
    let given = release.given.keys().filter(|_| takes_builds);
    let unknown = given.filter_map(|name| unknown_parameter(needs, name));
    let missing = needs.secrets.iter().filter(|name| !release.secrets.contains_key(name.as_str()));
    let missing = missing.map(|name| {
        format!(
            "the definition needs the secret `{}`, which the environment does not hand over: name it in `[secrets]` and \
             in `stack.secrets`",
            excerpt(name)
        )
    });
    unknown.chain(missing).collect()
}

/// What the environment says, and over it what the build said.
fn parameters(
    environment: &EnvironmentDefinition,
    given: &BTreeMap<Arc<str>, Arc<str>>,
) -> BTreeMap<Arc<str>, Arc<str>> {
    let mut parameters = environment.stack.parameters.clone();
    parameters.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
    parameters
}

fn bad_parameters(pipeline: &Pipeline, entry: &EnvironmentDefinition, build: &Build) -> Vec<(Arc<str>, String)> {
    let allowed = pipeline.webhook.parameters.as_ref();
    let needs = entry.stack.file().and_then(|file| file.needs.as_ref());
    let one = |name: &Arc<str>| match allowed {
        Some(allowed) if !allowed.iter().any(|other| **other == **name) => {
            let may = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
            Some(format!("a build may not set the parameter `{}`; it may set: {may}", excerpt(name)))
        }
        _ => unknown_parameter(needs?, name),
    };
    build.parameters.keys().filter_map(|name| Some((name.clone(), one(name)?))).collect()
}
