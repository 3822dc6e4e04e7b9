//! What lies between two releases, for people. Must not trust a word of a commit: whoever may push writes it.

use git2::{Oid, Repository};

use super::{CommitName, Error, history};
use crate::machine::Millis;

/// The most commits that are visited; with two releases further apart the rest is not counted.
const MOST_VISITED: usize = 20_000;

/// The longest text of a commit that is shown, in characters.
const LONGEST: usize = 200;

/// One commit, made harmless: no control characters, nothing that turns the direction of text, nothing long. It may well
/// hold markup: whoever shows it on a page escapes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// All 40 digits.
    pub id: String,
    /// The author's name.
    pub author: String,
    /// When it was committed, as the committer's clock had it.
    pub time: Millis,
    /// The first line of its message.
    pub subject: String,
}

/// What a change from one commit to another brings and takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// What comes, newest first.
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

/// None when one of the two is not in the mirror.
pub(super) fn between(
    mirror: &Repository,
    old: &CommitName,
    new: &CommitName,
    most: usize,
) -> Result<Option<Changes>, Error> {
    let (Some(old), Some(new)) = (old.resolve(mirror)?, new.resolve(mirror)?) else { return Ok(None) };
    listed(mirror, old, new, most).map(Some).map_err(|error| Error::damaged(mirror.path(), &error))
}

fn listed(mirror: &Repository, old: Oid, new: Oid, most: usize) -> Result<Changes, git2::Error> {
    let odb = mirror.odb()?;
    let between = history::between(&odb, old, new, MOST_VISITED)?;
    let show = |ids: &[Oid]| ids.iter().take(most).map(|id| shown(mirror, *id)).collect::<Result<Vec<_>, _>>();
    Ok(Changes {
        commits: show(&between.added)?,
        more: between.added.len().saturating_sub(most),
        gone: show(&between.gone)?,
        more_gone: between.gone.len().saturating_sub(most),
        backwards: !between.gone.is_empty(),
        at_least: between.cut_short,
    })
}

fn shown(mirror: &Repository, id: Oid) -> Result<Commit, git2::Error> {
    let commit = mirror.find_commit(id)?;
    // A time before 1970 is shown as 1970.
    let seconds = u64::try_from(commit.time().seconds()).unwrap_or(0);
    let author = harmless(commit.author().name_bytes());
    let first = commit.message_bytes().split(|b| *b == b'\n').find(|line| !line.trim_ascii().is_empty());
    let subject = harmless(first.unwrap_or_default());
    Ok(Commit { id: id.to_string(), author, time: Millis(seconds.saturating_mul(1000)), subject })
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
