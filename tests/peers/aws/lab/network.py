"""The addresses of one lab: 127.N.0.0/16. Balancers are 127.N.1 to 127.N.63, tasks and instances 127.N.64 to 127.N.253.

Several labs run beside each other: each takes a network by listening on 127.N.0.1 as long as it lives.
"""

import itertools
import re
import socket

NETWORKS = range(10, 50)
GUARD_PORT = 26000
ANY_NODE = 254
MAX_BALANCERS = 63
_claim = None
_prefix = None
_numbers = itertools.count()


def claim(wanted=None):
    """Takes network `wanted`, or the first free one. Returns its first two octets."""
    global _claim, _prefix
    for n in NETWORKS if wanted is None else [wanted]:
        guard = socket.socket()
        try:
            guard.bind((f"127.{n}.0.1", GUARD_PORT))
        except OSError:
            guard.close()
            continue
        guard.listen(1)
        _claim, _prefix = guard, f"127.{n}"
        return _prefix
    raise SystemExit(
        "awslab: no free network" if wanted is None else f"awslab: network {wanted} is taken by another lab"
    )


def new_address():
    """The address of the next task or instance."""
    n = next(_numbers) % (190 * 250)
    return f"{_prefix}.{64 + n // 250}.{n % 250 + 1}"


def node_address(balancer, node):
    """The address of one node of a balancer, counted from 0; of none in particular when `node` is None."""
    return f"{_prefix}.{balancer}.{ANY_NODE if node is None else node + 1}"


def is_loopback(address):
    """The lab talks to loopback and to nothing else, whatever a test registers."""
    return re.fullmatch(r"127(\.\d{1,3}){3}", str(address)) is not None
