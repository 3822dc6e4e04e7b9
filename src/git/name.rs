//! What names a commit: its id, or the beginning of it. Nothing else reaches git, so that no text from a build can be
//! taken for a branch, an expression or an option.

use std::fmt;

use git2::{ErrorCode, Oid, Repository};

use super::Error;
use crate::text::excerpt;

/// 7 to 40 hexadecimal digits, in small letters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommitName(String);

impl CommitName {
    /// Reads one.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let fits = (7..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if fits { Ok(Self(text.to_ascii_lowercase())) } else { Err(Error::NotACommit(format!("{:?}", excerpt(text)))) }
    }

    /// The id, if all of it is known.
    pub(super) fn whole(&self) -> Option<Oid> {
        (self.0.len() == 40).then(|| Oid::from_str(&self.0).ok()).flatten()
    }

    /// Which commit of the mirror it is; none if the mirror has no such one.
    pub(super) fn resolve(&self, mirror: &Repository) -> Result<Option<Oid>, Error> {
        let found = mirror.find_commit_by_prefix(&self.0).and_then(|commit| commit.tree().map(|_| commit.id()));
        match found {
            Ok(id) => Ok(Some(id)),
            Err(error) if error.code() == ErrorCode::Ambiguous => Err(Error::Ambiguous(self.0.clone())),
            // Either not there at all, or there and no commit, or there without its tree.
            Err(error) if error.code() == ErrorCode::NotFound => self.missing(mirror, &error).map(|()| None),
            Err(error) => Err(Error::damaged(mirror.path(), &error)),
        }
    }

    fn missing(&self, mirror: &Repository, error: &git2::Error) -> Result<(), Error> {
        let odb = mirror.odb().map_err(|error| Error::damaged(mirror.path(), &error))?;
        let Some(id) = self.whole().filter(|id| odb.exists(*id)) else { return Ok(()) };
        match odb.read_header(id) {
            Ok((_, git2::ObjectType::Commit)) | Err(_) => Err(Error::damaged(mirror.path(), error)),
            Ok((_, kind)) => Err(Error::NotACommit(format!("{self}, a {kind},"))),
        }
    }
}

impl fmt::Display for CommitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_digits_of_an_id_reach_git() {
        assert_eq!(CommitName::parse("ABCDEF0").unwrap().to_string(), "abcdef0");
        for bad in ["", "main", "abcdef", "HEAD~1", "--upload-pack=x", "refs/heads/x", "abcdefg", "abc def0", "@{-1}"] {
            assert!(matches!(CommitName::parse(bad), Err(Error::NotACommit(_))), "{bad:?}");
        }
        assert!(CommitName::parse(&"a".repeat(41)).is_err());
        let error = CommitName::parse("\u{1b}[2J").unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error}");
    }
}
