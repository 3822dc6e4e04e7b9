//! The mirror on disk: a bare repository that only grows. Must be whole at every moment: a new one is made beside its
//! place and then moved there, branches are replaced all at once, and what a killed fetch left is swept away.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use git2::{OdbLookupFlags, Oid, Repository, RepositoryInitOptions, RepositoryOpenFlags};

use super::{Error, protocol::Tip};

/// From so many packs on, each of one fetch, the mirror is made again: each costs a look at every read.
const CROWD: usize = 200;

/// Commits that were asked for by name are kept below this, whatever becomes of the branches.
pub(super) const KEPT: &str = "refs/pointsman/";

/// Opens it, if there is one.
pub(super) fn open(place: &Path) -> Result<Option<Repository>, Error> {
    let none: [&OsStr; 0] = [];
    if !place.exists() {
        return Ok(None);
    }
    let flags = RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::BARE;
    Repository::open_ext(place, flags, none).map(Some).map_err(|error| Error::damaged(place, &error))
}

/// Where a mirror is made before it comes to its place.
pub(super) fn beside(place: &Path, what: &str) -> PathBuf {
    place.with_extension(what)
}

/// Makes an empty one; removes what a killed one before left there.
pub(super) fn make(at: &Path) -> Result<Repository, Error> {
    remove(at).map_err(|error| Error::disk(at, &error))?;
    let mut options = RepositoryInitOptions::new();
    options.bare(true).external_template(false).no_reinit(true).mkpath(true).initial_head("main");
    Repository::init_opts(at, &options).map_err(|error| Error::disk(at, &error.message()))
}

/// Puts a new mirror in the place of an old one.
pub(super) fn replace(place: &Path, new: &Path) -> Result<(), Error> {
    let old = beside(place, "old");
    let moved = remove(&old).and_then(|()| match fs::rename(place, &old) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => fs::rename(new, place),
    });
    moved.and_then(|()| remove(&old)).map_err(|error| Error::disk(place, &error))
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(seen) if seen.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Its branches, tags and kept commits.
pub(super) fn tips(mirror: &Repository) -> Result<Vec<Tip>, Error> {
    let text = match fs::read_to_string(mirror.path().join("packed-refs")) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read.map_err(|error| damaged(mirror, &error.to_string()))?,
    };
    let odb = mirror.odb().map_err(|error| Error::damaged(mirror.path(), &error))?;
    let mut tips = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (id, name) = line.split_once(' ').ok_or_else(|| damaged(mirror, "packed-refs is not readable"))?;
        let id = Oid::from_str(id).map_err(|error| Error::damaged(mirror.path(), &error))?;
        if !odb.exists_ext(id, OdbLookupFlags::NO_REFRESH) {
            return Err(damaged(mirror, "objects are missing"));
        }
        tips.push(Tip { name: name.to_owned(), id });
    }
    Ok(tips)
}

fn damaged(mirror: &Repository, why: &str) -> Error {
    Error::damaged(mirror.path(), &git2::Error::from_str(why))
}

/// Makes these its branches, tags and kept commits, all at once.
pub(super) fn keep(mirror: &Repository, tips: impl IntoIterator<Item = Tip>) -> Result<(), Error> {
    let sorted: BTreeMap<String, Oid> = tips.into_iter().map(|tip| (tip.name, tip.id)).collect();
    let mut text = String::from("# pack-refs with: sorted \n");
    for (name, id) in sorted {
        text.push_str(&format!("{id} {name}\n"));
    }
    let (path, new) = (mirror.path().join("packed-refs"), mirror.path().join("packed-refs.new"));
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
    written.map_err(|error| Error::disk(mirror.path(), &error))
}

/// Removes what fetches that were killed left among the packs. None may be under way. Gives how many packs there are.
pub(super) fn sweep(mirror: &Repository) -> Result<usize, Error> {
    let folder = mirror.path().join("objects/pack");
    let failed = |error: io::Error| Error::disk(&folder, &error);
    let mut packs = 0;
    let entries = fs::read_dir(&folder).map_err(|error| damaged(mirror, &error.to_string()))?;
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let whole = path.with_extension("pack").exists() && path.with_extension("idx").exists();
        match path.extension().and_then(OsStr::to_str) {
            Some("idx") if whole => packs += 1,
            Some("pack" | "idx") if whole => {}
            _ => remove(&path).map_err(failed)?,
        }
    }
    Ok(packs)
}

/// Whether it is time to make it again.
pub(super) fn is_crowded(packs: usize) -> bool {
    packs >= CROWD
}
