"""The configuration of the services, and what a user needs to reach them."""
import os

KEYSTONE = """\
[DEFAULT]
log_file = {folder}/log/keystone.log
max_token_size = 512
[database]
connection = mysql+pymysql://cloud:cloud@{host}:3306/keystone?charset=utf8
[token]
provider = fernet
[fernet_tokens]
key_repository = {folder}/fernet-keys
[credential]
key_repository = {folder}/credential-keys
[identity]
password_hash_rounds = 4
[cache]
backend = oslo_cache.dict
[oslo_messaging_notifications]
driver = noop
"""

HEAT = """\
[DEFAULT]
log_file = {folder}/log/heat.log
host = {host}
# API and engine share a process.
transport_url = fake://
auth_encryption_key = 0123456789abcdef0123456789abcdef
num_engine_workers = 1
environment_dir = {folder}/etc/environment.d
template_dir = {folder}/etc/templates
plugin_dirs = {here}/plugin
region_name_for_services = RegionOne
heat_metadata_server_url = http://{host}:8000
heat_waitcondition_server_url = http://{host}:8000/v1/waitcondition
stack_domain_admin = heat_domain_admin
stack_domain_admin_password = heat-domain-password
stack_user_domain_name = heat
deferred_auth_method = trusts
[database]
connection = mysql+pymysql://cloud:cloud@{host}:3306/heat?charset=utf8
[paste_deploy]
api_paste_config = {folder}/etc/api-paste.ini
[keystone_authtoken]
www_authenticate_uri = http://{host}:5000
auth_url = http://{host}:5000
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = service
username = heat
password = heat-password
service_token_roles_required = true
[trustee]
auth_type = password
auth_url = http://{host}:5000
username = heat
password = heat-password
user_domain_name = Default
[clients_keystone]
auth_uri = http://{host}:5000
[ec2authtoken]
auth_uri = http://{host}:5000/v3
[oslo_concurrency]
lock_path = {folder}/lock
[oslo_messaging_notifications]
driver = noop
[oslo_policy]
enforce_scope = false
"""

PASTE = """\
[pipeline:heat-api]
pipeline = request_id faultwrap versionnegotiation authurl authtoken context apiv1app
[pipeline:heat-api-cfn]
pipeline = request_id cfnversionnegotiation ec2authtoken authtoken context apicfnv1app
[app:apiv1app]
paste.app_factory = heat.common.wsgi:app_factory
heat.app_factory = heat.api.openstack.v1:API
[app:apicfnv1app]
paste.app_factory = heat.common.wsgi:app_factory
heat.app_factory = heat.api.cfn.v1:API
[filter:versionnegotiation]
paste.filter_factory = heat.common.wsgi:filter_factory
heat.filter_factory = heat.api.openstack:version_negotiation_filter
[filter:faultwrap]
paste.filter_factory = heat.common.wsgi:filter_factory
heat.filter_factory = heat.api.openstack:faultwrap_filter
[filter:cfnversionnegotiation]
paste.filter_factory = heat.common.wsgi:filter_factory
heat.filter_factory = heat.api.cfn:version_negotiation_filter
[filter:context]
paste.filter_factory = heat.common.context:ContextMiddleware_filter_factory
[filter:ec2authtoken]
paste.filter_factory = heat.api.aws.ec2token:EC2Token_filter_factory
[filter:authurl]
paste.filter_factory = heat.common.auth_url:filter_factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
[filter:request_id]
paste.filter_factory = oslo_middleware.request_id:RequestId.factory
"""

# What has no service behind it here is taken, with any property, and means nothing.
MAPPING = """\
resource_registry:
  "OS::Nova::Server": "Pointsman::Test::Server"
  "OS::Nova::KeyPair": "OS::Heat::None"
  "OS::Neutron::*": "OS::Heat::None"
  "OS::Cinder::*": "OS::Heat::None"
"""

CLOUDS = """\
clouds:
  test:
    auth:
      auth_url: http://{host}:5000/v3
      username: demo
      password: demo-password
      project_name: demo
      user_domain_name: Default
      project_domain_name: Default
    region_name: RegionOne
    identity_api_version: 3
"""


def write(folder, host):
    """Writes all of it below FOLDER/etc."""
    here = os.path.dirname(os.path.abspath(__file__))
    for part in ("etc/environment.d", "etc/templates", "log", "lock"):
        os.makedirs(os.path.join(folder, part), exist_ok=True)
    files = {"keystone.conf": KEYSTONE, "heat.conf": HEAT, "api-paste.ini": PASTE,
             "environment.d/mapping.yaml": MAPPING, "clouds.yaml": CLOUDS}
    for name, text in files.items():
        with open(os.path.join(folder, "etc", name), "w") as file:
            file.write(text.format(folder=folder, host=host, here=here))
