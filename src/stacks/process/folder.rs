//! The folder of a stack: what it was asked to be (`spec.json`), how it is (`state.json`), which processes it has
//! (`family.json`), that it is to go (`retiring`), the newest order to stop or start it (`order.json`), and the lock whose
//! holder keeps it running.
//!
//! Must not start, stop or judge anything.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    family::{self, Member},
    identity::{self, Mark},
    order::RunOrder,
};
use crate::machine::{EnvironmentId, Millis, Name, Number, Release, StackName};

/// What a stack was asked to be. Written once, before anything of it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) name: StackName,
    /// Where each instance listens. Kept for the life of the stack, so that it comes back where it was.
    pub(super) endpoints: Vec<SocketAddr>,
    pub(super) mark: Mark,
    pub(super) release: Release,
    pub(super) definition: String,
    /// The start of the host in which it was made ...
    #[serde(default)]
    pub(super) boot: String,
    /// ... and how long the host was up then, in clock ticks: whatever began before is none of it.
    #[serde(default)]
    pub(super) began: u64,
    /// Where the artifact led when the stack was made, if it is a path: it must lead there as long as the stack is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) artifact_at: Option<PathBuf>,
}

impl StackFolder {
    /// When the stack was made, by this host's clock.
    pub(super) fn made(&self) -> Option<Millis> {
        let since = fs::metadata(self.0.join("spec.json"))
            .and_then(|file| file.modified())
            .ok()?
            .duration_since(UNIX_EPOCH)
            .ok()?;
        u64::try_from(since.as_millis()).ok().map(Millis)
    }
}

impl Spec {
    /// Whether the artifact leads where it led when it was allowed.
    ///
    /// # Errors
    /// Says in one sentence that it leads elsewhere.
    pub(super) fn artifact_is_the_same(&self) -> Result<(), String> {
        let (Some(at), artifact) = (&self.artifact_at, &self.release.artifact) else { return Ok(()) };
        // One that is gone is for the command to miss.
        let Ok(now) = fs::canonicalize(&**artifact) else { return Ok(()) };
        let moved = || format!("the artifact {artifact} led to {} and leads to {} now", at.display(), now.display());
        if now == *at { Ok(()) } else { Err(moved()) }
    }
}

/// How a stack is, as its supervisor last said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The supervisor's process.
    pub(super) pid: i32,
    /// The start of the host in which these numbers of processes mean something.
    #[serde(default)]
    pub(super) boot: String,
    /// All instances have run at the same time once: from then on the ends of instances are counted.
    #[serde(default)]
    pub(super) was_up: bool,
    /// The newest order to stop or start it that its supervisor knows. `None`: the supervisor is of a version without such orders.
    #[serde(default)]
    pub(super) obeyed: Option<u64>,
    /// They did so for a while: from then on it is never given up.
    #[serde(default)]
    pub(super) kept: bool,
    /// How an instance last ended by itself since then.
    #[serde(default)]
    pub(super) last_exit: Option<String>,
    pub(super) instances: Vec<InstanceState>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InstanceState {
    pub(super) phase: InstancePhase,
    /// Its process while it runs, and when that began in clock ticks since the host came up.
    pub(super) pid: Option<(i32, u64)>,
    /// How often it was started again.
    pub(super) restarts: usize,
    /// How often it has ended by itself since the stack was up.
    #[serde(default)]
    pub(super) exits: u64,
    /// How often it has ended in a row, without running long enough in between to count as mended.
    #[serde(default)]
    pub(super) in_a_row: u32,
    /// The pause after its last end, in milliseconds.
    #[serde(default)]
    pub(super) pause: u64,
    /// The reason why it last ended, in one sentence.
    pub(super) last_exit: Option<String>,
    /// The highest order for which it was ended and started again ...
    #[serde(default)]
    pub(super) started_for: u64,
    /// ... and that for which it is being ended: written before, so that no supervisor does it twice or forgets it.
    #[serde(default)]
    pub(super) ending_for: u64,
}

impl InstanceState {
    /// Whether it is to be ended, or was, and was not started again since.
    pub(super) fn is_ordered(&self) -> bool {
        self.ending_for > self.started_for
    }

