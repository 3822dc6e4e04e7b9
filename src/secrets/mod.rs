//! The values of `[secrets]`: read from where they are kept each time one is needed, and known to everybody else by
//! their fingerprints. Must not show a value, nor keep one.

pub mod source;
mod stamp;

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;

use self::stamp::{Reading, Stamp};
use crate::{
    machine::{EnvironmentId, Name, Release},
    pipelines::{Pipeline, Pipelines, SecretSource},
    random,
};

/// The file of the installation's own key, in the state folder.
const KEY: &str = "fingerprint-key";
/// How many hexadecimal digits a fingerprint has.
const DIGITS: usize = 12;

/// An error of reading a secret. Names it, never its value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read from where it is kept.
    #[error("the secret {name} of {pipeline} cannot be read: {cause}")]
    Unreadable {
        /// Name of the secret.
        name: Arc<str>,
        /// Pipeline that the secret belongs to.
        pipeline: Name,
        /// Cause, in the words of the system.
        cause: source::Unread,
    },
    /// It is no text.
    #[error("the secret {name} of {pipeline} cannot be read: it is not text in UTF-8, or has a zero byte")]
    NoText {
        /// Name of the secret.
        name: Arc<str>,
        /// Pipeline that the secret belongs to.
        pipeline: Name,
    },
    /// A release was made with it, and it is no longer in the file.
    #[error(
        "the secret {name} is no longer in [secrets] of {pipeline}, and release {release} is made with it: put it back"
    )]
    Gone {
        /// Name of the secret.
        name: Arc<str>,
        /// Pipeline that the secret belongs to.
        pipeline: Name,
        /// The release's number.
        release: u32,
    },
    /// It is not in the file.
    #[error("there is no secret {name} in [secrets] of {pipeline}")]
    Unknown {
        /// Name of the secret.
        name: Arc<str>,
        /// Pipeline that the secret belongs to.
        pipeline: Name,
    },
    /// The key of the fingerprints is not to be had.
    #[error(
        "the key of the fingerprints {0} cannot be used: {1}; restore it from a backup, or remove it for a new one"
    )]
    Key(PathBuf, io::Error),
}

/// The secrets of all pipelines.
#[derive(Clone)]
pub struct Secrets(Arc<Inner>);

type Fingerprint = Arc<str>;

struct Known {
    fingerprint: Fingerprint,
    reading: Option<Reading>,
}

struct Inner {
    key: SecretSlice<u8>,
    sources: BTreeMap<Name, BTreeMap<Arc<str>, SecretSource>>,
    /// What the stacks of an environment call those that they are given.
    called: BTreeMap<EnvironmentId, BTreeMap<Arc<str>, Arc<str>>>,
    /// What else may not be seen: the keys of webhooks, the passwords of repositories.
    others: BTreeMap<Name, Vec<SecretSource>>,
    /// The last good fingerprint of each, and when its file need not be read for it again.
    known: Mutex<BTreeMap<(Name, Arc<str>), Known>>,
    /// How often one was read.
    #[cfg(test)]
    reads: std::sync::atomic::AtomicUsize,
}

impl Secrets {
    /// Reads all of them once.
    ///
    /// # Errors
    /// All that cannot be had, at once.
    pub fn open(state: &Path, pipelines: &Pipelines) -> Result<Self, Vec<Error>> {
        let path = state.join(KEY);
        let made = if path.exists() { Ok(()) } else { make_key(&path) };
        let key = made.and_then(|()| installation_key(&path)).map_err(|cause| vec![Error::Key(path, cause)])?;
        let secrets = Self::of(key, pipelines);
        let all = secrets.0.sources.iter().flat_map(|(p, secrets)| secrets.iter().map(move |(n, s)| (p, n, s)));
        let wrong: Vec<Error> = all.filter_map(|(p, name, source)| secrets.read(p, name, source).err()).collect();
        if wrong.is_empty() { Ok(secrets) } else { Err(wrong) }
    }

