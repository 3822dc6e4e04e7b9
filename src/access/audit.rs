//! The record of what was done to the doors: sign-ins, sign-outs, users, tokens. One JSON object a line, in files of bounded size
//! and number. What strangers fail at is summed and kept apart, so that nobody can fill the disk or push out what was done.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use super::{in_folder, kept::lock_in};
use crate::{machine::Millis, text::format_time};

/// The name of the folder, below the state folder.
pub const FOLDER: &str = "audit";
const LOCK: &str = "lock";
/// How large a file becomes before the next is begun, in bytes, and how many older ones are kept.
pub(super) const LARGEST: u64 = 1 << 20;
pub(super) const OLDER: u32 = 7;
/// What is read of a line that has no end, in bytes.
const TORN: u64 = 64 << 10;

/// Act that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Somebody signed in.
    SignedIn,
    /// Somebody ended the session that they used.
    SignedOut,
    /// Somebody ended all sessions of one person.
    SignedOutEverywhere,
    /// A user was added.
    UserAdded,
    /// A user was taken away.
    UserRemoved,
    /// A user has another password.
    PasswordSet,
    /// A link was made by which a user chooses a password.
    PasswordLinkMade,
    /// A user has other grants.
    GrantsSet,
    /// A token was made.
    TokenMade,
    /// A token was revoked.
    TokenRevoked,
}

/// One line of the record.
#[derive(Debug, Clone, Serialize)]
pub struct Entry<'a> {
    /// When it was done.
    #[serde(serialize_with = "as_time")]
    pub at: Millis,
    /// Who did it, as the journal names them.
    pub by: &'a str,
    /// Address that it came from, or `command line`.
    pub from: &'a str,
    /// Act that was done.
    pub act: Act,
    /// The user or token that it was done to; what they may do from then on.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub to: &'a str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over")]
pub(super) fn as_time<S: serde::Serializer>(at: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_time(*at))
}

const ACTS: &str = "acts";

/// Writes a line down; it is on the disk then.
///
/// # Errors
/// That it cannot be written.
pub fn note(state: &Path, entry: &Entry<'_>) -> io::Result<()> {
    append(state, ACTS, &[serde_json::to_string(entry)?])
}

/// The record of a controller: what is noted at the same time is written together, with one flush for all of it.
#[derive(Default)]
pub struct Acts {
    waiting: Mutex<Vec<String>>,
    /// Whoever holds it writes.
    turn: Mutex<()>,
}

/// Lines that are in no file.
#[derive(Debug, thiserror::Error)]
#[error("{cause}; not written: {}", .lines.join(" "))]
pub struct Unwritten {
    /// The lines.
    pub lines: Vec<String>,
    /// Cause, as the disk reports it.
    pub cause: io::Error,
}

impl Acts {
    /// Writes a line down, and those that others note meanwhile. It is on the disk then, or whoever wrote it has the error.
    ///
    /// # Errors
    /// All lines that could not be written.
    pub fn note(&self, state: &Path, entry: &Entry<'_>) -> Result<(), Unwritten> {
        let line = serde_json::to_string(entry);
        let line = line.map_err(|error| Unwritten { lines: vec![format!("{entry:?}")], cause: error.into() })?;
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        match lines.is_empty() {
            true => Ok(()),
            false => append(state, ACTS, &lines).map_err(|cause| Unwritten { lines, cause }),
        }
    }
}

