"""A lab of its own for the checks of one subject, and what they have in common."""

import base64
import contextlib
import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import botocore.exceptions
import botocore.session
from botocore.config import Config

FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WEB, TLS = 8000, 8443  # ports of the listeners; each lab has a network of its own
SPEED = 10
REGION = "eu-west-1"
ACCOUNT = "123456789012"
_session = botocore.session.get_session()
_lock = threading.Lock()  # making a client is not thread-safe


class World:
    """One lab. Each subject finds a VPC, a balancer with an HTTP listener, and an ECS cluster in it."""

    def __init__(self):
        self.command = [sys.executable, f"{FOLDER}/awslab.py", "127.0.0.1", "0", f"{FOLDER}/images.json"]
        self.noted = tempfile.NamedTemporaryFile(prefix="awslab-needs-")
        settings = json.dumps({"speed": SPEED, "task_start_seconds": 2.0})
        command = [*self.command, "--settings", settings, "--needs", self.noted.name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = json.loads(self.process.stdout.readline())
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.url, self.clients = self.ready["url"], {}

    def begin(self):
        """Makes everything new for the next subject."""
        self.lab("POST", "reset")
        self.make_network()
        balancer = {"Name": "front", "Subnets": self.subnets, "SecurityGroups": [self.sg]}
        self.lb = self.elb.create_load_balancer(**balancer)["LoadBalancers"][0]["LoadBalancerArn"]
        self.listener = self.listen(self.lb, fixed("503"))
        self.ecs.create_cluster(clusterName="prod")
        found = until("balancer", lambda: self.lab("GET", "state")["balancers"].get(self.lb))
        self.any, self.nodes = found["any"], found["nodes"]

    def make_network(self):
        self.vpc = self.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.9.{i}.0/24", AvailabilityZone=f"{REGION}{zone}")[
                "Subnet"
            ]["SubnetId"]
            for i, zone in enumerate("ab")
        ]
        self.sg = self.ec2.create_security_group(GroupName="web", Description="d", VpcId=self.vpc)["GroupId"]
        self.network = {"awsvpcConfiguration": {"subnets": self.subnets, "securityGroups": [self.sg]}}

    def end(self):
        self.noted.close()
        self.process.stdin.close()
        self.process.wait(10)

    # -- the lab
    def client(self, service, key="AKIALAB", secret="s", token=None, **more):
        config = {"retries": {"total_max_attempts": 1, "mode": "standard"}, "connect_timeout": 3, "read_timeout": 15}
        with _lock:
            return _session.create_client(
                service,
                region_name=REGION,
                endpoint_url=self.url,
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                aws_session_token=token,
                config=Config(**{**config, **more}),
            )

    def __getattr__(self, name):
        """Clients by short names: w.ecs, w.elb, w.scaling, ..."""
        service = CLIENTS.get(name)
        if service is None:
            raise AttributeError(name)
        if name not in self.clients:
            self.clients[name] = self.client(service)
        return self.clients[name]

    def lab(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(
            urllib.request.Request(f"{self.url}/lab/{path}", data, method=method), timeout=10
        ) as f:
            return json.load(f)

    def needs(self):
        with open(self.noted.name) as lines:
            return [json.loads(line) for line in lines]

    def settings(self, **values):
        self.lab("POST", "settings", values)

    @contextlib.contextmanager
    def with_settings(self, **values):
        before = self.lab("GET", "settings")
        self.settings(**values)
        try:
            yield
        finally:
            self.settings(**{k: before[k] for k in values})

    def fault(self, **rule):
        self.lab("POST", "faults", rule)

    def get(self, path="/", headers=None, address=None, port=WEB, method="GET"):
        """Asks the balancer. Returns (status, headers, text, lines of Set-Cookie)."""
        host, tls = address or self.any, ssl._create_unverified_context()
        c = http.client.HTTPSConnection(host, port, timeout=5, context=tls) if port == TLS else None
        c = c or http.client.HTTPConnection(host, port, timeout=5)
        c.request(method, path, headers=headers or {})
        r = c.getresponse()
        fields = [(k.lower(), v) for k, v in r.getheaders()]
        out = r.status, dict(fields), r.read().decode(), [v for k, v in fields if k == "set-cookie"]
        c.close()
        return out

    def preview(self, stack):
        return self.get(headers={"X-Pointsman": stack})

    def propagated(self):
        """Waits until each node has taken the last change up."""
        time.sleep(0.15 + max(self.lab("GET", "settings")["propagation_ms"]) / 1e3)

    def certificate(self):
        return ssl.get_server_certificate((self.any, TLS))

    # -- load balancing
    def listen(self, lb, action, protocol="HTTP", port=WEB, **more):
        made = self.elb.create_listener(
            LoadBalancerArn=lb, Protocol=protocol, Port=port, DefaultActions=[action], **more
        )
        return made["Listeners"][0]["ListenerArn"]

    def group(self, name, kind="ip", delay="0", **more):
        usual = {
            "Name": name,
            "Protocol": "HTTP",
            "Port": 8080,
            "VpcId": self.vpc,
            "TargetType": kind,
            "HealthCheckPath": "/health",
            "HealthCheckIntervalSeconds": 5,
            "HealthCheckTimeoutSeconds": 2,
            "HealthyThresholdCount": 2,
            "UnhealthyThresholdCount": 2,
        }
        arn = self.elb.create_target_group(**{**usual, **more})["TargetGroups"][0]["TargetGroupArn"]
        delayed = {"Key": "deregistration_delay.timeout_seconds", "Value": delay}
        self.elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=[delayed])
        return arn

    def rule(self, priority, conditions, *actions, listener=None, **more):
        listener = listener or self.listener
        made = self.elb.create_rule(
            ListenerArn=listener, Priority=priority, Conditions=conditions, Actions=actions, **more
        )
        return made["Rules"][0]["RuleArn"]

    def test_rule(self, group, stack, priority):
        header = {"HttpHeaderName": "X-Pointsman", "Values": [stack]}
        return self.rule(priority, [{"Field": "http-header", "HttpHeaderConfig": header}], forward(group))

    def shift(self, *actions):
        """Changes the default action of the listener."""
        self.elb.modify_listener(ListenerArn=self.listener, DefaultActions=list(actions))

    def health(self, group):
        found = self.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return sorted(d["TargetHealth"]["State"] for d in found)

    # -- ECS
    def definition(self, family, image="web:1", env=None, container=None, **more):
        environment = [{"name": n, "value": v} for n, v in (env or {}).items()]
        own = {"name": "web", "image": image, "portMappings": [{"containerPort": 8080}], "environment": environment}
        usual = {
            "family": family,
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "containerDefinitions": [{**own, **(container or {})}],
        }
        return self.ecs.register_task_definition(**{**usual, **more})["taskDefinition"]["taskDefinitionArn"]

    def service(self, name, definition, group=None, count=1, **more):
        balanced = [{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}] if group else []
        usual = {
            "cluster": "prod",
            "serviceName": name,
            "taskDefinition": definition,
            "desiredCount": count,
            "launchType": "FARGATE",
            "loadBalancers": balanced,
            "networkConfiguration": self.network,
        }
        return self.ecs.create_service(**{**usual, **more})["service"]

    def stack(self, name, priority, env=None, count=1, delay="0", **more):
        """A service behind a target group and a test rule of its own. Returns the ARNs of group and rule."""
        group = self.group(name, delay=delay)
        rule = self.test_rule(group, name, priority)
        definition = self.definition(name, env={"VERSION": name, **(env or {})})
        self.service(name, definition, group, count, **more)
        return group, rule

    def delete(self, *services):
        for name in services:
            self.ecs.delete_service(cluster="prod", service=name, force=True)

    def described(self, name):
        return self.ecs.describe_services(cluster="prod", services=[name], include=["TAGS"])["services"][0]

    def primary(self, name):
        return next(d for d in self.described(name)["deployments"] if d["status"] == "PRIMARY")

    def tasks(self, name, status="RUNNING"):
        arns = self.ecs.list_tasks(cluster="prod", serviceName=name, desiredStatus=status)["taskArns"]
        return self.ecs.describe_tasks(cluster="prod", tasks=arns, include=["TAGS"])["tasks"] if arns else []

    def task(self, arn):
        return self.ecs.describe_tasks(cluster="prod", tasks=[arn])["tasks"][0]


