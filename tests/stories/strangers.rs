//! An older journal is put back, or a new one is begun: stacks that were made since are shown, left alone, and adopted or ended by
//! a person only.

use std::fs;

use serde_json::Value;

use crate::support::{house::House, wire::Hammer};

const TERMS: &str = "bake = \"50ms\"\nretain = \"1h\"";

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn stacks(house: &House) -> Vec<Value> {
    let answer = house.try_ask("GET", "/v1/environments/shop/live/stacks", "").expect("it answers");
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    body["stacks"].as_array().expect("a list").clone()
}

fn part(house: &House, number: u64) -> Option<String> {
    let all = stacks(house);
    let stack = all.iter().find(|stack| stack["number"] == number)?;
    Some(stack["part"].as_str().expect("a word").to_owned())
}

#[test]
fn what_was_made_after_the_copy_of_a_journal_is_listed_and_ended_by_command_and_what_is_live_never() {
    let house = House::with_v1_live(TERMS);
    let journal = fs::read(house.state_file()).expect("a journal");
    let two = house.push("v2", "");
    house.settle();
    house.assert_live("v2");
    assert!(house.stop().success());
    // The copy knows v1 only; v2 runs on, and has the traffic.
    fs::write(house.state_file(), journal).expect("put back");
    house.start_with(&["--restored"]);
    house.until("the front is sent to what the journal says", || (house.live_version()? == "v1").then_some(()));
    house.until("v2 is a stranger that users do not reach", || {
        let all = stacks(&house);
        let stranger = all.iter().find(|stack| stack["number"] == two)?;
        (stranger["part"] == "stranger" && stranger["reached"] == false && stranger["condition"] == "ready")
            .then_some(())
    });

    let why = said(&house.run(&["why", "shop/live"]));
    let words = why.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains(&format!("stack {two} is ours and not in the journal: `pointsman stack list shop/live`")),
        "{why}"
    );
    let overview = said(&house.run(&["status"]));
    assert!(overview.contains("1 stack not in the journal"), "{overview}");
    let list = said(&house.run(&["stack", "list", "shop/live"]));
    let [adopt, retire] = ["adopt", "retire"].map(|verb| format!("pointsman stack {verb} shop/live {two} --reason"));
    for wanted in ["stranger", "live", "process", &adopt, &retire] {
        assert!(list.contains(wanted), "{wanted}: {list}");
    }

    for (number, what) in [("1", "stack 1 is live"), ("77", "stack 77 was not found here")] {
        let refused = house.run(&["stack", "retire", "shop/live", number, "--reason", "tidy"]);
        assert_eq!(refused.status.code(), Some(1));
        let told = said(&refused);
        assert!(told.contains(what) && told.contains("pointsman stack list shop/live"), "{told}");
        assert!(told.contains(&format!("stack {two} is ours")), "it names what there is: {told}");
    }
    let name = format!("shop-live-{two}");
    let done = house.run(&["stack", "retire", "shop/live", &name, "--reason", "left from before the restore"]);
    assert!(done.status.success() && said(&done).contains("is being ended"), "{}", said(&done));
    house.until("it is gone", || part(&house, two).is_none().then_some(()));
    house.settle();
    house.assert_live("v1");
    house.assert_nothing_left();
    let kinds: Vec<_> =
        house.records().iter().map(|r| r["event"]["kind"].as_str().unwrap_or_default().to_owned()).collect();
    assert!(kinds.iter().any(|kind| kind == "stranger_dismissed"), "{kinds:?}");
    // The first record of level 2 came with a copy from before it.
    let verified = said(&house.run(&["journal", "verify"]));
    assert!(verified.contains("the way back to a release that reads level 1 only"), "{verified}");
    assert!(house.path("state/before-level-2/how-to-return.txt").exists());
}

