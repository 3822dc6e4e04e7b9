"""Credentials, signatures, assumed roles, permissions, and the log of what each call needs."""

import json
import time
import urllib.error

from .world import ACCOUNT, REGION, check, refused, until

ECS = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
ELB = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/pointsman"


@check
def credentials_expire(w):
    old = w.client("ecs", key="ASIAOLD")
    old.list_clusters()
    w.lab("POST", "credentials", {"expire": ["ASIAOLD"]})
    refused("ExpiredTokenException", lambda: old.list_clusters())
    refused("ExpiredToken", lambda: w.client("elbv2", key="ASIAOLD").describe_load_balancers())
    w.client("ecs", key="ASIANEW").list_clusters()
    w.lab("POST", "credentials", {"renew": ["ASIAOLD"]})
    old.list_clusters()


@check
def signatures_are_verified_where_the_secret_is_known(w):
    w.lab("POST", "credentials", {"secrets": {"AKIASIGNED": "right"}})
    wrong = {"key": "AKIASIGNED", "secret": "wrong"}
    for service, look in (("ecs", "list_clusters"), ("backup", "list_backup_jobs")):
        getattr(w.client(service, key="AKIASIGNED", secret="right"), look)()
        refused("InvalidSignatureException", lambda s=service, x=look: getattr(w.client(s, **wrong), x)())
    w.client("elbv2", key="AKIASIGNED", secret="right").describe_target_groups(Names=[])
    refused("SignatureDoesNotMatch", lambda: w.client("elbv2", **wrong).describe_target_groups())
    w.client("ec2", key="AKIASIGNED", secret="right").describe_vpcs()
    refused("AuthFailure", lambda: w.client("ec2", **wrong).describe_vpcs())
    files = w.client("efs", key="AKIASIGNED", secret="right")  # a path and a query
    files.describe_file_systems(CreationToken="a b/c")


def assume(w, **more):
    return w.sts.assume_role(RoleArn=ROLE, RoleSessionName="pointsman", **more)["Credentials"]


def of_session(w, service, c):
    return w.client(service, key=c["AccessKeyId"], secret=c["SecretAccessKey"], token=c["SessionToken"])


