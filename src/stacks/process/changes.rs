//! Who is told at once when something of a stack changes: its supervisor has written a new state, or has ended. One thread
//! waits for what the kernel says of the stacks' folders.
//!
//! Must not judge what has changed. Where the kernel watches nothing more for us, the next look finds it, as ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, PipeReader, PipeWriter},
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    io::Errno,
};
use tokio::sync::watch;

use super::folder::StackFolder;
use crate::machine::EnvironmentId;

/// How long, and with which pauses, a lock that was let go is waited for: the kernel says so a moment before it is free.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(1);

/// The bells of a driver, one for each environment.
#[derive(Default)]
pub(super) struct Changes(Mutex<Known>);

#[derive(Default)]
struct Known {
    bells: BTreeMap<EnvironmentId, watch::Sender<u64>>,
    /// The watch; `None` before the first stack.
    watching: Option<Watching>,
}

/// The watch over the folders. The thread ends with it.
struct Watching {
    inotify: Arc<OwnedFd>,
    /// The folders that are watched, by the kernel's number of the watch.
    folders: BTreeMap<i32, (EnvironmentId, PathBuf)>,
    /// The folders of logs that somebody follows.
    logs: BTreeMap<i32, watch::Sender<u64>>,
    _open: PipeWriter,
}

impl Changes {
    /// The bell of an environment.
    pub(super) fn of(&self, environment: &EnvironmentId) -> watch::Receiver<u64> {
        self.known().bell(environment).subscribe()
    }

    /// Watches every stack that there is below the driver's folder.
    pub(super) fn follow(self: &Arc<Self>, driver: &Path) {
        if let Err(error) = self.try_follow(driver) {
            tracing::debug!(%error, "changes of stacks are noticed only at the next look");
        }
    }

    fn try_follow(self: &Arc<Self>, driver: &Path) -> io::Result<()> {
        let all = StackFolder::all(driver)?;
        let mut known = self.known();
        if known.watching.is_none() && all.is_empty() {
            return Ok(());
        }
        let watching = known.watching(self)?;
        let paths: BTreeSet<PathBuf> = watching.folders.values().map(|(_, path)| path.clone()).collect();
        for (name, StackFolder(path)) in all.into_iter().filter(|(_, folder)| !paths.contains(&folder.0)) {
            let what = WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
            let number = inotify::add_watch(&watching.inotify, &path, what | WatchFlags::ONLYDIR)?;
            watching.folders.insert(number, (name.environment, path));
        }
        Ok(())
    }

    /// A bell that rings when something is written below this folder of logs, for as long as somebody has it.
    pub(super) fn writes(self: &Arc<Self>, logs: &Path) -> Option<watch::Receiver<u64>> {
        let followed = self.try_writes(logs);
        followed
            .inspect_err(|error| tracing::debug!(%error, "the output of instances is noticed only at the next look"))
            .ok()
    }

    fn try_writes(self: &Arc<Self>, logs: &Path) -> io::Result<watch::Receiver<u64>> {
        let mut known = self.known();
        let watching = known.watching(self)?;
        let what = WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::DELETE_SELF;
        // The same folder has the same number again.
        let number = inotify::add_watch(&watching.inotify, logs, what | WatchFlags::ONLYDIR)?;
        Ok(watching.logs.entry(number).or_insert_with(|| watch::channel(0).0).subscribe())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something has happened to a file of a stack's folder, or to the folder.
    fn happened(&self, watch: i32, file: Option<&str>) {
        if self.known().is_written(watch) {
            return;
        }
        let Some((environment, path)) = self.known().folder(watch) else { return };
        match file {
            Some("state.json" | "order.json") => {}
            Some("lock") => {
                let folder = StackFolder(path);
                let free = |_: &u32| {
                    let held = matches!(folder.is_supervised(), Ok(true));
                    if held {
                        thread::sleep(PAUSE);
                    }
                    !held
                };
                // Somebody else has it: that is for a look to say.
                let _ = (0..TRIES).find(free);
            }
            // It was put away, or is gone.
            None => self.known().forget(watch),
            Some(_) => return,
        }
        self.known().bell(&environment).send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Known {
    fn bell(&mut self, environment: &EnvironmentId) -> &watch::Sender<u64> {
        self.bells.entry(environment.clone()).or_insert_with(|| watch::channel(0).0)
    }

    fn watching(&mut self, changes: &Arc<Changes>) -> io::Result<&mut Watching> {
        match &mut self.watching {
            Some(watching) => Ok(watching),
            none => Ok(none.insert(begin(Arc::downgrade(changes))?)),
        }
    }

    /// Rings the bell of a folder of logs, if it is one; with nobody left to hear it, it is watched no longer.
    fn is_written(&mut self, watch: i32) -> bool {
        let Some(watching) = &mut self.watching else { return false };
        let Some(bell) = watching.logs.get(&watch) else { return false };
        if bell.receiver_count() > 0 {
            bell.send_modify(|count| *count = count.wrapping_add(1));
        } else {
            watching.logs.remove(&watch);
            // With its folder the watch is gone already.
            let _ = inotify::remove_watch(&watching.inotify, watch);
        }
        true
    }

    fn folder(&self, watch: i32) -> Option<(EnvironmentId, PathBuf)> {
        self.watching.as_ref()?.folders.get(&watch).cloned()
    }

    fn forget(&mut self, watch: i32) {
        if let Some(watching) = &mut self.watching
            && watching.folders.remove(&watch).is_some()
        {
            // With its folder the watch is gone already.
            let _ = inotify::remove_watch(&watching.inotify, watch);
        }
    }
}

fn begin(changes: Weak<Changes>) -> io::Result<Watching> {
    let inotify = Arc::new(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?);
    let (closed, open) = io::pipe()?;
    let events = inotify.clone();
    thread::Builder::new().name("stack-changes".to_owned()).spawn(move || listen(&events, &closed, &changes))?;
    Ok(Watching { inotify, folders: BTreeMap::new(), logs: BTreeMap::new(), _open: open })
}

/// Listens until the driver is gone.
fn listen(events: &OwnedFd, closed: &PipeReader, changes: &Weak<Changes>) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    loop {
        let mut both = [PollFd::new(events, PollFlags::IN), PollFd::new(closed, PollFlags::IN)];
        match poll(&mut both, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        let Some(changes) = changes.upgrade() else { return };
        let mut reader = inotify::Reader::new(events, &mut buffer);
        // An error is that there are no more for now, or none ever: then the pipe says so.
        while let Ok(event) = reader.next() {
            let file = event.file_name().and_then(|name| name.to_str().ok()).map(str::to_owned);
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                changes
                    .known()
                    .bells
                    .values()
                    .for_each(|bell| bell.send_modify(|count| *count = count.wrapping_add(1)));
            }
            changes.happened(event.wd(), file.as_deref());
        }
    }
}
