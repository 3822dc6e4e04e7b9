"""The API call that this thread serves."""

import threading

_local = threading.local()


def serve(parameters):
    _local.parameters = parameters


def params():
    """The parameters by the API model, also those that moto drops. Empty in a reconciler's thread."""
    return dict(getattr(_local, "parameters", None) or {})
