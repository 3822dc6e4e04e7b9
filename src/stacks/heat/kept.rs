//! What was taken over and could not be marked in Heat without a risk to it: that it is ours stands in a file for each.
//! A file without its stack is nothing; a stack without its file is not ours.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    definition::Endpoints,
    listing::Listed,
    tags::{Tagged, minutes},
};
use crate::machine::StackName;

/// The folder of these files.
pub(super) struct Kept(PathBuf);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) tagged: Tagged,
    pub(super) id: String,
    pub(super) called: String,
}

#[derive(Serialize, Deserialize)]
struct Written {
    id: String,
    called: String,
    stack: StackName,
    output: String,
    port: Option<u16>,
    minutes: u64,
}

impl Kept {
    pub(super) fn below(folder: &Path) -> Self {
        Self(folder.join("adopted"))
    }

    /// All of them. One that can not be read is not ours.
    pub(super) fn all(&self) -> Vec<Known> {
        let Ok(files) = fs::read_dir(&self.0) else { return Vec::new() };
        let files = files.filter_map(|file| file.ok()?.path().file_name()?.to_str().map(str::to_owned));
        files.filter_map(|name| self.of(name.strip_suffix(".json")?)).collect()
    }

    pub(super) fn of(&self, id: &str) -> Option<Known> {
        let written: Written = serde_json::from_slice(&fs::read(self.path(id)?).ok()?).ok()?;
        let endpoints = Endpoints { output: written.output, port: written.port };
        let limit = Duration::from_secs(60 * written.minutes);
        let tagged = Tagged { name: written.stack, endpoints, limit, adopted: Some(written.id.clone()) };
        (written.id == id).then_some(Known { tagged, id: written.id, called: written.called })
    }

    pub(super) fn keep(&self, tagged: &Tagged, stack: &Listed) -> io::Result<()> {
        let path = self.path(&stack.id).ok_or_else(|| io::Error::other("its id is none of Heat's"))?;
        let written = Written {
            id: stack.id.clone(),
            called: stack.stack_name.clone(),
            stack: tagged.name.clone(),
            output: tagged.endpoints.output.clone(),
            port: tagged.endpoints.port,
            minutes: minutes(tagged.limit),
        };
        fs::create_dir_all(&self.0)?;
        let draft = path.with_extension("new");
        let mut file = File::create(&draft)?;
        serde_json::to_writer(&mut file, &written)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        File::open(&self.0)?.sync_all()
    }

    pub(super) fn forget(&self, id: &str) {
        if let Some(Err(error)) = self.path(id).filter(|path| path.exists()).map(fs::remove_file) {
            tracing::warn!(%id, %error, "the file about a stack that is gone can not be removed");
        }
    }

    fn path(&self, id: &str) -> Option<PathBuf> {
        let plain = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        plain.then(|| self.0.join(format!("{id}.json")))
    }
}
