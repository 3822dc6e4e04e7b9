"""Secrets Manager and Parameter Store references of a container, resolved as the ECS agent does at the start of a task."""

import json

from moto.secretsmanager.models import secretsmanager_backends
from moto.ssm.models import ssm_backends


class Unresolved(Exception):
    """The reason that the stopped task shows."""


def environment(container, account, region):
    out = {e["name"]: e["value"] for e in container.get("environment") or []}
    for secret in container.get("secrets") or []:
        out[secret["name"]] = value(secret["valueFrom"], account, region)
    return out


def value(reference, account, region):
    parts = reference.split(":")
    if len(parts) > 5 and parts[2] == "secretsmanager":
        return from_secrets_manager(parts, reference, account)
    if len(parts) > 5 and parts[2] == "ssm":
        region, reference = parts[3], parts[5].removeprefix("parameter")
    return from_parameter_store(reference, account, region)


def from_secrets_manager(parts, reference, account):
    """arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX[:json-key:version-stage:version-id]"""
    json_key, stage, version = (parts[7:] + ["", "", ""])[:3]
    arn = ":".join(parts[:7])
    secrets = secretsmanager_backends[account][parts[3]]
    try:
        secret = secrets.get_secret_value(secret_id=arn, version_id=version, version_stage=stage or "AWSCURRENT")
    except Exception as e:
        raise unresolved(
            "unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret "
            f"{arn} from secrets manager: {type(e).__name__}"
        ) from e
    text = secret["SecretString"]
    if not json_key:
        return text
    try:
        return str(json.loads(text)[json_key])
    except (ValueError, KeyError, TypeError) as e:
        raise unresolved(
            "unable to retrieve secret from asm: service call has been retried 1 time(s): retrieved secret from Secrets "
            f"Manager did not contain json key {json_key}"
        ) from e


def from_parameter_store(name, account, region):
    try:
        found = ssm_backends[account][region].get_parameter(name)
    except Exception:
        found = None
    if found is None:
        raise unresolved(
            f"unable to retrieve secrets from ssm: service call has been retried 1 time(s): invalid parameters: {name}"
        )
    return found.response_object(decrypt=True, region=region)["Value"]


def unresolved(text):
    return Unresolved(
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: "
        + text
    )