def make_role(w):
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    trust["Condition"] = {"StringEquals": {"sts:ExternalId": "shop"}}
    try:
        w.iam.create_role(RoleName="pointsman", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    except w.iam.exceptions.EntityAlreadyExistsException:
        pass  # made by an earlier check


@check
def a_role_is_assumed_with_its_external_id(w):
    refused("AccessDenied", lambda: assume(w, ExternalId="shop"), "not authorized to perform: sts:AssumeRole")
    make_role(w)
    refused("AccessDenied", lambda: assume(w))
    refused("AccessDenied", lambda: assume(w, ExternalId="other"))
    c = assume(w, ExternalId="shop", DurationSeconds=900)
    left = c["Expiration"].timestamp() - time.time()
    assert 800 < left <= 901, c
    ecs = of_session(w, "ecs", c)
    ecs.list_clusters()
    who = of_session(w, "sts", c).get_caller_identity()["Arn"]
    assert who == f"arn:aws:sts::{ACCOUNT}:assumed-role/pointsman/pointsman", who
    refused("UnrecognizedClientException", lambda: of_session(w, "ecs", {**c, "SessionToken": "x"}).list_clusters())
    refused("InvalidSignatureException", lambda: of_session(w, "ecs", {**c, "SecretAccessKey": "x"}).list_clusters())
    w.lab("POST", "credentials", {"expire": "sessions"})
    refused("ExpiredTokenException", lambda: ecs.list_clusters())
    of_session(w, "ecs", assume(w, ExternalId="shop")).list_clusters()


@check
def the_log_names_what_a_call_needs(w):
    def needs(action):
        entries = [c for c in w.lab("GET", "calls")["log"] if c["action"] == action]
        return [(n["action"], n["resources"]) for n in entries[-1]["needs"]]

    g = w.group("needs", Tags=[{"Key": "pointsman:stack", "Value": "7"}])
    assert needs("CreateTargetGroup") == [
        ("elasticloadbalancing:CreateTargetGroup", [f"{ELB}:targetgroup/needs/*"]),
        ("elasticloadbalancing:AddTags", [f"{ELB}:targetgroup/needs/*"]),
    ], needs("CreateTargetGroup")
    rule = w.test_rule(g, "needs", 40)
    assert needs("CreateRule") == [("elasticloadbalancing:CreateRule", [w.listener])], needs("CreateRule")
    role = f"arn:aws:iam::{ACCOUNT}:role/exec"
    w.definition("needs", executionRoleArn=role)
    assert needs("RegisterTaskDefinition") == [
        ("ecs:RegisterTaskDefinition", [f"{ECS}:task-definition/needs:1"]),
        ("iam:PassRole", [role]),
    ], needs("RegisterTaskDefinition")
    w.service("needs", "needs", g)
    w.described("needs")
    assert needs("CreateService") == [("ecs:CreateService", [f"{ECS}:service/prod/needs"])]
    assert needs("DescribeServices") == [("ecs:DescribeServices", [f"{ECS}:service/prod/needs"])]
    w.health(g)
    assert needs("DescribeTargetHealth") == [("elasticloadbalancing:DescribeTargetHealth", ["*"])]
    w.delete("needs")
    w.elb.delete_rule(RuleArn=rule)


def bind(w, *statements):
    w.lab("DELETE", "policy")
    w.lab(
        "POST", "policy", {"document": {"Version": "2012-10-17", "Statement": list(statements)}, "for": ["AKIABOUND"]}
    )


@check
def a_policy_allows_by_action_and_resource(w):
    ecs, elb, ec2 = (w.client(s, key="AKIABOUND") for s in ("ecs", "elbv2", "ec2"))
    bind(w, {"Effect": "Allow", "Action": "ecs:List*", "Resource": "*"})
    ecs.list_clusters()
    look = {"cluster": "prod", "services": ["pt-1"]}
    words = "is not authorized to perform: ecs:DescribeServices on resource: " + f"{ECS}:service/prod/pt-1"
    refused("AccessDeniedException", lambda: ecs.describe_services(**look), words)
    refused("AccessDenied", lambda: elb.describe_rules(ListenerArn=w.listener), "elasticloadbalancing:DescribeRules")
    refused("UnauthorizedOperation", lambda: ec2.describe_security_groups(), "ec2:DescribeSecurityGroups")
    w.ecs.describe_services(**look)  # nobody else is bound
    mine = {"Effect": "Allow", "Action": "ecs:describeservices", "Resource": f"{ECS}:service/prod/pt-*"}
    bind(w, mine)
    ecs.describe_services(**look)
    refused(
        "AccessDeniedException", lambda: ecs.describe_services(cluster="prod", services=["pt-1", "other"]), "prod/other"
    )
    bind(w, mine, {"Effect": "Deny", "NotAction": "ecs:List*", "Resource": "*"})
    refused("AccessDeniedException", lambda: ecs.describe_services(**look), "explicit deny")


@check
def a_policy_allows_by_tags(w):
    elb = w.client("elbv2", key="AKIABOUND")
    tags = [{"Key": "pointsman:pipeline", "Value": "shop"}]
    group = {"Name": "tagged", "Protocol": "HTTP", "Port": 80, "VpcId": w.vpc, "TargetType": "ip"}
    own, created = (
        {"aws:RequestTag/pointsman:pipeline": "shop"},
        {"elasticloadbalancing:CreateAction": "CreateTargetGroup"},
    )
    create = {"Action": "elasticloadbalancing:CreateTargetGroup", "Condition": {"StringEquals": own}}
    tag = {"Action": "elasticloadbalancing:AddTags", "Condition": {"StringEquals": created}}
    held = {"StringLike": {"aws:ResourceTag/pointsman:pipeline": "sh*"}}
    delete = {"Action": "elasticloadbalancing:DeleteTargetGroup", "Condition": held}
    statements = [{"Effect": "Allow", "Resource": "*", **s} for s in (create, tag, delete)]
    bind(w, *statements[:1])
    refused("AccessDenied", lambda: elb.create_target_group(**group, Tags=tags), "elasticloadbalancing:AddTags")
    bind(w, *statements)
    refused("AccessDenied", lambda: elb.create_target_group(**group), "elasticloadbalancing:CreateTargetGroup")
    mine = elb.create_target_group(**group, Tags=tags)["TargetGroups"][0]["TargetGroupArn"]
    elb.delete_target_group(TargetGroupArn=mine)
    foreign = w.group("foreign")
    refused("AccessDenied", lambda: elb.delete_target_group(TargetGroupArn=foreign))
    w.service("theirs", w.definition("theirs"), count=0, tags=[{"key": "pointsman:pipeline", "value": "other"}])
    service = {"Action": "ecs:DeleteService", "Condition": held}
    bind(w, {"Effect": "Allow", "Resource": "*", **service})
    ecs = w.client("ecs", key="AKIABOUND")
    refused("AccessDeniedException", lambda: ecs.delete_service(cluster="prod", service="theirs", force=True))
    w.ecs.tag_resource(resourceArn=f"{ECS}:service/prod/theirs", tags=[{"key": "pointsman:pipeline", "value": "shop"}])
    ecs.delete_service(cluster="prod", service="theirs", force=True)


@check
def a_policy_allows_by_cluster_and_negation(w):
    ecs = w.client("ecs", key="AKIABOUND")
    w.ecs.create_cluster(clusterName="other")
    lists = {"Effect": "Allow", "Action": ["ecs:ListServices", "ecs:ListTasks"], "Resource": "*"}
    bind(w, {**lists, "Condition": {"ArnEquals": {"ecs:cluster": f"{ECS}:cluster/prod"}}})
    ecs.list_services(cluster="prod")
    ecs.list_tasks(cluster=f"{ECS}:cluster/prod")
    refused("AccessDeniedException", lambda: ecs.list_services(cluster="other"))
    elsewhere = {"StringNotEquals": {"aws:RequestedRegion": REGION}}
    bind(w, lists, {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": elsewhere})
    ecs.list_services(cluster="other")
    untagged = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"Null": {"aws:TagKeys": "true"}}}
    bind(w, lists, untagged)
    refused("AccessDeniedException", lambda: ecs.list_services(cluster="prod"), "explicit deny")
    only = {"ForAllValues:StringEquals": {"aws:TagKeys": ["pointsman:stack"]}}
    tag = {"Effect": "Allow", "Action": "ecs:TagResource", "Resource": "*", "Condition": only}
    bind(w, tag)
    arn = f"{ECS}:cluster/prod"
    ecs.tag_resource(resourceArn=arn, tags=[{"key": "pointsman:stack", "value": "7"}])
    both = [{"key": k, "value": "7"} for k in ("pointsman:stack", "owner")]
    refused("AccessDeniedException", lambda: ecs.tag_resource(resourceArn=arn, tags=both))


@check
def a_policy_that_is_not_understood_is_refused(w):
    for statement, words in (
        ({"Effect": "Allow", "Action": "*", "Resource": "${aws:username}"}, "variables"),
        (
            {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"DateLessThan": {"a": "b"}}},
            "DateLessThan",
        ),
        ({"Effect": "allow", "Action": "*", "Resource": "*"}, "Effect"),
    ):
        try:
            bind(w, statement)
            raise AssertionError(f"taken: {statement}")
        except urllib.error.HTTPError as e:
            text = e.read().decode()
            assert e.code == 400 and words in text, text


