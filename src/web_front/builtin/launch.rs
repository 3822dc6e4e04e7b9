//! Brings the front and its supervisor up, or has them replaced by those with other settings or of another version.
//! Must not be used by the front itself.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::time::{interval, timeout};

use super::{
    control::{Answer, Order, PROTOCOL, Seen, ask},
    process::{SETTINGS, VERSION, digest},
    supervisor::{self, Link},
};
use crate::{log_file::for_last_words, program::passed_on, stacks::StepError};

/// Longest wait for a running front to say how it is.
const GREETING: Duration = Duration::from_secs(2);
/// What of the controller's environment a front sees. Nothing else: it holds the controller's own secrets.
const PASSED_ON: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];
/// Longest wait from its start until a front answers.
const START: Duration = Duration::from_secs(5);
/// What the processes wrote to standard error, in the front's folder.
const LAST_WORDS: &str = "last-words";

/// The binary that runs this code.
pub(super) fn ourselves() -> Result<PathBuf, String> {
    let path = std::env::current_exe().map_err(|e| format!("the program's own file is unknown: {e}"))?;
    // Replaced by a newer version while it runs: that one is wanted.
    let plain = path.to_str().and_then(|p| p.strip_suffix(" (deleted)")).map(PathBuf::from);
    Ok(plain.unwrap_or(path))
}

/// Sees that a supervisor looks after a front that has these settings and this version. With both there, does nothing.
/// Returns the connection by which their end is seen.
pub(super) async fn ensure(folder: &Path, settings: &str, binary: &Path) -> Result<Link, StepError> {
    write_settings(folder, settings).map_err(|error| {
        StepError::Unavailable(format!("the front's folder {} cannot be used: {error}", folder.display()))
    })?;
    let mut link = supervised(folder, binary).await?;
    let wanted =
        |seen: &Seen| seen.settings == digest(settings) && seen.version == VERSION && seen.protocol == PROTOCOL;
    // One that ended before the supervisor had its sockets would take them along.
    let held = |seen: &Seen, link: &Link| link.status.front == Some(seen.pid);
    let mut failed = link.status.failed;
    let mut again = true;
    let silent = |error: io::Error| format!("the supervisor of the front does not start one: {error}");
    let up = async {
        let (mut look, mut asked) = (interval(Duration::from_millis(20)), None::<bool>);
        loop {
            tokio::select! {
                _ = look.tick() => {}
                there = link.changed() => if !there {
                    return Err("the supervisor of the front has ended".to_owned());
                },
            }
            let running = greet(folder).await;
            if running.as_ref().is_some_and(|seen| wanted(seen) && held(seen, &link)) {
                return Ok(());
            }
            if link.status.failed > failed && again {
                // That one may have begun before the settings were written.
                (failed, again, asked) = (link.status.failed, false, None);
            }
            if link.status.failed > failed {
                let how = &link.status.why;
                return Err(format!("the front ended at once ({how}); {}", last_words(folder)));
            }
            // Each is asked for once: one that was started by itself may be about to answer.
            let replace = running.as_ref().is_some_and(|seen| !wanted(seen));
            if asked.is_none_or(|asked| replace && !asked) {
                let told = if replace { supervisor::renew(folder).await } else { supervisor::start(folder).await };
                told.map_err(silent)?;
                asked = Some(replace);
            }
        }
    };
    let came_up = timeout(START, up).await;
    match came_up {
        Ok(Ok(())) => Ok(link),
        Ok(Err(why)) => Err(StepError::Unavailable(why)),
        Err(_) => Err(StepError::Unavailable(format!("the front does not come up; {}", last_words(folder)))),
    }
}

/// The supervisor of this folder, started where there is none.
async fn supervised(folder: &Path, binary: &Path) -> Result<Link, StepError> {
    if let Some(link) = supervisor::find(folder).await {
        return Ok(link);
    }
    let cannot = |error: io::Error| StepError::Unavailable(format!("{} cannot be started: {error}", binary.display()));
    let mut child = Reaped(Some(start(folder, binary).map_err(cannot)?));
    let up = async {
        let mut look = interval(Duration::from_millis(10));
        loop {
            look.tick().await;
            let ended = child.ended();
            // One that ended may have made way for another one.
            match (supervisor::find(folder).await, ended) {
                (Some(link), _) => return Ok(link),
                (None, Some(status)) => {
                    return Err(format!(
                        "the supervisor of the front ended at once ({status}); {}",
                        last_words(folder)
                    ));
                }
                (None, None) => {}
            }
        }
    };
    match timeout(START, up).await {
        Ok(up) => up.map_err(StepError::Unavailable),
        Err(_) => {
            let why = format!("the supervisor of the front does not come up; {}", last_words(folder));
            Err(StepError::Unavailable(why))
        }
    }
}

async fn greet(folder: &Path) -> Option<Seen> {
    match ask(folder, &Order::Greet, GREETING).await {
        Ok(Answer::Seen(seen)) => Some(seen),
        _ => None,
    }
}

fn write_settings(folder: &Path, settings: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = folder.join(SETTINGS);
    if fs::read_to_string(&path).is_ok_and(|there| there == settings) {
        return Ok(());
    }
    let fresh = folder.join("settings.new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(settings.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, &path)?;
    File::open(folder)?.sync_all()
}

/// What a front or its supervisor writes to standard error: why it could not begin, and nothing else as a rule.
pub(super) fn log_file(folder: &Path) -> io::Result<File> {
    for_last_words(&folder.join(LAST_WORDS))
}

fn start(folder: &Path, binary: &Path) -> io::Result<Child> {
    let log = log_file(folder)?;
    let mut command = Command::new(binary);
    command.arg("front-run").arg("--folder").arg(folder);
    // It faces users, and outlives secrets that were replaced.
    command.env_clear().envs(passed_on(&PASSED_ON));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()
}

/// A child is waited for whenever it ends, also long after this driver has gone: the front lives on without us.
struct Reaped(Option<Child>);

impl Reaped {
    fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.0.as_mut()?.try_wait().ok().flatten()
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // Without a thread to wait it stays a zombie until we end: ugly, harmless.
            let _ = std::thread::Builder::new().name("front-reaper".to_owned()).spawn(move || child.wait());
        }
    }
}

fn last_words(folder: &Path) -> String {
    let path = folder.join(LAST_WORDS);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) => return format!("its last words in {} cannot be read: {error}", path.display()),
    };
    let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned();
    let lines: Vec<&str> = tail.lines().rev().filter(|line| !line.is_empty()).take(5).collect();
    let said = lines.into_iter().rev().collect::<Vec<_>>().join(" / ");
    format!("{} ends with: {said}", path.display())
}
