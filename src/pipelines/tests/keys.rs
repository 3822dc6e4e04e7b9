//! Sources, webhooks, variables, secrets, promotion and gates: what is read, and what is refused where.

use super::{super::*, GOOD, mistakes, parse};
use crate::machine::Millis;

const NEXT: &str = r#"[[environments]]
name = "prod"
deploy = "on-promotion"
stack = { driver = "process", definition = "../stacks/process/demo.toml" }
front = { driver = "builtin", listen = "127.0.0.1:8081" }
"#;

/// A good file with this at its end.
fn with_next(more: &str) -> String {
    format!("{GOOD}{NEXT}{more}")
}

/// A good file with this at its beginning.
fn after(sections: &str) -> String {
    GOOD.replacen("[[environments]]", &format!("{sections}\n[[environments]]"), 1)
}

fn read(text: &str) -> Pipeline {
    let state = tempfile::tempdir().unwrap();
    let (parsed, mistakes) = parse(&Registry::all(state.path()), Path::new("pipelines/shop.toml"), text);
    assert_eq!(mistakes, []);
    parsed.unwrap().pipeline
}

#[track_caller]
fn refused(text: &str, told: &str) {
    let found = mistakes(text);
    assert!(found.iter().any(|m| m.contains(told)), "{told:?} is not told of\n{text}\n{found:#?}");
}

#[test]
fn all_that_can_be_said_is_read() {
    let page = include_str!("../../../docs/pipeline-file.md");
    let whole = page.rsplit("```toml\n").next().unwrap().trim_end_matches("```\n");
    // Nothing stands beside this file.
    let pipeline = read(&whole.replace("./bin/migrate", "migrate"));
    let source = pipeline.source.as_ref().unwrap();
    assert_eq!((source.git.as_str(), source.user.as_deref()), ("https://git.example/shop.git", Some("ci")));
    assert_eq!(source.password, Some(SecretSource::Env("GIT_TOKEN".into())));
    assert_eq!(pipeline.webhook.artifact.as_deref(), Some("/srv/builds/{commit}"));
    assert_eq!(pipeline.webhook.branches, ["main"]);
    assert_eq!(pipeline.webhook.parameters, Some(vec!["greeting".to_owned()]));
    assert_eq!(pipeline.secrets["db_password"], SecretSource::File("pipelines/secrets/db".into()));
    let [qa, prod] = &*pipeline.environments else { panic!("two") };
    let home = std::env::var("HOME").unwrap();
    assert_eq!(*qa.stack.parameters["greeting"], *format!("hello from {home}"));
    assert_eq!(prod.promotion.unwrap().after, Millis(3_600_000));
    assert!(matches!(&prod.stack.definition, DefinitionSource::Git(path) if **path == *"deploy/stack.toml"));
    assert_eq!(prod.stack.secrets, [("db_password".into(), "db_password".into())].into());
    let gate = prod.plan.before_cutover.as_ref().unwrap();
    assert_eq!((&*gate.by, gate.not_the_asker), (&["alice".into(), "bob".into()][..], true));
}

#[test]
fn an_address_of_a_repository_is_known_by_its_shape_and_has_no_password() {
    let git = |address: &str| read(&after(&format!("[source]\ngit = \"{address}\""))).source.unwrap().git;
    for good in ["https://git.example/a.git", "ssh://git@git.example:22/a", "git@git.example:a/b.git", "file:///srv/a"]
    {
        assert_eq!(git(good), good);
    }
    let here = std::env::current_dir().unwrap();
    assert_eq!(git("../shop"), here.join("pipelines/../shop").to_str().unwrap(), "from the folder of the file");
    assert_eq!(git("/srv/shop.git"), "/srv/shop.git");
    for (bad, told) in [
        ("https://ci:canary@git.example/a", "3:7: `git`: a password is not written here"),
        ("ci:canary@git.example:a", "3:7: `git`: a password is not written here"),
        ("https://canary@git.example/a", "3:7: `git`: a user or token is not written into this address"),
        ("ftp://git.example/a", "3:7: `git`: this kind of address is not known; accepted: "),
        ("https://", "3:7: `git`: host or path is missing"),
        ("--upload-pack=x", "3:7: `git`: not the address of a repository"),
        ("https://git.example/a?token=canary", "3:7: `git`: not the address of a repository"),
        ("https://git.example/a#canary", "3:7: `git`: not the address of a repository"),
        ("https://git.example:port/canary", "3:7: `git`: "),
        ("ssh://git@git.example/canary%20a", "3:7: `git`: not the address of a repository"),
        ("ssh://canary%20@git.example/a", "3:7: `git`: its user cannot be part of an address for ssh"),
        ("git@git.exa$mple:canary", "3:7: `git`: its host cannot be part of an address for ssh"),
        ("git@git.example:-canary", "3:7: `git`: its path cannot be part of an address for ssh"),
        ("../can ary", "3:7: `git`: not the address of a repository"),
    ] {
        let text = after(&format!("[source]\ngit = \"{bad}\""));
        refused(&text, told);
        assert!(!mistakes(&text).concat().contains("canary"), "{bad}");
    }
    for (bad, told) in [
        ("web = \"javascript:alert(1)//{commit}\"", "4:7: `web`: only an http:// or https:// address"),
        ("web = \"https://git.example/shop\"", "4:7: `web`: it needs {commit}"),
        ("web = \"https://a:canary@git.example/{commit}\"", "4:7: `web`: everybody sees this address"),
        ("password = \"canary\"", "4:12: a secret is not written here"),
    ] {
        refused(&after(&format!("[source]\ngit = \"https://git.example/a\"\n{bad}")), told);
    }
    let ssh = "[source]\ngit = \"git@git.example:a\"\n";
    refused(&after(&format!("{ssh}user = \"ci\"")), "4:1: `user` cannot be used here: an address for ssh");
    refused(&after(&format!("{ssh}password = {{ env = \"KEY\" }}")), "4:1: `password` cannot be used here");
    refused(&after("[source]\ngit = \"../shop\"\nuser = \"ci\""), "4:1: `user` is for an address that asks for it");
}

