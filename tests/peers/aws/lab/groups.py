"""Auto Scaling groups as the API takes them: sizes, target groups, deletion, activities."""

import collections
import uuid

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import (
    AutoScalingBackend,
    FakeAutoScalingGroup,
    TerminateInstanceActivity,
    autoscaling_backends,
)
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.elbv2.models import elbv2_backends

from . import request, targets
from .clock import now, scaled

activities = collections.deque(maxlen=500)  # newest first


class Fault(AutoscalingClientError):
    def __init__(self, code, message):
        super().__init__(code, message)


def groups():
    """[(backend, group)]"""
    backends = [b for account in list(autoscaling_backends.values()) for b in list(account.values())]
    return [(b, g) for b in backends for g in list(b.autoscaling_groups.values())]


def activity(group, description, cause, status="InProgress", message=None, progress=0):
    a = {
        "ActivityId": str(uuid.uuid4()),
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "Description": description,
        "Cause": cause,
        "StartTime": utcnow(),
        "StatusCode": status,
        "Progress": progress,
        "Details": "{}",
    }
    if message:
        a.update(StatusMessage=message, EndTime=utcnow())
    activities.appendleft(a)
    return a


def finish(a):
    if a:
        a.update(StatusCode="Successful", Progress=100, EndTime=utcnow())


def set_desired_capacity(self, new_capacity):
    self.desired_capacity = self.min_size if new_capacity is None else int(new_capacity)


def wrap(function):
    original = getattr(AutoScalingBackend, function.__name__)
    setattr(AutoScalingBackend, function.__name__, lambda self, *a, **k: function(self, original, *a, **k))
    return function


def elb(backend):
    return elbv2_backends[backend.account_id][backend.region_name]


def check_sizes(low, high, desired):
    if low > high:
        raise ValidationError(f"Max bound, {high}, must be greater than or equal to min bound, {low}")
    if desired is not None and not low <= desired <= high:
        raise ValidationError(
            f"Desired capacity:{desired} must be between the specified min size:{low} and max size:{high}"
        )


@wrap
def create_auto_scaling_group(self, original, name, *args, **kwargs):
    asked = request.params()
    if name in self.autoscaling_groups:
        raise Fault(
            "AlreadyExists",
            f"AutoScalingGroup by this name already exists - A group with the name {name} already exists",
        )
    for arn in asked.get("TargetGroupARNs") or []:
        if arn not in elb(self).target_groups:
            raise ValidationError("Provided Target Groups may not be valid. Please ensure they exist and try again.")
    if asked.get("MinSize") is not None:
        check_sizes(
            int(asked["MinSize"]),
            int(asked["MaxSize"]),
            None if asked.get("DesiredCapacity") is None else int(asked["DesiredCapacity"]),
        )
    group = original(self, name, *args, **kwargs)
    try:
        self.ec2_backend.describe_images(ami_ids=[group.image_id])
    except Exception:
        self.autoscaling_groups.pop(name)
        raise ValidationError(
            f"You must use a valid fully-formed launch template. The image id '[{group.image_id}]' does not exist"
        ) from None
    # The API's default is 0; only the console says 300.
    group.health_check_grace_period = int(asked.get("HealthCheckGracePeriod") or 0)
    group.status, group.lab_hold = None, 0.0
    return group


@wrap
def update_auto_scaling_group(self, original, name, *args, **kwargs):
    if name not in self.autoscaling_groups:
        raise ValidationError("AutoScalingGroup name not found - null")
    group, asked = self.autoscaling_groups[name], request.params()

    def value(key, usual):
        return usual if asked.get(key) is None else int(asked[key])

    low, high = value("MinSize", group.min_size), value("MaxSize", group.max_size)
    check_sizes(low, high, value("DesiredCapacity", min(max(group.desired_capacity, low), high)))
    policy = group.mixed_instances_policy
    out = original(self, name, *args, **kwargs)
    if not asked.get("MixedInstancesPolicy"):
        group.mixed_instances_policy = policy
    group.desired_capacity = value("DesiredCapacity", min(max(group.desired_capacity, low), high))
    return out


