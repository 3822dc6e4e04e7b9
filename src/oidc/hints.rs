//! The ID tokens of those who are signed in, by which the provider recognises the sign-in that is to end. Only in memory: after a
//! restart the provider asks the person instead. Must not show one to anybody but the provider.

use std::{
    collections::VecDeque,
    io,
    sync::{Mutex, PoisonError},
};

use secrecy::{ExposeSecret, SecretString};

use crate::{access::Digest, machine::Millis, random};

/// The most that are kept, and the largest, in bytes.
const MOST: usize = 1024;
const LARGEST: usize = 8192;
/// How long somebody who has signed out here may sign out of the provider as well.
const OFFERED: Millis = Millis(600_000);

#[derive(Default)]
pub(crate) struct Hints(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// ID tokens by their session.
    of: VecDeque<(Digest, SecretString)>,
    /// Offers to sign out at the provider, by their key.
    offered: VecDeque<(String, Millis, Option<SecretString>)>,
}

impl Hints {
    /// Keeps the one of a session.
    pub(crate) fn keep(&self, session: Digest, hint: SecretString) {
        if hint.expose_secret().len() <= LARGEST {
            push(&mut self.lock().of, (session, hint));
        }
    }

    /// Returns the key of an offer to sign out of the provider too, for who has ended this session.
    ///
    /// # Errors
    /// That there is no randomness to be had.
    pub(crate) fn offer(&self, session: Digest, now: Millis) -> io::Result<String> {
        let key = random::hex_of(16)?;
        let mut kept = self.lock();
        let place = kept.of.iter().position(|(known, _)| *known == session);
        let hint = place.and_then(|place| kept.of.remove(place)).map(|(_, hint)| hint);
        kept.offered.retain(|(_, until, _)| now < *until);
        push(&mut kept.offered, (key.clone(), now.plus(OFFERED), hint));
        Ok(key)
    }

    /// Returns the one of an offer, once.
    pub(crate) fn take(&self, key: &str, now: Millis) -> Option<SecretString> {
        let mut kept = self.lock();
        let place = kept.offered.iter().position(|(known, until, _)| known == key && now < *until)?;
        kept.offered.remove(place).and_then(|(_, _, hint)| hint)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The oldest goes for a new one.
fn push<T>(kept: &mut VecDeque<T>, one: T) {
    if kept.len() >= MOST {
        kept.pop_front();
    }
    kept.push_back(one);
}
