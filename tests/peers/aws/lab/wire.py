"""Reads an API call: service, operation and parameters, by the API model of the service that it was signed for."""

import dataclasses
import functools
import json
import re
import urllib.parse

from moto.core.parse import EC2QueryParser, JSONParser, QueryParser
from moto.core.utils import get_service_model

from . import cbor

ACCOUNT = "123456789012"
SCOPE = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")
# Signing name: (name of the API model, prefix of the service in IAM), where these differ from it.
SERVICES = {
    "elasticloadbalancing": ("elbv2", "elasticloadbalancing"),
    "monitoring": ("cloudwatch", "cloudwatch"),
    "elasticfilesystem": ("efs", "elasticfilesystem"),
    "tagging": ("resourcegroupstaggingapi", "tag"),
}


@dataclasses.dataclass
class Call:
    """One API call. `service` is the prefix that IAM uses."""

    service: str
    action: str
    protocol: str  # json, rest-json, query, ec2 or cbor
    key: str
    region: str
    parameters: dict
    shape: object = None  # the model of the parameters; None when the operation is unknown

    @property
    def name(self):
        return f"{self.service}:{self.action}"


def read(environ, body):
    m = SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    key, region, signed_for = m.groups() if m else ("", "us-east-1", "unknown")
    model_name, service = SERVICES.get(signed_for, (signed_for, signed_for))
    action, protocol, found = _operation(environ, body, model_name)
    try:
        operation = get_service_model(model_name).operation_model(action)
    except Exception:  # not a service or an operation that AWS's models know
        return Call(service, action, protocol, key, region, {})
    parameters = _parameters(operation, protocol, environ, body, found) if operation.input_shape else {}
    return Call(service, action, protocol, key, region, parameters, operation.input_shape)


def _operation(environ, body, model_name):
    """Returns the operation, the protocol, and what the protocol has read already."""
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    if environ.get("HTTP_X_AMZ_TARGET"):
        return environ["HTTP_X_AMZ_TARGET"].split(".")[-1], "json", None
    m = re.fullmatch(r"/service/[^/]+/operation/(\w+)", path)
    if m:
        return m[1], "cbor", None
    form = dict(urllib.parse.parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    if "urlencoded" in environ.get("CONTENT_TYPE", ""):
        form.update(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
    if "Action" in form:
        return form["Action"], "ec2" if model_name == "ec2" else "query", form
    for verb, pattern, operation in _routes(model_name):
        m = re.fullmatch(pattern, path)
        if verb == method and m:
            return operation, "rest-json", {**form, **m.groupdict()}
    return f"{method} {path}", "rest-json", form


@functools.cache
def _routes(model_name):
    """[(method, pattern of the path, operation)] of a REST service, the most exact ones first."""
    try:
        model = get_service_model(model_name)
    except Exception:  # not a service that AWS's models know
        return []
    routes = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        pattern = re.sub(
            r"\\{(\w+)\\\+?\\}|\\{(\w+)\\}",
            lambda m: f"(?P<{m[1] or m[2]}>[^/]+)",
            re.escape(http["requestUri"].split("?")[0]),
        )
        routes.append((http["method"], pattern.rstrip("/") + "/?", name))
    return sorted(routes, key=lambda r: r[1].count("(?P"))


def _parameters(operation, protocol, environ, body, found):
    try:
        if protocol in ("query", "ec2"):
            parser = EC2QueryParser if protocol == "ec2" else QueryParser
            return parser(operation).parse({"values": found})
        if protocol == "json":
            return JSONParser(operation).parse({"body": body or b"{}"})
        if protocol == "cbor":
            return cbor.loads(body) if body else {}
        named = {m.serialization.get("name", n): n for n, m in operation.input_shape.members.items()}
        whole = {**(json.loads(body) if body else {}), **found}
        return {named.get(k, k): urllib.parse.unquote(v) if isinstance(v, str) else v for k, v in whole.items()}
    except (ValueError, TypeError, AttributeError):  # left to moto, which refuses it
        return {}
