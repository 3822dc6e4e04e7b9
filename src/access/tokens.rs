//! The tokens that are good at this moment. The file is looked at anew for every request, so a token that is revoked is
//! refused from then on, without a restart. Must not keep the text of a token, only its digest.

use std::{
    fmt, fs,
    io::{self, Read},
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{Caller, Grant, Refused, Role, caller::Credential, file, role_in};
use crate::{
    machine::{EnvironmentId, Millis},
    random,
    toml_file::Mistake,
};

/// What every token begins with, so that one that leaked is found by a search.
const PREFIX: &str = "pm_";
/// The length of a token, in bytes: the prefix and 32 bytes in hexadecimal digits.
const LENGTH: usize = PREFIX.len() + 64;
/// The largest file of tokens that is read, in bytes: some ten thousand of them.
const LARGEST: u64 = 4 << 20;
/// How long a stream believes its token without looking again.
const STREAM: Millis = Millis(1000);

/// The SHA-256 of a token. The token is 32 random bytes, so this needs no salt and cannot be guessed back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub(super) [u8; 32]);

impl Digest {
    /// Of a token as it is shown.
    pub fn of(token: &[u8]) -> Self {
        Self(<Sha256 as sha2::Digest>::digest(token).into())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// Makes a token from 32 bytes of the operating system's randomness.
///
/// # Errors
/// That there is no randomness to be had.
pub fn make() -> io::Result<SecretString> {
    Ok(format!("{PREFIX}{}", random::hex_of(32)?).into())
}

/// The file of tokens, as it was when it was last looked at.
pub struct Tokens {
    path: PathBuf,
    known: Mutex<Known>,
}

struct Known {
    /// When the file was looked at.
    looked: Millis,
    stamp: Option<Stamp>,
    /// `Err`: it cannot be used, and this was said in the log.
    tokens: Result<Vec<file::Token>, Vec<Mistake>>,
}

/// By which a file that was written anew is told from the one before.
#[derive(PartialEq, Eq, Clone, Copy)]
struct Stamp([i128; 6]);

impl Stamp {
    fn of(seen: &fs::Metadata) -> Self {
        let time = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Self([
            seen.dev().into(),
            seen.ino().into(),
            seen.size().into(),
            seen.mode().into(),
            time(seen.mtime(), seen.mtime_nsec()),
            time(seen.ctime(), seen.ctime_nsec()),
        ])
    }
}

impl Tokens {
    /// Those of this file, which need not be there.
    pub fn at(path: PathBuf) -> Self {
        let known = Known { looked: Millis(0), stamp: None, tokens: Ok(Vec::new()) };
        Self { path, known: Mutex::new(known) }
    }

    /// Does something with the tokens as they are, or as they were at most `old` ago.
    fn with<T>(
        &self,
        now: Millis,
        old: Millis,
        look: impl FnOnce(&[file::Token]) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if old == Millis(0) || now.since(known.looked) >= old {
            self.refresh(&mut known);
            known.looked = now;
        }
        match &known.tokens {
            Ok(tokens) => look(tokens),
            Err(_) => Err(Refused::Unreadable),
        }
    }

    /// Reads the file where it is not the one that was read.
    fn refresh(&self, known: &mut Known) {
        let seen = match fs::metadata(&self.path) {
            Ok(seen) => Some(Stamp::of(&seen)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (known.stamp, known.tokens) = (None, Ok(Vec::new()));
                return;
            }
            Err(_) => None,
        };
        if seen.is_some() && seen == known.stamp {
            return;
        }
        let (stamp, tokens) = self.read();
        if let Err(mistakes) = &tokens
            && known.tokens.as_ref().err() != Some(mistakes)
        {
            for mistake in mistakes {
                tracing::error!(%mistake, "the file of tokens cannot be used; only the local token is accepted");
            }
        }
        if known.tokens.is_err() && tokens.is_ok() {
            tracing::info!("the file of tokens can be used again");
        }
        (known.stamp, known.tokens) = (stamp, tokens);
    }

    /// The stamp is that of the very file that was read, whatever stands there now.
    fn read(&self) -> (Option<Stamp>, Result<Vec<file::Token>, Vec<Mistake>>) {
        let place = self.path.display().to_string();
        let mut stamp = None;
        let mut open = || {
            let file = fs::File::open(&self.path)?;
            let seen = file.metadata()?;
            stamp = Some(Stamp::of(&seen));
            let mut text = String::new();
            file.take(LARGEST).read_to_string(&mut text)?;
            io::Result::Ok((seen, text))
        };
        let tokens = match open() {
            Ok((seen, _)) if seen.mode() & 0o022 != 0 => {
                Err(vec![Mistake::of_file(&place, "others than its owner can write it: chmod 600")])
            }
            Ok((seen, _)) if seen.size() >= LARGEST => {
                Err(vec![Mistake::of_file(&place, format!("it is larger than {LARGEST} bytes"))])
            }
            Ok((_, text)) => file::parse(&place, &text),
            Err(error) => Err(vec![Mistake::of_file(&place, format!("it cannot be read: {error}"))]),
        };
        (stamp, tokens)
    }
}

/// Everybody who may ask for something.
pub struct Access {
    local: SecretSlice<u8>,
    /// The local token was made by this program: 32 random bytes, which cannot be guessed from a proof.
    made_here: bool,
    tokens: Tokens,
}

impl Access {
    /// The holder of the local token, and those of the file.
    pub fn new(local: SecretSlice<u8>, tokens: Tokens) -> Self {
        Self { local, made_here: false, tokens }
    }

    /// The same, where the local token is the one that this program made for itself.
    #[must_use]
    pub fn made_here(self, made_here: bool) -> Self {
        Self { made_here, ..self }
    }

    /// Returns the proof that this controller made the local token; `None` where somebody else chose it.
    pub fn proof(&self, nonce: &str, address: SocketAddr) -> Option<String> {
        self.made_here.then(|| super::proof::proof(self.local.expose_secret(), nonce, address))
    }

    /// Who shows this token. `user`: the name that whoever holds the local token gives. `now`: by the host's clock.
    ///
    /// # Errors
    /// That nobody is known by it, or not any more.
    pub fn caller(&self, shown: &[u8], user: Option<&[u8]>, now: Millis) -> Result<Caller, Refused> {
        if self.local.expose_secret().ct_eq(shown).into() {
            let user = user.unwrap_or(b"someone");
            let good = (1..=64).contains(&user.len()) && user.iter().all(|b| b.is_ascii_graphic() && *b != b':');
            let user = std::str::from_utf8(user).ok().filter(|_| good).ok_or(Refused::BadUser)?;
            let grants = [Grant { role: Role::Admin, only: None }].into();
            return Ok(Caller { by: format!("local:{user}").into(), grants, credential: Credential::Local });
        }
        if shown.len() != LENGTH || !shown.starts_with(PREFIX.as_bytes()) {
            return Err(Refused::Unknown);
        }
        let digest = Digest::of(shown);
        self.tokens.with(now, Millis(0), |tokens| {
            let token = find(tokens, digest).ok_or(Refused::Unknown)?;
            if let Some(at) = token.expires.filter(|at| *at <= now) {
                return Err(Refused::Expired { by: token.name.clone(), at });
            }
            let (by, grants) = (token.name.clone(), [token.grant()].into());
            Ok(Caller { by, grants, credential: Credential::Token(digest) })
        })
    }

    /// Whether the caller of a request that goes on for long is still one; known within a second.
    pub fn still(&self, caller: &Caller, now: Millis) -> bool {
        let Credential::Token(digest) = caller.credential else { return true };
        let same = |token: &file::Token| token.is_good(now) && *caller.grants == [token.grant()];
        let looked = self.tokens.with(now, STREAM, |tokens| Ok(find(tokens, digest).is_some_and(same)));
        looked.unwrap_or(false)
    }

    /// Names those who have this role, or a greater one, in the environment: each once, in the order of the alphabet.
    ///
    /// # Errors
    /// That the file of tokens cannot be used.
    pub fn who_may(&self, needs: Role, id: &EnvironmentId, now: Millis) -> Result<Vec<Arc<str>>, Refused> {
        let may = |grants: &[Grant]| role_in(grants, id).is_some_and(|role| role >= needs);
        let mut names = self.tokens.with(now, Millis(0), |tokens| {
            let good = tokens.iter().filter(|token| token.is_good(now) && may(&[token.grant()]));
            Ok(good.map(|token| token.name.clone()).collect::<Vec<_>>())
        })?;
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// Looks at every token, however early one fits.
fn find(tokens: &[file::Token], digest: Digest) -> Option<&file::Token> {
    tokens.iter().fold(None, |found, token| if token.digest.0.ct_eq(&digest.0).into() { Some(token) } else { found })
}
