"""IAM's decision for the policies that a test gives the lab: POST /lab/policy."""

import json
import re

from .resources import resource_tags

ADMINISTRATOR = "AKIALAB"  # no policy binds this access key, so that a test can make and look at things
policies = []  # [(principals or None for all, statements)]
_noted = set()
_notes = None


def note_to(path):
    """Appends what is needed, one line of JSON for each action and its resources, to a file that other labs append to, too."""
    global _notes
    _notes = open(path, "a")  # noqa: SIM115 (open as long as the lab lives)


def note(names, needs):
    if _notes is None or ADMINISTRATOR in names:
        return
    for need in needs:
        line = json.dumps(need.shown(), sort_keys=True)
        if line not in _noted:
            _noted.add(line)
            _notes.write(line + "\n")
            _notes.flush()


class Denied(Exception):
    """The words in which AWS refuses a call."""


# ------------------------------------------------------------ documents
def put(document, principals=None):
    """Binds principals, access keys or ARNs of roles, to a document; all callers when none is given."""
    statements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    for s in statements:
        check_statement(s)
    policies.append((principals, statements))


def check_statement(s):
    unknown = set(s) - {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition", "Principal"}
    if unknown:
        raise ValueError(f"unknown elements: {', '.join(sorted(unknown))}")
    if s.get("Effect") not in ("Allow", "Deny"):
        raise ValueError("Effect must be Allow or Deny")
    if "${" in json.dumps(s):
        raise ValueError("policy variables are not emulated")
    for operator in s.get("Condition") or {}:
        if parts_of(operator)[1] not in OPERATORS:
            raise ValueError(f"unknown condition operator {operator}")


def many(value):
    return value if isinstance(value, list) else [value]


def like(pattern, text, ignore_case=False):
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text, re.IGNORECASE | re.DOTALL if ignore_case else re.DOTALL) is not None


# ------------------------------------------------------------ conditions
def number(test):
    return lambda wanted, value: test(float(value), float(wanted))


# operator -> whether a value of the request fits one that the policy wants
OPERATORS = {
    "StringEquals": lambda wanted, value: wanted == value,
    "StringEqualsIgnoreCase": lambda wanted, value: wanted.lower() == value.lower(),
    "StringLike": like,
    "ArnEquals": like,
    "ArnLike": like,
    "Bool": lambda wanted, value: str(wanted).lower() == str(value).lower(),
    "NumericEquals": number(lambda a, b: a == b),
    "NumericLessThan": number(lambda a, b: a < b),
    "NumericLessThanEquals": number(lambda a, b: a <= b),
    "NumericGreaterThan": number(lambda a, b: a > b),
    "NumericGreaterThanEquals": number(lambda a, b: a >= b),
    "Null": None,
}
NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}
NEGATED["StringNotEqualsIgnoreCase"] = "StringEqualsIgnoreCase"


def parts_of(operator):
    """(quantifier, operator without its decorations, whether it is negated, whether IfExists)"""
    quantifier, _, name = operator.rpartition(":")
    bare = name.removesuffix("IfExists")
    return quantifier, NEGATED.get(bare, bare), bare in NEGATED, bare != name


def condition_holds(operator, key, wanted, context):
    quantifier, name, negated, if_exists = parts_of(operator)
    values = context.get(key.lower())
    if name == "Null":
        return (values is None) == (str(many(wanted)[0]).lower() == "true")
    if values is None:
        return if_exists or negated or quantifier == "ForAllValues"

    def fits(value):
        found = any(OPERATORS[name](str(w), str(value)) for w in many(wanted))
        return found != negated

    # A key with one value needs no quantifier; ForAnyValue is what such a key means.
    return all(map(fits, values)) if quantifier == "ForAllValues" else any(map(fits, values))


def conditions_hold(statement, context):
    conditions = (statement.get("Condition") or {}).items()
    return all(condition_holds(op, key, wanted, context) for op, keys in conditions for key, wanted in keys.items())


# ------------------------------------------------------------ decisions
def applies(statement, action, resource, context):
    def names(key, value, ignore_case):
        return any(like(pattern, value, ignore_case) for pattern in many(statement[key]))

    if "NotAction" in statement and names("NotAction", action, True):
        return False
    if "Action" in statement and not names("Action", action, True):
        return False
    if "NotResource" in statement and names("NotResource", resource, False):
        return False
    if "Resource" in statement and not names("Resource", resource, False):
        return False
    return conditions_hold(statement, context)


def decide(statements, action, resource, context):
    """Returns None when the statements allow the action, else why not."""
    found = [s["Effect"] for s in statements if applies(s, action, resource, context)]
    if "Deny" in found:
        return "with an explicit deny in an identity-based policy"
    return None if "Allow" in found else f"because no identity-based policy allows the {action} action"


def context_of(need, resource):
    tags = resource_tags(resource)
    service = need.action.split(":")[0]
    out = dict(need.context)
    for prefix in ("aws", service):
        out.update({f"{prefix}:resourcetag/{k}".lower(): [v] for k, v in tags.items()})
    return {k.lower(): v for k, v in out.items()}


def check(principal, names, needs):
    """Raises Denied when the policies that bind the caller do not allow what the call needs."""
    bound = [
        s for principals, statements in policies if principals is None or names & set(principals) for s in statements
    ]
    is_bound = any(principals is None or names & set(principals) for principals, _ in policies)
    if not is_bound or ADMINISTRATOR in names:
        return
    for need in needs:
        for resource in need.resources:
            why = decide(bound, need.action, resource, context_of(need, resource))
            if why is not None:
                raise Denied(
                    f"User: {principal} is not authorized to perform: {need.action} on resource: {resource} {why}"
                )


def clear():
    policies.clear()
