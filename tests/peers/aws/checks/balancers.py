"""The data plane of the load balancer."""

import socket

from .world import check, fixed, forward, refused, until


@check
def task_is_a_process_behind_the_balancer(w):
    g, _ = w.stack("blue", 10)
    until("healthy", lambda: w.health(g) == ["healthy"])
    until("completed", lambda: w.primary("blue")["rolloutState"] == "COMPLETED")
    until("preview", lambda: w.preview("blue")[2].startswith(f"blue {w.ready['network']}."))
    assert w.get()[0] == 503  # the test rule alone brings no production traffic
    w.shift(forward(g))
    until("production", lambda: w.get()[2].startswith("blue"))
    t = w.tasks("blue")[0]
    assert t["lastStatus"] == "RUNNING", t
    assert t["attachments"][0]["details"][0]["value"].startswith(w.ready["network"]), t
    assert any("reached a steady state" in e["message"] for e in w.described("blue")["events"])


@check
def each_node_takes_a_change_up_at_its_own_time(w):
    with w.with_settings(propagation_ms=[0, 3000]):
        until("the listener itself is known", lambda: w.get(address=w.nodes[1]))
        w.shift(fixed("200", "new"))
        until("first node", lambda: w.get(address=w.nodes[0])[2] == "new", 2)
        assert w.get(address=w.nodes[1])[2] != "new"
        until("second node", lambda: w.get(address=w.nodes[1])[2] == "new", 8)


@check
def names_of_balancers_resolve_to_all_nodes(w):
    def name():
        return w.elb.describe_load_balancers(Names=["front"])["LoadBalancers"][0]["DNSName"]

    assert name() == w.any
    with w.with_settings(balancer_names=True):
        full = until("a name", lambda: name().endswith(".elb.amazonaws.com") and name())
        question = b"".join(bytes([len(x)]) + x.encode() for x in full.split(".")) + b"\0\0\1\0\1"
        host, _, port = w.ready["dns"].partition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(3)
            s.sendto(b"\x12\x34\x01\x00\0\1\0\0\0\0\0\0" + question, (host, int(port)))
            data = s.recv(512)
    records = range(12 + len(question), len(data), 16)
    assert sorted(".".join(str(b) for b in data[i + 12 : i + 16]) for i in records) == sorted(w.nodes)


@check
def weights_and_stickiness(w):
    blue = w.group("blue")
    green, _ = w.stack("green", 11)
    until("healthy", lambda: w.health(green) == ["healthy"] and w.health(blue) == ["healthy"])
    w.shift(forward((blue, 50), (green, 50), sticky=600))
    until("sticky", lambda: any(c.startswith("AWSALBTG=") for c in w.get()[3]))
    w.propagated()
    answers = [w.get() for _ in range(60)]
    assert {text.split()[0] for _, _, text, _ in answers} == {"blue", "green"}
    cookies = next(c for _, _, text, c in answers if text.startswith("blue"))
    client = {"Cookie": cookies[0].split(";")[0]}
    assert all(w.get(headers=client)[2].startswith("blue") for _ in range(10))
    w.shift(forward((blue, 0), (green, 100), sticky=600))
    w.propagated()
    assert all(w.get()[2].startswith("green") for _ in range(10))
    assert w.get(headers=client)[2].startswith("blue")  # weight 0 does not move a sticky client
    w.shift(forward(green, sticky=600))
    w.propagated()
    assert w.get(headers=client)[2].startswith("green")  # leaving the action does
    refused("ValidationError", lambda: w.shift(forward(green, sticky=604801)))


@check
def fail_open_and_no_targets(w):
    g = w.group("bad")
    rule = w.test_rule(g, "bad", 30)
    until("no target", lambda: w.preview("bad")[0] == 503)
    definition = w.definition("bad", env={"VERSION": "bad", "BAD": "health"})
    w.service("bad", definition, g, healthCheckGracePeriodSeconds=3000)
    until("unhealthy", lambda: w.health(g) == ["unhealthy"])
    d = w.elb.describe_target_health(TargetGroupArn=g)["TargetHealthDescriptions"][0]["TargetHealth"]
    assert d["Reason"] == "Target.ResponseCodeMismatch" and "[500]" in d["Description"], d
    assert w.preview("bad")[2].startswith("bad")  # without a healthy target, all of them get traffic
    assert w.described("bad")["runningCount"] == 1  # the grace period keeps the task
    w.delete("bad")
    w.elb.delete_rule(RuleArn=rule)


@check
def nothing_but_loopback_is_contacted(w):
    g = w.group("away")
    rule = w.test_rule(g, "away", 60)
    w.elb.register_targets(TargetGroupArn=g, Targets=[{"Id": "10.9.0.9", "Port": 8080}])
    until("unhealthy", lambda: w.health(g) == ["unhealthy"])
    assert w.preview("away")[0] == 503
    w.elb.delete_rule(RuleArn=rule)
