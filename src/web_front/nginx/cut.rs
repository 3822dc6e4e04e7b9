//! The cutover on this host, without a program in between: what `host.sh` does as `cut`, under the same lock and in the
//! same files. Must not ask nginx.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{settings::Settings, words};
use crate::{machine::Generation, stacks::StepError};

/// Pause for whoever has the lock to release it.
const PAUSE: Duration = Duration::from_millis(2);
const PAUSES: usize = 2500;

/// One order.
struct Cut {
    folder: PathBuf,
    include: PathBuf,
    generation: Generation,
    key: String,
    mark: String,
    route: String,
}

/// Applies it and answers as the script does.
pub(super) async fn apply(
    settings: &Settings,
    generation: Generation,
    key: String,
    mark: String,
    route: String,
) -> Result<String, StepError> {
    let (folder, include) = (PathBuf::from(&settings.folder), PathBuf::from(&settings.include));
    let place = settings.folder.clone();
    let cut = Cut { folder, include, generation, key, mark, route };
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
        let last = made.iter().copied().max().unwrap_or(0);
        if last > self.generation.0 {
            return Ok(format!("stale {last}"));
        }
        if !self.mark.is_empty() && !fs::read_to_string(&self.include)?.contains(&self.mark) {
            return Ok("unknown".to_owned());
        }
        let place = routes.join(self.generation.to_string());
        if place.exists() {
            if fs::read_to_string(place.join("route.json"))? != self.route {
                return Ok("taken".to_owned());
            }
        } else {
            self.make(&routes, &place)?;
        }
        let fresh = self.folder.join("live.new");
        gone(fs::remove_file(&fresh))?;
        symlink(Path::new("routes").join(self.generation.to_string()), &fresh)?;
        fs::rename(&fresh, self.folder.join("live"))?;
        for folder in [&self.folder, &routes] {
            File::open(folder)?.sync_all()?;
        }
        for old in made.into_iter().filter(|old| *old != self.generation.0 && *old != last) {
            gone(fs::remove_dir_all(routes.join(old.to_string())))?;
        }
        Ok("applied".to_owned())
    }

    fn make(&self, routes: &Path, place: &Path) -> io::Result<()> {
        let new = routes.join("new");
        gone(fs::remove_dir_all(&new))?;
        fs::create_dir(&new)?;
        let mut file = File::create(new.join("route.json"))?;
        file.write_all(self.route.as_bytes())?;
        file.sync_all()?;
        File::create(new.join(&self.key))?;
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