#[test]
fn placeholders_of_builds_are_known_ones() {
    let webhook = |line: &str| after(&format!("[webhook]\nsecrets = [{{ env = \"KEY\" }}]\n{line}"));
    read(&webhook("artifact = \"a/{branch}/{version}/{job}\"\nversion = \"{tag}-{build}-{short_commit}\""));
    refused(&webhook("artifact = \"a/{comit}\""), "4:12: {comit} is not a placeholder here; there are {commit}, ");
    refused(&webhook("version = \"{version}\""), "4:11: {version} is not a placeholder here");
    refused(&webhook("artifact = \"a/{commit\""), "4:12: a single brace is not a placeholder");
    let counted = read(&webhook("triggers = [\"push\", \"schedule\", \"merge_group\"]\nlargest = \"2MB\"")).webhook;
    assert_eq!(counted.triggers.unwrap(), ["push", "schedule", "merge_group"]);
    assert_eq!(counted.largest, Some(2 << 20));
    refused(
        &webhook("triggers = [\"shedule\"]"),
        "4:13: \"shedule\" is not a trigger of any sender; did you mean `schedule`?",
    );
    refused(&webhook("triggers = []"), "4:12: `triggers` is empty; name one at least, or leave it out");
    refused(&webhook("largest = \"65MB\""), "4:11: `largest` must be from 1kB to 64MB");
    refused(&webhook("largest = \"100B\""), "4:11: `largest` must be from 1kB to 64MB");
    refused(&webhook("branches = []"), "4:12: `branches` is empty; name one at least, or leave it out");
    refused(&webhook("jobs = [\"a\", \"a\"]"), "4:14: `jobs` has \"a\" twice");
    refused(
        &webhook("parameters = [\"greting\"]"),
        "4:15: the stack definition knows no parameter `greting`; did you mean `greeting`?",
    );
}

#[test]
fn variables_stand_for_texts_where_they_may() {
    let filled = after("[variables]\nport = \"8123\"\nword = { env = \"CARGO_PKG_NAME\" }")
        .replace("demo.toml\" }", "demo.toml\", parameters = { greeting = \"${word} $${word} at ${port}\" } }")
        .replace(":8080", ":${port}");
    let pipeline = read(&filled);
    let environment = &pipeline.environments[0];
    assert_eq!(environment.front.settings["listen"].as_str(), Some("127.0.0.1:8123"));
    assert_eq!(*environment.stack.parameters["greeting"], *"pointsman ${word} at 8123");

    refused(&GOOD.replace(":8080", ":${prt}"), "6:40: there is no variable `prt` in [variables]");
    refused(&after("[variables]\nport = \"1\"").replace(":8080", ":${prt}"), "did you mean `port`?");
    refused(&after("[variables]\nport = \"1\""), "3:1: the variable `port`: nothing uses it");
    refused(&after("[variables]\nport = 1"), "3:8: `port` is the number 1; it must be a text");
    refused(&after("[variables]\na = \"${b}\""), "3:5: `a`: variables do not stand in variables");
    refused(
        &after("[variables]\nport = { env = \"POINTSMAN_NOT_SET\" }").replace(":8080", ":${port}"),
        "3:16: the environment variable POINTSMAN_NOT_SET is not set",
    );
    refused(&GOOD.replace(":8080", ":${port"), "6:40: `${` has no `}`");
    let secret = after("[secrets]\ndb = { file = \"db\" }").replace(":8080", ":${db}");
    refused(&secret, "`db` is a secret, and its value is written nowhere");
}

#[test]
fn secrets_are_handed_over_by_name() {
    let secrets = "[secrets]\ndb_password = { file = \"db\" }";
    refused(&after(secrets), "3:1: the secret `db_password`: nothing uses it");
    let named = after(secrets).replace("demo.toml\" }", "demo.toml\", secrets = [\"db_pasword\"] }");
    refused(&named, "there is no secret `db_pasword` in [secrets]; did you mean `db_password`?");
    refused(&after("[secrets]\ndb = \"canary\""), "3:6: a secret is not written here");
}

