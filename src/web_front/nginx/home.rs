//! Which host the front was found on last, so that another one behind the same settings is noticed, also across a restart.
//! Must not decide anything: what is served there is judged by what is read back.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// In the front's own folder, below the state folder.
const FILE: &str = "host";

/// The host, by its name and the identity of the folder there.
pub(super) struct Home {
    file: PathBuf,
    /// As people call it.
    called: String,
    last: Mutex<Option<String>>,
}

impl Home {
    pub fn new(folder: &Path, called: String) -> Self {
        Self { file: folder.join(FILE), called, last: Mutex::new(None) }
    }

    /// The one that answered last.
    pub fn last(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It answers from there. Says so in the log when it was another host before.
    pub fn seen(&self, host: Option<&str>) {
        let Some(host) = host else { return };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_deref() == Some(host) {
            return;
        }
        let (file, called) = (self.file.display(), &self.called);
        let before = match fs::read_to_string(&self.file) {
            Ok(before) => Some(before.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!("{file}: which host the front was on before cannot be read: {error}");
                None
            }
        };
        match &before {
            Some(before) if before != host => tracing::warn!(
                host,
                before,
                "the front at {called} is on another host now: {host}, before {before}; what the old one serves is not \
                 changed any more"
            ),
            _ => tracing::info!(host, "the front at {called} is on {host}"),
        }
        if before.as_deref() != Some(host) {
            let written = fs::write(self.file.with_extension("new"), format!("{host}\n"))
                .and_then(|()| fs::rename(self.file.with_extension("new"), &self.file));
            if let Err(error) = written {
                tracing::warn!("{file}: the front's host cannot be noted: {error}");
            }
        }
        *last = Some(host.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_remembered_across_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let noted = || fs::read_to_string(folder.path().join(FILE)).unwrap();
        let home = Home::new(folder.path(), "web1".to_owned());
        home.seen(None);
        assert_eq!(home.last(), None);
        home.seen(Some("a (identity 1)"));
        assert_eq!((home.last().as_deref(), noted().as_str()), (Some("a (identity 1)"), "a (identity 1)\n"));
        let home = Home::new(folder.path(), "web1".to_owned());
        home.seen(Some("b (identity 2)"));
        assert_eq!((home.last().as_deref(), noted().as_str()), (Some("b (identity 2)"), "b (identity 2)\n"));
    }
}
