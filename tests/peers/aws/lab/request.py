"""The API call that this thread serves."""

import threading

_local = threading.local()


def serve(call):
    _local.call = call


def params():
    """The parameters by the API model, also those that moto drops. Empty in a reconciler's thread."""
    call = getattr(_local, "call", None)
    return dict(call.parameters) if call else {}
