//! Mirrors on disk: bare repositories that only grow. Must be whole at every moment: a new one is made beside its place and then
//! moved there, and what a killed fetch left is swept away.

use std::{
    ffi::OsStr,
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::Error;

/// Number of packs, one a fetch, at which the mirror is packed again: each costs a look at every read.
const CROWD: usize = 200;

/// Where the commits are kept without their files, for listing what lies between two releases.
pub(super) fn history(place: &Path) -> PathBuf {
    place.with_extension("history")
}

/// Where a mirror is made before it comes to its place.
pub(super) fn making(place: &Path) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(".making");
    name.into()
}

/// Puts a new mirror in the place of an old one.
pub(super) fn replace(place: &Path, new: &Path) -> Result<(), Error> {
    let mut old = place.as_os_str().to_owned();
    old.push(".old");
    let old = PathBuf::from(old);
    let moved = remove(&old).and_then(|()| match fs::rename(place, &old) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => fs::rename(new, place),
    });
    moved.and_then(|()| remove(&old)).map_err(|error| Error::disk(place, &error))
}

/// Removes a file or folder, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(seen) if seen.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Removes what fetches that were killed left: locks, and half packs. None may be under way. Returns whether there are so many
/// packs that it is time to pack them together.
pub(super) fn sweep(mirror: &Path) -> Result<bool, Error> {
    let folder = mirror.join("objects/pack");
    let failed = |error: io::Error| Error::disk(&folder, &error);
    unlock(mirror).map_err(failed)?;
    let mut packs = 0;
    let entries = fs::read_dir(&folder).map_err(|error| Error::damaged(mirror, &error.to_string()))?;
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let whole = path.with_extension("pack").exists() && path.with_extension("idx").exists();
        match path.extension().and_then(OsStr::to_str) {
            Some("idx") if whole => packs += 1,
            Some("pack" | "rev" | "promisor" | "keep" | "mtimes" | "bitmap") if whole => {}
            _ => remove(&path).map_err(failed)?,
        }
    }
    Ok(packs >= CROWD)
}

/// Locks stand beside what they lock: in the repository itself and among its references.
fn unlock(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "lock" || extension == "new") {
            remove(&path)?;
        } else if entry.file_type()?.is_dir() && !path.ends_with("objects") {
            unlock(&path)?;
        }
    }
    Ok(())
}
