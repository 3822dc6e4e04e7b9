//! The hooks of one environment: how their runs are, for the machine to be told, and how one begins, with all that it is
//! told itself. Must not decide when one is due.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{shared::within, spawn::blocking, world::World};
use crate::{
    hooks::{Facts, HookDefinition, Order, Outcome, Run, Runs, Seen, State},
    machine::{
        DeploymentState, Environment, EnvironmentId, Hook, HookState, HookView, Number, Release, StackName, Trigger,
    },
    reach::Reach,
    stacks::StepError,
};

/// How long it may take until a run has begun.
const BEGIN: Duration = Duration::from_secs(20);
const LOOKING: &str = "looking after hooks";

/// What the pipeline file says of the hooks of an environment, and their runs.
pub struct Hooks {
    definitions: BTreeMap<Arc<str>, HookDefinition>,
    runs: Option<Arc<Runs>>,
}

impl Hooks {
    /// Makes it of these definitions.
    pub fn new(definitions: &[HookDefinition], runs: Runs) -> Self {
        let definitions = definitions.iter().map(|hook| (hook.name.clone(), hook.clone())).collect();
        Self { definitions, runs: Some(Arc::new(runs)) }
    }

    /// Returns no hooks, for an environment that never had any.
    pub fn none() -> Self {
        Self { definitions: BTreeMap::new(), runs: None }
    }

    /// Their runs, where there may be any.
    pub(super) fn runs(&self) -> Option<Arc<Runs>> {
        self.runs.clone()
    }
}

impl World {
    /// The runs of hooks that the machine waits for. Those that nobody waits for are ended on the way, and those of forgotten
    /// deployments are cleared away.
    pub(super) async fn see_hooks(&self, state: &Environment) -> Vec<HookView> {
        let Some(runs) = &self.hooks.runs else { return Vec::new() };
        let wanted = wanted(state);
        let remembered = remembered(state);
        if runs.is_idle(&wanted, &remembered) {
            return Vec::new();
        }
        let (runs, asked) = (runs.clone(), wanted.clone());
        let seen = blocking(move || runs.look(&asked, &remembered)).await.unwrap_or_else(|| Ok(Vec::new()));
        let seen = seen.map_err(|error| StepError::Unavailable(format!("their folders cannot be used: {error}")));
        self.note(LOOKING, &seen);
        let Ok(seen) = seen else { return Vec::new() };
        let gone = wanted.into_iter().filter(|run| !seen.iter().any(|s| s.run == *run));
        let gone: Vec<Run> = gone.filter(|run| !self.hooks.definitions.contains_key(&run.hook)).collect();
        seen.into_iter()
            .map(|seen| self.hook_view(seen))
            .chain(gone.into_iter().map(|run| not_in_the_file(run, state)))
            .collect()
    }

    fn hook_view(&self, Seen { run, state }: Seen) -> HookView {
        let state = match state {
            State::Running => HookState::Running,
            State::Done(Outcome { failed, said }) => {
                // The process has taken out what it knew of; a secret may have become known since.
                let said = self.without_secrets(&said, None).into();
                match failed {
                    Some(why) => HookState::Failed { reason: self.without_secrets(&why, None).into(), said },
                    None => HookState::Passed { said },
                }
            }
        };
        HookView { number: run.number, hook: run.hook, state }
    }

    /// Starts the run of a hook, unless it was ever begun.
    pub(super) async fn run_hook(
        &self,
        number: Number,
        name: &Arc<str>,
        state: &Environment,
        reach: &HashMap<Number, Reach>,
    ) -> Result<(), StepError> {
        let ordered = state.hooks_ordered().find(|(of, hook)| *of == number && hook.name == *name);
        let known = ordered.zip(self.hooks.definitions.get(name)).zip(self.hooks.runs.as_ref());
        let unknown = || StepError::Refused(format!("the pipeline file has no hook {name}"));
        let (((_, terms), definition), runs) = known.ok_or_else(unknown)?;
        let secrets = self.secrets.named(&self.id.pipeline, &definition.secrets);
        let secrets = secrets.map_err(|why| StepError::Unavailable(why.to_string()))?;
        let facts = self.facts(number, terms, state, reach);
        let order = Order { definition, terms, facts, secrets, hidden: self.secrets.hidden(&self.id.pipeline) };
        let run = Run { number, hook: name.clone() };
        let wanted = wanted(state);
        let begin = runs.begin(&run, &wanted, &order);
        within(BEGIN, async { begin.await.map_err(|why| StepError::Unavailable(why.to_string())) }).await
    }

