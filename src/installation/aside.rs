//! Setting aside what belongs to the first installation when a copy becomes one of its own. Nothing is deleted, and
//! nothing that runs is touched.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::record::{self, Record};

/// What stands for the first: its history, its stacks, fronts, runs, what was told of it, and what proves that it is it.
const BELONGS: [&str; 10] = [
    "journal",
    "stacks",
    "fronts",
    "hooks",
    "notify",
    "token",
    "fingerprint-key",
    "evidence-key",
    "address",
    record::FILE,
];

/// Moves what belongs to the first into a folder beside it, the identity last. Returns that folder. Begun again after a
/// crash, it goes on with what is left.
pub(super) fn clone(state: &Path, first: Option<&Record>) -> io::Result<PathBuf> {
    let id = first.map_or("unknown", |record| record.installation.as_str());
    let to = state.join("aside").join(id);
    record::own_folder(&to)?;
    for name in BELONGS {
        match fs::rename(state.join(name), free_name(&to.join(name))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    File::open(&to)?.sync_all()?;
    File::open(state)?.sync_all()?;
    Ok(to)
}

/// A name that nothing has yet: this one, or with a number behind it.
pub(super) fn free_name(wanted: &Path) -> PathBuf {
    let numbered = (2_u32..).map(|nth| {
        let mut name = wanted.as_os_str().to_owned();
        name.push(format!(".{nth}"));
        PathBuf::from(name)
    });
    let free = |path: &PathBuf| fs::symlink_metadata(path).is_err();
    std::iter::once(wanted.to_owned()).chain(numbered).find(free).unwrap_or_else(|| wanted.to_owned())
}
