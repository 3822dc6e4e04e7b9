"""Tasks whose application starts slowly or never becomes healthy."""

import time

from .world import check, until


@check
def unhealthy_after_grace_is_replaced(w):
    g = w.group("sick")
    rule = w.test_rule(g, "sick", 41)
    w.service("sick", w.definition("sick", env={"BAD": "health"}), g, healthCheckGracePeriodSeconds=5)
    t = until("stopped", lambda: w.tasks("sick", "STOPPED"))[0]
    assert t["stopCode"] == "ServiceSchedulerInitiated", t
    assert t["stoppedReason"].startswith("Task failed ELB health checks in (target-group"), t
    w.delete("sick")
    w.elb.delete_rule(RuleArn=rule)


@check
def slow_starter_takes_ten_minutes(w):
    g = w.group("slow")
    rule = w.test_rule(g, "slow", 42)
    with w.with_settings(speed=60):  # 10 s are 10 minutes
        w.service("slow", w.definition("slow", env={"SLOW": "10"}), g, healthCheckGracePeriodSeconds=900)
        began = time.time()
        until("unhealthy first", lambda: w.health(g) == ["unhealthy"], 8)
        until("then healthy", lambda: w.health(g) == ["healthy"], 25)
        assert time.time() - began > 8 and w.primary("slow")["failedTasks"] == 0
        w.delete("slow")
    w.elb.delete_rule(RuleArn=rule)
