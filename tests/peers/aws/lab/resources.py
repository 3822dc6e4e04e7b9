"""The permissions that a call needs: actions, resources and condition keys, by AWS's Service Authorization Reference.

The resources of ACTIONS are named as there. An action that is not listed needs its own name on "*".
"""

import dataclasses

from moto.autoscaling.models import autoscaling_backends
from moto.ec2.models import ec2_backends
from moto.ecs.models import ecs_backends
from moto.elbv2.models import elbv2_backends
from moto.iam.models import iam_backends
from moto.rds.models import rds_backends

from .task import tasks
from .wire import ACCOUNT


@dataclasses.dataclass
class Need:
    """One action on some resources. All of them must be allowed."""

    action: str
    resources: list
    context: dict  # condition key -> list of values, the same for each resource

    def shown(self):
        return {"action": self.action, "resources": self.resources, "context": self.context}


def needs(call):
    """What IAM asks for this call, the call's own action first."""
    p = call.parameters
    find, keys = ACTIONS.get(call.name, (None, None))
    resources = [r for r in find(p, call) if r] if find else ["*"]
    context = {"aws:requestedregion": [call.region], **(keys(p, call) if keys else {}), **request_tags(tags_of(call))}
    return [Need(call.name, resources or ["*"], context), *dependents(call, context)]


def arn(call, service, rest):
    return f"arn:aws:{service}:{call.region}:{ACCOUNT}:{rest}"


# ------------------------------------------------------------ ECS
def cluster_name(p):
    return (p.get("cluster") or "default").split("/")[-1]


def cluster_key(p, call):
    return {"ecs:cluster": [arn(call, "ecs", f"cluster/{cluster_name(p)}")]}


def service_keys(p, call):
    out = cluster_key(p, call)
    if p.get("taskDefinition"):
        out["ecs:task-definition"] = [definition_arn(p["taskDefinition"], call)]
    return out


def of_services(*names):
    """The services that these parameters name."""

    def find(p, call):
        given = [s for n in names for s in (p.get(n) if isinstance(p.get(n), list) else [p.get(n)]) if s]
        return [arn(call, "ecs", f"service/{cluster_name(p)}/{s.split('/')[-1]}") for s in given]

    return find


def of_tasks(p, call):
    given = [p["task"]] if p.get("task") else p.get("tasks") or []
    return [arn(call, "ecs", f"task/{cluster_name(p)}/{t.split('/')[-1]}") for t in given]


def definition_arn(name, call):
    """The ARN with its revision, the latest one unless the call gives one."""
    family = name.split("/")[-1]
    if ":" not in family:
        known = ecs_backends[ACCOUNT][call.region].task_definitions.get(family) or [0]
        family = f"{family}:{max(known)}"
    return arn(call, "ecs", f"task-definition/{family}")


def of_definition(p, call):
    return [definition_arn(p["taskDefinition"], call)] if p.get("taskDefinition") else []


def new_definition(p, call):
    known = ecs_backends[ACCOUNT][call.region].task_definitions.get(p.get("family")) or [0]
    return [arn(call, "ecs", f"task-definition/{p.get('family')}:{max(known) + 1}")]


# ------------------------------------------------------------ other services
def given(*names):
    """The ARNs that these parameters hold."""

    def find(p, call):
        return [r for n in names for r in (p.get(n) if isinstance(p.get(n), list) else [p.get(n)])]

    return find


def named(service, kind, *names):
    """Resources of a kind by their names or ids; all of them when the call names none."""

    def find(p, call):
        values = [v for n in names for v in (p.get(n) if isinstance(p.get(n), list) else [p.get(n)]) if v]
        return [arn(call, service, f"{kind}{v}") for v in values or ["*"]]

    return find


def of_group(p, call):
    """Auto Scaling groups; the ARN of one that is to be made has no id yet."""
    known = autoscaling_backends[ACCOUNT][call.region].autoscaling_groups
    names = [p.get("AutoScalingGroupName")] + [t.get("ResourceId") for t in p.get("Tags") or []]
    found = {n: known[n].arn if n in known else None for n in names if n}
    return [a or arn(call, "autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{n}") for n, a in found.items()]


def of_template(p, call):
    known = ec2_backends[ACCOUNT][call.region]
    given_id = p.get("LaunchTemplateId") or known.launch_template_name_to_ids.get(p.get("LaunchTemplateName"))
    return [arn(call, "ec2", f"launch-template/{given_id or '*'}")]