#[test]
fn a_definition_that_wants_a_secret_must_be_given_it() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("stack.toml", "command = [\"a\"]\nsecrets = { DB = { secret = \"db\" } }\n");
    write("shop.toml", &GOOD.replace("../stacks/process/demo.toml", "stack.toml"));
    let found = load(&Registry::all(folder.path()), folder.path()).mistakes;
    // The definition itself is no pipeline.
    let found: Vec<_> = found.iter().filter(|m| m.file.ends_with("shop.toml")).map(|m| m.text.as_str()).collect();
    assert_eq!(found, ["the definition needs the secret `db`; name it in `stack.secrets`"]);
    // Each environment has its own, which the definition need not know.
    let own = after("[secrets]\ndb_live = { file = \"db\" }")
        .replace("../stacks/process/demo.toml\"", "stack.toml\", secrets = { db = \"db_live\" }");
    write("shop.toml", &own);
    let loaded = load(&Registry::all(folder.path()), &folder.path().join("shop.toml"));
    assert_eq!(loaded.mistakes, []);
    let pipeline = loaded.pipelines.iter().next().unwrap();
    assert_eq!(pipeline.environments[0].stack.secrets, [("db".into(), "db_live".into())].into());
    refused(
        &own.replace("= \"db_live\"", "= \"db_life\""),
        "there is no secret `db_life` in [secrets]; did you mean `db_live`?",
    );
}

#[test]
fn promotion_and_gates_make_sense() {
    assert_eq!(
        read(&with_next("promotion = { rule = \"automatic\" }")).environments[1].promotion.unwrap().after,
        Millis(0)
    );
    refused(&format!("{GOOD}promotion = {{ rule = \"automatic\" }}"), "7:1: nothing is promoted to an environment");
    refused(&with_next("promotion = { after = \"1h\" }"), "12:13: `rule` is missing");
    refused(&with_next("promotion = { rule = \"auto\" }"), "12:22: `rule` is \"auto\"; accepted: \"automatic\"");
    let gate = |more: &str| {
        with_next(&format!("approval = {{ before_cutover = {{ timeout = \"1h\", otherwise = \"abort\", {more} }} }}"))
    };
    read(&gate("by = [\"alice\"], not_the_asker = true"));
    refused(&gate("by = []"), "`by` is empty");
    refused(&gate("by = [\"alice\", \"alice\"]"), "`by` has \"alice\" twice");
    refused(&gate("not_the_asker = \"yes\""), "it must be true or false");
    refused(&gate("by = [\"alice\"]").replace("abort", "approve"), "`by` means nothing where `otherwise` approves");
}

#[test]
fn a_definition_in_git_stays_inside_of_it() {
    let git = |path: &str, source: &str| {
        after(source).replace("\"../stacks/process/demo.toml\"", &format!("{{ git = \"{path}\" }}"))
    };
    let source = "[source]\ngit = \"https://git.example/a\"";
    read(&git("deploy/stack.toml", source));
    refused(&git("deploy/stack.toml", ""), "a definition in git needs to know where: add `[source]`");
    for bad in ["/etc/passwd", "../stack.toml", "a/../../b", "a//b", "./a", "a/"] {
        refused(&git(bad, source), "is not a path inside the repository");
    }
    refused(&git("", source), "`git` is empty");
}

#[test]
fn twenty_different_mistakes_are_told_at_once() {
    let text = r#"descripton = "x"
[source]
git = "https://ci:pw@git.example/a"
web = "ftp://git.example"
[webhook]
secrets = ["word"]
artifact = "{comit}"
branches = "main"
jobs = ["", "a"]
[variables]
unused = "x"
number = 7
missing = { env = "POINTSMAN_NOT_SET" }
[secrets]
idle = { file = "idle" }
both = { file = "a", env = "b" }
[[environments]]
name = "Live"
deploy = "on-bild"
stack = { driver = "proces", definition = { git = "../x" }, parameters = { a = "${nobody}" }, secrets = ["both", "none"] }
front = { driver = "builtin", lisen = "127.0.0.1:8080" }
bake = 5
retain = "0s"
watch = "soon"
deadlines = { chek = "5s" }
approval = { before_cutover = { timeout = "1h", otherwise = "maybe", by = [] } }
checks = [{ http = { path = "healthz", status = 2000 }, passes = "three" }]
"#;
    let found = mistakes(text);
    let at = [
        "1:1:", "3:7:", "4:7:", "6:12:", "7:12:", "8:12:", "9:9:", "11:1:", "12:10:", "13:19:", "15:1:", "16:8:",
        "18:8:", "19:10:", "20:20:", "20:51:", "20:80:", "20:114:", "21:", "22:8:", "23:10:", "24:9:", "25:15:",
        "26:61:", "26:75:", "27:29:", "27:49:", "27:66:",
    ];
    for place in at {
        let told = found.iter().any(|m| m.starts_with(&format!("pipelines/shop.toml:{place}")));
        assert!(told, "nothing is told of {place}: {found:#?}");
    }
}
