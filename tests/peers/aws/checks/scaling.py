"""Auto Scaling groups and launch templates."""

from .world import check, encoded, refused, until

USER_DATA = """#!/bin/sh
mkdir -p www && echo up > www/health && echo "$INSTANCE_ID v1" > www/index.html
exec python3 -m http.server 8080 --bind "$INSTANCE_IP" --directory www
"""
NAME = {"AutoScalingGroupName": "app-1"}


def group(w):
    found = w.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["app-1"])["AutoScalingGroups"]
    return found[0] if found else None


def states(w):
    g = group(w)
    return sorted(i["LifecycleState"] for i in g["Instances"]) if g else None


def instance(w):
    return group(w)["Instances"][0]["InstanceId"]


def replaced(w, old):
    return until("replaced", lambda: states(w) == ["InService"] and instance(w) != old and instance(w), 30)


def activities(w):
    return w.scaling.describe_scaling_activities(**NAME)["Activities"]


def template(w):
    """Returns the id of a launch template, and its second version."""
    image = w.ec2.register_image(Name="app", RootDeviceName="/dev/sda1", Architecture="x86_64")["ImageId"]
    data = {"ImageId": image, "InstanceType": "t3.micro", "UserData": encoded(USER_DATA)}
    named = {"LaunchTemplateName": "app", "LaunchTemplateData": data}
    made = w.ec2.create_launch_template(**named, ClientToken="c")["LaunchTemplate"]["LaunchTemplateId"]
    again = w.ec2.create_launch_template(**named, ClientToken="c")["LaunchTemplate"]["LaunchTemplateId"]
    assert again == made
    refused("InvalidLaunchTemplateName.AlreadyExistsException", lambda: w.ec2.create_launch_template(**named))
    second = w.ec2.create_launch_template_version(LaunchTemplateId=made, LaunchTemplateData=data)
    return made, str(second["LaunchTemplateVersion"]["VersionNumber"])


@check
def a_group_of_one_becomes_healthy(w):
    w.template, w.version = template(w)
    w.targets = w.group("asg", kind="instance", delay="5")
    w.test_rule(w.targets, "asg", 50)

    def make(**more):
        usual = {
            "LaunchTemplate": {"LaunchTemplateId": w.template, "Version": w.version},
            "MinSize": 1,
            "MaxSize": 2,
            "DesiredCapacity": 1,
            "VPCZoneIdentifier": ",".join(w.subnets),
            "TargetGroupARNs": [w.targets],
            "HealthCheckType": "ELB",
        }
        return w.scaling.create_auto_scaling_group(**{**NAME, **usual, **more})

    refused(
        "ValidationError", lambda: make(TargetGroupARNs=[w.targets[:-4] + "dead"]), "Target Groups may not be valid"
    )
    with w.with_settings(instance_start_seconds=20):
        make()
        assert until("an instance", lambda: states(w)) == ["Pending"]
    assert group(w)["HealthCheckGracePeriod"] == 0  # the API's default
    w.scaling.update_auto_scaling_group(**NAME, HealthCheckGracePeriod=20)
    refused("AlreadyExists", make)
    until("InService", lambda: states(w) == ["InService"])
    until("healthy", lambda: w.health(w.targets) == ["healthy"])
    assert group(w)["Instances"][0]["LaunchTemplate"]["Version"] == w.version
    page = f"{instance(w)} v1\n"
    until("page", lambda: w.get("/index.html", {"X-Pointsman": "asg"})[2] == page)
    found = w.ec2.describe_instances(InstanceIds=[instance(w)])["Reservations"][0]["Instances"][0]
    assert found["PrivateIpAddress"].startswith(w.ready["network"]), found


@check
def a_group_replaces_what_fails(w):
    first = instance(w)
    w.lab("POST", "kill-instance", {"id": first})  # the application ends: the load balancer finds it
    second = replaced(w, first)
    assert any("ELB system health check failure" in a["Cause"] for a in activities(w)), activities(w)
    assert any(a["Description"].startswith("Launching") for a in activities(w)), activities(w)
    w.lab("POST", "kill-instance", {"id": second, "how": "host"})  # the host fails: EC2 finds it
    replaced(w, second)


@check
def a_group_keeps_its_bounds(w):
    def wish(n):
        w.scaling.set_desired_capacity(**NAME, DesiredCapacity=n)

    refused("ValidationError", lambda: wish(3), "above max value")
    wish(2)
    until("two", lambda: states(w) == ["InService", "InService"])
    wish(1)
    until("one", lambda: states(w) == ["InService"])
    with w.with_settings(capacity_unavailable=True):
        wish(2)
        until("failed activity", lambda: activities(w)[0]["StatusCode"] == "Failed")


@check
def a_group_is_deleted_with_its_instances(w):
    words = "instances still in the group"
    refused("ResourceInUse", lambda: w.scaling.delete_auto_scaling_group(**NAME), words)
    w.scaling.delete_auto_scaling_group(**NAME, ForceDelete=True)
    assert group(w)["Status"] == "Delete in progress"
    until("gone", lambda: group(w) is None)
    until("no instance left", lambda: not w.lab("GET", "state")["instances"])
    w.ec2.delete_launch_template(LaunchTemplateId=w.template)
