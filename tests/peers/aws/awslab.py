#!/usr/bin/env python3
"""Emulates what Pointsman needs of AWS, on loopback only. README.md says how, and what it leaves out.

Prints one line of JSON when it serves, and ends with its standard input, so that it never outlives its parent.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
import time

BEGAN = time.monotonic()
sys.dont_write_bytecode = True
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
os.environ.setdefault("MOTO_ENABLE_AMI_VALIDATION", "false")

from lab import clock, network, processes  # noqa: E402


def arguments():
    usage = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usage.add_argument("host", help="an address of 127.0.0.0/8")
    usage.add_argument("port", type=int, help="0 takes a free one")
    usage.add_argument("images", help="JSON: the command that stands for each image, see images.json")
    usage.add_argument("--network", type=int, metavar="N", help="take 127.N.0.0/16 instead of a free one of 10 to 49")
    usage.add_argument("--settings", type=json.loads, default={}, help="JSON as for POST /lab/settings")
    usage.add_argument("--needs", metavar="FILE", help="append what the calls of all keys but AKIALAB need of IAM")
    given = usage.parse_args()
    if not network.is_loopback(given.host):
        usage.error(f"{given.host} is not an address of 127.0.0.0/8")
    return given


def main():
    given = arguments()
    clock.start_with(given.settings)
    prefix = network.claim(given.network)
    processes.start_keeper()
    serving = serve(given.host, given.port, given.images)
    if given.needs:
        from lab import policy

        policy.note_to(given.needs)
    ready = {"url": f"http://{given.host}:{serving.port}", "network": prefix, "dns": serving.dns}
    print(json.dumps({**ready, "seconds": round(time.monotonic() - BEGAN, 1)}), flush=True)
    signal.signal(signal.SIGTERM, lambda *_: end())
    signal.signal(signal.SIGINT, lambda *_: end())
    while sys.stdin.buffer.read(4096):
        pass
    end()


def speed_moto_up():
    """Remembers what moto looks for again and again: regions when it starts, and its modules with each call."""
    import boto3

    ask, known = boto3.Session.get_available_regions, {}

    def remembered(self, *asked, **more):
        key = (asked, tuple(more.items()))
        if key not in known:
            known[key] = ask(self, *asked, **more)
        return known[key]

    boto3.Session.get_available_regions = remembered
    from moto import backends

    modules = list(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: modules


def serve(host, port, images):
    """Starts the server and the reconcilers in threads of their own."""
    speed_moto_up()
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    from lab import appscaling, backup, balancer, containers, front, health, instances
    from lab import paging, rds, scheduler, templates

    assert appscaling and paging and templates  # loading them is what changes moto
    containers.read_images(images)
    MotoRequestHandler.log_request = lambda *a, **k: None
    application = front.Lab(DomainDispatcherApplication(create_backend_app))
    server = make_server(host, port, application, threaded=True, request_handler=MotoRequestHandler)
    for part in (health, scheduler, instances, rds, backup):
        clock.every(part.reconcile)
    names = threading.Event()
    threading.Thread(target=lambda: asyncio.run(balancer.main(names)), daemon=True).start()
    names.wait()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.dns = balancer.dns_address
    return server


def end():
    from lab import commands

    clock.STOP.set()
    commands.end_all()
    os._exit(0)


if __name__ == "__main__":
    main()
