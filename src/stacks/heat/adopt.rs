//! Taking over a stack that somebody else made. It gets our tags where Heat says that nothing but these would change. Of
//! many stacks its preview cannot say that: it takes whatever one resource knows of another for changed, and for a server
//! that would mean another server. Such a stack is not touched at all; that it is ours stands in our own folder then.
//! Must not make, change or delete a resource.

use std::io;

use reqwest::Method;
use serde_json::json;

use super::{
    Heat,
    client::{ACT, Failure, HEAT, Question},
    definition::{Definition, Endpoints, LIMIT},
    endpoints::addresses,
    listing::Listed,
    tags::{self, Tagged},
};
use crate::{
    machine::{Adopts, StackName},
    stacks::{StackSpec, StepError},
    text::one_line,
};

/// How many names of other stacks a message lists.
const NAMES: usize = 10;

impl Heat {
    /// Makes the stack ours unless it is.
    pub(super) async fn adopt(&self, spec: &StackSpec, adopts: &Adopts) -> Result<(), StepError> {
        self.installation()?;
        let _alone = self.alone(&spec.name)?;
        if self.there(&spec.name).await? {
            return Ok(());
        }
        let answer = self.take(spec, adopts).await;
        self.remember(&spec.name, &answer);
        answer
    }

    async fn take(&self, spec: &StackSpec, adopts: &Adopts) -> Result<(), StepError> {
        let kept = self.kept();
        let stack = match kept.pinned(&spec.name).map_err(|error| unwritten(&adopts.stack, &error))? {
            Some(id) => self.taken_before(spec, &id).await?,
            None => self.called(&adopts.stack).await?,
        };
        let shown = format!("adopting {}", stack.stack_name);
        let refuse = |why: String| Err(StepError::Refused(format!("{shown}: {why}")));
        if let Some(why) = self.claimed(spec, &stack)? {
            return refuse(why);
        }
        if let Some(why) = not_at_rest(&stack) {
            return refuse(why);
        }
        let (endpoints, limit) = match told(spec, adopts) {
            Ok(told) => told,
            Err(why) => return refuse(why),
        };
        if let Some(why) = self.no_address(&stack, &endpoints, &shown).await? {
            return refuse(why);
        }
        let tagged = Tagged { name: spec.name.clone(), endpoints, limit, adopted: Some(stack.id.clone()) };
        let would_change = self.would_change(&stack, &shown).await?;
        // From here on no other stack is this deployment's, whatever becomes of its marks.
        kept.pin(&spec.name, &stack.id).map_err(|error| unwritten(&stack.stack_name, &error))?;
        if would_change {
            let place = self.client.place().await;
            let _change = self.change(&spec.name);
            return kept.keep(&tagged, &stack, place).map_err(|error| unwritten(&stack.stack_name, &error));
        }
        self.mark(&stack, &tagged, &shown).await
    }

    /// Gives it our tags, and leaves it those that it has.
    async fn mark(&self, stack: &Listed, tagged: &Tagged, shown: &str) -> Result<(), StepError> {
        let theirs = tags::theirs(stack.tags.as_deref().unwrap_or_default());
        let body = json!({ "tags": tagged.tags(self.installation()?, &theirs) });
        let question = Question {
            service: HEAT,
            // With the template, the files and the parameters that it has.
            method: Method::PATCH,
            path: &["stacks", &stack.stack_name, &stack.id],
            query: &[],
            body: Some(&body),
            limit: ACT,
        };
        let _change = self.change(&tagged.name);
        self.client.ask(&question).await.map_err(|failure| later(failure, shown))?;
        self.kept().forget(&stack.id);
        Ok(())
    }

    /// What was taken over as this deployment before: not another one that has its name by now.
    async fn taken_before(&self, spec: &StackSpec, id: &str) -> Result<Listed, StepError> {
        let found = self.all(&[("id", id)]).await?.into_iter().find(|stack| stack.id == id);
        found.ok_or_else(|| {
            StepError::Refused(format!(
                "the stack that was taken over as deployment {} (id {id}) is not in the project of cloud {} any more, and no \
                 other is taken in its place, whatever its name: adopt that one as a new deployment",
                spec.name.number,
                self.client.cloud()
            ))
        })
    }

