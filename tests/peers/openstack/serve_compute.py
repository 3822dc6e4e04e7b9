"""Stands in for what of Nova tells a project's limits and its flavours. The limits are read from a file at every
question, so that a story can set them. Usage: serve_compute.py HOST limits.json"""
import json
import sys

from waitress import serve

host, limits = sys.argv[1:3]
FLAVORS = [
    {"id": "1", "name": "m1.small", "vcpus": 1, "ram": 2048},
    {"id": "2", "name": "m1.large", "vcpus": 4, "ram": 8192},
]


def answer(environ, start):
    path = environ["PATH_INFO"]
    if not environ.get("HTTP_X_AUTH_TOKEN"):
        status, body = "401 Unauthorized", {"error": {"message": "The request you have made requires authentication."}}
    elif path.endswith("/limits"):
        with open(limits) as file:
            status, body = "200 OK", {"limits": {"absolute": json.load(file)}}
    elif path.endswith("/flavors/detail"):
        status, body = "200 OK", {"flavors": FLAVORS}
    else:
        status, body = "404 Not Found", {"itemNotFound": {"message": "no such address here"}}
    start(status, [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]


serve(answer, host=host, port=8774, threads=2, _quiet=True)
