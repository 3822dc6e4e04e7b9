"""The HTTP front of the lab: logs each call, injects faults, passes it to moto or to what moto lacks, and serves /lab/."""

import io
import json
import re
import time

from . import backup, cbor, commands, constraints, faults, policy, request, resources, rules, sessions, views, wire
from .clock import LOCK

MAX_DELAY = 120  # seconds
REQUEST_ID = re.compile(rb"<(RequestId|RequestID|requestId)>[^<]*<")  # moto gives each call the same id
LEFT_OUT = ("content-type", "content-length", "x-amzn-requestid")


class Lab:
    """The WSGI application around moto's."""

    def __init__(self, moto):
        self.moto = moto

    def __call__(self, environ, start_response):
        size = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(size) if size else b""
        environ["wsgi.input"] = io.BytesIO(body)
        if environ["PATH_INFO"].startswith("/lab/"):
            return serve_command(environ, body, start_response)
        return Exchange(self.moto, environ, body, start_response).answer()


class Exchange:
    """One API call and its answer."""

    def __init__(self, moto, environ, body, start_response):
        self.moto, self.environ, self.body, self.start_response = moto, environ, body, start_response
        self.began = time.time()
        self.call = wire.read(environ, body)
        self.silent = False  # the work is done, and its answer is lost
        self.entry = {
            "at": round(self.began, 3),
            "service": self.call.service,
            "action": self.call.action,
            "key": self.call.key,
            "region": self.call.region,
            "user_agent": environ.get("HTTP_USER_AGENT", "")[:80],
        }
        with LOCK:
            faults.counts[self.call.name] += 1
            faults.log.append(self.entry)
            self.entry["request_id"] = f"lab-{sum(faults.counts.values())}"

    def answer(self):
        """Looks at credentials, throttles, parameters and permissions, in this order, before the call is served."""
        kind = sessions.fault_of(self.call, self.environ, self.body)
        if kind is not None:
            return self.refuse(kind)
        if faults.over_limit(self.call):
            return self.refuse("throttle")
        broken = constraints.broken(self.call)
        if broken is not None:
            return self.refuse("invalid", message=broken)
        denied = self.check_permissions()
        if denied is not None:
            return self.refuse("denied", message=denied)
        rule = faults.pick(self.call)
        return self.work() if rule is None else self.misbehave(rule)

    def check_permissions(self):
        """Logs what the call needs, and returns why a policy refuses it, or None."""
        with LOCK:
            needs = resources.needs(self.call)
            self.entry["needs"] = [n.shown() for n in needs]
            names = sessions.names_of(self.call.key)
            policy.note(names, needs)
            try:
                policy.check(sessions.principal_of(self.call.key), names, needs)
                if self.call.name == "sts:AssumeRole":
                    sessions.check_trust(self.call)
            except policy.Denied as e:
                return str(e)
        return None

    def misbehave(self, rule):
        kind = rule["kind"]
        seconds = min(MAX_DELAY, rule.get("delay_ms", 10000 if kind == "timeout" else 0) / 1e3)
        if kind == "slow":
            time.sleep(seconds)
            return self.work()
        if kind == "change":
            return self.change_around(rule)
        if rule["when"] == "after":
            self.silent = True
            self.work()
            self.silent = False
        time.sleep(seconds)
        if kind in ("timeout", "drop"):
            self.entry.update(fault=kind, status=0)
            faults.cut(self.environ)
            raise ConnectionAbortedError(kind)
        return self.refuse(kind, **{k: rule[k] for k in ("code", "status", "message") if k in rule})

    def change_around(self, rule):
        """Somebody else changes a listener or a rule just before or just after this call."""
        out = None
        with LOCK:
            if rule["when"] == "after":
                out = self.work()
            rules.change(rule.get("listener") or rule["rule"], rule["actions"])
            views.photograph()
        return out if out is not None else self.work()

    def refuse(self, kind, **more):
        self.entry["fault"] = kind
        status, content, data, headers = faults.answer(kind, self.call, **more)
        return self.reply(status, content, data, headers)

    def reply(self, status, kind, data, headers=()):
        if self.silent:
            return []
        self.entry.update(status=status, ms=round((time.time() - self.began) * 1e3, 1))
        request_id = self.entry["request_id"]
        data = REQUEST_ID.sub(rb"<\1>" + request_id.encode() + b"<", data) if kind.startswith("text/xml") else data
        lines = [("Content-Type", kind), ("Content-Length", str(len(data))), ("x-amzn-RequestId", request_id)]
        self.start_response(f"{status} X", [*lines, *headers])
        return [data]

    def work(self):
        if self.call.service == "backup" and self.call.action in backup.OPERATIONS:
            return self.work_of_backup()
        if self.call.protocol == "cbor":
            self.translate()
        seen = {}

        def start(status, headers, exc_info=None):
            seen.update(status=int(status.split()[0]), headers=headers)

        with LOCK:
            request.serve(self.call)
            try:
                data = b"".join(self.moto(self.environ, start))
            finally:
                request.serve(None)
            if self.call.service == "elasticloadbalancing" and not self.call.action.startswith("Describe"):
                views.photograph()
        headers = [(k, v) for k, v in seen["headers"] if k.lower() not in LEFT_OUT]
        if self.call.protocol == "cbor":
            data = cbor.dumps(json.loads(data or b"{}"))
            return self.reply(seen["status"], "application/cbor", data, [*headers, ("smithy-protocol", "rpc-v2-cbor")])
        kind = next((v for k, v in seen["headers"] if k.lower() == "content-type"), "text/xml")
        return self.reply(seen["status"], kind, data, headers)

    def work_of_backup(self):
        try:
            with LOCK:
                out = backup.serve(self.call)
            return self.reply(200, "application/json", json.dumps(out).encode())
        except backup.Refused as e:
            text = json.dumps({"__type": e.code, "Message": str(e), "Code": e.code}).encode()
            return self.reply(400, "application/json", text, [("x-amzn-ErrorType", e.code)])

    def translate(self):
        """moto speaks JSON to CloudWatch."""
        service, action = re.fullmatch(r"/service/([^/]+)/operation/(\w+)", self.environ["PATH_INFO"]).groups()
        text = json.dumps(self.call.parameters, default=str).encode()
        own = {"PATH_INFO": "/", "RAW_URI": "/", "REQUEST_URI": "/", "HTTP_X_AMZ_TARGET": f"{service}.{action}"}
        own.update({"CONTENT_TYPE": "application/x-amz-json-1.0", "CONTENT_LENGTH": str(len(text))})
        self.environ.update({**own, "wsgi.input": io.BytesIO(text)})
        self.environ.pop("HTTP_SMITHY_PROTOCOL", None)


def serve_command(environ, body, start_response):
    path, method = environ["PATH_INFO"].removeprefix("/lab/"), environ["REQUEST_METHOD"]
    command = commands.COMMANDS.get((method, path))
    try:
        if command is None:
            known = [f"{m} /lab/{p}" for m, p in commands.COMMANDS]
            status, out = 404, {"error": "unknown command", "commands": known}
        else:
            status, out = 200, command(json.loads(body or b"null"))
    except (ValueError, TypeError, KeyError) as e:
        status, out = 400, {"error": f"{type(e).__name__}: {e}"}
    data = json.dumps(out, default=str).encode()
    start_response(f"{status} X", [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
    return [data]
