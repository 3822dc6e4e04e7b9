//! One fetch, from the first connection to the last object. Runs on a thread of its own and ends by its own limits.
//! Must leave the mirror as it was, or better.

use std::{
    collections::BTreeSet,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use git2::{ErrorClass, Indexer, OdbLookupFlags, Oid, Repository};

use super::{
    CommitName, Error, Limits, Remote,
    address::Address,
    history,
    http::{Http, login},
    local::Local,
    patience::{Patience, SAYS},
    protocol::{Tip, Upstream},
    ssh::Ssh,
    store,
};

pub(super) struct Job {
    pub place: PathBuf,
    pub remote: Remote,
    pub wanted: CommitName,
    pub limits: Limits,
    /// The words of the command that is ssh.
    pub ssh: Vec<String>,
    /// The mirror was seen to be damaged.
    pub anew: bool,
}

impl Job {
    pub fn run(&self) -> Result<(), Error> {
        match self.once() {
            Err(Error::Damaged { why, folder }) => {
                tracing::warn!(folder, why, "the mirror of a repository is damaged and made again");
                self.make_anew()
            }
            other => other,
        }
    }

    fn once(&self) -> Result<(), Error> {
        let Some(mirror) = store::open(&self.place)?.filter(|_| !self.anew) else { return self.make_anew() };
        if store::is_crowded(store::sweep(&mirror)?) {
            return self.make_anew();
        }
        let patience = self.patience(false)?;
        self.refresh(&mirror, &patience)?;
        self.reach(&mirror, &patience)
    }

    fn make_anew(&self) -> Result<(), Error> {
        let patience = self.patience(true)?;
        let making = store::beside(&self.place, "making");
        self.refresh(&store::make(&making)?, &patience)?;
        store::replace(&self.place, &making)?;
        let mirror = store::open(&self.place)?.ok_or(Error::Interrupted)?;
        self.reach(&mirror, &patience)
    }

    fn patience(&self, first: bool) -> Result<Patience, Error> {
        Patience::new(self.remote.address.to_string(), self.limits, first)
    }

    fn connect<'p>(&self, patience: &'p Patience) -> Result<Box<dyn Upstream + 'p>, Error> {
        Ok(match &self.remote.address {
            Address::Local(path) => Box::new(Local::open(path, patience)?),
            Address::Ssh(to) => Box::new(Ssh::start(&self.ssh, to, patience)?),
            Address::Http(url) => {
                let password = self.remote.password.as_ref().map(|read| read().map_err(Error::Password)).transpose()?;
                let user = self.remote.user.as_deref();
                let login = password.map(|password| login(user, &password, patience)).transpose()?;
                Box::new(Http::new(url, login, patience)?)
            }
        })
    }

    /// Brings all branches and tags. A branch that was moved by force is simply where it is now.
    fn refresh(&self, mirror: &Repository, patience: &Patience) -> Result<(), Error> {
        let kept = store::tips(mirror)?;
        let mut upstream = self.connect(patience)?;
        let tips = upstream.tips()?;
        let odb = mirror.odb().map_err(|error| Error::damaged(mirror.path(), &error))?;
        let here = |id: Oid| odb.exists_ext(id, OdbLookupFlags::NO_REFRESH);
        let missing: BTreeSet<Oid> = tips.iter().map(|tip| tip.id).filter(|id| !here(*id)).collect();
        if !missing.is_empty() {
            bring(mirror, &mut *upstream, &Vec::from_iter(missing), &kept, patience)?;
        }
        let asked_for = kept.into_iter().filter(|tip| tip.name.starts_with(store::KEPT));
        store::keep(mirror, tips.into_iter().chain(asked_for))
    }

    /// Sees to it that the wanted commit is there, if need be by asking for it by its id.
    fn reach(&self, mirror: &Repository, patience: &Patience) -> Result<(), Error> {
        let no_commit = || Error::NoCommit { commit: self.wanted.to_string(), place: self.remote.address.to_string() };
        let mut found = self.wanted.resolve(mirror)?;
        if found.is_none() {
            let id = self.wanted.whole().ok_or_else(no_commit)?;
            let mut upstream = self.connect(patience)?;
            upstream.tips()?;
            let kept = store::tips(mirror)?;
            match bring(mirror, &mut *upstream, &[id], &kept, patience) {
                Err(Error::NoRepository(_)) => return Err(no_commit()),
                Err(Error::Broken { why, .. }) if why.starts_with(SAYS) => return Err(no_commit()),
                other => other?,
            }
            found = self.wanted.resolve(mirror)?;
        }
        let id = found.ok_or_else(no_commit)?;
        let mut tips = store::tips(mirror)?;
        tips.push(Tip { name: format!("{}{id}", store::KEPT), id });
        store::keep(mirror, tips)
    }
}

/// Receives a pack and takes it in when it is whole: everything in it that refers to something finds it.
fn bring(
    mirror: &Repository,
    from: &mut dyn Upstream,
    wants: &[Oid],
    kept: &[Tip],
    patience: &Patience,
) -> Result<(), Error> {
    let folder = mirror.path().join("objects/pack");
    let broken_here = |error: git2::Error| Error::damaged(mirror.path(), &error);
    let odb = mirror.odb().map_err(broken_here)?;
    let haves = history::recent(&odb, kept).map_err(broken_here)?;
    let unusable = |error: &git2::Error| {
        if let Err(over) = patience.left() {
            return over;
        }
        match error.class() {
            ErrorClass::Os | ErrorClass::Filesystem => Error::disk(mirror.path(), &error.message()),
            // It may as well be what we said to have that is not there.
            _ if !haves.is_empty() => Error::damaged(mirror.path(), error),
            _ => patience.broken(crate::text::excerpt(error.message())),
        }
    };
    let inner = |error: &io::Error| {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<git2::Error>());
        inner.map_or_else(|| Error::disk(mirror.path(), error), unusable)
    };
    let mut indexer = Indexer::new(Some(&odb), &folder, 0, true).map_err(|error| unusable(&error))?;
    indexer.progress(|_| patience.left().is_ok());
    // The indexer maps the end of its file at every write: many small ones take minutes.
    let mut buffered = BufWriter::with_capacity(1 << 20, indexer);
    from.pack(wants, &haves, &mut |bytes| {
        patience.left()?;
        buffered.write_all(bytes).map_err(|error| inner(&error))
    })?;
    let indexer = buffered.into_inner().map_err(|error| inner(error.error()))?;
    indexer.commit().map_err(|error| unusable(&error))?;
    odb.refresh().map_err(broken_here)
}
