//! What a build may name as its artifact: where builds are, and nothing that belongs to the installation.

use std::{fs, process::Command};

use serde_json::json;

use crate::support::house::House;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pointsman");

fn house() -> House {
    let house = House::with("bake = \"100ms\"");
    fs::create_dir_all(house.path("builds/1")).expect("made");
    fs::write(house.path("builds/1/index.html"), "one").expect("written");
    house.start();
    house
}

#[test]
fn no_build_may_name_what_belongs_to_the_installation_and_nothing_is_recorded_of_it() {
    let house = house();
    let new = house.run(&["token", "new", "jenkins", "--role", "deployer", "--only", "shop/live"]);
    let token = String::from_utf8(new.stdout).expect("text").trim().to_owned();
    std::os::unix::fs::symlink(house.path("state"), house.path("builds/state")).expect("made");
    let at = |name: &str| house.path(name).display().to_string();
    let before = house.lines();
    for bad in ["state", "state/token", "builds/state", "pipelines", "secrets/key", "builds/9", ""] {
        for artifact in [at(bad), format!("file://{}", at(bad)), "../../../../token".into(), "-x".into(), "/etc".into()]
        {
            let line = ["deploy", "shop/live", "--version", "1", &format!("--artifact={artifact}")];
            let mut command = Command::new(PROGRAM);
            let ended = command
                .args(line)
                .current_dir(house.path(""))
                .env("POINTSMAN_TOKEN", &token)
                .output()
                .expect("it runs");
            assert_eq!(ended.status.code(), Some(1), "{artifact}: {ended:?}");
            let body = json!({ "version": "1", "artifact": artifact, "build": 5 }).to_string();
            let answer = house.send_hook(&body).expect("an answer");
            assert_eq!(answer.status, 422, "{artifact}: {}", answer.body);
        }
    }
    assert_eq!(house.lines(), before, "nothing is recorded");
}

#[test]
fn a_path_from_the_callers_folder_is_made_whole_and_one_that_is_not_there_is_refused() {
    let house = house();
    let before = house.lines();
    let said = house.run(&["deploy", "shop/live", "--version", "1", "--artifact", "builds/typo"]);
    let told = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.code() == Some(1) && told.contains("builds/typo"), "{told}");
    assert_eq!(house.lines(), before);
    let said = house.run(&["deploy", "shop/live", "--version", "1", "--artifact", "builds/1", "--watch"]);
    assert!(said.status.success(), "{said:?}");
    let live = house.environment().expect("it answers");
    let whole = house.path("builds/1").canonicalize().expect("there");
    assert_eq!(live["live"]["release"]["artifact"], whole.display().to_string());
}

#[test]
fn a_build_that_was_accepted_is_known_again_when_its_artifact_is_gone() {
    let house = house();
    let body = json!({ "version": "1", "artifact": house.path("builds/1"), "build": 5 }).to_string();
    let first = house.send_hook(&body).expect("an answer");
    assert_eq!(first.status, 202, "{}", first.body);
    house.settle();
    fs::rename(house.path("builds/1"), house.path("builds/away")).expect("moved");
    let again = house.send_hook(&body).expect("an answer");
    assert_eq!(again.status, 202, "{}", again.body);
}

#[test]
fn a_release_that_was_there_goes_live_again_by_its_number_with_a_reason() {
    let house = House::with_v1_live("bake = \"200ms\"");
    house.push("v2", "");
    house.settle();
    let again = ["deploy", "shop/live", "--release", "1", "--reason", "v2 loses orders", "--watch"];
    let done = house.run(&again);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(house.live_version().as_deref(), Some("v1"));
    let accepted = house.records().into_iter().rfind(|record| record["event"]["kind"] == "accepted").expect("a record");
    assert_eq!((&accepted["event"]["number"], &accepted["event"]["release"]["number"]), (&3.into(), &1.into()));
    assert_eq!(accepted["event"]["reason"], "v2 loses orders");
    for (arguments, why) in [
        (&["--release", "9"][..], "release 9 is not known in shop/live"),
        (&["--release", "1", "--version", "v3"], "cannot be used with"),
        (&["--version", "v3"], "--artifact"),
    ] {
        let refused = house.run(&[&["deploy", "shop/live"], arguments].concat());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(why), "{arguments:?}: {said}");
    }
}
