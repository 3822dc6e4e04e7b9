//! The controller's side of the runs of one environment: how each is, how one begins, and what becomes of those that nobody
//! waits for. What is remembered here is found again in the folders after a restart.
//!
//! Must not wait for the end of a run.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use secrecy::zeroize::Zeroizing;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

pub use super::order::Order;
use super::{
    folder::{Folder, Found, Outcome, remove},
    lines::{self, From, Lines},
    run::BEGUN,
};
use crate::{
    clock::Stopwatch,
    machine::{EnvironmentId, Number},
    program::passed_on,
};

/// What of our own environment the process of a run gets; the program that it runs gets less.
const PASSED_ON: [&str; 8] = ["PATH", "HOME", "LANG", "TZ", "USER", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"];
/// What is said of a run that came to no end.
const INTERRUPTED: &str = "its run was interrupted, and how far it came is unknown";

/// How long nothing begins beside a run that was told to end and does not. Whoever runs it ends within seconds; this is for
/// what it has left running when it was killed itself, which nobody can tell anything.
const LEFT_BEHIND: Duration = Duration::from_secs(600);
/// What is said of a run that was never begun.
const GIVEN_UP: &str = "it was abandoned before it began";

/// One hook of one deployment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// The deployment.
    pub number: Number,
    /// The hook's name.
    pub hook: Arc<str>,
}

/// A run that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Run that it is about.
    pub run: Run,
    /// How it is.
    pub state: State,
}

/// What a run wrote so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The lines.
    pub lines: Lines,
    /// How the run is; when it is over, these are the last lines.
    pub state: State,
}

/// How a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The run goes on.
    Running,
    /// The run is over.
    Done(Outcome),
}

fn failed(why: &str) -> State {
    State::Done(Outcome { failed: Some(why.to_owned()), said: String::new() })
}

/// An error of beginning a run. It may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A run that is still being ended, beside which none begins.
    #[error("hook {} of deployment {} is still being ended", .0.hook, .0.number)]
    Ending(Run),
    /// It could not be started.
    #[error("it cannot be started: {0}")]
    Start(io::Error),
    /// It was started, and said why it did not begin.
    #[error("it did not begin: {0}")]
    Refused(String),
}

/// What is known of a run without a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It runs, or is about to begin.
    Running,
    /// Told to end, for so long.
    Ending(Stopwatch),
    Over,
}

/// The runs of one environment.
#[derive(Debug)]
pub struct Runs {
    folder: PathBuf,
    program: PathBuf,
    /// Runs that are known; `None` before the first look.
    known: Mutex<Option<BTreeMap<Run, Known>>>,
}

impl Runs {
    /// Returns the runs of an environment, below the state folder. `program`: this one.
    pub fn of(state: &Path, id: &EnvironmentId, program: PathBuf) -> Self {
        let folder = state.join("hooks").join(id.pipeline.as_str()).join(id.environment.as_str());
        Self { folder, program, known: Mutex::default() }
    }

    /// Whether a look would find nothing, and have nothing to do.
    pub fn is_idle(&self, wanted: &[Run], remembered: &[Number]) -> bool {
        let known = self.known();
        let at_rest = |(run, how): (&Run, &Known)| *how == Known::Over && remembered.contains(&run.number);
        wanted.is_empty() && known.as_ref().is_some_and(|known| known.iter().all(at_rest))
    }

    /// How the runs are that somebody waits for. All others are told to end; and what is over is cleared away when its
    /// deployment is not remembered.
    ///
    /// # Errors
    /// When the folder of all of them cannot be read. What is wrong with one run is no matter of the others.
    pub fn look(&self, wanted: &[Run], remembered: &[Number]) -> io::Result<Vec<Seen>> {
        let mut guard = self.known();
        let known = self.remembering(&mut guard)?;
        let mut seen = Vec::new();
        for run in wanted {
            let (how, state) = match self.of_run(run).look() {
                Ok(Found::Absent) => continue,
                Ok(Found::Running) => (Known::Running, State::Running),
                Ok(Found::Done(outcome)) => (Known::Over, State::Done(outcome)),
                Ok(Found::Interrupted) => (Known::Over, failed(INTERRUPTED)),
                Ok(Found::GivenUp) => (Known::Over, failed(GIVEN_UP)),
                // It may run still: it is told to end when this has come to an end.
                Err(error) => (Known::Running, failed(&format!("its outcome is unknown: {error}"))),
            };
            known.insert(run.clone(), how);
            seen.push(Seen { run: run.clone(), state });
        }
        for (run, how) in known.iter_mut().filter(|(run, how)| **how != Known::Over && !wanted.contains(run)) {
            *how = end(&self.of_run(run), *how);
        }
        let forgotten =
            |run: &Run, how: Known| how == Known::Over && !remembered.contains(&run.number) && !wanted.contains(run);
        for run in known.iter().filter(|(run, how)| forgotten(run, **how)).map(|(run, _)| run) {
            let folder = self.of_run(run).0;
            if let Err(error) = remove(&folder) {
                tracing::warn!(%error, "{} cannot be cleared away", folder.display());
            }
        }
        known.retain(|run, how| !forgotten(run, *how));
        Ok(seen)
    }

