//! Standing a stack up: once, whoever asks how often. What Heat refuses is remembered, so that the deployment ends with
//! Heat's own words instead of waiting for its deadline. Must not show a secret.

use std::{collections::BTreeMap, fs::File};

use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{
    Heat,
    client::{ACT, Failure, HEAT, Question},
    definition::{Definition, Place, expand},
    tags::{Tagged, minutes},
};
use crate::{
    machine::StackName,
    stacks::{StackSpec, StepError},
    text::one_line,
};

/// The shortest part of a secret that is taken out of messages.
const TELLING: usize = 12;

impl Heat {
    /// Makes the stack unless it is there.
    pub(super) async fn create(&self, spec: &StackSpec) -> Result<(), StepError> {
        let name = &spec.name;
        let definition = Definition::parse(&spec.definition).map_err(|why| StepError::Refused(why.join("\n")))?;
        has_its_secrets(spec, &definition)?;
        self.installation()?;
        let _alone = self.alone(name)?;
        if self.there(name).await? {
            return Ok(());
        }
        if spec.stranger {
            return Err(StepError::Refused(format!(
                "{name} is gone, and a stack that was adopted is not created again"
            )));
        }
        let answer = self.make(spec, &definition).await.map_err(|why| masked(why, spec));
        self.remember(name, &answer);
        answer
    }

    /// Takes the lock under which one call at a time stands up this stack.
    pub(super) fn alone(&self, name: &StackName) -> Result<File, StepError> {
        let lock = self.lock(name).map_err(|error| StepError::Unavailable(format!("{name}: its lock: {error}")))?;
        lock.ok_or_else(|| StepError::Unavailable(format!("{name} is being created by another call")))
    }

    /// What Heat refuses is shown until it is retired.
    pub(super) fn remember(&self, name: &StackName, answer: &Result<(), StepError>) {
        let mut state = self.state();
        match answer {
            Err(StepError::Refused(why)) => drop(state.refused.insert(name.clone(), why.clone())),
            _ => drop(state.refused.remove(name)),
        }
    }

    /// Whether it is there already.
    pub(super) async fn there(&self, name: &StackName) -> Result<bool, StepError> {
        let listing = self.look_for(name).await?;
        let mut same = listing.stacks.iter().filter(|ours| ours.tagged.name == *name).peekable();
        if same.peek().is_some() && same.all(|ours| ours.status.starts_with("DELETE")) {
            return Err(StepError::Unavailable(format!("{name} is being torn down, and its name is taken until then")));
        }
        Ok(listing.stacks.iter().any(|ours| ours.tagged.name == *name))
    }

    async fn make(&self, spec: &StackSpec, definition: &Definition) -> Result<(), StepError> {
        let name = &spec.name;
        let parameters = parameters(spec, definition);
        self.fits(definition, &parameters).await?;
        // An order to stop it may have come meanwhile.
        self.orders().is_to_run(name)?;
        let body = request(self.installation()?, spec, definition, parameters);
        let question = Question {
            service: HEAT,
            method: Method::POST,
            path: &["stacks"],
            query: &[],
            body: Some(&body),
            limit: ACT,
        };
        let answer = {
            let _change = self.change(name);
            self.client.ask(&question).await
        };
        match answer {
            Ok(_) => Ok(()),
            Err(Failure::Said { status: 409, message }) => self.taken(name, &message).await,
            Err(Failure::Said { status: 403, message }) if self.client.is_application_credential() => {
                Err(StepError::Refused(format!(
                    "creating {name}: Heat refuses ({message}). An application credential may not hand its rights on to Heat: use \
                     one made with `--unrestricted`; where Keystone refuses that too, a user with a password, or \
                     `allow_insecure_application_credential_trust_escalation` in Keystone's [security_compliance]"
                )))
            }
            Err(failure) => Err(failure.step(&format!("making {name}"))),
        }
    }

    /// The name is taken: by an earlier request of ours whose answer was lost, by what is on its way out, or by somebody
    /// else.
    async fn taken(&self, name: &StackName, message: &str) -> Result<(), StepError> {
        let listing = self.look_now().await?;
        if listing.stacks.iter().any(|ours| ours.tagged.name == *name) {
            return Ok(());
        }
        let (doing, text) = (format!("asking who has the name {name}"), name.to_string());
        let answer = self.client.look(&["stacks"], &[("name", &text)]).await.map_err(|failure| failure.step(&doing))?;
        let list = answer.body["stacks"].as_array().ok_or_else(|| {
            StepError::Unavailable(format!("{doing}: the answer of Heat has no list `stacks`; it is asked again"))
        })?;
        let stays = |stack: &Value| {
            let going = stack["stack_status"].as_str().is_some_and(|s| s.starts_with("DELETE"));
            stack["stack_name"].as_str() == Some(&text) && !going
        };
        if !list.iter().any(stays) {
            return Err(StepError::Unavailable(format!(
                "creating {name}: its name is still taken by a stack that is being deleted"
            )));
        }
        Err(StepError::Refused(format!(
            "creating {name}: the name is taken by a stack that is not ours, which is left alone ({message}). Rename or delete that \
             one, and deploy again"
        )))
    }
}

