"""Health checks of targets: real requests to their addresses, in the interval of their group."""

import http.client
from concurrent.futures import ThreadPoolExecutor

from .actions import groups_of_balancer
from .clock import LOCK, now, scaled
from .network import is_loopback
from .targets import address, backends, checks, draining, first_check, fresh

_pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="health")


def probe(group, target):
    """Returns None when the target passes, else (reason, text)."""
    ip = address(target)
    if ip is None or not is_loopback(ip):
        return "Target.FailedHealthChecks", "Health checks failed"
    port = target["Port"] if group.health_check_port in (None, "traffic-port") else group.health_check_port
    try:
        c = http.client.HTTPConnection(ip, int(port), timeout=max(0.2, scaled(group.health_check_timeout_seconds)))
        c.request(
            "GET",
            group.health_check_path or "/",
            headers={"User-Agent": "ELB-HealthChecker/2.0", "Host": f"{ip}:{port}"},
        )
        code = c.getresponse().status
        c.close()
    except TimeoutError:
        return "Target.Timeout", None
    except (OSError, http.client.HTTPException):
        return "Target.FailedHealthChecks", None
    for part in str(group.matcher.get("HttpCode") or "200").split(","):
        low, _, high = part.partition("-")
        if int(low) <= code <= int(high or low):
            return None
    return "Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{code}]"


def run_check(group, target):
    result = probe(group, target)
    with LOCK:
        c = checks.get((group.arn, target["Id"]))
        if c is None:
            return
        c["busy"] = False
        if c["state"] == "unused":
            return
        if result is None:
            c["passed"], c["failed"] = c["passed"] + 1, 0
            # One passed check is enough after registration, HealthyThresholdCount of them after a failure.
            if c["state"] == "initial" or c["passed"] >= int(group.healthy_threshold_count):
                c.update(state="healthy", reason=None, text=None)
        else:
            c["passed"], c["failed"] = 0, c["failed"] + 1
            if c["failed"] >= int(group.unhealthy_threshold_count):
                c.update(state="unhealthy", reason=result[0], text=result[1])


def reconcile():
    for key, (_, until) in list(draining.items()):
        if now() > until:
            draining.pop(key, None)
    known = set()
    for backend in backends():
        in_rules = set().union(*(groups_of_balancer(lb) for lb in backend.load_balancers.values()))
        for group in list(backend.target_groups.values()):
            known.add(group.arn)
            for target in list(group.targets.values()):
                look_at(group, target, group.arn in in_rules)
    for key in [k for k in checks if k[0] not in known]:
        checks.pop(key)


def look_at(group, target, used):
    """Starts the check of one target when it is due."""
    c = checks.setdefault((group.arn, target["Id"]), fresh(group))
    if not used:
        c.update(state="unused", reason="Target.NotInUse", text=None, passed=0, failed=0)
        return
    if c["state"] == "unused":
        c.update(state="initial", reason="Elb.InitialHealthChecking", next=first_check(group))
    if now() >= c["next"] and not c["busy"]:
        if c["state"] == "initial":
            c["reason"] = "Elb.InitialHealthChecking"
        c.update(next=now() + scaled(group.health_check_interval_seconds), busy=True)
        _pool.submit(run_check, group, target)