    /// It is started again with all of its stack: nothing of how it did before counts, and an order to restart it is done.
    pub(super) fn begins_again(&mut self) {
        (self.phase, self.pid, self.last_exit) = (InstancePhase::Starting, None, None);
        (self.in_a_row, self.pause, self.started_for) = (0, 0, self.ending_for);
    }
}

/// An order to end an instance and to start it again.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct RestartOrder {
    pub(super) instance: usize,
    pub(super) order: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum InstancePhase {
    #[default]
    Starting,
    Running,
    /// Waiting to be started again.
    Pausing,
    /// Given up.
    Failed,
    Stopped,
}

#[derive(Serialize, Deserialize)]
struct Family {
    boot: String,
    members: Vec<Member>,
}

/// One stack's folder.
#[derive(Debug, Clone)]
pub(super) struct StackFolder(pub(super) PathBuf);

impl StackFolder {
    /// Where the stack of this name is kept, below the driver's folder.
    pub(super) fn of(driver: &Path, name: &StackName) -> Self {
        let EnvironmentId { pipeline, environment } = &name.environment;
        let path = driver.join("stacks").join(pipeline.as_str()).join(environment.as_str());
        Self(path.join(name.number.to_string()))
    }

    /// Every stack's folder. What is not named as one of ours is not looked at.
    pub(super) fn all(driver: &Path) -> io::Result<Vec<(StackName, Self)>> {
        let mut found = Vec::new();
        for (pipeline, path) in named::<Name>(&driver.join("stacks"))? {
            for (environment, path) in named::<Name>(&path)? {
                for (number, path) in named::<u32>(&path)? {
                    let environment = EnvironmentId { pipeline: pipeline.clone(), environment: environment.clone() };
                    found.push((StackName { environment, number: Number(number) }, Self(path)));
                }
            }
        }
        Ok(found)
    }

    pub(super) fn exists(&self) -> bool {
        self.0.join("spec.json").exists()
    }

    pub(super) fn spec(&self) -> io::Result<Spec> {
        read_json(&self.0.join("spec.json"))
    }

    /// Returns the state; `None` until the supervisor has written one.
    pub(super) fn state(&self) -> Option<State> {
        read_json(&self.0.join("state.json")).ok()
    }

    pub(super) fn write_state(&self, state: &State) -> io::Result<()> {
        let text = serde_json::to_vec(state).map_err(io::Error::other)?;
        replace(&self.0.join("state.json"), &text, Durable::No)
    }

    /// The stack's processes besides its instances' own, as its supervisor last saw them in this start of the host.
    pub(super) fn family(&self, boot: &str) -> Vec<Member> {
        let read: io::Result<Family> = read_json(&self.0.join("family.json"));
        // Not written yet, or of another start of the host: then there is nobody to remember.
        read.ok().filter(|family| family.boot == boot).map_or_else(Vec::new, |family| family.members)
    }

    pub(super) fn write_family(&self, boot: &str, members: &[Member]) -> io::Result<()> {
        let family = Family { boot: boot.to_owned(), members: members.to_vec() };
        let text = serde_json::to_vec(&family).map_err(io::Error::other)?;
        replace(&self.0.join("family.json"), &text, Durable::No)
    }

    /// The folder of its environment.
    pub(super) fn parent(&self) -> io::Result<&Path> {
        self.0.parent().ok_or_else(|| io::Error::other("a stack's folder has a parent"))
    }

    /// Makes the folder with its spec, and an order that came before it, whole or not at all. The mark of the spec gets the
    /// place of this folder.
    pub(super) fn create(&self, spec: &Spec, order: RunOrder) -> io::Result<()> {
        let (parent, name) = (self.parent()?, spec.name.number);
        let draft = parent.join(format!(".{name}.new"));
        fs::create_dir_all(draft.join("logs"))?;
        let mark = Mark { place: identity::place(&draft)?, ..spec.mark.clone() };
        let draft_folder = Self(draft.clone());
        draft_folder.write_spec(&Spec { mark, ..spec.clone() })?;
        if order != RunOrder::default() {
            draft_folder.write_run_order(order)?;
        }
        fs::rename(&draft, &self.0)?;
        File::open(parent)?.sync_all()
    }