    /// Returns the id of the installation, in hexadecimal digits: it tells installations apart, and the key is not
    /// guessed from it.
    pub fn installation(&self) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.key.expose_secret()).expect("HMAC takes keys of any length");
        hex::encode(&mac.chain_update("installation").finalize().into_bytes()[..8])
    }

    /// Returns a key for one purpose, from which neither the installation's own nor one for another purpose is guessed.
    pub fn derived(&self, purpose: &str) -> SecretSlice<u8> {
        derived(&self.0.key, purpose)
    }

    /// Opens the secrets for a look from outside, without making or reading anything. `None` before the first start.
    pub fn existing(state: &Path, pipelines: &Pipelines) -> Option<Self> {
        Some(Self::of(installation_key(&state.join(KEY)).ok()?, pipelines))
    }

    /// Opens the secrets for a look before the first start: its fingerprints cannot be compared with later ones.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn for_a_look(pipelines: &Pipelines) -> io::Result<Self> {
        Ok(Self::of(random::hex_of(32)?.into_bytes().into(), pipelines))
    }

    fn of(key: SecretSlice<u8>, pipelines: &Pipelines) -> Self {
        let sources = pipelines.iter().map(|p| (p.name.clone(), p.secrets.clone())).collect();
        let environments = pipelines.iter().flat_map(|p| &p.environments);
        let called = environments.map(|e| (e.id.clone(), e.stack.secrets.clone())).collect();
        let others = |p: &Arc<Pipeline>| {
            let password = p.source.iter().filter_map(|source| source.password.clone());
            (p.name.clone(), p.webhook.secrets.iter().cloned().chain(password).collect())
        };
        let others = pipelines.iter().map(others).collect();
        Self(Arc::new(Inner {
            key,
            sources,
            called,
            others,
            known: Mutex::default(),
            #[cfg(test)]
            reads: Default::default(),
        }))
    }

    /// The fingerprint of one as it is now.
    ///
    /// # Errors
    /// The secret cannot be read.
    pub fn fingerprint_now(&self, pipeline: &Name, name: &Arc<str>) -> Result<Arc<str>, Error> {
        let gone = || Error::Gone { name: name.clone(), pipeline: pipeline.clone(), release: 0 };
        let source = self.0.sources.get(pipeline).and_then(|s| s.get(name)).ok_or_else(gone)?;
        self.read(pipeline, name, source).map(|(_, fingerprint)| fingerprint)
    }

    /// The fingerprints of these as they are now, by what the stacks call them; of one that cannot be read, as it was
    /// last.
    pub fn fingerprints(&self, pipeline: &Name, names: &BTreeMap<Arc<str>, Arc<str>>) -> BTreeMap<Arc<str>, Arc<str>> {
        let one = |(called, name): (&Arc<str>, &Arc<str>)| {
            let source = self.0.sources.get(pipeline)?.get(name)?;
            let key = (pipeline.clone(), name.clone());
            let unchanged = Stamp::of(source).and_then(|stamp| self.unchanged(&key, &stamp));
            if let Some(fingerprint) = unchanged {
                return Some((called.clone(), fingerprint));
            }
            if let Err(why) = self.read(pipeline, name, source) {
                tracing::warn!(%pipeline, %why, "{why}; its last fingerprint is recorded");
            }
            let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
            Some((called.clone(), known.get(&key)?.fingerprint.clone()))
        };
        names.iter().filter_map(one).collect()
    }

    /// The values that a release is made with, as they are now. That one has changed since is no obstacle.
    ///
    /// # Errors
    /// The first that cannot be had.
    pub fn values(
        &self,
        environment: &EnvironmentId,
        release: &Release,
    ) -> Result<BTreeMap<Arc<str>, SecretString>, Error> {
        let pipeline = &environment.pipeline;
        let (sources, names) = (self.0.sources.get(pipeline), self.0.called.get(environment));
        let one = |(called, then): (&Arc<str>, &Arc<str>)| {
            let name = names.and_then(|names| names.get(called)).unwrap_or(called);
            let gone = || Error::Gone { name: name.clone(), pipeline: pipeline.clone(), release: release.number };
            let source = sources.and_then(|s| s.get(name)).ok_or_else(gone)?;
            let (value, now) = self.read(pipeline, name, source)?;
            if now != *then {
                let number = release.number;
                tracing::info!(%pipeline, secret = %name, %then, %now, "{name} has changed since release {number}");
            }
            Ok((called.clone(), value))
        };
        release.secrets.iter().map(one).collect()
    }

    /// The values of these as they are now, by what a hook calls them.
    ///
    /// # Errors
    /// The first that cannot be had.
    pub fn named(
        &self,
        pipeline: &Name,
        names: &BTreeMap<Arc<str>, Arc<str>>,
    ) -> Result<BTreeMap<Arc<str>, SecretString>, Error> {
        let one = |(called, name): (&Arc<str>, &Arc<str>)| {
            let gone = || Error::Unknown { name: name.clone(), pipeline: pipeline.clone() };
            let source = self.0.sources.get(pipeline).and_then(|s| s.get(name)).ok_or_else(gone)?;
            Ok((called.clone(), self.read(pipeline, name, source)?.0))
        };
        names.iter().map(one).collect()
    }

    /// All values of a pipeline that may be seen nowhere, as far as they can be had now: secrets, keys of webhooks, the
    /// password of the source.
    pub fn hidden(&self, pipeline: &Name) -> Vec<SecretString> {
        let secrets = self.0.sources.get(pipeline).into_iter().flat_map(BTreeMap::values);
        let others = self.0.others.get(pipeline).into_iter().flatten();
        let value = |source: &SecretSource| {
            let bytes = source::read(source).ok()?;
            Some(SecretString::from(String::from_utf8_lossy(bytes.expose_secret()).into_owned()))
        };
        secrets.chain(others).filter_map(value).collect()
    }

    /// The fingerprint of one whose file is still what was read.
    fn unchanged(&self, key: &(Name, Arc<str>), stamp: &Stamp) -> Option<Fingerprint> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(key)?;
        known.reading.as_ref().is_some_and(|reading| reading.holds(stamp)).then(|| known.fingerprint.clone())
    }

    /// One value and its fingerprint.
    fn read(&self, pipeline: &Name, name: &Arc<str>, source: &SecretSource) -> Result<(SecretString, Arc<str>), Error> {
        #[cfg(test)]
        self.0.reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // Before the content: what changes in between has another stamp at the next look.
        let stamp = Stamp::of(source);
        let bytes = source::read(source).map_err(|cause| Error::Unreadable {
            name: name.clone(),
            pipeline: pipeline.clone(),
            cause,
        })?;
        let no_text = || Error::NoText { name: name.clone(), pipeline: pipeline.clone() };
        let text = std::str::from_utf8(bytes.expose_secret()).ok().filter(|text| !text.contains('\0'));
        let value = SecretString::from(text.ok_or_else(no_text)?);
        let fingerprint = self.fingerprint(name, &value);
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (pipeline.clone(), name.clone());
        let before = known.remove(&key).and_then(|known| known.reading);
        let reading = stamp.map(|stamp| Reading::note(before, stamp));
        known.insert(key, Known { fingerprint: fingerprint.clone(), reading });
        Ok((value, fingerprint))
    }

    fn fingerprint(&self, name: &str, value: &SecretString) -> Arc<str> {
        // A key of any length will do; there is no error.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.key.expose_secret()) else { return "".into() };
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(value.expose_secret().as_bytes());
        let mut digits = hex::encode(mac.finalize().into_bytes());
        digits.truncate(DIGITS);
        digits.into()
    }
}

