//! Flipped bits in a large file. Each line's sum rests only on that line and on the sum before it, so the very check of
//! a start, begun one line before the flipped bit, sees what a check of the whole file would see.

use super::kit::{Random, SimDisk, ask, deploy, environment, ledger, options};
use crate::journal::{
    read,
    record::{self, Sum},
};

const NAME: &str = "journal-000001.jsonl";

/// `POINTSMAN_RECORDS=1000000` for the figure of a million records.
fn records() -> u64 {
    std::env::var("POINTSMAN_RECORDS").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000)
}

fn large() -> Vec<u8> {
    let disk = SimDisk::default();
    let places: Vec<_> = (0..100).map(|n| environment(&format!("shop-{n}/live"))).collect();
    let mut ledger = ledger(&disk, options(u64::MAX));
    // Few large batches: this disk copies the whole file at each flush.
    let keys: Vec<u64> = (0..records()).collect();
    for batch in keys.chunks(50_000) {
        let batch: Vec<_> = batch.iter().map(|&key| ask(&places[key as usize % 100], deploy(key))).collect();
        assert!(ledger.commit(&batch).unwrap().answers.iter().all(Result::is_ok));
    }
    disk.content().remove(NAME).unwrap()
}

#[test]
fn ten_thousand_flipped_bits_in_a_large_file_are_all_seen() {
    let mut content = large();
    let mut starts = vec![(0, Sum::default())];
    for line in content.split_inclusive(|&b| b == b'\n') {
        let &(start, before) = starts.last().unwrap();
        starts.push((start + line.len(), record::checked(&line[..line.len() - 1], before).unwrap()));
    }
    assert_eq!(starts.len() as u64, records() + 1);
    let mut random = Random::new();
    for _ in 0..10_000 {
        let bit = random.below(content.len() * 8);
        let line = starts.partition_point(|&(start, _)| start <= bit / 8) - 1;
        let (from, before) = starts[line.saturating_sub(1)];
        let to = starts[(line + 2).min(starts.len() - 1)].0;
        content[bit / 8] ^= 1 << (bit % 8);
        let newest = to == content.len();
        let seen = read::segment(NAME, &mut &content[from..to], before, newest, &mut |_| true);
        content[bit / 8] ^= 1 << (bit % 8);
        assert!(seen.is_err(), "bit {bit}, seed {}", random.0);
    }
}
