//! The command line, against the real program: what the exit codes say, and what a script or a person gets to read.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use serde_json::Value;

use crate::support::house::House;

const TERMS: &str = "bake = \"200ms\"\ndeadlines = { provision = \"5s\", check = \"3s\" }";
const GATE: &str = "approval = { before_cutover = { timeout = \"1h\", otherwise = \"approve\" } }";

/// Runs a command, and says how it ended and what it printed.
fn run(house: &House, line: &str) -> (i32, String) {
    let Output { status, stdout, stderr } = house.run(&line.split(' ').collect::<Vec<_>>());
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    (status.code().expect("it was not killed"), said)
}

#[track_caller]
fn assert_ends(house: &House, line: &str, code: i32) -> String {
    let (ended, said) = run(house, line);
    assert_eq!(ended, code, "{line}\n{said}\n{}", house.log());
    said
}

fn json(house: &House, line: &str) -> Value {
    let said = assert_ends(house, line, 0);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{line}: {error}: {said}"))
}

#[test]
fn the_exit_code_says_how_a_deployment_ended() {
    let house = House::with(TERMS);
    house.start();
    let said = assert_ends(&house, "deploy shop/live --version v1 --artifact none --watch", 0);
    assert!(said.contains("went live") && said.contains("succeeded after"), "{said}");
    let broken = "deploy shop/live --version v2 --artifact none --parameter extra=--broken --watch";
    let said = assert_ends(&house, broken, 1);
    assert!(said.contains("503"), "{said}");
    let endless = "deploy shop/live --version v3 --artifact none --parameter extra=--broken --watch --timeout 100ms";
    assert_ends(&house, endless, 124);
    house.settle();
    let said = assert_ends(&house, "status shop/live --watch", 0);
    assert!(said.contains("nothing is under way"), "{said}");
    assert_ends(&house, "deploy shop/live --version v4", 2);
    assert_ends(&house, "deploy shop/live --version v4 --artifact none --token x", 2);
    house.assert_live("v1");
}

#[test]
fn a_stack_that_is_rolled_back_while_somebody_watches_is_a_3_and_a_rollback_that_was_asked_for_a_0() {
    let house = House::with_v1_live(&TERMS.replace("200ms", "20s"));
    let sick = "deploy shop/live --version v2 --artifact none --parameter extra=--sick-after=1s --watch";
    let said = assert_ends(&house, sick, 3);
    assert!(said.contains("rolled back"), "{said}");
    house.settle();
    assert_ends(&house, "resume shop/live", 0);
    assert_ends(&house, "deploy shop/live --version v3 --artifact none", 0);
    house.until_state(3, "baking");
    let said = assert_ends(&house, "rollback shop/live --reason orders-fail --watch", 0);
    assert!(said.contains("rolled back") && said.contains("orders-fail"), "{said}");
    house.assert_live("v1");
}

#[test]
fn a_gate_is_a_5_and_what_was_asked_for_at_it_is_a_0() {
    let house = House::with(&format!("{TERMS}\n{GATE}"));
    house.start();
    assert_ends(&house, "deploy shop/live --version v1 --artifact none --watch", 5);
    let said = assert_ends(&house, "why shop/live", 0);
    assert!(said.contains("pointsman approve shop/live"), "{said}");
    assert_ends(&house, "approve shop/live --watch", 0);
    house.assert_live("v1");

    assert_ends(&house, "deploy shop/live --version v2 --artifact none --watch", 5);
    assert_ends(&house, "abort shop/live --reason wrong --watch", 0);
    assert_ends(&house, "approve shop/live", 1);
    house.settle();
    house.assert_live("v1");
}

/// Somebody who watches; the first line was read.
struct Watcher {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watcher {
    fn attach(house: &House, line: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(line.split(' ')).current_dir(house.path("")).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut first = String::new();
        lines.read_line(&mut first).expect("text");
        assert!(first.starts_with("shop/live/"), "{first}");
        Self { child, lines }
    }

    fn end(mut self) -> (i32, String) {
        let mut said = String::new();
        self.lines.read_to_string(&mut said).expect("text");
        (self.child.wait().expect("it is ours").code().expect("it was not killed"), said)
    }
}

#[test]
fn whoever_comes_late_to_watch_is_told_of_an_abort_and_of_a_later_build() {
    let house = House::with_v1_live(&TERMS.replace("check = \"3s\"", "check = \"1m\""));
    house.push("v2", "--broken");
    house.until_state(2, "checking");
    let late = Watcher::attach(&house, "status shop/live --watch");
    assert_ends(&house, "abort shop/live", 0);
    let (code, said) = late.end();
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("accepted") && said.contains("aborted after"), "{said}");
    house.settle();
    assert_ends(&house, "hold shop/live --reason audit", 0);
    house.push("v3", "");
    let waiting = Watcher::attach(&house, "status shop/live --watch");
    house.push("v4", "");
    let (code, said) = waiting.end();
    assert_eq!(code, 6, "{said}");
}

