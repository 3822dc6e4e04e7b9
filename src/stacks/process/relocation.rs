//! What becomes of stacks of processes when the state folder is somewhere else than it was: which of them run for another
//! folder, and how those that were moved are taken over. Must not decide whether it was moved or copied.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::process::Signal;

use super::{folder::StackFolder, identity};

/// Supervisors of this installation that look after another folder than its own, each in words; nothing where the driver
/// has not been used. `folder`: that of the driver.
pub fn elsewhere(folder: &Path) -> Vec<String> {
    let Some(installation) = installation(folder) else { return Vec::new() };
    let Ok(here) = folder.canonicalize() else { return Vec::new() };
    // One whose folder was renamed looks after it still, by its old name.
    let other = |path: &PathBuf| !path.starts_with(&here) && path.join("spec.json").exists();
    let found = identity::supervisors(&installation).into_iter().filter(|(_, path)| other(path));
    found.map(|(pid, path)| format!("stack-run of {} (process {pid})", path.display())).collect()
}

/// Makes the stacks in this folder its own, wherever they were made. Supervisors that look after them by another path, or
/// after another folder at the same path, leave, and others take their place; the instances go on. `folder`: that of the driver.
///
/// # Errors
/// When a stack's folder cannot be written.
pub fn settle(folder: &Path) -> io::Result<()> {
    let Some(installation) = installation(folder) else { return Ok(()) };
    let folder = folder.canonicalize()?;
    let supervisors = identity::supervisors(&installation);
    for (_, stack) in StackFolder::all(&folder)? {
        // What it was cannot be read: there is nothing to be settled, and it is shown as failed.
        let Ok(()) = stack.settle() else { continue };
        let mark = stack.spec()?.mark;
        for (pid, path) in &supervisors {
            if *path != stack.0 || !holds_lock(*pid, &stack) {
                mark.signal_supervisor(*pid, Signal::TERM)?;
            }
        }
    }
    Ok(())
}

/// Whether the lock that a supervisor was given, which is its standard input, is that of this folder.
fn holds_lock(pid: i32, stack: &StackFolder) -> bool {
    let number = |path: PathBuf| fs::metadata(path).map(|seen| (seen.dev(), seen.ino())).ok();
    let given = number(format!("/proc/{pid}/fd/0").into());
    given.is_some() && given == number(stack.0.join("lock"))
}

fn installation(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join("installation")).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
