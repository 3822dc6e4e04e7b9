"""RunTask: one-off tasks with another command, their exit codes and last lines, and finding them again."""

from .tasks import lines, logs_to
from .world import check, refused, until


def definition(w, name):
    group = f"/ecs/{name}"
    w.logs.create_log_group(logGroupName=group)
    return w.definition(name, image="job:1", container={"logConfiguration": logs_to(group)})


def run(w, task_definition, script=None, **more):
    override = {"name": "web", "environment": [{"name": "STEP", "value": "migrate"}]}
    if script:
        override["command"] = [script]
    usual = {"cluster": "prod", "taskDefinition": task_definition, "launchType": "FARGATE"}
    own = {"networkConfiguration": w.network, "overrides": {"containerOverrides": [override]}}
    return w.ecs.run_task(**{**usual, **own, **more})["tasks"][0]["taskArn"]


def stopped(w, arn):
    return until("stopped", lambda: (t := w.task(arn))["lastStatus"] == "STOPPED" and t)


@check
def a_task_runs_another_command_and_keeps_its_exit_code_and_lines(w):
    d = definition(w, "migrate")
    arn = run(w, d, "echo begin; echo $STEP >&2; exit 7", startedBy="deployment-12/migrate")
    t = stopped(w, arn)
    assert t["stopCode"] == "EssentialContainerExited" and t["containers"][0]["exitCode"] == 7, t
    assert t["startedBy"] == "deployment-12/migrate", t
    assert t["overrides"]["containerOverrides"][0]["command"] == ["echo begin; echo $STEP >&2; exit 7"], t
    assert lines(w, "/ecs/migrate", arn) == ["begin", "migrate"]
    assert stopped(w, run(w, d, "exit 0"))["containers"][0]["exitCode"] == 0


@check
def a_task_is_found_again_by_who_started_it(w):
    d = definition(w, "found")
    arn = run(w, d, "exec sleep 600", startedBy="hook-5", clientToken="hook-5")
    assert run(w, d, "exec sleep 600", startedBy="hook-5", clientToken="hook-5") == arn
    unknown = w.ecs.describe_tasks(cluster="prod", tasks=["0" * 32])["failures"]
    assert unknown[0]["reason"] == "MISSING" and unknown[0]["arn"].endswith("prod/" + "0" * 32), unknown
    refused("ConflictException", lambda: run(w, d, "exit 1", startedBy="hook-5", clientToken="hook-5"), arn)
    mine = {"cluster": "prod", "startedBy": "hook-5"}
    assert w.ecs.list_tasks(**mine)["taskArns"] == [arn]
    refused("InvalidParameterException", lambda: w.ecs.list_tasks(**mine, family="found"))
    w.ecs.stop_task(cluster="prod", task=arn, reason="aborted by the test")
    t = stopped(w, arn)
    assert (t["stopCode"], t["stoppedReason"]) == ("UserInitiated", "aborted by the test"), t
    assert w.ecs.list_tasks(**mine)["taskArns"] == []
    assert w.ecs.list_tasks(**mine, desiredStatus="STOPPED")["taskArns"] == [arn]


@check
def run_task_checks_what_aws_checks(w):
    d = definition(w, "checked")
    other = {"containerOverrides": [{"name": "db", "command": ["x"]}]}
    refused("ClientException", lambda: run(w, d, overrides=other), "not a container in the TaskDefinition")
    refused("InvalidParameterException", lambda: run(w, d, networkConfiguration={}), "Network Configuration")
    refused("InvalidParameterException", lambda: run(w, d, count=11))
    with w.with_settings(capacity_unavailable=True):
        refused("ServerException", lambda: run(w, d), "Capacity is unavailable")
    w.ecs.deregister_task_definition(taskDefinition=d)
    refused("ClientException", lambda: run(w, d), "inactive")
