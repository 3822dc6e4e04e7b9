//! What is seen of each stack, from what ECS and the load balancer say: how far it is, where it is reached, and why it failed, down
//! to the container. Must not change anything.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::{Deployment, DeploymentRolloutState, DesiredStatus, Service, Task};
use aws_sdk_elasticloadbalancingv2::types::{TargetHealthDescription, TargetHealthStateEnum};

use super::{
    Ecs,
    cluster::{Cluster, Ours},
    names,
};
use crate::{
    aws::{Failure, GROUP, Kind, Turn},
    machine::{Millis, StackName},
    reach::Reach,
    stacks::{Condition, SeenStack, StepError, orders::RunOrder},
    text::one_line,
};

impl Ecs {
    /// All that are ours in the cluster, and those that AWS would not make.
    pub(super) async fn see(&self) -> Result<Vec<SeenStack>, StepError> {
        let cluster = self.cluster()?;
        let listing = cluster.look().await?;
        let mut seen = Vec::new();
        for (name, ours) in listing.iter() {
            let order = self.orders().newest(name)?;
            let why = match ours.failed_tasks() {
                0 => None,
                failures => self.why(&cluster, name, failures).await,
            };
            seen.push(ours.seen(name, order, why.as_deref()));
        }
        for (name, why) in self.refused().iter() {
            match seen.iter_mut().find(|stack| stack.name == *name) {
                Some(stack) if stack.condition == Condition::Creating => {
                    stack.condition = Condition::Failed;
                    stack.remark = Some(why.clone());
                }
                Some(_) => {}
                None => {
                    let failed = SeenStack::new(name.clone(), Condition::Failed, Reach::default());
                    seen.push(failed.remarked(Some(why.clone())));
                }
            }
        }
        Ok(seen)
    }

    /// Why a task of it stopped last, asked once for each number of failures.
    async fn why(&self, cluster: &Cluster, name: &StackName, failures: i32) -> Option<String> {
        if let Some((known, why)) = self.reasons().get(name)
            && *known == failures
        {
            return Some(why.clone());
        }
        match cluster.stopped(name).await {
            Ok(Some(why)) => {
                self.reasons().insert(name.clone(), (failures, why.clone()));
                Some(why)
            }
            Ok(None) => None,
            Err(failure) => {
                tracing::debug!(stack = %name, why = failure.message(), "why its tasks stopped is not known yet");
                None
            }
        }
    }
}

impl Cluster {
    /// Says why the last task of a stack stopped that did so by itself. ECS tells that for an hour.
    async fn stopped(&self, name: &StackName) -> Result<Option<String>, Failure> {
        let service = names::service(name);
        let listed = self
            .account
            .ecs(("ListTasks", Kind::EcsLook, Turn::Patient), |ecs| {
                let ask = ecs.list_tasks().cluster(&self.name).service_name(service);
                ask.desired_status(DesiredStatus::Stopped).send()
            })
            .await?;
        let arns = listed.task_arns();
        if arns.is_empty() {
            return Ok(None);
        }
        let told = self
            .account
            .ecs(("DescribeTasks", Kind::EcsLook, Turn::Patient), |ecs| {
                ecs.describe_tasks().cluster(&self.name).set_tasks(Some(arns.to_vec())).send()
            })
            .await?;
        let ended = |task: &&Task| task.stopped_at().or(task.stopping_at()).map(|at| at.as_nanos());
        Ok(told.tasks().iter().max_by_key(ended).map(reason))
    }
}

/// Why a task stopped: ECS's reason, and what each container of it says.
fn reason(task: &Task) -> String {
    let mut parts = vec![one_line(task.stopped_reason().unwrap_or("ECS gives no reason")).to_string()];
    for container in task.containers() {
        let name = container.name().unwrap_or("?");
        parts.extend(
            container.exit_code().filter(|code| *code != 0).map(|code| format!("{name} ended with exit status {code}")),
        );
        parts.extend(container.reason().map(|why| format!("{name}: {}", one_line(why))));
    }
    parts.join("; ")
}

impl Ours {
    /// Whether there will be news soon.
    pub(super) fn is_under_way(&self) -> bool {
        match &self.service {
            None => true,
            Some(service) if service.status() != Some("ACTIVE") => true,
            Some(service) if service.desired_count() == 0 => service.running_count() + service.pending_count() > 0,
            Some(_) => !self.complete && !self.has_failed(),
        }
    }

    /// Whether all its tasks ran and were healthy at some time since it was last stopped. `known`: services of which that was seen.
    /// `first`: nothing was seen before, so ECS's own word counts where something runs, though it may come before the load
    /// balancer's checks have passed.
    pub(super) fn is_complete(&self, known: &BTreeSet<String>, first: bool) -> bool {
        let Some(service) = self.service.as_ref().filter(|service| service.desired_count() > 0) else { return false };
        let completed =
            || self.deployment().and_then(Deployment::rollout_state) == Some(&DeploymentRolloutState::Completed);
        let before = service.service_arn().is_some_and(|arn| known.contains(arn));
        before || first && service.running_count() > 0 && completed()
    }

