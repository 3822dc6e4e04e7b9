#!/usr/bin/env python3
"""The fewest calls of a deployment, without Pointsman: the floor that it is measured against.

usage: flow.py ENDPOINT VPC SUBNET SECURITY_GROUP LISTENER     (what account.py prints)

Deploys two stacks, cuts over to each, returns to the first, and retires the second. Prints the time and the calls of each
phase, and last one line of JSON with the seconds of all of them.
"""

import hashlib
import json
import sys
import time

import boto3
from botocore.config import Config

END, VPC, SUBNET, SG, LISTENER = sys.argv[1:6]
KEYS = {"region_name": "eu-west-1", "aws_access_key_id": "t", "aws_secret_access_key": "t"}
ONCE = Config(retries={"total_max_attempts": 1})
ecs, elb = (boto3.client(service, endpoint_url=END, config=ONCE, **KEYS) for service in ("ecs", "elbv2"))
CLUSTER, POLL, GUARD, PATIENCE = "prod", 0.5, 0.5, 120
calls, phases = [], {}


def call(client, name, **parameters):
    calls.append(name)
    return getattr(client, name)(**parameters)


def phase(name, work, *arguments):
    at, began = len(calls), time.monotonic()
    out = work(*arguments)
    phases[name] = round(time.monotonic() - began, 3)
    changing = [n for n in calls[at:] if not n.startswith("describe")]
    print(
        f"{name:28} {phases[name]:7.3f} s  {len(calls) - at:3} calls, of which change something: {', '.join(changing)}"
    )
    return out


def until(what, look):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if look():
            return
        time.sleep(POLL)
    raise SystemExit(f"not within {PATIENCE} s: {what}")


def definition(stack, image, tags):
    environment = [{"name": "VERSION", "value": stack}]
    container = {"name": "web", "image": image, "portMappings": [{"containerPort": 8080}], "environment": environment}
    fargate = {"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"}
    made = call(
        ecs, "register_task_definition", family=f"pt-{stack}", containerDefinitions=[container], tags=tags, **fargate
    )
    return made["taskDefinition"]["taskDefinitionArn"]


def target_group(stack):
    check = {"HealthCheckPath": "/health", "HealthCheckIntervalSeconds": 5, "HealthyThresholdCount": 2}
    own = {"Name": f"pt-{stack}", "Protocol": "HTTP", "Port": 8080, "VpcId": VPC, "TargetType": "ip"}
    made = call(elb, "create_target_group", **own, **check, Tags=[{"Key": "pointsman:stack", "Value": stack}])
    arn = made["TargetGroups"][0]["TargetGroupArn"]
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "5"}
    call(elb, "modify_target_group_attributes", TargetGroupArn=arn, Attributes=[delay])
    return arn


def test_rule(stack, group, priority):
    header = {"HttpHeaderName": "X-Pointsman", "Values": [stack]}
    made = call(
        elb,
        "create_rule",
        ListenerArn=LISTENER,
        Priority=priority,
        Actions=[{"Type": "forward", "TargetGroupArn": group}],
        Conditions=[{"Field": "http-header", "HttpHeaderConfig": header}],
    )
    return made["Rules"][0]["RuleArn"]


def service(stack, definition_arn, group, tags):
    threshold = {"type": "COUNT", "value": 3}
    breaker = {"enable": True, "rollback": False, "resetOnHealthyTask": False, "thresholdConfiguration": threshold}
    call(
        ecs,
        "create_service",
        cluster=CLUSTER,
        serviceName=f"pt-{stack}",
        taskDefinition=definition_arn,
        desiredCount=2,
        launchType="FARGATE",
        clientToken=hashlib.sha256(f"create/{stack}".encode()).hexdigest()[:32],
        tags=tags,
        propagateTags="SERVICE",
        healthCheckGracePeriodSeconds=60,
        networkConfiguration={"awsvpcConfiguration": {"subnets": [SUBNET], "securityGroups": [SG]}},
        deploymentConfiguration={"deploymentCircuitBreaker": breaker},
        loadBalancers=[{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}],
    )


def described(stack):
    return call(ecs, "describe_services", cluster=CLUSTER, services=[f"pt-{stack}"])["services"][0]


def ready(stack, group):
    """Whether all tasks run, and each of their targets is healthy."""
    s = described(stack)
    if s["deployments"][0]["rolloutState"] == "FAILED":
        raise SystemExit(s["deployments"][0]["rolloutStateReason"])
    if s["runningCount"] != s["desiredCount"]:
        return False
    found = call(elb, "describe_target_health", TargetGroupArn=group)["TargetHealthDescriptions"]
    return len(found) == s["desiredCount"] and all(t["TargetHealth"]["State"] == "healthy" for t in found)


def deploy(stack, image, priority):
    tags = [{"key": "pointsman:stack", "value": stack}]
    arn, group = definition(stack, image, tags), target_group(stack)
    rule = test_rule(stack, group, priority)
    service(stack, arn, group, tags)
    until(f"{stack} healthy", lambda: ready(stack, group))
    return {"stack": stack, "definition": arn, "group": group, "rule": rule}


def live():
    """The default actions of the listener, and the groups that they forward to."""
    actions = call(elb, "describe_listeners", ListenerArns=[LISTENER])["Listeners"][0]["DefaultActions"]
    forwards = [a for a in actions if a["Type"] == "forward"]
    return actions, [g["TargetGroupArn"] for a in forwards for g in a["ForwardConfig"]["TargetGroups"]]


def switch(to, expected):
    """Reads once, writes once, and waits the guard time. Only the forward part of the actions changes."""
    actions, now = live()
    if now != [expected]:
        raise SystemExit(f"drift: live is {now}, expected was {[expected]}")
    for a in actions:
        if a["Type"] == "forward":
            a["TargetGroupArn"] = to
            a["ForwardConfig"]["TargetGroups"] = [{"TargetGroupArn": to, "Weight": 1}]
        if a["Type"] == "authenticate-oidc":
            a["AuthenticateOidcConfig"]["UseExistingClientSecret"] = True
    call(elb, "modify_listener", ListenerArn=LISTENER, DefaultActions=actions)
    time.sleep(GUARD)


def retire(s):
    call(ecs, "delete_service", cluster=CLUSTER, service=f"pt-{s['stack']}", force=True)
    until(f"{s['stack']} inactive", lambda: described(s["stack"])["status"] == "INACTIVE")
    call(elb, "delete_rule", RuleArn=s["rule"])
    call(elb, "delete_target_group", TargetGroupArn=s["group"])
    call(ecs, "deregister_task_definition", taskDefinition=s["definition"])


def main():
    blue = live()[1][0]
    one = phase("deploy 1 to healthy", deploy, "one", "web:2", 101)
    phase("cutover 1 and guard", switch, one["group"], blue)
    two = phase("deploy 2 to healthy", deploy, "two", "web:1", 102)
    phase("cutover 2 and guard", switch, two["group"], one["group"])
    phase("rollback and guard", switch, one["group"], two["group"])
    phase("retire 2", retire, two)
    print(json.dumps(phases))


main()
