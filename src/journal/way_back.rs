//! The way back to an older release: which copies from before an upgrade there are, by which commands one is put back, and
//! what was recorded since. Reads lines of levels that this program does not know.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    aside::{Before, LEVEL},
    disk::Disk,
    level,
    storage::{Storage, numbers, segment_name},
};
use crate::machine::Millis;

/// A copy of the state from before the first record of a format level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayBack {
    /// Its folder.
    pub folder: PathBuf,
    /// The highest level in it.
    pub was: u32,
    /// How many records it holds.
    pub records: u64,
    /// What puts it back, as commands of a shell.
    pub commands: String,
}

/// Lists the copies beside the journal in that folder that this program reads, oldest first.
pub fn ways_back(journal: &Path) -> Vec<WayBack> {
    let state = journal.parent().unwrap_or(Path::new("."));
    let Ok(entries) = fs::read_dir(state) else { return Vec::new() };
    let read = |folder: PathBuf| -> Option<WayBack> {
        let before: Before = serde_json::from_slice(&fs::read(folder.join(LEVEL)).ok()?).ok()?;
        let commands = commands(state, &before);
        Some(WayBack { folder, was: before.was, records: before.records, commands })
    };
    let ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.strip_prefix("before-level-").is_some_and(|n| n.parse::<u32>().is_ok()))
    };
    let found = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(ours).filter_map(read);
    let mut found: Vec<_> = found.filter(|copy| copy.was <= level::NEWEST).collect();
    found.sort_by_key(|copy| copy.records);
    found
}

/// Says why there is no copy from before the newest level, where one was to be made and could not be.
pub fn missing_copy(journal: &Path) -> Option<String> {
    let before: Before = serde_json::from_slice(&fs::read(journal.join(LEVEL)).ok()?).ok()?;
    let (level, was) = (before.level, before.was);
    let why = before.why.unwrap_or_else(|| "the log says why".to_owned());
    (!before.copied).then(|| {
        format!(
            "there is no copy of the state from before level {level}: {why}. A release that reads level {was} only refuses the \
             journal. Make room and restart the controller: the copy is tried again then"
        )
    })
}

/// What stands in the copy for whoever returns with a program that cannot say it.
pub(super) fn instructions(state: &Path, before: &Before) -> String {
    let Before { level, was, records, .. } = before;
    format!(
        "This is the state from before level {level} of the journal's format: {records} records.\n\
         A release of Pointsman that reads level {was} only can go on from here. What was recorded since is lost to it\n\
         (`pointsman journal verify` of the newer release says what that is). Stop the controller, then:\n\n{}\n\n\
         Then start the older release. If it says that the journal is older than it was, start it once with\n\
         `pointsman serve --restored`. Stacks that were made since are in no record of it: it leaves them alone.\n",
        commands(state, before)
    )
}

fn commands(state: &Path, before: &Before) -> String {
    let (state, level, copy) = (state.display(), before.level, before.folder());
    format!(
        "  mv {state}/journal {state}/journal-level-{level}\n  cp -a {state}/{copy}/journal {state}/journal\n  \
         cp -a {state}/{copy}/tokens.toml {state}/    # where it is there"
    )
}

/// What was recorded after a copy was made. Texts are as they stand in the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// How many records.
    pub records: u64,
    /// When the first and the last of them happened.
    pub span: Option<(Millis, Millis)>,
    /// What is lost, by environment.
    pub places: BTreeMap<String, LostIn>,
}

/// Records of one environment that are lost.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LostIn {
    /// For each number the version, where it was accepted in these records, and the last step.
    pub deployments: BTreeMap<u64, (Option<String>, String)>,
    /// How often the kinds of events stand there that are no step of a deployment.
    pub others: BTreeMap<String, u32>,
}

/// What a line of any level has.
#[derive(Deserialize)]
struct Line {
    seq: u64,
    at: Millis,
    environment: String,
    event: serde_json::Value,
}

impl Lost {
    /// Reads what the journal in that folder has after so many records.
    ///
    /// # Errors
    /// A segment cannot be read.
    pub fn read(journal: &Path, after: u64) -> io::Result<Self> {
        let mut lost = Self::default();
        for number in numbers(&Disk::unlocked(journal).names()?).0 {
            let mut lines = BufReader::new(File::open(journal.join(segment_name(number)))?);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line)? > 0 {
                if line.ends_with(b"\n") && super::record::seq(&line).is_none_or(|seq| seq > after) {
                    match serde_json::from_slice::<Line>(&line) {
                        Ok(line) if line.seq > after => lost.take(line),
                        Ok(_) => {}
                        // What this program cannot even take apart is lost all the same.
                        Err(_) => lost.records += 1,
                    }
                }
                line.clear();
            }
        }
        Ok(lost)
    }

    fn take(&mut self, Line { at, environment, event, .. }: Line) {
        self.records += 1;
        self.span = Some((self.span.map_or(at, |(from, _)| from), at));
        let kind = event["kind"].as_str().unwrap_or("unknown").to_owned();
        let version = event["release"]["version"].as_str().map(str::to_owned);
        let place = self.places.entry(environment).or_default();
        let Some(number) = event["number"].as_u64().filter(|_| is_step(&kind)) else {
            *place.others.entry(kind).or_default() += 1;
            return;
        };
        let gone_cold = event["by"].as_u64().filter(|_| kind == "rollback_went_cold");
        let number = match gone_cold {
            Some(next) => {
                place.deployments.entry(number).or_default().1.clone_from(&kind);
                next
            }
            None => number,
        };
        let told = place.deployments.entry(number).or_default();
        told.0 = version.or(told.0.take());
        told.1 = if gone_cold.is_some() { "accepted".to_owned() } else { kind };
    }
}

/// Whether a kind of event is a step of a deployment's own way.
fn is_step(kind: &str) -> bool {
    const STEPS: [&str; 17] = [
        "accepted",
        "started",
        "approved",
        "definition_frozen",
        "provisioned",
        "checked",
        "hook_ordered",
        "hook_finished",
        "cut_over_ordered",
        "went_live",
        "succeeded",
        "ended",
        "rollback_requested",
        "undo_ordered",
        "undone",
        "rollback_went_cold",
        "retired",
    ];
    STEPS.contains(&kind)
}
