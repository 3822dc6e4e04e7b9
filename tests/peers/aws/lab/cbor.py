"""rpc-v2-cbor for CloudWatch, which the AWS SDK for Rust speaks and moto 5.2.5 answers with 404: moto gets JSON instead."""

import struct


def loads(data):
    value, _ = _read(data, 0)
    return value


def _read(b, at):
    major, low = b[at] >> 5, b[at] & 31
    at += 1
    if major == 7:
        if low in (25, 26, 27):
            size, form = {25: (2, ">e"), 26: (4, ">f"), 27: (8, ">d")}[low]
            return struct.unpack(form, b[at : at + size])[0], at + size
        return {20: False, 21: True}.get(low), at
    count = low
    if low in (24, 25, 26, 27):
        size = 1 << (low - 24)
        count, at = int.from_bytes(b[at : at + size], "big"), at + size
    endless = low == 31
    if major == 0:
        return count, at
    if major == 1:
        return -1 - count, at
    if major in (2, 3):
        if endless:
            parts = []
            while b[at] != 0xFF:
                part, at = _read(b, at)
                parts.append(part)
            return (b"" if major == 2 else "").join(parts), at + 1
        raw = b[at : at + count]
        return (raw if major == 2 else raw.decode()), at + count
    if major == 6:  # a tag: 1 is a time
        return _read(b, at)
    items = []
    left = (count * (2 if major == 5 else 1)) if not endless else None
    while left != 0:
        if endless and b[at] == 0xFF:
            at += 1
            break
        item, at = _read(b, at)
        items.append(item)
        left = None if left is None else left - 1
    return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at


def _head(major, n):
    for low, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 24:
            return bytes([major << 5 | n])
        if n < 1 << 8 * size:
            return bytes([major << 5 | low]) + n.to_bytes(size, "big")
    raise ValueError("too long")


def dumps(value, key=""):
    """`key` tells times from other numbers, as JSON does not."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, (int, float)) and key.endswith(("Timestamp", "Timestamps")):
        return b"\xc1\xfb" + struct.pack(">d", value)
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, str):
        raw = value.encode()
        return _head(3, len(raw)) + raw
    if isinstance(value, (list, tuple)):
        return _head(4, len(value)) + b"".join(dumps(v, key) for v in value)
    return _head(5, len(value)) + b"".join(dumps(str(k)) + dumps(v, str(k)) for k, v in value.items())
