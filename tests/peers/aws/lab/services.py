"""ECS services and task definitions as the API takes them: what CreateService and the others refuse, and paging."""

import random
import uuid

from moto.core.utils import utcnow
from moto.ecs.exceptions import EcsClientException, ECSException, InvalidParameterException, ServiceNotFoundException
from moto.ecs.models import EC2ContainerServiceBackend
from moto.elbv2.models import elbv2_backends

from . import request
from .actions import balancers_using
from .task import tasks


class ServiceNotActive(ECSException):
    def __init__(self):
        super().__init__("ServiceNotActiveException", "Service was not ACTIVE.")


def refuse(text):
    raise InvalidParameterException(text)


def bounded(names, limit, what):
    if not names:
        refuse(f"{what} cannot be empty.")
    if len(names) > limit:
        refuse(f"{what} cannot have more than {limit} elements.")


def wrap(function):
    original = getattr(EC2ContainerServiceBackend, function.__name__, None)
    setattr(EC2ContainerServiceBackend, function.__name__, lambda self, *a, **k: function(self, original, *a, **k))
    return function


class ServiceState:
    """What the scheduler keeps beside moto's service."""

    def __init__(self, service, request):
        self.service, self.request = service, request
        self.deployments = {}  # deployment id -> {"failures", "hold"}
        self.last_good = None  # the task definition of the last deployment that completed

    def event(self, text):
        message = f"(service {self.service.name}) {text}."
        self.service.events.insert(0, {"id": str(uuid.uuid4()), "createdAt": utcnow(), "message": message})
        del self.service.events[100:]

    def new_deployment(self, definition_arn):
        service = self.service
        for d in service.deployments:
            d["status"] = "ACTIVE"
        d = {
            "id": f"ecs-svc/{random.randrange(10**18, 10**19)}",
            "status": "PRIMARY",
            "taskDefinition": definition_arn,
            "desiredCount": service.desired_count,
            "pendingCount": 0,
            "runningCount": 0,
            "failedTasks": 0,
            "createdAt": utcnow(),
            "updatedAt": utcnow(),
            "launchType": service.launch_type,
            "networkConfiguration": service.network_configuration,
            "rolloutState": "IN_PROGRESS",
        }
        d["rolloutStateReason"] = f"ECS deployment {d['id']} in progress."
        service.deployments.insert(0, d)
        self.deployments[d["id"]] = {"failures": 0, "hold": 0.0}
        return d


def of_service(service):
    return [t for t in list(tasks.values()) if t.service is service]


# ------------------------------------------------------------ CreateService
def check_definition(definition, launch_type, network_configuration):
    if definition.status != "ACTIVE":
        raise EcsClientException("TaskDefinition is inactive")
    if launch_type == "FARGATE" and "FARGATE" not in (definition.requires_compatibilities or []):
        refuse("Task definition does not support launch_type FARGATE.")
    if definition.network_mode == "awsvpc" and not network_configuration:
        refuse("Network Configuration must be provided when networkMode 'awsvpc' is specified.")


def check_load_balancer(backend, definition, lb):
    elb = elbv2_backends[backend.account_id][backend.region_name]
    arn = lb.get("targetGroupArn")
    group = elb.target_groups.get(arn)
    if group is None:
        refuse(f"The specified target group does not exist. (targetGroupArn {arn})")
    if not balancers_using(elb, arn):
        refuse(f"The target group with targetGroupArn {arn} does not have an associated load balancer.")
    if definition is None:
        return
    if definition.network_mode == "awsvpc" and group.target_type != "ip":
        refuse(
            f"The provided target group {arn} has target type {group.target_type}, which is incompatible with the "
            "awsvpc network mode specified in the task definition."
        )
    name, port = lb.get("containerName"), int(lb.get("containerPort") or 0)
    container = next((c for c in definition.container_definitions if c["name"] == name), None)
    if container is None:
        refuse(f"The container {name} does not exist in the task definition.")
    if not any(int(p["containerPort"]) == port for p in container.get("portMappings") or []):
        refuse(f"The container {name} did not have a container port {port} defined.")


def launch_type_of(asked):
    providers = asked.get("capacityProviderStrategy") or []
    if providers and asked.get("launchType"):
        refuse(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again."
        )
    fargate = any(str(p.get("capacityProvider", "")).startswith("FARGATE") for p in providers)
    return asked.get("launchType") or ("FARGATE" if fargate else "EC2")


def existing_service(service, asked):
    """The service of the name when this request made it: clientToken makes CreateService idempotent."""
    if service is None or service.status == "INACTIVE":
        return None
    if service.status == "DRAINING":
        refuse("Unable to Start a service that is still Draining.")
    if asked.get("clientToken") and asked == service.lab.request:
        return service
    return refuse("Creation of service was not idempotent.")


