//! Sessions: who is signed in, in a file of the state folder, so that a restart ends none. Must not keep the secret of one,
//! only its digest.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{Digest, kept, openid};
use crate::{machine::Millis, random};

/// The name of the file, below the state folder.
pub const FILE: &str = "sessions.json";
/// The most sessions there are, and those of one holder; the ones that were used least recently end for new ones.
const MOST: usize = 4096;
const MOST_OF_ONE: usize = 32;
/// How exactly the time of the last use is known.
const USED: Millis = Millis(60_000);
/// Prefix of the names of holders of the local token.
const LOCAL: &str = "local:";
/// The length of a session's secret, in hexadecimal digits.
const LENGTH: usize = 64;

/// When a session ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// A session ends this long after its last use.
    pub idle: Millis,
    /// A session ends this long after its sign-in, however much it is used.
    pub after: Millis,
}

impl Default for Ends {
    fn default() -> Self {
        Self { idle: Millis(12 * 3_600_000), after: Millis(7 * 86_400_000) }
    }
}

/// Who has a session, and what must still be so for it to be good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Holder {
    /// A user of `users.toml`.
    User {
        /// Their name.
        name: Arc<str>,
        /// What the user's stamp was at the sign-in.
        stamp: Digest,
    },
    /// The holder of the local token.
    Local {
        /// The name that they gave.
        name: Arc<str>,
        /// What the local token's stamp was at the sign-in.
        stamp: Digest,
    },
    /// A person whom an OpenID Connect provider vouches for.
    Openid {
        /// The provider.
        issuer: Arc<str>,
        /// The provider's own name for the account.
        subject: Arc<str>,
        /// Name at the sign-in.
        name: Arc<str>,
        /// Groups of the person that have grants.
        groups: Vec<Arc<str>>,
        /// What the stamp of the groups' grants was at the sign-in.
        stamp: Digest,
    },
}

impl Holder {
    /// Returns whether the journal has this name for them.
    pub fn is(&self, by: &str) -> bool {
        match self {
            Self::User { name, .. } => **name == *by,
            Self::Local { name, .. } => by.strip_prefix(LOCAL) == Some(name),
            Self::Openid { issuer, subject, .. } => openid::is(issuer, subject, by),
        }
    }

    /// Returns what is the same for all sessions of one account, and for no other account.
    pub(super) fn account(&self) -> Arc<str> {
        match self {
            Self::User { .. } | Self::Local { .. } => self.by(),
            // Their name at the provider may be another one at each sign-in.
            Self::Openid { issuer, subject, .. } => openid::by(issuer, subject, ""),
        }
    }

    /// Returns the name that the journal has.
    pub fn by(&self) -> Arc<str> {
        match self {
            Self::User { name, .. } => name.clone(),
            Self::Local { name, .. } => format!("{LOCAL}{name}").into(),
            Self::Openid { issuer, subject, name, .. } => openid::by(issuer, subject, name),
        }
    }
}

/// One session, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Digest of the secret in the cookie.
    pub digest: Digest,
    /// Who has it.
    pub holder: Holder,
    /// When they signed in.
    pub created: Millis,
    /// When it was used last, to the minute.
    pub used: Millis,
    /// The address that it was used from last.
    pub from: String,
}

impl Session {
    /// Returns when it ends, if it is not used any more.
    pub fn until(&self, ends: Ends) -> Millis {
        self.used.plus(ends.idle).min(self.created.plus(ends.after))
    }
}

/// The sessions there are.
pub struct Sessions {
    state: PathBuf,
    ends: Ends,
    /// What requests look at: never held while the disk is waited for.
    kept: Mutex<Kept>,
    /// Whoever holds it writes the file.
    writing: Mutex<()>,
}

#[derive(Default)]
struct Kept {
    sessions: Vec<Session>,
    /// Whether the file says less than is known.
    behind: bool,
}

impl Sessions {
    /// Reads those of the state folder. A file that cannot be read is said in the log, and everybody signs in anew.
    pub fn open(state: &Path, ends: Ends) -> Self {
        let path = state.join(FILE);
        let read = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let sessions = match read {
            Ok(sessions) => sessions,
            Err(error) => {
                tracing::error!(%error, "{} cannot be read; everybody has to sign in again", path.display());
                Vec::new()
            }
        };
        let kept = Kept { sessions, ..Kept::default() };
        Self { state: state.to_owned(), ends, kept: Mutex::new(kept), writing: Mutex::default() }
    }

    /// Begins a session, writes it to the disk and returns its secret.
    ///
    /// # Errors
    /// That there is no randomness to be had, or the file cannot be written; then there is no session.
    pub fn begin(&self, holder: Holder, from: &str, now: Millis) -> Result<SecretString, Error> {
        self.begin_instead(None, holder, from, now)
    }