/// Reads the last lines of what was done, the newest first, as far back as its older files go.
///
/// # Errors
/// That a file cannot be read.
pub fn last(state: &Path, most: usize) -> io::Result<Vec<String>> {
    let folder = state.join(FOLDER);
    let older = (1..=OLDER).map(|nth| format!("{ACTS}.{nth}.jsonl"));
    let mut lines = Vec::new();
    for name in std::iter::once(format!("{ACTS}.jsonl")).chain(older) {
        match fs::read_to_string(folder.join(name)) {
            Ok(text) => lines.extend(text.lines().rev().take(most - lines.len()).map(str::to_owned)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if lines.len() >= most {
            break;
        }
    }
    Ok(lines)
}

/// Appends under a lock that the command line takes too.
pub(super) fn append(state: &Path, name: &str, lines: &[String]) -> io::Result<()> {
    let folder = in_folder::open_below(&in_folder::open(state)?, FOLDER)?;
    let _lock = lock_in(&folder, LOCK)?;
    let current = format!("{name}.jsonl");
    let mut file = in_folder::open_to_append(&folder, &current)?;
    let mut text = untorn(&mut file)?;
    text.extend(lines.iter().flat_map(|line| [line, "\n"]));
    if file.metadata()?.len() + text.len() as u64 > LARGEST {
        for nth in (1..OLDER).rev() {
            let (from, to) = (format!("{name}.{nth}.jsonl"), format!("{name}.{}.jsonl", nth + 1));
            match in_folder::rename(&folder, &from, &to) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        in_folder::rename(&folder, &current, &format!("{name}.1.jsonl"))?;
        file = in_folder::open_to_append(&folder, &current)?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

/// Takes away what a crash left of a last line, and returns it as a line that says so: nothing of the record is lost, and every line
/// is JSON.
fn untorn(file: &mut File) -> io::Result<String> {
    let length = file.metadata()?.len();
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(1)))?;
    file.read_to_end(&mut tail)?;
    if tail.is_empty() || tail == b"\n" {
        return Ok(String::new());
    }
    let from = length.saturating_sub(TORN);
    file.seek(SeekFrom::Start(from))?;
    tail.clear();
    file.take(TORN).read_to_end(&mut tail)?;
    let torn = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    file.set_len(from + torn as u64)?;
    let said = serde_json::json!({ "torn": String::from_utf8_lossy(&tail[torn..]) });
    Ok(format!("{said}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'a>(by: &'a str, to: &'a str) -> Entry<'a> {
        Entry { at: Millis(1_000), by, from: "192.0.2.1", act: Act::TokenMade, to }
    }

    #[test]
    fn what_was_done_is_a_line_for_its_owner_alone_and_the_newest_comes_first() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(last(folder.path(), 5).unwrap(), Vec::<String>::new());
        note(folder.path(), &entry("ann", "")).unwrap();
        note(folder.path(), &entry("b\"ob\n", "jenkins: deployer")).unwrap();
        let lines = last(folder.path(), 5).unwrap();
        let first = r#"{"at":"1970-01-01T00:00:01.000Z","by":"ann","from":"192.0.2.1","act":"token-made"}"#;
        assert_eq!((lines.len(), &*lines[1]), (2, first));
        assert!(
            lines[0].contains(r#""by":"b\"ob\n""#) && lines[0].ends_with(r#""to":"jenkins: deployer"}"#),
            "{}",
            lines[0]
        );
        let mode = |path: &str| fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("audit"), mode("audit/acts.jsonl")), (0o700, 0o600));
    }

    #[test]
    fn a_line_that_a_crash_tore_is_kept_apart_and_the_next_ones_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit/acts.jsonl");
        for (torn, kept) in [("{\"at\":\"19", true), ("\0\0\0", true), ("", false)] {
            let _ = fs::remove_file(&path);
            note(folder.path(), &entry("ann", "one")).unwrap();
            let whole = fs::read_to_string(&path).unwrap();
            fs::write(&path, format!("{whole}{torn}")).unwrap();
            note(folder.path(), &entry("ann", "two")).unwrap();
            let lines: Vec<serde_json::Value> = fs::read_to_string(&path)
                .unwrap()
                .lines()
                .map(|line| serde_json::from_str(line).expect("every line is JSON"))
                .collect();
            assert_eq!((&lines[0]["to"], &lines[lines.len() - 1]["to"]), (&"one".into(), &"two".into()));
            let said: Vec<_> = lines.iter().filter_map(|line| line["torn"].as_str()).collect();
            assert_eq!(said, if kept { vec![torn] } else { vec![] });
        }
    }

    #[test]
    fn the_last_ones_are_read_beyond_the_file_that_was_just_begun() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("audit")).unwrap();
        for (file, text) in [("acts.jsonl", "e\n"), ("acts.1.jsonl", "c\nd\n"), ("acts.2.jsonl", "a\nb\n")] {
            fs::write(folder.path().join("audit").join(file), text).unwrap();
        }
        assert_eq!(last(folder.path(), 4).unwrap(), ["e", "d", "c", "b"]);
        assert_eq!(last(folder.path(), 9).unwrap().len(), 5);
    }

    #[test]
    fn no_link_is_followed_to_a_file_of_somebody_else() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let (state, other) = (folder.path().join("state"), folder.path().join("other"));
        fs::create_dir(&state).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("file"), "theirs").unwrap();
        symlink(&other, state.join(FOLDER)).unwrap();
        note(&state, &entry("ann", "")).unwrap_err();
        fs::remove_file(state.join(FOLDER)).unwrap();
        for name in ["acts.jsonl", LOCK] {
            let _ = fs::remove_dir_all(state.join(FOLDER));
            fs::create_dir(state.join(FOLDER)).unwrap();
            symlink(other.join("file"), state.join(FOLDER).join(name)).unwrap();
            note(&state, &entry("ann", "")).unwrap_err();
        }
        assert_eq!(fs::read_to_string(other.join("file")).unwrap(), "theirs");
        assert_eq!(fs::read_dir(&other).unwrap().count(), 1, "nothing was made there");
    }

    #[test]
    fn what_is_noted_at_once_is_all_there_and_what_cannot_be_written_is_said_with_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let acts = Acts::default();
        std::thread::scope(|scope| {
            for nth in 0..16 {
                let (acts, state) = (&acts, folder.path());
                scope.spawn(move || acts.note(state, &entry("ann", &nth.to_string())).unwrap());
            }
        });
        assert_eq!(last(folder.path(), 100).unwrap().len(), 16);
        let nowhere = folder.path().join("nowhere");
        let error = acts.note(&nowhere, &entry("ann", "jenkins")).unwrap_err();
        assert!(error.to_string().contains("jenkins") && error.lines.len() == 1, "{error}");
    }
}
