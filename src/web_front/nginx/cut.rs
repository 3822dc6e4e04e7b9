//! The cutover on this host, without a program in between: what `host.sh` does as `cut`, under the same lock and in the
//! same files. Must not ask nginx.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    settings::Settings,
    slots::{Slots, key, mark},
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
    /// The page for users of nobody.
    page: Option<String>,
}

impl Order {
    /// Returns what this route becomes. `slots`: those that were read before it was brought in. `page`: what users are to get from now
    /// on while nobody has them.
    pub(super) fn of(route: &Route, slots: &Slots, page: Option<String>) -> Result<Self, StepError> {
        let text = serde_json::to_string(route).map_err(|e| StepError::Refused(e.to_string()))?;
        let slot = route.target.as_ref().map(|target| slots.known(target));
        let target = slot.as_ref();
        let whole = Self {
            generation: route.generation,
            key: key(target),
            mark: target.map(mark).unwrap_or_default(),
            shared: key(target),
            shared_mark: String::new(),
            percent: if target.is_some() { 100 } else { 0 },
            route: text,
            page,
        };
        Ok(match route.split.as_ref().map(|split| (slots.known(&split.target), split.share)) {
            None => whole,
            Some((slot, share)) => {
                Self { shared: key(Some(&slot)), shared_mark: mark(&slot), percent: share.percent(), ..whole }
            }
        })
    }

    /// The arguments of the script.
    pub(super) fn arguments(&self) -> [String; 8] {
        let text = |text: &str| text.to_owned();
        let (generation, percent) = (self.generation.to_string(), self.percent.to_string());
        let (shared, shared_mark) = (text(&self.shared), text(&self.shared_mark));
        let page = self.page.clone().unwrap_or_default();
        [generation, text(&self.key), text(&self.mark), shared, shared_mark, percent, text(&self.route), page]
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
        let made = orders(&routes)?;
        let generation = self.order.generation.0;
        let last = made.iter().filter_map(|name| name.parse::<u64>().ok()).max().unwrap_or(0);
        if last > generation {
            return Ok(format!("stale {last}"));
        }
        if !self.order.mark.is_empty() {
            let include = fs::read_to_string(&self.include)?;
            if [&self.order.mark, &self.order.shared_mark].into_iter().any(|mark| !include.contains(mark)) {
                return Ok("unknown".to_owned());
            }
        }
        let Some(place) = self.place(&routes)? else { return Ok("taken".to_owned()) };
        self.show()?;
        if !routes.join(&place).exists() {
            self.share()?;
            self.make(&routes, &routes.join(&place))?;
        }
        let was = fs::read_link(self.folder.join("live")).ok();
        let fresh = self.folder.join("live.new");
        gone(fs::remove_file(&fresh))?;
        symlink(Path::new("routes").join(&place), &fresh)?;
        fs::rename(&fresh, self.folder.join("live"))?;
        for folder in [&self.folder, &routes] {
            File::open(folder)?.sync_all()?;
        }
        let was = was.as_deref().and_then(Path::file_name);
        let kept = [place, generation.to_string(), last.to_string()];
        for old in made.iter().filter(|old| !kept.contains(old) && was != Some(OsStr::new(old))) {
            gone(fs::remove_dir_all(routes.join(old)))?;
        }
        Ok("applied".to_owned())
    }

    /// Brings the page in, which no reload is needed for.
    fn show(&self) -> io::Result<()> {
        let Some(page) = &self.order.page else { return Ok(()) };
        let place = self.folder.join("maintenance");
        if fs::read(&place).is_ok_and(|there| there == page.as_bytes()) {
            return Ok(());
        }
        let new = self.folder.join("maintenance.new");
        let mut file = File::create(&new)?;
        file.write_all(page.as_bytes())?;
        file.sync_all()?;
        fs::rename(new, place)
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

    /// The folder of the order, by its name; `None`: the generation was given to another one. To the same stacks, it is the same
    /// order with the addresses that they have now: it gets a folder beside the first.
    fn place(&self, routes: &Path) -> io::Result<Option<String>> {
        let generation = self.order.generation.to_string();
        let first = match fs::read_to_string(routes.join(&generation).join("route.json")) {
            Ok(first) => first,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(generation)),
            Err(error) => return Err(error),
        };
        if first == self.order.route {
            return Ok(Some(generation));
        }
        let [first, now] = [&first, &self.order.route].map(|text| serde_json::from_str::<Route>(text));
        let same = first?.is_same_order(&now?);
        Ok(same.then(|| format!("{generation}.{}.{}", self.order.key, self.order.shared)))
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

/// The folders of orders, by their names, which begin with the generation.
fn orders(routes: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(routes)? {
        let name = entry?.file_name();
        names.extend(name.to_str().filter(|name| name.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned));
    }
    Ok(names)
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
