//! What a release takes along, against the real program: its definition from git, what its build said, and what each
//! environment adds; and a repository that is gone, slow or wrong.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::support::{
    git::{GitServer, Manner, Origin},
    house::House,
    wire::Wire,
};

const STACK: &str = "deploy/stack.toml";

const PIPELINE: &str = r#"
[source]
git = "URL"
user = "ci"
password = { file = "../secrets/git" }
[webhook]
secrets = [{ file = "../secrets/key" }]
[variables]
place = "here"
[secrets]
db = { file = "../secrets/db" }
mail = { file = "../secrets/mail" }
[[environments]]
name = "live"
deploy = "on-build"
stack = { driver = "process", definition = { git = "deploy/stack.toml" }, parameters = { place = "${place}" }, secrets = ["db"] }
front = { driver = "builtin", listen = "ADDRESS:8080" }
watch = "100ms"
bake = "100ms"
retain = "none"
[[environments.checks]]
http = { path = "/healthz", status = 200 }
every = "50ms"
passes = 2
[[environments]]
name = "prod"
deploy = "on-promotion"
promotion = { rule = "automatic", after = "300ms" }
stack = { driver = "process", definition = { git = "deploy/stack.toml" }, parameters = { place = "there" }, secrets = ["db", "mail"] }
front = { driver = "builtin", listen = "ADDRESS:8081" }
watch = "100ms"
bake = "100ms"
"#;

/// A definition whose stacks say `word`, what the build said and where they are.
fn definition(house: &House, word: &str) -> String {
    let greeting = format!("{word}-{{parameters.colour}}-{{parameters.place}}");
    let sample = "test -n \"$DB\" || exit 9; exec {pointsman} sample --listen {address}:{port} --version {version}";
    let text = house.definition(&format!("{sample} --greeting {greeting}"));
    text + "secrets = { DB = { secret = \"db\" } }\n"
}

/// A repository, its server, and an installation with two environments that have their definitions from there.
fn shop() -> (Origin, GitServer, House) {
    let origin = Origin::new();
    let server = GitServer::below(origin.root());
    let house = House::with("");
    let pipeline = PIPELINE.replace("URL", &server.url("shop")).replace("ADDRESS", &house.address.to_string());
    house.write("pipelines/shop.toml", &pipeline);
    for (name, value) in [("git", "s3cret"), ("db", "of the data"), ("mail", "of the mail")] {
        house.write(&format!("secrets/{name}"), value);
    }
    house.start();
    (origin, server, house)
}

fn push(house: &House, origin: &Origin, version: &str, word: &str) -> u64 {
    let commit = origin.commit(version, &[(STACK, &definition(house, word))]);
    house.push_commit(version, &commit, &json!({ "colour": "blue" }))
}

fn said_at(house: &House, port: u16) -> Option<String> {
    Some(Wire::open((house.address, port).into()).ok()?.ask("GET", "/", "", "").ok()?.body)
}

fn until_prod_has(house: &House, version: &str) {
    house.until(&format!("prod has {version}"), || {
        let prod = house.environment_called("prod")?;
        (prod["live"]["release"]["version"] == version && prod["candidate"].is_null()).then_some(())
    });
}

/// The last release that was taken for an environment.
fn release(house: &House, environment: &str) -> Value {
    let all = house.records();
    let of = |r: &&Value| r["environment"] == format!("shop/{environment}") && r["event"]["kind"] == "accepted";
    all.iter().rfind(of).map(|r| r["event"]["release"].clone()).expect("one was taken")
}

#[test]
fn what_is_tried_in_one_environment_goes_to_the_next_by_itself_and_gets_its_own_settings_there() {
    let (origin, _server, house) = shop();
    push(&house, &origin, "v1", "one");
    until_prod_has(&house, "v1");
    assert_eq!(said_at(&house, 8080).as_deref(), Some("one-blue-here from v1\n"));
    assert_eq!(said_at(&house, 8081).as_deref(), Some("one-blue-there from v1\n"));
    let records = house.records();
    let frozen = records.iter().find(|r| r["event"]["kind"] == "definition_frozen").expect("it was read once");
    let (live, prod) = (release(&house, "live"), release(&house, "prod"));
    assert_eq!((&live["definition"], &live["source"]), (&json!(""), &json!(STACK)), "read after it was taken");
    assert_eq!(prod["definition"], frozen["event"]["definition"], "the very text that was tried");
    for same in ["number", "given", "commit", "source", "artifact"] {
        assert_eq!(live[same], prod[same], "{same}");
    }
    assert_eq!((&live["parameters"]["place"], &prod["parameters"]["place"]), (&json!("here"), &json!("there")));
    let names = |r: &Value| r["secrets"].as_object().map(|all| all.keys().cloned().collect::<Vec<_>>());
    assert_eq!((names(&live), names(&prod)), (Some(vec!["db".to_owned()]), Some(vec!["db".into(), "mail".into()])));
    let rule = records.iter().find(|r| r["environment"] == "shop/prod").expect("there are records of prod");
    assert_eq!((&rule["by"], &rule["event"]["trigger"]), (&json!("rule"), &json!("rule")));
    house.assert_verified();
}

