//! A text of a repository at a commit. Must not follow a link, leave the repository, or read more than was agreed.

use std::path::Path;

use super::{CommitName, Error, name::Found, program};
use crate::text::excerpt;

/// An error of reading a file from a repository. Says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// No path in a repository.
    #[error(
        "{0:?} is not a path in a repository: write it from the top of the repository, as in \"deploy/stack.toml\", without . and .."
    )]
    Path(String),
    /// The commit has no such path.
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
    /// The file is not UTF-8.
    #[error("{0} is not text in UTF-8")]
    NotText(String),
    /// The content is elsewhere.
    #[error("{0} is kept in Git LFS, which is not read: keep it in the repository itself")]
    Elsewhere(String),
    /// The repository itself.
    #[error(transparent)]
    Git(#[from] Error),
}

/// Returns `None` when the mirror has no such commit.
pub(super) async fn read(
    mirror: &Path,
    name: &CommitName,
    path: &str,
    limit: usize,
) -> Result<Option<String>, FileError> {
    let parts = parts(path)?;
    let Found::Commit(commit) = name.find(mirror, true).await? else { return Ok(None) };
    let (mut tree, mut so_far) = (commit.to_string(), String::new());
    for (nth, part) in parts.iter().enumerate() {
        so_far = if nth == 0 { (*part).to_owned() } else { format!("{so_far}/{part}") };
        let entry = entry(mirror, &tree, part).await?.ok_or_else(|| FileError::NotThere {
            path: path.to_owned(),
            missing: so_far.clone(),
            commit: name.to_string(),
        })?;
        entry.check(&so_far, nth + 1 == parts.len())?;
        if nth + 1 == parts.len() {
            return content(mirror, &entry, path, limit).await.map(Some);
        }
        tree = entry.id;
    }
    Err(FileError::Path(excerpt(path)))
}

fn parts(path: &str) -> Result<Vec<&str>, FileError> {
    let parts: Vec<&str> = path.split('/').collect();
    let plain = |part: &&str| !part.is_empty() && *part != "." && *part != "..";
    let fits = path.len() <= 1000 && !path.chars().any(|c| c.is_control() || c == '\\') && parts.iter().all(plain);
    if fits { Ok(parts) } else { Err(FileError::Path(excerpt(path))) }
}

/// What a tree has under a name.
struct Entry {
    mode: String,
    kind: String,
    id: String,
    /// Size in bytes; of files only.
    size: Option<usize>,
}

/// Reads one line of `git ls-tree -z -l`: mode, kind, id, size, and the name after a tab.
async fn entry(mirror: &Path, tree: &str, name: &str) -> Result<Option<Entry>, Error> {
    let said = program::read(mirror, &["ls-tree", "-z", "-l", "--full-tree", tree, "--", name], "").await?;
    if !said.ok {
        return Err(Error::damaged(mirror, &excerpt(said.err.trim())));
    }
    let text = String::from_utf8_lossy(&said.out);
    let of_name = |line: &&str| line.split_once('\t').is_some_and(|(_, found)| found == name);
    let Some(line) = text.split('\0').find(of_name) else { return Ok(None) };
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(mode), Some(kind), Some(id), Some(size)) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Error::damaged(mirror, "a tree cannot be read"));
    };
    Ok(Some(Entry { mode, kind, id, size: size.parse().ok() }))
}

impl Entry {
    fn check(&self, path: &str, last: bool) -> Result<(), FileError> {
        match (&*self.mode, &*self.kind, last) {
            ("120000", _, _) => Err(FileError::Link(path.to_owned())),
            (_, "commit", _) => Err(FileError::Submodule(path.to_owned())),
            (_, "tree", false) | (_, "blob", true) => Ok(()),
            (_, "tree", true) => Err(FileError::Kind(path.to_owned(), "a folder: name the file in it")),
            _ => Err(FileError::Kind(path.to_owned(), "a file, and the path goes on behind it: correct the path")),
        }
    }
}

async fn content(mirror: &Path, entry: &Entry, path: &str, limit: usize) -> Result<String, FileError> {
    let size = entry.size.ok_or_else(|| Error::damaged(mirror, "the size of a file cannot be read"))?;
    if size > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), size, limit });
    }
    let said = program::read(mirror, &["cat-file", "blob", &entry.id], "").await?;
    if !said.ok {
        return Err(Error::damaged(mirror, &excerpt(said.err.trim())).into());
    }
    let text = String::from_utf8(said.out).map_err(|_| FileError::NotText(path.to_owned()))?;
    if text.starts_with("version https://git-lfs.github.com/") {
        return Err(FileError::Elsewhere(path.to_owned()));
    }
    Ok(text)
}
