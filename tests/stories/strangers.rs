//! An older journal is put back: stacks that were made since are shown, left alone, and ended by a person only.

use std::fs;

use serde_json::Value;

use crate::support::house::House;

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
    for wanted in ["stranger", "live", "process", &format!("pointsman stack retire shop/live {two} --reason")] {
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