    /// The target group whose health is to be asked, because all tasks run and it is not known that they are healthy.
    pub(super) fn to_be_asked(&self) -> Option<String> {
        let service = self.service.as_ref().filter(|service| service.status() == Some("ACTIVE"))?;
        let all_run = service.desired_count() > 0 && service.running_count() >= service.desired_count();
        if all_run && !self.complete { self.group.clone() } else { None }
    }

    /// Whether these are all its targets, and all are healthy.
    pub(super) fn has_all_healthy(&self, targets: &[TargetHealthDescription]) -> bool {
        let wanted = self.service.as_ref().map_or(0, Service::desired_count);
        let healthy = targets.iter().filter(|target| state(target) == Some(&TargetHealthStateEnum::Healthy)).count();
        healthy == targets.len() && i32::try_from(healthy).is_ok_and(|healthy| healthy >= wanted && wanted > 0)
    }

    fn deployment(&self) -> Option<&Deployment> {
        let primary = |deployment: &&Deployment| deployment.status() == Some("PRIMARY");
        self.service.as_ref()?.deployments().iter().find(primary)
    }

    fn has_failed(&self) -> bool {
        self.deployment().and_then(Deployment::rollout_state) == Some(&DeploymentRolloutState::Failed)
    }

    /// How many of its tasks failed.
    pub(super) fn failed_tasks(&self) -> i32 {
        self.deployment().map_or(0, Deployment::failed_tasks)
    }

    /// The stack as it is seen. `why`: why a task of it stopped last.
    pub(super) fn seen(&self, name: &StackName, order: RunOrder, why: Option<&str>) -> SeenStack {
        let reach = self
            .group
            .as_ref()
            .map_or_else(Reach::default, |arn| Reach::Named { kind: GROUP.into(), id: arn.as_str().into() });
        let (condition, remark) = self.condition(order, why);
        let made = self.service.as_ref().and_then(|service| service.created_at()?.to_millis().ok());
        SeenStack {
            made: made.and_then(|at| u64::try_from(at).ok()).map(Millis),
            obeyed: order.order,
            last_exit: why.map(str::to_owned),
            ..SeenStack::new(name.clone(), condition, reach).remarked(remark)
        }
    }

    fn condition(&self, order: RunOrder, why: Option<&str>) -> (Condition, Option<String>) {
        let Some(service) = &self.service else {
            let left = "its target group is there, and its service is not (yet, or any more)";
            return (Condition::Creating, Some(left.to_owned()));
        };
        if service.status() != Some("ACTIVE") {
            return (Condition::Deleting, None);
        }
        let (desired, running, pending) = (service.desired_count(), service.running_count(), service.pending_count());
        let with =
            |text: String| Some(why.map_or_else(|| text.clone(), |why| format!("{text}; the last one stopped: {why}")));
        if order.stopped {
            let left = running + pending;
            return match left {
                0 if desired == 0 => (Condition::Stopped, None),
                _ => (Condition::Stopping, Some(format!("{left} of its tasks still run"))),
            };
        }
        if self.has_failed() {
            let said = self.deployment().and_then(Deployment::rollout_state_reason).unwrap_or("ECS gives no reason");
            return (Condition::Failed, with(format!("ECS gave it up: {}", one_line(said))));
        }
        if self.complete && desired > 0 {
            let whole = running >= desired;
            return (Condition::Ready, if whole { None } else { with(format!("{running} of {desired} tasks run")) });
        }
        let waits = match &self.targets {
            Some(targets) => health(targets, desired),
            None => self.waits_for(service),
        };
        (Condition::Creating, with(waits))
    }

    /// What it waits for while not all of its tasks run: what ECS said last.
    fn waits_for(&self, service: &Service) -> String {
        let (desired, running) = (service.desired_count(), service.running_count());
        let counts = format!("{running} of {desired} tasks run");
        let event = service.events().first().and_then(|event| event.message());
        match event.filter(|text| text.contains("unable")) {
            Some(text) => format!("{counts}; ECS says: {}", one_line(text)),
            None => counts,
        }
    }
}

fn state(target: &TargetHealthDescription) -> Option<&TargetHealthStateEnum> {
    target.target_health().and_then(|health| health.state())
}

/// What the load balancer says of targets that are not all healthy.
fn health(targets: &[TargetHealthDescription], wanted: i32) -> String {
    let healthy = targets.iter().filter(|target| state(target) == Some(&TargetHealthStateEnum::Healthy)).count();
    let rest: BTreeSet<String> = targets
        .iter()
        .filter(|target| state(target) != Some(&TargetHealthStateEnum::Healthy))
        .filter_map(|target| {
            let health = target.target_health()?;
            let reason = health.reason().map_or_else(String::new, |reason| format!(" ({})", reason.as_str()));
            let words = health.description().map_or_else(String::new, |text| format!(": {}", one_line(text)));
            Some(format!("{}{reason}{words}", health.state()?.as_str()))
        })
        .collect();
    let rest =
        if rest.is_empty() { String::new() } else { format!(", the others are {}", Vec::from_iter(rest).join(", ")) };
    format!("all tasks run, still starting: {healthy} of {wanted} targets are healthy{rest}")
}

#[cfg(test)]
mod tests;
