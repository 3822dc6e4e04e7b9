//! The definition of a stack of ECS, `stacks/ecs/*.json`: what `aws ecs register-task-definition --cli-input-json` takes. Filled
//! with the release, it is sent as it stands: whatever ECS knows may be in it. Must not talk to AWS.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    aws::Tag,
    machine::Release,
    stacks::{Needs, StackSpec},
    text::excerpt,
};

/// The variable that tells a container which stack it is part of.
pub(super) const STACK: &str = "POINTSMAN_STACK";
/// The variable that tells it which version it runs.
const VERSION: &str = "POINTSMAN_VERSION";

/// A task definition.
#[derive(Debug, Clone)]
pub(super) struct Definition(Map<String, Value>);

impl Definition {
    /// Reads one.
    ///
    /// # Errors
    /// Every mistake, with its place where it is known.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<String>> {
        let read: Result<Value, _> = serde_json::from_str(text);
        let whole =
            read.map_err(|error| vec![format!("{}:{}: not JSON: {error}", error.line(), error.column().max(1))])?;
        let Value::Object(whole) = whole else {
            return Err(vec![
                "1:1: a task definition is an object, as `aws ecs register-task-definition \
                             --generate-cli-skeleton` prints it"
                    .to_owned(),
            ]);
        };
        let mut mistakes = Vec::new();
        if whole.contains_key("taskDefinition") {
            mistakes.push(
                "this is what `aws ecs describe-task-definition` prints: keep what is in `taskDefinition`".to_owned(),
            );
        }
        let containers = whole.get("containerDefinitions").and_then(Value::as_array).filter(|list| !list.is_empty());
        match containers {
            None => mistakes.push("`containerDefinitions` is missing: a list of containers".to_owned()),
            Some(list) => {
                let named = list.iter().all(|one| one["name"].as_str().is_some_and(|name| !name.is_empty()));
                if !named {
                    mistakes.push("`containerDefinitions`: each container needs a `name`".to_owned());
                }
            }
        }
        for key in ["family", "taskRoleArn", "executionRoleArn", "networkMode", "cpu", "memory"] {
            if whole.get(key).is_some_and(|value| !value.is_string() && !value.is_null()) {
                mistakes.push(format!("`{key}` must be a text in quotes"));
            }
        }
        mistakes.extend(
            READ_ONLY.iter().filter(|key| whole.contains_key(**key)).map(|key| {
                format!("`{key}` is what ECS tells of a task definition, and takes from nobody: leave it out")
            }),
        );
        if mistakes.is_empty() { Ok(Self(whole)) } else { Err(mistakes) }
    }

    /// The names of its containers.
    pub(super) fn containers(&self) -> Vec<&str> {
        self.listed().iter().filter_map(|container| container["name"].as_str()).collect()
    }

    /// What a build may set: the variables that some container has. Secrets are named in the definition, and read by ECS itself.
    pub(super) fn needs(&self) -> Needs {
        let variables = self.listed().iter().filter_map(|container| container["environment"].as_array()).flatten();
        let parameters = variables.filter_map(|variable| variable["name"].as_str().map(str::to_owned)).collect();
        Needs { parameters, secrets: BTreeSet::new() }
    }

    /// The request that registers it for a stack. `family`: the name under which ECS keeps it.
    ///
    /// # Errors
    /// When it lacks the container that is to get the image, in one sentence.
    pub(super) fn request(
        &self,
        (family, container): (&str, &str),
        spec: &StackSpec,
        tags: Vec<Tag>,
    ) -> Result<Value, String> {
        let mut whole = self.0.clone();
        whole.insert("family".to_owned(), family.into());
        let own = whole.get("tags").and_then(Value::as_array).cloned().unwrap_or_default();
        let ours = tags.into_iter().map(|(key, value)| json!({ "key": key, "value": value }));
        whole.insert("tags".to_owned(), own.into_iter().chain(ours).collect());
        let release = &spec.release;
        let list = whole.get_mut("containerDefinitions").and_then(Value::as_array_mut);
        let mut found = false;
        for one in list.into_iter().flatten() {
            set_parameters(one, release);
            if one["name"].as_str() == Some(container) {
                found = true;
                one["image"] = release.artifact.as_ref().into();
                set(one, STACK, &spec.name.to_string());
                set(one, VERSION, release.version.as_ref());
            }
        }
        if found { Ok(whole.into()) } else { Err(self.no_container(container)) }
    }

    /// Says that it lacks this container.
    pub(super) fn no_container(&self, container: &str) -> String {
        let there = self.containers().join(", ");
        format!("`service.container` is \"{}\", and the task definition has {there}", excerpt(container))
    }

    fn listed(&self) -> &[Value] {
        self.0.get("containerDefinitions").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// What ECS adds to a task definition that it describes.
const READ_ONLY: [&str; 8] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "deregisteredAt",
    "registeredBy",
];

/// Gives the variables of a container the values that the release has for them.
fn set_parameters(container: &mut Value, release: &Release) {
    let variables = container.get_mut("environment").and_then(Value::as_array_mut);
    for variable in variables.into_iter().flatten() {
        let name = variable["name"].as_str();
        let given = release.parameters.iter().find(|(given, _)| name == Some(given.as_ref()));
        if let Some((_, value)) = given {
            variable["value"] = value.as_ref().into();
        }
    }
}

/// Sets a variable of a container.
fn set(container: &mut Value, name: &str, value: &str) {
    let variable = json!({ "name": name, "value": value });
    match container.get_mut("environment").and_then(Value::as_array_mut) {
        Some(list) => {
            list.retain(|one| one["name"].as_str() != Some(name));
            list.push(variable);
        }
        None => container["environment"] = json!([variable]),
    }
}

#[cfg(test)]
mod tests;
