//! What people and hosts get wrong, against the real program: each time a clear word, and nothing is lost.

use std::{
    fs::{self, File},
    io::Write,
    net::TcpListener,
    process::Command as Run,
};

use pointsman::{
    clock::Clock,
    journal::{Journal, Options},
    machine::{Ask, EnvironmentId, Millis},
};

use crate::support::{house::House, peers};

const TERMS: &str = "bake = \"200ms\"\ndeadlines = { provision = \"5s\", check = \"3s\" }";

/// v1 is live, definition and terms become these, and v2 is pushed. Gives why v2 did not stay.
fn v2_as(terms: &str, definition: impl Fn(&House) -> String, outcome: &str) -> String {
    let house = House::with_v1_live(TERMS);
    let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    house.write("pipelines/shop.toml", &pipeline.replace(TERMS, terms));
    house.write("stacks/process/app.toml", &definition(&house));
    assert!(house.stop().success());
    house.start();
    let number = house.push("v2", "");
    house.settle();
    house.assert_live("v1");
    house.assert_nothing_left();
    house.assert_outcome(number, outcome)
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    let none = |house: &House| house.definition("").replace("\"sh\", \"-c\", ''''''", "\"no-such-program\"");
    let why = v2_as(TERMS, none, "failed");
    assert!(why.contains("no-such-program"), "{why}");
}

#[test]
fn a_command_that_exits_at_once_is_told_with_its_status() {
    let why = v2_as(TERMS, |house| house.definition("exit 7"), "failed");
    assert!(why.contains("status 7"), "{why}");
}

#[test]
fn a_command_that_listens_elsewhere_is_refused_by_its_checks() {
    let elsewhere = "exec {pointsman} sample --listen {address}:19999";
    let why = v2_as(TERMS, |house| house.definition(elsewhere), "failed");
    assert!(why.contains("refused"), "{why}");
}

#[test]
fn a_stack_that_never_becomes_healthy_is_refused_with_what_the_checks_saw() {
    let broken = "exec {pointsman} sample --listen {address}:{port} --broken";
    let why = v2_as(TERMS, |house| house.definition(broken), "failed");
    assert!(why.contains("503"), "{why}");
}

#[test]
fn a_stack_that_dies_while_it_bakes_is_rolled_back() {
    let dying = "exec {pointsman} sample --listen {address}:{port} --version {version} --crash-after 5s";
    let long_bake = TERMS.replace("200ms", "20s");
    let why = v2_as(&long_bake, |house| house.definition(dying), "rolled_back");
    assert!(why.contains("status") || why.contains("refused"), "{why}");
}

#[test]
fn a_port_range_in_use_is_told_and_waited_for() {
    let house = House::with(TERMS);
    let narrow = fs::read_to_string(house.path("stacks/process/app.toml")).expect("it is there");
    house.write("stacks/process/app.toml", &narrow.replace("20000-20099", "20000-20001"));
    house.start();
    house.push("v1", "");
    house.settle();
    let other = TcpListener::bind((house.address, 20001)).expect("a free port");
    let number = house.push("v2", "");
    house.until("it is told", || house.log().contains("no free port left").then_some(()));
    drop(other);
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v2");
}

#[test]
fn a_front_whose_address_is_taken_says_so_and_begins_when_it_is_free() {
    let house = House::with(&TERMS.replace("check = \"3s\"", "check = \"20s\""));
    let other = TcpListener::bind(house.front()).expect("a free port");
    house.start();
    let number = house.push("v1", "");
    let address = house.front().to_string();
    house.until("it is told", || {
        let log = house.log();
        (log.contains(&address) && log.contains("in use")).then_some(())
    });
    drop(other);
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v1");
}

#[test]
fn a_front_that_is_killed_comes_back_with_its_route() {
    let house = House::with_v1_live(TERMS);
    let records = house.lines();
    let front = house.processes().into_iter().find(|p| p.runs("front")).expect("it runs");
    front.kill();
    house.until("the front is back", || house.live_version().filter(|v| v == "v1"));
    house.assert_nothing_left();
    assert_eq!(house.lines(), records, "nothing had to be ordered anew: it remembered route and generation");
    house.push("v2", "");
    house.settle();
    house.assert_live("v2");
}

/// Starts the controller, which must refuse, and gives what it says.
fn refused(house: &House) -> String {
    let refused = house.run(&["serve"]);
    assert!(!refused.status.success());
    String::from_utf8_lossy(&refused.stderr).into_owned()
}

fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not said: {text}");
    }
}

