//! The folder of pipelines: every file, and what must be unique among all of them.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Pipelines, SecretSource,
    parse::{Parsed, Places, parse},
};
use crate::{
    machine::EnvironmentId,
    stacks::{self, StackDriver},
    toml_file::Mistake,
    web_front::{self, Claim, Claimed},
};

/// The largest pipeline file, in bytes.
const LARGEST_FILE: u64 = 256 << 10;

/// The drivers that pipeline files may name.
pub struct Registry {
    stacks: &'static [stacks::Driver],
    fronts: &'static [web_front::Driver],
    state: PathBuf,
    /// Files that belong to the installation wherever they are.
    own: Vec<PathBuf>,
}

impl Registry {
    /// All drivers there are. `state`: the state folder; the drivers' own folders lie below it.
    pub fn all(state: &Path) -> Self {
        Self { stacks: stacks::DRIVERS, fronts: web_front::DRIVERS, state: state.to_owned(), own: Vec::new() }
    }

    /// The same, where these files are the installation's own too: no build may name them.
    #[must_use]
    pub fn with_own(self, own: Vec<PathBuf>) -> Self {
        Self { own, ..self }
    }

    /// The same with these drivers.
    #[cfg(test)]
    pub(super) fn of(stacks: &'static [stacks::Driver], fronts: &'static [web_front::Driver], state: &Path) -> Self {
        Self { stacks, fronts, ..Self::all(state) }
    }

    /// Why a front of this driver cannot send users to stacks of that one; `None`: it can, or one of them is not known.
    pub(super) fn misfit(&self, stack: &str, front: &str) -> Option<String> {
        let stack = self.stack_driver(stack)?;
        let front = self.fronts.iter().find(|driver| driver.name == front)?;
        if front.takes.contains(&stack.reach) {
            return None;
        }
        let takes = front.takes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        let fits = self.fronts.iter().filter(|driver| driver.takes.contains(&stack.reach));
        let fits = fits.map(|driver| format!("\"{}\"", driver.name)).collect::<Vec<_>>().join(", ");
        let instead = if fits.is_empty() { "no front driver does".to_owned() } else { format!("these do: {fits}") };
        let (stack, reach, front) = (stack.name, stack.reach, front.name);
        Some(format!(
            "stacks of the driver \"{stack}\" are reached by {reach}, and the front driver \"{front}\" takes {takes}; {instead}"
        ))
    }

    /// Returns the driver of stacks of this name.
    pub(super) fn stack_driver(&self, name: &str) -> Option<&'static stacks::Driver> {
        self.stacks.iter().find(|driver| driver.name == name)
    }

    /// The drivers of stacks, the example of messages first.
    pub(super) fn stack_drivers(&self) -> &'static [stacks::Driver] {
        self.stacks
    }

    /// The drivers of fronts, the example of messages first.
    pub(super) fn front_drivers(&self) -> &'static [web_front::Driver] {
        self.fronts
    }

    /// The driver of an environment, for questions about its definition. `None`: there is no such driver.
    pub(super) fn open_stack(
        &self,
        driver: &str,
        settings: &toml::Table,
        written_in: &Path,
    ) -> Option<Result<Arc<dyn StackDriver>, Vec<String>>> {
        let driver = self.stack_driver(driver)?;
        Some((driver.open)(settings, written_in, &self.state.join("stacks").join(driver.name)))
    }

    /// What the front would need for itself alone, and whether it can be pointed at nobody, unless something is wrong with its
    /// settings.
    pub(super) fn check_front(
        &self,
        driver: &str,
        settings: &toml::Table,
        written_in: &Path,
    ) -> Result<FrontFacts, Vec<String>> {
        match self.fronts.iter().find(|known| known.name == driver) {
            Some(driver) => {
                let front = (driver.open)(settings, written_in, &self.state.join("check"))?;
                Ok(FrontFacts {
                    claims: front.claims(),
                    can_be_off: front.can_be_off(),
                    cannot_lead: front.cannot_lead(),
                })
            }
            None => Ok(FrontFacts::default()),
        }
    }
}

/// What a front's driver says of itself that other keys depend on.
pub(super) struct FrontFacts {
    /// What it needs for itself alone.
    pub(super) claims: Vec<Claim>,
    /// Whether it can be pointed at nobody.
    pub(super) can_be_off: bool,
    /// Why checks cannot ask through it.
    pub(super) cannot_lead: Option<String>,
}

impl Default for FrontFacts {
    fn default() -> Self {
        Self { claims: Vec::new(), can_be_off: true, cannot_lead: None }
    }
}

/// What was found in a folder of pipelines.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Pipelines that could be read; complete only when there are no mistakes.
    pub pipelines: Pipelines,
    /// How many files were read.
    pub files: usize,
    /// Everything that is wrong, by file and line.
    pub mistakes: Vec<Mistake>,
}

