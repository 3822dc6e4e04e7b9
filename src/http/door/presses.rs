//! What somebody pressed whose session had ended: kept in memory until they have signed in, then shown, and done only when they
//! press again. Must not do anything by itself.

use std::{
    collections::VecDeque,
    io,
    sync::{Mutex, PoisonError},
};

use crate::{machine::Millis, random};

/// How long one is kept, and how many of them.
const KEPT: Millis = Millis(600_000);
const MOST: usize = 256;
/// The largest form that is kept, in bytes.
pub(in crate::http) const LARGEST: usize = 32 << 10;

/// A form that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct Press {
    /// Where it was sent.
    pub path: String,
    /// Fields of the form, without secrets.
    pub fields: Vec<(String, String)>,
}

/// The forms that wait for their people.
#[derive(Default)]
pub(in crate::http) struct Presses(Mutex<VecDeque<(String, Millis, Press)>>);

impl Presses {
    /// Keeps a form and returns the name by which it is found again.
    ///
    /// # Errors
    /// That there is no randomness to be had.
    pub(in crate::http) fn keep(&self, path: &str, body: &[u8], now: Millis) -> io::Result<String> {
        let name = random::hex_of(16)?;
        let fields = form_urlencoded::parse(body).into_owned();
        // Neither the old session's text nor a password is of use to anybody.
        let fields = fields.filter(|(key, _)| key != "csrf" && !key.contains("password")).collect();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(_, until, _)| now < *until);
        if kept.len() >= MOST {
            kept.pop_front();
        }
        kept.push_back((name.clone(), now.plus(KEPT), Press { path: path.to_owned(), fields }));
        Ok(name)
    }

    /// Returns the form of this name, if it is still kept.
    pub(in crate::http) fn find(&self, name: &str, now: Millis) -> Option<Press> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(known, until, _)| known == name && now < *until).map(|(_, _, press)| press.clone())
    }
}
