"""Instances of Auto Scaling groups: a process group that runs the launch template's user data at an address of its own."""

import base64
import binascii
import fnmatch
import signal
import tempfile

from moto.autoscaling.models import InstanceState
from moto.core.utils import utcnow

from . import targets
from .clock import SETTINGS, now, scaled
from .groups import activities, activity, elb, finish, groups, leave
from .network import new_address
from .processes import Process, TooManyProcesses

machines = {}  # instance id -> Machine


class Machine:
    def __init__(self, instance, user_data):
        self.instance, self.ip = instance, new_address()
        try:
            script = base64.b64decode(str(user_data or "")).decode()
        except (binascii.Error, ValueError):
            script = str(user_data or "")
        self.folder = tempfile.TemporaryDirectory(prefix="awslab-instance-", ignore_cleanup_errors=True)
        path = f"{self.folder.name}/user-data"
        with open(path, "w") as f:
            f.write(script or "#!/bin/sh\n")
        self.impaired = False  # the host failed: EC2 status checks do not pass
        shell = script.splitlines()[0][2:].strip().split() if script.startswith("#!") else ["/bin/sh"]
        env = {"INSTANCE_ID": instance.id, "INSTANCE_IP": self.ip}
        self.process = Process([*shell, path], env, cwd=self.folder.name)

    def end(self):
        self.process.signal(signal.SIGKILL)
        self.folder.cleanup()


def reconcile():
    for backend, group in groups():
        if not hasattr(group, "lab_hold"):
            continue
        suspended = {p["ProcessName"] for p in group.suspended_processes}
        for state in list(group.instance_states):
            step(backend, group, state, suspended)
        counted = [s for s in group.instance_states if s.lifecycle_state in ("Pending", "InService")]
        if group.status == "Delete in progress":
            for state in counted:
                leave(group, state, "a user request to delete the group")
            if not group.instance_states:
                backend.autoscaling_groups.pop(group.name, None)
        elif len(counted) < group.desired_capacity and now() > group.lab_hold and "Launch" not in suspended:
            launch(group)
        elif len(counted) > group.desired_capacity and "Terminate" not in suspended:
            free = [s for s in counted if not s.protected_from_scale_in]
            for state in free[: len(counted) - group.desired_capacity]:
                leave(group, state, "a difference between desired and actual capacity, shrinking the capacity")


# ------------------------------------------------------------ launch
class CannotLaunch(Exception):
    """Why, as the activity shows it."""


def launch(group):
    description = "Launching a new EC2 instance"
    cause = (
        f"At {utcnow():%Y-%m-%dT%H:%M:%SZ} an instance was started in response to a difference between desired and "
        "actual capacity."
    )
    try:
        state, machine = new_instance(group)
    except CannotLaunch as e:
        activity(group, description, cause, "Failed", f"{e} Launching EC2 instance failed.", 100)
        group.lab_hold = now() + scaled(30)
        return
    machines[state.instance.id] = machine
    targets.instance_addresses[state.instance.id] = machine.ip
    state.instance.nics[0].private_ip_address = machine.ip
    version = group.ec2_launch_template and group.ec2_launch_template.get_version(group.launch_template_version)
    state.lab = {
        "until": now() + scaled(SETTINGS["instance_start_seconds"]),
        "since": None,
        "registered": set(),
        "ending": False,
        "version": str(version.number) if version else None,
        "activity": activity(group, f"{description}: {state.instance.id}", cause, progress=30),
    }
    state.lifecycle_state, state.health_status = "Pending", "Healthy"


def new_instance(group):
    if SETTINGS["capacity_unavailable"]:
        raise CannotLaunch(
            f"We currently do not have sufficient {group.instance_type or 't3.micro'} capacity in the Availability Zone "
            f"you requested ({group.availability_zones[0]}). Our system will be working on provisioning additional capacity."
        )
    before = {s.instance.id for s in group.instance_states}
    try:
        group.replace_autoscaling_group_instances(1, group.get_propagated_tags())
    except Exception as e:  # the image, the subnet or the template is gone
        raise CannotLaunch(str(e)) from e
    state = next(s for s in group.instance_states if s.instance.id not in before)
    try:
        return state, Machine(state.instance, group.user_data)
    except (OSError, TooManyProcesses) as e:
        group.instance_states.remove(state)
        raise CannotLaunch(str(e)) from e


# ------------------------------------------------------------ life
def step(backend, group, state, suspended):
    machine = machines.get(state.instance.id)
    if state.lifecycle_state == "Pending" and now() > state.lab["until"]:
        state.lifecycle_state, state.lab["since"] = "InService", now()
        finish(state.lab["activity"])
    if state.lifecycle_state == "InService":
        keep_registered(backend, group, state)
        why = fault_of(group, state, machine)
        if why and not {"HealthCheck", "ReplaceUnhealthy"} & suspended:
            state.health_status = "Unhealthy"
            leave(group, state, why)
    elif state.lifecycle_state == "Terminating" and now() > state.lab["until"]:
        if not any(fnmatch.fnmatch(group.name, p) for p in SETTINGS["stuck_terminating"]):
            terminate(backend, group, state, machine)


def keep_registered(backend, group, state):
    """Follows the group's list of target groups."""
    wanted, registered = set(group.target_group_arns or []), state.lab["registered"]
    for arn in wanted ^ registered:
        found = elb(backend).target_groups.get(arn)
        if found is None:
            registered.discard(arn)
        elif arn in wanted:
            found.register([{"Id": state.instance.id, "Port": found.port}])
            registered.add(arn)
        else:
            found.deregister([{"Id": state.instance.id}])
            registered.discard(arn)


def fault_of(group, state, machine):
    """Why the instance must be replaced, as the activity says it; None while it is healthy."""
    in_grace = now() < state.lab["since"] + scaled(group.health_check_grace_period or 0)
    failed = any(targets.state(arn, state.instance.id) == "unhealthy" for arn in state.lab["registered"])
    if failed and not in_grace and group.health_check_type == "ELB":
        return "an ELB system health check failure"
    if machine is None or machine.impaired:
        return "an EC2 health check indicating it has been terminated or stopped"
    return "a user health-check" if state.health_status == "Unhealthy" else None


def terminate(backend, group, state, machine):
    if not state.lab["ending"]:
        state.lab.update(ending=True, until=now() + min(2.0, scaled(30)))
        if machine is not None:
            machine.process.signal(signal.SIGTERM)
    if machine is not None and machine.process.alive() and now() < state.lab["until"]:
        return
    if machine is not None:
        machine.end()
        machines.pop(state.instance.id, None)
        targets.instance_addresses.pop(state.instance.id, None)
    state.lifecycle_state = "Terminated"
    group.instance_states.remove(state)
    finish(state.lab["activity"])
    backend.ec2_backend.terminate_instances([state.instance.id])


_template = InstanceState.launch_template


def launch_template(self):
    """The version that the instance was launched from, not the template's default."""
    out = _template.fget(self)
    version = self.lab["version"] if hasattr(self, "lab") else None
    return {**out, "Version": version} if out and version else out


InstanceState.launch_template = property(launch_template)


def clear():
    for machine in list(machines.values()):
        machine.end()
    machines.clear()
    targets.instance_addresses.clear()
    activities.clear()
