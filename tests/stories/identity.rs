//! The identity of an installation: copies, moves, restores and lost journals, against the real program. The first one's
//! stacks and fronts go on whatever is done with a copy.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{house::House, processes::Process};

const TERMS: &str = "bake = \"200ms\"\nretain = \"1h\"";
/// EX_CONFIG: a person has to say what the state folder is.
const ASK: Option<i32> = Some(78);

/// Starts the controller in a folder with these flags, to be refused. Returns what it says.
#[track_caller]
fn refused(folder: &Path, flags: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_pointsman");
    let done = Command::new("timeout")
        .args(["60", program, "serve"])
        .args(flags)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    let done = done.expect("it runs");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), ASK, "{flags:?}: {said}");
    said
}

#[track_caller]
fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word} is not in {text}");
    }
}

/// The processes of what is live and promised, and of the front.
fn at_work(house: &House) -> Vec<i32> {
    let of_stacks = |p: &&Process| ["sample", "stack-run", "front", "front-run"].iter().any(|c| p.runs(c));
    let mut all: Vec<i32> = house.processes().iter().filter(of_stacks).map(|p| p.pid).collect();
    all.sort_unstable();
    all
}

/// What the copy has begun since bears the same id, and may be there, too.
#[track_caller]
fn assert_untouched(house: &House, before: &[i32]) {
    let now = at_work(house);
    assert!(before.iter().all(|pid| now.contains(pid)), "{before:?} was touched: {now:?}");
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(done.success());
}

fn identity(state: &Path) -> Value {
    serde_json::from_slice(&fs::read(state.join("installation.json")).expect("it is there")).expect("JSON")
}

/// Two stacks in a house, v2 live and v1 warm.
fn with_two_stacks() -> House {
    let house = House::with_v1_live(TERMS);
    house.push("v2", "");
    house.settle();
    house.assert_live("v2");
    house
}

#[test]
fn a_copy_beside_the_first_is_refused_and_becomes_another_installation_when_told() {
    let first = with_two_stacks();
    let before = at_work(&first);
    assert_eq!(before.len(), 6, "two stacks with a supervisor each, a front with one");
    let second = House::with(TERMS);
    fs::remove_dir_all(second.path("pipelines")).expect("ours");
    for name in ["state", "pipelines", "stacks", "secrets"] {
        copy(&first.path(name), &second.path(name));
    }
    let hammer = first.hammer();

    // While the first has a controller, and while it has none.
    let said = refused(&second.path(""), &[]);
    let place = first.path("state").canonicalize().expect("it is there").display().to_string();
    assert_says(
        &said,
        &[
            "is a copy of",
            &place,
            "a controller is at work",
            "Nothing was changed",
            "pointsman serve --new-installation",
        ],
    );
    assert_says(&refused(&second.path(""), &["--moved"]), &["stop that one first"]);
    assert!(first.stop().success());
    assert_says(&refused(&second.path(""), &[]), &["is a copy of", "still there", "pointsman serve --moved"]);
    assert_eq!(at_work(&first), before, "nothing of the first was touched");

    // Nor does it end what runs of the first.
    let down = second.run(&["down", "--yes"]);
    assert_eq!(down.status.code(), ASK, "{down:?}");
    assert_says(&String::from_utf8_lossy(&down.stderr), &["is a copy of"]);
    assert_eq!(at_work(&first), before, "nothing of the first was touched");

    // It becomes one of its own, with a front at its own address.
    let pipeline = fs::read_to_string(second.path("pipelines/shop.toml")).expect("it is there");
    let (theirs, ours) = (first.address.to_string(), second.address.to_string());
    second.write("pipelines/shop.toml", &pipeline.replace(&theirs, &ours));
    let definition = fs::read_to_string(second.path("stacks/process/app.toml")).expect("it is there");
    second.write("stacks/process/app.toml", &definition.replace(&theirs, &ours));
    second.start_with(&["--new-installation"]);
    let now = second.environment().expect("it answers");
    assert!(now["live"].is_null() && now["standby"].is_null(), "{now:#}");
    assert_ne!(identity(&second.path("state"))["installation"], identity(&first.path("state"))["installation"]);
    assert!(
        second
            .path("state/aside")
            .join(identity(&first.path("state"))["installation"].as_str().expect("text"))
            .join("journal")
            .is_dir()
    );
    second.push("v9", "");
    second.settle();
    second.assert_live("v9");
    first.start();
    first.settle();
    first.assert_live("v2");
    assert_eq!(at_work(&first), before, "nothing of the first was touched");
    let seen = hammer.end();
    assert_eq!(seen.failures, Vec::<String>::new());
    assert!(seen.versions.keys().all(|version| version == "v2"), "{:?}", seen.versions);

    // The flag again, once it is at work: it would leave all of it behind.
    assert!(second.stop().success());
    assert_says(&refused(&second.path(""), &["--new-installation"]), &["at work", "would be left behind"]);
    second.start();
    second.assert_live("v9");
}

