//! A text of a repository at a commit. Must not follow a link, leave the repository, or read more than was agreed.

use git2::{FileMode, ObjectType, Oid, Repository, TreeEntry};

use super::{CommitName, Error};
use crate::text::excerpt;

/// Why a file can not be read from a repository. Says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// No path in a repository.
    #[error(
        "{0:?} is no path in a repository: write it from the top of the repository, as in \"deploy/stack.toml\", without . and .."
    )]
    Path(String),
    /// Nothing of that name.
    #[error("{path} is not in commit {commit}: {missing} is not there. Add it, or correct the path")]
    NotThere {
        /// The path asked for.
        path: String,
        /// Its first part that is not there.
        missing: String,
        /// Where it was looked for.
        commit: String,
    },
    /// Links are followed nowhere.
    #[error("{0} is a link, and links are not followed: put the file itself there")]
    Link(String),
    /// Another repository.
    #[error("{0} is a submodule, which is not read: put the file into the repository itself")]
    Submodule(String),
    /// A file where a folder must be, or the other way round.
    #[error("{0} is {1}")]
    Kind(String, &'static str),
    /// More than was agreed.
    #[error("{path} has {size} bytes: at most {limit} are read")]
    TooLarge {
        /// The path asked for.
        path: String,
        /// Its bytes.
        size: usize,
        /// The most.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("{0} is no text in UTF-8")]
    NotText(String),
    /// The content is elsewhere.
    #[error("{0} is kept in Git LFS, which is not read: keep it in the repository itself")]
    Elsewhere(String),
    /// The repository itself.
    #[error(transparent)]
    Git(#[from] Error),
}

/// None when the mirror has no such commit.
pub(super) fn read(
    mirror: &Repository,
    name: &CommitName,
    path: &str,
    limit: usize,
) -> Result<Option<String>, FileError> {
    let parts = parts(path)?;
    let Some(commit) = name.resolve(mirror)? else { return Ok(None) };
    let broken = |error: git2::Error| Error::damaged(mirror.path(), &error);
    let mut tree = mirror.find_commit(commit).and_then(|commit| commit.tree()).map_err(broken)?;
    let mut so_far = String::new();
    for (nth, part) in parts.iter().enumerate() {
        so_far = if nth == 0 { (*part).to_owned() } else { format!("{so_far}/{part}") };
        let entry = tree.get_name(part).ok_or_else(|| FileError::NotThere {
            path: path.to_owned(),
            missing: so_far.clone(),
            commit: name.to_string(),
        })?;
        let id = checked(&entry, &so_far, nth + 1 == parts.len())?;
        if nth + 1 == parts.len() {
            return content(mirror, id, path, limit).map(Some);
        }
        drop(entry);
        tree = mirror.find_tree(id).map_err(broken)?;
    }
    Err(FileError::Path(excerpt(path)))
}

fn parts(path: &str) -> Result<Vec<&str>, FileError> {
    let parts: Vec<&str> = path.split('/').collect();
    let plain = |part: &&str| !part.is_empty() && *part != "." && *part != "..";
    let fits = path.len() <= 1000 && !path.chars().any(|c| c.is_control() || c == '\\') && parts.iter().all(plain);
    if fits { Ok(parts) } else { Err(FileError::Path(excerpt(path))) }
}

fn checked(entry: &TreeEntry<'_>, path: &str, last: bool) -> Result<Oid, FileError> {
    let mode = entry.filemode();
    let is = |kind: FileMode| mode == i32::from(kind);
    if is(FileMode::Link) {
        return Err(FileError::Link(path.to_owned()));
    }
    if is(FileMode::Commit) {
        return Err(FileError::Submodule(path.to_owned()));
    }
    match (entry.kind(), last) {
        (Some(ObjectType::Tree), false) | (Some(ObjectType::Blob), true) => Ok(entry.id()),
        (Some(ObjectType::Tree), true) => Err(FileError::Kind(path.to_owned(), "a folder: name the file in it")),
        _ => Err(FileError::Kind(path.to_owned(), "a file, and the path goes on behind it: correct the path")),
    }
}

fn content(mirror: &Repository, id: Oid, path: &str, limit: usize) -> Result<String, FileError> {
    let broken = |error: git2::Error| Error::damaged(mirror.path(), &error);
    let odb = mirror.odb().map_err(broken)?;
    let (size, _) = odb.read_header(id).map_err(broken)?;
    if size > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), size, limit });
    }
    let bytes = odb.read(id).map_err(broken)?.data().to_vec();
    let text = String::from_utf8(bytes).map_err(|_| FileError::NotText(path.to_owned()))?;
    if text.starts_with("version https://git-lfs.github.com/") {
        return Err(FileError::Elsewhere(path.to_owned()));
    }
    Ok(text)
}
