//! Notes how far the journal is, beside it: at its first record at once, then every few seconds while there are records, and
//! at the end. So a journal that is lost, or an older one that was put back, is noticed at the next start.

use std::{path::PathBuf, time::Duration};

use tokio::sync::{broadcast::error::RecvError, watch};

use super::record::{self, Record};
use crate::{
    clock::Clock,
    journal::{Head, Journal},
};

/// How often it is noted.
const EVERY: Duration = Duration::from_secs(10);

/// Notes it until `stop` says so. `record`: what is kept of this installation, as it was noted last.
pub(crate) async fn keep(
    state: PathBuf,
    record: Record,
    journal: Journal,
    clock: Clock,
    mut stop: watch::Receiver<bool>,
) -> bool {
    let mut records = journal.follow();
    let mut kept = record;
    let mut newest = kept.journal;
    let mut stopped = *stop.borrow_and_update();
    // What came before this began is in the files.
    if newest.is_none_or(|head| head.seq < journal.newest())
        && let Ok(past) = journal.since(newest.map_or(0, |head| head.seq)).more(usize::MAX)
    {
        past.iter().for_each(|record| newest = Some(next(newest, record)));
    }
    while !stopped {
        if kept.journal != newest {
            note(&state, &mut kept, newest).await;
        }
        let pause = clock.wait(if kept.journal.is_none() { Duration::MAX } else { EVERY });
        let mut pause = std::pin::pin!(pause);
        loop {
            tokio::select! {
                record = records.recv() => match record {
                    Ok(record) => newest = Some(next(newest, &record)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => stopped = true,
                },
                () = &mut pause => break,
                _ = stop.changed() => stopped = true,
            }
            if stopped || kept.journal.is_none() && newest.is_some() {
                break;
            }
        }
    }
    note(&state, &mut kept, newest).await;
    true
}

fn next(head: Option<Head>, record: &crate::journal::Record) -> Head {
    let first = if record.seq == 1 { Some(record.sum) } else { head.and_then(|head| head.first) };
    Head { first, seq: record.seq, sum: record.sum }
}

async fn note(state: &std::path::Path, kept: &mut Record, newest: Option<Head>) {
    if kept.journal == newest {
        return;
    }
    let (folder, mut record) = (state.to_owned(), kept.clone());
    record.journal = newest;
    let wrote = tokio::task::spawn_blocking(move || record::write(&folder, &record).map(|()| record)).await;
    match wrote.map_err(std::io::Error::other).flatten() {
        Ok(record) => *kept = record,
        // On a full disk what was noted before stays true: the journal only grows.
        Err(error) => tracing::warn!(%error, "how far the journal is could not be noted; tried again in {EVERY:?}"),
    }
}
