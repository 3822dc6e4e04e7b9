//! What was taken over and could not be marked in Heat without a risk to it: that it is ours stands in a file for each.
//! A file without its stack is nothing; a stack without its file is not ours. Which stack a deployment took over stands in
//! a second file, which stays: a name may be another stack's tomorrow.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    definition::Endpoints,
    listing::Listed,
    tags::{Tagged, minutes},
};
use crate::{machine::StackName, stacks::own_folder::write};

/// The folders of these files.
pub(super) struct Kept {
    adopted: PathBuf,
    pinned: PathBuf,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) tagged: Tagged,
    pub(super) id: String,
    pub(super) called: String,
    /// The Heat and the project in which it was found.
    pub(super) place: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    id: String,
    called: String,
    stack: StackName,
    output: String,
    port: Option<u16>,
    minutes: u64,
    #[serde(default)]
    place: Option<String>,
}

impl Kept {
    pub(super) fn below(folder: &Path) -> Self {
        Self { adopted: folder.join("adopted"), pinned: folder.join("pinned") }
    }

    /// All of them. One that cannot be read is not ours.
    pub(super) fn all(&self) -> Vec<Known> {
        let Ok(files) = fs::read_dir(&self.adopted) else { return Vec::new() };
        let files = files.filter_map(|file| file.ok()?.path().file_name()?.to_str().map(str::to_owned));
        files.filter_map(|name| self.of(name.strip_suffix(".json")?)).collect()
    }

    pub(super) fn of(&self, id: &str) -> Option<Known> {
        let written: Written = serde_json::from_slice(&fs::read(self.path(id)?).ok()?).ok()?;
        let endpoints = Endpoints { output: written.output, port: written.port };
        let limit = Duration::from_secs(60 * written.minutes);
        let tagged = Tagged { name: written.stack, endpoints, limit, adopted: Some(written.id.clone()) };
        (written.id == id).then_some(Known { tagged, id: written.id, called: written.called, place: written.place })
    }

    pub(super) fn keep(&self, tagged: &Tagged, stack: &Listed, place: Option<String>) -> io::Result<()> {
        let path = self.path(&stack.id).ok_or_else(|| io::Error::other("its id is not a valid Heat stack id"))?;
        let written = Written {
            id: stack.id.clone(),
            called: stack.stack_name.clone(),
            stack: tagged.name.clone(),
            output: tagged.endpoints.output.clone(),
            port: tagged.endpoints.port,
            minutes: minutes(tagged.limit),
            place,
        };
        write(&self.adopted, &path, &serde_json::to_string(&written)?)
    }

    /// Heat's id of what was taken over as this deployment, if something was.
    pub(super) fn pinned(&self, name: &StackName) -> io::Result<Option<String>> {
        match fs::read_to_string(self.pin_of(name)) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Pins a stack to this id, for good.
    pub(super) fn pin(&self, name: &StackName, id: &str) -> io::Result<()> {
        match self.pinned(name)? {
            Some(before) if before == id => Ok(()),
            Some(before) => Err(io::Error::other(format!("it was {before} before, and is not {id} now"))),
            None => write(&self.pinned, &self.pin_of(name), id),
        }
    }

    fn pin_of(&self, name: &StackName) -> PathBuf {
        let StackName { environment, number } = name;
        self.pinned.join(format!("{}.{}.{number}", environment.pipeline, environment.environment))
    }

    /// Where it stands that this stack is ours.
    pub(super) fn file(&self, id: &str) -> PathBuf {
        self.adopted.join(format!("{id}.json"))
    }

    pub(super) fn forget(&self, id: &str) {
        if let Some(Err(error)) = self.path(id).filter(|path| path.exists()).map(fs::remove_file) {
            tracing::warn!(%id, %error, "the file about a stack that is gone cannot be removed");
        }
    }

    fn path(&self, id: &str) -> Option<PathBuf> {
        let plain = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        plain.then(|| self.file(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Number;

    #[test]
    fn a_deployment_takes_over_one_stack_for_good() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = Kept::below(folder.path());
        let name = StackName { environment: "shop/prod".parse().expect("a name"), number: Number(3) };
        assert_eq!(kept.pinned(&name).expect("read"), None);
        kept.pin(&name, "a-1").expect("written");
        kept.forget("a-1");
        kept.pin(&name, "a-1").expect("the same");
        assert!(kept.pin(&name, "b-2").is_err());
        assert_eq!(Kept::below(folder.path()).pinned(&name).expect("read").as_deref(), Some("a-1"));
        assert_eq!(kept.pinned(&StackName { number: Number(4), ..name }).expect("read"), None);
    }
}
