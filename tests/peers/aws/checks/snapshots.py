"""CloudWatch alarms, RDS snapshots, AWS Backup jobs: what Pointsman waits for around a cutover."""

import urllib.error
import urllib.request

from lab import cbor

from .world import ACCOUNT, check, refused, until

ALARM = {
    "AlarmName": "5xx",
    "Namespace": "AWS/ApplicationELB",
    "MetricName": "HTTPCode_Target_5XX_Count",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 5,
    "ComparisonOperator": "GreaterThanThreshold",
}


@check
def alarms_are_set_by_the_test(w):
    def states():
        found = w.cloudwatch.describe_alarms(AlarmNames=["5xx", "none"])["MetricAlarms"]
        return [a["StateValue"] for a in found]

    w.cloudwatch.put_metric_alarm(**ALARM)
    assert states() == ["INSUFFICIENT_DATA"]
    for s in ("OK", "ALARM", "INSUFFICIENT_DATA", "OK"):
        assert w.lab("POST", "alarm", {"name": "5xx", "state": s})["alarms"] == 1
        assert states() == [s]
    w.cloudwatch.put_metric_alarm(**ALARM)
    assert states() == ["OK"]  # an update leaves the state
    assert w.lab("POST", "alarm", {"name": "none", "state": "OK"})["alarms"] == 0


@check
def cloudwatch_answers_rpc_v2_cbor(w):
    """The AWS SDK for Rust sends a map without a length, and reads times as tag 1."""

    def post(body):
        scope = "AKIALAB/20260101/eu-west-1/monitoring/aws4_request"
        headers = {"smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}
        headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
        url = f"{w.url}/service/GraniteServiceVersion20100801/operation/DescribeAlarms"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=5) as f:
                return f.status, f.headers["smithy-protocol"], f.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers["smithy-protocol"], e.read()

    w.cloudwatch.put_metric_alarm(**ALARM)
    status, protocol, data = post(b"\xbf\x6aAlarmNames\x81\x635xx\xff")
    assert (status, protocol) == (200, "rpc-v2-cbor"), data
    assert cbor.loads(data)["MetricAlarms"][0]["AlarmName"] == "5xx", data
    assert b"StateUpdatedTimestamp\xc1\xfb" in data, data
    w.fault(action="DescribeAlarms", kind="throttle")
    status, _, data = post(b"\xa0")
    assert status == 400 and cbor.loads(data)["__type"] == "ThrottlingException", data


@check
def cloudwatch_answers_the_query_protocol(w):
    scope = "AKIALAB/20260101/eu-west-1/monitoring/aws4_request"
    headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}
    body = b"Action=DescribeAlarms&Version=2010-08-01&AlarmNames.member.1=5xx"
    w.cloudwatch.put_metric_alarm(**ALARM)
    with urllib.request.urlopen(urllib.request.Request(w.url, body, headers), timeout=5) as f:
        text = f.read().decode()
    assert "<AlarmName>5xx</AlarmName>" in text and "<StateValue>" in text, text


@check
def cluster_snapshots_progress(w):
    user = {"MasterUsername": "u", "MasterUserPassword": "password1"}
    w.rds.create_db_cluster(DBClusterIdentifier="desk", Engine="aurora-postgresql", **user)

    def make(name):
        w.rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier=name, DBClusterIdentifier="desk")

    def look(name):
        found = w.rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=name)["DBClusterSnapshots"][0]
        return found["Status"], found["PercentProgress"]

    make("s1")
    assert look("s1")[0] == "creating" and look("s1")[1] < 100
    refused("DBClusterSnapshotAlreadyExistsFault", lambda: make("s1"))
    named = {"DBClusterSnapshotIdentifier": "s1"}
    refused("InvalidDBClusterSnapshotStateFault", lambda: w.rds.delete_db_cluster_snapshot(**named))
    until("available", lambda: look("s1") == ("available", 100))
    refused("DBClusterSnapshotNotFoundFault", lambda: look("none"))
    with w.with_settings(fail_snapshots=True):
        make("s2")
    until("failed", lambda: look("s2")[0] == "failed")


@check
def backup_jobs_progress(w):
    fs = w.efs.create_file_system(CreationToken="home")["FileSystemArn"]
    w.backup.create_backup_vault(BackupVaultName="v")

    def start(vault="v", **more):
        role = f"arn:aws:iam::{ACCOUNT}:role/backup"
        return w.backup.start_backup_job(BackupVaultName=vault, ResourceArn=fs, IamRoleArn=role, **more)

    def state(job):
        return w.backup.describe_backup_job(BackupJobId=job["BackupJobId"])["State"]

    refused("ResourceNotFoundException", lambda: start("none"))
    refused("ResourceNotFoundException", lambda: state({"BackupJobId": "none"}))
    job = start(IdempotencyToken="t")
    assert start(IdempotencyToken="t")["BackupJobId"] == job["BackupJobId"]
    seen = set()
    until("COMPLETED", lambda: seen.add(state(job)) or "COMPLETED" in seen)
    assert "RUNNING" in seen and job["RecoveryPointArn"], seen
    with w.with_settings(fail_snapshots=True):
        job = start()
    until("FAILED", lambda: state(job) == "FAILED")
