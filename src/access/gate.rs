//! Everybody who may ask for something, and how they prove it: the local token, tokens, sessions, passwords. Must not keep
//! the text of a token.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use secrecy::{ExposeSecret, SecretSlice};
use subtle::ConstantTimeEq;

use super::{
    Caller, Digest, Grant, Keyed, Refused, Role,
    caller::Credential,
    file::Token,
    links::{self, Links, Purpose},
    openid::Mapping,
    password::PasswordHash,
    sessions::{Ends, Holder, Session, Sessions},
    tokens::{LENGTH, PREFIX},
    used::Uses,
    users::User,
    watched::Watched,
};
use crate::machine::Millis;

/// How long a stream believes its token without looking again.
const STREAM: Millis = Millis(1000);
/// How old the list of users may be where nothing is decided by it.
pub(super) const RECENT: Millis = Millis(1000);

/// Everybody who may ask for something.
pub struct Access {
    state: PathBuf,
    local: SecretSlice<u8>,
    keyed: Keyed,
    /// The local token was made by this program: 32 random bytes, which cannot be guessed from a proof.
    made_here: bool,
    pub(super) tokens: Watched<Token>,
    pub(super) users: Watched<User>,
    sessions: Sessions,
    pub(super) uses: Uses,
    links: Links,
    openid: Option<Mapping>,
}

impl Access {
    /// Knows the holder of the local token, and the tokens, users and sessions of this state folder. `keyed`: what is kept of
    /// them is made with it.
    pub fn new(local: SecretSlice<u8>, keyed: Keyed, state: &Path, ends: Ends) -> Self {
        Self {
            state: state.to_owned(),
            local,
            keyed,
            made_here: false,
            tokens: Watched::at(state),
            users: Watched::at(state),
            sessions: Sessions::open(state, ends),
            uses: Uses::open(state),
            links: Links::new(),
            openid: None,
        }
    }

    /// Knows the people of an OpenID Connect provider as well.
    #[must_use]
    pub fn with_openid(self, openid: Option<Mapping>) -> Self {
        Self { openid, ..self }
    }