    /// What a run wrote; nothing when it was not begun, or was cleared away.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn written(&self, run: &Run, from: From) -> io::Result<Option<Written>> {
        let folder = self.of_run(run);
        // First how it is: what is read after its end is all.
        let state = match folder.look()? {
            Found::Absent => return Ok(None),
            Found::Running => State::Running,
            Found::Done(outcome) => State::Done(outcome),
            Found::Interrupted => failed(INTERRUPTED),
            Found::GivenUp => failed(GIVEN_UP),
        };
        Ok(Some(Written { lines: lines::read(&folder.0, from)?, state }))
    }

    /// The runs that were begun and have a folder still, in the order of their deployments.
    ///
    /// # Errors
    /// When the folder of all of them cannot be read.
    pub fn kept(&self) -> io::Result<Vec<Run>> {
        let mut kept: Vec<Run> = self.found()?.into_keys().collect();
        kept.retain(|run| self.of_run(run).has_begun());
        Ok(kept)
    }

    /// Begins a run, unless it was begun before; returns when that is certain. `wanted`: the runs that may go on beside
    /// it.
    ///
    /// # Errors
    /// The run did not begin.
    pub async fn begin(&self, run: &Run, wanted: &[Run], order: &Order<'_>) -> Result<(), Error> {
        let folder = self.enter(run, wanted)?;
        let said = self.start(&folder, order).await.map_err(Error::Start)?;
        match said.trim() {
            // Empty: somebody else has begun it.
            BEGUN | "" => Ok(()),
            why => Err(Error::Refused(why.chars().filter(|c| !c.is_control()).take(300).collect())),
        }
    }

    /// Makes its folder. The run is known from then on, whatever becomes of its beginning, which may be given up at any
    /// moment: so a look finds it, ends it when nobody waits for it, and nothing begins beside it meanwhile.
    fn enter(&self, run: &Run, wanted: &[Run]) -> Result<Folder, Error> {
        let mut guard = self.known();
        let known = self.remembering(&mut guard).map_err(Error::Start)?;
        let unwanted = |other: &Run, how: Known| other != run && how != Known::Over && !wanted.contains(other);
        if let Some((ending, _)) = known.iter().find(|(other, how)| unwanted(other, **how)) {
            return Err(Error::Ending(ending.clone()));
        }
        let folder = Folder(std::path::absolute(self.of_run(run).0).map_err(Error::Start)?);
        known.entry(run.clone()).or_insert(Known::Running);
        folder.make().map_err(Error::Start)?;
        Ok(folder)
    }

    /// Starts the process and gives it its order; returns the first line that it says.
    async fn start(&self, folder: &Folder, order: &Order<'_>) -> io::Result<String> {
        let mut command = Command::new(&self.program);
        command.arg("hook-run").arg("--folder").arg(&folder.0).current_dir(&folder.0);
        command.env_clear().envs(passed_on(&PASSED_ON));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Not killed when this is given up: it may have begun. Who waits for it in the end is the runtime.
        let mut child = command.spawn()?;
        let text = Zeroizing::new(serde_json::to_vec(&order.job()).map_err(io::Error::other)?);
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(&text).await?;
            stdin.shutdown().await?;
        }
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).await?;
        }
        Ok(line)
    }

    fn known(&self) -> MutexGuard<'_, Option<BTreeMap<Run, Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembering<'a>(&self, known: &'a mut Option<BTreeMap<Run, Known>>) -> io::Result<&'a mut BTreeMap<Run, Known>> {
        Ok(match known {
            Some(known) => known,
            none => none.insert(self.found()?),
        })
    }

    fn of_run(&self, run: &Run) -> Folder {
        Folder(self.folder.join(format!("{}-{}", run.number, run.hook)))
    }

    /// Finds the runs that have a folder. Each is looked at once at least.
    fn found(&self) -> io::Result<BTreeMap<Run, Known>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            entries => entries?,
        };
        let mut found = BTreeMap::new();
        for entry in entries {
            let name = entry?.file_name();
            let parts = name.to_str().and_then(|name| name.split_once('-'));
            let Some((number, hook)) = parts.and_then(|(n, hook)| Some((n.parse().ok()?, hook))) else { continue };
            found.insert(Run { number: Number(number), hook: hook.into() }, Known::Running);
        }
        Ok(found)
    }
}

/// Ends a run that nobody waits for, and says how it is now.
fn end(folder: &Folder, how: Known) -> Known {
    let since = match how {
        Known::Ending(since) => since,
        Known::Running | Known::Over => Stopwatch::start(),
    };
    let shown = folder.0.display();
    match folder.look() {
        Ok(Found::Running) if since.elapsed() >= LEFT_BEHIND => {
            tracing::warn!("what a hook left running did not end: {shown}; Pointsman does not wait for it any longer");
            Known::Over
        }
        // There is no folder, so it was never started.
        Ok(Found::Absent) if !folder.0.is_dir() => Known::Over,
        // Absent: whoever is about to begin it may have the lock by now. The next look tells.
        Ok(Found::Running | Found::Absent) => match folder.give_up() {
            Ok(()) => Known::Ending(since),
            Err(error) => {
                tracing::warn!(%error, "an abandoned hook cannot be told to end: {shown}");
                how
            }
        },
        Ok(Found::Interrupted | Found::GivenUp | Found::Done(_)) => Known::Over,
        Err(error) => {
            tracing::warn!(%error, "the outcome of an abandoned hook is unknown: {shown}");
            Known::Over
        }
    }
}
