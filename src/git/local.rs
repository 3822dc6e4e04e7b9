//! A repository on this host: read by libgit2, without a program or a network. Must not change it.

use std::{ffi::OsStr, path::Path};

use git2::{ErrorCode, Object, ObjectType, Oid, PackBuilder, Repository, RepositoryOpenFlags};

use super::{
    Error,
    patience::Patience,
    protocol::{Sink, Tip, Upstream},
};

pub(super) struct Local<'a> {
    repository: Repository,
    patience: &'a Patience,
}

impl<'a> Local<'a> {
    pub fn open(path: &Path, patience: &'a Patience) -> Result<Self, Error> {
        let none: [&OsStr; 0] = [];
        match Repository::open_ext(path, RepositoryOpenFlags::NO_SEARCH, none) {
            Ok(repository) => Ok(Self { repository, patience }),
            Err(error) if error.code() == ErrorCode::NotFound => Err(Error::NoRepository(patience.place.clone())),
            Err(error) if error.code() == ErrorCode::Owner => {
                Err(patience.refused("it belongs to another user of this host, and safe.directory does not name it"))
            }
            Err(error) => Err(patience.says(error.message())),
        }
    }

    fn broken(&self, error: &git2::Error) -> Error {
        // Our own patience ends the packing by an error of libgit2's.
        self.patience.left().err().unwrap_or_else(|| self.patience.says(error.message()))
    }

    fn packed(&self, wants: &[Oid], haves: &[Oid], sink: &mut Sink<'_>) -> Result<Result<(), Error>, git2::Error> {
        let mut builder = self.repository.packbuilder()?;
        builder.set_threads(1);
        let mut walk = self.repository.revwalk()?;
        let odb = self.repository.odb()?;
        for id in wants {
            let mut object = self.repository.find_object(*id, None)?;
            // A tag, and a tag of a tag, before what it is of.
            while let Some(of) = self.inside(&mut builder, &object)? {
                object = of;
            }
            match object.kind() {
                Some(ObjectType::Commit) => walk.push(object.id())?,
                _ => builder.insert_recursive(object.id(), None)?,
            }
        }
        for id in haves.iter().filter(|id| odb.exists(**id)) {
            walk.hide(*id)?;
        }
        builder.insert_walk(&mut walk)?;
        let patience = self.patience;
        builder.set_progress_callback(|_, _, _| patience.left().is_ok())?;
        let mut outcome = Ok(());
        let done = builder.foreach(|bytes| {
            outcome = patience.count(bytes.len()).and_then(|()| sink(bytes));
            outcome.is_ok()
        });
        if outcome.is_ok() { done.map(Ok) } else { Ok(outcome) }
    }

    fn inside<'r>(
        &self,
        builder: &mut PackBuilder<'_>,
        object: &Object<'r>,
    ) -> Result<Option<Object<'r>>, git2::Error> {
        let Some(tag) = object.as_tag() else { return Ok(None) };
        builder.insert_object(tag.id(), None)?;
        tag.target().map(Some)
    }
}

impl Upstream for Local<'_> {
    fn tips(&mut self) -> Result<Vec<Tip>, Error> {
        let references = self.repository.references().map_err(|error| self.broken(&error))?;
        let mut tips = Vec::new();
        for reference in references {
            let reference = reference.map_err(|error| self.broken(&error))?;
            let Ok(name) = reference.name() else { continue };
            let Some(id) = reference.target().filter(|_| reference.is_branch() || reference.is_tag()) else { continue };
            tips.push(Tip { name: name.to_owned(), id });
        }
        Ok(tips)
    }

    fn pack(&mut self, wants: &[Oid], haves: &[Oid], sink: &mut Sink<'_>) -> Result<(), Error> {
        self.packed(wants, haves, sink).map_err(|error| self.broken(&error))?
    }
}
