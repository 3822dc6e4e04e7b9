"""Actions of listeners and rules: what AWS refuses, and the form in which AWS describes them."""

import copy
import re

from moto.elbv2.exceptions import ELBClientError
from moto.elbv2.models import ELBv2Backend, FakeAction

from .limits import limit


ROUTING = {"forward", "redirect", "fixed-response"}


SIGN_IN = {"authenticate-oidc", "authenticate-cognito", "jwt-validation"}


MAX_ACTIONS = 5
MAX_FIXED_RESPONSE = 1024  # bytes
FIXED_TYPES = ("text/plain", "text/css", "text/html", "application/javascript", "application/json")


def error(code, message):
    return ELBClientError(code, message)


def bad_action(message):
    return error("InvalidLoadBalancerAction", message)


def true(value):
    return value is True or str(value).lower() == "true"


def groups_of(data):
    """[(target group ARN, weight)] of one action."""
    if data.get("Type") != "forward":
        return []
    config = (data.get("ForwardConfig") or {}).get("TargetGroups")
    if config:
        return [(t["TargetGroupArn"], int(t.get("Weight", 1))) for t in config]
    return [(data["TargetGroupArn"], 1)] if data.get("TargetGroupArn") else []


def groups_of_balancer(lb, without_rule=None):
    return {
        arn
        for listener in lb.listeners.values()
        for rule in listener.rules.values()
        if rule is not without_rule
        for action in rule.actions
        for arn, _ in groups_of(action.data)
    }


def balancers_using(backend, arn):
    return [lb for lb in backend.load_balancers.values() if arn in groups_of_balancer(lb)]


def normalise(data):
    """What DescribeRules and DescribeListeners answer: one group stands in both places, defaults are written out, no secret."""
    data = copy.deepcopy(data)
    if data.get("Type") == "forward":
        groups = groups_of(data)
        config = data.setdefault("ForwardConfig", {})
        config["TargetGroups"] = [{"TargetGroupArn": a, "Weight": w} for a, w in groups]
        config.setdefault("TargetGroupStickinessConfig", {"Enabled": False})
        if len(groups) == 1:
            data["TargetGroupArn"] = groups[0][0]
    if data.get("Type") == "authenticate-oidc":
        config = data["AuthenticateOidcConfig"]
        for key, value in (
            ("SessionCookieName", "AWSELBAuthSessionCookie"),
            ("Scope", "openid"),
            ("SessionTimeout", 604800),
            ("OnUnauthenticatedRequest", "authenticate"),
        ):
            config.setdefault(key, value)
    return data


CONFIGS = {
    "path-pattern": "PathPatternConfig",
    "host-header": "HostHeaderConfig",
}


def described_conditions(conditions):
    """Patterns of paths and hosts stand in Values and in the field's own object, whichever of them the call gave."""
    out = copy.deepcopy(conditions)
    for c in out:
        own = CONFIGS.get(c["Field"])
        given = c.get("Values") or (c.get(own) or {}).get("Values")
        if own and given:
            c["Values"], c[own] = list(given), {**(c.get(own) or {}), "Values": list(given)}
    return out


def check(backend, lb, protocol, actions, replaces=None, old_actions=()):
    """Refuses what AWS would refuse. `replaces` is the rule whose actions these will be."""
    check_order(actions, protocol)
    for action in actions:
        check_forward(backend, lb, action)
        check_fixed_response(action)
        if action.get("Type") == "authenticate-oidc":
            check_oidc(action.get("AuthenticateOidcConfig") or {}, old_actions)
    after = groups_of_balancer(lb, replaces) | {arn for a in actions for arn, _ in groups_of(a)}
    most = limit("target-groups-per-application-load-balancer")
    if len(after) > most:
        raise error(
            "TooManyUniqueTargetGroupsPerLoadBalancer",
            "You have reached the maximum number of unique target groups that you can associate with a load balancer "
            f"of type 'application': [{most}]",
        )