    /// Begins a session in the place of the one that the browser had before, which ends, and returns the secret of the new one.
    ///
    /// # Errors
    /// As [`Sessions::begin`]; then the one before goes on.
    pub fn begin_instead(
        &self,
        before: Option<Digest>,
        holder: Holder,
        from: &str,
        now: Millis,
    ) -> Result<SecretString, Error> {
        let secret = SecretString::from(random::hex_of(LENGTH / 2)?);
        let digest = Digest::of(secret.expose_secret().as_bytes());
        let session = Session { digest, holder, created: now, used: now, from: from.to_owned() };
        self.edit(|sessions| {
            sessions.retain(|session| now < session.until(self.ends) && Some(session.digest) != before);
            let by = session.holder.by();
            while sessions.iter().filter(|other| other.holder.is(&by)).count() >= MOST_OF_ONE {
                forget_oldest(sessions, |other| other.holder.is(&by));
            }
            while sessions.len() >= MOST {
                forget_oldest(sessions, |_| true);
            }
            sessions.push(session);
        })?;
        Ok(secret)
    }

    /// Returns the session that has this secret, and notes that it is used. The disk knows that by [`Sessions::write`].
    pub fn find(&self, secret: &[u8], from: &str, now: Millis) -> Option<Session> {
        if secret.len() != LENGTH {
            return None;
        }
        let digest = Digest::of(secret);
        let mut kept = self.lock();
        let found = kept.sessions.iter_mut().find(|session| session.digest.0.ct_eq(&digest.0).into())?;
        if now >= found.until(self.ends) {
            return None;
        }
        let changed = now.since(found.used) >= USED || found.from != from;
        if changed {
            (found.used, found.from) = (now, from.to_owned());
        }
        let found = found.clone();
        kept.behind |= changed;
        Some(found)
    }

    /// Returns whether a session that was found before is still there.
    pub fn still(&self, digest: Digest, now: Millis) -> Option<Session> {
        let kept = self.lock();
        kept.sessions.iter().find(|session| session.digest == digest && now < session.until(self.ends)).cloned()
    }

    /// Returns whether this person has a session that was used from this address last.
    pub fn is_known(&self, by: &str, from: &str, now: Millis) -> bool {
        let kept = self.lock();
        kept.sessions.iter().any(|s| s.from == from && now < s.until(self.ends) && s.holder.is(by))
    }

    /// Writes down when sessions were used last.
    ///
    /// # Errors
    /// That the file cannot be written.
    pub fn write(&self) -> Result<(), Error> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = {
            let mut kept = self.lock();
            if !std::mem::take(&mut kept.behind) {
                return Ok(());
            }
            kept.sessions.clone()
        };
        self.store(&sessions).inspect_err(|_| self.lock().behind = true)
    }

    /// Ends those sessions that `over` names, and returns how many. The disk knows it then.
    ///
    /// # Errors
    /// That the file cannot be written; then they go on, and it is to be said.
    pub fn end(&self, over: impl Fn(&Session) -> bool) -> Result<usize, Error> {
        let mut ended = 0;
        self.edit(|sessions| {
            let before = sessions.len();
            sessions.retain(|session| !over(session));
            ended = before - sessions.len();
        })?;
        Ok(ended)
    }

    /// Returns when a session ends, if it is not used any more.
    pub fn until(&self, session: &Session) -> Millis {
        session.until(self.ends)
    }

    /// Lists the sessions that have not ended, the one that was used last first.
    pub fn list(&self, now: Millis) -> Vec<Session> {
        let kept = self.lock();
        let mut all: Vec<_> = kept.sessions.iter().filter(|session| now < session.until(self.ends)).cloned().collect();
        all.sort_by_key(|session| std::cmp::Reverse(session.used));
        all
    }

    /// The disk knows it first. Meanwhile requests go on, and what they note is kept.
    fn edit(&self, change: impl FnOnce(&mut Vec<Session>)) -> Result<(), Error> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sessions = self.lock().sessions.clone();
        change(&mut sessions);
        self.store(&sessions)?;
        let mut kept = self.lock();
        let before: HashMap<Digest, Session> =
            std::mem::take(&mut kept.sessions).into_iter().map(|session| (session.digest, session)).collect();
        kept.behind = false;
        for session in &mut sessions {
            if let Some(now) = before.get(&session.digest).filter(|now| *now != session) {
                *session = now.clone();
                kept.behind = true;
            }
        }
        kept.sessions = sessions;
        Ok(())
    }

    fn store(&self, sessions: &[Session]) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(sessions).map_err(io::Error::from)?;
        Ok(kept::replace(&self.state, FILE, &text)?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a session cannot begin or end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error("the sessions cannot be written down: {0}")]
    Kept(#[from] kept::Error),
    /// The system.
    #[error("the sessions cannot be written down: {0}")]
    Io(#[from] io::Error),
}

fn forget_oldest(sessions: &mut Vec<Session>, among: impl Fn(&Session) -> bool) {
    let oldest = sessions.iter().enumerate().filter(|(_, session)| among(session)).min_by_key(|(_, s)| s.used);
    if let Some((place, _)) = oldest {
        sessions.remove(place);
    }
}

/// Returns the text that a form of this session carries, so that no other site can have it sent.
pub fn csrf(secret: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length is a key");
    mac.update(b"pointsman-csrf");
    hex::encode(mac.finalize().into_bytes())
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::file::read_digest(&text).map_err(serde::de::Error::custom)
    }
}