def of_snapshot(p, call):
    snapshot, cluster = p.get("DBClusterSnapshotIdentifier"), p.get("DBClusterIdentifier")
    out = [arn(call, "rds", f"cluster:{cluster}")] if cluster else []
    return out + ([arn(call, "rds", f"cluster-snapshot:{snapshot}")] if snapshot or not cluster else [])


def of_stream(p, call):
    group = p.get("logGroupIdentifier") or p.get("logGroupName")
    return [arn(call, "logs", f"log-group:{group}:log-stream:{p.get('logStreamName')}")]


def of_log_group(p, call):
    return [arn(call, "logs", f"log-group:{p.get('logGroupIdentifier') or p.get('logGroupName')}")]


def scaling_keys(p, call):
    return {
        "application-autoscaling:service-namespace": [p.get("ServiceNamespace")],
        "application-autoscaling:scalable-dimension": [p.get("ScalableDimension")],
    }


def force_delete(p, call):
    return {"autoscaling:forcedelete": [str(bool(p.get("ForceDelete"))).lower()]}


ELB, ECS, ASG = "elasticloadbalancing", "ecs", "autoscaling"
TARGET = named("application-autoscaling", "scalable-target/", "nothing")
# action -> (its resources, its own condition keys)
ACTIONS = {
    "ecs:DescribeClusters": (named(ECS, "cluster/", "clusters"), None),
    "ecs:CreateCluster": (named(ECS, "cluster/", "clusterName"), None),
    "ecs:RegisterTaskDefinition": (new_definition, None),
    "ecs:DeleteTaskDefinitions": (given("taskDefinitions"), None),
    "ecs:CreateService": (of_services("serviceName"), service_keys),
    "ecs:UpdateService": (of_services("service"), service_keys),
    "ecs:DeleteService": (of_services("service"), cluster_key),
    "ecs:DescribeServices": (of_services("services"), cluster_key),
    "ecs:ListServices": (lambda p, call: ["*"], cluster_key),
    "ecs:RunTask": (of_definition, cluster_key),
    "ecs:StopTask": (of_tasks, cluster_key),
    "ecs:DescribeTasks": (of_tasks, cluster_key),
    "ecs:ListTasks": (lambda p, call: [arn(call, ECS, f"container-instance/{cluster_name(p)}/*")], cluster_key),
    "ecs:TagResource": (given("resourceArn"), None),
    "ecs:UntagResource": (given("resourceArn"), None),
    "ecs:ListTagsForResource": (given("resourceArn"), None),
    f"{ELB}:CreateTargetGroup": (lambda p, call: [arn(call, ELB, f"targetgroup/{p.get('Name')}/*")], None),
    f"{ELB}:DeleteTargetGroup": (given("TargetGroupArn"), None),
    f"{ELB}:ModifyTargetGroup": (given("TargetGroupArn"), None),
    f"{ELB}:ModifyTargetGroupAttributes": (given("TargetGroupArn"), None),
    f"{ELB}:RegisterTargets": (given("TargetGroupArn"), None),
    f"{ELB}:DeregisterTargets": (given("TargetGroupArn"), None),
    f"{ELB}:CreateRule": (given("ListenerArn"), None),
    f"{ELB}:DeleteRule": (given("RuleArn"), None),
    f"{ELB}:ModifyRule": (given("RuleArn"), None),
    f"{ELB}:SetRulePriorities": (lambda p, call: [r.get("RuleArn") for r in p.get("RulePriorities") or []], None),
    f"{ELB}:CreateListener": (given("LoadBalancerArn"), None),
    f"{ELB}:ModifyListener": (given("ListenerArn"), None),
    f"{ELB}:DeleteListener": (given("ListenerArn"), None),
    f"{ELB}:AddTags": (given("ResourceArns"), None),
    f"{ELB}:RemoveTags": (given("ResourceArns"), None),
    f"{ASG}:CreateAutoScalingGroup": (of_group, None),
    f"{ASG}:UpdateAutoScalingGroup": (of_group, None),
    f"{ASG}:DeleteAutoScalingGroup": (of_group, force_delete),
    f"{ASG}:SetDesiredCapacity": (of_group, None),
    f"{ASG}:CreateOrUpdateTags": (of_group, None),
    f"{ASG}:AttachLoadBalancerTargetGroups": (of_group, None),
    f"{ASG}:DetachLoadBalancerTargetGroups": (of_group, None),
    f"{ASG}:SuspendProcesses": (of_group, None),
    f"{ASG}:ResumeProcesses": (of_group, None),
    "application-autoscaling:RegisterScalableTarget": (TARGET, scaling_keys),
    "application-autoscaling:DeregisterScalableTarget": (TARGET, scaling_keys),
    "application-autoscaling:PutScalingPolicy": (TARGET, scaling_keys),
    "application-autoscaling:DeleteScalingPolicy": (TARGET, scaling_keys),
    "ec2:CreateLaunchTemplate": (lambda p, call: [arn(call, "ec2", "launch-template/*")], None),
    "ec2:CreateLaunchTemplateVersion": (of_template, None),
    "ec2:DeleteLaunchTemplate": (of_template, None),
    "ec2:DeleteLaunchTemplateVersions": (of_template, None),
    "rds:CreateDBClusterSnapshot": (of_snapshot, None),
    "rds:DescribeDBClusterSnapshots": (of_snapshot, None),
    "rds:DeleteDBClusterSnapshot": (of_snapshot, None),
    "rds:DescribeDBClusters": (named("rds", "cluster:", "DBClusterIdentifier"), None),
    "backup:StartBackupJob": (named("backup", "backup-vault:", "BackupVaultName"), None),
    "cloudwatch:DescribeAlarms": (named("cloudwatch", "alarm:", "AlarmNames"), None),
    "cloudwatch:PutMetricAlarm": (named("cloudwatch", "alarm:", "AlarmName"), None),
    "logs:GetLogEvents": (of_stream, None),
    "logs:FilterLogEvents": (of_log_group, None),
    "logs:DescribeLogStreams": (of_log_group, None),
    "elasticfilesystem:DescribeFileSystems": (named("elasticfilesystem", "file-system/", "FileSystemId"), None),
    "sts:AssumeRole": (
        given("RoleArn"),
        lambda p, call: {"sts:externalid": [p["ExternalId"]]} if p.get("ExternalId") else {},
    ),
}


