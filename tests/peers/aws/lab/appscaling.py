"""Application Auto Scaling keeps targets and policies of services; no policy acts."""

from moto.applicationautoscaling.models import ApplicationAutoscalingBackend
from moto.core.exceptions import JsonRESTError

_deregister = ApplicationAutoscalingBackend.deregister_scalable_target
_delete_policy = ApplicationAutoscalingBackend.delete_scaling_policy


def not_found(call):
    """moto says ValidationException where the API model lists ObjectNotFoundException."""
    try:
        return call()
    except JsonRESTError as e:
        if "found for" in str(e.message):
            raise JsonRESTError("ObjectNotFoundException", e.message) from e
        raise


def deregister_scalable_target(self, namespace, r_id, dimension):
    """The policies of the target go with it."""
    not_found(lambda: _deregister(self, namespace, r_id, dimension))
    for key, policy in list(self.policies.items()):
        if (policy.service_namespace, policy.resource_id, policy.scalable_dimension) == (namespace, r_id, dimension):
            policy.delete_alarms(self.account_id, self.region_name)
            del self.policies[key]


ApplicationAutoscalingBackend.deregister_scalable_target = deregister_scalable_target
ApplicationAutoscalingBackend.delete_scaling_policy = lambda self, *a, **k: not_found(
    lambda: _delete_policy(self, *a, **k)
)