#[test]
fn a_watcher_waits_for_a_controller_that_was_killed() {
    // A good build must come to its end however slow the host is.
    let house = House::with_v1_live(&TERMS.replace("\"5s\"", "\"1m\"").replace("\"3s\"", "\"1m\""));
    let watcher = Watcher::attach(&house, "deploy shop/live --version v2 --artifact none --watch");
    house.kill();
    house.start();
    let (code, said) = watcher.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("succeeded after"), "{said}");
    house.assert_live("v2");
}

#[test]
fn the_same_idempotency_key_is_the_same_deployment() {
    let house = House::with(TERMS);
    house.start();
    let line = "deploy shop/live --version v1 --artifact none --build 7 --link https://ci.example/7 --commit 0123abc \
                --idempotency-key job-7 --json";
    let first = json(&house, line);
    assert_eq!(json(&house, line)["deployment"], first["deployment"]);
    assert_ends(&house, "deploy shop/live --version v1 --artifact none --link javascript:alert(1)", 1);
    house.settle();
    let live = json(&house, "status shop/live --json");
    assert_eq!(live["live"]["release"]["link"], "https://ci.example/7");
    assert_eq!(live["live"]["release"]["commit"], "0123abc");
}

#[test]
fn every_look_has_a_form_for_scripts() {
    let house = House::with_v1_live(TERMS);
    assert_eq!(json(&house, "status --json")["environments"][0]["live"]["release"]["version"], "v1");
    assert!(json(&house, "why shop/live --json")["next"].as_str().is_some_and(|next| next.contains("deployment")));
    assert_eq!(json(&house, "why shop/live --json")["waits_for"], json(&house, "status shop/live --json")["waits_for"]);
    assert!(json(&house, "history shop/live --json")["records"].as_array().is_some_and(|r| !r.is_empty()));
    assert_eq!(json(&house, "check --json"), serde_json::json!([]));
    assert_eq!(json(&house, "journal verify --json")["good"], true);
    let plan = json(&house, "plan shop/live --json");
    assert!(plan["steps"].as_array().is_some_and(|steps| steps.iter().any(|s| s["step"] == "cut over")), "{plan}");
    let (table, block) = (assert_ends(&house, "status", 0), assert_ends(&house, "status shop/live", 0));
    assert!(table.starts_with("ENVIRONMENT") && table.contains("shop/live") && table.contains("v1 #1"), "{table}");
    assert!(!table.contains('\u{1b}'), "colours where no terminal is: {table}");
    assert!(block.contains("live") && block.contains("standby") && block.contains("doing"), "{block}");
    house.write("pipelines/shop.toml", "description = 3\n");
    let (code, said) = run(&house, "check --json");
    let mistakes: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &mistakes[1]["line"], &mistakes[1]["column"]), (1, &1.into(), &15.into()), "{mistakes}");
}

#[test]
fn without_a_controller_or_a_token_it_says_what_to_do() {
    let house = House::with(TERMS);
    let (code, said) = run(&house, "status");
    assert_eq!(code, 1);
    assert!(said.contains("POINTSMAN_TOKEN_FILE"), "{said}");
    house.start();
    assert!(house.stop().success());
    let (code, said) = run(&house, "rollback shop/live");
    assert_eq!(code, 1);
    assert!(said.contains("pointsman serve"), "{said}");
}

const SECOND: &str = r#"
[[environments]]
name = "prod"
deploy = "on-promotion"
stack = { driver = "process", definition = "../stacks/process/app.toml" }
front = { driver = "builtin", listen = "ADDRESS:8081" }
bake = "200ms"
[[environments.checks]]
http = { path = "/healthz", status = 200 }
every = "50ms"
passes = 2
"#;

