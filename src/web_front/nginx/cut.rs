//! The cutover on this host, without a program in between: what `host.sh` does as `cut`, under the same lock and in the
//! same files. Must not ask nginx.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    settings::Settings,
    slots::{key, mark},
    words,
};
use crate::{machine::Generation, stacks::StepError, web_front::Route};

/// Pause for whoever has the lock to release it.
const PAUSE: Duration = Duration::from_millis(2);
const PAUSES: usize = 2500;

/// What an order becomes on nginx's host.
#[derive(Debug, Clone)]
pub(super) struct Order {
    generation: Generation,
    /// The file that is called like the key of the slot that gets the traffic, or its rest.
    key: String,
    /// What must stand in an include that can serve that; empty: nobody is to.
    mark: String,
    /// The key whose folder of buckets is made, and how many there are in it: of the slot with all users, or with a share.
    shared: String,
    /// What must stand in the include for the slot with a share; empty: there is none.
    shared_mark: String,
    percent: u8,
    /// The route as JSON.
    route: String,
}

impl Order {
    /// Returns what this route becomes.
    pub(super) fn of(route: &Route) -> Result<Self, StepError> {
        let text = serde_json::to_string(route).map_err(|e| StepError::Refused(e.to_string()))?;
        let target = route.target.as_ref();
        let whole = Self {
            generation: route.generation,
            key: key(target),
            mark: target.map(mark).unwrap_or_default(),
            shared: key(target),
            shared_mark: String::new(),
            percent: if target.is_some() { 100 } else { 0 },
            route: text,
        };
        Ok(match &route.split {
            None => whole,
            Some(split) => Self {
                shared: key(Some(&split.target)),
                shared_mark: mark(&split.target),
                percent: split.share.percent(),
                ..whole
            },
        })
    }

    /// The arguments of the script.
    pub(super) fn arguments(&self) -> [String; 7] {
        let text = |text: &str| text.to_owned();
        let (generation, percent) = (self.generation.to_string(), self.percent.to_string());
        let (shared, shared_mark) = (text(&self.shared), text(&self.shared_mark));
        [generation, text(&self.key), text(&self.mark), shared, shared_mark, percent, text(&self.route)]
    }
}

/// An order, and the files that it is about.
struct Cut {
    folder: PathBuf,
    include: PathBuf,
    order: Order,
}

/// Applies it and answers as the script does.
pub(super) async fn apply(settings: &Settings, order: Order) -> Result<String, StepError> {
    let (folder, include) = (PathBuf::from(&settings.folder), PathBuf::from(&settings.include));
    let place = settings.folder.clone();
    let cut = Cut { folder, include, order };
    // Once begun it is not given up: a disk that hangs is nobody's to interrupt.
    let done = tokio::task::spawn_blocking(move || cut.apply()).await;
    let done = done.map_err(io::Error::other).flatten();
    done.map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem => {
            words::full(settings, &error.to_string())
        }
        io::ErrorKind::PermissionDenied => StepError::Refused(format!(
            "{place} must be writable to Pointsman ({error}); see `setup.sh` in web_front/nginx"
        )),
        _ => StepError::Unavailable(format!("{place}: {error}")),
    })
}

impl Cut {
    fn apply(&self) -> io::Result<String> {
        let _lock = lock(&self.folder)?;
        let routes = self.folder.join("routes");
        fs::create_dir_all(&routes)?;
        let made = numbers(&routes)?;
        let generation = self.order.generation.0;
        let last = made.iter().copied().max().unwrap_or(0);
        if last > generation {
            return Ok(format!("stale {last}"));
        }
        if !self.order.mark.is_empty() {
            let include = fs::read_to_string(&self.include)?;
            if [&self.order.mark, &self.order.shared_mark].into_iter().any(|mark| !include.contains(mark)) {
                return Ok("unknown".to_owned());
            }
        }
        let place = routes.join(generation.to_string());
        if place.exists() {
            if fs::read_to_string(place.join("route.json"))? != self.order.route {
                return Ok("taken".to_owned());
            }
        } else {
            self.share()?;
            self.make(&routes, &place)?;
        }
        let fresh = self.folder.join("live.new");
        gone(fs::remove_file(&fresh))?;
        symlink(Path::new("routes").join(generation.to_string()), &fresh)?;
        fs::rename(&fresh, self.folder.join("live"))?;
        for folder in [&self.folder, &routes] {
            File::open(folder)?.sync_all()?;
        }
        for old in made.into_iter().filter(|old| *old != generation && *old != last) {
            gone(fs::remove_dir_all(routes.join(old.to_string())))?;
        }
        Ok("applied".to_owned())
    }

    /// Makes the folder with the buckets of this share, once for all orders.
    fn share(&self) -> io::Result<()> {
        let shares = self.folder.join("shares");
        let place = shares.join(self.order.percent.to_string());
        if self.order.percent == 0 || place.is_dir() {
            return Ok(());
        }
        let new = shares.join("new");
        gone(fs::remove_dir_all(&new))?;
        fs::create_dir_all(&new)?;
        for bucket in 0..self.order.percent {
            File::create(new.join(bucket.to_string()))?;
        }
        File::open(&new)?.sync_all()?;
        fs::rename(&new, place)?;
        File::open(&shares)?.sync_all()
    }

    fn make(&self, routes: &Path, place: &Path) -> io::Result<()> {
        let new = routes.join("new");
        gone(fs::remove_dir_all(&new))?;
        fs::create_dir(&new)?;
        let mut file = File::create(new.join("route.json"))?;
        file.write_all(self.order.route.as_bytes())?;
        file.sync_all()?;
        File::create(new.join(&self.order.key))?;
        if self.order.percent > 0 {
            let buckets = Path::new("../../shares").join(self.order.percent.to_string());
            symlink(buckets, new.join(format!("{}.share", self.order.shared)))?;
        }
        if !self.order.shared_mark.is_empty() {
            File::create(new.join("split"))?;
        }
        File::open(&new)?.sync_all()?;
        fs::rename(&new, place)
    }
}

fn lock(folder: &Path) -> io::Result<File> {
    let file = File::options().create(true).append(true).open(folder.join("lock"))?;
    for _ in 0..PAUSES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "another change has held the lock for 5 s"))
}

fn numbers(routes: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(routes)? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    Ok(numbers)
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
