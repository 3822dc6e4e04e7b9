"""The sockets of the load balancers, one per listener and node; and a DNS server for their names."""

import asyncio
import ipaddress
import random

from . import certificates, targets
from .clock import LOCK, SETTINGS, STOP
from .network import node_address
from .proxy import serve
from .views import history, nodes

dns_address = None  # "127.0.0.1:PORT" once the server of names listens


def wanted():
    """(address, port, certificate or None) -> (key of the listener's view, node or None, balancer)"""
    view, out = history[-1][1] if history else {}, {}
    for key, entry in view.items():
        balancer, port = int(key.split(":")[0]), entry["port"] + SETTINGS["port_offset"]
        tls = (entry["certificate"] or "throwaway") if entry["protocol"] == "HTTPS" else None
        for node in [*range(len(SETTINGS["propagation_ms"])), None]:
            out[(node_address(balancer, node), port, tls)] = (key, node, balancer)
    return out


async def data_plane():
    up = {}
    while not STOP.is_set():
        want = wanted()
        for place in set(up) - set(want):
            server = up.pop(place)
            if server:
                server.close()
        for place in set(want) - set(up):
            up[place] = await listen(*place, *want[place])
        await asyncio.sleep(0.05)


async def listen(address, port, tls, key, node, balancer):
    try:
        context = certificates.context(tls, balancer) if tls else None
        return await asyncio.start_server(
            lambda r, w: serve(r, w, key, node), address, port, ssl=context, reuse_address=True
        )
    except OSError as e:
        print(f"awslab: listener {address}:{port}: {e}", flush=True)
        return None


class Names(asyncio.DatagramProtocol):
    """Answers for the names of load balancers: one A record per node."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        labels, at = [], 12
        while at < len(data) and data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode("latin1"))
            at += 1 + data[at]
        name, question, kind = ".".join(labels).lower(), data[12 : at + 5], data[at + 1 : at + 3]
        with LOCK:
            all_of_them = [lb for b in targets.backends() for lb in b.load_balancers.values()]
            arn = next((lb.arn for lb in all_of_them if lb.dns_name.lower() == name), None)
            found = nodes(arn) if kind == b"\0\1" else []
        random.shuffle(found)
        flags = b"\x84\x00" if arn else b"\x84\x03"
        head = b"\xc0\x0c\0\1\0\1" + (60).to_bytes(4, "big") + b"\0\4"
        records = b"".join(head + ipaddress.ip_address(ip).packed for ip in found)
        counts = b"\0\1" + len(found).to_bytes(2, "big") + b"\0\0\0\0"
        self.transport.sendto(data[:2] + flags + counts + question + records, peer)


async def main(ready):
    global dns_address
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Names, ("127.0.0.1", 0))
    dns_address = "{}:{}".format(*transport.get_extra_info("sockname"))
    ready.set()
    await data_plane()
