//! Opens the drivers that the pipelines name. Drivers of the same name
//! and settings share one instance and its listings.

use std::{collections::HashMap, fs, path::Path, sync::Arc};

use super::{
    board::Board,
    hooking::Hooks,
    promoting::Promotion,
    shared::SharedStacks,
    source::{Source, mirror},
    world::World,
};
use crate::{
    clock::Clock,
    git::Mirrors,
    hooks::Runs,
    pipelines::{DeployOn, EnvironmentDefinition, Pipeline, Pipelines, frozen::Frozen, release},
    secrets::Secrets,
    stacks, web_front,
};

/// Where the controller keeps things and how it tells the time.
#[derive(Clone)]
pub struct Place<'a> {
    /// The state folder.
    pub state: &'a Path,
    /// The time.
    pub clock: Clock,
    /// Board that people are shown.
    pub board: Board,
    /// What stacks are given that nobody else may see.
    pub secrets: Secrets,
    /// The mirrors of source repositories: one set of them for the whole process.
    pub mirrors: Mirrors,
}

/// Opens the surroundings of every environment. All that cannot be opened is named at once.
pub fn open(pipelines: &Pipelines, place: &Place<'_>) -> Result<Vec<World>, Vec<String>> {
    let mut providers = HashMap::new();
    let (mut worlds, mut mistakes) = (Vec::new(), Vec::new());
    for pipeline in pipelines.iter() {
        for definition in &pipeline.environments {
            match open_one(pipeline, definition, place, &mut providers) {
                Ok(world) => worlds.push(world),
                Err(found) => mistakes.extend(found.into_iter().map(|why| format!("{}: {why}", definition.id))),
            }
        }
    }
    if mistakes.is_empty() { Ok(worlds) } else { Err(mistakes) }
}

fn open_one(
    pipeline: &Arc<Pipeline>,
    definition: &Arc<EnvironmentDefinition>,
    place: &Place<'_>,
    providers: &mut HashMap<String, Arc<SharedStacks>>,
) -> Result<World, Vec<String>> {
    let one = |why: String| vec![why];
    let name = &definition.stack.driver;
    // What says the same is the same provider, and is looked at once for all.
    let provider = format!("{name} {} {}", definition.stack.settings, definition.stack.folder.display());
    if !providers.contains_key(&provider) {
        let driver = stacks::driver(name).ok_or_else(|| one(format!("there is no stack driver {name:?}")))?;
        let folder = place.state.join("stacks").join(name);
        make_folder(&folder)?;
        let driver = (driver.open)(&definition.stack.settings, &definition.stack.folder, &folder)?;
        providers.insert(provider.clone(), Arc::new(SharedStacks::new(driver)));
    }
    let stacks = providers.get(&provider).cloned().ok_or_else(|| one(format!("the stack driver {name:?} is gone")))?;
    let front = &definition.front;
    let driver = web_front::driver(&front.driver);
    let driver = driver.ok_or_else(|| one(format!("there is no front driver {:?}", front.driver)))?;
    let id = definition.id.clone();
    let folder = place.state.join("fronts").join(id.pipeline.as_str()).join(id.environment.as_str());
    make_folder(&folder)?;
    let program = std::env::current_exe().map_err(|why| one(format!("our own program cannot be found: {why}")))?;
    let runs = Runs::of(place.state, &id, program);
    let lives = place.state.join("looked").join(id.pipeline.as_str()).join(format!("{}.json", id.environment));
    Ok(World {
        id,
        stacks,
        front: (driver.open)(&front.settings, &front.folder, &folder)?,
        artifacts: pipeline.artifacts.clone(),
        checks: Arc::new(definition.checks.clone()),
        hooks: Hooks::new(&definition.hooks, runs),
        frozen: Frozen::below(place.state),
        secrets: place.secrets.clone(),
        source: mirror(pipeline, &place.mirrors)
            .map_err(one)?
            .map(|mirror| Source::new(mirror, definition.deploy == DeployOn::Build)),
        promotion: promotion(pipeline, definition, &place.secrets),
        watch: definition.watch,
        lives,
        board: place.board.clone(),
        clock: place.clock.clone(),
    })
}

/// How releases come to an environment without a person, where a rule brings them.
fn promotion(pipeline: &Arc<Pipeline>, to: &Arc<EnvironmentDefinition>, secrets: &Secrets) -> Option<Promotion> {
    let (rule, from) = to.promotion.zip(pipeline.before(&to.id).cloned())?;
    let (id, plan) = (from.id.clone(), to.plan.clone());
    let (pipeline, to, secrets) = (pipeline.clone(), to.clone(), secrets.clone());
    let adapt = move |live: &_| release::promoted(&pipeline, &from, &to, live, &secrets).map_err(|why| why.to_string());
    Some(Promotion { from: id, rule, plan, adapt: Arc::new(adapt) })
}

fn make_folder(folder: &Path) -> Result<(), Vec<String>> {
    fs::create_dir_all(folder).map_err(|cause| vec![format!("{} cannot be made: {cause}", folder.display())])
}
