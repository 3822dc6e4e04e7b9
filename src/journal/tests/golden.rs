//! Files of every version that was ever given out fold for ever, to the same state. To add those of a new version, run
//! this with `POINTSMAN_GOLDEN=v2` and commit the folder; those that are there are never written again.

use std::{collections::BTreeMap, fs, path::Path};

use super::kit::{SimDisk, told};
use crate::journal::{fold::Folded, open};

fn json(folded: &Folded) -> serde_json::Value {
    let sorted: BTreeMap<String, _> = folded.states.iter().map(|(name, state)| (name.to_string(), state)).collect();
    serde_json::json!({ "seq": folded.seq, "sum": folded.sum, "states": sorted })
}

#[test]
fn the_files_of_every_version_fold_to_the_state_that_they_did() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    if let Ok(version) = std::env::var("POINTSMAN_GOLDEN") {
        let (disk, ledger) = told(1000);
        let folder = golden.join(version);
        assert!(!folder.exists(), "golden files are never written again");
        fs::create_dir_all(&folder).unwrap();
        disk.content().into_iter().for_each(|(name, content)| fs::write(folder.join(name), content).unwrap());
        fs::write(folder.join("state.json"), format!("{:#}\n", json(ledger.folded()))).unwrap();
    }
    let mut versions = 0;
    for folder in fs::read_dir(golden).unwrap() {
        let folder = folder.unwrap().path();
        let segment = "journal-000001.jsonl";
        let disk = SimDisk::with([(segment.to_owned(), fs::read(folder.join(segment)).unwrap())].into());
        let start = open::read(&disk).unwrap();
        let wanted: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("state.json")).unwrap()).unwrap();
        assert_eq!(json(&start.folded), wanted, "{}", folder.display());
        versions += 1;
    }
    assert!(versions > 0);
}
