//! A bundle is believed only as it was made: whatever is changed, left out or swapped is noticed and named.

use super::{verify::Broken, *};
use crate::{
    fixture_tests,
    journal::{Journal, Options},
    machine::{Entry, EnvironmentId, Millis, Plan, Trigger},
    pipelines::frozen,
};

const DEFINITION: &str = "command = [\"serve\"]\n";

struct Story {
    journal: Journal,
    key: Key,
}

fn place(name: &str) -> EnvironmentId {
    name.parse().expect("a good name")
}

impl Story {
    /// Two environments whose records take turns; the deployment that is asked for waited for bob.
    async fn told() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::told_in(Journal::in_memory(Options::default()).expect("in memory"), folder.path()).await
    }

    async fn told_in(journal: Journal, state: &std::path::Path) -> Self {
        let story = Self { journal, key: Key::of(state).expect("made") };
        story.deploy("shop/qa", "pointsman").await;
        story
    }

    async fn deploy(&self, name: &str, by: &str) {
        let number = Number(1);
        self.record("bank/prod", "zoe", Event::Held { reason: "none of yours".into() }).await;
        let release = Release { number: 1, definition: frozen::digest(DEFINITION), ..Release::draft("1.4.2") };
        let accepted = fixture_tests::accepted(1, release, Plan::default(), Trigger::Build);
        self.record(name, "webhook:jenkins", accepted).await;
        self.record("bank/prod", "zoe", Event::Resumed { reason: None }).await;
        self.record("bank/prod", "zoe", Event::Held { reason: "none of yours".into() }).await;
        self.record(name, by, Event::Started { number }).await;
        self.record(name, by, Event::Provisioned { number }).await;
        self.record("bank/prod", "zoe", Event::Resumed { reason: None }).await;
        self.record(name, by, Event::Checked { number, answers: Vec::new() }).await;
        self.record("bank/prod", "zoe", Event::Held { reason: "none of yours".into() }).await;
    }

    async fn record(&self, name: &str, by: &str, event: Event) {
        let id = place(name);
        let entry = Entry { at: Millis(1_700_000_000_000), by: by.into(), event };
        self.journal.append(&id, self.journal.state(&id).seq(), entry).await.expect("it fits");
    }

    fn bundle(&self) -> Vec<u8> {
        let environment = place("shop/qa");
        let own = |record: &Record| record.environment == environment;
        let all: Vec<u64> =
            self.journal.history(None, 100).expect("read").iter().filter(|r| own(r)).map(|r| r.seq).collect();
        let about = About {
            installation: "5f0c9a7be2d41836".to_owned(),
            environment,
            number: Number(1),
            records: (all[0], *all.last().expect("some")),
            by: "alice".into(),
            now: Millis(1_700_000_100_000),
        };
        make(&self.journal, &self.key, &about, |digest| {
            (digest == &*frozen::digest(DEFINITION)).then(|| DEFINITION.into())
        })
        .expect("made")
    }
}

fn lines(bundle: &[u8]) -> Vec<&[u8]> {
    bundle.split_inclusive(|&byte| byte == b'\n').collect()
}

#[tokio::test]
async fn a_bundle_shows_what_was_recorded_and_nothing_of_others() {
    let story = Story::told().await;
    let bundle = story.bundle();
    let proven = verify(&bundle, Some(story.key.public())).expect("good");
    assert_eq!((proven.lines, proven.between, proven.first, proven.last, proven.newest), (4, 3, 2, 8, 9));
    assert!(proven.whole && proven.tied && proven.definition);
    assert_eq!((&*proven.deployment, &*proven.by), ("shop/qa/1", "alice"));
    let text = String::from_utf8(bundle).expect("text");
    assert!(!text.contains("none of yours") && !text.contains("zoe") && !text.contains("bank"), "{text}");
    let journal = story.journal.history(Some(&place("shop/qa")), 100).expect("read");
    for record in journal {
        assert!(text.contains(&format!("\"sum\":\"{}\"}}\n", record.sum)), "word for word: {record:?}");
    }
}

#[tokio::test]
async fn no_byte_of_a_bundle_can_be_changed() {
    let bundle = Story::told().await.bundle();
    for at in 0..bundle.len() {
        for bit in [0x01, 0x20] {
            let mut changed = bundle.clone();
            changed[at] ^= bit;
            assert!(verify(&changed, None).is_err(), "byte {at} of {}", bundle.len());
        }
    }
}