    fn write_spec(&self, spec: &Spec) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(spec).map_err(io::Error::other)?;
        replace(&self.0.join("spec.json"), &text, Durable::Yes)
    }

    /// Makes what was started for this folder before it was moved its own: a person said so, or nothing of before can run.
    pub(super) fn settle(&self) -> io::Result<()> {
        let spec = self.spec()?;
        let mark = spec.mark.clone().moved_to(identity::place(&self.0)?);
        if mark == spec.mark { Ok(()) } else { self.write_spec(&Spec { mark, ..spec }) }
    }

    /// Notes that the host was started since the stack was made: no process of before runs, and it is made anew here.
    pub(super) fn begin_again_here(&self) -> io::Result<()> {
        let (spec, boot) = (self.spec()?, family::boot()?);
        if spec.boot == boot {
            return Ok(());
        }
        let mark = Mark { place: identity::place(&self.0)?, former: Vec::new(), ..spec.mark };
        self.write_spec(&Spec { mark, boot, began: family::ticks()?, ..spec })
    }

    /// Whether nothing of this stack may be touched from here: its processes, if there are any, belong to the folder that this
    /// one was copied from.
    pub(super) fn is_elsewhere(&self, spec: &Spec) -> io::Result<bool> {
        let here = identity::place(&self.0)?;
        if spec.mark.place == here || spec.mark.place.is_empty() {
            return Ok(false);
        }
        // The host has been started since: no process is from before, and the numbers of devices may have changed.
        Ok(spec.boot == family::boot()?)
    }

    pub(super) fn is_retiring(&self) -> bool {
        self.0.join("retiring").exists()
    }

    /// Marks the stack as being removed, which holds whatever crashes.
    pub(super) fn mark_retiring(&self) -> io::Result<()> {
        replace(&self.0.join("retiring"), b"", Durable::Yes)?;
        File::open(&self.0)?.sync_all()
    }

    /// The last order to start an instance again, if there was one.
    pub(super) fn restart_order(&self) -> io::Result<Option<RestartOrder>> {
        match read_json(&self.0.join("restart.json")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// An instance is to be started again; the supervisor looks.
    pub(super) fn order_restart(&self, order: RestartOrder) -> io::Result<()> {
        let text = serde_json::to_vec(&order).map_err(io::Error::other)?;
        replace(&self.0.join("restart.json"), &text, Durable::Yes)
    }

    /// Whether nothing of it is to run until somebody wants it again.
    pub(super) fn is_down(&self) -> bool {
        self.0.join("down").exists()
    }

    /// Marks the stack as one of which nothing is to run.
    pub(super) fn mark_down(&self) -> io::Result<()> {
        replace(&self.0.join("down"), b"", Durable::No)
    }

    /// It is wanted again.
    pub(super) fn unmark_down(&self) -> io::Result<()> {
        match fs::remove_file(self.0.join("down")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Takes the lock that the supervisor holds for its life; nothing when somebody has it.
    pub(super) fn try_lock(&self) -> io::Result<Option<File>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.0.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether its supervisor lives. A lock cannot be mistaken for another's as a process number can.
    pub(super) fn is_supervised(&self) -> io::Result<bool> {
        let Ok(file) = File::open(self.0.join("lock")) else { return Ok(false) };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// The folders below `parent` whose name reads as a `T`; a parent that is not there has none.
fn named<T: std::str::FromStr>(parent: &Path) -> io::Result<Vec<(T, PathBuf)>> {
    let entries = match fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let parsed = entries.filter_map(Result::ok).filter_map(|entry| {
        let name = entry.file_name().to_str()?.parse().ok()?;
        Some((name, entry.path()))
    });
    Ok(parsed.collect())
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let text = fs::read(path)?;
    serde_json::from_slice(&text)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display())))
}

/// Whether it must survive the host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    Yes,
    No,
}

/// Puts a file in the place of another, whole or not at all.
pub(super) fn replace(path: &Path, content: &[u8], durable: Durable) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    file.write_all(content)?;
    if durable == Durable::Yes {
        file.sync_data()?;
    }
    fs::rename(&draft, path)
}
