//! Loss of power, a full disk, a flush that fails.

use std::collections::HashSet;

use super::kit::{Faults, Random, SimDisk, append, ask, deploy, environment, ledger, options, story, told};
use crate::{
    journal::{NotRecorded, history, open},
    machine::{Ask, Event, Number, Refusal},
};

#[test]
fn a_loss_of_power_at_any_moment_loses_nothing_acknowledged_and_doubles_nothing() {
    let mut random = Random::new();
    let seed = random.0;
    let places = ["shop/qa", "shop/live"].map(environment);
    for run in 0..2_000 {
        let (disk, mut acknowledged, mut asked) = (SimDisk::default(), HashSet::new(), 0_u64);
        for _life in 0..3 {
            let mut ledger = ledger(&disk, options(1 + random.below(9) as u64));
            disk.fail(Faults { operations: Some(random.below(24)), ..Faults::default() });
            loop {
                let keys: Vec<u64> = (0..=random.below(4) as u64).map(|n| asked + n).collect();
                let batch: Vec<_> = keys.iter().map(|&key| ask(&places[key as usize % 2], deploy(key))).collect();
                asked += keys.len() as u64;
                let Ok(committed) = ledger.commit(&batch) else { break };
                assert!(committed.answers.iter().all(Result::is_ok), "run {run}, seed {seed}");
                acknowledged.extend(keys);
            }
            drop(ledger);
            disk.lose_power(&mut random);
        }
        let start = open::read(&disk).unwrap_or_else(|problem| panic!("{problem}; run {run}, seed {seed}"));
        let all = history::Query {
            wanted: &|_| true,
            most: usize::MAX,
            after: 0,
            newest: u64::MAX,
            before: u64::MAX,
            all: u64::MAX,
            bytes: u64::MAX,
        };
        let records = history::last(&disk, &all).unwrap().records;
        let keys: Vec<u64> = records
            .iter()
            .filter_map(|record| match &record.event {
                Event::Accepted { key, .. } => Some(u128::from_be_bytes(key.0) as u64),
                _ => None,
            })
            .collect();
        let distinct: HashSet<u64> = keys.iter().copied().collect();
        assert_eq!(distinct.len(), keys.len(), "doubled; run {run}, seed {seed}");
        assert!(acknowledged.is_subset(&distinct), "lost; run {run}, seed {seed}");
        assert_eq!(start.opened.records, records.iter().filter(|r| r.seq <= start.opened.records).count() as u64);
    }
}

#[test]
fn a_flush_that_fails_ends_the_writer_and_acknowledges_nothing() {
    let (disk, place) = (SimDisk::default(), environment("shop/live"));
    let mut ledger = ledger(&disk, options(100));
    ledger.commit(&[ask(&place, deploy(1))]).unwrap();
    disk.fail(Faults { flush: true, ..Faults::default() });
    let dead = ledger.commit(&[ask(&place, deploy(2)), ask(&place, deploy(1))]).map(|_| ()).unwrap_err();
    assert!(dead.to_string().starts_with("flushing journal-000001.jsonl failed"), "{dead}");
}

#[test]
fn a_full_disk_takes_the_batch_back_and_lets_essential_records_use_the_ballast() {
    let (disk, mut ledger) = told(1000);
    let size: usize = disk.content().values().map(Vec::len).sum();
    let place = environment("shop/live");
    let before = ledger.folded().clone();
    drop(ledger);
    let ballast = 4096;
    disk.fail(Faults { capacity: Some(size + ballast + 300), ..Faults::default() });
    let room = super::super::Options { ballast_bytes: ballast as u64, ..options(1000) };
    ledger = super::kit::ledger(&disk, room);

    let fresh = environment("shop/qa");
    let batch = [ask(&fresh, deploy(1)), ask(&fresh, deploy(2)), ask(&place, Ask::Rollback(Number(1), "bad".into()))];
    let answers = ledger.commit(&batch).unwrap().answers;
    assert!(matches!(answers[..2], [Err(NotRecorded::NoSpace), Err(NotRecorded::NoSpace)]), "{answers:?}");
    // Decided on the state without the batch: this one is refused for its own reason, not for want of room.
    assert!(matches!(answers[2], Err(NotRecorded::Refused(_))), "{answers:?}");
    assert_eq!(ledger.folded(), &before);

    let entry = story().into_iter().find(|entry| matches!(entry.event, Event::Held { .. })).unwrap();
    let seq = before.states[&place].seq().0;
    let answers = ledger.commit(&[append(&place, seq, entry), ask(&place, Ask::Unpin)]).unwrap().answers;
    assert!(matches!(answers[..], [Ok(_), Err(NotRecorded::NoSpace)]), "{answers:?}");
    assert_eq!(open::read(&disk).unwrap().folded, *ledger.folded());

    disk.fail(Faults { capacity: Some(1 << 20), ..Faults::default() });
    assert!(ledger.commit(&[ask(&fresh, deploy(1))]).unwrap().answers[0].is_ok(), "room again");
}

#[test]
fn below_the_low_water_mark_only_deployments_are_refused() {
    let (disk, place) = (SimDisk::default(), environment("shop/live"));
    disk.fail(Faults { capacity: Some(10_000), ..Faults::default() });
    let low = super::super::Options { low_water_bytes: 20_000, ..options(100) };
    let mut ledger = ledger(&disk, low);
    let batch = [ask(&place, deploy(1)), ask(&place, Ask::Hold("wait".into()))];
    let answers = ledger.commit(&batch).unwrap().answers;
    assert!(matches!(answers[..], [Err(NotRecorded::NoSpace), Ok(_)]), "{answers:?}");
}

#[test]
fn one_batch_decides_each_request_on_those_before_it() {
    let (disk, place) = (SimDisk::default(), environment("shop/live"));
    let mut ledger = ledger(&disk, options(100));
    let held = story().into_iter().find(|entry| matches!(entry.event, Event::Held { .. })).unwrap();
    let illegal = story().into_iter().find(|entry| matches!(entry.event, Event::Succeeded { .. })).unwrap();
    let batch = [
        ask(&place, deploy(1)),
        ask(&place, deploy(1)),
        append(&place, 1, held.clone()),
        append(&place, 1, held),
        append(&place, 2, illegal),
        ask(&place, deploy(2)),
    ];
    let committed = ledger.commit(&batch).unwrap();
    let answers = &committed.answers[..];
    let [
        Ok(_),
        Err(NotRecorded::Refused(Refusal::Duplicate(_))),
        Ok(_),
        Err(NotRecorded::Moved),
        Err(NotRecorded::Illegal(_)),
        Ok(last),
    ] = answers
    else {
        panic!("{answers:?}")
    };
    assert_eq!((last.seq, committed.states[&place].seq().0), (3, 3));
    assert_eq!(open::read(&disk).unwrap().folded, *ledger.folded());
}