#[tokio::test]
async fn nothing_can_be_cut_off_or_added() {
    let bundle = Story::told().await.bundle();
    for end in 0..bundle.len() {
        assert!(verify(&bundle[..end], None).is_err(), "cut at {end}");
    }
    for more in [&b"\n"[..], b" ", b"{}\n", lines(&bundle)[1]] {
        assert!(verify(&[&bundle, more].concat(), None).is_err(), "{more:?} was added");
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let story = Story::told().await;
    let bundle = story.bundle();
    let all = lines(&bundle);
    // The head, record 2, the sums of 3 and 4, records 5 and 6, the sum of 7, record 8, how far it was, the signature.
    assert_eq!(all.len(), 9, "{}", String::from_utf8_lossy(&bundle));
    let without = |left_out: usize| {
        let kept: Vec<&[u8]> =
            all.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, line)| *line).collect();
        verify(&kept.concat(), None).expect_err("a line is missing")
    };
    assert_eq!(without(1), Broken::Missing { expected: 2, found: 3 });
    assert_eq!(without(2), Broken::Missing { expected: 3, found: 5 });
    assert_eq!(without(4), Broken::Missing { expected: 6, found: 7 });
    assert_eq!(without(8), Broken::CutOff);
    assert_eq!(without(0), Broken::NotOne);

    let mut swapped = all.clone();
    swapped.swap(3, 4);
    assert_eq!(verify(&swapped.concat(), None), Err(Broken::Missing { expected: 5, found: 6 }));

    let text = String::from_utf8(bundle.clone()).expect("text");
    let instead = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not in {text}");
        verify(text.replacen(from, to, 1).as_bytes(), None).expect_err("it was changed")
    };
    assert_eq!(instead("\"by\":\"webhook:jenkins\"", "\"by\":\"webhook:mallory\""), Broken::Sum(2));
    assert_eq!(instead("\"kind\":\"provisioned\"", "\"kind\":\"started\""), Broken::Sum(6));
    assert_eq!(instead("\"by\":\"alice\"", "\"by\":\"mallory\""), Broken::Signature);
    assert_eq!(instead("\"version\":\"1.4.2\"", "\"version\":\"1.4.3\""), Broken::Differs("release"));
    assert_eq!(instead("command = ", "Command = "), Broken::Differs("definition"));
    assert_eq!(
        instead("\"approvals\":[]", "\"approvals\":[{\"seq\":3,\"at\":\"\",\"by\":\"bob\",\"reason\":null}]"),
        Broken::Differs("list of approvals")
    );
    assert_eq!(instead("shop/qa/1", "shop/qa/2"), Broken::Foreign(2));
    assert_eq!(instead("\"newest\":{\"seq\":9", "\"newest\":{\"seq\":7"), Broken::Ended(7));
    assert_eq!(instead("\"evidence\":1", "\"evidence\":2"), Broken::Newer(2));
    assert_eq!(
        instead("\"before\":{\"seq\":1", &format!("\"before\":{{\"seq\":{}", u64::MAX)),
        Broken::Missing { expected: u64::MAX, found: 2 }
    );
    assert_eq!(verify(text.replace('\n', "\r\n").as_bytes(), None), Err(Broken::LineEnds));
    assert_eq!(verify(b"", None), Err(Broken::NotOne));
    assert_eq!(verify(b"not evidence\n", None), Err(Broken::NotOne));
}

#[tokio::test]
async fn lines_that_come_twice_or_from_another_bundle_are_noticed() {
    let (story, other) = (Story::told().await, Story::told().await);
    let (bundle, others) = (story.bundle(), other.bundle());
    let (all, theirs) = (lines(&bundle), lines(&others));
    for at in 0..all.len() {
        let mut twice = all.clone();
        twice.insert(at, all[at]);
        assert!(verify(&twice.concat(), Some(story.key.public())).is_err(), "line {at} twice");
        for cut in 1..all.len() {
            let mixed = [&all[..cut], &theirs[cut..]].concat().concat();
            assert!(verify(&mixed, None).is_err(), "the end of another installation's from line {cut} on");
        }
        let mut exchanged = all.clone();
        exchanged[at] = theirs[at];
        let same = exchanged == all;
        assert_eq!(verify(&exchanged.concat(), Some(story.key.public())).is_ok(), same, "line {at} of another");
    }
    for end in [all.len() - 2, all.len() - 1] {
        for other in 1..end {
            let mut swapped = all.clone();
            swapped.swap(end, other);
            assert!(verify(&swapped.concat(), None).is_err(), "lines {end} and {other}");
        }
    }
}

