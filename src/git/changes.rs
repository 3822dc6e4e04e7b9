//! What lies between two releases, for people. Must not trust a word of a commit: whoever may push writes it.

use std::path::Path;

use super::{CommitName, Error, name::Found, program};
use crate::{machine::Millis, text::excerpt};

/// The most commits that are counted; with two releases further apart the rest is not counted.
const MOST_VISITED: usize = 20_000;

/// The longest text of a commit that is shown, in characters.
const LONGEST: usize = 200;

/// One commit, made harmless: no control characters, nothing that turns the direction of text, nothing long. It may well
/// hold markup: whoever shows it on a page escapes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// All digits: 40, or 64 with SHA-256.
    pub id: String,
    /// The author's name.
    pub author: String,
    /// When it was committed, as the committer's clock had it; 0 where its date cannot be read.
    pub time: Millis,
    /// The first line of its message.
    pub subject: String,
}

/// What a change from one commit to another brings and takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Commits that a promotion brings, newest first.
    pub commits: Vec<Commit>,
    /// How many more come that are not listed.
    pub more: usize,
    /// What goes away, newest first: empty unless `backwards`.
    pub gone: Vec<Commit>,
    /// How many more go away that are not listed.
    pub more_gone: usize,
    /// The old commit is not in the new one's history: something goes away.
    pub backwards: bool,
    /// The two are so far apart that counting was given up: `more` and `more_gone` are the least there are.
    pub at_least: bool,
}

/// Returns `None` when the mirror does not have one of the two.
pub(super) async fn between(
    mirror: &Path,
    old: &CommitName,
    new: &CommitName,
    most: usize,
) -> Result<Option<Changes>, Error> {
    let (Found::Commit(old), Found::Commit(new)) = (old.find(mirror, false).await?, new.find(mirror, false).await?)
    else {
        return Ok(None);
    };
    let (limit, range) = (format!("--max-count={}", MOST_VISITED + 1), format!("{old}...{new}"));
    let said = program::read(mirror, &["rev-list", "--left-right", &limit, &range, "--"], "").await?;
    if !said.ok {
        return Err(Error::damaged(mirror, &excerpt(said.err.trim())));
    }
    let text = String::from_utf8_lossy(&said.out);
    let gone: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix('<')).collect();
    let added: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix('>')).collect();
    Ok(Some(Changes {
        commits: shown(mirror, &added[..added.len().min(most)]).await?,
        more: added.len().saturating_sub(most),
        gone: shown(mirror, &gone[..gone.len().min(most)]).await?,
        more_gone: gone.len().saturating_sub(most),
        backwards: !gone.is_empty(),
        at_least: added.len() + gone.len() > MOST_VISITED,
    }))
}

/// Id, author, time and subject of each, as git reads them from whatever was written there.
async fn shown(mirror: &Path, ids: &[&str]) -> Result<Vec<Commit>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let format = ["log", "-z", "--no-walk=unsorted", "--encoding=UTF-8", "--format=%H%n%ct%n%an%n%s", "--stdin"];
    let said = program::read(mirror, &format, &(ids.join("\n") + "\n")).await?;
    if !said.ok {
        return Err(Error::damaged(mirror, &excerpt(said.err.trim())));
    }
    let commits = said.out.split(|byte| *byte == 0).filter(|record| !record.is_empty());
    Ok(commits.map(commit).collect())
}

/// When each of these was committed, by the name that was asked for; what the mirror does not have is left out.
pub(super) async fn times(mirror: &Path, commits: &[CommitName]) -> Result<Vec<(String, Millis)>, Error> {
    let names: Vec<&str> = commits.iter().filter_map(CommitName::whole).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let format = ["log", "--no-walk=unsorted", "--ignore-missing", "--format=%H %ct", "--stdin"];
    let said = program::read(mirror, &format, &(names.join("\n") + "\n")).await?;
    if !said.ok {
        return Err(Error::damaged(mirror, &excerpt(said.err.trim())));
    }
    let text = String::from_utf8_lossy(&said.out);
    let one = |line: &str| {
        let (id, seconds) = line.split_once(' ')?;
        let seconds: u64 = seconds.parse().ok().filter(|seconds| *seconds > 0)?;
        Some((id.to_owned(), Millis(seconds.saturating_mul(1000))))
    };
    Ok(text.lines().filter_map(one).collect())
}

fn commit(record: &[u8]) -> Commit {
    let mut lines = record.splitn(4, |byte| *byte == b'\n');
    let mut next = || harmless(lines.next().unwrap_or(b""));
    let (id, time, author, subject) = (next(), next(), next(), next());
    // A date of others may be anything; git shows one that cannot be read as nothing or 0.
    let seconds: u64 = time.parse().unwrap_or(0);
    Commit { id, author, time: Millis(seconds.saturating_mul(1000)), subject }
}

/// Text that does nothing to a terminal, a log or the text around it.
fn harmless(bytes: &[u8]) -> String {
    // No more than what can be shown is looked at.
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST * 8)]);
    let mut all = text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control() && !is_hidden(*c));
    let mut short: String = all.by_ref().take(LONGEST).collect();
    if all.next().is_some() {
        short.pop();
        short.push('…');
    }
    short.trim().to_owned()
}

/// Marks that turn the direction of text, have no width, or are for annotations and tags that nobody sees.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_stranger_does_nothing() {
        assert_eq!(harmless("Fix \u{1b}[2J\u{202e}the\u{7} cart\u{200b}\r".as_bytes()), "Fix [2Jthe cart");
        assert_eq!(harmless("<script>alert(1)</script>".as_bytes()), "<script>alert(1)</script>");
        assert_eq!(harmless(&[b'a', 0xff, b'b']), "a\u{fffd}b");
        let long = harmless("é".repeat(10_000).as_bytes());
        assert_eq!((long.chars().count(), long.chars().last()), (200, Some('…')));
        assert_eq!(harmless(&[0xff; 100_000]).chars().count(), 200);
    }
}
