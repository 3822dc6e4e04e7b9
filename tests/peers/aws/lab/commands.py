"""What a test tells or asks the lab: GET, POST or DELETE /lab/NAME with JSON."""

import moto.core.model_instances as instances_of_models
from moto.backends import get_backend

from . import (
    alarms,
    backup,
    balancer,
    clock,
    containers,
    faults,
    instances,
    policy,
    processes,
    run_tasks,
    sessions,
    targets,
    views,
)
from .clock import LOCK, SETTINGS
from .task import tasks

COMMANDS = {}
BACKENDS = (
    "acm",
    "applicationautoscaling",
    "autoscaling",
    "backup",
    "cloudwatch",
    "ec2",
    "ecr",
    "ecs",
    "efs",
    "elbv2",
    "iam",
    "logs",
    "rds",
    "secretsmanager",
    "ssm",
    "sts",
)


def command(method, path):
    def keep(function):
        COMMANDS[method, path] = function
        return function

    return keep


@command("GET", "settings")
def get_settings(_):
    return SETTINGS


@command("POST", "settings")
def post_settings(given):
    clock.change(given)
    with LOCK:
        views.photograph()  # names of balancers may be others now
    return SETTINGS


@command("POST", "images")
def post_images(given):
    """{"web:3": command}, as in images.json."""
    containers.add_images(given)
    return containers.IMAGES


# ------------------------------------------------------------ faults and calls
@command("POST", "faults")
def post_faults(given):
    for rule in given if isinstance(given, list) else [given]:
        faults.add(rule)
    return get_faults(None)


@command("GET", "faults")
def get_faults(_):
    return {"rules": faults.rules}


@command("DELETE", "faults")
def delete_faults(_):
    faults.rules.clear()
    faults.buckets.clear()
    return {}


@command("POST", "throttle")
def post_throttle(given):
    faults.set_buckets(given)
    return {"buckets": list(faults.buckets)}


@command("GET", "calls")
def get_calls(_):
    return {"total": sum(faults.counts.values()), "by": dict(sorted(faults.counts.items())), "log": list(faults.log)}


@command("DELETE", "calls")
def delete_calls(_):
    faults.counts.clear()
    faults.log.clear()
    return {}


# ------------------------------------------------------------ callers
@command("POST", "credentials")
def post_credentials(given):
    """{"secrets": {key: secret}} verifies the signatures of these keys; {"expire": [key]} and {"renew": [key]}.

    {"expire": "sessions"} ends the sessions of all roles that were assumed until now.
    """
    with LOCK:
        sessions.secrets.update(given.get("secrets", {}))
        expire = given.get("expire", [])
        sessions.expired.update(list(sessions.sessions) if expire == "sessions" else expire)
        sessions.expired.difference_update(given.get("renew", []))
        return {"expired": sorted(sessions.expired), "verified": sorted(sessions.secrets)}


@command("POST", "policy")
def post_policy(given):
    """{"document": an IAM policy, "for": [access keys or ARNs of roles]}: binds these, or all callers but AKIALAB."""
    with LOCK:
        policy.put(given["document"], given.get("for"))
        return {"policies": len(policy.policies)}


@command("DELETE", "policy")
def delete_policy(_):
    with LOCK:
        policy.clear()
        return {}


# ------------------------------------------------------------ what happens to the emulated cloud
@command("POST", "alarm")
def post_alarm(given):
    with LOCK:
        return {"alarms": alarms.set_state(given["name"], given["state"], given.get("reason", "set by the test"))}


@command("POST", "kill-task")
def kill_task(given):
    """{"ip" or "arn", "signal": 9}: signals the containers of one task."""
    found = [t for t in tasks.values() if given.get("ip") == t.ip or given.get("arn") == t.task_arn]
    if not found:
        raise ValueError("no such task")
    found[0].signal(int(given.get("signal", 9)))
    return {"task": found[0].task_arn}


@command("POST", "kill-instance")
def kill_instance(given):
    """{"id", "how": "process" (what runs on it) or "host" (its status checks fail, too)}"""
    machine = instances.machines[given["id"]]
    machine.impaired = given.get("how", "process") == "host"
    machine.process.signal(9)
    return {"id": given["id"]}


@command("GET", "state")
def get_state(_):
    with LOCK:
        return {
            "dns": balancer.dns_address,
            "balancers": {arn: {"any": views.any_node(arn), "nodes": views.nodes(arn)} for arn in views.balancers},
            "tasks": [state_of_task(t) for t in tasks.values()],
            "instances": [
                {"id": i, "ip": m.ip, "alive": m.process.alive(), "last_lines": list(m.process.lines)[-5:]}
                for i, m in instances.machines.items()
            ],
            "targets": [
                {"group": arn, "id": i, "state": c["state"], "reason": c["reason"]}
                for (arn, i), c in targets.checks.items()
            ],
            "requests": dict(targets.requests),
            "served": [
                {"balancer": name, "node": node, "status": status, "count": count}
                for (name, node, status), count in views.served.items()
            ],
        }


def state_of_task(t):
    return {
        "arn": t.task_arn,
        "service": t.service.name if t.service else None,
        "ip": t.ip,
        "status": t.last_status,
        "reason": t.stopped_reason,
        "last_lines": [line for p in t.processes.values() for line in list(p.lines)[-5:]],
    }


@command("POST", "reset")
def post_reset(_):
    """Ends everything that runs, and forgets everything but what the lab was started with."""
    with LOCK:
        end_all()
        for forget in (targets, views, backup, faults, sessions, policy):
            forget.clear()
        clock.reset_settings()
        for name in BACKENDS:
            get_backend(name).reset()
        instances_of_models.reset_model_data()
    return {}


def end_all():
    instances.clear()
    run_tasks.clear()
    processes.kill_all()
    containers.clear()
