//! What is told of which records, and what is kept of it.

mod ends;

use std::sync::Arc;

use super::{
    cursor::Cursor,
    notice::{Kept, Notice, What},
};
use crate::{
    fixture_tests::to_success,
    journal::{Journal, Options, Record},
    machine::{
        Ask, Entry, Environment, EnvironmentId, Event, Generation, Key, Millis, Number, Plan, Release, ReleaseDraft,
        Trigger,
    },
    telling::Situation,
};

fn id() -> EnvironmentId {
    "shop/prod".parse().expect("a name")
}

/// Records of a release that went live, and then these.
async fn records(more: Vec<Event>) -> Vec<(Arc<Record>, Arc<Environment>)> {
    let journal = Journal::in_memory(Options::default()).expect("memory");
    let mut heard = journal.follow();
    let release = ReleaseDraft::New(Release::draft("1.4.2"));
    let (key, plan, trigger) = (Key([1; 16]), Arc::new(Plan::default()), Trigger::Person);
    let deploy = Ask::Deploy { key, build_number: None, release, plan, trigger };
    journal.command(&id(), "ann", Millis(1000), deploy).await.expect("accepted");
    let (number, generation) = (Number(1), Generation(1));
    let before = to_success(number, generation);
    let mut found = vec![(heard.recv().await.expect("a record"), journal.state(&id()))];
    for event in before.into_iter().chain(more) {
        let seq = journal.state(&id()).seq();
        let at = Millis(1000 + seq.0 * 1000);
        let entry = Entry { at, by: "pointsman".into(), event };
        journal.append(&id(), seq, entry).await.expect("it fits");
        found.push((heard.recv().await.expect("a record"), journal.state(&id())));
    }
    found
}

fn situation() -> Situation {
    Situation { users: "u".into(), doing: "d".into(), command: None }
}

fn heard(kept: &mut Kept, records: &[(Arc<Record>, Arc<Environment>)]) -> Vec<Notice> {
    let each = |(record, state): &(Arc<Record>, Arc<Environment>)| {
        kept.read = record.seq;
        kept.hear(record, state)
    };
    records.iter().flat_map(each).map(|found| found.told(situation())).collect()
}

fn down() -> Event {
    Event::LiveDown { number: Number(1), reason: "exit status 42".into() }
}

#[tokio::test]
async fn what_is_down_is_told_with_its_version_and_what_is_over_with_since_when_it_was() {
    let all = records(vec![down(), Event::LiveUp { number: Number(1) }]).await;
    let mut kept = Kept::default();
    let told = heard(&mut kept, &all);
    let [first, over] = &*told else { panic!("{told:#?}") };
    assert_eq!((first.what, first.stack, first.version.as_deref()), (What::LiveDown, Number(1), Some("1.4.2")));
    assert_eq!((&*first.since, &*first.reason, first.seq), ("1970-01-01T00:00:08.000Z", "exit status 42", 8));
    assert_eq!((over.what, over.was, over.seq), (What::Over, Some(What::LiveDown), 9));
    assert_eq!((&*over.since, &*over.at), (&*first.since, "1970-01-01T00:00:09.000Z"));
    assert!(kept.open.is_empty());
    let body = serde_json::to_value(first).expect("JSON");
    for key in
        ["v", "what", "environment", "stack", "version", "since", "at", "reason", "users", "doing", "command", "seq"]
    {
        assert!(body.get(key).is_some(), "{key} is missing: {body}");
    }
}

#[tokio::test]
async fn what_is_read_late_is_told_all_the_same_and_what_is_read_again_is_not_told_twice() {
    let mut all = records(vec![down(), Event::LiveUp { number: Number(1) }]).await;
    // Whoever was away sees the state of now beside each record.
    let last = all.last().expect("one").1.clone();
    all.iter_mut().for_each(|(_, state)| *state = last.clone());
    let mut kept = Kept::default();
    let kinds = |told: &[Notice]| told.iter().map(|notice| notice.what).collect::<Vec<_>>();
    assert_eq!(kinds(&heard(&mut kept, &all)), [What::LiveDown, What::Over]);

    let now = records(vec![down()]).await;
    let (mut kept, state) = (Kept::default(), &now.last().expect("one").1);
    assert_eq!(kinds(&heard(&mut kept, &now)), [What::LiveDown]);
    assert_eq!(kept.hold_against(&id(), state, Millis(99_000), 8), []);
    let fresh = Kept::default().hold_against(&id(), state, Millis(99_000), 8);
    let fresh: Vec<Notice> = fresh.into_iter().map(|found| found.told(situation())).collect();
    assert_eq!((kinds(&fresh), &*fresh[0].since), (vec![What::LiveDown], "1970-01-01T00:00:08.000Z"));
    let gone = kept.hold_against(&id(), &last, Millis(99_000), 9);
    assert_eq!(gone.len(), 1, "it is over, whatever record said so");
}

#[tokio::test]
async fn of_too_many_the_oldest_are_given_up_and_counted() {
    let all = records(vec![down()]).await;
    let mut kept = Kept::default();
    let one = heard(&mut kept, &all).remove(0);
    kept.waiting = (0..70).map(|seq| Notice { seq, ..one.clone() }).collect();
    kept.bound(&id());
    let seqs: Vec<u64> = kept.waiting.iter().map(|notice| notice.seq).collect();
    assert_eq!((seqs.len(), seqs[0], seqs[1], kept.waiting[1].missed), (64, 0, 7, 6), "the first may be under way");
    let folder = tempfile::tempdir().expect("a folder");
    let cursor = Cursor(folder.path().join("notify/on_trouble.json"));
    assert_eq!(cursor.read().expect("none"), None);
    cursor.write(&kept).expect("written");
    assert_eq!(cursor.read().expect("read"), Some(kept));
    std::fs::write(&cursor.0, "{").expect("written");
    assert!(cursor.read().is_err(), "damage is not taken for nothing");
}
