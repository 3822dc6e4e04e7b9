"""The account's quotas of load balancers, as DescribeAccountLimits names them. The setting `limits` overrides them."""

from moto.core.responses import ActionResult
from moto.elbv2.responses import ELBV2Response

from .clock import SETTINGS

DEFAULTS = {
    "application-load-balancers": 50,
    "certificates-per-application-load-balancer": 25,
    "condition-values-per-alb-rule": 5,
    "condition-wildcards-per-alb-rule": 5,
    "listeners-per-application-load-balancer": 50,
    "rules-per-application-load-balancer": 100,
    "target-groups": 3000,
    "target-groups-per-action-on-application-load-balancer": 5,
    "target-groups-per-application-load-balancer": 100,
    "target-id-registrations-per-application-load-balancer": 1000,
    "targets-per-application-load-balancer": 1000,
}


def limit(name):
    return int({**DEFAULTS, **SETTINGS["limits"]}[name])


def describe_account_limits(self):
    return ActionResult({"Limits": [{"Name": name, "Max": str(limit(name))} for name in DEFAULTS]})


ELBV2Response.describe_account_limits = describe_account_limits
