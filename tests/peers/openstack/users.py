"""What Heat needs in a new Keystone, and the users of the stories. Standard library only."""
import json
import urllib.request


class Keystone:
    """As the administrator."""

    def __init__(self, host):
        self.base = "http://%s:5000/v3" % host
        self.token = None
        user = {"name": "admin", "domain": {"id": "default"}, "password": "admin-password"}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": user}}
        _, headers = self.call("POST", "/auth/tokens", {"auth": {"identity": identity, "scope": scope}})
        self.token = headers["X-Subject-Token"]
        listed, _ = self.call("GET", "/roles")
        self.roles = {role["name"]: role["id"] for role in listed["roles"]}

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json", **({"X-Auth-Token": self.token} if self.token else {})}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, method=method, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return (json.loads(text) if text else None), answer.headers

    def make(self, kind, **facts):
        made, _ = self.call("POST", "/%ss" % kind, {kind: facts})
        return made[kind]["id"]

    def role(self, name):
        if name not in self.roles:
            self.roles[name] = self.make("role", name=name)
        return self.roles[name]

    def grant(self, where, place, user, role):
        self.call("PUT", "/%ss/%s/users/%s/roles/%s" % (where, place, user, self.role(role)))

    def service(self, name, kind, url):
        service = self.make("service", name=name, type=kind)
        for interface in ("public", "internal"):
            self.make("endpoint", service_id=service, interface=interface, region_id="RegionOne", url=url)


def make(host):
    """Makes all of it."""
    keystone = Keystone(host)
    services = keystone.make("project", name="service", domain_id="default")
    heat = keystone.make("user", name="heat", password="heat-password", domain_id="default")
    for role in ("admin", "service"):
        keystone.grant("project", services, heat, role)
    for role in ("heat_stack_user", "heat_stack_owner"):
        keystone.role(role)
    domain = keystone.make("domain", name="heat")
    administrator = keystone.make("user", name="heat_domain_admin", password="heat-domain-password", domain_id=domain)
    keystone.grant("domain", domain, administrator, "admin")
    project = keystone.make("project", name="demo", domain_id="default")
    user = keystone.make("user", name="demo", password="demo-password", domain_id="default")
    keystone.grant("project", project, user, "member")
    # Whom the shipped pipeline is for.
    user = keystone.make("user", name="pointsman", password="pointsman-password", domain_id="default")
    for environment in ("qa", "prod"):
        project = keystone.make("project", name="reporting-" + environment, domain_id="default")
        keystone.grant("project", project, user, "member")
    keystone.service("heat", "orchestration", "http://%s:8004/v1/%%(tenant_id)s" % host)
    keystone.service("heat-cfn", "cloudformation", "http://%s:8000/v1" % host)
    keystone.service("nova", "compute", "http://%s:8774/v2.1" % host)
