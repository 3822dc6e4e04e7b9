"""Launch templates: client tokens, and user data of later versions."""

from moto.core.types import Base64EncodedString
from moto.ec2.exceptions import InvalidLaunchTemplateNameNotFoundError
from moto.ec2.models import EC2Backend
from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateVersion

from . import request

_version_init = LaunchTemplateVersion.__init__
_create_template, _create_version = EC2Backend.create_launch_template, LaunchTemplate.create_version
_delete_template = EC2Backend.delete_launch_template


def version_init(self, template, number, data, description):
    """moto 5.2.5 wraps user data in CreateLaunchTemplate, and forgets it in CreateLaunchTemplateVersion."""
    if isinstance(data.get("UserData"), str):
        data["UserData"] = Base64EncodedString(data["UserData"])
    _version_init(self, template, number, data, description)


def create_launch_template(self, name, *a, **k):
    """Idempotent by ClientToken."""
    token = request.params().get("ClientToken")
    old = self.launch_templates.get(self.launch_template_name_to_ids.get(name))
    if old is not None and token and old.lab_token == token:
        return old
    template = _create_template(self, name, *a, **k)
    template.lab_token = token
    return template


def create_version(self, data, description):
    """Idempotent by ClientToken. CreateLaunchTemplate makes the first version through this, too."""
    token = request.params().get("ClientToken")
    old = next((v for v in self.versions[1:] if token and v.lab_token == token), None)
    if old is not None:
        return old
    version = _create_version(self, data, description)
    version.lab_token = token
    return version


def delete_launch_template(self, name, tid):
    if name and name not in self.launch_template_name_to_ids:
        raise InvalidLaunchTemplateNameNotFoundError()
    return _delete_template(self, name, tid)


LaunchTemplateVersion.__init__ = version_init
EC2Backend.create_launch_template = create_launch_template
LaunchTemplate.create_version = create_version
EC2Backend.delete_launch_template = delete_launch_template
