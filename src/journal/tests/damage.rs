//! Files that are cut, changed or exchanged.

use super::kit::{Random, SimDisk, story, told};
use crate::journal::{
    NEWEST, OpenError,
    fold::Folded,
    found::{self, Locked},
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

/// What a person is told who starts the controller, or verifies, in a folder with these files.
fn advice(content: std::collections::BTreeMap<String, Vec<u8>>) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in content {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let said = |text: String| text.replace(&folder.path().display().to_string(), "state/journal");
    let started = Locked::at(folder.path()).map(|_| ()).unwrap_err();
    let OpenError::Damaged { problem: started, .. } = started else { panic!("{started}") };
    let verified = verify::verify(folder.path()).unwrap_err();
    assert_eq!(started.to_string(), verified.to_string(), "one and the same advice");
    said(verified.help())
}

#[test]
fn the_advice_says_which_records_would_be_lost_and_keeps_the_damaged_file() {
    let content = whole(1000).remove(SEGMENT).unwrap();
    let lines: Vec<&[u8]> = content.split_inclusive(|&b| b == b'\n').collect();
    let (count, offset) = (lines.len(), lines[..2].concat().len());
    let changed = lines[2].iter().map(|&b| if b == b'm' { b'n' } else { b }).collect::<Vec<u8>>();
    assert_ne!(changed, lines[2]);
    let damaged = [lines[..2].concat(), changed, lines[3..].concat()].concat();
    let said = advice([(SEGMENT.to_owned(), damaged)].into());
    let lost = format!("records 1 to 2 are good, records 3 to {count} ({} lines) cannot be trusted", count - 2);
    let copy =
        format!("cp -a state/journal state/journal.damaged && head --bytes={offset} state/journal.damaged/{SEGMENT}");
    for words in [lost.as_str(), &copy, "nothing was changed", "`pointsman serve --restored`"] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    assert!(!said.contains("truncate"), "{said}");

    // Following the advice gives what it promises.
    let start = read(SEGMENT, content[..offset].to_vec()).unwrap();
    assert_eq!(start.opened.records, 2);
}

#[test]
fn without_a_readable_record_the_advice_is_a_backup_or_to_begin_anew() {
    let mut content = whole(1000).remove(SEGMENT).unwrap();
    content[20] ^= 1;
    let said = advice([(SEGMENT.to_owned(), content)].into());
    for words in ["no record of it can be read", "backup", "`pointsman serve --new-journal` keeps these files aside"] {
        assert!(said.contains(words), "{words}\n{said}");
    }
}

#[test]
fn later_files_are_part_of_what_cannot_be_trusted() {
    let mut content = whole(10);
    content.retain(|file, _| !file.starts_with("snapshot"));
    let files: Vec<String> = content.keys().cloned().collect();
    let (second, count) = (files[1].clone(), story().len());
    // In the fifth line of the second file: records 1 to 14 are good.
    let at: Vec<usize> = content[&second].iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i).collect();
    content.get_mut(&second).unwrap()[at[3] + 10] ^= 1;
    let said = advice(content);
    assert!(said.contains(&format!("records 1 to 14 are good, records 15 to {count}")), "{said}");
    assert!(said.contains(&format!("&& rm state/journal/{}", files[2])), "{said}");
}

#[test]
fn segments_that_are_missing_before_a_snapshot_are_seen_by_both_and_stop_only_the_verification() {
    let full = whole(10);
    let segments: Vec<&String> = full.keys().filter(|file| file.starts_with("journal")).collect();
    assert!(segments.len() > 3, "{segments:?}");
    for missing in [segments[0], segments[1]] {
        let mut content = full.clone();
        content.remove(missing);
        let disk = SimDisk::with(content);
        let problem = verify::storage(&disk).unwrap_err();
        assert!(matches!(problem.fault, Fault::Missing) && problem.file == *missing, "{problem}");
        let start = open::read(&disk).unwrap();
        let seen: Vec<String> = start.opened.missing.iter().map(ToString::to_string).collect();
        assert_eq!(seen, [problem.to_string()]);
        assert_eq!(start.opened.records, story().len() as u64, "the state is whole");
    }
}

#[test]
fn snapshots_alone_are_no_journal() {
    let mut content = whole(10);
    content.retain(|file, _| file.starts_with("snapshot"));
    let disk = SimDisk::with(content);
    assert!(matches!(open::read(&disk).map(|start| start.opened).unwrap_err().fault, Fault::Missing));
    assert!(matches!(verify::storage(&disk).unwrap_err().fault, Fault::Missing));
}

#[test]
fn the_head_tells_journals_apart_and_older_from_newer() {
    let folder = tempfile::tempdir().unwrap();
    let content = whole(1000).remove(SEGMENT).unwrap();
    let lines: Vec<&[u8]> = content.split_inclusive(|&b| b == b'\n').collect();
    std::fs::write(folder.path().join(SEGMENT), &content).unwrap();
    let (whole, third) = found::at(folder.path(), 3).unwrap();
    let head = whole.head.unwrap();
    assert_eq!((head.seq, whole.torn), (lines.len() as u64, 0));
    std::fs::write(folder.path().join(SEGMENT), lines[..3].concat()).unwrap();
    let (older, beyond) = found::at(folder.path(), 4).unwrap();
    let older = older.head.unwrap();
    assert_eq!((older.first, older.seq, Some(older.sum), beyond), (head.first, 3, third, None));
    std::fs::write(folder.path().join(SEGMENT), [0; 300]).unwrap();
    let (nothing, _) = found::at(folder.path(), 0).unwrap();
    assert_eq!((nothing.head, nothing.torn), (None, 300));
}
