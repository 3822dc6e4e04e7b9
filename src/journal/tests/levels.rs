//! Format levels: what a release before would not read, the copy that is made before it, and what a journal of the future is
//! told apart by.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use tokio::sync::watch;

use super::kit::{SimDisk, append, environment, ledger, options, story, told};
use crate::{
    cli::way_back::{beside, from_newer, watch_copies},
    clock::Clock,
    journal::{Aside, Journal, NEWEST, Options, Sum, level, missing_copy, record, verify, ways_back},
    machine::{Entry, Environment, Event, Millis, Number, Seq},
    runner::Board,
};

const SEGMENT: &str = "journal-000001.jsonl";

/// The kinds that there are, as the reader of a record lists them.
fn kinds() -> BTreeSet<String> {
    let refused = serde_json::from_str::<Event>(r#"{"kind":"teleported"}"#).unwrap_err().to_string();
    refused.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

fn kind(event: &Event) -> String {
    serde_json::to_value(event).unwrap()["kind"].as_str().unwrap().to_owned()
}

#[test]
fn every_kind_is_told_in_the_story_and_those_of_the_first_release_have_its_level() {
    let (mut state, mut newer) = (Environment::default(), BTreeSet::new());
    for entry in story() {
        let level = level::of(&entry.event, &state);
        assert!((level::FIRST..=NEWEST).contains(&level), "{level}");
        if level > level::FIRST {
            newer.insert(kind(&entry.event));
        }
        state.apply(&entry).unwrap();
    }
    let told: BTreeSet<_> = story().iter().map(|entry| kind(&entry.event)).collect();
    assert_eq!(told, kinds());
    let wanted = [
        "accepted",
        "builds_reset",
        "cut_over_ordered",
        "live_down",
        "live_up",
        "maintenance_begun",
        "maintenance_ended",
        "operator_needed",
        "page_ordered",
        "paused",
        "proceeded",
        "recovered",
        "restart_asked",
        "restart_ended",
        "revert_requested",
        "shifted",
        "start_ordered",
        "stop_ordered",
        "stopped",
        "stranger_dismissed",
    ];
    assert_eq!(newer, wanted.map(str::to_owned).into());
}

#[test]
fn files_of_every_version_carry_the_level_that_the_table_gives() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for folder in fs::read_dir(golden).unwrap() {
        let (file, mut state) = (folder.unwrap().path().join(SEGMENT), Environment::default());
        for line in fs::read(&file).unwrap().split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            let record = record::parse(line).unwrap();
            assert_eq!(record.v, level::of(&record.event, &state), "{} record {}", file.display(), record.seq);
            state.apply(&record.into_entry().1).unwrap();
        }
    }
}

#[test]
fn a_snapshot_has_the_level_of_what_it_stands_for_so_that_an_older_release_reads_the_records_and_refuses() {
    let (disk, _) = told(10);
    let content = disk.content();
    let head = |name: &str| String::from_utf8(content[name].clone()).unwrap().lines().next().unwrap().to_owned();
    let snapshots: Vec<_> = content.keys().filter(|name| name.starts_with("snapshot")).collect();
    let last = head(snapshots.last().unwrap());
    assert!(last.starts_with(&format!("{{\"v\":{NEWEST},")), "{last}");
    // Before the first record of level 2: a release that reads level 1 only may use it.
    let early = told_up_to(20);
    let first = String::from_utf8(early.content()["snapshot-000002.jsonl"].clone()).unwrap();
    assert!(first.starts_with("{\"v\":1,"), "{first}");
}

fn told_up_to(records: usize) -> SimDisk {
    let (disk, live) = (SimDisk::default(), environment("shop/live"));
    let mut ledger = ledger(&disk, options(10));
    for (place, entry) in (0..).zip(story()).take(records) {
        ledger.commit(&[append(&live, place, entry)]).unwrap();
    }
    disk
}

/// A state folder as `serve` has it.
struct Yard(tempfile::TempDir);

impl Yard {
    fn new() -> Self {
        let yard = Self(tempfile::tempdir().unwrap());
        fs::write(yard.0.path().join("tokens.toml"), "# tokens").unwrap();
        fs::create_dir(yard.0.path().join("definitions")).unwrap();
        fs::write(yard.0.path().join("definitions/abc"), "run = []").unwrap();
        yard
    }
    fn journal(&self) -> PathBuf {
        self.0.path().join("journal")
    }
    fn copy(&self) -> PathBuf {
        self.0.path().join("before-level-2")
    }
    fn open(&self, low_water_bytes: u64) -> Journal {
        let beside = ["tokens.toml", "definitions", "nothing"].map(str::to_owned).to_vec();
        let aside = Some(Aside { state: self.0.path().to_owned(), beside });
        let options = Options { ballast_bytes: 0, low_water_bytes, snapshot_every: 12, aside, ..Options::default() };
        Journal::open(&self.journal(), options).unwrap().0
    }
    async fn record(&self, journal: &Journal, entries: &[Entry]) {
        let live = environment("shop/live");
        for entry in entries {
            let seq = Seq(journal.state(&live).seq().0);
            journal.append(&live, seq, entry.clone()).await.unwrap();
        }
    }
}