@wrap
def create_service(
    self,
    original,
    cluster_str,
    service_name,
    desired_count,
    task_definition_str=None,
    load_balancers=None,
    *args,
    **kwargs,
):
    asked = request.params()
    cluster = self._get_cluster(cluster_str)
    existing = existing_service(self.services.get(f"{cluster.name}:{service_name}"), asked)
    if existing is not None:
        return existing
    definition = self.describe_task_definition(task_definition_str) if task_definition_str else None
    launch_type = launch_type_of(asked)
    if definition is not None:
        check_definition(definition, launch_type, kwargs.get("network_configuration"))
    if asked.get("healthCheckGracePeriodSeconds") and not load_balancers:
        refuse("Health check grace period is only valid for services configured to use load balancers")
    for lb in load_balancers or []:
        check_load_balancer(self, definition, lb)
    service = original(
        self, cluster_str, service_name, desired_count, task_definition_str, load_balancers, *args, **kwargs
    )
    service.launch_type = launch_type if not asked.get("capacityProviderStrategy") else None
    service.capacity_provider_strategy = asked.get("capacityProviderStrategy") or []
    service.lab = ServiceState(service, asked)
    service.created_at, service.created_by = utcnow(), f"arn:aws:iam::{self.account_id}:root"
    grace = asked.get("healthCheckGracePeriodSeconds", 0)
    service.health_check_grace_period_seconds = grace if load_balancers else None
    service.enable_ecs_managed_tags = asked.get("enableECSManagedTags", False)
    usual = {"strategy": "ROLLING", "maximumPercent": 200, "minimumHealthyPercent": 100, "bakeTimeInMinutes": 0}
    service.deployment_configuration = {**usual, **(asked.get("deploymentConfiguration") or {})}
    service.running_count = service.pending_count = 0
    service.deployments = []
    service.lab.new_deployment(service.task_definition)
    return service


# ------------------------------------------------------------ other calls of services
@wrap
def update_service(self, original, properties):
    asked = request.params()
    service = self._get_service(asked.get("cluster", "default"), asked["service"].split("/")[-1])
    if service.status != "ACTIVE":
        raise ServiceNotActive()
    definition = self.describe_task_definition(asked["taskDefinition"]) if asked.get("taskDefinition") else None
    if definition is not None and definition.status != "ACTIVE":
        raise EcsClientException("TaskDefinition is inactive")
    if asked.get("desiredCount") is not None:
        service.desired_count = int(asked["desiredCount"])
    if asked.get("deploymentConfiguration"):
        service.deployment_configuration = {**service.deployment_configuration, **asked["deploymentConfiguration"]}
    if asked.get("healthCheckGracePeriodSeconds") is not None:
        service.health_check_grace_period_seconds = int(asked["healthCheckGracePeriodSeconds"])
    if asked.get("propagateTags"):
        service.propagate_tags = asked["propagateTags"]
    if asked.get("networkConfiguration"):
        service.network_configuration = asked["networkConfiguration"]
    other = definition is not None and definition.arn != service.task_definition
    if other or asked.get("forceNewDeployment") or asked.get("networkConfiguration"):
        if definition is not None:
            service.task_definition = definition.arn
        service.lab.new_deployment(service.task_definition)
    return service


@wrap
def delete_service(self, original, cluster_name, service_name, force):
    service = self._get_service(cluster_name, service_name.split("/")[-1])
    if service.status == "INACTIVE":
        raise ServiceNotFoundException()
    if service.desired_count > 0 and not force:
        refuse("The service cannot be stopped while it is scaled above 0.")
    service.desired_count = 0
    service.status = "DRAINING" if any(t.last_status != "STOPPED" for t in of_service(service)) else "INACTIVE"
    return service


@wrap
def list_services(self, original, cluster_str, scheduling_strategy=None, launch_type=None):
    arns = original(self, cluster_str, scheduling_strategy, launch_type=launch_type)
    active = {s.arn for s in self.services.values() if s.status == "ACTIVE"}
    return [a for a in arns if a in active]


@wrap
def list_task_definitions(self, original, family_prefix, status="ACTIVE"):
    """By family and revision; moto does not know `sort`."""
    found = sorted(original(self, family_prefix, status), key=lambda arn: (arn.split(":")[-2], int(arn.split(":")[-1])))
    return found[::-1] if request.params().get("sort") == "DESC" else found


@wrap
def describe_services(self, original, cluster_str, service_names_or_arns):
    bounded(service_names_or_arns, 10, "Services")
    return original(self, cluster_str, service_names_or_arns)


@wrap
def register_task_definition(self, original, family, container_definitions, *args, **kwargs):
    if any(c.get("secrets") for c in container_definitions) and not kwargs.get("execution_role_arn"):
        raise EcsClientException(
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."
        )
    if "FARGATE" in (kwargs.get("requires_compatibilities") or []):
        if not kwargs.get("cpu") or not kwargs.get("memory"):
            raise EcsClientException("Fargate requires that 'cpu' and 'memory' be defined at the task level.")
        if kwargs.get("network_mode") != "awsvpc":
            raise EcsClientException("Fargate only supports network mode 'awsvpc'.")
    definition = original(self, family, container_definitions, *args, **kwargs)
    definition.registered_at = utcnow()
    return definition