/// Reads every `*.toml` of a folder, or one file.
pub fn load(registry: &Registry, path: &Path) -> Loaded {
    let files = match files(path) {
        Ok(files) => files,
        Err(cause) => {
            let why =
                format!("the pipelines cannot be read: {cause}; name their folder as `pipelines` in pointsman.toml");
            let mistakes = vec![Mistake::of_file(path.display().to_string(), why)];
            return Loaded { mistakes, ..Loaded::default() };
        }
    };
    let mut mistakes = Vec::new();
    let mut all = Vec::new();
    for file in &files {
        match read(file) {
            Ok(text) => {
                let (parsed, found) = parse(registry, file, &text);
                mistakes.extend(found);
                all.extend(parsed);
            }
            Err(why) => mistakes.push(Mistake::of_file(file.display().to_string(), why)),
        }
    }
    mistakes.extend(collisions(&all));
    let forbidden = belongings(registry, path, &all);
    for parsed in &mut all {
        let artifacts = &mut parsed.pipeline.artifacts;
        artifacts.forbidden.clone_from(&forbidden);
        if artifacts.named {
            let wrong = artifacts.roots.iter().filter_map(|root| artifacts.bad_root(root));
            let file = parsed.pipeline.file.display().to_string();
            mistakes.extend(wrong.map(|why| Mistake::of_file(file.clone(), format!("`artifacts`: {why}"))));
        }
    }
    mistakes.sort();
    mistakes.dedup();
    Loaded { pipelines: all.into_iter().map(|p| p.pipeline).collect(), files: files.len(), mistakes }
}

/// What no build may name: the state folder, the pipelines, and every file in which a secret or a key is kept.
fn belongings(registry: &Registry, path: &Path, all: &[Parsed]) -> Vec<PathBuf> {
    let mut found = vec![registry.state.clone()];
    found.extend(all.iter().map(|parsed| parsed.pipeline.file.clone()));
    // A folder that holds everything else as well is not closed as a whole.
    let holds = |inner: &Path| {
        fs::canonicalize(inner).is_ok_and(|inner| fs::canonicalize(path).is_ok_and(|path| inner.starts_with(path)))
    };
    if path.is_dir() && !holds(&registry.state) {
        found.push(path.to_owned());
    }
    found.extend(registry.own.iter().cloned());
    for Parsed { pipeline, .. } in all {
        let password = pipeline.source.iter().filter_map(|source| source.password.as_ref());
        let sources = pipeline.webhook.secrets.iter().chain(pipeline.secrets.values()).chain(password);
        found.extend(sources.filter_map(|source| match source {
            SecretSource::File(file) => Some(file.clone()),
            SecretSource::Env(_) => None,
        }));
        for environment in &pipeline.environments {
            named_files(&environment.front.settings, &environment.front.folder, &mut found);
            named_files(&environment.stack.settings, &environment.stack.folder, &mut found);
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The files that a driver's settings name: keys, certificates, clouds.
fn named_files(settings: &toml::Table, folder: &Path, found: &mut Vec<PathBuf>) {
    for value in settings.values() {
        match value {
            toml::Value::String(text) => found.extend(Some(folder.join(text)).filter(|file| file.is_file())),
            toml::Value::Table(table) => named_files(table, folder, found),
            toml::Value::Array(list) => {
                for item in list {
                    named_files(&[("item".to_owned(), item.clone())].into_iter().collect(), folder, found);
                }
            }
            _ => {}
        }
    }
}

fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && file.extension().is_some_and(|extension| extension == "toml") && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<String, String> {
    let length = fs::metadata(file).map_err(|cause| format!("it cannot be read: {cause}"))?.len();
    if length > LARGEST_FILE {
        return Err(format!("it is larger than {LARGEST_FILE} bytes; is this a pipeline?"));
    }
    let bytes = fs::read(file).map_err(|cause| format!("it cannot be read: {cause}"))?;
    String::from_utf8(bytes)
        .map_err(|error| format!("it is not text in UTF-8: byte {} does not fit", error.utf8_error().valid_up_to()))
}

/// Two environments whose stacks would be called the same, and two fronts that both need what only one can have.
fn collisions(all: &[Parsed]) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut stack_names: HashMap<String, String> = HashMap::new();
    let mut claimed: HashMap<String, Vec<(&Claim, &EnvironmentId)>> = HashMap::new();
    for (parsed, environment, places) in pairs(all) {
        let file = parsed.pipeline.file.display().to_string();
        let mut wrong = |(line, column), text| mistakes.push(Mistake { file: file.clone(), line, column, text });
        let id = &environment.id;
        let stacks = format!("{}-{}", id.pipeline, id.environment);
        match stack_names.get(&stacks) {
            Some(other) if *other != id.to_string() => wrong(
                places.name,
                format!("the stacks of {id} and {other} would both be called {stacks}-1; rename one environment"),
            ),
            _ => drop(stack_names.insert(stacks, id.to_string())),
        }
        for (claim, place) in &places.claims {
            let neighbours = claimed.entry(subject(claim)).or_default();
            if let Some((theirs, other)) = neighbours.iter().find(|(theirs, _)| theirs.contests(claim)) {
                wrong(*place, format!("the front of {other} {theirs} already; give each front its own {}", claim.key));
                break;
            }
            neighbours.push((claim, id));
        }
    }
    mistakes
}

/// The same for all claims that contest each other, and for few others.
fn subject(claim: &Claim) -> String {
    match &claim.what {
        Claimed::Address(address) => address.port().to_string(),
        Claimed::File(file) => file.clone(),
    }
}

fn pairs(all: &[Parsed]) -> impl Iterator<Item = (&Parsed, &Arc<super::EnvironmentDefinition>, &Places)> {
    all.iter().flat_map(|parsed| {
        let environments = parsed.pipeline.environments.iter().zip(&parsed.places);
        environments.map(move |(environment, places)| (parsed, environment, places))
    })
}
