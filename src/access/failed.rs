//! Failed sign-ins: summed by account and address for each minute, in files of their own, so that nobody can fill the disk or push
//! out what was done.

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;

use super::audit::{append, as_time};
use crate::machine::Millis;

/// The most accounts and addresses that are told apart in a minute.
const MOST: usize = 1024;
/// The length of the time whose failures are summed.
pub const SUMMED: Millis = Millis(60_000);

#[derive(Serialize)]
struct Failures<'a> {
    #[serde(serialize_with = "as_time")]
    minute: Millis,
    account: &'a str,
    from: &'a str,
    failed: u64,
}

/// The failed sign-ins of this minute.
#[derive(Default)]
pub struct Failed(Mutex<HashMap<Source, u64>>);

/// Account and address.
type Source = (Arc<str>, Arc<str>);

impl Failed {
    /// Counts one.
    pub fn count(&self, account: &str, from: &str) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Arc::from(account), Arc::from(from));
        let key = if counted.len() >= MOST && !counted.contains_key(&key) {
            ("(others)".into(), "(others)".into())
        } else {
            key
        };
        *counted.entry(key).or_default() += 1;
    }

    /// Writes the sums down, and counts from zero again.
    ///
    /// # Errors
    /// That they cannot be written; they are gone then.
    pub fn write(&self, state: &Path, minute: Millis) -> io::Result<()> {
        let counted = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if counted.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for ((account, from), failed) in &counted {
            lines.push(serde_json::to_string(&Failures { minute, account, from, failed: *failed })?);
        }
        lines.sort();
        append(state, "failed-sign-ins", &lines)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{
        super::audit::{Act, Entry, FOLDER, LARGEST, OLDER, last, note},
        *,
    };

    fn entry<'a>(by: &'a str, to: &'a str) -> Entry<'a> {
        Entry { at: Millis(1_000), by, from: "192.0.2.1", act: Act::TokenMade, to }
    }

    #[test]
    fn the_record_never_grows_beyond_its_bounds_and_failures_push_nothing_out() {
        let folder = tempfile::tempdir().unwrap();
        note(folder.path(), &entry("ann", "kept")).unwrap();
        let failed = Failed::default();
        let strangers = |round: u32| {
            for nth in 0..3 * MOST {
                failed.count(&format!("account-{round}-{nth}-{}", "x".repeat(400)), "192.0.2.7");
            }
            failed.write(folder.path(), Millis(u64::from(round) * 60_000)).unwrap();
        };
        (0..24).for_each(strangers);
        let files: Vec<_> = fs::read_dir(folder.path().join(FOLDER)).unwrap().map(|file| file.unwrap()).collect();
        let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
        assert!(bytes < LARGEST * u64::from(OLDER + 2), "{bytes}");
        let failures = files.iter().filter(|file| file.file_name().to_string_lossy().starts_with("failed-")).count();
        assert_eq!(failures, 1 + OLDER as usize);
        assert!(last(folder.path(), 5).unwrap()[0].contains("kept"));
    }

    #[test]
    fn failures_are_summed_by_account_and_address() {
        let folder = tempfile::tempdir().unwrap();
        let failed = Failed::default();
        [("ann", "a"), ("ann", "a"), ("ann", "b"), ("eve", "a")]
            .iter()
            .for_each(|(account, from)| failed.count(account, from));
        failed.write(folder.path(), Millis(0)).unwrap();
        let text = fs::read_to_string(folder.path().join("audit/failed-sign-ins.jsonl")).unwrap();
        let sums: Vec<_> = text.lines().map(|line| line.split("account").nth(1).unwrap()).collect();
        assert_eq!(
            sums,
            [
                "\":\"ann\",\"from\":\"a\",\"failed\":2}",
                "\":\"ann\",\"from\":\"b\",\"failed\":1}",
                "\":\"eve\",\"from\":\"a\",\"failed\":1}"
            ]
        );
        failed.write(folder.path(), Millis(60_000)).unwrap();
        let again = fs::read_to_string(folder.path().join("audit/failed-sign-ins.jsonl")).unwrap();
        assert_eq!(again, text, "written once");
    }
}
