"""Faults, throttles, and the log of calls."""

from .world import check, fixed, refused, unanswered, until


@check
def a_fault_meets_the_call_it_names(w):
    w.fault(action="ecs:DescribeClusters", kind="error")
    refused("ServerException", lambda: w.ecs.describe_clusters())
    w.ecs.describe_clusters()  # "times" is 1
    w.fault(action="DescribeRules", kind="error")
    refused("InternalFailure", lambda: w.elb.describe_rules(ListenerArn=w.listener))
    w.fault(action="DescribeAlarms", kind="throttle")
    refused(("Throttling", "ThrottlingException"), lambda: w.cloudwatch.describe_alarms())
    w.fault(action="DescribeLaunchTemplates", kind="throttle")
    refused("RequestLimitExceeded", lambda: w.ec2.describe_launch_templates())
    w.fault(action="ListBackupJobs", kind="denied")
    refused("AccessDeniedException", lambda: w.backup.list_backup_jobs())


@check
def a_call_stays_without_an_answer(w):
    w.fault(action="DescribeClusters", kind="timeout", delay_ms=3000)
    quick = w.client("ecs", read_timeout=1)
    unanswered(lambda: quick.describe_clusters())
    w.fault(action="CreateTargetGroup", kind="drop", when="after")
    unanswered(lambda: w.group("lost"))
    assert w.elb.describe_target_groups(Names=["lost"])["TargetGroups"] and w.group("lost")
    w.fault(action="CreateService", kind="drop", when="before")
    unanswered(lambda: w.service("never", w.definition("never")))
    assert w.ecs.describe_services(cluster="prod", services=["never"])["failures"]


@check
def throttles_have_a_burst_and_a_rate(w):
    w.lab("POST", "throttle", {"writes": {"action": "RegisterTaskDefinition", "capacity": 1, "rate": 0.5}})
    w.definition("throttled")
    refused("ThrottlingException", lambda: w.definition("throttled"), "Rate exceeded")
    assert "elb-read" in w.lab("POST", "throttle", "documented")["buckets"]
    for _ in range(20):
        w.ecs.register_task_definition(family="many", containerDefinitions=[])
    w.lab("DELETE", "faults")


@check
def somebody_else_changes_a_listener_between_a_read_and_a_write(w):
    def live():
        return w.elb.describe_listeners(ListenerArns=[w.listener])["Listeners"][0]["DefaultActions"]

    def text():
        return live()[0]["FixedResponseConfig"]["MessageBody"]

    w.shift(fixed("503", "ours"))
    change = {"kind": "change", "listener": w.listener, "actions": [fixed("503", "theirs")]}
    w.fault(action="DescribeListeners", when="after", **change)
    assert text() == "ours" and text() == "theirs"
    until("in effect", lambda: w.get()[2] == "theirs")
    w.shift(fixed("503", "ours"))
    w.fault(action="DescribeListeners", when="before", **change)
    assert text() == "theirs"
    w.shift(fixed("503"))


@check
def calls_are_counted(w):
    w.lab("DELETE", "calls")
    w.ecs.list_clusters()
    w.elb.describe_rules(ListenerArn=w.listener)
    w.cloudwatch.describe_alarms()
    w.backup.list_backup_jobs()
    w.efs.describe_file_systems()
    got = w.lab("GET", "calls")
    assert got["by"] == {
        "ecs:ListClusters": 1,
        "elasticloadbalancing:DescribeRules": 1,
        "cloudwatch:DescribeAlarms": 1,
        "backup:ListBackupJobs": 1,
        "elasticfilesystem:DescribeFileSystems": 1,
    }, got["by"]
    assert got["log"][0]["status"] == 200 and got["log"][0]["ms"] > 0, got["log"][0]


@check
def each_answer_has_an_id_that_the_log_knows(w):
    def last():
        return w.lab("GET", "calls")["log"][-1]["request_id"]

    seen = [w.ecs.list_clusters()["ResponseMetadata"]["RequestId"], last()]
    seen += [w.elb.describe_rules(ListenerArn=w.listener)["ResponseMetadata"]["RequestId"], last()]
    seen += [w.ec2.describe_vpcs()["ResponseMetadata"]["RequestId"], last()]
    try:
        w.elb.describe_rules(RuleArns=[w.listener.replace(":listener/", ":listener-rule/") + "/none"])
    except w.elb.exceptions.RuleNotFoundException as e:
        seen += [e.response["ResponseMetadata"]["RequestId"], last()]
    assert len(seen) == 8 and seen[::2] == seen[1::2] and len(set(seen)) == 4, seen
