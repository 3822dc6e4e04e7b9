//! From definitions to surroundings: opens the drivers that the pipelines name. Drivers of the same name
//! and settings share one instance and its listings.

use std::{collections::HashMap, fs, path::Path, sync::Arc};

use super::{board::Board, shared::SharedStacks, world::World};
use crate::{
    clock::Clock,
    pipelines::{EnvironmentDefinition, Pipelines, frozen::Frozen},
    secrets::Secrets,
    stacks, web_front,
};

/// Where the controller keeps things and how it tells the time.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// The state folder.
    pub state: &'a Path,
    /// The time.
    pub clock: Clock,
    /// What people are shown.
    pub board: Board,
    /// What stacks are given that nobody else may see.
    pub secrets: Secrets,
}

/// Opens the surroundings of every environment. All that can not be opened is named at once.
pub fn open(pipelines: &Pipelines, place: &Place<'_>) -> Result<Vec<World>, Vec<String>> {
    let mut providers = HashMap::new();
    let (mut worlds, mut mistakes) = (Vec::new(), Vec::new());
    for definition in pipelines.environments() {
        match open_one(definition, place, &mut providers) {
            Ok(world) => worlds.push(world),
            Err(found) => mistakes.extend(found.into_iter().map(|why| format!("{}: {why}", definition.id))),
        }
    }
    if mistakes.is_empty() { Ok(worlds) } else { Err(mistakes) }
}

fn open_one(
    definition: &EnvironmentDefinition,
    place: &Place<'_>,
    providers: &mut HashMap<String, Arc<SharedStacks>>,
) -> Result<World, Vec<String>> {
    let one = |why: String| vec![why];
    let name = &definition.stack.driver;
    // What says the same is the same provider, and is looked at once for all.
    let provider = format!("{name} {} {}", definition.stack.settings, definition.stack.folder.display());
    if !providers.contains_key(&provider) {
        let open = stacks::DRIVERS.iter().find(|(n, _)| n == name).map(|(_, open)| open);
        let open = open.ok_or_else(|| one(format!("there is no stack driver {name:?}")))?;
        let folder = place.state.join("stacks").join(name);
        make_folder(&folder)?;
        let driver = open(&definition.stack.settings, &definition.stack.folder, &folder)?;
        providers.insert(provider.clone(), Arc::new(SharedStacks::new(driver)));
    }
    let stacks = providers.get(&provider).cloned().ok_or_else(|| one(format!("the stack driver {name:?} is gone")))?;
    let front = &definition.front;
    let open = web_front::DRIVERS.iter().find(|(n, _)| *n == front.driver).map(|(_, open)| open);
    let open = open.ok_or_else(|| one(format!("there is no front driver {:?}", front.driver)))?;
    let id = definition.id.clone();
    let folder = place.state.join("fronts").join(id.pipeline.as_str()).join(id.environment.as_str());
    make_folder(&folder)?;
    Ok(World {
        id,
        stacks,
        front: open(&front.settings, &front.folder, &folder)?,
        checks: Arc::new(definition.checks.clone()),
        frozen: Frozen::below(place.state),
        secrets: place.secrets.clone(),
        watch: definition.watch,
        board: place.board.clone(),
        clock: place.clock.clone(),
    })
}

fn make_folder(folder: &Path) -> Result<(), Vec<String>> {
    fs::create_dir_all(folder).map_err(|cause| vec![format!("{} can not be made: {cause}", folder.display())])
}