    /// The stack of this name or id.
    async fn called(&self, wanted: &str) -> Result<Listed, StepError> {
        for key in ["name", "id"] {
            let found = self.all(&[(key, wanted)]).await?;
            // A filter that Heat does not know is left out: what is wanted is looked for here again.
            let same = |stack: &Listed| if key == "id" { stack.id == wanted } else { stack.stack_name == wanted };
            let mut found: Vec<Listed> = found.into_iter().filter(same).collect();
            if found.len() > 1 {
                let ids: Vec<_> = found.iter().map(|stack| stack.id.as_str()).collect();
                return Err(StepError::Refused(format!(
                    "adopting {wanted}: there are {} stacks of that name; name one by its id: {}",
                    found.len(),
                    ids.join(", ")
                )));
            }
            if let Some(found) = found.pop() {
                return Ok(found);
            }
        }
        let names: Vec<String> = self.all(&[]).await?.into_iter().map(|stack| stack.stack_name).collect();
        let more = if names.len() > NAMES { ", and others" } else { "" };
        let there = if names.is_empty() { "none".to_owned() } else { names[..names.len().min(NAMES)].join(", ") };
        Err(StepError::Refused(format!(
            "adopting {wanted}: there is no stack of this name or id in the project of cloud {}; there are: {there}{more}",
            self.client.cloud()
        )))
    }

    async fn all(&self, filters: &[(&str, &str)]) -> Result<Vec<Listed>, StepError> {
        let (listed, _) = self.some(filters).await?;
        Ok(listed.into_iter().filter(|stack| stack.stack_status != "DELETE_COMPLETE").collect())
    }

    /// Says why it cannot be adopted, if it is a Pointsman's. What was adopted here before may be adopted again.
    fn claimed(&self, spec: &StackSpec, stack: &Listed) -> Result<Option<String>, StepError> {
        if let Some(kept) = self.kept().of(&stack.id) {
            let StackName { environment, number } = kept.tagged.name;
            let other = environment != spec.name.environment;
            let file = self.kept().file(&stack.id);
            return Ok(other.then(|| {
                format!(
                    "it is Pointsman's already, as deployment {number} of {environment}; where it was released there and nothing leads to it, remove {} on the host of `pointsman serve`, and adopt it again",
                    file.display()
                )
            }));
        }
        let tags = stack.tags.as_deref().unwrap_or_default();
        let Some([installation, environment, deployment]) = tags::claim(tags) else { return Ok(None) };
        let here = self.installation()?;
        let before = Tagged::read(here, (&stack.stack_name, &stack.id), tags);
        if before.is_some_and(|b| b.adopted.is_some() && b.name.environment == spec.name.environment) {
            return Ok(None);
        }
        let mut why = if installation == here {
            format!("it is Pointsman's already, as deployment {deployment} of {environment}")
        } else {
            format!("it belongs to another installation of Pointsman, to its environment {environment}")
        };
        if tags::was_adopted(tags) {
            why += "; where it was adopted there and released, and nothing leads to it, remove its tags `pointsman` and \
                    `pointsman:...` (`openstack stack update --existing --tags`, with those that are to stay), and adopt it again";
        }
        Ok(Some(why))
    }

    /// Says why its output does not tell where it serves.
    async fn no_address(&self, stack: &Listed, wanted: &Endpoints, shown: &str) -> Result<Option<String>, StepError> {
        let path = ["stacks", &stack.stack_name, &stack.id, "outputs"];
        let output = match self.client.look(&[&path[..], &[&wanted.output]].concat(), &[]).await {
            Ok(answer) => answer.body["output"]["output_value"].clone(),
            Err(Failure::Said { status: 404, .. }) => {
                let all = self.client.look(&path, &[]).await.map_err(|failure| failure.step(shown))?;
                let names = all.body["outputs"].as_array().into_iter().flatten();
                let mut names: Vec<_> = names.filter_map(|output| output["output_key"].as_str()).collect();
                names.sort_unstable();
                let there =
                    if names.is_empty() { "it has none".to_owned() } else { format!("it has: {}", names.join(", ")) };
                return Ok(Some(format!(
                    "it has no output `{}`, which would say where it serves; {there}",
                    wanted.output
                )));
            }
            Err(failure) => return Err(failure.step(shown)),
        };
        Ok(addresses(&output, wanted.port).err().map(|why| format!("its output `{}` {why}", wanted.output)))
    }

