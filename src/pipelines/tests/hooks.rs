//! Hooks: what is read, and what is refused where.

use super::{super::*, GOOD, mistakes, parse};
use crate::{
    hooks::{Call, Method},
    machine::{HookPoint, Millis},
};

const SECRETS: &str = "[secrets]\ndb_password = { file = \"db\" }\n";

/// A good file with these lines in a hook at its end, and a secret.
fn hook(lines: &str) -> String {
    let used = GOOD.replace("demo.toml\" }", "demo.toml\", secrets = [\"db_password\"] }");
    assert_ne!(used, GOOD);
    let used = used.replacen("[[environments]]", &format!("{SECRETS}[[environments]]"), 1);
    format!("{used}[[environments.hooks]]\n{lines}\n")
}

fn read(text: &str) -> Vec<crate::hooks::HookDefinition> {
    let state = tempfile::tempdir().unwrap();
    let (parsed, mistakes) = parse(&Registry::all(state.path()), Path::new("pipelines/shop.toml"), text);
    assert_eq!(mistakes, []);
    parsed.unwrap().pipeline.environments[0].hooks.clone()
}

#[track_caller]
fn refused(lines: &str, told: &str) {
    let found = mistakes(&hook(lines));
    assert!(found.iter().any(|m| m.contains(told)), "{told:?} is not told of\n{lines}\n{found:#?}");
}

#[test]
fn hooks_are_read_and_stand_in_the_plan_by_point() {
    let text = hook(
        r#"name = "tell"
at = "on-retire"
http = { url = "https://cron.example/off", method = "PUT", headers = { Authorization = "Bearer {db_password}" }, status = [200, "404"] }
secrets = ["db_password"]
[[environments.hooks]]
name = "migrate"
at = "after-checks"
command = ["migrate", "up", "up", ""]
environment = { DATABASE = "reporting" }
secrets = ["db_password"]
timeout = "20s"
one_way = true"#,
    )
    .replace("\"404\"", "\"404-404\"");
    let [migrate, tell] = &read(&text)[..] else { panic!("two hooks") };
    assert_eq!(
        (&*migrate.name, migrate.at, migrate.timeout, migrate.one_way),
        ("migrate", HookPoint::AfterChecks, Millis(20_000), true)
    );
    let Call::Command { words, folder, environment } = &migrate.call else { panic!("a command") };
    assert_eq!((words.len(), folder.to_str(), &*environment["DATABASE"]), (4, Some("pipelines"), "reporting"));
    let Call::Http(call) = &tell.call else { panic!("a request") };
    assert_eq!((call.method, call.status.ranges()), (Method::Put, &[(200, 200), (404, 404)][..]));
    assert!(migrate.terms().within > migrate.timeout, "the machine waits longer than the hook may run");
}

#[test]
fn what_makes_no_hook_is_told_at_its_place() {
    let command = "command = [\"true\"]";
    let good = format!("name = \"a\"\nat = \"after-checks\"\n{command}\n");
    read(&hook(&good));
    refused("at = \"after-checks\"\ncommand = [\"true\"]", "9:1: `name` is missing");
    refused("name = \"A b\"\nat = \"after-checks\"\ncommand = [\"true\"]", "10:8: `name`: \"A b\" is no name");
    refused(
        "name = \"a\"\nat = \"later\"\ncommand = [\"true\"]",
        "11:6: `at` is \"later\"; accepted: \"before-provisioning\"",
    );
    refused("name = \"a\"\nat = \"after-checks\"", "9:1: a hook has exactly one of `command` and `http`");
    refused(&format!("{good}http = {{ url = \"http://a\" }}"), "9:1: a hook has exactly one of `command` and `http`");
    refused("name = \"a\"\nat = \"after-checks\"\ncommand = []", "12:11: `command` is empty");
    refused("name = \"a\"\nat = \"after-checks\"\ncommand = [\"\"]", "12:11: `command` is empty");
    refused("name = \"a\"\nat = \"after-checks\"\ncommand = \"true\"", "12:11: `command` is a text; it must be a list");
    read(&hook("name = \"a\"\nat = \"after-checks\"\ncommand = [\"/nowhere/migrate\"]"));
    for (program, why) in [
        ("./bin/migrate", "the program pipelines/./bin/migrate cannot be run: No such file"),
        ("../src", "pipelines/../src is not a program: it is not a file"),
        ("./demo.toml", "the program pipelines/./demo.toml is not executable; run `chmod +x"),
    ] {
        let lines = format!("name = \"a\"\nat = \"after-checks\"\ncommand = [\"{program}\", \"up\"]");
        refused(&lines, &format!("12:12: {why}"));
    }
    refused(&format!("{good}timeout = \"0s\""), "13:11: `timeout` must be longer than zero");
    refused(&format!("{good}comand = 1"), "13:1: unknown key `comand`; did you mean `command`?");
    refused(&format!("{good}[[environments.hooks]]\n{good}"), "14:8: there is a hook \"a\" already");
    for at in ["on-rollback", "on-retire"] {
        let lines = format!("name = \"a\"\nat = \"{at}\"\n{command}\none_way = true");
        refused(&lines, "13:1: `one_way` says that going back does not undo the hook");
    }
}