#[test]
fn a_git_server_that_hangs_stops_neither_a_rollback_nor_another_environment() {
    let (origin, server, house) = shop();
    push(&house, &origin, "v1", "one");
    until_prod_has(&house, "v1");
    house.wish("/v1/environments/shop/prod/hold", "{}", |_| false);
    push(&house, &origin, "v2", "two");
    house.settle();
    house.assert_live("v2");
    house.until("what a promotion would change is shown", || {
        let answer = house.try_ask("GET", "/v1/environments/shop/prod/changes", "").ok()?;
        let changes: Value = serde_json::from_str(&answer.body).expect("JSON");
        let new = changes["definition"].as_str().is_some_and(|diff| diff.contains("+") && diff.contains("two-"));
        (new && changes["commits"][0]["subject"] == "v2").then_some(())
    });
    server.behave(Manner::Hang);
    let waiting = push(&house, &origin, "v3", "three");
    house.until_state(waiting, "provisioning");
    house.until("the server was asked in vain", || {
        house.environment()?.to_string().contains("reading the stack definition").then_some(())
    });
    // Another environment deploys.
    house.wish("/v1/environments/shop/prod/resume", "{}", |_| false);
    until_prod_has(&house, "v2");
    assert_eq!(said_at(&house, 8081).as_deref(), Some("two-blue-there from v2\n"));
    // Nothing is warm: the release before is stood up anew, from what was kept.
    let live = house.environment().expect("it answers")["live"]["number"].clone();
    let asked = server.asked();
    house.wish("/v1/environments/shop/live/rollback", &json!({ "number": live }).to_string(), |r| {
        r["event"]["kind"] == "rollback_went_cold"
    });
    house.until("v1 is live again", || (house.live_version()? == "v1").then_some(()));
    house.settle();
    assert_eq!(said_at(&house, 8080).as_deref(), Some("one-blue-here from v1\n"));
    // What was under way for the third may have tried once more.
    assert!(server.asked() <= asked + 1, "nothing of the rollback asked the server");
    house.assert_outcome(waiting, "aborted");
}

#[test]
fn what_can_not_become_a_stack_fails_at_once_and_says_why() {
    let (origin, _server, house) = shop();
    let whole = definition(&house, "one");
    let failed = |commit: &str, colour: &str, why: &str| {
        let number = house.push_commit("v1", commit, &json!({ colour: "blue" }));
        house.settle();
        let reason = house.assert_outcome(number, "failed");
        assert!(reason.contains(why), "{reason:?} does not say {why:?}");
    };
    failed(&"ab".repeat(20), "colour", "commit abababab");

    let broken = origin.commit("Broken", &[(STACK, "command = [\n")]);
    failed(&broken, "colour", &format!("deploy/stack.toml at commit {}: 1:", &broken[..10]));
    let good = origin.commit("Good", &[(STACK, &whole)]);
    failed(&good, "color", "knows no parameter `color`; did you mean `colour`?");
    let greedy = origin.commit("Greedy", &[(STACK, &whole.replace("\"db\"", "\"mail\""))]);
    failed(&greedy, "colour", "the definition needs the secret `mail`, which the environment does not hand over");
    let large = origin.commit("Large", &[(STACK, &"#".repeat(300_000))]);
    failed(&large, "colour", "has 300000 bytes: at most 262144 are read");

    origin.git(&["rm", "-q", "-r", "deploy"]);
    failed(&origin.commit("Nothing", &[]), "colour", "deploy/stack.toml is not in commit");
    symlink("/etc", origin.path().join("deploy")).expect("a link");
    failed(&origin.commit("Outside", &[]), "colour", "deploy is a link, and links are not followed");
    origin.git(&["rm", "-q", "deploy"]);
    origin.write("deploy/real.toml", &whole);
    symlink("real.toml", origin.path().join(STACK)).expect("a link");
    failed(&origin.commit("A link", &[]), "colour", "deploy/stack.toml is a link");

    house.write("secrets/git", "wrong");
    failed(&"cd".repeat(20), "colour", "refused access");
    house.write("secrets/git", "s3cret");
    let number = house.push_commit("v9", &good, &json!({ "colour": "blue" }));
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v9");
}
