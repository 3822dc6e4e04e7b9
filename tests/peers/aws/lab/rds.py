"""RDS snapshots: creating, and then available or failed."""

from moto.core.exceptions import ServiceException
from moto.rds.models import DBClusterSnapshot, DBSnapshot, RDSBackend, rds_backends

from .clock import SETTINGS, now, scaled


class InvalidState(ServiceException):
    pass


def begin_creating(cls):
    original = cls.__init__

    def init(self, *a, **k):
        original(self, *a, **k)
        self.status, self.percent_progress = "creating", 0
        self.lab_since, self.lab_fails = now(), SETTINGS["fail_snapshots"]

    cls.__init__ = init


def keep_while_creating(operation, store, code):
    original = getattr(RDSBackend, operation)

    def delete(self, identifier, *a, **k):
        snapshot = getattr(self, store).get(identifier)
        if snapshot is not None and snapshot.status == "creating":
            text = "Cannot delete the snapshot because it is not currently in the available or failed state."
            raise InvalidState(code, text)
        return original(self, identifier, *a, **k)

    setattr(RDSBackend, operation, delete)


begin_creating(DBClusterSnapshot)
begin_creating(DBSnapshot)
keep_while_creating("delete_db_cluster_snapshot", "cluster_snapshots", "InvalidDBClusterSnapshotStateFault")
keep_while_creating("delete_db_snapshot", "database_snapshots", "InvalidDBSnapshotState")


def reconcile():
    backends = [b for account in list(rds_backends.values()) for b in list(account.values())]
    for s in [s for b in backends for s in [*b.cluster_snapshots.values(), *b.database_snapshots.values()]]:
        if s.status != "creating" or not hasattr(s, "lab_since"):
            continue
        share = (now() - s.lab_since) / max(0.001, scaled(SETTINGS["snapshot_seconds"]))
        if share < 1:
            s.percent_progress = min(99, int(share * 100))
        else:
            s.status, s.percent_progress = ("failed", s.percent_progress) if s.lab_fails else ("available", 100)
