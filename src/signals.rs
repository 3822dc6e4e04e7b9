//! Signals that whoever started this process had ignored: `nohup` ignores HUP, a shell without job control ignores INT and
//! QUIT for what it starts with `&`. A child inherits that, and an application that is to be stopped with INT would never hear it.
//!
//! A signal with a handler is back at its default after `exec`, so a handler is put in the place of each that is ignored.
//! Must not change what this process itself does upon such a signal: nothing.

use std::fs;

use tokio::signal::unix::{SignalKind, signal};

/// PIPE is ignored in every Rust program, and put back for its children by the standard library.
const PIPE: i32 = 13;
/// The last signal.
const LAST: i32 = 64;

/// Gives the programs that this process starts from now on their signals back. Call it outside of any runtime, before
/// anything is started.
///
/// # Errors
/// When a handler could not be installed.
pub(crate) fn give_back() -> std::io::Result<()> {
    let ignored = ignored(&fs::read_to_string("/proc/self/status")?);
    if ignored.is_empty() {
        return Ok(());
    }
    // A handler stays for the life of the process, also without the runtime that installed it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    ignored.into_iter().try_for_each(|number| signal(SignalKind::from_raw(number)).map(drop))
}

/// The signals that are ignored, as `/proc/PID/status` says it.
fn ignored(status: &str) -> Vec<i32> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let Some(mask) = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()) else { return Vec::new() };
    let handled = |number: &i32| *number != PIPE && !has_no_handler(*number) && mask >> (number - 1) & 1 == 1;
    (1..=LAST).filter(handled).collect()
}

/// ILL, FPE, KILL, SEGV and STOP can have no handler of ours; 32 and 33 are the C library's own.
fn has_no_handler(number: i32) -> bool {
    matches!(number, 4 | 8 | 9 | 11 | 19 | 32 | 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_the_mask_without_those_that_are_not_ours() {
        // HUP, INT, QUIT and PIPE.
        assert_eq!(ignored("Name:\tx\nSigBlk:\t0000000000000007\nSigIgn:\t0000000000001007\n"), [1, 2, 3]);
        assert_eq!(ignored("SigIgn:\t8000000180001000\n"), [64]);
        assert_eq!(ignored("Name:\tx\n"), [0; 0]);
    }
}