#[cfg(test)]
impl Secrets {
    fn reads(&self) -> usize {
        self.0.reads.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Acts as if all had been read for the first time a while ago.
    fn settle(&self) {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values_mut().filter_map(|known| known.reading.as_mut()).for_each(Reading::settle);
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.sources.iter().map(|(pipeline, secrets)| (pipeline, secrets.keys().collect::<Vec<_>>()));
        f.debug_map().entries(names).finish()
    }
}

/// The installation's own key. A bare hash of a short secret could be guessed; with it, a fingerprint tells nobody
/// anything but whether two values are the same.
fn installation_key(path: &Path) -> io::Result<SecretSlice<u8>> {
    let key = hex::decode(fs::read_to_string(path)?.trim()).map_err(io::Error::other)?;
    if key.len() != 32 {
        return Err(io::Error::other("it does not have 32 bytes"));
    }
    Ok(key.into())
}

/// Returns the key for one purpose of the installation with this state folder, as [`Secrets::derived`] does.
///
/// # Errors
/// That there is no key yet, or it cannot be used.
pub fn derived_of(state: &Path, purpose: &str) -> Result<SecretSlice<u8>, Error> {
    let path = state.join(KEY);
    let key = installation_key(&path).map_err(|cause| Error::Key(path, cause))?;
    Ok(derived(&key, purpose))
}

fn derived(key: &SecretSlice<u8>, purpose: &str) -> SecretSlice<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key.expose_secret()).expect("HMAC takes keys of any length");
    mac.chain_update(format!("derived\n{purpose}")).finalize().into_bytes().to_vec().into()
}

/// Makes a file with 32 random bytes in hexadecimal digits, mode 0600, which is whole and on the disk or not there.
///
/// # Errors
/// That it cannot be written.
pub(crate) fn make_key(path: &Path) -> io::Result<()> {
    let key = random::hex_of(32)?;
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    writeln!(file, "{key}")?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests;