#[test]
fn what_a_hook_is_given_is_known_and_stands_nowhere_twice() {
    let with = |more: &str| format!("name = \"a\"\nat = \"after-checks\"\ncommand = [\"true\"]\n{more}");
    refused(
        &with("secrets = [\"db_pasword\"]"),
        "13:12: there is no secret `db_pasword` in [secrets]; did you mean `db_password`?",
    );
    refused(
        &with("secrets = [\"db_password\"]\nenvironment = { DB_PASSWORD = \"x\" }"),
        "13:1: the secret `db_password` would stand in the variable DB_PASSWORD",
    );
    refused(&with("secrets = { \"A=B\" = \"db_password\" }"), "13:1: \"A=B\" is not a name for a secret of a hook");
    read(&hook(&with("secrets = { password = \"db_password\" }")));
    refused(
        &with("environment = { POINTSMAN_STACK = \"x\" }"),
        "13:17: \"POINTSMAN_STACK\" is not a name for a variable of a hook",
    );
    refused(
        &with("environment = { A = \"${db_password}\" }"),
        "13:21: `db_password` is a secret, and its value is written nowhere",
    );
}

#[test]
fn an_address_and_its_headers_are_looked_at() {
    let http =
        |more: &str| format!("name = \"a\"\nat = \"after-checks\"\nhttp = {{ {more} }}\nsecrets = [\"db_password\"]");
    let used = "headers = { A = \"{db_password}\" }";
    read(&hook(&http(&format!("url = \"http://127.0.0.1:81/a?b=c\", {used}"))));
    for bad in ["ftp://a", "cron.example/a", "/a", "https://", "http://a b"] {
        refused(&http(&format!("url = \"{bad}\", {used}")), "12:16: `url`: only an http:// or https:// address");
    }
    let text = http(&format!("url = \"https://me:canary@a\", {used}"));
    refused(&text, "12:16: `url`: no user or password is written here");
    assert!(!mistakes(&hook(&text)).concat().contains("canary"));
    refused(&http("url = \"http://a\""), "13:1: no header has the secret `db_password`; write {db_password}");
    refused(
        &http(&format!("url = \"http://a\", body = \"x\", method = \"GET\", {used}")),
        "such a request has no body",
    );
    refused(&http(&format!("url = \"http://a\", status = 999, {used}")), "`status`: 999 is not a status");
    refused(
        &http("url = \"http://a\", headers = { A = \"{db_password} {db_pass}\" }"),
        "{db_pass} is not one of the hook's secrets",
    );
    refused(&http("url = \"http://a\", headers = { \"A b\" = \"{db_password}\" }"), "this cannot be a header");
    refused(
        &format!("{}\nenvironment = {{ A = \"b\" }}", http(&format!("url = \"http://a\", {used}"))),
        "14:1: `environment` is for commands",
    );
}
