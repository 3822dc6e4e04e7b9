//! What names a commit: its id, or the beginning of it. Nothing else reaches git, so that no text from a build can be
//! taken for a branch, an expression or an option.

use std::{fmt, path::Path};

use super::{Error, program};
use crate::text::excerpt;

/// 7 to 64 hexadecimal digits, in small letters: 40 or 64 are a whole id, of SHA-1 or SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommitName(String);

/// Whether a mirror has a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// It has, and this is its whole name.
    Commit(CommitName),
    /// It has not.
    Missing,
}

impl CommitName {
    /// Reads one.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let fits = (7..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if fits { Ok(Self(text.to_ascii_lowercase())) } else { Err(Error::NotACommit(format!("{:?}", excerpt(text)))) }
    }

    /// The id, if all of it is known.
    pub(super) fn whole(&self) -> Option<&str> {
        matches!(self.0.len(), 40 | 64).then_some(&self.0)
    }

    /// Looks for the commit in a mirror. `with_files`: its tree has to be there as well.
    ///
    /// # Errors
    /// When several objects begin like this, when it is no commit, or when the mirror is damaged.
    pub(super) async fn find(&self, mirror: &Path, with_files: bool) -> Result<Found, Error> {
        let questions = format!("{self}\n{self}^{{commit}}\n{self}^{{tree}}\n");
        let said = program::read(mirror, &["cat-file", "--batch-check"], &questions).await?;
        let text = String::from_utf8_lossy(&said.out).into_owned();
        let answers: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
        let damaged = || Error::damaged(mirror, &crate::text::excerpt(said.err.trim()));
        let [object, commit, tree] = &answers[..] else { return Err(damaged()) };
        match (&commit[..], &tree[..], &object[..]) {
            ([id, "commit", _], [_, "tree", _], _) => Ok(Found::Commit(Self((*id).to_owned()))),
            ([id, "commit", _], _, _) if !with_files => Ok(Found::Commit(Self((*id).to_owned()))),
            ([_, "commit", _], _, _) => Err(damaged()),
            (_, _, [_, "ambiguous"]) => Err(Error::Ambiguous(self.0.clone())),
            (_, _, [_, kind @ ("tree" | "blob" | "tag"), _]) => Err(Error::NotACommit(format!("{self}, a {kind},"))),
            // Missing, and git complained of more than that: of a pack that cannot be read.
            (_, _, [_, "missing"]) if said.err.lines().all(|line| line.contains("is a") || line.trim().is_empty()) => {
                Ok(Found::Missing)
            }
            _ => Err(damaged()),
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
        assert!(CommitName::parse(&"a".repeat(65)).is_err());
        let error = CommitName::parse("\u{1b}[2J").unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error}");
    }
}
