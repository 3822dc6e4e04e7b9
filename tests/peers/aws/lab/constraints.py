"""Refuses parameters that the API model excludes: missing members, values of enumerations, lengths and ranges."""

CHECKED = {
    "application-autoscaling",
    "autoscaling",
    "backup",
    "cloudwatch",
    "ecs",
    "elasticloadbalancing",
    "logs",
    "rds",
    "sts",
}


def broken(call):
    """Returns the message of the first constraint that the call breaks, or None."""
    if call.service not in CHECKED or call.shape is None:
        return None
    found = next(violations(call.shape, call.parameters, ""), None)
    return found and f"1 validation error detected: {found}"


def violations(shape, value, place):
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        for name in shape.required_members:
            if value.get(name) is None:
                yield f"Value null at '{joined(place, name)}' failed to satisfy constraint: Member must not be null"
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from violations(member, value[name], joined(place, name))
    elif kind == "list" and isinstance(value, list):
        yield from bounds(shape, len(value), value, place, "length")
        for i, item in enumerate(value):
            yield from violations(shape.member, item, f"{place}.{i + 1}.member")
    elif kind == "string" and isinstance(value, str):
        yield from bounds(shape, len(value), value, place, "length")
        if shape.enum and value not in shape.enum:
            yield at(value, place, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    elif kind in ("integer", "long", "float", "double") and isinstance(value, (int, float)):
        yield from bounds(shape, value, value, place, "value")


def bounds(shape, size, value, place, what):
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        yield at(value, place, f"Member must have {what} greater than or equal to {low}")
    if high is not None and size > high:
        yield at(value, place, f"Member must have {what} less than or equal to {high}")


def at(value, place, constraint):
    shown = str(value)
    return f"Value '{shown[:100]}' at '{place}' failed to satisfy constraint: {constraint}"


def joined(place, name):
    name = name[0].lower() + name[1:]
    return f"{place}.{name}" if place else name
