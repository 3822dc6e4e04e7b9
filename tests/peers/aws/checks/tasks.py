"""ECS tasks: their states, reasons, tags, secrets and volumes."""

import json

from .world import ACCOUNT, REGION, check, refused, until

ROLE = f"arn:aws:iam::{ACCOUNT}:role/exec"
ECHO = {"entryPoint": ["sh", "-c"], "command": ["echo PASSWORD=$PASSWORD MODE=$MODE; exec sleep 600"]}


@check
def image_that_cannot_be_pulled(w):
    w.service("nopull", w.definition("nopull", image="registry.example/none:9"))
    t = until("stopped", lambda: w.tasks("nopull", "STOPPED"))[0]
    assert t["stopCode"] == "TaskFailedToStart" and t["stoppedReason"].startswith("CannotPullContainerError"), t
    assert "CannotPullContainerError" in t["containers"][0]["reason"], t
    w.delete("nopull")


@check
def an_image_is_known_by_its_digest(w):
    digest = "sha256:" + "0" * 64
    w.lab("POST", "images", {"registry.example:5000/team/shop": ["sleep", "600"]})
    w.service("digest", w.definition("digest", image=f"registry.example:5000/team/shop:7@{digest}"))
    w.service("tag", w.definition("tag", image="registry.example:5000/team/shop:7"))
    until("running", lambda: all(w.described(n)["runningCount"] == 1 for n in ("digest", "tag")))
    assert w.tasks("digest")[0]["containers"][0]["imageDigest"] == digest
    assert w.tasks("tag")[0]["containers"][0]["imageDigest"].startswith("sha256:")
    w.delete("digest", "tag")


@check
def capacity_unavailable(w):
    words = "Capacity is unavailable at this time"
    with w.with_settings(capacity_unavailable=True):
        w.service("full", w.definition("full"))
        until("event", lambda: any(words in e["message"] for e in w.described("full")["events"]))
        assert w.described("full")["runningCount"] == 0
    until("running", lambda: w.described("full")["runningCount"] == 1)
    w.delete("full")


@check
def crash_is_replaced(w):
    w.service("crashed", w.definition("crashed"))
    first = until("running", lambda: w.described("crashed")["runningCount"] and w.tasks("crashed"))[0]["taskArn"]
    w.lab("POST", "kill-task", {"arn": first})
    until("stopped", lambda: w.task(first)["lastStatus"] == "STOPPED")
    assert w.task(first)["containers"][0]["exitCode"] == 137
    until("another task", lambda: w.described("crashed")["runningCount"] == 1)
    assert w.tasks("crashed")[0]["taskArn"] != first
    w.delete("crashed")


@check
def tags_travel(w):
    d = w.definition("tagged", tags=[{"key": "from", "value": "definition"}])
    own = [{"key": "pointsman:stack", "value": "7"}]
    w.service("tagged", d, tags=own, propagateTags="SERVICE", enableECSManagedTags=True)
    shown = w.described("tagged")
    assert own[0] in shown["tags"] and shown["propagateTags"] == "SERVICE", shown
    tags = {t["key"]: t["value"] for t in until("task", lambda: w.tasks("tagged"))[0]["tags"]}
    assert tags == {"pointsman:stack": "7", "aws:ecs:serviceName": "tagged", "aws:ecs:clusterName": "prod"}, tags
    w.delete("tagged")


def logs_to(group):
    options = {"awslogs-group": group, "awslogs-region": REGION, "awslogs-stream-prefix": "app"}
    return {"logDriver": "awslogs", "options": options}


def lines(w, group, task):
    stream = f"app/web/{task.split('/')[-1]}"
    return [e["message"] for e in w.logs.get_log_events(logGroupName=group, logStreamName=stream)["events"]]


@check
def secrets_and_parameters_reach_the_task_by_reference(w):
    secret = w.secrets.create_secret(Name="db", SecretString=json.dumps({"password": "p1"}))["ARN"]
    w.ssm.put_parameter(Name="/app/mode", Value="m1", Type="SecureString")
    w.logs.create_log_group(logGroupName="/ecs/app")
    want = [{"name": "PASSWORD", "valueFrom": f"{secret}:password::"}, {"name": "MODE", "valueFrom": "/app/mode"}]
    refused("ClientException", lambda: w.definition("sec", container={"secrets": want}), "executionRoleArn")
    container = {**ECHO, "secrets": want, "logConfiguration": logs_to("/ecs/app")}
    w.service("sec", w.definition("sec", container=container, executionRoleArn=ROLE))
    task = until("task", lambda: w.described("sec")["runningCount"] == 1 and w.tasks("sec"))[0]["taskArn"]
    until("log", lambda: lines(w, "/ecs/app", task) == ["PASSWORD=p1 MODE=m1"])
    for name, reference in (("sec-gone", secret[:-3] + "xyz"), ("sec-key", f"{secret}:nokey::")):
        container = {**ECHO, "secrets": [{"name": "P", "valueFrom": reference}]}
        w.service(name, w.definition(name, container=container, executionRoleArn=ROLE))
        t = until("stopped", lambda: w.tasks(name, "STOPPED"))[0]
        assert t["stopCode"] == "TaskFailedToStart", t
        assert t["stoppedReason"].startswith("ResourceInitializationError: unable to pull secrets"), t
    w.delete("sec", "sec-gone", "sec-key")


@check
def tasks_share_a_file_system(w):
    fs = w.efs.create_file_system(CreationToken="home")["FileSystemId"]
    volumes = [{"name": "home", "efsVolumeConfiguration": {"fileSystemId": fs}}]
    script = "echo $NAME >> $MOUNT_HOME/names; cat $MOUNT_HOME/names; exec sleep 600"
    container = {
        "entryPoint": ["sh", "-c"],
        "command": [script],
        "mountPoints": [{"sourceVolume": "home", "containerPath": "/var/home"}],
        "logConfiguration": logs_to("/ecs/home"),
    }

    def definition(name):
        env = {"NAME": name}
        return w.definition(
            name,
            container={**container, "environment": [{"name": k, "value": v} for k, v in env.items()]},
            volumes=volumes,
        )

    w.logs.create_log_group(logGroupName="/ecs/home")
    w.service("one", definition("one"))
    t = until("stopped", lambda: w.tasks("one", "STOPPED"))[0]  # the file system has no mount target
    assert "failed to invoke EFS utils commands" in t["stoppedReason"], t
    w.efs.create_mount_target(FileSystemId=fs, SubnetId=w.subnets[0])
    until("running", lambda: w.described("one")["runningCount"] == 1)
    w.service("two", definition("two"))
    task = until("running", lambda: w.described("two")["runningCount"] == 1 and w.tasks("two"))[0]["taskArn"]
    until("both names", lambda: lines(w, "/ecs/home", task) == ["one", "two"])
    w.delete("one", "two")