def check_order(actions, protocol):
    if not actions:
        raise error("ValidationError", "At least one action must be specified")
    if len(actions) > MAX_ACTIONS:
        raise error("TooManyActions", f"A rule can have at most {MAX_ACTIONS} actions")
    if len(actions) > 1 and any("Order" not in a for a in actions):
        raise bad_action("An action order must be specified when a rule has several actions")
    kinds = [a.get("Type") for a in sorted(actions, key=lambda a: int(a.get("Order", 1)))]
    for kind in kinds:
        if kind not in ROUTING | SIGN_IN:
            raise error("ValidationError", f"'{kind}' is not a valid action type")
    if sum(k in ROUTING for k in kinds) != 1 or kinds[-1] not in ROUTING:
        raise bad_action(
            "A rule must have exactly one routing action (forward, redirect or fixed-response), as its last action"
        )
    sign_in = next((k for k in kinds if k in SIGN_IN), None)
    if sign_in and protocol != "HTTPS":
        raise bad_action(f"Actions of type '{sign_in}' are supported only on HTTPS listeners")


def check_forward(backend, lb, action):
    config = action.get("ForwardConfig") or {}
    groups = config.get("TargetGroups") or []
    most = limit("target-groups-per-action-on-application-load-balancer")
    if len(groups) > most:
        raise error("TooManyTargetGroups", f"A forward action can have at most {most} target groups")
    if action.get("TargetGroupArn") and groups and [g["TargetGroupArn"] for g in groups] != [action["TargetGroupArn"]]:
        raise bad_action("With TargetGroupArn, ForwardConfig can name only that target group")
    if len({g["TargetGroupArn"] for g in groups}) != len(groups):
        raise error("ValidationError", "A target group is specified more than once")
    sticky = config.get("TargetGroupStickinessConfig") or {}
    if true(sticky.get("Enabled")) and not 1 <= int(sticky.get("DurationSeconds") or 0) <= 604800:
        raise error(
            "ValidationError", "Target group stickiness duration must be between 1 and 604800 seconds, inclusive"
        )
    for arn, weight in groups_of(action):
        if not 0 <= weight <= 999:
            raise error("ValidationError", "The weight for each target group must be between 0 and 999, inclusive")
        if arn not in backend.target_groups:
            raise error("TargetGroupNotFound", f"Target groups '{arn}' not found")
        if any(other is not lb for other in balancers_using(backend, arn)):
            raise error(
                "TargetGroupAssociationLimit",
                f"The following target groups cannot be associated with more than one load balancer: {arn}",
            )


def check_fixed_response(action):
    if action.get("Type") != "fixed-response":
        return
    config = action.get("FixedResponseConfig") or {}
    if not re.fullmatch(r"[245]\d\d", str(config.get("StatusCode") or "")):
        raise error("ValidationError", "The status code of a fixed response must be 2XX, 4XX or 5XX")
    if len((config.get("MessageBody") or "").encode()) > MAX_FIXED_RESPONSE:
        raise error(
            "ValidationError",
            "1 validation error detected: Value at 'actions.1.member.fixedResponseConfig.messageBody' failed to "
            f"satisfy constraint: Member must have length less than or equal to {MAX_FIXED_RESPONSE}",
        )
    if config.get("ContentType") not in (None, "", *FIXED_TYPES):
        raise bad_action(f"The ContentType must be one of: {', '.join(FIXED_TYPES)}")


def check_oidc(config, old_actions):
    for key in ("Issuer", "AuthorizationEndpoint", "TokenEndpoint", "UserInfoEndpoint", "ClientId"):
        if not config.get(key):
            raise error("ValidationError", f"'{key}' must be specified for an authenticate-oidc action")
    if config.get("ClientSecret"):
        return
    had_one = any(a.data.get("Type") == "authenticate-oidc" for a in old_actions)
    if not true(config.get("UseExistingClientSecret")) or not had_one:
        raise bad_action(
            "You must specify a client secret, or UseExistingClientSecret for a rule that has a client secret"
        )


def check_transforms(transforms):
    kinds = [t.get("Type") for t in transforms]
    if len(set(kinds)) != len(kinds):
        raise error("ValidationError", "A rule can have one transform of each type")
    for t in transforms:
        if t.get("Type") not in ("host-header-rewrite", "url-rewrite"):
            raise error("ValidationError", f"'{t.get('Type')}' is not a valid transform type")


def stored(actions):
    """moto's actions, in the described form. The client secret is dropped: AWS never gives it back."""
    out = []
    for action in actions:
        data = normalise(action)
        if data.get("Type") == "authenticate-oidc":
            data["AuthenticateOidcConfig"].pop("ClientSecret", None)
            data["AuthenticateOidcConfig"].pop("UseExistingClientSecret", None)
        out.append(FakeAction(data))
    return out


# check() has looked at the actions already, and knows jwt-validation, which moto refuses.
ELBv2Backend._validate_actions = lambda self, actions: None