#[test]
fn a_copy_that_is_served_by_a_wrong_decision_touches_nothing_of_the_first() {
    let first = with_two_stacks();
    assert!(first.stop().success());
    let before = at_work(&first);
    let second = House::with(TERMS);
    fs::remove_dir_all(second.path("pipelines")).expect("ours");
    for name in ["state", "pipelines", "stacks", "secrets"] {
        copy(&first.path(name), &second.path(name));
    }
    // Somebody makes the copy say that it was always here.
    let mut forged = identity(&second.path("state"));
    let state = second.path("state").canonicalize().expect("it is there");
    let seen = fs::metadata(&state).expect("it is there");
    let born = seen.created().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    forged["place"]["path"] = state.to_str().expect("text").into();
    forged["place"]["inode"] = std::os::unix::fs::MetadataExt::ino(&seen).into();
    forged["place"]["born"] = born.map(|born| u64::try_from(born.as_nanos()).expect("this century")).into();
    second.write("state/installation.json", &forged.to_string());
    second.start();
    second.until("it says that the stacks are none of its own", || {
        second.log().contains("is a copy: the stack belongs to").then_some(())
    });
    assert_eq!(second.announce(50, "v3", "").expect("it answers").status, 202);
    second.until("it has looked at all of it several times", || (second.lines() > first.lines() + 1).then_some(()));
    assert_untouched(&first, &before);
    assert_eq!(first.live_version().as_deref(), Some("v2"));
    // Also by hand: a supervisor for the copied folder leaves what runs alone.
    let folder = second.path("state/stacks/process/stacks/shop/live/2");
    let run = second.run(&["stack-run", "--folder", folder.to_str().expect("text")]);
    assert_says(&String::from_utf8_lossy(&run.stderr), &["its folder is a copy"]);
    assert_untouched(&first, &before);
    second.kill();
    first.start();
    first.assert_live("v2");
}

#[test]
fn a_renamed_state_folder_goes_on_by_itself_and_its_stacks_with_it() {
    let house = with_two_stacks();
    assert!(house.stop().success());
    let instances =
        |house: &House| -> Vec<i32> { house.processes().iter().filter(|p| p.runs("sample")).map(|p| p.pid).collect() };
    let before = instances(&house);
    let hammer = house.hammer();
    fs::rename(house.path("state"), house.path("moved")).expect("renamed");
    std::os::unix::fs::symlink("moved", house.path("state")).expect("linked");
    house.start();
    house.settle();
    house.assert_live("v2");
    assert_says(&house.log(), &["the state folder was at", "moved now"]);
    house.until("supervisors look after them at the new place", || {
        let at_old = |p: &&Process| p.runs("stack-run") && p.names("/state/");
        house.processes().iter().find(at_old).is_none().then_some(())
    });
    house.push("v3", "");
    house.settle();
    house.assert_live("v3");
    let kept: Vec<i32> = instances(&house).into_iter().filter(|pid| before.contains(pid)).collect();
    assert_eq!(kept.len(), 1, "v2 is warm in the process that it had, and v1 is gone");
    assert_eq!(hammer.end().failures, Vec::<String>::new());
}

