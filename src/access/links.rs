//! Links that are good once: for ten minutes where whoever holds the local token makes one, for a day where an admin lets somebody
//! choose a password. Nothing has to be asked for, and nothing is kept until one is used. Must not show the token.

use std::{
    collections::HashMap,
    fmt, io,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use hmac::Mac;

use super::{Digest, Keyed, file::read_digest};
use crate::{machine::Millis, random};

/// How long a link is good, and how long one to choose a password.
pub const GOOD: Millis = Millis(600_000);
const CHOOSE: Millis = Millis(86_400_000);
/// Purpose of the digest in a link. It keeps a local token that a person chose from being guessed by means of a link.
const LINK: &str = "link";

/// Purpose of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// The link adds the first user.
    Welcome,
    /// The link signs in the holder of the local token, under this name.
    Enter(Arc<str>),
    /// The link lets a user choose a password.
    Choose {
        /// Their name.
        name: Arc<str>,
        /// What the user's stamp was when the link was made: it is another one as soon as the password is.
        stamp: Digest,
    },
}

impl Purpose {
    /// Path of the page where a user chooses a password.
    pub const CHOOSE: &'static str = "/choose-password";

    /// Returns the path of the page that takes such a link.
    pub fn path(&self) -> &'static str {
        match self {
            Self::Welcome => "/welcome",
            Self::Enter(_) => "/enter",
            Self::Choose { .. } => Self::CHOOSE,
        }
    }

    fn good(&self) -> Millis {
        match self {
            Self::Welcome | Self::Enter(_) => GOOD,
            Self::Choose { .. } => CHOOSE,
        }
    }

    /// Whether the link says itself that it was used, so that a restart of the controller does not end it.
    fn outlives_a_restart(&self) -> bool {
        matches!(self, Self::Choose { .. })
    }
}

/// Makes the code of a link.
///
/// # Errors
/// That there is no randomness to be had.
pub fn make(keyed: &Keyed, local: &[u8], purpose: &Purpose, now: Millis) -> io::Result<String> {
    let code = Code { purpose: purpose.clone(), made: now, nonce: random::bytes()? }.to_string();
    Ok(format!("{code}.{}", hex::encode(keyed.digest(LINK, &[local, code.as_bytes()]).0)))
}

#[derive(Clone)]
struct Code {
    purpose: Purpose,
    made: Millis,
    nonce: [u8; 16],
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.purpose {
            Purpose::Welcome => String::new(),
            Purpose::Enter(name) => hex::encode(name.as_bytes()),
            Purpose::Choose { name, stamp } => format!("{}-{}", hex::encode(name.as_bytes()), hex::encode(stamp.0)),
        };
        write!(f, "{name}.{}.{}", self.made.0, hex::encode(self.nonce))
    }
}

impl FromStr for Code {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(());
        let (name, made, shown) = (next()?, next()?, next()?);
        let (name, stamp) = name.split_once('-').map_or((name, None), |(name, stamp)| (name, Some(stamp)));
        let name = hex::decode(name).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(())?;
        let purpose = match stamp {
            Some(stamp) => Purpose::Choose { name: name.into(), stamp: read_digest(stamp).map_err(|_| ())? },
            None if name.is_empty() => Purpose::Welcome,
            None => Purpose::Enter(name.into()),
        };
        let mut nonce = [0; 16];
        hex::decode_to_slice(shown, &mut nonce).map_err(|_| ())?;
        Ok(Self { purpose, made: Millis(made.parse().map_err(|_| ())?), nonce })
    }
}

/// The links that were used, so that none is used twice.
pub(super) struct Links {
    /// Links made before this time may have been used: their use is not on the disk.
    since: Mutex<Option<Millis>>,
    used: Mutex<HashMap<[u8; 16], Millis>>,
}

impl Links {
    pub(super) fn new() -> Self {
        Self { since: Mutex::default(), used: Mutex::default() }
    }

    /// Takes no link that was made before this time.
    pub(super) fn begin(&self, now: Millis) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Returns what a link is for, where it is good; `take`: and uses it up.
    pub(super) fn redeem(
        &self,
        (keyed, local): (&Keyed, &[u8]),
        shown: &str,
        now: Millis,
        take: bool,
    ) -> Option<Purpose> {
        let (text, proof) = shown.rsplit_once('.')?;
        let code: Code = text.parse().ok()?;
        let proof = hex::decode(proof).ok()?;
        keyed.mac(LINK, &[local, text.as_bytes()]).verify_slice(&proof).ok()?;
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of_before = since.is_none_or(|since| code.made < since) && !code.purpose.outlives_a_restart();
        if now >= code.made.plus(code.purpose.good()) || is_of_before {
            return None;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, made| now < made.plus(CHOOSE));
        if used.contains_key(&code.nonce) {
            return None;
        }
        if take {
            used.insert(code.nonce, code.made);
        }
        Some(code.purpose)
    }
}
