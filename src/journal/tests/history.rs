//! Reading back: what was asked for, and nothing older than that.

use std::collections::BTreeMap;

use super::kit::{SimDisk, ask, environment, ledger, options};
use crate::{
    journal::history::{Query, last},
    machine::{Ask, EnvironmentId},
};

/// A busy environment after a quiet one with three records, on a disk whose oldest line cannot be read at all.
fn with_a_bad_beginning() -> SimDisk {
    let disk = SimDisk::default();
    let mut ledger = ledger(&disk, options(100));
    for _ in 0..3 {
        ledger.commit(&[ask(&environment("shop/quiet"), Ask::Hold("audit".into()))]).unwrap();
    }
    for _ in 0..400 {
        let reason = "x".repeat(500);
        ledger.commit(&[ask(&environment("shop/busy"), Ask::Hold(reason.as_str().into()))]).unwrap();
    }
    let mut content: BTreeMap<String, Vec<u8>> = disk.content();
    assert!(content.contains_key("journal-000003.jsonl"), "it is about several segments");
    let oldest = content.get_mut("journal-000001.jsonl").unwrap();
    *oldest = [b"not to be read\n", &oldest[..]].concat();
    SimDisk::with(content)
}

fn seqs(disk: &SimDisk, place: &str, (most, after, all): (usize, u64, u64)) -> std::io::Result<Vec<u64>> {
    let wanted = |id: &EnvironmentId| *id == environment(place);
    let query = Query { wanted: &wanted, most, after, newest: 403, before: u64::MAX, all, bytes: u64::MAX };
    Ok(last(disk, &query)?.records.iter().map(|record| record.seq).collect())
}

#[test]
fn a_quiet_environment_is_read_back_to_its_first_record_and_no_further() {
    let disk = with_a_bad_beginning();
    assert_eq!(seqs(&disk, "shop/quiet", (50, 0, 3)).unwrap(), [1, 2, 3]);
    assert!(seqs(&disk, "shop/quiet", (50, 0, 4)).is_err(), "only the count of its records keeps it from more");
    assert_eq!(seqs(&disk, "shop/none", (50, 0, 0)).unwrap(), [0; 0]);
}

#[test]
fn older_pages_are_read_without_what_is_newer() {
    let disk = with_a_bad_beginning();
    let wanted = |id: &EnvironmentId| *id == environment("shop/busy");
    let page = |before, most| {
        let query = Query { wanted: &wanted, most, after: 0, newest: 403, before, all: 400, bytes: u64::MAX };
        last(&disk, &query).unwrap().records.iter().map(|record| record.seq).collect::<Vec<u64>>()
    };
    assert_eq!(page(404, 2), [402, 403]);
    assert_eq!(page(402, 2), [400, 401]);
    assert_eq!(page(150, 3), [147, 148, 149]);
    assert_eq!(page(6, 2), [4, 5]);
}

#[test]
fn what_was_seen_before_is_not_read_again() {
    let disk = with_a_bad_beginning();
    assert_eq!(seqs(&disk, "shop/quiet", (50, 1, 9)).unwrap(), [2, 3]);
    assert_eq!(seqs(&disk, "shop/quiet", (50, 3, 9)).unwrap(), [0; 0]);
    assert_eq!(seqs(&disk, "shop/busy", (50, 400, 9)).unwrap(), [401, 402, 403]);
    assert_eq!(seqs(&disk, "shop/busy", (2, 0, 900)).unwrap(), [402, 403]);
    assert_eq!(seqs(&disk, "shop/busy", (900, 0, 400)).unwrap(), (4..=403).collect::<Vec<u64>>());
    assert_eq!(seqs(&disk, "shop/busy", (900, 403, 400)).unwrap(), [0; 0]);
}

#[test]
fn no_more_is_read_than_was_allowed_and_it_says_that_there_may_be_more() {
    let disk = with_a_bad_beginning();
    let read = |place: &'static str, (most, after, all, bytes): (usize, u64, u64, u64)| {
        let wanted = |id: &EnvironmentId| *id == environment(place);
        let read =
            last(&disk, &Query { wanted: &wanted, most, after, newest: 403, before: u64::MAX, all, bytes }).unwrap();
        (read.records.len(), read.more)
    };
    // Ten lines of the busy one: nothing of the quiet one was reached, which is not the same as that there is nothing.
    assert_eq!(read("shop/quiet", (50, 0, 3, 7_000)), (0, true));
    assert_eq!(read("shop/quiet", (50, 0, 3, u64::MAX)), (3, false));
    assert_eq!(read("shop/none", (50, 0, 0, u64::MAX)), (0, false));
    assert_eq!(read("shop/busy", (2, 0, 400, u64::MAX)), (2, true));
    assert_eq!(read("shop/busy", (400, 0, 400, u64::MAX)), (400, false));
    assert_eq!(read("shop/busy", (50, 400, 400, u64::MAX)), (3, false), "older ones are not wanted");
}
