"""What the nodes of each balancer know of its rules: a node takes a change up after a delay of its own."""

import collections
import json
import time

from . import targets
from .clock import SETTINGS
from .network import MAX_BALANCERS, node_address

balancers = {}  # load balancer ARN -> its number in the addresses
history = collections.deque(maxlen=2000)  # (time, view, its text), newest last; grows when a rule changes
served = collections.Counter()  # (balancer's name, node, status) -> responses


def nodes(arn):
    """The addresses of a balancer's nodes."""
    return [node_address(balancers[arn], n) for n in range(len(SETTINGS["propagation_ms"]))] if arn in balancers else []


def any_node(arn):
    """The address at which each request meets a node of its own."""
    return node_address(balancers[arn], None)


def photograph():
    """Appends the rules of all listeners to the history when they have changed. Called after each call that may change them."""
    view = {}
    for backend in targets.backends():
        for lb in list(backend.load_balancers.values()):
            if lb.type == "application" and (lb.arn in balancers or len(balancers) < MAX_BALANCERS):
                balancers.setdefault(lb.arn, len(balancers) + 1)
                view.update(of_balancer(backend, lb))
    text = json.dumps(view, default=str)
    if not history or history[-1][2] != text:
        history.append((time.time(), json.loads(text), text))


def of_balancer(backend, lb):
    number = balancers[lb.arn]
    named = f"{lb.name}-{number}.{backend.region_name}.elb.amazonaws.com"
    lb.dns_name = named if SETTINGS["balancer_names"] else any_node(lb.arn)
    lb.state = "active"
    return {f"{number}:{listener.port}": of_listener(backend, lb, listener) for listener in list(lb.listeners.values())}


def of_listener(backend, lb, listener):
    rules = sorted(listener.rules.values(), key=lambda r: 10**6 if r.is_default else int(r.priority))
    return {
        "name": lb.name,
        "protocol": listener.protocol,
        "port": int(listener.port),
        "certificate": certificate_of(listener),
        "rules": [
            {
                "conditions": r.conditions,
                "transforms": getattr(r, "transforms", []) or [],
                "actions": sorted((a.data for a in r.actions), key=lambda a: int(a.get("Order") or 1)),
            }
            for r in rules
        ],
    }


def certificate_of(listener):
    """The ARN of the listener's certificate. moto keeps ARNs or {"CertificateArn": ARN}."""
    first = (listener.certificates or [None])[0]
    return first.get("CertificateArn") if isinstance(first, dict) else first


def seen_by(node):
    """The newest view that is at least as old as the node's propagation delay."""
    delays = SETTINGS["propagation_ms"]
    limit = time.time() - delays[node % len(delays)] / 1e3
    for at, view, _ in reversed(history):
        if at <= limit:
            return view
    return history[0][1] if history else {}


def clear():
    balancers.clear()
    history.clear()
    served.clear()
