//! One fetch, from the first connection to the last object, by the `git` program. Runs on a thread of its own and ends by its own
//! limits. Must leave the mirrors as they were, or better.
//!
//! A commit with its files is fetched alone and without its history, so a repository of any size can be deployed from. The history
//! is fetched beside it, without files, when somebody wants to see what lies between two releases.

use std::path::{Path, PathBuf};

use super::{
    CommitName, Error, Limits, Remote,
    address::Address,
    name::Found,
    program::{self, Errand},
    store, words,
};
use crate::clock::Stopwatch;

/// Commits that a fetch brings.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// A commit with its files.
    Files(CommitName),
    /// The commits that lead to this one.
    History(CommitName),
}

pub(super) struct Job {
    pub place: PathBuf,
    pub remote: Remote,
    pub wanted: Wanted,
    pub limits: Limits,
    /// The words of the command that is ssh.
    pub ssh: Vec<String>,
    /// The mirror was seen to be damaged.
    pub anew: bool,
}

/// All branches and tags, where they are now, also where they were moved by force.
const ALL: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
const FETCH: [&str; 7] =
    ["fetch", "--progress", "--no-write-fetch-head", "--no-auto-gc", "--no-tags", "--update-shallow", "--force"];
/// How git serves a repository of this host: without files where they are not asked for.
const SERVE: &str = "--upload-pack=git -c uploadpack.allowFilter=true upload-pack";

impl Job {
    pub(super) async fn run(&self) -> Result<(), Error> {
        match &self.wanted {
            Wanted::History(commit) => self.history(commit).await.map(drop),
            Wanted::Files(commit) => {
                let whole = match commit.whole() {
                    Some(_) => commit.clone(),
                    // What it begins with is looked up among the commits.
                    None => self.history(commit).await?,
                };
                let bring = async |place: PathBuf, errand: &Errand<'_>| self.files(&place, &whole, errand).await;
                self.mirrored(&self.place, bring).await
            }
        }
    }

    /// Has something brought into a mirror, which is made first where it is missing or damaged.
    async fn mirrored(
        &self,
        place: &Path,
        bring: impl AsyncFn(PathBuf, &Errand<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let exists = place.exists() && !self.anew;
        let errand = self.errand(!exists)?;
        if exists {
            match self.tidy(place, &errand, &bring).await {
                Err(Error::Damaged { why, folder }) => {
                    tracing::warn!(folder, why, "the mirror of a repository is damaged and made again");
                }
                other => return other,
            }
        }
        let errand = self.errand(true)?;
        let making = store::making(place);
        self.make(&making, &errand).await?;
        bring(making.clone(), &errand).await.map_err(|error| match error {
            // Nothing was there that could be damaged.
            Error::Damaged { why, .. } => Error::Broken { place: self.remote.address.to_string(), why },
            other => other,
        })?;
        store::replace(place, &making)
    }

    async fn tidy(
        &self,
        place: &Path,
        errand: &Errand<'_>,
        bring: &impl AsyncFn(PathBuf, &Errand<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if store::sweep(place)? {
            errand.run(place, &["gc", "--quiet", "--prune=now"]).await?;
        }
        bring(place.to_owned(), errand).await
    }

    fn errand(&self, first: bool) -> Result<Errand<'_>, Error> {
        let lazily = matches!(self.wanted, Wanted::Files(_));
        let password =
            self.remote.password.as_ref().map(|password| (password.read)().map_err(Error::Password)).transpose()?;
        let (limits, begun) = (self.limits, Stopwatch::start());
        let whole = if first { limits.first } else { limits.whole };
        let user = self.remote.user.as_deref();
        Ok(Errand { address: &self.remote.address, user, password, limits, whole, begun, lazily, ssh: &self.ssh })
    }

    /// An empty mirror of the remote's own kind: SHA-1 or SHA-256.
    async fn make(&self, at: &Path, errand: &Errand<'_>) -> Result<(), Error> {
        self.init(at, "--object-format=sha1").await?;
        let tips = errand.run(at, &["ls-remote", "--quiet", "--", &self.remote.address.for_git()]).await?;
        let digits = tips.split_whitespace().next().map_or(40, str::len);
        if digits == 64 { self.init(at, "--object-format=sha256").await } else { Ok(()) }
    }

    async fn init(&self, at: &Path, format: &str) -> Result<(), Error> {
        let folder = at.parent().unwrap_or(at);
        let ready = store::remove(at).and_then(|()| std::fs::create_dir_all(folder));
        ready.map_err(|error| Error::disk(at, &error))?;
        let made = program::read(at, &["init", "--quiet", "--bare", "--template=", format], "").await?;
        if made.ok { Ok(()) } else { Err(Error::disk(at, &made.err.trim())) }
    }

    async fn files(&self, place: &Path, commit: &CommitName, errand: &Errand<'_>) -> Result<(), Error> {
        let url = self.remote.address.for_git();
        let alone = format!("+{commit}:refs/pointsman/{commit}");
        let shallow = [&FETCH[..], &["--depth=1", "--", &url, &alone]].concat();
        match errand.run(place, &shallow).await {
            // A server of the old protocol gives only what a branch or tag leads to.
            Err(error) if words::is_not_given(&error) => {
                let all = [&FETCH[..], &["--prune", "--", &url, ALL[0], ALL[1]]].concat();
                errand.run(place, &all).await?;
                self.keep(place, commit, true).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Brings all commits without their files, and the wanted one by its id where no branch or tag leads to it. Returns its whole
    /// name.
    async fn history(&self, commit: &CommitName) -> Result<CommitName, Error> {
        let place = store::history(&self.place);
        let bring = async |place: PathBuf, errand: &Errand<'_>| {
            let url = format!("remote.origin.url={}", self.remote.address.for_git());
            let settings = ["-c", &url, "-c", "fetch.writeCommitGraph=true"];
            let serve: &[&str] = if matches!(self.remote.address, Address::Local(_)) { &[SERVE] } else { &[] };
            let fetch = [&settings, &FETCH[..], &["--filter=tree:0"], serve].concat();
            errand.run(&place, &[&fetch[..], &["--prune", "origin", ALL[0], ALL[1]]].concat()).await?;
            if commit.find(&place, false).await? == Found::Missing && commit.whole().is_some() {
                let alone = format!("+{commit}:refs/pointsman/{commit}");
                match errand.run(&place, &[&fetch[..], &["origin", &alone]].concat()).await {
                    Err(error) if words::is_not_given(&error) => return Err(self.no_commit(commit)),
                    other => other?,
                };
            }
            self.keep(&place, commit, false).await.map(drop)
        };
        self.mirrored(&place, bring).await?;
        self.keep(&place, commit, false).await
    }

    /// Keeps the commit, whatever becomes of the branches.
    async fn keep(&self, place: &Path, commit: &CommitName, with_files: bool) -> Result<CommitName, Error> {
        let Found::Commit(whole) = commit.find(place, with_files).await? else { return Err(self.no_commit(commit)) };
        let keep = ["update-ref", &format!("refs/pointsman/{whole}"), &whole.to_string()];
        let kept = program::read(place, &keep, "").await?;
        if kept.ok { Ok(whole) } else { Err(Error::damaged(place, kept.err.trim())) }
    }

    fn no_commit(&self, commit: &CommitName) -> Error {
        Error::NoCommit { commit: commit.to_string(), place: self.remote.address.to_string() }
    }
}
