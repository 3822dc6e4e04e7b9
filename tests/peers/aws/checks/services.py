"""ECS services: refusals, the circuit breaker, deletion, paging."""

from .world import breaker, check, refused, until

INVALID = "InvalidParameterException"


@check
def client_token_makes_create_service_idempotent(w):
    d = w.definition("token")
    one = w.service("token", d, clientToken="step-1")
    assert w.service("token", d, clientToken="step-1")["serviceArn"] == one["serviceArn"]
    refused(INVALID, lambda: w.service("token", d), "Creation of service was not idempotent")
    refused(INVALID, lambda: w.service("token", d, clientToken="step-2"), "not idempotent")
    w.delete("token")


@check
def registering_twice_makes_two_revisions(w):
    a, b = w.definition("twice"), w.definition("twice")
    assert int(b.rsplit(":", 1)[1]) == int(a.rsplit(":", 1)[1]) + 1
    own = {"familyPrefix": "twice"}
    assert w.ecs.list_task_definitions(**own)["taskDefinitionArns"] == [a, b]
    assert w.ecs.list_task_definitions(**own, sort="DESC")["taskDefinitionArns"] == [b, a]
    w.ecs.deregister_task_definition(taskDefinition=a)
    assert w.ecs.list_task_definitions(**own)["taskDefinitionArns"] == [b]
    refused("ClientException", lambda: w.service("x", a), "inactive")


@check
def crash_loop_is_known_after_three_tasks(w):
    w.service("crash", w.definition("crash", image="crash:1"), deploymentConfiguration=breaker(3))
    p = until("FAILED", lambda: (p := w.primary("crash"))["rolloutState"] == "FAILED" and p)
    assert p["failedTasks"] == 3 and "circuit breaker" in p["rolloutStateReason"], p
    config = w.described("crash")["deploymentConfiguration"]["deploymentCircuitBreaker"]
    assert config["thresholdConfiguration"] == {"type": "COUNT", "value": 3}, config
    t = w.tasks("crash", "STOPPED")[0]
    assert t["stopCode"] == "EssentialContainerExited" and t["containers"][0]["exitCode"] == 3, t
    w.service("later", w.definition("later"))
    until("another service runs", lambda: w.described("later")["runningCount"] == 1)
    assert w.primary("crash")["failedTasks"] == 3  # no task follows the failure
    w.delete("crash", "later")


@check
def healthy_moment_resets_the_count_only_when_asked(w):
    rules = {}
    for i, reset in enumerate((True, False)):
        name = f"flap-{reset}".lower()
        g = w.group(name)
        rules[name] = w.test_rule(g, name, 70 + i)
        definition = w.definition(name, env={"BAD": "flap", "LIFE": "1.5", "LEADER": str(9000 + i)})
        w.service(name, definition, g, count=2, deploymentConfiguration=breaker(4, reset))
    until("without a reset it fails", lambda: w.primary("flap-false")["rolloutState"] == "FAILED", 30)
    assert w.primary("flap-false")["failedTasks"] == 4
    until("with a reset it goes on", lambda: w.primary("flap-true")["failedTasks"] >= 5, 30)
    assert w.primary("flap-true")["rolloutState"] == "IN_PROGRESS", w.primary("flap-true")
    w.delete(*rules)
    for rule in rules.values():
        w.elb.delete_rule(RuleArn=rule)


@check
def draining_and_draining_that_never_ends(w):
    g, rule = w.stack("drain", 40, delay="20")
    until("healthy", lambda: w.health(g) == ["healthy"])
    w.settings(draining_forever=["drain"])
    refused(INVALID, lambda: w.ecs.delete_service(cluster="prod", service="drain"), "scaled above 0")
    answer = w.ecs.delete_service(cluster="prod", service="drain", force=True)
    assert answer["service"]["status"] == "DRAINING"
    until("draining targets", lambda: w.health(g) == ["draining"], 5)
    assert not any(a.endswith("/drain") for a in w.ecs.list_services(cluster="prod")["serviceArns"])
    refused(INVALID, lambda: w.service("drain", w.definition("drain"), g), "still Draining")
    update = {"cluster": "prod", "service": "drain", "desiredCount": 2}
    refused("ServiceNotActiveException", lambda: w.ecs.update_service(**update))
    until("the delay has passed", lambda: w.health(g) == [])
    assert w.described("drain")["status"] == "DRAINING"
    w.settings(draining_forever=[])
    until("INACTIVE", lambda: w.described("drain")["status"] == "INACTIVE")
    refused("ResourceInUse", lambda: w.elb.delete_target_group(TargetGroupArn=g))
    w.elb.delete_rule(RuleArn=rule)
    w.elb.delete_target_group(TargetGroupArn=g)