# ------------------------------------------------------------ tags
def tags_of(call):
    """The tags that the call sets, whatever its service calls them."""
    p, out = call.parameters, {}
    lists = [p.get("Tags"), p.get("tags"), *(s.get("Tags") for s in p.get("TagSpecifications") or [])]
    for tags in lists:
        if isinstance(tags, dict):
            out.update(tags)
        for t in tags if isinstance(tags, list) else []:
            out[t.get("Key", t.get("key"))] = t.get("Value", t.get("value"))
    return out


def request_tags(tags):
    out = {f"aws:requesttag/{k}": [v] for k, v in tags.items()}
    return {**out, "aws:tagkeys": list(tags)} if tags else {}


def resource_tags(resource):
    """The tags that a resource has now."""
    parts = resource.split(":")
    if len(parts) < 6 or not parts[3]:
        return {}
    service, region = parts[2], parts[3]
    if service == "ecs":
        return tags_in_ecs(resource, ecs_backends[ACCOUNT][region])
    if service == "elasticloadbalancing":
        return dict(elbv2_backends[ACCOUNT][region].tagging_service.get_tag_dict_for_resource(resource))
    if service == "autoscaling":
        groups = autoscaling_backends[ACCOUNT][region].autoscaling_groups.values()
        return {t["Key"]: t["Value"] for g in groups if g.arn == resource for t in g.tags}
    if service == "ec2" and "launch-template/" in resource:
        found = ec2_backends[ACCOUNT][region].describe_tags({"resource-id": [resource.split("/")[-1]]})
        return {t["key"]: t["value"] for t in found}
    if service == "rds":
        clusters = rds_backends[ACCOUNT][region].clusters.values()
        snapshots = rds_backends[ACCOUNT][region].cluster_snapshots.values()
        found = [
            x for x in [*clusters, *snapshots] if resource in (getattr(x, "db_cluster_arn", 0), getattr(x, "arn", 0))
        ]
        return {t["Key"]: t["Value"] for x in found for t in x.tags}
    return {}


def tags_in_ecs(resource, backend):
    if resource in tasks:
        return {t["key"]: t["value"] for t in tasks[resource].tags}
    definitions = [d for revisions in backend.task_definitions.values() for d in revisions.values()]
    for known in [*backend.services.values(), *backend.clusters.values(), *definitions]:
        if known.arn == resource:
            return {t["key"]: t["value"] for t in known.tags or []}
    return {}


