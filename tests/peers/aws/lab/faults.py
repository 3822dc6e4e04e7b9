"""Faults by call, throttles, and the log of calls."""

import collections
import json
import re
import socket
import time

from . import cbor
from .clock import LOCK

rules = []  # see add()
buckets = {}  # name -> {"action", "capacity", "rate", "tokens", "at"}
counts = collections.Counter()  # "service:Action" -> calls
log = collections.deque(maxlen=20000)  # what GET /lab/calls shows

# kind -> (HTTP status, code in JSON, code in the query protocol); None for those that need no answer of ours
KINDS = {
    "error": (500, "ServerException", "InternalFailure"),
    "unavailable": (503, "ServiceUnavailableException", "ServiceUnavailable"),
    "throttle": (400, "ThrottlingException", "Throttling"),
    "denied": (403, "AccessDeniedException", "AccessDenied"),
    "expired": (403, "ExpiredTokenException", "ExpiredToken"),
    "signature": (403, "InvalidSignatureException", "SignatureDoesNotMatch"),
    "unknown-key": (403, "UnrecognizedClientException", "InvalidClientTokenId"),
    "invalid": (400, "ValidationException", "ValidationError"),
    "timeout": None,  # no answer for delay_ms (10 s unless given), then the connection ends
    "drop": None,  # the connection ends without an answer
    "slow": None,  # a delay, and then the call as usual
    "change": None,  # the call as usual, and somebody else changes a listener or rule before or after it
}
# Services whose codes differ from the general ones of their protocol.
CODES = {
    ("ec2", "throttle"): (503, "RequestLimitExceeded"),
    ("ec2", "denied"): (403, "UnauthorizedOperation"),
    ("ec2", "expired"): (400, "RequestExpired"),
    ("ec2", "signature"): (401, "AuthFailure"),
    ("ec2", "unknown-key"): (401, "AuthFailure"),
    ("ecs", "invalid"): (400, "InvalidParameterException"),
    ("logs", "invalid"): (400, "InvalidParameterException"),
    ("backup", "invalid"): (400, "InvalidParameterValueException"),
}
MESSAGES = {
    "throttle": "Rate exceeded",
    "expired": "The security token included in the request is expired",
    "signature": "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method.",
    "unknown-key": "The security token included in the request is invalid.",
    "denied": "User is not authorized to perform this action",
}
# Burst and sustained requests per second that AWS documents; POST /lab/throttle "documented" sets them.
DOCUMENTED = {
    "ecs-register": {"action": "ecs:(Der|R)egisterTaskDefinition", "capacity": 20, "rate": 1},
    "ecs-services": {"action": "ecs:(Create|Update|Delete)Service", "capacity": 50, "rate": 5},
    "ecs-read-services": {"action": "ecs:(DescribeServices|ListServices)", "capacity": 100, "rate": 20},
    "ecs-read-tasks": {"action": "ecs:(DescribeTasks|ListTasks)", "capacity": 100, "rate": 20},
    "elb-read": {"action": "elasticloadbalancing:Describe.*", "capacity": 40, "rate": 10},
    "elb-targets": {"action": "elasticloadbalancing:(Der|R)egisterTargets", "capacity": 20, "rate": 4},
}


def add(rule):
    """rule: action (a pattern of Action or service:Action), kind, when ("before" or "after" the work), times (1), skip (0),
    delay_ms; code, status and message replace those of the kind; a "change" has a listener or rule, and actions."""
    if rule.get("kind", "error") not in KINDS:
        raise ValueError(f"unknown kind {rule['kind']!r}: one of {', '.join(KINDS)}")
    re.compile(rule["action"])
    rules.append({"kind": "error", "when": "before", "times": 1, "skip": 0, "hits": 0, **rule})


def set_buckets(spec):
    """spec: {name: {"action": pattern, "capacity": burst, "rate": per second}}, or "documented"."""
    buckets.clear()
    for name, b in (DOCUMENTED if spec == "documented" else spec).items():
        buckets[name] = {**b, "tokens": float(b["capacity"]), "at": time.time()}


def _concerns(pattern, call):
    return re.fullmatch(pattern, call.action) or re.fullmatch(pattern, call.name)


def over_limit(call):
    with LOCK:
        for b in buckets.values():
            if not _concerns(b["action"], call):
                continue
            at = time.time()
            b["tokens"] = min(float(b["capacity"]), b["tokens"] + (at - b["at"]) * b["rate"])
            b["at"] = at
            if b["tokens"] < 1:
                return True
            b["tokens"] -= 1
    return False


def pick(call):
    """The rule that this call meets, counted; None without one."""
    with LOCK:
        for r in rules:
            if r["times"] > 0 and _concerns(r["action"], call):
                if r["skip"] > 0:
                    r["skip"] -= 1
                    continue
                r["times"] -= 1
                r["hits"] += 1
                return dict(r)
    return None


def cut(environ):
    """Ends the connection without an answer."""
    sock = environ.get("werkzeug.socket")
    if sock is not None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def answer(kind, call, code=None, status=None, message=None):
    """Returns (status, content type, body, headers) of an error in the wire form of the call."""
    usual, in_json, in_query = KINDS[kind]
    query = call.protocol in ("query", "ec2")
    if usual == 403 and call.protocol in ("json", "cbor"):
        usual = 400
    own_status, own_code = CODES.get((call.service, kind), (usual, in_query if query else in_json))
    status, code, message = status or own_status, code or own_code, message or MESSAGES.get(kind, "injected by the lab")
    inner = f"<Code>{code}</Code><Message>{_xml(message)}</Message>"
    if call.protocol == "ec2":
        body = f"<Response><Errors><Error>{inner}</Error></Errors><RequestID>lab</RequestID></Response>"
        return status, "text/xml", body.encode(), []
    if call.protocol == "query":
        sender = "Sender" if status < 500 else "Receiver"
        body = f"<Error><Type>{sender}</Type>{inner}</Error><RequestId>lab</RequestId>"
        return status, "text/xml", f"<ErrorResponse>{body}</ErrorResponse>".encode(), []
    if call.protocol == "cbor":
        return (
            status,
            "application/cbor",
            cbor.dumps({"__type": code, "message": message}),
            [("smithy-protocol", "rpc-v2-cbor")],
        )
    headers = [("x-amzn-ErrorType", code)] if call.protocol == "rest-json" else []
    return (
        status,
        "application/x-amz-json-1.1",
        json.dumps({"__type": code, "message": message, "Message": message}).encode(),
        headers,
    )


def _xml(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clear():
    rules.clear()
    buckets.clear()
    counts.clear()
    log.clear()
