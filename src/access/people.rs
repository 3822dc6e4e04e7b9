//! Everybody who is known by name, with what they may and where they are signed in; tokens with their last use. For people who
//! look after the doors: nothing here decides anything.

use std::{collections::HashMap, sync::Arc};

use super::{
    Access, Caller, Digest, Grant, Refused, file::Token, gate::RECENT, sessions::Session, used::Use, users::User,
};
use crate::machine::Millis;

/// Somebody who is known by name.
#[derive(Debug, Clone)]
pub struct Person {
    /// Their name in the journal.
    pub name: Arc<str>,
    /// When they were added here; `None`: they are not kept here.
    pub added: Option<Millis>,
    /// Whether they have chosen a password; `None`: they are not kept here.
    pub has_password: Option<bool>,
    /// Grants of the person.
    pub grants: Arc<[Grant]>,
    /// Where they are signed in, the session that was used last first.
    pub sessions: Vec<Session>,
}

impl Access {
    /// Lists everybody: the users, and whoever else is signed in, in the order of the alphabet. Reads a file and goes through all
    /// sessions: not for the threads that serve requests.
    ///
    /// # Errors
    /// That the file of users cannot be used.
    pub fn people(&self, now: Millis) -> Result<Vec<Person>, Refused> {
        let of = |user: &User| Person {
            name: user.name.clone(),
            added: Some(user.created),
            has_password: Some(user.password.is_chosen()),
            grants: user.grants.clone(),
            sessions: Vec::new(),
        };
        let users = self.users.with(now, Millis(0), |users| Ok(users.iter().map(of).collect::<Vec<_>>()))?;
        let mut people: HashMap<Arc<str>, Person> = users.into_iter().map(|user| (user.name.clone(), user)).collect();
        for session in self.sessions().list(now) {
            // One whose holder has changed has ended, though nobody has come with it since.
            let Ok(grants) = self.grants(&session, RECENT, now) else { continue };
            let person = people.entry(session.holder.account());
            let new =
                || Person { name: session.holder.by(), added: None, has_password: None, grants, sessions: Vec::new() };
            person.or_insert_with(new).sessions.push(session);
        }
        let mut people: Vec<Person> = people.into_values().collect();
        people.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(people)
    }

    /// Lists the sessions of one person, the one that was used last first. Goes through all sessions: not for the threads that
    /// serve requests.
    pub fn sessions_of(&self, by: &str, now: Millis) -> Vec<Session> {
        let mut sessions = self.sessions().list(now);
        sessions.retain(|session| session.holder.is(by) && self.grants(session, Millis(0), now).is_ok());
        sessions
    }

    /// Lists the tokens with their last use, in the order in which they were made.
    ///
    /// # Errors
    /// That the file of tokens cannot be used.
    pub fn tokens(&self, now: Millis) -> Result<Vec<(Token, Option<Use>)>, Refused> {
        let of = |token: &Token| (token.clone(), self.uses.of(token.digest));
        self.tokens.with(now, Millis(0), |tokens| Ok(tokens.iter().map(of).collect()))
    }

    /// Notes that a token was used.
    pub fn note_use(&self, caller: &Caller, from: &str, now: Millis) {
        if let Some(token) = caller.token() {
            self.uses.note(token, from, now);
        }
    }

    /// Writes down when sessions and tokens were used last.
    pub fn write_uses(&self, now: Millis) {
        if let Err(error) = self.sessions().write() {
            tracing::warn!(%error, "the last use of a session is not on the disk");
        }
        // Where the file of tokens cannot be used, nothing is forgotten.
        let known =
            self.tokens(now).map(|tokens| tokens.into_iter().map(|(token, _)| token.digest).collect::<Vec<_>>());
        let are_there = |token: Digest| known.as_ref().map_or(true, |known| known.contains(&token));
        if let Err(error) = self.uses.write(self.state(), are_there) {
            tracing::warn!(%error, "the last use of a token is not on the disk");
        }
    }
}