CLIENTS = {
    "acm": "acm",
    "appscaling": "application-autoscaling",
    "backup": "backup",
    "cloudwatch": "cloudwatch",
    "ec2": "ec2",
    "ecs": "ecs",
    "efs": "efs",
    "elb": "elbv2",
    "iam": "iam",
    "logs": "logs",
    "rds": "rds",
    "scaling": "autoscaling",
    "secrets": "secretsmanager",
    "ssm": "ssm",
    "sts": "sts",
}


def check(function):
    """Marks what selfcheck.py runs."""
    function.is_check = True
    return function


def until(what, look, seconds=20):
    """Looks until it gets something, and returns it."""
    end, last = time.time() + seconds, None
    while time.time() < end:
        try:
            last = look()
        except OSError as e:
            last = e
        if last and not isinstance(last, OSError):
            return last
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}; last answer: {last!r}")


def refused(code, call, words=""):
    """Checks that the call fails with this code, or one of these, and these words."""
    codes = code if isinstance(code, tuple) else (code,)
    try:
        call()
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] in codes, f"expected {code}, got {e}"
        assert words in str(e), f"{words!r} not in {e}"
        return
    raise AssertionError(f"expected {code}, but the call succeeded")


def unanswered(call):
    try:
        call()
    except (
        botocore.exceptions.ConnectionClosedError,
        botocore.exceptions.EndpointConnectionError,
        botocore.exceptions.ReadTimeoutError,
    ):
        return
    raise AssertionError("the call was answered")


def forward(*groups, sticky=None):
    pairs = [g if isinstance(g, tuple) else (g, 1) for g in groups]
    config = {"TargetGroups": [{"TargetGroupArn": a, "Weight": w} for a, w in pairs]}
    if sticky:
        config["TargetGroupStickinessConfig"] = {"Enabled": True, "DurationSeconds": sticky}
    return {"Type": "forward", "ForwardConfig": config}


def fixed(code, text="fixed"):
    config = {"StatusCode": code, "MessageBody": text, "ContentType": "text/plain"}
    return {"Type": "fixed-response", "FixedResponseConfig": config}


def path(pattern):
    return [{"Field": "path-pattern", "PathPatternConfig": {"Values": [pattern]}}]


def breaker(count, reset=False):
    threshold = {"type": "COUNT", "value": count}
    own = {"enable": True, "rollback": False, "resetOnHealthyTask": reset, "thresholdConfiguration": threshold}
    return {"deploymentCircuitBreaker": own}


def encoded(text):
    return base64.b64encode(text.encode()).decode()
