"""Listeners and rules: what AWS refuses, and what a driver must keep."""

import re
import subprocess

from .world import TLS, check, fixed, forward, path, refused, until

SIGN_IN = {
    "Type": "authenticate-oidc",
    "Order": 1,
    "AuthenticateOidcConfig": {
        "Issuer": "https://id.example",
        "AuthorizationEndpoint": "https://id.example/auth",
        "TokenEndpoint": "https://id.example/token",
        "UserInfoEndpoint": "https://id.example/me",
        "ClientId": "c",
        "ClientSecret": "hush",
    },
}
JWT = {
    "Type": "jwt-validation",
    "Order": 1,
    "JwtValidationConfig": {"JwksEndpoint": "https://id.example/k", "Issuer": "https://id.example"},
}
REWRITE = {
    "Type": "url-rewrite",
    "UrlRewriteConfig": {"Rewrites": [{"Regex": "^/app/(.*)$", "Replace": "/$1"}]},
}


def described(w, rule):
    return w.elb.describe_rules(RuleArns=[rule])["Rules"][0]


def to(group):
    return {**forward(group), "Order": 2}


def modify(w, rule, *actions, **more):
    return w.elb.modify_rule(RuleArn=rule, **({"Actions": list(actions)} if actions else {}), **more)


@check
def one_group_is_described_twice(w):
    g = w.group("shape")
    rule = w.test_rule(g, "shape", 902)
    a = described(w, rule)["Actions"][0]
    assert a["TargetGroupArn"] == g, a
    assert a["ForwardConfig"]["TargetGroups"] == [{"TargetGroupArn": g, "Weight": 1}], a
    assert a["ForwardConfig"]["TargetGroupStickinessConfig"]["Enabled"] is False, a
    w.elb.delete_rule(RuleArn=rule)


@check
def patterns_are_described_twice(w):
    for given in ({"PathPatternConfig": {"Values": ["/a*"]}}, {"Values": ["/a*"]}):
        rule = w.rule(903, [{"Field": "path-pattern", **given}], fixed("200"))
        condition = described(w, rule)["Conditions"][0]
        assert condition["Values"] == ["/a*"] == condition["PathPatternConfig"]["Values"], condition
        w.elb.delete_rule(RuleArn=rule)


@check
def listener_is_idempotent_and_its_default_rule_is_its_own(w):
    assert w.listen(w.lb, fixed("503")) == w.listener
    refused("DuplicateListener", lambda: w.listen(w.lb, fixed("200")))
    default = next(r for r in w.elb.describe_rules(ListenerArn=w.listener)["Rules"] if r["IsDefault"])["RuleArn"]
    refused("OperationNotPermitted", lambda: modify(w, default, fixed("200")))
    refused("OperationNotPermitted", lambda: w.elb.delete_rule(RuleArn=default))


@check
def a_fixed_response_has_at_most_1024_bytes(w):
    w.shift(fixed("503", "x" * 1024))
    until("the page", lambda: w.get()[2] == "x" * 1024)
    refused("ValidationError", lambda: w.shift(fixed("503", "x" * 1025)), "1024")
    refused("ValidationError", lambda: w.shift(fixed("503", "é" * 513)), "1024")
    refused("ValidationError", lambda: w.shift(fixed("302")), "status code")
    w.shift(fixed("503"))