#[test]
fn a_damaged_state_file_is_refused_with_file_and_line_and_nothing_is_touched() {
    let house = House::with_v1_live(TERMS);
    assert!(house.stop().success());
    house.assert_verified();
    let good = fs::read_to_string(house.state_file()).expect("it is there");
    let damaged: Vec<String> = good
        .lines()
        .enumerate()
        .map(|(i, line)| if i == 2 { line.replace("pointsman", "pointsmen") } else { line.to_owned() })
        .collect();
    let damaged = damaged.join("\n") + "\n";
    fs::write(house.state_file(), &damaged).expect("written");
    assert_says(
        &refused(&house),
        &["journal-000001.jsonl, line 3", "checksum", "records 1 to 2 are good", "pointsman serve --restored"],
    );
    let verified = house.run(&["journal", "verify"]);
    assert!(!verified.status.success());
    assert_says(&String::from_utf8_lossy(&verified.stderr), &["line 3", "head --bytes=", ".damaged"]);
    assert_eq!(fs::read_to_string(house.state_file()).expect("it is there"), damaged);
    assert_eq!(house.live_version().as_deref(), Some("v1"), "users notice nothing");
    fs::write(house.state_file(), good).expect("written");
    house.start();
    house.assert_live("v1");
}

#[test]
fn a_state_file_of_a_newer_version_is_refused() {
    let house = House::with_v1_live(TERMS);
    assert!(house.stop().success());
    let mut file = File::options().append(true).open(house.state_file()).expect("it is there");
    writeln!(file, "{{\"v\":99,\"something\":\"new\"}}").expect("written");
    assert_says(&refused(&house), &["journal-000001.jsonl", "newer version", "99"]);
}

#[test]
fn a_second_controller_is_refused_and_the_first_goes_on() {
    let house = House::with_v1_live(TERMS);
    assert_says(&refused(&house), &["state/journal", "in use by process", "stop it first"]);
    house.push("v2", "");
    house.settle();
    house.assert_live("v2");
}

#[test]
fn mistakes_in_a_pipeline_file_are_pointed_at_before_anything_starts() {
    let house = House::with("retane = \"5m\"\nbake = \"soon\"");
    let said = refused(&house);
    assert_says(&said, &["shop.toml:11:1: ", "`retane`", "did you mean `retain`?", "shop.toml:12:8: ", "`bake`"]);
    assert!(house.processes().is_empty());
}

#[test]
fn a_stop_amid_a_deployment_is_graceful_and_the_next_start_finishes_it() {
    let house = House::with_v1_live(&TERMS.replace("check = \"3s\"", "check = \"20s\""));
    let hammer = house.hammer();
    let number = house.push("v2", "--ready-after 500ms");
    house.until_state(number, "checking");
    assert!(house.stop().success());
    house.start();
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v2");
    house.assert_nothing_left();
    assert_eq!(hammer.end().failures, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_clock_that_went_back_a_day_keeps_nobody_from_deploying() {
    let house = House::with_v1_live(TERMS);
    assert!(house.stop().success());
    // As the last controller would have left it whose clock was a day ahead.
    let id: EnvironmentId = "shop/live".parse().expect("a name");
    let tomorrow = Clock::real().now().plus(Millis(86_400_000));
    let (journal, _) = Journal::open(&house.path("state/journal"), Options::default()).expect("it is good");
    journal.command(&id, "story", tomorrow, Ask::Hold("the clock is wrong".into())).await.expect("held");
    journal.command(&id, "story", tomorrow, Ask::Resume).await.expect("resumed");
    journal.close().await;
    drop(journal);
    house.start();
    let number = house.push("v2", "");
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v2");
    assert_says(&house.log(), &["gone back behind the last record"]);
    let times: Vec<u64> = house.records().iter().filter_map(|r| r["at"].as_u64()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

/// A small disk of its own, for as long as it lives.
struct Disk<'a>(&'a str);

impl<'a> Disk<'a> {
    fn mount(place: &'a str) -> Option<Self> {
        fs::create_dir_all(place).expect("a folder");
        let mounted = Run::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "tmpfs", place]).output();
        mounted.is_ok_and(|m| m.status.success()).then_some(Self(place))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Run::new("umount").args(["-l", self.0]).output();
    }
}

#[test]
fn a_full_disk_stops_new_builds_and_nothing_else() {
    let house = House::with(TERMS);
    let place = house.path("state/journal").to_str().expect("text").to_owned();
    let Some(_disk) = Disk::mount(&place) else {
        let name = "a_full_disk_stops_new_builds_and_nothing_else";
        peers::left_out(&format!("{name}: a small disk can only be mounted by root"));
        return;
    };
    house.start();
    house.push("v1", "");
    house.settle();
    let filler = house.path("state/journal/filler");
    let mut full = File::create(&filler).expect("a file");
    while full.write_all(&[0; 64 << 10]).is_ok() {}
    let answer = house.announce(1000, "v2", "").expect("it answers");
    assert_eq!(answer.status, 507, "{}", answer.body);
    assert_says(&answer.body, &["disk", "free some space"]);
    house.assert_live("v1");
    fs::remove_file(&filler).expect("removed");
    drop(full);
    let number = house.push("v2", "");
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v2");
    house.assert_verified();
}
