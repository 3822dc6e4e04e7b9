//! Brings a stack closer to existing: task definition, target group, test rule, service, in this order, because ECS takes no service
//! whose target group stands in no rule. Each step looks for what an earlier try has made. Must not wait for a stack.

use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, DeploymentCircuitBreaker,
    DeploymentConfiguration, LaunchType, LoadBalancer, NetworkConfiguration, PropagateTags, Tag as EcsTag,
    TaskDefinitionField, TaskDefinitionStatus, ThresholdConfiguration, ThresholdType,
};
use aws_sdk_elasticloadbalancingv2::types::{
    Matcher, ProtocolEnum, TargetGroupAttribute, TargetGroupIpAddressTypeEnum, TargetTypeEnum,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;

use super::{
    Ecs,
    cluster::{Cluster, Listing},
    definition::Definition,
    names,
    settings::{Group, RunsOn, Service},
};
use crate::{
    aws::{Failure, Kind, Owner, TestRules, Turn, elb_tags},
    machine::StackName,
    random::hex_of,
    stacks::{StackSpec, StepError},
};

/// Tasks that may fail before ECS gives a new service up.
const GIVE_UP: i32 = 3;
/// Length of the key of a test rule, in bytes.
const KEY: usize = 16;

/// Why a step was not done.
enum NotDone {
    /// AWS did not do it.
    By(Failure),
    /// We do not ask for it: it would not be ours, or could not work.
    Not(StepError),
}

impl From<Failure> for NotDone {
    fn from(failure: Failure) -> Self {
        Self::By(failure)
    }
}

impl NotDone {
    fn step(self, doing: &str) -> StepError {
        match self {
            Self::By(failure) => failure.step(doing),
            Self::Not(why) => why,
        }
    }
}

impl Ecs {
    /// One step after another; the first one that fails ends it for this time.
    pub(super) async fn create(&self, spec: &StackSpec) -> Result<(), StepError> {
        let cluster = self.cluster()?;
        let held = cluster.look().await?;
        if held.get(&spec.name).is_some_and(|ours| ours.service.is_some()) {
            return Ok(());
        }
        if spec.stranger {
            return Err(StepError::Refused(format!(
                "{} is gone, and a stack that was adopted is not created again",
                spec.name
            )));
        }
        let parsed = Definition::parse(&spec.definition);
        let definition = parsed.map_err(|mistakes| StepError::Refused(mistakes.join("\n")))?;
        let made = self.make(&cluster, spec, &definition).await;
        cluster.changed();
        if let Err(why) = &made
            && why.is_refusal()
        {
            self.refused().insert(spec.name.clone(), why.to_string());
        }
        made
    }

    async fn make(&self, cluster: &Cluster, spec: &StackSpec, definition: &Definition) -> Result<(), StepError> {
        let name = &spec.name;
        let of = |what: &str| format!("making the {what} of {name}");
        let family = names::service(name);
        let count = wanted(&self.settings.service, name, &*cluster.look_now().await?);
        let container = self.settings.service.container.as_str();
        let request = definition
            .request((&family, container), spec, cluster.owner(name).tags())
            .map_err(|why| StepError::Refused(format!("{}: {why}", of("task definition"))))?;
        let registered = cluster.register(name, request.to_string()).await;
        let task_definition = registered.map_err(|failure| failure.step(&of("task definition")))?;
        let group = cluster.make_group(name, &self.settings.group).await;
        let group = group.map_err(|failure| failure.step(&of("target group")))?;
        let rule = cluster.make_rule(name, &self.settings.group, &group).await;
        rule.map_err(|failure| failure.step(&of("test rule")))?;
        // An order to stop it may have come meanwhile.
        self.orders().is_to_run(name)?;
        let service = cluster.make_service(name, &self.settings.service, (&task_definition, &group, count)).await;
        service.map_err(|failure| failure.step(&of("service")))
    }
}

/// How many tasks it gets: as many as the settings say, or as another stack of the environment has, which may have been scaled.
fn wanted(service: &Service, name: &StackName, listing: &Listing) -> i32 {
    let others = listing.iter().filter(|(other, _)| other.environment == name.environment);
    let counts = others.filter_map(|(_, ours)| ours.service.as_ref().map(|service| service.desired_count()));
    counts.chain([service.count]).max().unwrap_or(service.count)
}

impl Cluster {
    /// The ARN of the task definition of a stack, which has a family of its own: a request whose answer was lost is found again.
    async fn register(&self, name: &StackName, request: String) -> Result<String, NotDone> {
        let family = names::service(name);
        let known = self
            .account
            .ecs(("DescribeTaskDefinition", Kind::EcsLook, Turn::First), |ecs| {
                ecs.describe_task_definition().task_definition(&family).include(TaskDefinitionField::Tags).send()
            })
            .await;
        let is_active =
            |found: &aws_sdk_ecs::types::TaskDefinition| found.status() == Some(&TaskDefinitionStatus::Active);
        match known {
            Ok(known) if known.task_definition().is_some_and(is_active) => {
                let tags = known.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?)));
                self.is_of(name, Owner::read(tags).as_ref(), &family)?;
                let arn = known.task_definition().and_then(|found| found.task_definition_arn());
                if let Some(arn) = arn {
                    return Ok(arn.to_owned());
                }
            }
            // One that was removed is nobody's.
            Ok(_) => {}
            // There is none of that family.
            Err(failure) if failure.code() == Some("ClientException") => {}
            Err(failure) => return Err(failure.into()),
        }
        let registered = self
            .account
            .ecs(("RegisterTaskDefinition", Kind::EcsRegister, Turn::First), |ecs| {
                // The text of the definition is ECS's own wire form, so it is sent as it stands, with all that it has.
                let ask = ecs.register_task_definition().family(&family).set_container_definitions(Some(Vec::new()));
                ask.customize().mutate_request(move |http| with_body(http, &request)).send()
            })
            .await?;
        let arn = registered.task_definition().and_then(|made| made.task_definition_arn());
        arn.map(str::to_owned).ok_or_else(|| without("ARN of the task definition").into())
    }

    /// The ARN of the target group of a stack. With the same settings a second request finds the first one's (CreateTargetGroup).
    async fn make_group(&self, name: &StackName, group: &Group) -> Result<String, NotDone> {
        let arn = match self.group_of(name).await? {
            Some(arn) => arn,
            None => self.ask_for_group(name, group).await?,
        };
        // An earlier try may have ended between the two.
        let drain = TargetGroupAttribute::builder()
            .key("deregistration_delay.timeout_seconds")
            .value(group.drain.as_secs().to_string())
            .build();
        let attributes = self.account.elb(("ModifyTargetGroupAttributes", Kind::ElbChange, Turn::First), |elb| {
            elb.modify_target_group_attributes().target_group_arn(&arn).attributes(drain).send()
        });
        attributes.await?;
        Ok(arn)
    }

    async fn ask_for_group(&self, name: &StackName, group: &Group) -> Result<String, Failure> {
        let protocol = || if group.https { ProtocolEnum::Https } else { ProtocolEnum::Http };
        let seconds = |length: std::time::Duration| i32::try_from(length.as_secs()).unwrap_or(i32::MAX);
        let tags = elb_tags(&self.owner(name).tags());
        let made = self
            .account
            .elb(("CreateTargetGroup", Kind::ElbChange, Turn::First), |elb| {
                elb.create_target_group()
                    .name(names::group(name))
                    .protocol(protocol())
                    // Each target has a port of its own; this one is for targets that are registered without.
                    .port(if group.https { 443 } else { 80 })
                    .vpc_id(&group.vpc)
                    .target_type(TargetTypeEnum::Ip)
                    .ip_address_type(TargetGroupIpAddressTypeEnum::Ipv4)
                    .health_check_enabled(true)
                    .health_check_protocol(protocol())
                    .health_check_path(&group.path)
                    .health_check_interval_seconds(seconds(group.interval))
                    .health_check_timeout_seconds(seconds(group.timeout))
                    .healthy_threshold_count(group.healthy_after)
                    .unhealthy_threshold_count(group.unhealthy_after)
                    .matcher(Matcher::builder().http_code(&group.matcher).build())
                    .set_tags(Some(tags))
                    .send()
            })
            .await?;
        let arn = made.target_groups().first().and_then(|group| group.target_group_arn());
        arn.map(str::to_owned).ok_or_else(|| without("ARN of the target group"))
    }

    /// The ARN of the target group of a stack, if there is one.
    async fn group_of(&self, name: &StackName) -> Result<Option<String>, NotDone> {
        let called = &names::group(name);
        let found = self
            .account
            .elb(("DescribeTargetGroups", Kind::ElbLook, Turn::First), |elb| {
                elb.describe_target_groups().names(called).send()
            })
            .await;
        let found = match found {
            Ok(found) => found,
            Err(failure) if failure.code() == Some("TargetGroupNotFound") => return Ok(None),
            Err(failure) => return Err(failure.into()),
        };
        let Some(arn) = found.target_groups().first().and_then(|group| group.target_group_arn()) else {
            return Ok(None);
        };
        let owners = self.account.owners(&[arn.to_owned()], Turn::First).await?;
        let owner = owners.into_iter().find_map(|(_, owner)| owner);
        self.is_of(name, owner.as_ref(), called)?;
        Ok(Some(arn.to_owned()))
    }

    /// The rule by which the stack is reached before it gets users, and by which its targets are checked at all.
    async fn make_rule(&self, name: &StackName, group: &Group, arn: &str) -> Result<(), NotDone> {
        let listener = &group.listener;
        let found = TestRules::read(&self.account.rules(listener, Turn::First).await?);
        if found.nowhere.is_none() {
            match self.account.make_rule_for_nowhere(listener, group.priorities.1).await {
                // Another stack made it at the same moment, or an earlier try did.
                Err(failure) if failure.code() == Some("PriorityInUse") => {
                    let now = TestRules::read(&self.account.rules(listener, Turn::First).await?);
                    now.nowhere.ok_or(failure)?;
                }
                made => made?,
            }
        }
        if found.of(arn).is_some() {
            return Ok(());
        }
        let priority = found.free(group.priorities).ok_or_else(|| {
            let (first, last) = group.priorities;
            NotDone::Not(StepError::Refused(format!(
                "making the test rule of {name}: every priority from {first} to {} is taken at {listener}: set \
                 `target_group.priorities` to a wider range",
                last - 1
            )))
        })?;
        let key = hex_of(KEY).map_err(|error| NotDone::Not(StepError::Unavailable(error.to_string())))?;
        match self.account.make_test_rule(listener, (priority, &key, arn), &self.owner(name).tags()).await {
            // An earlier try may have made it, or somebody else was quicker; the next try takes another priority.
            Err(failure) if failure.code() == Some("PriorityInUse") => {
                let now = TestRules::read(&self.account.rules(listener, Turn::First).await?);
                let ours = now.of(arn).is_some();
                let taken = || StepError::Unavailable(format!("making the test rule of {name}: {}", failure.message()));
                if ours { Ok(()) } else { Err(NotDone::Not(taken())) }
            }
            made => Ok(made?),
        }
    }

    async fn make_service(
        &self,
        name: &StackName,
        service: &Service,
        (task_definition, group, count): (&str, &str, i32),
    ) -> Result<(), NotDone> {
        let request = ServiceRequest { name, service, task_definition, group, count };
        match self.ask_for_service(&request).await {
            Ok(()) => Ok(()),
            Err(failure) if failure.message().contains("not idempotent") => {
                // There is one of that name. An earlier try of ours may have asked with another count.
                let listing = self.look_now().await.map_err(NotDone::Not)?;
                match listing.get(name).and_then(|ours| ours.service.as_ref()) {
                    Some(_) => Ok(()),
                    None => Err(failure.into()),
                }
            }
            // The rule that was just made is not known everywhere yet.
            Err(failure) if failure.message().contains("does not have an associated load balancer") => Err(
                NotDone::Not(StepError::Unavailable(format!("making the service of {name}: {}", failure.message()))),
            ),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn ask_for_service(&self, request: &ServiceRequest<'_>) -> Result<(), Failure> {
        let &ServiceRequest { name, service, task_definition, group, count } = request;
        let invalid = |error: aws_smithy_types::error::operation::BuildError| Failure::Unheard(error.to_string());
        let tags =
            self.owner(name).tags().into_iter().map(|(key, value)| EcsTag::builder().key(key).value(value).build());
        let network = AwsVpcConfiguration::builder()
            .set_subnets(Some(service.subnets.clone()))
            .set_security_groups(Some(service.security_groups.clone()))
            .assign_public_ip(if service.public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled })
            .build()
            .map_err(invalid)?;
        let threshold = ThresholdConfiguration::builder().r#type(ThresholdType::Count).value(GIVE_UP).build();
        let breaker = DeploymentCircuitBreaker::builder()
            .enable(true)
            .rollback(false)
            .reset_on_healthy_task(false)
            .threshold_configuration(threshold.map_err(invalid)?)
            .build();
        let balancer = LoadBalancer::builder()
            .target_group_arn(group)
            .container_name(&service.container)
            .container_port(i32::from(service.port))
            .build();
        let (launch, provider) = match &service.runs_on {
            RunsOn::Fargate => (Some(LaunchType::Fargate), None),
            RunsOn::Ec2 => (Some(LaunchType::Ec2), None),
            RunsOn::Provider(provider) => {
                let item = CapacityProviderStrategyItem::builder().capacity_provider(provider).weight(1).build();
                (None, Some(vec![item.map_err(invalid)?]))
            }
        };
        let made = self
            .account
            .ecs(("CreateService", Kind::EcsChange, Turn::First), |ecs| {
                ecs.create_service()
                    .cluster(&self.name)
                    .service_name(names::service(name))
                    .client_token(names::token(&self.installation, name))
                    .task_definition(task_definition)
                    .desired_count(count)
                    .set_launch_type(launch)
                    .set_capacity_provider_strategy(provider)
                    .set_platform_version(service.platform_version.clone())
                    .load_balancers(balancer)
                    .health_check_grace_period_seconds(i32::try_from(service.grace.as_secs()).unwrap_or(i32::MAX))
                    .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(network).build())
                    .deployment_configuration(
                        DeploymentConfiguration::builder().deployment_circuit_breaker(breaker).build(),
                    )
                    .propagate_tags(PropagateTags::Service)
                    .enable_ecs_managed_tags(true)
                    .set_tags(Some(tags.collect()))
                    .send()
            })
            .await;
        made.map(drop)
    }

    /// Refuses what is there under the name of a stack and is not this stack's.
    fn is_of(&self, name: &StackName, owner: Option<&Owner>, called: &str) -> Result<(), NotDone> {
        if owner == Some(&self.owner(name)) {
            return Ok(());
        }
        let whose = match owner {
            Some(owner) => format!("it is {} of another installation or cluster ({})", owner.stack, owner.home),
            None => "nobody has tagged it as ours".to_owned(),
        };
        Err(NotDone::Not(StepError::Refused(format!(
            "{name}: the name {called} is taken at AWS by something else, which is left alone: {whose}. Remove or rename that, \
             and deploy again"
        ))))
    }
}

/// Puts another text into a request.
fn with_body(http: &mut HttpRequest, text: &str) {
    http.headers_mut().insert("content-length", text.len().to_string());
    *http.body_mut() = SdkBody::from(text);
}

/// What a service is asked for with.
struct ServiceRequest<'a> {
    name: &'a StackName,
    service: &'a Service,
    task_definition: &'a str,
    group: &'a str,
    count: i32,
}

fn without(what: &str) -> Failure {
    Failure::Unheard(format!("the answer has no {what}"))
}
