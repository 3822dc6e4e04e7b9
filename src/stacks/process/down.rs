//! Ends what runs of all stacks on this host, and forgets none of them: whoever wants them again has them started again.
//!
//! Must not be called while a controller runs: it would start them at once.

use std::{io, path::Path, process::Stdio, time::Duration};

use rustix::process::Signal;
use tokio::time::{interval, timeout};

use super::{Inner, folder::StackFolder, left};
use crate::machine::StackName;

/// How long a stack may take beyond the grace period of its own definition, which its supervisor knows.
const MOST: Duration = Duration::from_secs(600);
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Names of the stacks whose folders are there.
///
/// # Errors
/// When the folder cannot be read.
pub fn stacks(driver: &Path) -> io::Result<Vec<StackName>> {
    let all = StackFolder::all(driver)?;
    Ok(all.into_iter().map(|(name, _)| name).collect())
}

/// Ends all processes of a stack, each in its own way and time. `program` is this one.
///
/// # Errors
/// When the stack's folder cannot be used, or something of it still runs after 10 min.
pub async fn down(driver: &Path, program: &Path, name: &StackName) -> io::Result<()> {
    let inner = Inner::open(driver, program)?;
    let folder = StackFolder::of(&inner.folder, name);
    inner.is_here(&folder, name).map_err(|why| io::Error::other(why.to_string()))?;
    folder.mark_down()?;
    let mark = inner.mark(&folder, name)?;
    if let Some(state) = folder.state() {
        // One that hears nothing looks at the mark by itself.
        mark.signal_supervisor(state.pid, Signal::TERM)?;
    }
    let mut what = String::new();
    let over = async {
        let mut look = interval(LOOK);
        loop {
            look.tick().await;
            let left = left(&folder, &mark, mark.processes().len())?;
            match (folder.is_supervised()?, left.processes) {
                (false, 0) if left.ports.is_empty() => return Ok(()),
                (false, 0) => {}
                // Its instances outlived it.
                (false, _) => inner.supervise(&folder, name, Stdio::null())?,
                (true, _) => {}
            }
            what = left.ports.first().cloned().unwrap_or_else(|| format!("{} processes", left.processes));
        }
    };
    match timeout(MOST, over).await {
        Ok(over) => over,
        Err(_) => Err(io::Error::other(format!("{name} did not end: {what}"))),
    }
}
