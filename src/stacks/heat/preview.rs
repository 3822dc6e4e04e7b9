//! What Heat says of a stack before it is made: is the template good with these very parameters and files, what would be
//! made, and is there room for it. Must not make anything, and must not show the value of a parameter.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Heat,
    client::{ACT, HEAT, Question},
    create::{has_its_secrets, masked, parameters, request},
    definition::Definition,
};
use crate::stacks::{StackSpec, StepError};

/// Stands for the installation in what is only tried.
const NOBODY: &str = "preview";

impl Heat {
    pub(super) async fn try_out(&self, spec: &StackSpec) -> Result<Vec<String>, StepError> {
        let definition = Definition::parse(&spec.definition).map_err(|why| StepError::Refused(why.join("\n")))?;
        has_its_secrets(spec, &definition)?;
        self.tried(spec, &definition).await.map_err(|why| masked(why, spec))
    }

    async fn tried(&self, spec: &StackSpec, definition: &Definition) -> Result<Vec<String>, StepError> {
        let parameters = parameters(spec, definition);
        let body = request(NOBODY, spec, definition, parameters.clone());
        let known = ["template", "files", "environment_files", "parameters"];
        let given = known.iter().filter_map(|key| Some((key.to_string(), body.get(key)?.clone())));
        let template = json!(given.collect::<serde_json::Map<_, _>>());
        self.try_to(&["validate"], &template, "validating the template").await?;
        let stack = self.try_to(&["stacks", "preview"], &body, "previewing the stack").await?;
        let mut made = resources(&stack["stack"]["resources"]);
        made.sort();
        let mut said = vec![
            format!("Heat of cloud {} accepts the template, with these parameters and files", self.client.cloud()),
            format!("Heat would make {}", made.join(", ")),
        ];
        said.push(if self.fits(definition, &parameters).await? {
            "the project has room for it, by Nova's limits".to_owned()
        } else {
            "whether the project has room for it is unknown".to_owned()
        });
        Ok(said)
    }

    async fn try_to(&self, path: &[&str], body: &Value, doing: &str) -> Result<Value, StepError> {
        let question = Question { service: HEAT, method: Method::POST, path, query: &[], body: Some(body), limit: ACT };
        self.client.ask(&question).await.map(|answer| answer.body).map_err(|failure| failure.step(doing))
    }
}

/// The resources of a preview; those of a nested stack are a list of their own.
fn resources(value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) => list.iter().flat_map(resources).collect(),
        one => {
            let text = |key: &str| one[key].as_str().unwrap_or("unnamed");
            vec![format!("{} ({})", text("resource_name"), text("resource_type"))]
        }
    }
}
