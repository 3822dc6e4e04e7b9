//! What tells a folder and a host from others. Must not judge.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};

/// Identity of a folder, whatever it is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Where it is, without links.
    pub path: PathBuf,
    /// The number of its file system. It may change when the host is started again.
    pub device: u64,
    /// The number of the folder there. It may be used again once the folder is removed.
    pub inode: u64,
    /// When the folder was made, in nanoseconds since 1970; none where the file system does not say. A copy has another time.
    pub born: Option<u64>,
}

impl Place {
    /// The folder at this path.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let path = folder.canonicalize()?;
        let seen = fs::metadata(&path)?;
        // A file system that does not know says so, or names the beginning of time.
        let born = seen.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        let born = born.and_then(|since| u64::try_from(since.as_nanos()).ok()).filter(|nanos| *nanos > 0);
        Ok(Self { path, device: seen.dev(), inode: seen.ino(), born })
    }

    /// Whether both are the same folder now, on one running host.
    pub(super) fn is_at_once(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// Identity of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Host {
    /// `/etc/machine-id`; none in most containers.
    pub machine: Option<String>,
    /// What the host is called; a new container has a new name.
    pub name: String,
    /// This start of the kernel: the same in all containers of a host.
    pub boot: String,
}

impl Host {
    /// This one.
    ///
    /// # Errors
    /// When the kernel does not say which start of it this is.
    pub(super) fn here() -> io::Result<Self> {
        let line = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned());
        let machine = line("/etc/machine-id").ok().filter(|id| !id.is_empty() && id != "uninitialized");
        Ok(Self { machine, name: line("/proc/sys/kernel/hostname")?, boot: line("/proc/sys/kernel/random/boot_id")? })
    }

    /// Whether both are the same machine, as far as that can be told.
    pub(super) fn is(&self, other: &Self) -> bool {
        let machines = self.machine.as_ref().zip(other.machine.as_ref());
        self.boot == other.boot || machines.map_or(self.name == other.name, |(one, two)| one == two)
    }
}
