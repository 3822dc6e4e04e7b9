//! Brings a stack closer to being gone: service, then test rule, target group and task definition, in this order, because AWS keeps
//! what something else still uses. What is gone already is no mistake. Must not wait for a stack.

use aws_sdk_ecs::types::TaskDefinitionStatus;

use super::{Ecs, cluster::Cluster, names};
use crate::{
    aws::{Failure, Kind, TestRules, Turn},
    machine::StackName,
    stacks::StepError,
};

impl Ecs {
    pub(super) async fn remove(&self, name: &StackName) -> Result<(), StepError> {
        self.refused().remove(name);
        self.reasons().remove(name);
        let cluster = self.cluster()?;
        // Not what was seen a moment ago: the tags are read now, and what does not have ours is not in the listing.
        let listing = cluster.look_now().await?;
        let Some(ours) = listing.get(name) else { return self.orders().forget(name) };
        let of = |what: &str| format!("removing the {what} of {name}");
        if let Some(service) = &ours.service {
            // While it drains, its target group has targets that still answer.
            if service.status() == Some("ACTIVE") {
                let removed = cluster.remove_service(name).await;
                cluster.changed();
                removed.map_err(|failure| failure.step(&of("service")))?;
            }
            return Ok(());
        }
        if let Some(group) = &ours.group {
            let rule = cluster.remove_rules(&self.settings.group.listener, group).await;
            rule.map_err(|failure| failure.step(&of("test rule")))?;
            // Before the group: by that the stack is seen until all is gone.
            let definitions = cluster.remove_definitions(name).await;
            definitions.map_err(|failure| failure.step(&of("task definition")))?;
            let removed = cluster.remove_group(group).await;
            cluster.changed();
            removed.map_err(|failure| failure.step(&of("target group")))?;
        }
        Ok(())
    }
}

impl Cluster {
    async fn remove_service(&self, name: &StackName) -> Result<(), Failure> {
        let ask = ("DeleteService", Kind::EcsChange, Turn::First);
        let service = names::service(name);
        let removed = self
            .account
            .ecs(ask, |ecs| ecs.delete_service().cluster(&self.name).service(service).force(true).send())
            .await;
        match removed {
            Err(failure)
                if !matches!(failure.code(), Some("ServiceNotFoundException" | "ServiceNotActiveException")) =>
            {
                Err(failure)
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The test rule of a group, and the rule for keys that lead nowhere once no test rule is left above it.
    async fn remove_rules(&self, listener: &str, group: &str) -> Result<(), Failure> {
        let rules = self.account.rules(listener, Turn::First).await;
        let found = match rules {
            Ok(rules) => TestRules::read(&rules),
            Err(failure) if failure.code() == Some("ListenerNotFound") => return Ok(()),
            Err(failure) => return Err(failure),
        };
        for rule in found.rules.iter().filter(|rule| rule.group == group) {
            self.account.remove_rule(&rule.arn).await?;
        }
        let others = found.rules.iter().any(|rule| rule.group != group);
        match &found.nowhere {
            Some(arn) if !others => self.account.remove_rule(arn).await,
            Some(_) | None => Ok(()),
        }
    }

    async fn remove_definitions(&self, name: &StackName) -> Result<(), Failure> {
        let family = names::service(name);
        let listed = self
            .account
            .ecs(("ListTaskDefinitions", Kind::EcsLook, Turn::First), |ecs| {
                ecs.list_task_definitions().family_prefix(&family).status(TaskDefinitionStatus::Active).send()
            })
            .await?;
        for arn in listed.task_definition_arns() {
            let ask = ("DeregisterTaskDefinition", Kind::EcsRegister, Turn::First);
            self.account.ecs(ask, |ecs| ecs.deregister_task_definition().task_definition(arn).send()).await?;
        }
        Ok(())
    }

    async fn remove_group(&self, group: &str) -> Result<(), Failure> {
        let ask = ("DeleteTargetGroup", Kind::ElbChange, Turn::First);
        match self.account.elb(ask, |elb| elb.delete_target_group().target_group_arn(group).send()).await {
            Err(failure) if failure.code() != Some("TargetGroupNotFound") => Err(failure),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
