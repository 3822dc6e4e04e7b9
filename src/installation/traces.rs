//! What in a state folder, and on the host, says that an installation was at work here. Must not change anything.

use std::{fs, path::Path};

use super::record::Record;

/// What cannot be there unless a journal had records: in the folder of a driver of stacks those that it made, tore down or
/// adopted; and runs of hooks. `*` stands for every folder.
const AFTER_A_RECORD: [(&str, usize); 4] =
    [("stacks/*/stacks", 3), ("stacks/*/retired", 3), ("stacks/*/adopted", 1), ("hooks", 3)];
/// What a first start makes, also before any record.
const AFTER_A_START: [(&str, usize); 5] =
    [("journal", 0), ("fronts", 2), ("token", 0), ("fingerprint-key", 0), ("definitions", 1)];

/// What is there of an installation that does not say where it was made: an older version left it.
pub(super) fn of_a_journal(state: &Path) -> Vec<String> {
    [&AFTER_A_RECORD[..], &AFTER_A_START]
        .concat()
        .into_iter()
        .filter_map(|(name, depth)| first(state, name, depth))
        .collect()
}

/// What says that the journal had records. Without an identity, also what a first start makes counts; where a person has
/// begun a journal beside what was there, nothing does.
pub(super) fn beside_the_journal(state: &Path, known: Option<&Record>) -> Vec<String> {
    if known.is_some_and(|record| record.begun_beside) {
        return Vec::new();
    }
    let mut found: Vec<String> =
        AFTER_A_RECORD.into_iter().filter_map(|(name, depth)| first(state, name, depth)).collect();
    let path = state.canonicalize().unwrap_or_else(|_| state.to_owned());
    let running = running_below(&path);
    found.extend(running.into_iter().filter(|process| known.is_none() || process.starts_with("stack-run")));
    if known.is_none() {
        // People put a token there before the first start.
        let started = AFTER_A_START.into_iter().filter(|(name, _)| !["journal", "token"].contains(name));
        found.extend(started.filter_map(|(name, depth)| first(state, name, depth)));
    }
    found
}

/// The first thing so deep below a folder of this name, by its path from the state folder.
fn first(state: &Path, name: &str, depth: usize) -> Option<String> {
    if let Some((above, below)) = name.split_once("/*/") {
        return names(&state.join(above))?
            .iter()
            .find_map(|one| first(state, &format!("{above}/{one}/{below}"), depth));
    }
    let path = state.join(name);
    if depth == 0 {
        return path.exists().then(|| name.to_owned());
    }
    names(&path)?.iter().find_map(|below| first(state, &format!("{name}/{below}"), depth - 1))
}

/// What is in a folder, by name.
fn names(folder: &Path) -> Option<Vec<String>> {
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Some(names)
}

/// Fronts, stacks and hooks that run for a folder below this one, each in words: their command lines name it.
pub(super) fn running_below(state: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let look = |pid: u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<&str> = line.split(|b| *b == 0).map(|word| std::str::from_utf8(word).unwrap_or("")).collect();
        let command = words.get(1).filter(|word| ["front", "front-run", "stack-run"].contains(word))?;
        let folder = words.iter().skip_while(|word| **word != "--folder").nth(1)?;
        let below = Path::new(folder).strip_prefix(state).ok()?;
        Some(format!("{command} of {} (process {pid})", below.display()))
    };
    let mut found: Vec<String> = pids.filter_map(look).collect();
    found.sort();
    found
}
