//! What `plan` asks: the provider whether it would make such a stack, the front's host what stands beside the front. Must not make anything, and must not show the
//! value of a secret.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde_json::{Value, json};

use super::deploy::parameter;
use crate::{
    intake::build::Build,
    machine::{Number, StackName},
    pipelines::{DefinitionSource, EnvironmentDefinition, Pipeline, Pipelines, release},
    secrets::Secrets,
    stacks::{self, StackSpec, StepError},
    web_front::{self, FrontDriver},
};

/// A build that there is not.
#[derive(clap::Args)]
pub struct Imagined {
    /// Ask neither the cloud nor the front's host
    #[arg(long)]
    pub(super) offline: bool,
    /// The version of the build that is planned for
    #[arg(long, default_value = "preview")]
    version: String,
    /// Where it is
    #[arg(long, default_value = "preview")]
    artifact: String,
    /// The commit it was built from
    #[arg(long)]
    commit: Option<String>,
    /// A parameter of the stack, as the build would set it; may be given more than once
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
}

/// Outcome of the preview.
pub(super) enum Told {
    /// The driver has nothing to say before it makes a stack.
    Nothing,
    Offline,
    Good(Vec<String>),
    Refused(String),
    /// The driver could not ask.
    Unasked(String),
}

/// Returns the front's driver, opened for what it says about itself.
pub(super) fn front(environment: &EnvironmentDefinition) -> Option<Arc<dyn FrontDriver>> {
    let front = &environment.front;
    let driver = web_front::driver(&front.driver)?;
    (driver.open)(&front.settings, &front.folder, Path::new("")).ok()
}

/// Returns what the front's driver says about itself, and what is wrong beside the front, which is asked where somebody may be.
pub(super) fn front_notes(environment: &EnvironmentDefinition, offline: bool) -> Vec<String> {
    let Some(front) = front(environment) else { return Vec::new() };
    let mut notes = front.notes();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|why| why.to_string());
    let found = match offline {
        true => Ok(front.cautions()),
        false => runtime.and_then(|runtime| runtime.block_on(front.preview()).map_err(|why| why.to_string())),
    };
    match found {
        Ok(cautions) => notes.extend(cautions.iter().map(|caution| format!("warning: {caution}"))),
        Err(why) => notes.push(format!("what is beside the front could not be checked: {why}")),
    }
    notes
}

/// Asks the provider of an environment whether it would make a stack of this build.
pub(super) fn preview(
    state: &Path,
    pipelines: &Pipelines,
    (pipeline, environment): (&Pipeline, &EnvironmentDefinition),
    build: &Imagined,
) -> anyhow::Result<Told> {
    if build.offline {
        return Ok(Told::Offline);
    }
    let stack = &environment.stack;
    let DefinitionSource::File(definition) = &stack.definition else {
        return Ok(Told::Unasked("the definition is read from git, at the commit of a release".to_owned()));
    };
    let text = |text: &String| Arc::<str>::from(text.as_str());
    let parameters: BTreeMap<_, _> = build.parameters.iter().map(|(name, value)| (text(name), text(value))).collect();
    let build = Build {
        version: text(&build.version),
        artifact: text(&build.artifact),
        commit: build.commit.as_ref().map(text),
        number: None,
        parameters,
        link: None,
    };
    let secrets = Secrets::existing(state, pipelines).map_or_else(|| Secrets::for_a_look(pipelines), Ok)?;
    let release = match release::of_build(pipeline, environment, &build, &secrets) {
        Ok(release) => release,
        Err(why) => return Ok(Told::Refused(why.to_string())),
    };
    let values = match secrets.named(&pipeline.name, &stack.secrets) {
        Ok(values) => values,
        Err(why) => return Ok(Told::Unasked(why.to_string())),
    };
    // No deployment has this number.
    let name = StackName { environment: environment.id.clone(), number: Number(0) };
    let (release, definition) = (release.into(), definition.text.clone());
    let spec = StackSpec { name, release, definition, secrets: values, stranger: false };
    let driver = stacks::driver(&stack.driver);
    let driver = driver.ok_or_else(|| anyhow::anyhow!("there is no stack driver {:?}", stack.driver))?;
    let driver = (driver.open)(&stack.settings, &stack.folder, &state.join("stacks").join(&stack.driver));
    let driver = driver.map_err(|why| anyhow::anyhow!("{}", why.join("\n")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(match runtime.block_on(driver.preview(&spec)) {
        Ok(said) if said.is_empty() => Told::Nothing,
        Ok(said) => Told::Good(said),
        Err(StepError::Refused(why)) => Told::Refused(why),
        Err(StepError::Unavailable(why)) => Told::Unasked(why),
    })
}

impl Told {
    /// Whether a deployment would fail.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// Returns the lines that people read.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |text: String| vec![format!("  {:9} {text}", "preview")];
        match self {
            Self::Nothing => Vec::new(),
            Self::Offline => line("nobody was asked (--offline)".to_owned()),
            Self::Refused(why) => line(format!("it would be refused: {why}")),
            Self::Unasked(why) => line(format!("nobody could be asked: {why}")),
            Self::Good(said) => {
                let mut lines = line("it would be accepted".to_owned());
                lines.extend(said.iter().map(|said| format!("            {said}")));
                lines
            }
        }
    }

    /// Returns the JSON that scripts read.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Offline => json!({ "answer": "offline" }),
            Self::Refused(why) => json!({ "answer": "refused", "why": why }),
            Self::Unasked(why) => json!({ "answer": "unasked", "why": why }),
            Self::Good(said) => json!({ "answer": "good", "said": said }),
        }
    }
}