/// Refuses a spec without a secret that the definition wants.
pub(super) fn has_its_secrets(spec: &StackSpec, definition: &Definition) -> Result<(), StepError> {
    let missing = definition.secrets.keys().find(|secret| !spec.secrets.contains_key(secret.as_str()));
    missing.map_or(Ok(()), |missing| {
        Err(StepError::Refused(format!(
            "the stack definition of {} needs the secret {missing}, which the pipeline does not hand over: add it to \
             [secrets] and to `stack.secrets`, and deploy again",
            spec.name
        )))
    })
}

/// Removes the values of secrets: Heat repeats a parameter that it does not like.
pub(super) fn masked(why: StepError, spec: &StackSpec) -> StepError {
    // In one line, as what Heat says is.
    let values = spec.secrets.iter().map(|(name, value)| (name, one_line(value.expose_secret())));
    let values: Vec<_> = values.filter(|(_, value)| !value.is_empty()).collect();
    let mask = |text: String| {
        values.iter().fold(text, |text, (name, value)| {
            let text = text.replace(value, &format!("(the secret {name})"));
            // What Heat says may be cut off, and the secret with it.
            let beginning: String = value.chars().take(TELLING).collect();
            match text.find(&beginning).filter(|_| value.chars().count() > TELLING) {
                Some(at) => format!("{}(the secret {name})", &text[..at]),
                None => text,
            }
        })
    };
    match why {
        StepError::Refused(text) => StepError::Refused(mask(text)),
        StepError::Unavailable(text) => StepError::Unavailable(mask(text)),
    }
}

/// The template's parameters: those of the definition, and over them those of the release.
pub(super) fn parameters(spec: &StackSpec, definition: &Definition) -> BTreeMap<String, String> {
    let release = &spec.release;
    let value = |name: &str| match name {
        "version" => release.version.to_string(),
        "artifact" => release.artifact.to_string(),
        "commit" => release.commit.as_deref().unwrap_or_default().to_owned(),
        "release" => release.number.to_string(),
        "stack" => spec.name.to_string(),
        "pipeline" => spec.name.environment.pipeline.to_string(),
        _ => spec.name.environment.environment.to_string(),
    };
    let mut parameters = BTreeMap::new();
    for (name, text) in &definition.parameters {
        let filled = expand(text, value).expect("the placeholders were tried when the definition was read");
        parameters.insert(name.clone(), filled);
    }
    let secret = |name: &str| definition.secrets.values().any(|p| matches!(p, Place::Parameter(to) if to == name));
    let given = release.parameters.iter().filter(|(name, _)| !secret(name));
    parameters.extend(given.map(|(name, value)| (name.to_string(), value.to_string())));
    parameters
}

/// Builds the request that has Heat make a stack.
pub(super) fn request(
    installation: &str,
    spec: &StackSpec,
    definition: &Definition,
    mut parameters: BTreeMap<String, String>,
) -> Value {
    let mut files: BTreeMap<&str, &str> = definition.files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
    files.remove(definition.template.as_str());
    for (secret, place) in &definition.secrets {
        let Some(value) = spec.secrets.get(secret.as_str()) else { continue };
        match place {
            Place::File(file) => drop(files.insert(file, value.expose_secret())),
            Place::Parameter(parameter) => drop(parameters.insert(parameter.clone(), value.expose_secret().to_owned())),
        }
    }
    let tagged = Tagged {
        name: spec.name.clone(),
        endpoints: definition.endpoints.clone(),
        limit: definition.limit,
        adopted: None,
    };
    let mut body = json!({
        "stack_name": spec.name.to_string(),
        "template": definition.files.get(&definition.template),
        "files": files,
        "parameters": parameters,
        "tags": tagged.tags(installation, &definition.tags),
        "timeout_mins": minutes(definition.limit),
        // A stack that failed is kept until its reason is recorded; then it is deleted.
        "disable_rollback": true,
    });
    if !definition.environments.is_empty() {
        body["environment_files"] = json!(definition.environments);
    }
    body
}
