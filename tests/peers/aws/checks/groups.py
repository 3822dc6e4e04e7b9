"""Target groups, their limits, and the limits of a balancer."""

from .world import check, fixed, forward, path, refused, until


@check
def target_group_is_idempotent_and_named_once(w):
    assert w.group("idem") == w.group("idem")
    refused("DuplicateTargetGroupName", lambda: w.group("idem", Port=9999))


@check
def target_group_outside_of_rules_is_unused_and_refused_by_ecs(w):
    g = w.group("loose")
    definition = w.definition("loose")
    words = "does not have an associated load balancer"
    refused("InvalidParameterException", lambda: w.service("loose", definition, g), words)
    w.elb.register_targets(TargetGroupArn=g, Targets=[{"Id": f"{w.ready['network']}.200.1", "Port": 8080}])
    until("unused", lambda: w.health(g) == ["unused"])
    d = w.elb.describe_target_health(TargetGroupArn=g)["TargetHealthDescriptions"][0]["TargetHealth"]
    assert d["Reason"] == "Target.NotInUse", d
    w.elb.delete_target_group(TargetGroupArn=g)
    w.elb.delete_target_group(TargetGroupArn=g)  # succeeds when it is gone


@check
def target_group_in_use_cannot_be_deleted(w):
    g = w.group("used")
    rule = w.test_rule(g, "used", 900)
    words = "currently in use by a listener or a rule"
    refused("ResourceInUse", lambda: w.elb.delete_target_group(TargetGroupArn=g), words)
    w.elb.delete_rule(RuleArn=rule)
    w.elb.delete_target_group(TargetGroupArn=g)
    refused("RuleNotFound", lambda: w.elb.delete_rule(RuleArn=rule))


@check
def limits_of_a_balancer(w):
    lb = w.elb.create_load_balancer(Name="full", Subnets=w.subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    listener = w.listen(lb, fixed("200"))

    def rule(n, action):
        return w.rule(n, path(f"/{n}"), action, listener=listener)

    groups = [w.group(f"lim{i}") for i in range(7)]
    refused("TooManyTargetGroups", lambda: rule(1, forward(*groups[:6])))
    refused("ValidationError", lambda: rule(1, forward((groups[0], 1000))), "between 0 and 999")
    limits = {"target-groups-per-application-load-balancer": 6, "rules-per-application-load-balancer": 4}
    with w.with_settings(limits=limits):
        rule(1, forward(*groups[:5]))
        rule(2, forward(groups[5]))
        full = "TooManyUniqueTargetGroupsPerLoadBalancer"
        refused(full, lambda: rule(50, forward(groups[6])))
        refused(full, lambda: w.elb.modify_listener(ListenerArn=listener, DefaultActions=[forward(groups[6])]))
        refused("TargetGroupAssociationLimit", lambda: w.test_rule(groups[0], "other", 901))
        refused("PriorityInUse", lambda: rule(2, fixed("200")))
        rule(3, fixed("200"))
        rule(4, fixed("200"))
        refused("TooManyRules", lambda: rule(5, fixed("200")))
    rule(5, forward(groups[6]))
    w.elb.delete_load_balancer(LoadBalancerArn=lb)
    for g in groups:
        w.elb.delete_target_group(TargetGroupArn=g)


@check
def account_limits_are_told(w):
    def limits():
        return {x["Name"]: int(x["Max"]) for x in w.elb.describe_account_limits()["Limits"]}

    per_balancer = "target-groups-per-application-load-balancer"
    usual = limits()
    assert usual[per_balancer] == 100 and usual["rules-per-application-load-balancer"] == 100, usual
    assert usual["target-groups-per-action-on-application-load-balancer"] == 5, usual
    with w.with_settings(limits={per_balancer: 7}):
        assert limits() == {**usual, per_balancer: 7}


@check
def security_groups_of_a_balancer_can_be_read(w):
    permission = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
    w.ec2.authorize_security_group_ingress(GroupId=w.sg, IpPermissions=[permission])
    of_balancer = w.elb.describe_load_balancers(LoadBalancerArns=[w.lb])["LoadBalancers"][0]["SecurityGroups"]
    found = w.ec2.describe_security_groups(GroupIds=of_balancer)["SecurityGroups"][0]["IpPermissions"]
    assert [(p["FromPort"], p["IpRanges"][0]["CidrIp"]) for p in found] == [(443, "192.0.2.0/24")], found
