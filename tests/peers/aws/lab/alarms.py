"""CloudWatch alarms: a new one has INSUFFICIENT_DATA, and a test sets the state. No metric is evaluated."""

from moto.cloudwatch.models import Alarm, CloudWatchBackend, cloudwatch_backends

STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")
_init = Alarm.__init__


def init(self, *a, **k):
    _init(self, *a, **k)
    self.state_value, self.state_reason = "INSUFFICIENT_DATA", "Unchecked: Initial alarm creation"


Alarm.__init__ = init
_put = CloudWatchBackend.put_metric_alarm


def put_metric_alarm(self, *args, **kwargs):
    """An update leaves the state unchanged."""
    name = kwargs.get("name") or (args[0] if args else None)
    old = self.alarms.get(name)
    alarm = _put(self, *args, **kwargs)
    if old is not None:
        self.alarms[name].state_value, self.alarms[name].state_reason = old.state_value, old.state_reason
    return alarm


CloudWatchBackend.put_metric_alarm = put_metric_alarm


def set_state(name, state, reason="set by the test"):
    if state not in STATES:
        raise ValueError(f"state must be one of {', '.join(STATES)}")
    found = [
        b.alarms[name]
        for account in list(cloudwatch_backends.values())
        for b in list(account.values())
        if name in b.alarms
    ]
    for alarm in found:
        alarm.update_state(reason, "{}", state)
    return len(found)
