"""Which action, target group and target a request gets: conditions, weights, stickiness, sign-in, redirects, transforms."""

import base64
import collections
import datetime
import fnmatch
import ipaddress
import json
import random
import re
import urllib.parse

from . import targets
from .actions import groups_of, true
from .clock import now, scaled

_turn = collections.Counter()  # group ARN -> requests, for round robin


def values(condition):
    configs = [condition[k].get("Values") for k in condition if k.endswith("Config") and condition[k]]
    return condition.get("Values") or (configs[0] if configs else None) or []


def matches(conditions, method, path, headers, client):
    return all(matches_one(c, values(c), method, path, headers, client) for c in conditions or [])


def matches_one(condition, wanted, method, path, headers, client):
    field = condition["Field"]
    plain, _, query = path.partition("?")
    if field == "path-pattern":
        return any(fnmatch.fnmatchcase(plain, p) for p in wanted)
    if field == "host-header":
        host = headers.get("host", "").rsplit(":", 1)[0].lower()
        return any(fnmatch.fnmatchcase(host, p.lower()) for p in wanted)
    if field == "http-header":
        value = headers.get(condition["HttpHeaderConfig"]["HttpHeaderName"].lower())
        return value is not None and any(fnmatch.fnmatchcase(value.lower(), p.lower()) for p in wanted)
    if field == "http-request-method":
        return method in wanted
    if field == "source-ip":
        return any(ipaddress.ip_address(client) in ipaddress.ip_network(n, strict=False) for n in wanted)
    if field == "query-string":
        have = urllib.parse.parse_qsl(query, keep_blank_values=True)
        pairs = [(w.get("Key") or "*", w.get("Value", "")) for w in wanted]
        return any(fnmatch.fnmatchcase(k, wk) and fnmatch.fnmatchcase(v, wv) for k, v in have for wk, wv in pairs)
    return False


def cookie(headers, name):
    m = re.search(rf"(?:^|;\s*){re.escape(name)}=([^;]+)", headers.get("cookie", ""))
    return m[1] if m else None


def seal(value, seconds):
    return base64.urlsafe_b64encode(json.dumps([value, now() + scaled(seconds)]).encode()).decode()


def unseal(text):
    try:
        value, until = json.loads(base64.urlsafe_b64decode(text))
        return value if now() < until else None
    except (ValueError, TypeError):
        return None


def choose_group(action, headers):
    """Returns the group's ARN, or None, and lines for Set-Cookie.

    A client with a valid AWSALBTG cookie stays while its group is in the action, at weight 0 too.
    """
    groups = groups_of(action)
    sticky = (action.get("ForwardConfig") or {}).get("TargetGroupStickinessConfig") or {}
    if true(sticky.get("Enabled")) and cookie(headers, "AWSALBTG"):
        arn = unseal(cookie(headers, "AWSALBTG"))
        if arn in [a for a, _ in groups]:
            return arn, []
    if sum(w for _, w in groups) == 0:
        return None, []
    arn = random.choices([a for a, _ in groups], [w for _, w in groups])[0]
    if not true(sticky.get("Enabled")):
        return arn, []
    seconds = int(sticky.get("DurationSeconds") or 1)
    end = datetime.datetime.fromtimestamp(now() + seconds, datetime.timezone.utc)
    text, age = seal(arn, seconds), f"Expires={end:%a, %d %b %Y %H:%M:%S GMT}; Path=/"
    return arn, [f"AWSALBTG={text}; {age}", f"AWSALBTGCORS={text}; {age}; SameSite=None; Secure"]


def choose_target(group, headers):
    """Returns a healthy target, or any registered one when none is healthy (fail open), and lines for Set-Cookie."""
    live = targets.healthy(group) or list(group.targets.values())
    if not live:
        return None, []
    lasting = (
        true(group.attributes.get("stickiness.enabled")) and group.attributes.get("stickiness.type") == "lb_cookie"
    )
    if lasting and cookie(headers, "AWSALB"):
        kept = next((t for t in live if t["Id"] == unseal(cookie(headers, "AWSALB"))), None)
        if kept:
            return kept, []
    _turn[group.arn] += 1
    target = live[_turn[group.arn] % len(live)]
    if not lasting:
        return target, []
    seconds = float(group.attributes.get("stickiness.lb_cookie.duration_seconds", 86400))
    return target, [f"AWSALB={seal(target['Id'], seconds)}; Path=/"]


def sign_in(action, headers, url):
    """Returns (None, headers that the balancer adds) when the request may go on, else (status, headers of the response)."""
    if action["Type"] == "jwt-validation":
        bearer = headers.get("authorization", "").lower().startswith("bearer ")
        return (None, {}) if bearer else (401, {"WWW-Authenticate": "Bearer"})
    config = action.get("AuthenticateOidcConfig") or action.get("AuthenticateCognitoConfig") or {}
    session = cookie(headers, config.get("SessionCookieName", "AWSELBAuthSessionCookie") + "-0")
    if session:
        return None, {"x-amzn-oidc-identity": session, "x-amzn-oidc-data": "lab", "x-amzn-oidc-accesstoken": "lab"}
    mode = config.get("OnUnauthenticatedRequest", "authenticate")
    if mode == "allow":
        return None, {}
    if mode == "deny":
        return 401, {}
    query = {
        "client_id": config.get("ClientId", ""),
        "response_type": "code",
        "scope": config.get("Scope", "openid"),
        "redirect_uri": urllib.parse.urljoin(url, "/oauth2/idpresponse"),
    }
    endpoint = config.get("AuthorizationEndpoint", "https://cognito")
    return 302, {"Location": f"{endpoint}?{urllib.parse.urlencode(query)}"}


def redirect(config, protocol, host, port, path):
    """Returns the Location of a redirect action."""
    plain, _, query = path.partition("?")
    have = {"protocol": protocol.lower(), "host": host, "port": str(port), "path": plain.lstrip("/"), "query": query}

    def field(key, usual):
        text = str(config.get(key) or usual)
        for name, value in have.items():
            text = text.replace("#{%s}" % name, value)
        return text

    to = field("Protocol", "#{protocol}").lower() + "://" + field("Host", "#{host}") + ":" + field("Port", "#{port}")
    query = field("Query", "#{query}")
    return to + field("Path", "/#{path}") + (f"?{query}" if query else "")


def transform(rule, path, head):
    """Applies url-rewrite and host-header-rewrite. Returns the path and the lines of the head."""
    for t in rule["transforms"]:
        config = t.get("UrlRewriteConfig") or t.get("HostHeaderRewriteConfig") or {}
        for rewrite in config.get("Rewrites") or []:
            to = re.sub(r"\$(\d)", r"\\\1", rewrite["Replace"])
            if t["Type"] == "url-rewrite":
                path = re.sub(rewrite["Regex"], to, path)
            else:
                head = [rewritten_host(line, rewrite["Regex"], to) for line in head]
    return path, head


def rewritten_host(line, pattern, to):
    name, _, value = line.partition(":")
    return f"Host: {re.sub(pattern, to, value.strip())}" if name.lower() == "host" else line
