//! Fronts that were left behind in a folder from which an installation was moved away: they hold the addresses, and make way.
//! Must not decide whether it was moved.

use std::{fs, io, path::Path};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Tells fronts and their supervisors that look after a folder below this one to end: supervisors first, so that none
/// starts a front again. They finish what they are answering. Returns how many were told.
///
/// # Errors
/// When the processes of this host cannot be listed.
pub fn end_below(folder: &Path) -> io::Result<usize> {
    let mut told = 0;
    for command in ["front-run", "front"] {
        for entry in fs::read_dir("/proc")?.filter_map(Result::ok) {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            // Gone meanwhile, or another user's, is none of it. The handle comes first, so that the number stays its own.
            let Some(handle) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { continue };
            let looks_after = fs::read(entry.path().join("cmdline")).is_ok_and(|line| is_for(&line, command, folder));
            if looks_after && pidfd_send_signal(&handle, Signal::TERM).is_ok() {
                told += 1;
            }
        }
    }
    Ok(told)
}

fn is_for(line: &[u8], command: &str, folder: &Path) -> bool {
    let words: Vec<&str> = line.split(|b| *b == 0).filter_map(|word| std::str::from_utf8(word).ok()).collect();
    let of = words.iter().skip_while(|word| **word != "--folder").nth(1);
    words.get(1) == Some(&command) && of.is_some_and(|of| Path::new(of).starts_with(folder))
}