@check
def services_come_in_pages_of_ten(w):
    d = w.definition("many")
    names = [f"many-{i:02}" for i in range(12)]
    for name in names:
        w.service(name, d, count=0)
    refused(INVALID, lambda: w.ecs.describe_services(cluster="prod", services=names))
    got = w.ecs.describe_services(cluster="prod", services=["many-01", "none"])
    assert got["failures"][0]["reason"] == "MISSING" and len(got["services"]) == 1, got
    first = w.ecs.list_services(cluster="prod")
    assert len(first["serviceArns"]) == 10, first
    second = w.ecs.list_services(cluster="prod", nextToken=first["nextToken"])
    assert "nextToken" not in second, second
    found = {arn.split("/")[-1] for arn in first["serviceArns"] + second["serviceArns"]}
    assert found >= set(names), found
    refused(INVALID, lambda: w.ecs.list_services(cluster="prod", nextToken="no token"))
    w.delete(*names)


@check
def create_service_checks_what_aws_checks(w):
    g = w.group("chk")
    rule = w.test_rule(g, "chk", 43)
    d = w.definition("chk")

    def make(**more):
        usual = {
            "cluster": "prod",
            "serviceName": "chk",
            "taskDefinition": d,
            "desiredCount": 1,
            "launchType": "FARGATE",
        }
        return w.ecs.create_service(**{**usual, "networkConfiguration": w.network, **more})

    def behind(**more):
        balanced = {"targetGroupArn": g, "containerName": "web", "containerPort": 8080, **more}
        return make(loadBalancers=[balanced])

    refused(INVALID, lambda: behind(containerName="db"), "does not exist in the task definition")
    refused(INVALID, lambda: behind(containerPort=81), "did not have a container port")
    refused(INVALID, lambda: behind(targetGroupArn=g[:-4] + "dead"), "does not exist")
    refused(INVALID, lambda: make(healthCheckGracePeriodSeconds=5), "grace period")
    provider = [{"capacityProvider": "FARGATE"}]
    refused(INVALID, lambda: make(capacityProviderStrategy=provider), "capacity provider strategy")
    refused("ClusterNotFoundException", lambda: make(cluster="none"))
    refused("ClientException", lambda: make(taskDefinition="none:1"))
    w.elb.delete_rule(RuleArn=rule)


@check
def scaling_of_a_service_can_be_copied(w):
    for name in ("live", "candidate"):
        w.service(name, w.definition(name), count=0)
    of = {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}
    live = {**of, "ResourceId": "service/prod/live"}
    w.appscaling.register_scalable_target(**live, MinCapacity=2, MaxCapacity=6)
    metric = {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}
    tracking = {"TargetValue": 60.0, "PredefinedMetricSpecification": metric}
    policy = {"PolicyName": "cpu", "PolicyType": "TargetTrackingScaling"}
    w.appscaling.put_scaling_policy(**live, **policy, TargetTrackingScalingPolicyConfiguration=tracking)
    found = w.appscaling.describe_scalable_targets(ServiceNamespace="ecs", ResourceIds=["service/prod/live"])
    target = found["ScalableTargets"][0]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 6), target
    [shown] = policies(w, "live")
    assert shown["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 60.0, shown
    candidate = {**of, "ResourceId": "service/prod/candidate"}
    w.appscaling.register_scalable_target(**candidate, MinCapacity=2, MaxCapacity=6)
    copied = shown["TargetTrackingScalingPolicyConfiguration"]
    w.appscaling.put_scaling_policy(**candidate, **policy, TargetTrackingScalingPolicyConfiguration=copied)
    w.appscaling.deregister_scalable_target(**live)
    assert policies(w, "live") == []  # a deregistered target takes its policies with it
    assert len(policies(w, "candidate")) == 1
    refused("ObjectNotFoundException", lambda: w.appscaling.deregister_scalable_target(**live))
    w.delete("live", "candidate")


def policies(w, service):
    of = {"ServiceNamespace": "ecs", "ResourceId": f"service/prod/{service}"}
    return w.appscaling.describe_scaling_policies(**of)["ScalingPolicies"]
