//! Tokens from the command line, beside a controller that runs: made, used, listed, revoked; and their text on no disk.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::support::house::House;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The token, which stands alone on its line.
fn made(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let token = text(&output.stdout).trim_end().to_owned();
    assert!(token.starts_with("pm_") && token.len() == 67 && !token.contains('\n'), "{token}");
    assert!(!text(&output.stderr).contains(&token));
    token
}

fn refused(output: &Output, why: &str) {
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains(why), "{said:?} does not say {why:?}");
}

/// Runs the program as somebody who has this token.
fn with(house: &House, token: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command
        .args(arguments)
        .current_dir(house.path(""))
        .env("POINTSMAN_TOKEN", token)
        .output()
        .expect("the program runs")
}

/// Every file below the folder that holds these bytes.
fn files_with(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut hits = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            hits.extend(files_with(&path, bytes));
        } else if kind.is_file() && fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes) {
            hits.push(path.display().to_string());
        }
    }
    hits
}

#[test]
fn a_token_is_made_used_and_revoked_while_the_controller_runs() {
    let house = House::with("");
    house.start();
    let dora = made(&house.run(&["token", "new", "dora", "--role", "deployer", "--expires", "90d", "--only", "shop"]));
    let vera = made(&house.run(&["token", "new", "vera", "--role", "viewer"]));
    assert!(with(&house, &dora, &["hold", "shop/live", "--reason", "audit"]).status.success());
    assert_eq!(house.environment().unwrap()["hold"]["by"], "dora");
    refused(&with(&house, &dora, &["resume", "shop/live"]), "`dora` is deployer, and this takes the role approver");
    refused(&with(&house, &vera, &["hold", "shop/live"]), "`vera` is viewer, and this takes the role deployer");
    assert!(with(&house, &vera, &["status"]).status.success());

    let list = house.run(&["token", "list"]);
    let (shown, stored) = (text(&list.stdout), fs::read_to_string(house.path("state/tokens.toml")).unwrap());
    assert!(shown.contains("dora") && shown.contains("deployer") && shown.contains("shop"), "{shown}");
    let digest = stored.lines().find_map(|line| line.strip_prefix("sha256 = \"")).unwrap().trim_end_matches('"');
    let list: serde_json::Value = serde_json::from_slice(&house.run(&["token", "list", "--json"]).stdout).unwrap();
    assert_eq!((&list["tokens"][0]["only"][0], &list["tokens"][1]["expires"]), (&"shop".into(), &().into()));
    assert!(!shown.contains(digest) && !list.to_string().contains(digest));

    assert!(house.run(&["token", "revoke", "dora"]).status.success());
    refused(&with(&house, &dora, &["status"]), "the token is missing or wrong");
    assert!(with(&house, &vera, &["status"]).status.success());
    for token in [&dora, &vera] {
        assert_eq!(files_with(&house.path(""), token.as_bytes()), Vec::<String>::new());
        assert_eq!(files_with(&house.path(""), &token.as_bytes()[3..35]), Vec::<String>::new());
    }
}

#[test]
fn many_who_make_tokens_at_once_lose_none() {
    let house = House::with("");
    let names = ["a", "b", "c", "d", "e", "f"];
    std::thread::scope(|scope| {
        let house = &house;
        let make =
            |name: &'static str| scope.spawn(move || made(&house.run(&["token", "new", name, "--role", "viewer"])));
        let all = names.map(make);
        all.into_iter().for_each(|one| drop(one.join().unwrap()));
    });
    let list: serde_json::Value = serde_json::from_slice(&house.run(&["token", "list", "--json"]).stdout).unwrap();
    let mut found: Vec<_> = list["tokens"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, names);
}

#[test]
fn what_is_wrong_with_a_wish_for_a_token_is_said() {
    let house = House::with("");
    for (arguments, why) in [
        (&["new", "Alice", "--role", "viewer"][..], "use 1 to 64 of a-z, 0-9"),
        (&["new", "alice", "--role", "root"], "a role is viewer, deployer, approver or admin"),
        (&["new", "alice"], "--role"),
        (&["new", "alice", "--role", "viewer", "--expires", "soon"], "invalid duration"),
        (&["new", "alice", "--role", "viewer", "--expires", "0s"], "longer than zero"),
        (&["new", "alice", "--role", "viewer", "--only", "shop/*"], "is no name"),
        (&["revoke", "alice"], "there is no token `alice`; `pointsman token list` shows them all"),
    ] {
        refused(&house.run(&[&["token"], arguments].concat()), why);
    }
    assert!(!house.path("state/tokens.toml").exists());
    made(&house.run(&["token", "new", "alice", "--role", "viewer"]));
    refused(&house.run(&["token", "new", "alice", "--role", "admin"]), "there is a token `alice` already");
    house.write("state/tokens.toml", "[[token]]\n");
    refused(&house.run(&["token", "list"]), "tokens.toml:1:3: unknown key `token`; did you mean `tokens`?");
    refused(&house.run(&["token", "new", "bob", "--role", "admin"]), "unknown key `token`");
}

#[test]
fn a_token_that_nobody_got_to_see_is_not_good() {
    let house = House::with("");
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.args(["token", "new", "alice", "--role", "admin"]).current_dir(house.path("")).stdout(full);
    refused(&command.output().unwrap(), "the token could not be printed, and was revoked");
    let list: serde_json::Value = serde_json::from_slice(&house.run(&["token", "list", "--json"]).stdout).unwrap();
    assert_eq!(list["tokens"], serde_json::json!([]));
}
