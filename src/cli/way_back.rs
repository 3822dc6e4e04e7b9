//! What a program says of a journal that a newer one wrote, and of the copies from before an upgrade.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use tokio::sync::{broadcast::error::RecvError, watch};

use crate::{
    clock::Clock,
    journal::{Journal, Lost, LostIn, missing_copy, ways_back},
    machine::EnvironmentId,
    runner::Board,
    text::{format_time, harmless},
};

/// The most deployments that are named for one environment.
const NAMED: usize = 8;
/// What is shown where the copy from before an upgrade could not be made.
const COPYING: &str = "copying the state from before an upgrade";

/// Says how to return from a journal of a level that this program does not read. `journal`: its folder.
pub(crate) fn from_newer(journal: &Path) -> String {
    let state = journal.parent().unwrap_or(Path::new("."));
    match ways_back(journal).pop() {
        None => format!(
            "there is no copy from before (`before-level-*`) in {}: start the version that wrote it, or restore a backup \
             that is as old as this version",
            state.display()
        ),
        Some(copy) => format!(
            "start the version that wrote it, or return to the copy in {}, which this version reads:\n{}\n\
             then `pointsman serve --restored`, once: the journal is older than the state folder remembers\n{}",
            copy.folder.display(),
            copy.commands,
            lost(journal, copy.records)
        ),
    }
}

/// Says which copies from before an upgrade there are, and what a return to each would lose.
pub(crate) fn beside(journal: &Path) -> Vec<String> {
    let told = |copy: crate::journal::WayBack| {
        let (was, folder, records) = (copy.was, copy.folder.display(), copy.records);
        let lost = lost(journal, records);
        format!(
            "the way back to a release that reads level {was} only is {folder} ({records} records), see \
             how-to-return.txt there; {lost}"
        )
    };
    ways_back(journal).into_iter().map(told).collect()
}

/// Shows at these environments that there is no copy from before an upgrade, from the start on and when the level of the
/// journal rises. Returns whether it is done.
pub(crate) async fn watch_copies(
    folder: PathBuf,
    journal: Journal,
    (board, clock): (Board, Clock),
    environments: Vec<EnvironmentId>,
    mut stop: watch::Receiver<bool>,
) -> bool {
    let (mut records, mut level) = (journal.follow(), 0);
    loop {
        let missing = missing_copy(&folder);
        for environment in &environments {
            match &missing {
                Some(why) => board.fails(environment, COPYING, why, clock.now()),
                None => board.works(environment, COPYING),
            }
        }
        // A level rises once in the life of a release.
        let risen = async {
            loop {
                match records.recv().await {
                    Ok(record) if record.v > level => return Some(record.v),
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return Some(level),
                    Err(RecvError::Closed) => return None,
                }
            }
        };
        tokio::select! {
            risen = risen => match risen {
                Some(risen) => level = risen,
                None => return true,
            },
            _ = stop.wait_for(|stop| *stop) => return true,
        }
    }
}

fn lost(journal: &Path, after: u64) -> String {
    let lost = match Lost::read(journal, after) {
        Ok(lost) => lost,
        Err(why) => return format!("which records would be lost cannot be read: {why}"),
    };
    let s = if lost.records == 1 { "" } else { "s" };
    let Some((from, to)) = lost.span else {
        return match lost.records {
            0 => "nothing was recorded since, so nothing would be lost".to_owned(),
            records => format!("{records} record{s} would be lost"),
        };
    };
    let (records, from, to) = (lost.records, format_time(from), format_time(to));
    let mut text = format!("{records} record{s} would be lost, of {from} to {to}:");
    for (environment, place) in &lost.places {
        // Writing to a text does not fail.
        let _ = write!(text, "\n  {}: {}", harmless(environment), in_one(place));
    }
    text
}

fn in_one(place: &LostIn) -> String {
    let named = |(number, (version, step)): (&u64, &(Option<String>, String))| match version {
        Some(version) => format!("deployment {number} ({}) {}", harmless(version), how_far(step)),
        None => format!("deployment {number} {}", how_far(step)),
    };
    let more = place.deployments.len().saturating_sub(NAMED);
    let mut parts: Vec<_> = place.deployments.iter().skip(more).map(named).collect();
    if more > 0 {
        parts.insert(0, format!("{more} earlier deployments"));
    }
    let times = |(kind, times): (&String, &u32)| format!("{} {times}x", harmless(kind).replace('_', " "));
    parts.extend(place.others.iter().map(times));
    parts.join(", ")
}

/// How far a deployment came by its last step.
fn how_far(step: &str) -> &'static str {
    match step {
        "accepted" => "queued",
        "went_live" => "live",
        "succeeded" => "live and found good",
        "ended" => "ended",
        "rollback_requested" | "undo_ordered" | "undone" | "rollback_went_cold" => "rolled back",
        "retired" => "retired",
        _ => "begun",
    }
}
