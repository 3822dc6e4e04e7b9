"""Listeners and rules: idempotence, limits and refusals as AWS documents them."""

from moto.elbv2.exceptions import RuleNotFoundError
from moto.elbv2.models import ELBv2Backend, elbv2_backends

from . import request
from .actions import check, check_transforms, described_conditions, error, normalise, stored, true
from .limits import limit


def listener_and_balancer(backend, arn):
    for lb in backend.load_balancers.values():
        if arn in lb.listeners:
            return lb.listeners[arn], lb
    return None, None


def wrap(name):
    def set_it(function):
        original = getattr(ELBv2Backend, name)
        setattr(ELBv2Backend, name, lambda self, *a, **k: function(self, original, *a, **k))

    return set_it


def same_listener(lb, protocol, port, actions):
    """The listener that CreateListener asks for, when it is there already: the call is idempotent."""
    for listener in lb.listeners.values():
        if str(listener.port) == str(port):
            wanted = [normalise(a) for a in actions]
            if listener.protocol == protocol and wanted == [a.data for a in listener.default_actions]:
                return listener
            raise error("DuplicateListener", "A listener already exists on this port for this load balancer")
    return None


@wrap("create_listener")
def create_listener(
    self, original, load_balancer_arn, protocol, port, ssl_policy, certificate, actions, *args, **kwargs
):
    lb = self.load_balancers.get(load_balancer_arn)
    if lb is not None:
        check(self, lb, protocol, actions)
        existing = same_listener(lb, protocol, port, actions)
        if existing is not None:
            return existing
        if len(lb.listeners) >= limit("listeners-per-application-load-balancer"):
            raise error(
                "TooManyListeners", f"The maximum number of listeners on load balancer '{lb.arn}' has been reached"
            )
    listener = original(self, load_balancer_arn, protocol, port, ssl_policy, certificate, actions, *args, **kwargs)
    set_default_actions(listener, actions)
    return listener


def set_default_actions(listener, actions):
    listener.default_actions = stored(actions)
    listener._default_rule[0].actions = listener.default_actions


@wrap("modify_listener")
def modify_listener(self, original, arn, port=None, protocol=None, ssl_policy=None, certificates=None, actions=None):
    listener, lb = listener_and_balancer(self, arn)
    if listener is not None and actions:
        check(self, lb, protocol or listener.protocol, actions, listener._default_rule[0], listener.default_actions)
    listener = original(self, arn, port, protocol, ssl_policy, certificates, actions or [])
    if actions:
        set_default_actions(listener, actions)
    return listener


def check_conditions(conditions):
    values = 0
    for c in conditions:
        configs = [c[k].get("Values") for k in c if k.endswith("Config") and c[k]]
        values += len(c.get("Values") or (configs[0] if configs else None) or [])
    most = limit("condition-values-per-alb-rule")
    if values > most:
        raise error("ValidationError", f"A rule can have at most {most} condition values")


@wrap("create_rule")
def create_rule(self, original, listener_arn, conditions, priority, actions, tags=None):
    listener, lb = listener_and_balancer(self, listener_arn)
    transforms = request.params().get("Transforms") or []
    if listener is not None:
        if not 1 <= int(priority) <= 50000:
            raise error("ValidationError", "Priority must be between 1 and 50000")
        if any(str(r.priority) == str(priority) for r in listener.rules.values()):
            raise error("PriorityInUse", f"Priority '{priority}' is currently in use")
        check(self, lb, listener.protocol, actions)
        check_transforms(transforms)
        check_conditions(conditions)
        rules = sum(len(x._non_default_rules) for x in lb.listeners.values())
        if rules >= limit("rules-per-application-load-balancer"):
            raise error("TooManyRules", f"The maximum number of rules on load balancer '{lb.arn}' has been reached")
    rule = original(self, listener_arn, conditions, priority, actions, tags)
    rule.actions, rule.conditions = stored(actions), described_conditions(conditions)
    rule.transforms = transforms
    return rule


@wrap("modify_rule")
def modify_rule(self, original, rule_arn, conditions, actions):
    rule = self.describe_rules(None, [rule_arn])[0]
    if rule.is_default:
        raise error("OperationNotPermitted", "Default rule cannot be modified; use ModifyListener")
    listener, lb = listener_and_balancer(self, rule.listener_arn)
    asked = request.params()
    if asked.get("Transforms") and true(asked.get("ResetTransforms")):
        raise error("ValidationError", "Transforms and ResetTransforms cannot be specified together")
    if actions:
        check(self, lb, listener.protocol, actions, rule, rule.actions)
    if asked.get("Transforms"):
        check_transforms(asked["Transforms"])
        rule.transforms = asked["Transforms"]
    if true(asked.get("ResetTransforms")):
        rule.transforms = []
    if actions or conditions:
        original(self, rule_arn, conditions, actions)
    if conditions:
        rule.conditions = described_conditions(conditions)
    if actions:
        rule.actions = stored(actions)
    return rule


@wrap("delete_rule")
def delete_rule(self, original, arn):
    listeners = (listener for lb in self.load_balancers.values() for listener in lb.listeners.values())
    rule = next((r for listener in listeners for r in listener.rules.values() if r.arn == arn), None)
    if rule is None:
        raise RuleNotFoundError("One or more rules not found")
    if rule.is_default:
        raise error("OperationNotPermitted", f"Default rule '{arn}' cannot be deleted")
    return original(self, arn)


@wrap("set_rule_priorities")
def set_rule_priorities(self, original, rule_priorities):
    """moto refuses a swap of two priorities; AWS takes any new order without conflicts."""
    wanted = {p["RuleArn"]: int(p["Priority"]) for p in rule_priorities}
    rules = self.describe_rules(None, list(wanted))
    for rule in rules:
        listener, _ = listener_and_balancer(self, rule.listener_arn)
        for other in listener.rules.values():
            if other.arn not in wanted and str(other.priority) == str(wanted[rule.arn]):
                raise error("PriorityInUse", f"Priority '{wanted[rule.arn]}' is currently in use")
    if len(set(wanted.values())) != len(wanted):
        raise error("PriorityInUse", "A priority is specified more than once")
    for rule in rules:
        rule.priority = wanted[rule.arn]
    return rules


def change(arn, actions):
    """Somebody else changes a listener's default action or a rule (see faults.py)."""
    for account in list(elbv2_backends.values()):
        for backend in list(account.values()):
            listener, _ = listener_and_balancer(backend, arn)
            if listener is not None:
                set_default_actions(listener, actions)
                return
            listeners = (x for lb in backend.load_balancers.values() for x in lb.listeners.values())
            for rule in (r for listener in listeners for r in listener.rules.values()):
                if rule.arn == arn:
                    rule.actions = stored(actions)
                    return
    raise ValueError(f"no listener or rule {arn}")