# ------------------------------------------------------------ what a call needs beside its own action
def dependents(call, context):
    p, tags = call.parameters, request_tags(tags_of(call))
    out = []
    if tags and call.name in TAGGING:
        action, resources = TAGGING[call.name]
        created = {f"{call.service}:createaction": [call.action], "aws:requestedregion": [call.region]}
        out.append(Need(action, resources(p, call), {**created, **tags}))
    if call.name in PASSING:
        roles, service = PASSING[call.name]
        passed = {"iam:passedtoservice": [service]}
        out += [Need("iam:PassRole", [role], passed) for role in roles(p, call) if role]
    if call.name in (f"{ASG}:CreateAutoScalingGroup", f"{ASG}:UpdateAutoScalingGroup"):
        out += launch_needs(p.get("LaunchTemplate") or {}, p, call)
    return out


def new_rule(p, call):
    return [f"{p.get('ListenerArn', '').replace(':listener/', ':listener-rule/')}/*"]


def new_snapshot(p, call):
    return [arn(call, "rds", f"cluster-snapshot:{p.get('DBClusterSnapshotIdentifier')}")]


# call that makes something with tags -> the action that this needs, and on which resources
TAGGING = {
    "ecs:CreateService": ("ecs:TagResource", of_services("serviceName")),
    "ecs:RegisterTaskDefinition": ("ecs:TagResource", new_definition),
    "ecs:RunTask": ("ecs:TagResource", lambda p, call: [arn(call, ECS, f"task/{cluster_name(p)}/*")]),
    f"{ELB}:CreateTargetGroup": (f"{ELB}:AddTags", ACTIONS[f"{ELB}:CreateTargetGroup"][0]),
    f"{ELB}:CreateRule": (f"{ELB}:AddTags", new_rule),
    "ec2:CreateLaunchTemplate": ("ec2:CreateTags", ACTIONS["ec2:CreateLaunchTemplate"][0]),
    "rds:CreateDBClusterSnapshot": ("rds:AddTagsToResource", new_snapshot),
    "application-autoscaling:RegisterScalableTarget": ("application-autoscaling:TagResource", TARGET),
}


def roles_of_task(p, call):
    """The roles of a definition that is registered, or of one that is run and its overrides."""
    overrides, roles = p.get("overrides") or {}, []
    for key, attribute in (("taskRoleArn", "task_role_arn"), ("executionRoleArn", "execution_role_arn")):
        roles.append(p.get(key) or overrides.get(key))
        if roles[-1] is None and p.get("taskDefinition"):
            wanted = definition_arn(p["taskDefinition"], call)
            revisions = [d for r in ecs_backends[ACCOUNT][call.region].task_definitions.values() for d in r.values()]
            roles[-1] = next((getattr(d, attribute, None) for d in revisions if d.arn == wanted), None)
    return roles


PASSING = {
    "ecs:RegisterTaskDefinition": (roles_of_task, "ecs-tasks.amazonaws.com"),
    "ecs:RunTask": (roles_of_task, "ecs-tasks.amazonaws.com"),
    "backup:StartBackupJob": (lambda p, call: [p.get("IamRoleArn")], "backup.amazonaws.com"),
}


def launch_needs(template, p, call):
    """A launch template is used with the permissions of the caller: ec2:RunInstances, and iam:PassRole for its profile."""
    if not template:
        return []
    backend = ec2_backends[ACCOUNT][call.region]
    lt = of_template(template, call)
    subnets = [s for s in (p.get("VPCZoneIdentifier") or "").split(",") if s]
    resources = [arn(call, "ec2", r) for r in ("instance/*", "network-interface/*", "volume/*")]
    resources += [arn(call, "ec2", f"subnet/{s}") for s in subnets] + lt
    out = [Need("ec2:RunInstances", resources, {"ec2:launchtemplate": lt})]
    known = backend.launch_templates.get(lt[0].split("/")[-1])
    profile = known and (known.latest_version().data.get("IamInstanceProfile") or {})
    name = profile and (profile.get("Name") or (profile.get("Arn") or "").split("/")[-1])
    if name:
        profiles = iam_backends[ACCOUNT]["aws"].instance_profiles.values()
        roles = [r.arn for x in profiles if x.name == name for r in x.roles]
        passed = {"iam:passedtoservice": ["ec2.amazonaws.com"]}
        out += [Need("iam:PassRole", [role], passed) for role in roles]
    return out
