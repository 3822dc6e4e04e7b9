"""Who calls: sessions of assumed roles, credentials that have expired, and signatures where the lab knows the secret."""

import datetime
import hashlib
import hmac
import json
import re
import time
import urllib.parse

from moto.iam.models import iam_backends
from moto.sts.models import STSBackend

from . import policy
from .wire import ACCOUNT

sessions = {}  # access key -> {"arn", "role", "token", "until"}
secrets = {}  # access key -> secret, of the keys whose signatures are verified
expired = set()  # access keys whose session a test has ended
FIELDS = re.compile(r"Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]+)")
SKEW = 300  # seconds that the clocks of a caller and of AWS may differ


# ------------------------------------------------------------ AssumeRole
_assume_role = STSBackend.assume_role


def assume_role(self, region_name, role_session_name, role_arn, policy, duration, external_id):
    role = _assume_role(self, region_name, role_session_name, role_arn, policy, duration, external_id)
    sessions[role.access_key_id] = {
        "arn": role.arn,
        "role": role_arn,
        "token": role.session_token,
        "until": time.time() + int(duration),
    }
    secrets[role.access_key_id] = role.secret_access_key
    return role


STSBackend.assume_role = assume_role


def check_trust(call):
    """AssumeRole: the role must be there (IAM's CreateRole), and its trust policy must allow the caller."""
    role_arn, external_id, caller = (
        call.parameters["RoleArn"],
        call.parameters.get("ExternalId"),
        principal_of(call.key),
    )
    role = next((r for r in iam_backends[ACCOUNT]["aws"].roles.values() if r.arn == role_arn), None)
    if role is not None:
        document = json.loads(urllib.parse.unquote(role.assume_role_policy_document))
        statements = [s for s in policy.many(document["Statement"]) if trusts(s.get("Principal"), caller)]
        context = {"sts:externalid": [external_id]} if external_id else {}
        if policy.decide(statements, "sts:AssumeRole", role_arn, context) is None:
            return
    raise policy.Denied(f"User: {caller} is not authorized to perform: sts:AssumeRole on resource: {role_arn}")


def trusts(principal, caller):
    """Whether a trust policy names the caller, or its whole account."""
    accounts = [ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", "*", caller]
    return principal == "*" or any(p in accounts for p in policy.many((principal or {}).get("AWS") or []))


# ------------------------------------------------------------ callers
def principal_of(key):
    return sessions[key]["arn"] if key in sessions else f"arn:aws:iam::{ACCOUNT}:user/{key or 'nobody'}"


def names_of(key):
    """By what a policy of a test may name the caller."""
    return {key, sessions[key]["role"]} if key in sessions else {key}


def fault_of(call, environ, body):
    """Returns the kind of error that the caller's credentials meet, or None."""
    session = sessions.get(call.key)
    if call.key in expired or session and time.time() > session["until"]:
        return "expired"
    if session and environ.get("HTTP_X_AMZ_SECURITY_TOKEN") != session["token"]:
        return "unknown-key"
    if call.key in secrets and not signature_fits(environ, body, secrets[call.key]):
        return "signature"
    return None


# ------------------------------------------------------------ Signature Version 4
def signature_fits(environ, body, secret):
    m = FIELDS.search(environ.get("HTTP_AUTHORIZATION", ""))
    at = environ.get("HTTP_X_AMZ_DATE", "")
    if m is None or not recent(at):
        return False
    credential, signed, signature = m.groups()
    scope = credential.split("/", 1)[1]
    names = signed.split(";")
    if "host" not in names or "x-amz-date" not in names:
        return False
    hashed = hashlib.sha256(canonical(environ, body, names).encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashed}"
    return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), signature)


def recent(at):
    try:
        then = datetime.datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        return False
    return abs(then.timestamp() - time.time()) < SKEW


def canonical(environ, body, names):
    path, _, query = environ["RAW_URI"].partition("?")
    values = {n: header(environ, n) for n in names}
    payload = environ.get("HTTP_X_AMZ_CONTENT_SHA256") or hashlib.sha256(body).hexdigest()
    return "\n".join(
        [
            environ["REQUEST_METHOD"],
            urllib.parse.quote(path, safe="/~"),
            "&".join(sorted(q if "=" in q else f"{q}=" for q in query.split("&") if q)),
            *(f"{n}:{' '.join(values[n].split())}" for n in names),
            "",
            ";".join(names),
            payload,
        ]
    )


def header(environ, name):
    key = name.upper().replace("-", "_")
    return environ.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}", "")


def clear():
    for store in (sessions, secrets, expired):
        store.clear()