@check
def sign_in_actions_and_transforms_are_honoured_and_the_secret_is_never_shown(w):
    listener = secure_listener(w)
    green, _ = w.stack("green", 11)
    until("healthy", lambda: w.health(green) == ["healthy"])
    refused("InvalidLoadBalancerAction", lambda: w.rule(20, path("/app*"), SIGN_IN, to(green)), "HTTPS")
    rule = w.rule(20, path("/app*"), SIGN_IN, to(green), listener=listener, Transforms=[REWRITE])
    shown = described(w, rule)
    config = shown["Actions"][0]["AuthenticateOidcConfig"]
    assert "ClientSecret" not in config and config["Scope"] == "openid", config
    assert int(config["SessionTimeout"]) == 604800, config
    assert shown["Transforms"][0]["UrlRewriteConfig"]["Rewrites"][0]["Regex"] == "^/app/(.*)$", shown
    until("sign-in", lambda: ask(w)[0] == 302)
    w.propagated()
    assert ask(w)[1]["location"].startswith("https://id.example/auth?client_id=c")
    assert ask(w, {"Cookie": "AWSELBAuthSessionCookie-0=me"})[2].startswith("green")
    # What was read cannot be written back as it is: the secret is missing.
    refused("InvalidLoadBalancerAction", lambda: modify(w, rule, *shown["Actions"]), "UseExistingClientSecret")
    kept = {**shown["Actions"][0], "AuthenticateOidcConfig": {**config, "UseExistingClientSecret": True}}
    modify(w, rule, kept, to(green))
    assert described(w, rule)["Transforms"], "ModifyRule without Transforms leaves them unchanged"
    modify(w, rule, to(green))  # a driver that drops the sign-in is caught
    until("no sign-in", lambda: ask(w)[0] == 200)
    modify(w, rule, ResetTransforms=True)
    assert not described(w, rule).get("Transforms")
    modify(w, rule, JWT, to(green))
    until("no token", lambda: ask(w)[0] == 401)
    w.propagated()
    assert ask(w, {"Authorization": "Bearer x"})[0] == 200
    refused("InvalidLoadBalancerAction", lambda: modify(w, rule, SIGN_IN))


def ask(w, headers=None):
    return w.get("/app/health", headers, port=TLS)


def secure_listener(w):
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/stdout -out /dev/stdout -days 2 -subj /CN=app.example"
    )
    out = subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout
    pem = {m[1]: m[0] for m in re.finditer(r"-----BEGIN (.+?)-----.+?-----END .+?-----\n", out, re.DOTALL)}
    made = w.acm.import_certificate(Certificate=pem["CERTIFICATE"], PrivateKey=pem["PRIVATE KEY"])
    certificates = [{"CertificateArn": made["CertificateArn"]}]
    listener = w.listen(w.lb, fixed("404"), "HTTPS", TLS, Certificates=certificates)
    until("the imported certificate", lambda: w.certificate() == pem["CERTIFICATE"])
    return listener


@check
def redirects_fill_in_their_fields(w):
    w.shift({"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": str(TLS), "StatusCode": "HTTP_301"}})
    until("redirect", lambda: w.get()[0] == 301)
    w.propagated()
    assert w.get("/a?b=1", {"Host": "shop.example"})[1]["location"] == f"https://shop.example:{TLS}/a?b=1"


@check
def priorities_can_be_swapped(w):
    a, b = w.rule(700, path("/a"), fixed("200")), w.rule(701, path("/b"), fixed("200"))
    swap = [{"RuleArn": a, "Priority": 701}, {"RuleArn": b, "Priority": 700}]
    w.elb.set_rule_priorities(RulePriorities=swap)
    refused("PriorityInUse", lambda: w.elb.set_rule_priorities(RulePriorities=[{"RuleArn": a, "Priority": 700}]))
    w.elb.delete_rule(RuleArn=a)
    w.elb.delete_rule(RuleArn=b)


@check
def rules_and_groups_come_in_pages(w):
    groups = [w.group(f"page-{i}") for i in range(3)]
    rules = [w.rule(800 + i, path(f"/page/{i}"), forward(g)) for i, g in enumerate(groups)]

    def pages(look, key, **of):
        found, marker = [], {}
        while True:
            answer = look(**of, **marker)
            assert len(answer[key]) <= 2, answer
            found += answer[key]
            if "NextMarker" not in answer:
                return found
            marker = {"Marker": answer["NextMarker"]}

    with w.with_settings(page_size=2):
        shown = {r["RuleArn"] for r in pages(w.elb.describe_rules, "Rules", ListenerArn=w.listener)}
        assert shown >= set(rules), shown
        shown = {g["TargetGroupArn"] for g in pages(w.elb.describe_target_groups, "TargetGroups")}
        assert shown >= set(groups), shown
    refused("ValidationError", lambda: w.elb.describe_tags(ResourceArns=groups * 7), "up to 20")
    for rule in rules:
        w.elb.delete_rule(RuleArn=rule)