@wrap
def delete_auto_scaling_group(self, original, group_name):
    if group_name not in self.autoscaling_groups:
        raise ValidationError(f"AutoScalingGroup name not found - AutoScalingGroup '{group_name}' not found")
    group = self.autoscaling_groups[group_name]
    if group.instance_states and str(request.params().get("ForceDelete", False)).lower() != "true":
        raise Fault(
            "ResourceInUse", "You cannot delete an AutoScalingGroup while there are instances still in the group."
        )
    group.status, group.min_size, group.desired_capacity = "Delete in progress", 0, 0
    if not group.instance_states:
        self.autoscaling_groups.pop(group_name)


def set_desired(self, group_name, desired_capacity):
    if group_name not in self.autoscaling_groups:
        raise ValidationError("AutoScalingGroup name not found - null")
    group, n = self.autoscaling_groups[group_name], int(desired_capacity)
    if n > group.max_size:
        raise ValidationError(
            f"New SetDesiredCapacity value {n} is above max value {group.max_size} for the AutoScalingGroup."
        )
    if n < group.min_size:
        raise ValidationError(
            f"New SetDesiredCapacity value {n} is below min value {group.min_size} for the AutoScalingGroup."
        )
    group.desired_capacity = n


@wrap
def attach_load_balancer_target_groups(self, original, group_name, target_group_arns):
    for arn in target_group_arns:
        if arn not in elb(self).target_groups:
            raise ValidationError("Provided Target Groups may not be valid. Please ensure they exist and try again.")
    return original(self, group_name, target_group_arns)


def detach_load_balancer_target_groups(self, group_name, target_group_arns):
    group = self.autoscaling_groups[group_name]
    group.target_group_arns = [a for a in group.target_group_arns if a not in target_group_arns]


def terminate_instance(self, instance_id, should_decrement):
    for group in self.autoscaling_groups.values():
        for state in [s for s in group.instance_states if s.instance.id == instance_id]:
            if str(should_decrement).lower() == "true":
                group.desired_capacity -= 1
            leave(group, state, "a user request to terminate the instance")
            return TerminateInstanceActivity(state.instance, group.desired_capacity)
    raise ValidationError(f"Instance Id not found - No managed instance found for instance ID {instance_id}")


def describe_scaling_activities(self):
    name = self._get_param("AutoScalingGroupName")
    return ActionResult({"Activities": [a for a in activities if not name or a["AutoScalingGroupName"] == name][:100]})


def leave(group, state, why):
    """Takes an instance out of the target groups, and ends it after the deregistration delay."""
    if state.lifecycle_state.startswith("Terminating"):
        return
    delay = 0
    for arn in list(state.lab["registered"]):
        found = elb(group.autoscaling_backend).target_groups.get(arn)
        if found is not None:
            delay = max(delay, targets.attribute(found, "deregistration_delay.timeout_seconds"))
            found.deregister([{"Id": state.instance.id}])
    cause = f"At {utcnow():%Y-%m-%dT%H:%M:%SZ} an instance was taken out of service in response to {why}."
    ending = activity(group, f"Terminating EC2 instance: {state.instance.id}", cause, progress=50)
    state.lab.update(until=now() + scaled(delay), registered=set(), activity=ending)
    state.lifecycle_state = "Terminating"


# What moto would do at once, instances.reconcile does in time.
FakeAutoScalingGroup.set_desired_capacity = set_desired_capacity
AutoScalingBackend.update_attached_target_groups = lambda self, group_name: None
AutoScalingBackend.notify_terminate_instances = lambda self, instance_ids: None
AutoScalingBackend.set_desired_capacity = set_desired
AutoScalingBackend.detach_load_balancer_target_groups = detach_load_balancer_target_groups
AutoScalingBackend.terminate_instance = terminate_instance
AutoScalingResponse.describe_scaling_activities = describe_scaling_activities
