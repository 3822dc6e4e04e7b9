//! What a front was ordered that keeps no orders itself, kept in its folder. Must not ask or run anything.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::Route;
use crate::machine::StackName;

const FILE: &str = "ordered.json";

/// All of it.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The last order that was carried out.
    pub in_force: Option<Route>,
    /// The highest order that was ever begun.
    pub accepted: Option<Route>,
    /// The candidate that was announced last.
    pub staged: Option<StackName>,
    /// The stack that had the traffic before.
    pub before: Option<StackName>,
    /// Nothing of the front was changed yet: its users are somebody else's, whatever the last order says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untouched: bool,
}

impl Record {
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        match fs::read(folder.join(FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Durable when it returns. Only whoever has the lock may.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let fresh = folder.join(format!("{FILE}.new"));
        let mut file = File::create(&fresh)?;
        file.write_all(&serde_json::to_vec(self).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(fresh, folder.join(FILE))?;
        File::open(folder)?.sync_all()
    }
}
