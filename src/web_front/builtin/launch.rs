//! Brings the front process up, or has it replaced by one with other settings or of another version.
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
    control::{Answer, Order, Seen, ask},
    process::{SETTINGS, VERSION, digest},
};
use crate::stacks::StepError;

/// For a running front to say how it is.
const GREETING: Duration = Duration::from_secs(2);
/// What of the controller's environment a front sees. Nothing else: it holds the controller's own secrets.
const PASSED_ON: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];
/// From its start until a front answers.
const START: Duration = Duration::from_secs(5);

/// The binary that runs this code.
pub(super) fn ourselves() -> Result<PathBuf, String> {
    let path = std::env::current_exe().map_err(|e| format!("the program's own file is unknown: {e}"))?;
    // Replaced by a newer version while it runs: that one is wanted.
    let plain = path.to_str().and_then(|p| p.strip_suffix(" (deleted)")).map(PathBuf::from);
    Ok(plain.unwrap_or(path))
}

/// With a front there that has these settings and this version, does nothing.
pub(super) async fn ensure(folder: &Path, settings: &str, binary: &Path) -> Result<(), StepError> {
    write_settings(folder, settings)
        .map_err(|e| StepError::Unavailable(format!("the front's folder {} is no use: {e}", folder.display())))?;
    let wanted = |seen: &Seen| seen.settings == digest(settings) && seen.version == VERSION;
    let running = greet(folder).await;
    if running.as_ref().is_some_and(wanted) {
        return Ok(());
    }
    let log = folder.join("log");
    let child = start(folder, &log, binary, running.is_some())
        .map_err(|e| StepError::Unavailable(format!("{} can not be started: {e}", binary.display())))?;
    let mut child = Reaped(Some(child));
    let up = async {
        let mut look = interval(Duration::from_millis(20));
        loop {
            look.tick().await;
            if greet(folder).await.as_ref().is_some_and(wanted) {
                return Ok(());
            }
            if let Some(status) = child.ended() {
                return Err(format!("the front ended at once ({status}); {}", last_words(&log)));
            }
        }
    };
    match timeout(START, up).await {
        Ok(up) => up.map_err(StepError::Unavailable),
        Err(_) => Err(StepError::Unavailable(format!("the front does not come up; {}", last_words(&log)))),
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

fn start(folder: &Path, log: &Path, binary: &Path, take_over: bool) -> io::Result<Child> {
    let log = File::options().append(true).create(true).mode(0o600).open(log)?;
    let mut command = Command::new(binary);
    command.arg("front").arg("--folder").arg(folder);
    if take_over {
        command.arg("--take-over");
    }
    // It faces users, and outlives secrets that were replaced.
    let passed_on = PASSED_ON.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.env_clear().envs(passed_on);
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

fn last_words(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned();
    let lines: Vec<&str> = tail.lines().rev().filter(|line| !line.is_empty()).take(5).collect();
    let said = lines.into_iter().rev().collect::<Vec<_>>().join(" / ");
    format!("its log {} ends with: {said}", log.display())
}
