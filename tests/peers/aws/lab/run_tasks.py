"""ECS calls about tasks: RunTask, StopTask, ListTasks, DescribeTasks."""

from moto.core.responses import ActionResult
from moto.ecs.exceptions import EcsClientException, ECSException
from moto.ecs.models import ecs_backends
from moto.ecs.responses import EC2ContainerServiceResponse

from . import request
from .clock import SETTINGS, now, scaled
from .services import bounded, check_definition, launch_type_of, refuse, wrap
from .task import Task, tasks

_runs = {}  # (cluster ARN, clientToken) -> (request, tasks, end of the token's life)


def backends():
    return [b for account in list(ecs_backends.values()) for b in list(account.values())]


@wrap
def describe_tasks(self, original, cluster_str, task_ids):
    cluster = self._get_cluster(cluster_str)
    bounded(task_ids, 100, "Tasks")
    wanted = {t.split("/")[-1] for t in task_ids}
    return [t for t in tasks.values() if t.backend is self and t.cluster_arn == cluster.arn and t.id in wanted]


_describe_tasks = EC2ContainerServiceResponse.describe_tasks


def with_failures(self):
    """moto leaves unknown tasks out without a word."""
    out, asked = _describe_tasks(self).result, request.params()
    known = {t.id for t in out["tasks"]}
    cluster = (asked.get("cluster") or "default").split("/")[-1]
    prefix = f"arn:aws:ecs:{self.region}:{self.current_account}:task/{cluster}"
    missing = [t.split("/")[-1] for t in asked["tasks"] if t.split("/")[-1] not in known]
    return ActionResult({**out, "failures": [{"arn": f"{prefix}/{m}", "reason": "MISSING"} for m in missing]})


EC2ContainerServiceResponse.describe_tasks = with_failures
with_failures.__name__ = "describe_tasks"


@wrap
def list_tasks(
    self,
    original,
    cluster_str,
    container_instance=None,
    family=None,
    started_by=None,
    service_name=None,
    desiredStatus=None,
):
    cluster = self._get_cluster(cluster_str or "default")
    if started_by and (container_instance or family or service_name):
        refuse("startedBy cannot be combined with another filter.")
    if service_name:
        service_name = self._get_service(cluster.name, service_name.split("/")[-1]).name
    return [
        t
        for t in tasks.values()
        if t.backend is self
        and t.cluster_arn == cluster.arn
        and t.desired_status == (desiredStatus or "RUNNING")
        and family in (None, t.definition.family)
        and started_by in (None, t.started_by)
        and (not service_name or t.service is not None and t.service.name == service_name)
    ]


@wrap
def stop_task(self, original, cluster_str, task_str, reason):
    cluster = self._get_cluster(cluster_str)
    wanted = task_str.split("/")[-1]
    task = next((t for t in tasks.values() if t.cluster_arn == cluster.arn and t.id == wanted), None)
    if task is None:
        refuse("The referenced task was not found.")
    task.stop("UserInitiated", reason or "Task stopped by user")
    return task


@wrap
def run_task(self, original, cluster_str, task_definition_str, count, *args, **kwargs):
    asked = request.params()
    cluster = self._get_cluster(cluster_str)
    same = same_run(cluster, asked)
    if same is not None:
        return same
    definition = self.describe_task_definition(task_definition_str)
    launch_type = launch_type_of(asked)
    check_run(definition, launch_type, asked)
    if SETTINGS["capacity_unavailable"]:
        text = "Capacity is unavailable at this time. Please try again later or in a different availability zone"
        raise ECSException("ServerException", text)
    own = {
        "tags": task_tags(None, definition, asked.get("propagateTags"), asked.get("tags")),
        "started_by": asked.get("startedBy"),
        "overrides": asked.get("overrides"),
        "group": asked.get("group"),
    }
    made = [Task(self, definition, cluster, launch_type=launch_type, **own) for _ in range(int(count or 1))]
    tasks.update((t.task_arn, t) for t in made)
    if asked.get("clientToken"):
        _runs[cluster.arn, asked["clientToken"]] = (asked, made, now() + scaled(24 * 3600))
    return made


def check_run(definition, launch_type, asked):
    check_definition(definition, launch_type, asked.get("networkConfiguration"))
    if not 1 <= int(asked.get("count") or 1) <= 10:
        refuse("count must be between 1 and 10.")
    if len(asked.get("startedBy") or "") > 128:
        refuse("startedBy must be at most 128 characters long.")
    names = {c["name"] for c in definition.container_definitions}
    for override in (asked.get("overrides") or {}).get("containerOverrides") or []:
        if override.get("name") not in names:
            text = f"Override for container named {override.get('name')} is not a container in the TaskDefinition."
            raise EcsClientException(text)


def same_run(cluster, asked):
    """The tasks of the same request with the same clientToken; another request with it is refused."""
    earlier = _runs.get((cluster.arn, asked.get("clientToken")))
    if earlier is None or now() > earlier[2]:
        return None
    if earlier[0] != asked:
        arns = ", ".join(t.task_arn for t in earlier[1])
        raise ECSException(
            "ConflictException", f"The provided clientToken is already in use with a different RunTask request: {arns}"
        )
    return earlier[1]


def task_tags(service, definition, propagate, own=None):
    tags = {"TASK_DEFINITION": definition.tags, "SERVICE": service.tags if service else []}.get(propagate, [])
    out = {t["key"]: t["value"] for t in tags or []}
    if service is not None and service.enable_ecs_managed_tags:
        out.update({"aws:ecs:clusterName": service.cluster_name, "aws:ecs:serviceName": service.name})
    out.update({t["key"]: t["value"] for t in own or []})
    return [{"key": k, "value": v} for k, v in out.items()]


def clear():
    tasks.clear()
    _runs.clear()