    fn facts(&self, number: Number, hook: &Hook, state: &Environment, reach: &HashMap<Number, Reach>) -> Facts {
        let stack = |number| called(&self.id, number, state.release_of(number).map(|release| &**release));
        let serves = |number| reach.get(&number).cloned().unwrap_or_default();
        let release = state.release_of(number).map(|release| &**release);
        let text = |read: fn(&Release) -> &str| release.map(|r| read(r).to_owned()).unwrap_or_default();
        let active = state.active().filter(|d| d.number == number);
        let trigger = active.map_or("", |d| match d.trigger {
            Trigger::Build => "build",
            Trigger::Rule => "rule",
            Trigger::Person => "person",
            Trigger::Rollback => "rollback",
        });
        let (live, standby) = (state.live(), state.standby().map(|s| &s.stack));
        let ended = state.deployment_state(number).filter(|(how, _)| *how != DeploymentState::Succeeded);
        Facts {
            pipeline: self.id.pipeline.to_string(),
            environment: self.id.environment.to_string(),
            hook: hook.name.to_string(),
            point: hook.at.to_string(),
            deployment: number.0,
            release: release.map_or(0, |release| release.number),
            version: text(|release| &release.version),
            artifact: text(|release| &release.artifact),
            commit: text(|release| release.commit.as_deref().unwrap_or_default()),
            trigger: trigger.to_owned(),
            stack: stack(number),
            address: serves(number).addresses().first().map_or_else(String::new, |at| at.ip().to_string()),
            endpoints: serves(number),
            live_stack: live.map(|live| stack(live.number)).unwrap_or_default(),
            live_endpoints: live.map(|live| serves(live.number)).unwrap_or_default(),
            live_version: live.map(|live| live.release.version.to_string()).unwrap_or_default(),
            standby_stack: standby.map(|s| stack(s.number)).unwrap_or_default(),
            standby_endpoints: standby.map(|s| serves(s.number)).unwrap_or_default(),
            standby_version: standby.map(|s| s.release.version.to_string()).unwrap_or_default(),
            reason: ended.and_then(|(_, why)| why).unwrap_or_default().to_owned(),
        }
    }
}

/// The deployments whose hooks keep their folders.
fn remembered(state: &Environment) -> Vec<Number> {
    let under_way = state.active().into_iter().chain(state.queue()).map(|d| d.number);
    let stacks = state.live().into_iter().chain(state.standby().map(|s| &s.stack)).map(|s| s.number);
    let retiring = state.retiring().iter().map(|r| r.number);
    under_way.chain(stacks).chain(retiring).chain(state.ended().iter().map(|e| e.number)).collect()
}

/// What a stack is called at its provider. What was taken over is still called what it was called before.
fn called(environment: &EnvironmentId, number: Number, release: Option<&Release>) -> String {
    match release.and_then(|release| release.adopts.as_ref()) {
        Some(adopts) => adopts.stack.to_string(),
        None => StackName { environment: environment.clone(), number }.to_string(),
    }
}

/// The runs that the machine waits for.
fn wanted(state: &Environment) -> Vec<Run> {
    state.hooks_ordered().map(|(number, hook)| Run { number, hook: hook.name.clone() }).collect()
}

/// A hook that was taken out of the file since its deployment was accepted, or since the release was that comes back. A way
/// back is not barred by that.
fn not_in_the_file(run: Run, state: &Environment) -> HookView {
    let back = state.active().is_some_and(|d| d.number == run.number && d.trigger == Trigger::Rollback);
    let state = match back {
        true => HookState::Passed { said: "the pipeline file has no such hook any more; it was not run".into() },
        false => {
            let reason = "the pipeline file has no such hook any more, so nobody knows what it runs".into();
            HookState::Failed { reason, said: "".into() }
        }
    };
    HookView { number: run.number, hook: run.hook, state }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Adopts;

    #[test]
    fn what_was_taken_over_is_called_what_its_provider_calls_it() {
        let id = "reporting/qa".parse().unwrap();
        let ours = Release::draft("v1");
        let adopts = Adopts { stack: "jenkins-build-41".into(), output: None };
        let theirs = Release { adopts: Some(adopts.into()), ..ours.clone() };
        let names = [None, Some(&ours), Some(&theirs)].map(|release| called(&id, Number(1), release));
        assert_eq!(names, ["reporting-qa-1", "reporting-qa-1", "jenkins-build-41"]);
    }
}