/// The journal of before v2 is put back, and v1 has the traffic again; v2 runs on, under this number.
fn restored(house: House) -> (House, u64, Hammer) {
    let journal = fs::read(house.state_file()).expect("a journal");
    let two = house.push("v2", "");
    house.settle();
    house.assert_live("v2");
    let hammer = house.hammer();
    assert!(house.stop().success());
    fs::write(house.state_file(), journal).expect("put back");
    house.start_with(&["--restored"]);
    house.until("v1 has the traffic", || (house.live_version()? == "v1").then_some(()));
    house.until("v2 is a stranger", || (part(&house, two)? == "stranger").then_some(()));
    (house, two, hammer)
}

fn adopt(house: &House, number: u64, more: &[&str]) -> std::process::Output {
    let number = number.to_string();
    let words = ["stack", "adopt", "shop/live", &number, "--reason", "it was live before the restore"];
    house.run(&[&words, more].concat())
}

#[test]
fn what_was_live_before_a_restore_is_adopted_and_no_request_fails() {
    let (house, two, hammer) = restored(House::with_v1_live(TERMS));
    let before = house.processes();
    let done = adopt(&house, two, &["--watch"]);
    assert!(done.status.success(), "{}", said(&done));
    house.settle();
    house.assert_live("v2");
    house.assert_outcome(two, "succeeded");
    assert_eq!(part(&house, 1).as_deref(), Some("standby"), "the way back");
    let seen = hammer.end();
    assert_eq!(seen.failures, Vec::<String>::new());
    let stacks = |all: &[crate::support::processes::Process]| {
        all.iter().filter(|p| p.stack.is_some()).map(|p| p.pid).collect::<Vec<_>>()
    };
    assert_eq!(stacks(&before), stacks(&house.processes()), "nothing was made again");
    let history = said(&house.run(&["history", "shop/live", "--records"]));
    assert!(history.contains(&format!("adopting stack {two}, a stranger")), "{history}");
    // It is live like any other: the next number is a new one, and what is live is kept alive.
    assert_eq!(house.push("v3", ""), two + 1);
    house.settle();
    house.assert_live("v3");
    house.assert_verified();
    house.wish("/v1/environments/shop/live/rollback", &format!("{{\"number\":{}}}", two + 1), |record| {
        record["event"]["kind"] == "rollback_requested"
    });
    house.until("v2 is back", || (house.live_version()? == "v2").then_some(()));
}

#[test]
fn a_controller_that_is_killed_amid_an_adoption_goes_on_with_it() {
    for records in [1, 3, 5] {
        let (house, two, hammer) = restored(House::with_v1_live(TERMS));
        let ((), _) = house.killed_after(records, || {
            let (path, body) =
                ("/v1/environments/shop/live/stacks/adopt", format!("{{\"number\":{two},\"reason\":\"back\"}}"));
            house.wish(path, &body, |record| record["event"]["stranger"] == true);
        });
        house.until("v2 is live", || (house.environment()?["live"]["number"] == two).then_some(()));
        house.settle();
        house.assert_live("v2");
        house.assert_nothing_left();
        assert_eq!(hammer.end().failures, Vec::<String>::new());
    }
}

