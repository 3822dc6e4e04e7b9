"""What the second try of each change meets when the first was done and its answer was lost."""

import botocore.exceptions

from .world import check, encoded, forward, unanswered, until


class Meeting:
    """Makes each call twice, the first time without an answer."""

    def __init__(self, w):
        self.w, self.refused = w, {}

    def __call__(self, action, call):
        self.w.fault(action=action, kind="drop", when="after")
        unanswered(call)
        try:
            return call()
        except botocore.exceptions.ClientError as e:
            self.refused[action] = e.response["Error"]["Code"]
            return None


@check
def of_ecs_and_the_balancer(w):
    meet = Meeting(w)
    d = meet("RegisterTaskDefinition", lambda: w.definition("lost"))
    assert d.endswith(":2"), d  # a second revision
    own = {"Name": "lost", "Protocol": "HTTP", "Port": 8080, "VpcId": w.vpc, "TargetType": "ip"}
    made = meet("CreateTargetGroup", lambda: w.elb.create_target_group(**own))
    g = made["TargetGroups"][0]["TargetGroupArn"]
    delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "0"}]
    modify = w.elb.modify_target_group_attributes
    meet("ModifyTargetGroupAttributes", lambda: modify(TargetGroupArn=g, Attributes=delay))
    meet("CreateRule", lambda: w.test_rule(g, "lost", 80))
    rule = next(r for r in w.elb.describe_rules(ListenerArn=w.listener)["Rules"] if r["Priority"] == "80")["RuleArn"]
    meet("CreateService", lambda: w.service("lost", d, g, clientToken="lost"))
    meet("ModifyListener", lambda: w.shift(forward(g)))
    meet("ModifyRule", lambda: w.elb.modify_rule(RuleArn=rule, Actions=[forward(g)]))
    meet("UpdateService", lambda: w.ecs.update_service(cluster="prod", service="lost", desiredCount=1))
    meet(
        "RunTask",
        lambda: w.ecs.run_task(cluster="prod", taskDefinition=d, networkConfiguration=w.network, clientToken="t"),
    )
    meet("DeleteService", lambda: w.delete("lost"))
    until("INACTIVE", lambda: w.described("lost")["status"] == "INACTIVE")
    w.shift({"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}})
    meet("DeleteRule", lambda: w.elb.delete_rule(RuleArn=rule))
    meet("DeleteTargetGroup", lambda: w.elb.delete_target_group(TargetGroupArn=g))
    meet("DeregisterTaskDefinition", lambda: w.ecs.deregister_task_definition(taskDefinition=d))
    assert meet.refused == {"CreateRule": "PriorityInUse", "DeleteRule": "RuleNotFound"}, meet.refused


@check
def of_auto_scaling(w):
    meet = Meeting(w)
    image = w.ec2.register_image(Name="app", RootDeviceName="/dev/sda1", Architecture="x86_64")["ImageId"]
    data = {"ImageId": image, "InstanceType": "t3.micro", "UserData": encoded("#!/bin/sh\n")}
    named = {"LaunchTemplateName": "lost"}
    own = {**named, "LaunchTemplateData": data}
    meet("CreateLaunchTemplate", lambda: w.ec2.create_launch_template(**own, ClientToken="l1"))
    made = meet("CreateLaunchTemplateVersion", lambda: w.ec2.create_launch_template_version(**own, ClientToken="l2"))
    assert made["LaunchTemplateVersion"]["VersionNumber"] == 2, made
    group = {"AutoScalingGroupName": "lost"}
    sizes = {"MinSize": 0, "MaxSize": 1, "DesiredCapacity": 0, "VPCZoneIdentifier": w.subnets[0]}
    create, delete = w.scaling.create_auto_scaling_group, w.scaling.delete_auto_scaling_group
    meet("CreateAutoScalingGroup", lambda: create(**group, **sizes, LaunchTemplate=named))
    meet("DeleteAutoScalingGroup", lambda: delete(**group, ForceDelete=True))
    meet("DeleteLaunchTemplate", lambda: w.ec2.delete_launch_template(**named))
    assert meet.refused == {
        "CreateAutoScalingGroup": "AlreadyExists",
        "DeleteAutoScalingGroup": "ValidationError",
        "DeleteLaunchTemplate": "InvalidLaunchTemplateName.NotFoundException",
    }, meet.refused


@check
def of_snapshots(w):
    meet = Meeting(w)
    user = {"MasterUsername": "u", "MasterUserPassword": "password1"}
    w.rds.create_db_cluster(DBClusterIdentifier="desk", Engine="aurora-postgresql", **user)
    names = {"DBClusterSnapshotIdentifier": "lost", "DBClusterIdentifier": "desk"}
    meet("CreateDBClusterSnapshot", lambda: w.rds.create_db_cluster_snapshot(**names))
    assert meet.refused == {"CreateDBClusterSnapshot": "DBClusterSnapshotAlreadyExistsFault"}, meet.refused