@check
def roles_are_passed_to_their_service_only(w):
    role = f"arn:aws:iam::{ACCOUNT}:role/exec"
    ecs = w.client("ecs", key="AKIABOUND")
    register = {"Effect": "Allow", "Action": "ecs:RegisterTaskDefinition", "Resource": "*"}

    def passing(service):
        condition = {"StringEquals": {"iam:PassedToService": service}}
        bind(w, register, {"Effect": "Allow", "Action": "iam:PassRole", "Resource": role, "Condition": condition})

    def make():
        ecs.register_task_definition(family="passed", containerDefinitions=[], executionRoleArn=role)

    bind(w, register)
    refused("AccessDeniedException", make, f"iam:PassRole on resource: {role}")
    passing("backup.amazonaws.com")
    refused("AccessDeniedException", make, "iam:PassRole")
    passing("ecs-tasks.amazonaws.com")
    make()


@check
def a_policy_binds_the_sessions_of_a_role(w):
    make_role(w)
    document = {"Statement": {"Effect": "Allow", "Action": "ecs:ListClusters", "Resource": "*"}}
    w.lab("POST", "policy", {"document": document, "for": [ROLE]})
    ecs = of_session(w, "ecs", assume(w, ExternalId="shop"))
    ecs.list_clusters()
    words = f"User: arn:aws:sts::{ACCOUNT}:assumed-role/pointsman/pointsman is not authorized"
    refused("AccessDeniedException", lambda: ecs.describe_clusters(), words)
    w.lab("DELETE", "policy")
    until("free again", lambda: ecs.describe_clusters())


@check
def needs_are_noted_in_a_file(w):
    before = w.needs()
    w.client("ecs", key="AKIANOTED").describe_clusters(clusters=["prod"])
    w.ecs.describe_clusters(clusters=["other"])  # the administrator's calls are not noted
    new = [n for n in w.needs() if n not in before]
    assert [(n["action"], n["resources"]) for n in new] == [("ecs:DescribeClusters", [f"{ECS}:cluster/prod"])], new


@check
def parameters_keep_to_the_api_model(w):
    def group(**more):
        own = {"Name": "model", "Protocol": "HTTP", "Port": 80, "VpcId": w.vpc, "TargetType": "ip"}
        w.elb.create_target_group(**{**own, **more})

    refused("ValidationError", lambda: group(HealthCheckIntervalSeconds=301), "less than or equal to 300")
    refused("ValidationError", lambda: group(TargetType="task"), "enum value set")
    refused("InvalidParameterException", lambda: w.ecs.list_tasks(cluster="prod", desiredStatus="GONE"), "enum")