#[test]
fn a_stranger_that_fails_its_checks_is_left_alone_and_what_is_no_stranger_is_refused() {
    // It is well until the file is there.
    let house = House::with(TERMS);
    let sick = house.path("sick");
    let command = "{pointsman} sample --listen {address}:{port} --version {version}";
    let command = format!("test -e {} && export SAMPLE_BROKEN=1; exec {command}", sick.display());
    house.write("stacks/process/app.toml", &house.definition(&command));
    house.start();
    house.push("v1", "");
    house.settle();
    let (house, two, hammer) = restored(house);
    for (number, what) in [(1, "stack 1 is live"), (77, "stack 77 was not found here")] {
        let refused = adopt(&house, number, &[]);
        assert_eq!(refused.status.code(), Some(1));
        let told = said(&refused);
        assert!(told.contains(what) && told.contains("pointsman stack list shop/live"), "{told}");
    }
    let other = said(&adopt(&house, two, &["--version", "v9"]));
    assert!(other.contains("does not run version v9 but v2"), "{other}");
    // It is started again, and is not well any more.
    fs::write(&sick, "").expect("written");
    let mark = format!("shop/live#{two}");
    let instances = || house.processes().into_iter().filter(|p| p.runs("sample") && p.stack.as_ref() == Some(&mark));
    instances().for_each(|p| p.kill());
    let done = adopt(&house, two, &["--watch"]);
    assert!(!done.status.success(), "{}", said(&done));
    let why = house.assert_outcome(two, "failed");
    assert!(why.contains(&format!("stack {two} is left as it is, a stranger again")), "{why}");
    house.settle();
    house.assert_live("v1");
    assert_eq!(part(&house, two).as_deref(), Some("stranger"));
    assert_eq!(instances().count(), 1, "it is not torn down");
    assert_eq!(hammer.end().failures, Vec::<String>::new());
    let done = house.run(&["stack", "retire", "shop/live", &two.to_string(), "--reason", "it is sick"]);
    assert!(done.status.success(), "{}", said(&done));
    house.until("it is gone", || part(&house, two).is_none().then_some(()));
    house.settle();
    house.assert_nothing_left();
}

#[test]
fn after_a_journal_was_lost_a_new_one_begins_with_what_users_have() {
    let house = House::with_v1_live(TERMS);
    let hammer = house.hammer();
    assert!(house.stop().success());
    fs::remove_dir_all(house.path("state/journal")).expect("ours");
    house.start_with(&["--new-journal"]);
    house.until("v1 is a stranger", || (part(&house, 1)? == "stranger").then_some(()));
    assert_eq!(house.live_version().as_deref(), Some("v1"), "users keep it");
    let done = adopt(&house, 1, &["--watch"]);
    assert!(done.status.success(), "{}", said(&done));
    house.settle();
    house.assert_live("v1");
    assert_eq!(part(&house, 1).as_deref(), Some("live"));
    house.assert_nothing_left();
    assert_eq!(house.push("v2", ""), 2);
    house.settle();
    house.assert_live("v2");
    assert_eq!(hammer.end().failures, Vec::<String>::new());
}

#[test]
fn the_address_of_the_api_held_by_another_controller_is_said_with_its_process_and_folder() {
    let house = House::with_v1_live(TERMS);
    let other = house.path("other.toml");
    house.write(
        "other.toml",
        &format!("state = \"other\"\npipelines = \"none\"\n[server]\nlisten = \"{}:7070\"\n", house.address),
    );
    fs::create_dir(house.path("none")).expect("a folder");
    let refused = house.run(&["serve", "--config", other.to_str().expect("text")]);
    assert_eq!(refused.status.code(), Some(1));
    let told = said(&refused);
    assert!(told.contains(":7070 is in use by another controller, pid ") && told.contains("`kill "), "{told}");
}

#[test]
fn an_older_front_that_holds_the_address_is_named_with_the_command_that_ends_it() {
    let house = House::with_v1_live(TERMS);
    house.kill();
    fs::remove_dir_all(house.path("state/fronts")).expect("lost");
    house.start();
    let kill = house.until("why names the older front", || {
        let why = said(&house.run(&["why", "shop/live"]));
        let words = why.split_whitespace().collect::<Vec<_>>().join(" ");
        let rest = words.split_once(":8080 is in use by an older front of this installation, pid ")?.1.to_owned();
        Some(rest.split('`').nth(1)?.to_owned())
    });
    let mut words = kill.split_whitespace();
    assert_eq!(words.next(), Some("kill"), "{kill}");
    // One of the two may have ended since: its folder is gone.
    std::process::Command::new("kill").args(words).status().expect("kill");
    house.until("a front of its own serves", || (house.live_version()? == "v1").then_some(()));
}
