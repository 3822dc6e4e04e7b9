"""Target groups: limits, registration, deregistration, and the states that DescribeTargetHealth shows."""

import collections

from moto.elbv2.exceptions import TargetGroupNotFoundError
from moto.elbv2.models import FakeHealthStatus, FakeTargetGroup, elbv2_backends

from . import request
from .actions import balancers_using, error
from .clock import SETTINGS, now, scaled
from .limits import limit
from .rules import wrap

WORDS = {
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Elb.InitialHealthChecking": "Initial health checks in progress",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
    "Target.NotRegistered": "Target is not registered to the target group",
    "Target.DeregistrationInProgress": "Target deregistration is in progress",
    "Target.InvalidState": "Target is in the stopped state",
    "Target.Timeout": "Request timed out",
    "Target.FailedHealthChecks": "Health checks failed",
}


checks = {}  # (group ARN, target id) -> {"state", "reason", "text", "passed", "failed", "next", "busy"}
draining = {}  # (group ARN, target id) -> (target, until)
requests = collections.Counter()  # group ARN -> requests that a balancer sent to it
instance_addresses = {}  # instance id -> address; instances.py keeps it


def backends():
    return [b for account in list(elbv2_backends.values()) for b in list(account.values())]


def address(target):
    return instance_addresses.get(target["Id"]) if target["Id"].startswith("i-") else target["Id"]


def attribute(group, key):
    return float(group.attributes.get(key) or 0)


def state(group_arn, target_id):
    return checks.get((group_arn, target_id), {}).get("state")


def healthy(group):
    return [t for t in list(group.targets.values()) if state(group.arn, t["Id"]) == "healthy"]


def first_check(group):
    """AWS promises no moment for the first check of a new target. Here it ends the first interval, the worst case."""
    return now() + scaled(group.health_check_interval_seconds) * SETTINGS["first_check"]


def fresh(group):
    return {
        "state": "initial",
        "reason": "Elb.RegistrationInProgress",
        "text": None,
        "passed": 0,
        "failed": 0,
        "next": first_check(group),
        "busy": False,
    }


@wrap("create_target_group")
def create_target_group(self, original, name, **kwargs):
    """Idempotent with the same settings; another target group of the name is refused."""
    same = dict(request.params())
    same.pop("Tags", None)
    existing = next((g for g in self.target_groups.values() if g.name == name), None)
    if existing is not None:
        if getattr(existing, "lab_request", None) == same:
            return existing
        raise error(
            "DuplicateTargetGroupName",
            f"A target group with the same name '{name}' exists, but with different settings",
        )
    if len(self.target_groups) >= limit("target-groups"):
        raise error(
            "TooManyTargetGroups", f"The maximum number of target groups has been reached: {limit('target-groups')}"
        )
    group = original(self, name, **kwargs)
    group.lab_request = same
    return group


def register(self, targets):
    for t in targets:
        if (
            self.target_type == "ip"
            and t["Id"].startswith("i-")
            or self.target_type == "instance"
            and not t["Id"].startswith("i-")
        ):
            raise error(
                "ValidationError", f"The target ID '{t['Id']}' is not valid for target type '{self.target_type}'"
            )
        if len(self.targets) >= limit("targets-per-application-load-balancer"):
            raise error(
                "TooManyTargets",
                f"The maximum number of targets has been reached: {limit('targets-per-application-load-balancer')}",
            )
        self.targets[t["Id"]] = {"Id": t["Id"], "Port": t.get("Port", self.port)}
        draining.pop((self.arn, t["Id"]), None)
        checks[(self.arn, t["Id"])] = fresh(self)


def deregister(self, targets):
    for t in targets:
        target = self.targets.pop(t["Id"], None)
        if target is None:
            continue  # deregistering an unknown target succeeds
        was = checks.pop((self.arn, t["Id"]), {"state": "unused"})["state"]
        delay = attribute(self, "deregistration_delay.timeout_seconds")
        if was != "unused" and delay > 0:
            draining[(self.arn, t["Id"])] = (target, now() + scaled(delay))


FakeTargetGroup.register = register


FakeTargetGroup.deregister = deregister


FakeTargetGroup.deregister_terminated_instances = lambda self, ids: deregister(
    self, [{"Id": i} for i in ids if i in self.targets]
)


def described(group, target):
    key = (group.arn, target["Id"])
    here = group.targets.get(target["Id"])

    def say(port, state, reason=None, text=None):
        return FakeHealthStatus(target["Id"], port, group.health_check_port, state, reason, text or WORDS.get(reason))

    if here is None:
        if key in draining:
            return say(draining[key][0]["Port"], "draining", "Target.DeregistrationInProgress")
        return say(target.get("Port", group.port), "unused", "Target.NotRegistered")
    if target["Id"].startswith("i-") and address(target) is None:
        return say(here["Port"], "unused", "Target.InvalidState")
    c = checks.get(key) or fresh(group)
    return say(here["Port"], c["state"], c["reason"], c["text"])


@wrap("describe_target_health")
def describe_target_health(self, original, target_group_arn, targets):
    group = self.target_groups.get(target_group_arn)
    if group is None:
        raise TargetGroupNotFoundError()
    targets = targets or [
        *group.targets.values(),
        *(t for (arn, _), (t, _until) in list(draining.items()) if arn == group.arn),
    ]
    return [described(group, t) for t in targets]


@wrap("delete_target_group")
def delete_target_group(self, original, target_group_arn):
    """The API reference lists ResourceInUse as its only error: deleting one that is gone succeeds."""
    if target_group_arn not in self.target_groups:
        return None
    return original(self, target_group_arn)


@wrap("describe_target_groups")
def describe_target_groups(self, original, load_balancer_arn, target_group_arns, names):
    for group in self.target_groups.values():  # moto never takes a balancer away again
        group.load_balancer_arns = [lb.arn for lb in balancers_using(self, group.arn)]
    return original(self, load_balancer_arn, target_group_arns, names)


def clear():
    checks.clear()
    draining.clear()
    requests.clear()
