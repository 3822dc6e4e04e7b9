"""One ECS task: what DescribeTasks shows, and the processes of its containers."""

import collections
import fnmatch
import random
import signal
import uuid

from moto.core.utils import utcnow
from moto.elbv2.models import elbv2_backends

from . import containers, references, targets
from .clock import SETTINGS, now, scaled
from .network import new_address
from .processes import Process, TooManyProcesses

tasks = collections.OrderedDict()  # task ARN -> Task; stopped ones stay for an hour of the emulated cloud
ACTIVATING = 0.5  # real seconds between the start of the containers and RUNNING
STARTING = ("PROVISIONING", "PENDING", "ACTIVATING")


class Task:
    """moto's serializer reads the attributes by their names in snake case."""

    def __init__(self, backend, definition, cluster, service=None, deployment=None, launch_type="FARGATE", **more):
        self.backend, self.definition, self.service, self.deployment = backend, definition, service, deployment
        self.id = uuid.uuid4().hex
        self.task_arn = f"arn:aws:ecs:{backend.region_name}:{backend.account_id}:task/{cluster.name}/{self.id}"
        self.cluster_arn, self.cluster_name = cluster.arn, cluster.name
        self.task_definition_arn = definition.arn
        self.last_status, self.desired_status, self.launch_type = "PROVISIONING", "RUNNING", launch_type
        usual = f"service:{service.name}" if service else f"family:{definition.family}"
        self.group = more.get("group") or usual
        self.started_by = more.get("started_by") or (deployment["id"] if deployment else "")
        self.overrides = more.get("overrides") or {"containerOverrides": []}
        self.cpu = self.overrides.get("cpu") or definition.cpu
        self.memory = self.overrides.get("memory") or definition.memory
        self.tags = list(more.get("tags") or [])
        self.ip, self.processes, self.health_status = new_address(), {}, "UNKNOWN"
        self.created_at = utcnow()
        self.stopped_reason = self.stop_code = self.started_at = self.stopped_at = self.stopping_at = None
        self.attachments = [
            {
                "id": str(uuid.uuid4()),
                "type": "ElasticNetworkInterface",
                "status": "ATTACHED",
                "details": [{"name": "privateIPv4Address", "value": self.ip}],
            }
        ]
        self.containers = [self.shown(c) for c in definition.container_definitions]
        self.until = now() + scaled(SETTINGS["task_start_seconds"]) * random.uniform(0.8, 1.3)
        self.running_since = None
        self.was_healthy = self.counted = False

    def shown(self, container):
        return {
            "name": container["name"],
            "image": container["image"],
            "lastStatus": "PENDING",
            "taskArn": self.task_arn,
            "networkInterfaces": [{"privateIpv4Address": self.ip}],
        }

    # -- targets
    def groups(self):
        """[(target group, load balancer of the service)]"""
        if self.service is None:
            return []
        known = elbv2_backends[self.backend.account_id][self.backend.region_name].target_groups
        return [
            (known[lb["targetGroupArn"]], lb) for lb in self.service.load_balancers if lb.get("targetGroupArn") in known
        ]

    def register(self):
        for group, lb in self.groups():
            group.register([{"Id": self.ip, "Port": lb["containerPort"]}])
            self.service.lab.event(f"registered 1 targets in (target-group {group.arn})")

    def deregister(self):
        for group, _ in self.groups():
            group.deregister([{"Id": self.ip}])

    def target_states(self):
        return [targets.state(group.arn, self.ip) for group, _ in self.groups()]

    def healthy(self):
        """RUNNING is enough without a load balancer; with one, each target must be healthy."""
        return self.last_status == "RUNNING" and all(s == "healthy" for s in self.target_states())

    # -- start
    def start(self):
        pairs = list(zip(self.definition.container_definitions, self.containers))
        for c, shown in pairs:
            if containers.image_of(c["image"]) is None:
                reason = (
                    "CannotPullContainerError: pull image manifest has been retried 1 time(s): "
                    f"failed to resolve ref {c['image']}: {c['image']}: not found"
                )
                shown.update(lastStatus="STOPPED", reason=reason)
                self.failed(reason)
                return
        for c, shown in pairs:
            try:
                self.run(c, shown)
            except (references.Unresolved, containers.CannotStart) as e:
                self.failed(str(e))
                return
            except (OSError, TooManyProcesses) as e:
                self.failed(f"CannotStartContainerError: {e}")
                return
        # A container that exits within ACTIVATING was never RUNNING.
        self.last_status, self.until = "ACTIVATING", now() + ACTIVATING

    def run(self, c, shown):
        override = next((o for o in self.overrides.get("containerOverrides") or [] if o["name"] == c["name"]), {})
        ports = c.get("portMappings") or []
        port = str(ports[0]["containerPort"]) if ports else "0"
        env = {
            **containers.environment_of(c, override, self.backend),
            **containers.mounts_of(c, self.definition, self.backend),
            **{"TASK_IP": self.ip, "TASK_PORT": port, "ECS_TASK_ARN": self.task_arn},
        }
        sink = containers.log_sink(c, self.id, self.backend)
        command = containers.command_of(c, override, self.ip, port)
        self.processes[c["name"]] = Process(command, env, cwd=containers.run_from(), on_line=sink)
        digest = containers.digest_of(c["image"])
        shown.update(lastStatus="RUNNING", runtimeId=uuid.uuid4().hex, imageDigest=digest)

    def failed(self, reason):
        self.stop("TaskFailedToStart", reason, at_once=True)

    # -- stop
    def stop(self, code, reason, at_once=False):
        """DEACTIVATING: out of the target groups; SIGTERM follows after the deregistration delay."""
        if self.desired_status == "STOPPED" and not at_once:
            return
        self.desired_status, self.stop_code, self.stopped_reason = "STOPPED", code, reason
        self.stopping_at = utcnow()
        registered = [g for g, _ in self.groups() if self.ip in g.targets]
        delays = [targets.attribute(g, "deregistration_delay.timeout_seconds") for g in registered]
        self.deregister()
        self.last_status, self.until = "DEACTIVATING", now() + scaled(0 if at_once else max(delays, default=0))

    def look_for_exits(self):
        for c, shown in zip(self.definition.container_definitions, self.containers):
            exit_code = self.processes[c["name"]].exit_code()
            if exit_code is not None and shown["lastStatus"] != "STOPPED":
                shown.update(lastStatus="STOPPED", exitCode=exit_code)
                if c.get("essential", True):
                    self.stop("EssentialContainerExited", "Essential container in task exited", at_once=True)

    def signal(self, number):
        for p in self.processes.values():
            p.signal(number)

    def step(self):
        """One pass of the agent over the task."""
        {
            "ACTIVATING": self.step_activating,
            "RUNNING": self.look_for_exits,
            "DEACTIVATING": self.step_deactivating,
            "STOPPING": self.step_stopping,
        }.get(self.last_status, self.step_starting)()

    def step_starting(self):
        left = self.until - now()
        if left < 0:
            self.start()
        else:
            self.last_status = "PROVISIONING" if left > scaled(SETTINGS["task_start_seconds"]) / 2 else "PENDING"

    def step_activating(self):
        self.look_for_exits()
        if self.last_status == "ACTIVATING" and now() > self.until:
            self.last_status, self.running_since, self.started_at = "RUNNING", now(), utcnow()
            self.register()

    def step_deactivating(self):
        stuck = self.service is not None and any(
            fnmatch.fnmatch(self.service.name, p) for p in SETTINGS["draining_forever"]
        )
        if now() > self.until and not stuck:
            self.signal(signal.SIGTERM)
            grace = max(int(c.get("stopTimeout") or 30) for c in self.definition.container_definitions)
            self.last_status, self.until = "STOPPING", now() + scaled(grace)

    def step_stopping(self):
        if now() > self.until:
            self.signal(signal.SIGKILL)
        if any(p.exit_code() is None for p in self.processes.values()):
            return
        self.signal(signal.SIGKILL)  # what the containers' first processes left behind
        if not all(p.output_ended.is_set() for p in self.processes.values()) and now() < self.until + 1:
            return
        for shown in self.containers:
            shown["lastStatus"] = "STOPPED"
            if shown["name"] in self.processes:
                shown["exitCode"] = self.processes[shown["name"]].exit_code()
        self.last_status, self.stopped_at, self.gone_at = "STOPPED", utcnow(), now() + scaled(3600)
