"""The time scale, the settings, and the lock that every API call and every reconciler takes."""

import copy
import threading
import time
import traceback

LOCK = threading.RLock()  # moto itself is not thread-safe
STOP = threading.Event()
TICK = 0.05  # seconds between two passes of a reconciler

# Changed by POST /lab/settings. Durations are seconds of the emulated cloud unless the name says otherwise.
DEFAULTS = {
    "speed": 1.0,  # emulated seconds per real second
    "task_start_seconds": 0.4,  # PROVISIONING to the start of the containers
    "instance_start_seconds": 1.0,  # Pending to InService
    "propagation_ms": [0, 150],  # real milliseconds until a rule change is known, one entry per node of a balancer
    "first_check": 1.0,  # share of the interval before the first health check of a target
    "port_offset": 0,  # a listener of port 443 listens on 443 + port_offset
    "balancer_names": False,  # DNSName is a name that the lab's DNS server knows, instead of an address
    "capacity_unavailable": False,  # no Fargate task and no instance can be placed
    "draining_forever": [],  # patterns of ECS services whose tasks stay in DEACTIVATING
    "stuck_terminating": [],  # patterns of Auto Scaling groups whose instances stay in Terminating
    "snapshot_seconds": 20.0,  # an RDS snapshot from creating to available
    "backup_seconds": 20.0,  # an AWS Backup job from CREATED to COMPLETED
    "fail_snapshots": False,  # snapshots and backup jobs that start now will fail
    "page_size": 0,  # results of ECS's List and load balancing's Describe calls that come at once; 0: as many as AWS gives
    "limits": {},  # quotas of this account by their names in DescribeAccountLimits, where they differ from AWS's defaults
}
SETTINGS = copy.deepcopy(DEFAULTS)
_given = {}  # what the lab was started with


def start_with(settings):
    """Makes `settings` what a reset returns to."""
    change(settings)
    _given.update(settings)


def change(settings):
    unknown = set(settings) - set(DEFAULTS)
    if unknown:
        raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
    SETTINGS.update(settings)


def reset_settings():
    SETTINGS.update(copy.deepcopy({**DEFAULTS, **_given}))


def now():
    return time.time()


def scaled(seconds):
    """Real seconds for a duration of the emulated cloud."""
    return float(seconds) / SETTINGS["speed"]


def every(step):
    """Starts a daemon thread that runs `step` each tick. A failed pass is printed, and the next one follows."""

    def run():
        while not STOP.wait(TICK):
            try:
                with LOCK:
                    step()
            except Exception:
                traceback.print_exc()

    threading.Thread(target=run, daemon=True, name=f"{step.__module__}.{step.__name__}").start()