/// The story, cut before its first record of a newer level.
fn halves() -> (Vec<Entry>, Vec<Entry>) {
    let (mut state, story) = (Environment::default(), story());
    let first = story.iter().position(|entry| {
        let newer = level::of(&entry.event, &state) > level::FIRST;
        state.apply(entry).unwrap();
        newer
    });
    let (before, after) = story.split_at(first.unwrap());
    (before.to_vec(), after.to_vec())
}

#[tokio::test]
async fn the_state_is_copied_once_before_the_first_record_of_a_newer_level() {
    let (yard, (before, after)) = (Yard::new(), halves());
    let journal = yard.open(0);
    yard.record(&journal, &before).await;
    assert!(!yard.copy().exists(), "nothing of it is new");
    yard.record(&journal, &after[..1]).await;
    let copied = verify(&yard.copy().join("journal")).unwrap();
    assert_eq!((copied.records, copied.torn), (before.len() as u64, None));
    let lines: Vec<u8> = segments(&yard.copy().join("journal")).into_iter().flatten().collect();
    assert!(lines.split(|&b| b == b'\n').all(|line| line.is_empty() || line.starts_with(b"{\"v\":1,")));
    for (name, text) in [("tokens.toml", "# tokens"), ("definitions/abc", "run = []")] {
        assert_eq!(fs::read_to_string(yard.copy().join(name)).unwrap(), text);
    }
    let how = fs::read_to_string(yard.copy().join("how-to-return.txt")).unwrap();
    assert!(how.contains("`pointsman serve --restored`"), "{how}");
    assert!(how.contains(&format!("cp -a {0}/before-level-2/journal {0}/journal", yard.0.path().display())), "{how}");
    yard.record(&journal, &after[1..]).await;
    journal.close().await;
    assert_eq!(verify(&yard.copy().join("journal")).unwrap().records, before.len() as u64);

    let told = beside(&yard.journal()).concat();
    let lost = format!("{} records would be lost", after.len());
    assert!(told.contains(&lost) && told.contains("deployment 12 (v12) live and found good"), "{told}");
    assert!(told.contains("live down 2x") && told.contains("recovered 1x"), "{told}");
    // Whoever needs it no more removes it, and it does not come again.
    fs::remove_dir_all(yard.copy()).unwrap();
    yard.open(0).close().await;
    assert!(!yard.copy().exists() && ways_back(&yard.journal()).is_empty());
}

fn segments(folder: &Path) -> Vec<Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let segment = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("journal-");
    files.filter(segment).map(|path| fs::read(path).unwrap()).collect()
}

#[tokio::test]
async fn a_copy_that_cannot_be_made_holds_up_no_record_and_is_made_at_a_later_start() {
    let (yard, (before, after)) = (Yard::new(), halves());
    let journal = yard.open(1 << 60);
    yard.record(&journal, &before).await;
    yard.record(&journal, &after).await;
    assert_eq!(journal.newest(), (before.len() + after.len()) as u64, "what happened is recorded");
    let told = missing_copy(&yard.journal()).expect("it is told");
    assert!(
        told.contains("no copy of the state from before level 2: the copy needs") && told.contains("restart"),
        "{told}"
    );
    journal.close().await;
    yard.open(1 << 60).close().await;
    let here: Vec<_> = fs::read_dir(yard.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(here.iter().all(|name| !name.to_str().unwrap().starts_with("before")), "nothing half is there: {here:?}");

    yard.open(0).close().await;
    assert_eq!(missing_copy(&yard.journal()), None);
    let copied = verify(&yard.copy().join("journal")).unwrap();
    assert_eq!((copied.records, copied.torn), (before.len() as u64, None), "only what was before");
}

#[tokio::test]
async fn a_copy_that_cannot_be_made_is_shown_at_the_environments_as_soon_as_the_level_rises() {
    let (yard, (before, after)) = (Yard::new(), halves());
    let journal = yard.open(1 << 60);
    let (board, id) = (Board::default(), environment("shop/live"));
    let (stop, stopped) = watch::channel(false);
    let shown = (board.clone(), Clock::real());
    let showing = watch_copies(yard.journal(), journal.clone(), shown, vec![id.clone()], stopped);
    let story = async {
        yard.record(&journal, &before).await;
        assert!(board.sight(&id).trouble.is_empty(), "the first level needs no copy");
        yard.record(&journal, &after).await;
        while !board.sight(&id).trouble.iter().any(|t| t.why.contains("no copy of the state from before level 2")) {
            tokio::task::yield_now().await;
        }
        stop.send(true).unwrap();
    };
    let both = async { tokio::join!(showing, story).0 };
    assert!(tokio::time::timeout(std::time::Duration::from_secs(30), both).await.expect("it is shown"));
    journal.close().await;
}

/// Appends a line that a release of the future would write.
fn from_the_future(journal: &Path, seq: u64, body: &str) {
    let mut newest: Vec<_> = fs::read_dir(journal).unwrap().map(|file| file.unwrap().path()).collect();
    newest.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("journal-"));
    newest.sort();
    let lines = newest.iter().map(|path| fs::read_to_string(path).unwrap()).collect::<String>();
    let last = lines.lines().last().unwrap();
    let sum = Sum::try_from(last[last.len() - 34..last.len() - 2].to_owned()).unwrap();
    let next = NEWEST + 1;
    let body = format!("{{\"v\":{next},\"seq\":{seq},\"at\":1760000900000,{body}");
    let line = format!("{body},\"sum\":\"{}\"}}\n", sum.next(body.as_bytes()));
    let file = newest.last().unwrap();
    fs::write(file, fs::read_to_string(file).unwrap() + &line).unwrap();
}

