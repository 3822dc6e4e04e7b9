//! Files that are cut, changed or exchanged.

use super::kit::{Random, SimDisk, story, told};
use crate::journal::{
    NEWEST,
    fold::Folded,
    open,
    problem::{Fault, Problem},
    record::Sum,
    verify,
};

const SEGMENT: &str = "journal-000001.jsonl";

fn whole(every: u64) -> std::collections::BTreeMap<String, Vec<u8>> {
    told(every).0.content()
}

fn read(name: &str, content: Vec<u8>) -> Result<open::Start, Problem> {
    open::read(&SimDisk::with([(name.to_owned(), content)].into()))
}

#[test]
fn a_cut_in_the_last_lines_loses_the_torn_one_only() {
    let content = whole(1000).remove(SEGMENT).unwrap();
    let feeds: Vec<usize> = (0..content.len()).filter(|&i| content[i] == b'\n').collect();
    let from = feeds[feeds.len() - 4] + 1;
    for cut in from..content.len() {
        let start = read(SEGMENT, content[..cut].to_vec()).unwrap();
        let lines = feeds.iter().filter(|&&feed| feed < cut).count();
        let good = lines.checked_sub(1).map_or(0, |last| feeds[last] + 1);
        assert_eq!((start.opened.records, start.length), (lines as u64, good as u64), "cut at {cut}");
        let torn = start.opened.torn.map_or(0, |torn| torn.bytes);
        assert_eq!(torn, (cut - good) as u64, "cut at {cut}");
    }
}

#[test]
fn no_flipped_bit_is_accepted() {
    let content = whole(1000).remove(SEGMENT).unwrap();
    let lines: Vec<&[u8]> = content.split_inclusive(|&b| b == b'\n').collect();
    let small = lines[..3].concat();
    for bit in 0..small.len() * 8 {
        let mut flipped = small.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let problem = read(SEGMENT, flipped).map(|start| start.opened).unwrap_err();
        let line = small[..bit / 8].iter().filter(|&&b| b == b'\n').count() as u64 + 1;
        assert_eq!(problem.line, line, "bit {bit}: {problem}");
    }
    let mut random = Random::new();
    for _ in 0..2_000 {
        let bit = random.below(content.len() * 8);
        let mut flipped = content.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read(SEGMENT, flipped).is_err(), "bit {bit}, seed {}", random.0);
    }
}

#[test]
fn lines_that_are_missing_doubled_or_exchanged_are_noticed() {
    let content = whole(1000).remove(SEGMENT).unwrap();
    let lines: Vec<&[u8]> = content.split_inclusive(|&b| b == b'\n').collect();
    let without = [&lines[..2], &lines[3..]].concat().concat();
    let doubled = [&lines[..3], &lines[2..]].concat().concat();
    let exchanged = [&lines[..2], &[lines[3], lines[2]], &lines[4..]].concat().concat();
    for (damaged, line) in [(without, 3), (doubled, 4), (exchanged, 3)] {
        let problem = read(SEGMENT, damaged).map(|start| start.opened).unwrap_err();
        assert_eq!(problem.line, line);
        assert!(problem.to_string().contains("pointsman journal verify"), "{problem}");
        assert!(problem.to_string().contains(&format!("truncate --size={}", problem.offset)), "{problem}");
    }
}

/// A line with a good sum, as a program of another version would write it.
fn foreign(change: impl Fn(String) -> String) -> Result<open::Start, Problem> {
    let content = whole(1000).remove(SEGMENT).unwrap();
    let line = String::from_utf8(content.split(|&b| b == b'\n').next().unwrap().to_vec()).unwrap();
    let body = change(line[..line.len() - 42].to_owned());
    let sum = Sum::default().next(body.as_bytes());
    read(SEGMENT, format!("{body},\"sum\":\"{sum}\"}}\n").into_bytes())
}

#[test]
fn a_newer_version_and_an_unknown_kind_are_refused_and_an_unknown_field_is_not() {
    let next = NEWEST + 1;
    let newer = foreign(|line| line.replacen("\"v\":1", &format!("\"v\":{next}"), 1)).map(|s| s.opened).unwrap_err();
    assert!(matches!(newer.fault, Fault::Newer { found } if found == next), "{newer}");
    let kind = foreign(|line| line.replacen("accepted", "teleported", 1)).map(|s| s.opened).unwrap_err();
    assert!(kind.to_string().contains("teleported") && kind.line == 1, "{kind}");
    let field = foreign(|line| line.replacen("\"by\":", "\"mood\":{\"good\":true},\"by\":", 1));
    assert_eq!(field.map(|start| start.opened.records).unwrap(), 1);
}

#[test]
fn a_snapshot_after_any_record_gives_the_same_state() {
    let (_, folded) = told(1000);
    let count = story().len() as u64;
    for every in 1..=count {
        let (disk, _) = told(every);
        let start = open::read(&disk).unwrap();
        assert_eq!(&start.folded, folded.folded(), "every {every}");
        assert_eq!(start.opened.read, count % every, "every {every}");
        assert!(start.opened.snapshot.is_some() && start.opened.ignored.is_empty());
        let verified = verify::storage(&disk).unwrap();
        assert_eq!((verified.records, verified.segments as u64), (count, count / every + 1));
    }
}

#[test]
fn a_damaged_snapshot_is_noticed_and_the_records_are_folded_instead() {
    let (disk, folded) = told(story().len() as u64);
    let name = "snapshot-000002.jsonl";
    let good = disk.content().remove(name).unwrap();
    let mut random = Random::new();
    for _ in 0..300 {
        let (mut content, bit) = (disk.content(), random.below(good.len() * 8));
        content.get_mut(name).unwrap()[bit / 8] ^= 1 << (bit % 8);
        let damaged = SimDisk::with(content);
        let start = open::read(&damaged).unwrap();
        assert_eq!(&start.folded, folded.folded(), "bit {bit}, seed {}", random.0);
        assert_eq!((start.opened.snapshot, start.opened.ignored.len()), (None, 1), "bit {bit}, seed {}", random.0);
        assert_eq!(verify::storage(&damaged).unwrap_err().file, name);
    }
}

#[test]
fn a_missing_segment_is_not_skipped() {
    let segments: Vec<String> = whole(10).into_keys().filter(|file| file.starts_with("journal")).collect();
    let newest = segments.last().unwrap();
    for name in [&segments[0], &segments[2], newest] {
        let mut content = whole(10);
        content.retain(|file, _| !file.starts_with("snapshot"));
        content.remove(name);
        let read = open::read(&SimDisk::with(content)).map(|start| start.opened.records);
        match read {
            Err(problem) => assert!(matches!(problem.fault, Fault::Missing) && problem.file == *name, "{problem}"),
            // Nothing tells of the newest one but its snapshot.
            Ok(records) => assert!(name == newest && records == 10 * (segments.len() as u64 - 1)),
        }
    }
    let mut content = whole(10);
    content.remove(newest);
    assert!(open::read(&SimDisk::with(content)).is_err());
    assert_eq!(Folded::default().seq, 0);
}
