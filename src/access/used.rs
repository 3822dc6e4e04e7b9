//! When tokens were used last, and from where: known to the minute, and written down once a minute at most, whatever is asked.
//! Must not be believed for anything: it is for people, and may be lost.

use std::{
    collections::HashMap,
    fs, io,
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{Digest, kept};
use crate::machine::Millis;

/// The name of the file, below the state folder.
pub const FILE: &str = "token-use.json";
/// How exactly the time of the last use is known.
const EXACTLY: Millis = Millis(60_000);

/// A last use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    token: Digest,
    /// When, to the minute.
    pub at: Millis,
    /// Address of the last use.
    pub from: String,
}

/// The last uses, as they are known.
#[derive(Default)]
pub struct Uses {
    known: Mutex<HashMap<Digest, Use>>,
    /// Whether the file says less than is known.
    behind: Mutex<bool>,
}

impl Uses {
    /// Reads those of the state folder. What cannot be read is said in the log, and known from the next use on.
    pub fn open(state: &Path) -> Self {
        let known = read(state).unwrap_or_else(|error| {
            tracing::warn!(%error, "{} cannot be read; last uses of tokens are known from now on", state.join(FILE).display());
            Vec::new()
        });
        let known = known.into_iter().map(|used| (used.token, used)).collect();
        Self { known: Mutex::new(known), behind: Mutex::default() }
    }

    /// Notes that a token is used. The disk knows it by [`Uses::write`].
    pub(super) fn note(&self, token: Digest, from: &str, now: Millis) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let news = known.get(&token).is_none_or(|used| now.since(used.at) >= EXACTLY || used.from != from);
        if news {
            known.insert(token, Use { token, at: now, from: from.to_owned() });
            *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = true;
        }
    }

    /// Returns the last use of a token.
    pub fn of(&self, token: Digest) -> Option<Use> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&token).cloned()
    }

    /// Writes down what is news; only of tokens that there still are.
    ///
    /// # Errors
    /// That the file cannot be written; it is tried again the next time.
    pub(super) fn write(&self, state: &Path, are_there: impl Fn(Digest) -> bool) -> Result<(), kept::Error> {
        if !std::mem::take(&mut *self.behind.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let mut all: Vec<Use> = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|token, _| are_there(*token));
            known.values().cloned().collect()
        };
        all.sort_by_key(|used| used.token.0);
        let text = serde_json::to_vec_pretty(&all).expect("texts and numbers serialise");
        kept::replace(state, FILE, &text)
            .inspect_err(|_| *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = true)
    }
}

/// Reads the last uses that are written down; none where there is no file.
///
/// # Errors
/// That the file cannot be read.
pub fn read(state: &Path) -> io::Result<Vec<Use>> {
    match fs::read(state.join(FILE)) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Returns the last use of a token among these.
pub fn of(uses: &[Use], token: Digest) -> Option<&Use> {
    uses.iter().find(|used| used.token == token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_use_is_known_to_the_minute_and_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let uses = Uses::open(folder.path());
        let at = |token| uses.of(token).map(|used| (used.at.0, used.from));
        uses.note(one, "192.0.2.1", Millis(1_000));
        uses.note(one, "192.0.2.1", Millis(60_999));
        assert_eq!(at(one), Some((1_000, "192.0.2.1".to_owned())));
        uses.note(one, "192.0.2.1", Millis(61_000));
        uses.note(one, "192.0.2.2", Millis(61_001));
        uses.note(two, "192.0.2.1", Millis(70_000));
        assert_eq!(at(one), Some((61_001, "192.0.2.2".to_owned())));
        uses.write(folder.path(), |token| token == one).unwrap();
        let again = Uses::open(folder.path());
        assert_eq!((again.of(one), again.of(two)), (uses.of(one), None), "what is revoked is forgotten");
        fs::remove_file(folder.path().join(FILE)).unwrap();
        uses.write(folder.path(), |_| true).unwrap();
        assert!(!folder.path().join(FILE).exists(), "no news, no writing");
        uses.note(one, "192.0.2.2", Millis(70_000));
        uses.write(folder.path(), |_| true).unwrap();
        assert!(!folder.path().join(FILE).exists(), "the same minute is not written again");
    }

    #[test]
    fn a_damaged_file_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "torn").unwrap();
        assert!(read(folder.path()).is_err());
        let uses = Uses::open(folder.path());
        uses.note(Digest::of(b"one"), "192.0.2.1", Millis(1));
        uses.write(folder.path(), |_| true).unwrap();
        assert_eq!(read(folder.path()).unwrap().len(), 1);
    }
}