#[tokio::test]
async fn json_that_is_not_what_it_should_be_is_refused_and_harms_nobody() {
    let story = Story::told().await;
    let bundle = story.bundle();
    let all = lines(&bundle);
    let deep = format!("{}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let run =
        |from: u64, to: u64, sums: &str| format!("{{\"between\":{{\"from\":{from},\"to\":{to},\"sums\":[{sums}]}}}}\n");
    let sum = format!("\"{}\"", "00".repeat(16));
    let max = u64::MAX;
    for bad in [
        "null\n",
        "{}\n",
        "[]\n",
        "\n",
        "\u{feff}{}\n",
        "{\"between\":null}\n",
        "{\"evidence\":-1}\n",
        &deep,
        &run(3, 2, ""),
        &run(3, 4, ""),
        &run(max, max, &sum),
        &run(3, max, &sum),
        &run(0, 0, &sum),
        &run(3, 3, "\"0\""),
    ] {
        for at in 0..all.len() {
            let mut changed = all.clone();
            changed[at] = bad.as_bytes();
            assert!(verify(&changed.concat(), None).is_err(), "line {at}: {:.60}", bad);
        }
    }
}

#[tokio::test]
async fn a_sum_of_a_record_between_is_held_by_the_next_line_and_by_the_signature() {
    let story = Story::told().await;
    let text = String::from_utf8(story.bundle()).expect("text");
    let sums: Vec<String> = story.journal.history(None, 100).expect("read").iter().map(|r| r.sum.to_string()).collect();
    let other = "00".repeat(16);
    let third = text.replacen(&sums[2], &other, 1);
    assert_eq!(verify(third.as_bytes(), None), Err(Broken::Signature));
    let fourth = text.replacen(&sums[3], &other, 1);
    assert_eq!(verify(fourth.as_bytes(), None), Err(Broken::Sum(5)));
}

#[tokio::test]
async fn another_key_is_another_signer() {
    let (story, other) = (Story::told().await, Story::told().await);
    let bundle = story.bundle();
    assert_eq!(verify(&bundle, Some(other.key.public())), Err(Broken::OtherKey(story.key.public())));
    // Whoever writes their own key in needs its other half to sign.
    let text = String::from_utf8(bundle).expect("text");
    let forged = text.replacen(&story.key.public().to_string(), &other.key.public().to_string(), 1);
    assert_eq!(verify(forged.as_bytes(), None), Err(Broken::Signature));
}

#[tokio::test]
async fn where_older_records_are_gone_the_bundle_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { snapshot_every: 4, snapshot_in_place: true, ballast_bytes: 0, ..Options::default() };
    let state = folder.path().join("journal");
    let story = Story::told_in(Journal::open(&state, options).expect("opened").0, folder.path()).await;
    let good = |tied| {
        let proven = verify(&story.bundle(), Some(story.key.public())).expect("good");
        assert_eq!((proven.whole, proven.tied, proven.first, proven.lines), (false, tied, 5, 3));
    };
    std::fs::remove_file(state.join("journal-000001.jsonl")).expect("it was there");
    good(true); // The snapshot beside the next file has the sum before it.
    for snapshot in std::fs::read_dir(&state).expect("a folder").map(|file| file.expect("a file").path()) {
        if snapshot.to_string_lossy().contains("snapshot-") {
            std::fs::remove_file(snapshot).expect("it was there");
        }
    }
    good(false);
}

#[tokio::test]
async fn what_came_before_the_oldest_record_that_is_left_is_not_claimed() {
    let story = Story::told().await;
    let environment = place("shop/qa");
    let about = About {
        installation: String::new(),
        environment: environment.clone(),
        number: Number(1),
        records: (5, 8),
        by: "alice".into(),
        now: Millis(0),
    };
    let proven = verify(&make(&story.journal, &story.key, &about, |_| None).expect("made"), None).expect("good");
    assert!(!proven.whole && !proven.definition && proven.tied);
    assert_eq!((proven.first, proven.lines), (5, 3));
}

#[test]
fn the_key_is_made_once_for_its_owner_alone_and_never_shown() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let missing = Key::existing(folder.path()).expect_err("there is none").to_string();
    assert!(missing.contains("evidence-key") && missing.contains("pointsman serve"), "{missing}");
    let key = Key::of(folder.path()).expect("made");
    let file = folder.path().join(FILE);
    assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    assert_eq!(Key::of(folder.path()).expect("kept").public(), key.public());
    let seed = std::fs::read_to_string(&file).expect("text");
    assert!(!format!("{key:?}").contains(seed.trim()));
    assert_eq!(key.public().to_string().parse(), Ok(key.public()));
    std::fs::write(&file, "00ff\n").expect("written");
    assert!(Key::of(folder.path()).expect_err("too short").to_string().contains("32 bytes"));
}
