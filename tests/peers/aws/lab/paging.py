"""Pages of results, where moto gives all at once. The setting `page_size` makes them smaller than AWS's own."""

import base64
import binascii

from moto.core.responses import ActionResult
from moto.ecs.exceptions import InvalidParameterException
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.elbv2.responses import ELBV2Response

from . import request
from .actions import error
from .clock import SETTINGS


def paged(responses, operation, key, usual, names, refuse):
    """Cuts the list `key` of an operation. `names` are those of the parameters for size and token, and of the next token."""
    original = getattr(responses, operation)
    size_name, token_name, next_name = names

    def page(self):
        asked, whole = request.params(), original(self).result
        size = min(int(asked.get(size_name) or usual), SETTINGS["page_size"] or usual)
        try:
            start = int(base64.b64decode(asked[token_name], validate=True)) if asked.get(token_name) else 0
        except (ValueError, binascii.Error):
            raise refuse("Invalid token.") from None
        items = list(whole[key])
        out = {**whole, key: items[start : start + size]}
        if start + size < len(items):
            out[next_name] = base64.b64encode(str(start + size).encode()).decode()
        return ActionResult(out)

    page.__name__ = operation
    setattr(responses, operation, page)


# moto pages these itself, by 50.
def describe_load_balancers(self):
    found = self.elbv2_backend.describe_load_balancers(
        self._get_param("LoadBalancerArns", []), self._get_param("Names", [])
    )
    return ActionResult({"LoadBalancers": list(found)})


def describe_rules(self):
    found = self.elbv2_backend.describe_rules(self._get_param("ListenerArn"), self._get_param("RuleArns"))
    return ActionResult({"Rules": list(found)})


ELBV2Response.describe_load_balancers = describe_load_balancers
ELBV2Response.describe_rules = describe_rules

for operation, key, usual in (
    ("list_services", "serviceArns", 10),
    ("list_tasks", "taskArns", 100),
    ("list_task_definitions", "taskDefinitionArns", 100),
    ("list_task_definition_families", "families", 100),
):
    names = ("maxResults", "nextToken", "nextToken")
    paged(EC2ContainerServiceResponse, operation, key, usual, names, InvalidParameterException)

for operation, key in (
    ("describe_account_limits", "Limits"),
    ("describe_listeners", "Listeners"),
    ("describe_load_balancers", "LoadBalancers"),
    ("describe_rules", "Rules"),
    ("describe_target_groups", "TargetGroups"),
):
    names = ("PageSize", "Marker", "NextMarker")
    paged(ELBV2Response, operation, key, 400, names, lambda text: error("ValidationError", text))


_describe_tags = ELBV2Response.describe_tags


def describe_tags(self):
    if len(self._get_param("ResourceArns", [])) > 20:
        raise error("ValidationError", "You can specify up to 20 resources in a single call")
    return _describe_tags(self)


ELBV2Response.describe_tags = describe_tags
