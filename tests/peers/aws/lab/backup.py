"""AWS Backup's jobs: moto has vaults, and no jobs."""

import uuid

from moto.backup.models import backup_backends
from moto.efs.models import efs_backends

from .clock import SETTINGS, now, scaled
from .wire import ACCOUNT

jobs = {}  # job id -> Job
FINAL = ("COMPLETED", "FAILED", "ABORTED", "EXPIRED")


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Job:
    def __init__(self, asked, region):
        self.fails, self.token, self.asked = SETTINGS["fail_snapshots"], asked.get("IdempotencyToken"), asked
        self.shown = {
            "BackupJobId": str(uuid.uuid4()).upper(),
            "AccountId": ACCOUNT,
            "BackupVaultName": asked["BackupVaultName"],
            "ResourceArn": asked["ResourceArn"],
            "RecoveryPointArn": f"arn:aws:backup:{region}:{ACCOUNT}:recovery-point:{str(uuid.uuid4()).upper()}",
            "CreationDate": now(),
            "IamRoleArn": asked["IamRoleArn"],
            "State": "CREATED",
            "PercentDone": "0.0",
            "ResourceType": "EFS" if ":elasticfilesystem:" in asked["ResourceArn"] else "Aurora",
        }

    def step(self):
        if self.shown["State"] in FINAL:
            return
        share = (now() - self.shown["CreationDate"]) / max(0.001, scaled(SETTINGS["backup_seconds"]))
        self.shown.update(State="CREATED" if share < 0.1 else "RUNNING", PercentDone=f"{min(99.0, share * 100):.1f}")
        if share >= 1:
            self.shown.update(State="FAILED" if self.fails else "COMPLETED", PercentDone="100.0", CompletionDate=now())
            self.shown["BackupSizeInBytes"] = 0 if self.fails else 1048576
            if self.fails:
                self.shown["StatusMessage"] = "injected by the lab"


def reconcile():
    for job in jobs.values():
        job.step()


def start(asked, region):
    for key in ("BackupVaultName", "ResourceArn", "IamRoleArn"):
        if not asked.get(key):
            raise Refused("MissingParameterValueException", f"Missing required parameter: {key}")
    if asked["BackupVaultName"] not in backup_backends[ACCOUNT][region].vaults:
        raise Refused("ResourceNotFoundException", f"Backup vault not found: {asked['BackupVaultName']}")
    arn = asked["ResourceArn"]
    if ":elasticfilesystem:" in arn and arn.split("/")[-1] not in efs_backends[ACCOUNT][region].file_systems_by_id:
        raise Refused("ResourceNotFoundException", f"Resource not found: {arn}")
    token = asked.get("IdempotencyToken")
    job = next((j for j in jobs.values() if token and j.token == token), None)
    if job is None:
        job = Job(asked, region)
        jobs[job.shown["BackupJobId"]] = job
    return {k: job.shown[k] for k in ("BackupJobId", "RecoveryPointArn", "CreationDate")}


def find(asked, _):
    if asked["BackupJobId"] not in jobs:
        raise Refused("ResourceNotFoundException", f"Backup job not found: {asked['BackupJobId']}")
    return jobs[asked["BackupJobId"]]


def stop(asked, region):
    job = find(asked, region)
    if job.shown["State"] in FINAL:
        raise Refused("InvalidRequestException", "Backup job is already in a final state")
    job.shown.update(State="ABORTED", CompletionDate=now())
    return {}


OPERATIONS = {
    "StartBackupJob": start,
    "ListBackupJobs": lambda asked, region: {"BackupJobs": [j.shown for j in jobs.values()]},
    "DescribeBackupJob": lambda asked, region: find(asked, region).shown,
    "StopBackupJob": stop,
}


def serve(call):
    return OPERATIONS[call.action](call.parameters, call.region)


def clear():
    jobs.clear()
