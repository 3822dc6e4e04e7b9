//! Repositories of kinds that libraries refuse and git reads, and commits that nobody should have made.

use super::git::{Desk, STACK, text};
use crate::support::git::Origin;

/// Deploys from repositories that libraries refuse and git reads.
#[tokio::test]
async fn whatever_git_can_read_can_be_deployed_from() {
    let new = Origin::sha256();
    let first = new.git(&["rev-parse", "HEAD"]);
    let second = new.commit("Second", &[(STACK, "command = [\"two\"]\n")]);
    assert_eq!(second.len(), 64);
    let whole = Origin::new();
    whole.git(&["config", "uploadpack.allowFilter", "true"]);
    let last = whole.commit("Last", &[(STACK, "command = [\"last\"]\n")]);
    let url = format!("file://{}", whole.path().display());
    for (kind, how) in [("shallow", "--depth=1"), ("partial", "--filter=blob:none")] {
        let place = whole.root().join(kind).display().to_string();
        whole.git(&["clone", "-q", "--bare", how, &url, &place]);
    }
    let desk = Desk::new();
    let mirror = desk.of_local(&new);
    mirror.fetch(&second[..12]).await.unwrap();
    assert_eq!(text(&mirror, &second).await, "command = [\"two\"]\n");
    mirror.fetch_history(&second).await.unwrap();
    let changes = mirror.commits_between(&first, &second, 10).await.unwrap().unwrap();
    assert_eq!(changes.commits[0].subject, "Second");
    let shallow = desk.of(whole.root().join("shallow").to_str().unwrap());
    shallow.fetch(&last).await.unwrap();
    assert_eq!(text(&shallow, &last).await, "command = [\"last\"]\n");
    shallow.fetch_history(&last).await.unwrap();
    // It has no file itself, and fetches what is asked for.
    let partial = desk.of(whole.root().join("partial").to_str().unwrap());
    partial.fetch(&last).await.unwrap();
    assert_eq!(text(&partial, &last).await, "command = [\"last\"]\n");
    partial.fetch_history(&last).await.unwrap();
    let changes = partial.commits_between(&last, &last, 10).await.unwrap().unwrap();
    assert!(changes.commits.is_empty());
}

/// Whoever may push writes these.
#[tokio::test]
async fn malformed_authors_and_dates_are_no_reason_to_refuse_a_release() {
    let (origin, desk) = (Origin::new(), Desk::new());
    let first = origin.git(&["rev-parse", "HEAD"]);
    let tree = origin.git(&["rev-parse", "HEAD^{tree}"]);
    let odd =
        ["author <> 1 +0000", "author Ann ann 99999999999999999999999 +9999", "author", "author Ann <a> not-a-date"];
    for line in odd {
        let committer = line.replace("author", "committer");
        let commit = origin.object("commit", &format!("tree {tree}\nparent {first}\n{line}\n{committer}\n\nOdd\n"));
        origin.git(&["update-ref", "refs/heads/odd", &commit]);
        let mirror = desk.of_local(&origin);
        mirror.fetch(&commit).await.unwrap_or_else(|error| panic!("{line:?}: {error}"));
        assert_eq!(text(&mirror, &commit).await, "command = [\"one\"]\n", "{line:?}");
        mirror.fetch_history(&commit).await.unwrap_or_else(|error| panic!("{line:?}: {error}"));
        let changes = mirror.commits_between(&first, &commit, 10).await.unwrap().unwrap();
        assert_eq!(changes.commits[0].subject, "Odd", "{line:?}");
    }
}