#[test]
fn what_was_copied_and_removed_goes_on_when_told_that_it_was_moved() {
    let house = with_two_stacks();
    assert!(house.stop().success());
    let before: Vec<i32> = house.processes().iter().filter(|p| p.runs("sample")).map(|p| p.pid).collect();
    copy(&house.path("state"), &house.path("elsewhere"));
    fs::remove_dir_all(house.path("state")).expect("ours");
    fs::rename(house.path("elsewhere"), house.path("state.new")).expect("renamed");
    let settings = fs::read_to_string(house.path("pointsman.toml")).expect("it is there");
    house.write("pointsman.toml", &format!("state = \"state.new\"\n{settings}"));
    assert_says(
        &refused(&house.path(""), &[]),
        &["was last served at", "another folder than it was", "pointsman serve --moved"],
    );
    fs::write(house.path("pointsman.toml"), &settings).expect("written");
    fs::rename(house.path("state.new"), house.path("state")).expect("renamed");
    assert_says(&refused(&house.path(""), &[]), &["restored from a backup, or replaced", "pointsman serve --restored"]);
    house.start_with(&["--moved"]);
    house.until("users are served by what was live, in the process that it had", || {
        let now: Vec<i32> = house.processes().iter().filter(|p| p.runs("sample")).map(|p| p.pid).collect();
        (house.live_version().as_deref() == Some("v2") && now == before).then_some(())
    });
    house.push("v3", "");
    house.settle();
    house.assert_live("v3");
    // Told once, it is known.
    assert!(house.stop().success());
    house.start_with(&["--moved"]);
    assert_says(&house.log(), &["nothing was wrong that `--moved` would say something about"]);
    house.assert_live("v3");
}

/// What becomes of a journal, and what is said of it when the controller is to start.
fn lost(how: impl Fn(&Path), words: &[&str]) {
    let house = with_two_stacks();
    assert!(house.stop().success());
    let journal = house.path("state/journal");
    copy(&journal, &house.path("backup"));
    let before = at_work(&house);
    let hammer = house.hammer();
    how(&journal);
    let said = refused(&house.path(""), &[]);
    assert_says(&said, words);
    assert_says(&said, &["Nothing was changed", "pointsman serve --restored"]);
    // Verifying says the very same.
    let verified = house.run(&["journal", "verify"]);
    assert_eq!(verified.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&verified.stderr).trim(), said.trim().lines().last().unwrap_or_default());

    // The backup is put back; nothing was lost since.
    if journal.exists() {
        fs::remove_dir_all(&journal).expect("ours");
    }
    copy(&house.path("backup"), &journal);
    house.start_with(&["--restored"]);
    house.settle();
    house.assert_live("v2");
    assert_eq!(at_work(&house), before);
    assert_eq!(hammer.end().failures, Vec::<String>::new());
}

#[test]
fn a_missing_journal_is_no_new_installation() {
    lost(|journal| fs::remove_dir_all(journal).expect("ours"), &["is not there, though it had"]);
}

#[test]
fn a_journal_of_zero_length_is_no_new_installation() {
    let cut = |journal: &Path| fs::write(journal.join("journal-000001.jsonl"), "").expect("written");
    lost(cut, &["has no records, though it had", "--new-journal"]);
}

#[test]
fn a_journal_of_nothing_but_zeroes_is_no_new_installation() {
    let zero = |journal: &Path| {
        let file = journal.join("journal-000001.jsonl");
        let length = fs::metadata(&file).expect("it is there").len();
        fs::write(file, vec![0; usize::try_from(length).expect("small")]).expect("written");
    };
    lost(zero, &["bytes that are none", "though it had"]);
}

