//! Secrets on their way from the controller to a supervisor: through memory that has no name in any folder, and that is
//! emptied by whoever reads it. Must not show a value, nor write one to a file, a command line or a log.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read, Seek, Write},
    os::fd::AsFd,
    sync::Arc,
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

use crate::program::no_core_dump;

/// The values of secrets, by name, for the life of a supervisor.
#[derive(Default)]
pub(super) struct Handed(BTreeMap<String, SecretString>);

impl Handed {
    /// The value, for the environment of a process and nothing else.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(ExposeSecret::expose_secret)
    }

    /// What came with standard output, if anything did. Standard output is never written to: nobody reads it.
    pub(super) fn receive() -> io::Result<Self> {
        let mut file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        // Only a memory file has seals; what else may be there is left alone.
        if !fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SealFlags::GROW)) {
            return Ok(Self::default());
        }
        let mut text = Zeroizing::new(Vec::new());
        file.rewind()?;
        file.read_to_end(&mut text)?;
        let length = text.len();
        file.rewind()?;
        file.write_all(&vec![0; length])?;
        let values: BTreeMap<String, SecretString> = serde_json::from_slice(&text).map_err(|error| {
            // The message of the reader might repeat what it read.
            io::Error::other(format!("what was handed over cannot be read, at column {}", error.column()))
        })?;
        if !values.is_empty() {
            no_core_dump()?;
        }
        Ok(Self(values))
    }
}

impl fmt::Debug for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A memory file with these secrets, for the standard output of a supervisor. `wanted`: the names of those it needs.
pub(super) fn send<'a>(
    secrets: &BTreeMap<Arc<str>, SecretString>,
    wanted: impl Iterator<Item = &'a str>,
) -> io::Result<File> {
    let values: BTreeMap<&str, &str> =
        wanted.filter_map(|name| Some((name, secrets.get(name)?.expose_secret()))).collect();
    let mut file = File::from(memfd_create("pointsman-secrets", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    let text = Zeroizing::new(serde_json::to_vec(&values).map_err(io::Error::other)?);
    file.write_all(&text)?;
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}
