"""The service scheduler of ECS: places tasks, counts failures for the circuit breaker, ends what a deployment replaces."""

from moto.core.utils import utcnow

from . import run_tasks, targets
from .clock import SETTINGS, now, scaled
from .services import of_service
from .task import STARTING, Task, tasks

NO_CAPACITY = (
    "was unable to place a task. Reason: Capacity is unavailable at this time. Please try again later or in a different "
    "availability zone"
)


def reconcile():
    for arn, t in list(tasks.items()):
        if t.last_status != "STOPPED":
            t.step()
        elif now() > t.gone_at or len(tasks) > 2000:
            tasks.pop(arn)
    for backend in run_tasks.backends():
        for service in list(backend.services.values()):
            if hasattr(service, "lab") and service.task_definition:
                schedule(backend, service)


def schedule(backend, service):
    mine = of_service(service)
    if service.status == "DRAINING":
        for t in mine:
            scale_in(t, t.deployment)
        if all(t.last_status in ("STOPPING", "STOPPED") for t in mine):
            service.status = "INACTIVE"
    elif service.status == "ACTIVE" and service.deployments:
        for t in mine:
            judge(service, t)
        primary = service.deployments[0]
        place(backend, service, primary, mine)
        settle(service, primary, mine)
    for d in service.deployments:
        of_d = [t for t in mine if t.deployment is d]
        d["runningCount"] = sum(t.last_status == "RUNNING" for t in of_d)
        d["pendingCount"] = sum(t.last_status in STARTING for t in of_d)
    service.running_count = sum(t.last_status == "RUNNING" for t in mine)
    service.pending_count = sum(t.last_status in STARTING for t in mine)


def scale_in(task, deployment):
    task.stop("ServiceSchedulerInitiated", f"Scaling activity initiated by (deployment {deployment['id']})")


# ------------------------------------------------------------ circuit breaker
def breaker_of(service):
    return (service.deployment_configuration or {}).get("deploymentCircuitBreaker") or {}


def threshold(service):
    limit = breaker_of(service).get("thresholdConfiguration") or {"type": "BOUNDED_PERCENT", "value": 50}
    if limit["type"] == "COUNT":
        return int(limit.get("value") or 1)
    share = -(-service.desired_count * int(limit.get("value") or 50) // 100)
    return max(1, share) if limit["type"] == "UNBOUNDED_PERCENT" else min(200, max(3, share))


def judge(service, t):
    """Counts failures, and stops a task whose target is unhealthy after the grace period."""
    state = service.lab.deployments[t.deployment["id"]]
    if t.healthy() and not t.was_healthy:
        t.was_healthy = True
        if breaker_of(service).get("resetOnHealthyTask", True):
            state["failures"] = 0
    grace = scaled(service.health_check_grace_period_seconds or 0)
    if t.last_status == "RUNNING" and "unhealthy" in t.target_states() and now() > t.running_since + grace:
        group = next(g for g, _ in t.groups() if targets.state(g.arn, t.ip) == "unhealthy")
        reason = targets.checks[(group.arn, t.ip)]["reason"]
        service.lab.event(f"(port {group.port}) is unhealthy in (target-group {group.arn}) due to (reason {reason})")
        t.stop("ServiceSchedulerInitiated", f"Task failed ELB health checks in (target-group {group.arn})")
    failed = t.stop_code in ("TaskFailedToStart", "EssentialContainerExited")
    if (failed or (t.stopped_reason or "").startswith("Task failed ELB")) and not t.counted:
        t.counted = True
        state["failures"] += 1
        t.deployment["failedTasks"] += 1
        wait = 0.5 * 2 ** min(t.deployment["failedTasks"], 12)
        state["hold"] = now() + scaled(min(27 * 60, wait))
        if t.stop_code == "TaskFailedToStart":
            service.lab.event(f"was unable to start a task: {t.stopped_reason}")


# ------------------------------------------------------------ placement
def place(backend, service, primary, mine):
    live = [t for t in mine if t.desired_status == "RUNNING"]
    of_primary = [t for t in live if t.deployment is primary]
    state = service.lab.deployments[primary["id"]]
    if primary["rolloutState"] != "FAILED" and now() > state["hold"]:
        for _ in range(service.desired_count - len(of_primary)):
            if SETTINGS["capacity_unavailable"]:
                state["hold"] = now() + scaled(5)
                service.lab.event(NO_CAPACITY)
                break
            start_task(backend, service, primary)
    for t in of_primary[max(service.desired_count, 0) :]:
        scale_in(t, primary)
    if sum(t.healthy() for t in of_primary) >= service.desired_count:
        for t in live:
            if t.deployment is not primary:
                scale_in(t, primary)


def start_task(backend, service, primary):
    definition = backend.describe_task_definition(primary["taskDefinition"])
    cluster = backend._get_cluster(service.cluster_name)
    tags = run_tasks.task_tags(service, definition, service.propagate_tags)
    kind = service.launch_type or "FARGATE"
    t = Task(backend, definition, cluster, service, primary, launch_type=kind, tags=tags)
    tasks[t.task_arn] = t
    service.lab.event(f"has started 1 tasks: (task {t.id})")


def settle(service, primary, mine):
    """Decides whether the primary deployment has completed or failed."""
    primary["desiredCount"] = service.desired_count
    others = [t for t in mine if t.deployment is not primary and t.last_status != "STOPPED"]
    for d in service.deployments[1:]:
        d["desiredCount"] = 0
    service.deployments[1:] = [d for d in service.deployments[1:] if any(t.deployment is d for t in others)]
    if primary["rolloutState"] != "IN_PROGRESS":
        return
    breaker, state = breaker_of(service), service.lab.deployments[primary["id"]]
    if breaker.get("enable") and state["failures"] >= threshold(service):
        fail(service, primary, breaker.get("rollback"))
    elif not others and sum(t.healthy() for t in mine if t.deployment is primary) == service.desired_count:
        reason = f"ECS deployment {primary['id']} completed."
        primary.update(rolloutState="COMPLETED", rolloutStateReason=reason, updatedAt=utcnow())
        service.lab.last_good = primary["taskDefinition"]
        service.lab.event(f"(deployment {primary['id']}) deployment completed")
        service.lab.event("has reached a steady state")


def fail(service, primary, roll_back):
    reason = "ECS deployment circuit breaker: tasks failed to start."
    primary.update(rolloutState="FAILED", rolloutStateReason=reason, updatedAt=utcnow())
    service.lab.event(f"(deployment {primary['id']}) deployment failed: tasks failed to start")
    previous = service.lab.last_good
    if roll_back and previous and previous != primary["taskDefinition"]:
        service.task_definition = previous
        d = service.lab.new_deployment(previous)
        text = f"rolling back to deploymentId {d['id']}."
        d["rolloutStateReason"] = f"ECS deployment circuit breaker: {text}"
        service.lab.event(f"(deployment {primary['id']}) deployment circuit breaker: {text[:-1]}")