#[test]
fn an_older_journal_and_one_of_another_installation_are_told_apart_and_asked_about() {
    let other = House::with_v1_live(TERMS);
    assert!(other.stop().success());
    let house = House::with_v1_live(TERMS);
    assert!(house.stop().success());
    let journal = house.path("state/journal");
    copy(&journal, &house.path("older"));
    let count = house.lines();
    house.start();
    house.push("v2", "");
    house.settle();
    assert!(house.stop().success());
    let last = house.lines();
    let hammer = house.hammer();
    let exchange = |with: PathBuf| {
        fs::remove_dir_all(&journal).expect("ours");
        copy(&with, &journal);
    };
    exchange(other.path("state/journal"));
    assert_says(&refused(&house.path(""), &[]), &["is not the one of this installation"]);
    exchange(house.path("older"));
    let without = format!("without records {} to {last}", count + 1);
    let ends = format!("ends with record {count}, though it had {last}");
    assert_says(&refused(&house.path(""), &[]), &[&ends, &without, "pointsman serve --restored"]);
    assert_says(&refused(&house.path(""), &["--new-journal"]), &["reads well", "move"]);
    // It knows nothing of v2, and goes back to v1 only once that passes its checks.
    house.start_with(&["--restored"]);
    house.until("v1 has the traffic", || (house.live_version().as_deref() == Some("v1")).then_some(()));
    assert_eq!(hammer.end().failures, Vec::<String>::new());
}

#[test]
fn a_journal_that_begins_anew_leaves_users_where_they_are_until_something_is_deployed() {
    let house = with_two_stacks();
    assert!(house.stop().success());
    let before = at_work(&house);
    let hammer = house.hammer();
    fs::remove_dir_all(house.path("state/journal")).expect("ours");
    house.start_with(&["--new-journal"]);
    house.until("it has seen the stacks that it does not know", || {
        let strangers = house.records().iter().filter(|r| r["event"]["kind"] == "stranger_found").count();
        (strangers == 2).then_some(())
    });
    // Also over a start: nothing was recorded about what is live.
    assert!(house.stop().success());
    house.start();
    assert_eq!(at_work(&house), before);
    assert_eq!(house.live_version().as_deref(), Some("v2"));
    assert!(!house.records().iter().any(|r| r["event"]["kind"] == "drift_seen"), "{:?}", house.records());
    let number = house.push("v3", "");
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v3");
    let seen = hammer.end();
    assert_eq!(seen.failures, Vec::<String>::new());
}

#[test]
fn a_state_folder_that_is_gone_while_fronts_and_stacks_run_is_asked_about() {
    let house = with_two_stacks();
    assert!(house.stop().success());
    fs::rename(house.path("state"), house.path("kept")).expect("renamed");
    assert_says(&refused(&house.path(""), &[]), &["is not there, though", "front", "Nothing was changed"]);
    assert_eq!(house.live_version().as_deref(), Some("v2"));
    fs::remove_dir_all(house.path("state")).expect("ours");
    fs::rename(house.path("kept"), house.path("state")).expect("renamed");
    house.start();
    house.assert_live("v2");
}

#[test]
fn a_first_start_that_recorded_nothing_is_repeated_without_a_question() {
    let house = House::with(TERMS);
    for flags in [&[][..], &[], &["--moved"], &["--restored"], &["--new-journal"]] {
        house.start_with(flags);
        assert!(house.stop().success(), "{flags:?}");
    }
    house.kill();
    house.start();
    house.push("v1", "");
    house.settle();
    house.assert_live("v1");
}

#[test]
fn an_identity_that_cannot_be_read_is_asked_about() {
    let house = House::with_v1_live(TERMS);
    assert!(house.stop().success());
    let file = house.path("state/installation.json");
    let good = fs::read(&file).expect("it is there");
    for bad in [&b""[..], &[0; 40], b"{\"v\": 99}"] {
        fs::write(&file, bad).expect("written");
        assert_says(&refused(&house.path(""), &[]), &["installation.json", "Put it back", "pointsman serve --moved"]);
    }
    fs::write(&file, good).expect("written");
    house.start();
    house.assert_live("v1");
}
