//! One run of the program: the notice on standard input, a bounded time, and an exit status that says whether it was told.

use std::{
    fs::File,
    io::{self, Seek, Write},
    path::Path,
    time::Duration,
};

use rustix::fs::{MemfdFlags, memfd_create};
use tokio::process::Command;

use super::notice::Notice;
use crate::{
    pipelines::Program,
    program::{self, Input},
};

/// How long one run may take.
const LIMIT: Duration = Duration::from_secs(30);
/// What of the controller's environment it sees: nothing that may be a secret.
const SEEN: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "USER", "TMPDIR"];

/// Runs it. An error says in words why nobody was told.
pub(super) async fn run(program: &Program, notice: &Notice) -> Result<(), String> {
    let (first, rest) = program.words.split_first().ok_or("no program is named")?;
    let folder = if program.folder.as_os_str().is_empty() { Path::new(".") } else { &program.folder };
    let folder = std::path::absolute(folder).map_err(|error| error.to_string())?;
    // One without a folder is looked for in PATH.
    let path = if first.contains('/') { folder.join(first) } else { first.into() };
    let input = input(notice).map_err(|error| format!("its input cannot be made: {error}"))?;
    let mut command = Command::new(path);
    command.args(rest).current_dir(&folder);
    let ran = program::run(&mut command, &SEEN, Input::File(input), LIMIT).await;
    let ran = ran.map_err(|why| format!("{first}: {why}"))?;
    match ran.status {
        Some(0) => Ok(()),
        Some(status) => Err(format!("{first} ended with exit status {status}: {}", ran.why())),
        None => Err(format!("{first} was killed: {}", ran.why())),
    }
}

/// The notice as a file in memory, with an end that the program can read to.
fn input(notice: &Notice) -> io::Result<File> {
    let mut file = File::from(memfd_create("pointsman-notice", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(notice).map_err(io::Error::other)?)?;
    file.write_all(b"\n")?;
    file.rewind()?;
    Ok(file)
}