    /// Returns what the groups of the provider may do, where there is one.
    pub fn openid(&self) -> Option<&Mapping> {
        self.openid.as_ref()
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

    /// Returns the user who has this name and this password. Takes a while, the same for every name and password: not for the
    /// threads that serve requests.
    ///
    /// # Errors
    /// That there is none, or the file of users cannot be used.
    pub fn user(&self, name: &str, password: &[u8], now: Millis) -> Result<User, Refused> {
        let known =
            self.users.with(now, Millis(0), |users| Ok(users.iter().find(|user| *user.name == *name).cloned()))?;
        let good = match &known {
            Some(user) => user.password.is_of(password),
            None => PasswordHash::nobody().is_of(password),
        };
        known.filter(|_| good).ok_or(Refused::WrongPassword)
    }

    /// Returns the state folder, where tokens and users are kept.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Returns the sessions there are.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Takes the links that are made from now on.
    pub fn take_links(&self, now: Millis) {
        self.links.begin(now);
    }

    /// Makes the code of a link, as the holder of the local token can.
    ///
    /// # Errors
    /// That there is no randomness to be had.
    pub fn link(&self, purpose: &Purpose, now: Millis) -> std::io::Result<String> {
        links::make(&self.keyed, self.local.expose_secret(), purpose, now)
    }

    /// Returns what a link is for; `take`: it is used up by that.
    ///
    /// # Errors
    /// That it was used, is too old, or is none.
    pub fn redeem(&self, code: &str, now: Millis, take: bool) -> Result<Purpose, Refused> {
        let keys = (&self.keyed, self.local.expose_secret());
        self.links.redeem(keys, code, now, take).ok_or(Refused::BadLink)
    }

    /// Makes the code of a link by which a user chooses a password.
    ///
    /// # Errors
    /// That there is no randomness to be had.
    pub fn link_to_choose(&self, user: &User, now: Millis) -> std::io::Result<String> {
        self.link(&Purpose::Choose { name: user.name.clone(), stamp: self.stamp(user) }, now)
    }

    /// Returns whether a link with this stamp is still good for this user: neither password nor grants have changed since.
    pub fn may_choose(&self, user: &User, stamp: Digest) -> bool {
        self.stamp(user) == stamp
    }

    /// Returns the user for whom a link with this stamp is still good.
    ///
    /// # Errors
    /// That there is none, or the file of users cannot be used.
    pub fn chooser(&self, name: &str, stamp: Digest, now: Millis) -> Result<User, Refused> {
        self.users.with(now, Millis(0), |users| {
            let user = users.iter().find(|user| *user.name == *name && self.may_choose(user, stamp));
            user.cloned().ok_or(Refused::BadLink)
        })
    }

    /// Returns whose session it would be. It ends with every change of the user's password or grants.
    pub fn holder(&self, user: &User) -> Holder {
        Holder::User { name: user.name.clone(), stamp: self.stamp(user) }
    }

    /// What is another one as soon as password or grants are. The sessions on the disk have it, so it is keyed: a password is not
    /// guessed from it.
    fn stamp(&self, user: &User) -> Digest {
        let User { name, password, grants, created } = user;
        let (password, created) = (password.to_string(), created.0.to_string());
        let grants: Vec<String> = grants.iter().map(ToString::to_string).collect();
        let fixed = [name.as_bytes(), password.as_bytes(), created.as_bytes()];
        let parts: Vec<&[u8]> = fixed.into_iter().chain(grants.iter().map(String::as_bytes)).collect();
        self.keyed.digest("user", &parts)
    }

    /// Returns by what failed sign-ins of an account are counted: its name is kept nowhere, since it may be a password that was
    /// typed into the wrong field.
    pub fn account(&self, name: &str) -> Digest {
        self.keyed.digest("account", &[name.as_bytes()])
    }

    /// Returns what the record calls an account where a sign-in failed: a user by name, and everything else by a few digits that
    /// are the same for the same text.
    pub fn called(&self, name: &str, now: Millis) -> Arc<str> {
        let known = self.users.with(now, RECENT, |users| Ok(users.iter().any(|user| *user.name == *name)));
        match known {
            Ok(true) => name.into(),
            Ok(false) | Err(_) => format!("no user, {}", &hex::encode(self.account(name).0)[..12]).into(),
        }
    }

    /// Returns whose session of the local token it would be. It ends when that token is another one.
    pub fn local_holder(&self, name: &str) -> Holder {
        Holder::Local { name: name.into(), stamp: self.local_stamp() }
    }

    /// Returns who has the session with this secret.
    ///
    /// # Errors
    /// That there is none, or that it has ended: by time, by a person, by a change of the user's password or grants.
    pub fn signed_in(&self, secret: &[u8], from: &str, now: Millis) -> Result<Caller, Refused> {
        let session = self.sessions.find(secret, from, now).ok_or(Refused::Ended)?;
        let grants = self.grants(&session, Millis(0), now)?;
        Ok(Caller { by: session.holder.by(), grants, credential: Credential::Session(session.digest) })
    }

    /// What a session allows at this moment, going by files that were looked at at most `old` ago.
    pub(super) fn grants(&self, session: &Session, old: Millis, now: Millis) -> Result<Arc<[Grant]>, Refused> {
        match &session.holder {
            Holder::User { name, stamp } => self.users.with(now, old, |users| {
                let user = users.iter().find(|user| user.name == *name && self.stamp(user) == *stamp);
                user.map(|user| user.grants.clone()).ok_or(Refused::Ended)
            }),
            Holder::Local { stamp, .. } if *stamp == self.local_stamp() => {
                Ok([Grant { role: Role::Admin, only: None }].into())
            }
            Holder::Local { .. } => Err(Refused::Ended),
            Holder::Openid { issuer, groups, stamp, .. } => {
                let known = self.openid.as_ref().and_then(|openid| openid.grants(issuer, groups, *stamp));
                known.ok_or(Refused::Ended)
            }
        }
    }

    /// Keyed, so that nobody can guess a token that a person chose from the file of sessions.
    fn local_stamp(&self) -> Digest {
        self.keyed.digest("local token", &[self.local.expose_secret()])
    }

    /// Returns whether there is any user.
    ///
    /// # Errors
    /// That the file of users cannot be used.
    pub fn has_users(&self, now: Millis) -> Result<bool, Refused> {
        self.users.with(now, Millis(0), |users| Ok(!users.is_empty()))
    }

    /// Whether the caller of a request that goes on for long is still one; known within a second.
    pub fn still(&self, caller: &Caller, now: Millis) -> bool {
        match caller.credential {
            Credential::Local => true,
            Credential::Token(digest) => {
                let same = |token: &Token| token.is_good(now) && *caller.grants == [token.grant()];
                let looked = self.tokens.with(now, STREAM, |tokens| Ok(find(tokens, digest).is_some_and(same)));
                looked.unwrap_or(false)
            }
            Credential::Session(digest) => {
                let session = self.sessions.still(digest, now);
                session.is_some_and(|session| self.grants(&session, STREAM, now).is_ok_and(|g| g == caller.grants))
            }
        }
    }
}

/// Looks at every token, however early one fits.
fn find(tokens: &[Token], digest: Digest) -> Option<&Token> {
    tokens.iter().fold(None, |found, token| if token.digest.0.ct_eq(&digest.0).into() { Some(token) } else { found })
}