    /// Whether Heat might change more of it than its tags.
    async fn would_change(&self, stack: &Listed, shown: &str) -> Result<bool, StepError> {
        let question = Question {
            service: HEAT,
            method: Method::PATCH,
            path: &["stacks", &stack.stack_name, &stack.id, "preview"],
            query: &[],
            body: Some(&json!({})),
            limit: ACT,
        };
        let changes = match self.client.ask(&question).await {
            Ok(answer) => answer.body["resource_changes"].clone(),
            // These say nothing about the stack.
            Err(failure @ Failure::Said { status: 401 | 403 | 408 | 409 | 429, .. }) => {
                return Err(later(failure, shown));
            }
            // It cannot tell.
            Err(Failure::Said { status: 400..=499, message }) => return Ok(self.unmarked(stack, &message)),
            Err(failure) => return Err(failure.step(shown)),
        };
        let named = |change: &str| {
            let list = changes[change].as_array().filter(|list| !list.is_empty())?;
            let names: Vec<_> = list.iter().filter_map(|r| r["resource_name"].as_str()).collect();
            Some(format!("{change}: {}", names.join(", ")))
        };
        let found: Vec<_> = ["updated", "replaced", "added", "deleted"].into_iter().filter_map(named).collect();
        if !found.is_empty() || !changes["unchanged"].is_array() {
            return Ok(self.unmarked(stack, &found.join("; ")));
        }
        Ok(false)
    }

    fn unmarked(&self, stack: &Listed, why: &str) -> bool {
        let (name, cloud) = (&stack.stack_name, self.client.cloud());
        tracing::warn!(
            stack = %name, %why,
            "{name} in cloud {cloud} is left as it is, without our tags: Heat does not say that nothing else of it would change ({why}). \
             Another installation of Pointsman for this project cannot see that it is ours: do not adopt it there too"
        );
        true
    }
}

/// Turns what will pass by itself into an error that is worth asking again.
fn later(failure: Failure, shown: &str) -> StepError {
    match failure {
        Failure::Said { status: 408 | 409, message } => {
            StepError::Unavailable(format!("{shown}: Heat is temporarily unavailable: {message}"))
        }
        failure => failure.step(shown),
    }
}

fn unwritten(stack: &str, error: &io::Error) -> StepError {
    StepError::Unavailable(format!("adopting {stack}: what was taken over cannot be kept: {error}"))
}

/// Says why it cannot be adopted now.
fn not_at_rest(stack: &Listed) -> Option<String> {
    let (action, state) = stack.stack_status.rsplit_once('_').unwrap_or_default();
    let status = &stack.stack_status;
    match state {
        "COMPLETE" if !["INIT", "DELETE", "SUSPEND"].contains(&action) => None,
        "PROGRESS" => Some(format!("it is being changed ({status}); try again when that is over")),
        _ => {
            let reason = stack.stack_status_reason.as_deref().map(one_line).unwrap_or_default();
            Some(format!("Heat says {status} of it ({reason}), and only what is complete is taken over"))
        }
    }
}

/// Where its endpoints are found, and Heat's time limit: by the definition, where there is one.
fn told(spec: &StackSpec, adopts: &Adopts) -> Result<(Endpoints, std::time::Duration), String> {
    let definition = match &*spec.definition {
        "" => None,
        text => Some(Definition::parse(text).map_err(|why| why.join("\n"))?),
    };
    let output = adopts.output.as_deref().or(definition.as_ref().map(|d| d.endpoints.output.as_str()));
    let output = output.ok_or("say which of its outputs tells where it serves")?;
    if output.chars().count() > tags::LONGEST_OUTPUT || output.contains(',') {
        return Err(format!("the name of the output has at most {} characters, and no comma", tags::LONGEST_OUTPUT));
    }
    let port = definition.as_ref().and_then(|d| d.endpoints.port);
    Ok((Endpoints { output: output.to_owned(), port }, definition.map_or(LIMIT, |d| d.limit)))
}
