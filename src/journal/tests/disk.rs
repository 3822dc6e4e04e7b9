//! The real disk and the handle.

use std::{fs, path::Path, process::Command as Process, sync::Arc};

use super::kit::{deploy, environment};
use crate::{
    journal::{Journal, NotRecorded, OpenError, Options, verify},
    machine::{Ask, Millis, Refusal},
};

fn open(folder: &Path) -> Journal {
    let small = Options { ballast_bytes: 4096, low_water_bytes: 0, snapshot_every: 100, ..Options::default() };
    Journal::open(folder, small).unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let (folder, place) = (tempfile::tempdir().unwrap(), environment("shop/live"));
    let journal = open(folder.path());
    let (mut records, mut watched) = (journal.follow(), journal.watch(&place));
    let asked = (0..250).map(|key| {
        let (journal, place) = (journal.clone(), place.clone());
        async move { journal.command(&place, "webhook:test", Millis(1), deploy(key)).await.unwrap().seq }
    });
    let mut seqs = futures_util::future::join_all(asked).await;
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=250).collect::<Vec<u64>>());
    assert_eq!(records.recv().await.unwrap().seq, 1);
    watched.wait_for(|state| state.seq().0 == 250).await.unwrap();
    let again = journal.command(&place, "webhook:test", Millis(1), deploy(7)).await;
    assert!(matches!(again, Err(NotRecorded::Refused(Refusal::Duplicate(_)))), "{again:?}");
    let state = journal.state(&place);
    journal.close().await;
    let closed = journal.command(&place, "webhook:test", Millis(1), deploy(999)).await;
    assert!(matches!(closed, Err(NotRecorded::Stopped)), "{closed:?}");

    let journal = open(folder.path());
    assert_eq!((journal.state(&place), journal.environments()), (state, vec![place.clone()]));
    let last: Vec<u64> = journal.history(Some(&place), 120).unwrap().iter().map(|record| record.seq).collect();
    assert_eq!(last, (131..=250).collect::<Vec<u64>>());
    assert!(journal.history(Some(&environment("shop/qa")), 5).unwrap().is_empty());
    let verified = verify(folder.path()).unwrap();
    assert_eq!((verified.records, verified.environments, verified.torn), (250, 1, None));
}

#[tokio::test]
async fn a_second_controller_is_told_who_has_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let second = Journal::open(folder.path(), Options::default()).map(|_| ()).unwrap_err();
    let OpenError::Locked { holder, .. } = &second else { panic!("{second}") };
    assert_eq!(*holder, std::process::id().to_string());
    first.close().await;
    open(folder.path()).close().await;
}

#[tokio::test]
async fn a_torn_line_is_cut_off_and_a_bad_one_is_named() {
    let (folder, place) = (tempfile::tempdir().unwrap(), environment("shop/live"));
    let journal = open(folder.path());
    for key in 0..3 {
        journal.command(&place, "webhook:test", Millis(1), deploy(key)).await.unwrap();
    }
    journal.close().await;
    let file = folder.path().join("journal-000001.jsonl");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, [&whole[..], b"{\"v\":1,\"seq\":4,\"a"].concat()).unwrap();
    let (journal, opened) = Journal::open(folder.path(), Options::default()).unwrap();
    let torn = opened.torn.unwrap();
    assert_eq!((torn.offset, torn.bytes, opened.records), (whole.len() as u64, 17, 3));
    journal.close().await;
    assert_eq!(fs::read(&file).unwrap(), whole);

    let mut bad = whole.clone();
    bad[whole.len() / 2] ^= 1;
    fs::write(&file, bad).unwrap();
    let refused = Journal::open(folder.path(), Options::default()).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("journal-000001.jsonl, line 2"), "{refused}");
}

struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Process::new("mount").args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(folder.path()).output();
        mount.ok().filter(|done| done.status.success()).map(|_| Self(folder))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Process::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_refuses_and_still_lets_a_person_abort() {
    let Some(mounted) = Mounted::new("size=1m") else {
        use std::io::Write;
        let required = std::env::var_os("POINTSMAN_PEERS").is_some();
        assert!(!required, "a small tmpfs cannot be mounted here, and the full disk is to be tested");
        let _ = writeln!(std::io::stderr(), "skipped: a_disk_that_fills_up: a small tmpfs cannot be mounted here");
        return;
    };
    let (folder, place) = (mounted.0.path().join("state"), environment("shop/live"));
    let options = Options { ballast_bytes: 64 << 10, low_water_bytes: 0, ..Options::default() };
    let (journal, _) = Journal::open(&folder, options.clone()).unwrap();
    let mut accepted = Vec::new();
    let full = loop {
        let key = accepted.len() as u64;
        match journal.command(&place, "webhook:test", Millis(1), deploy(key)).await {
            Ok(done) => accepted.push(done),
            Err(error) => break error,
        }
        assert!(accepted.len() < 10_000, "1 MiB never fills up");
    };
    assert!(matches!(full, NotRecorded::NoSpace), "{full}");
    let newest = journal.state(&place).queue()[0].number;
    let abort = Ask::Abort(newest, "no room".into());
    let aborted = journal.command(&place, "cli:ann", Millis(2), abort).await.unwrap();
    assert_eq!(aborted.seq, accepted.len() as u64 + 1);
    let state: Arc<_> = journal.state(&place);
    journal.close().await;
    let (journal, opened) = Journal::open(&folder, options).unwrap();
    assert_eq!((opened.records, opened.torn, journal.state(&place)), (aborted.seq, None, state));
    journal.close().await;
}