#[test]
fn a_promotion_is_shown_first_and_goes_nowhere_without_a_yes() {
    let house = House::with(TERMS);
    let first = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    house.write("pipelines/shop.toml", &(first + &SECOND.replace("ADDRESS", &house.address.to_string())));
    house.start();
    house.push("v1", "");
    house.settle();
    let said = assert_ends(&house, "promote shop/prod", 2);
    assert!(said.contains("v1") && said.contains("--yes"), "{said}");
    assert!(json(&house, "status shop/prod --json")["live"].is_null());
    assert_ends(&house, "promote shop/prod --release 9 --yes", 1);
    assert_ends(&house, "promote shop/prod --yes --watch", 0);
    assert_eq!(json(&house, "status shop/prod --json")["live"]["release"]["version"], "v1");
}

#[test]
fn what_init_wrote_can_be_deployed() {
    let house = House::with(TERMS);
    let address = house.address;
    let command = "{pointsman} sample --listen {address}:{port} --version {version}";
    let listen = format!("{address}:8090");
    let flags = ["init", "--name", "mail", "--command", command, "--listen", &listen, "--environments", "qa,prod"];
    let written = house.run(&flags);
    assert!(written.status.success(), "{written:?}");
    let said = String::from_utf8_lossy(&written.stdout).into_owned();
    assert!(said.contains("pointsman serve") && said.contains("pointsman deploy mail/qa"), "{said}");
    let key = fs::metadata(house.path("pipelines/secrets/mail.key")).expect("a key");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    assert_ends(&house, "check", 0);
    let good = fs::read_to_string(house.path("pipelines/secrets/mail.key")).expect("a key");
    for (content, why) in [
        (format!("\u{feff}{good}"), "mail.key begins with a byte order mark; save it as UTF-8 without one"),
        ("short\n".to_owned(), "mail.key has 5 bytes; 16 at least: make one with `openssl rand -hex 32`"),
        ("whsec_AAECAwQFBgcICQoLDA0ODw\n".to_owned(), "without its padding; write `==` at its end"),
    ] {
        house.write("pipelines/secrets/mail.key", &content);
        let said = assert_ends(&house, "check", 1);
        assert!(said.contains(why) && !said.contains(content.trim()), "{said}");
    }
    house.write("pipelines/secrets/mail.key", &format!("{}\r\n", good.trim()));
    assert_ends(&house, "check", 0);
    assert_ends(&house, "plan mail/qa", 0);
    assert!(!house.path("state/stacks").exists(), "looking leaves no trace");

    let again = house.run(&flags);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(1));
    assert!(said.contains("pipelines/mail.toml") && said.contains("nothing was written"), "{said}");
    assert_ends(&house, "init --name other", 2);

    let pipeline = fs::read_to_string(house.path("pipelines/mail.toml")).expect("written");
    house.write("pipelines/mail.toml", &pipeline.replace("bake = \"1m\"", "bake = \"100ms\""));
    house.start();
    assert_ends(&house, "deploy mail/qa --version v1 --artifact none --watch", 0);
    assert_ends(&house, "promote mail/prod --yes --watch", 0);
}

#[test]
fn bash_completes_commands() {
    let house = House::with(TERMS);
    let script = "source <(\"$0\" completion bash)\nCOMP_WORDS=(pointsman ro) COMP_CWORD=1\n\
                  _pointsman pointsman ro pointsman\necho \"${COMPREPLY[@]}\"";
    let program = env!("CARGO_BIN_EXE_pointsman");
    let done = Command::new("bash").args(["-c", script, program]).output().expect("bash is there");
    assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), "rollback", "{done:?}");
    assert_ends(&house, "man --dir manual", 0);
    assert!(house.path("manual/pointsman-rollback.1").exists());
    let unit = assert_ends(&house, "unit --program /usr/local/bin/pointsman", 0);
    assert!(unit.contains("KillMode=process"), "{unit}");
}

#[test]
fn a_folder_without_settings_and_an_approver_who_may_not_are_told() {
    let nowhere = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.env_remove("POINTSMAN_SERVER").env_remove("POINTSMAN_TOKEN").env_remove("POINTSMAN_TOKEN_FILE");
    let told = command.args(["status"]).current_dir(nowhere.path()).output().expect("the program runs");
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(!told.status.success() && said.contains("there is no pointsman.toml in this folder"), "{said}");

    let gate = "approval = { before_cutover = { timeout = \"1h\", otherwise = \"abort\", by = [\"ann\", \"bob\"] } }";
    let house = House::with(&format!("{TERMS}\n{gate}"));
    assert_ends(&house, "check", 0);
    assert_ends(&house, "token new ann --role deployer", 0);
    assert_ends(&house, "token new bob --role approver", 0);
    let said = assert_ends(&house, "check", 1);
    assert!(said.contains("ann is named in `approval.before_cutover.by`") && !said.contains("bob is"), "{said}");
}