#[tokio::test]
async fn a_journal_of_the_future_is_refused_with_the_way_back_and_with_what_it_loses() {
    let (yard, (before, after)) = (Yard::new(), halves());
    let journal = yard.open(0);
    yard.record(&journal, &before).await;
    yard.record(&journal, &after).await;
    journal.close().await;
    // As the release of the next level would have done it: the copy, then the records.
    let (records, level) = ((before.len() + after.len()) as u64, NEWEST + 1);
    let copy = yard.0.path().join(format!("before-level-{level}"));
    fs::create_dir(&copy).unwrap();
    let head = serde_json::json!({ "level": level, "was": NEWEST, "records": records, "at": 1, "segment": 1, "length": 1, "copied": true });
    fs::write(copy.join("level.json"), head.to_string()).unwrap();
    let event = r#""environment":"shop/qa","by":"ann","event":{"kind":"accepted","number":40,"mood":"new","release":{"version":"9.0"}}"#;
    from_the_future(&yard.journal(), records + 1, event);
    let event = r#""environment":"shop/qa","by":"ann","event":{"kind":"share_moved","number":40}"#;
    from_the_future(&yard.journal(), records + 2, event);

    let refused = Journal::open(&yard.journal(), Options::default()).map(|_| ()).unwrap_err();
    assert!(refused.newer(), "{refused}");
    assert!(refused.to_string().contains(&format!("format level {level}, this one reads up to {NEWEST}")), "{refused}");
    assert!(!refused.to_string().contains("truncate"), "never advice that loses records: {refused}");
    let told = from_newer(&yard.journal());
    assert!(told.contains("`pointsman serve --restored`, once"), "{told}");
    for wanted in [
        format!("before-level-{level}, which this version reads"),
        format!("mv {0}/journal {0}/journal-level-{level}", yard.0.path().display()),
        "2 records would be lost, of 2025-10-09T09:08:20.000Z to".to_owned(),
        "shop/qa: deployment 40 (9.0) queued, share moved 1x".to_owned(),
    ] {
        assert!(told.contains(&wanted), "{wanted}: {told}");
    }
    fs::remove_dir_all(copy).unwrap();
    // The copy from before level 2 is what is left: more is lost, and it is said.
    let told = from_newer(&yard.journal());
    assert!(told.contains("before-level-2") && told.contains(&format!("{} records", after.len() + 2)), "{told}");
    fs::remove_dir_all(yard.copy()).unwrap();
    assert!(from_newer(&yard.journal()).contains("there is no copy from before"));
}

#[test]
fn an_end_amid_a_way_back_is_of_the_level_that_allows_it() {
    use crate::machine::{Generation, Outcome};
    let (mut state, reason) = (Environment::default(), "away".into());
    for entry in story().into_iter().take(13) {
        state.apply(&entry).unwrap();
    }
    assert_eq!(state.active().map(|d| d.number), Some(Number(2)));
    let number = Number(2);
    let undo = Event::RevertOrdered {
        number,
        to: Some(Number(1)),
        generation: Generation(9),
        outcome: Outcome::Failed,
        reason: std::sync::Arc::clone(&reason),
    };
    state.apply(&Entry { at: Millis(1), by: "ann".into(), event: undo }).unwrap();
    assert_eq!(level::of(&Event::Ended { number, outcome: Outcome::Failed, reason }, &state), 2);
}
