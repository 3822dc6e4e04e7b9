//! Signing in at an OpenID Connect provider: discovery, the authorization code flow with PKCE, and what is believed of an ID token.
//! Must not make a session, nor know how a browser's request arrives.

mod asking;
mod begun;
mod claims;
mod hints;
mod metadata;
#[cfg(test)]
pub(crate) mod tests;
mod verify;

use std::{fmt::Write as _, time::Duration};

use openidconnect::{
    AuthenticationFlow, AuthorizationCode, CsrfToken, Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RequestTokenError, Scope, core::CoreResponseType, url::Url,
};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use tokio::sync::Semaphore;

use self::{asking::Asking, begun::Used, claims::Tokens, hints::Hints, metadata::Known};
use crate::{
    access::openid::Person,
    machine::Millis,
    secrets::source,
    settings::{Oidc, is_private},
    text::{excerpt, harmless},
};

pub(crate) use asking::check_ca;
pub(crate) use begun::{Begun, GOOD};

/// How many people are asked about at once, and how long one waits for a turn.
const AT_ONCE: usize = 8;
const TURN: Duration = Duration::from_secs(10);
/// How many groups or claims a refusal names.
const NAMED: usize = 20;

/// The time: that of this run, which never goes back, and the host's own, in which tokens are written.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Time by this run's clock.
    pub now: Millis,
    /// Time by the host's clock.
    pub host: Millis,
}

/// Why somebody does not come in by the provider. Never holds a code, a token or the client's secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It cannot be asked, or what it answers is of no use.
    #[error("{doing} failed: {why}")]
    Away {
        /// Action that failed.
        doing: &'static str,
        /// Why it failed, in the provider's words where it had some.
        why: String,
    },
    /// It says that there is no sign-in.
    #[error("the provider answered: {0}")]
    Declined(String),
    /// What it says of somebody is not believed.
    #[error("the provider's answer is not believed: {0}")]
    Untrusted(String),
    /// The answer is to no question of this browser.
    #[error(
        "this sign-in was not begun in this browser, is older than ten minutes, or was used already; begin it again"
    )]
    NotBegun,
    /// The token lacks the claim that says what the person may do.
    #[error("the claim `{claim}`, which has the groups, is not in what the provider says of you; it says: {seen}")]
    NoClaim {
        /// The claim.
        claim: String,
        /// The claims that there are.
        seen: String,
    },
    /// The person may do nothing here.
    #[error("none of your groups may do anything here; the claim `{claim}` has: {seen}")]
    NoGroup {
        /// The claim.
        claim: String,
        /// The groups that there are.
        seen: String,
    },
    /// The mistake is here.
    #[error("{0}; the controller's log says more")]
    Own(&'static str),
}

/// A provider, and what is known of it.
pub struct Provider {
    settings: Oidc,
    /// What proves that a sign-in was begun here: a restart does not change it.
    key: SecretSlice<u8>,
    asking: Asking,
    known: tokio::sync::Mutex<Known>,
    turns: Semaphore,
    used: Used,
    hints: Hints,
}

/// Somebody whom the provider vouches for.
pub struct Proven {
    /// Who it is.
    pub person: Person,
    /// The ID token, by which the provider recognises the sign-in that is to end.
    pub hint: SecretString,
}

impl Provider {
    /// Knows it by its settings; nothing is asked yet. `key`: of the installation, for this purpose only.
    pub fn new(settings: Oidc, key: SecretSlice<u8>) -> Self {
        let asking = Asking::new(settings.ca.clone(), settings.issuer.url().scheme() == "https");
        let (known, turns) = (tokio::sync::Mutex::default(), Semaphore::new(AT_ONCE));
        Self { settings, key, asking, known, turns, used: Used::default(), hints: Hints::default() }
    }

    /// Returns what people call it.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Returns the address that its tokens have.
    pub(crate) fn issuer(&self) -> &str {
        self.settings.issuer.as_str()
    }

    /// Returns what is known of sign-ins that are to end.
    pub(crate) fn hints(&self) -> &Hints {
        &self.hints
    }

    /// Returns where the browser is sent, for a sign-in that comes back to `back`.
    ///
    /// # Errors
    /// That the provider cannot be asked how it is reached.
    pub(crate) async fn address(&self, begun: &Begun, back: &str, moment: Moment) -> Result<Url, Failure> {
        let metadata = self.metadata(moment).await?;
        if !self.is_safe(metadata.authorization_endpoint().url()) {
            return Err(self.unsafe_address("authorization_endpoint", metadata.authorization_endpoint().as_str()));
        }
        let client = claims::client(&metadata, &self.settings.client, None).set_redirect_uri(redirect(back)?);
        let (state, nonce) = (begun.state(&self.key), begun.nonce(&self.key));
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&self.verifier(begun));
        let request = client.authorize_url(
            AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
            || CsrfToken::new(state),
            || Nonce::new(nonce),
        );
        let scopes = self.settings.scopes.iter().map(|scope| Scope::new(scope.clone()));
        let (url, _, _) = request.add_scopes(scopes).set_pkce_challenge(challenge).url();
        Ok(url)
    }

    /// Returns what keeps a sign-in that was begun, for the browser's cookie.
    ///
    /// # Errors
    /// That it cannot be written.
    pub(crate) fn sealed(&self, begun: &Begun) -> std::io::Result<SecretString> {
        begun.sealed(&self.key)
    }

    /// Returns the sign-in that a browser has begun and that the provider answers, once.
    ///
    /// # Errors
    /// That it is none, is over, or was taken already.
    pub(crate) fn taken(&self, cookie: &str, state: &str, moment: Moment) -> Result<Begun, Failure> {
        let begun = Begun::opened(&self.key, cookie, state, moment.host).ok_or(Failure::NotBegun)?;
        if self.used.take(&begun, moment.host) { Ok(begun) } else { Err(Failure::NotBegun) }
    }

    /// Checks who answers, as the provider itself says it in its answer (RFC 9207).
    ///
    /// # Errors
    /// That it was another provider, or that it should say and does not.
    pub(crate) async fn is_from_it(&self, issuer: Option<&str>, moment: Moment) -> Result<(), Failure> {
        let expected = self.settings.issuer.as_str();
        match issuer {
            Some(issuer) if issuer == expected => Ok(()),
            Some(issuer) => {
                let issuer = excerpt(&harmless(issuer));
                Err(Failure::Untrusted(format!("it came from {issuer}, and not from {expected}")))
            }
            None if claims::says_who_answers(&*self.metadata(moment).await?) => {
                Err(Failure::Untrusted("it does not say who answers (`iss`), though the provider always does".into()))
            }
            None => Ok(()),
        }
    }

    /// Returns who has signed in at the provider, by the code that it gave.
    ///
    /// # Errors
    /// That the provider does not take the code or cannot be asked, or that what it says is not believed.
    pub(crate) async fn person(
        &self,
        begun: &Begun,
        back: &str,
        code: SecretString,
        moment: Moment,
    ) -> Result<Proven, Failure> {
        let turn = tokio::time::timeout(TURN, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Failure::Away {
                doing: "waiting for a turn",
                why: "too many people sign in at this moment".into(),
            });
        };
        let secret = self.secret().await?;
        let mut metadata = self.metadata(moment).await?;
        let tokens = self.exchanged(&metadata, begun, back, &code, &secret).await?;
        let Some(token) = tokens.extra_fields().id_token() else {
            return Err(Failure::Untrusted("it has no ID token; is `openid` a scope of this client?".into()));
        };
        let asked = verify::Asked { nonce: begun.nonce(&self.key), made: begun.made, host: moment.host };
        if verify::has_unknown_key(token, &metadata) {
            metadata = self.with_newer_keys(metadata, moment).await;
        }
        let claims = verify::verified(token, &metadata, &self.settings, asked)?;
        let groups = match claims::groups(&claims.additional_claims().all, &self.settings.claim)? {
            Some(groups) => groups,
            None => self.groups_of_userinfo(&metadata, &tokens, claims, &secret).await?,
        };
        let person = Person { subject: claims.subject().as_str().into(), name: claims::name(claims), groups };
        Ok(Proven { person, hint: token.to_string().into() })
    }

    /// What says that none of the groups may do anything here.
    pub(crate) fn no_group(&self, person: &Person) -> Failure {
        let seen = listed(person.groups.iter().map(|group| &**group), "no group");
        Failure::NoGroup { claim: self.settings.claim.to_string(), seen }
    }

    /// Returns where a browser signs out of the provider as well, and comes back to `back`; `None`: it has no such address.
    ///
    /// # Errors
    /// That the provider cannot be asked how it is reached.
    pub(crate) async fn farewell(
        &self,
        hint: Option<&SecretString>,
        back: &str,
        moment: Moment,
    ) -> Result<Option<Url>, Failure> {
        let metadata = self.metadata(moment).await?;
        let Some(end) = claims::end_of_session(&metadata) else { return Ok(None) };
        if !self.is_safe(end) {
            return Err(self.unsafe_address("end_session_endpoint", end.as_str()));
        }
        let mut url = end.clone();
        let mut query = url.query_pairs_mut();
        query.append_pair("client_id", &self.settings.client).append_pair("post_logout_redirect_uri", back);
        if let Some(hint) = hint {
            query.append_pair("id_token_hint", hint.expose_secret());
        }
        drop(query);
        Ok(Some(url))
    }

    async fn exchanged(
        &self,
        metadata: &claims::Metadata,
        begun: &Begun,
        back: &str,
        code: &SecretString,
        secret: &SecretString,
    ) -> Result<Tokens, Failure> {
        const DOING: &str = "asking the provider who you are";
        let verifier = SecretString::from(begun.verifier(&self.key));
        let hidden = |why: String| words(&without(&why, &[code, secret, &verifier]));
        let away = |why: String| Failure::Away { doing: DOING, why: hidden(why) };
        let client = claims::client(metadata, &self.settings.client, Some(secret)).set_redirect_uri(redirect(back)?);
        let code = AuthorizationCode::new(code.expose_secret().to_owned());
        let request = client.exchange_code(code).map_err(|error| away(error.to_string()))?;
        let answer = request.set_pkce_verifier(self.verifier(begun)).request_async(&self.asking).await;
        answer.map_err(|error| match error {
            // Such as a code that is not good: that is said of who sent it, and not of the provider.
            RequestTokenError::ServerResponse(told) => Failure::Declined(hidden(told.to_string())),
            RequestTokenError::Request(error) => away(error.to_string()),
            // What it answered may have a token in it, and so may what is said of it.
            RequestTokenError::Parse(error, _) => away(format!("its answer cannot be read at `{}`", error.path())),
            RequestTokenError::Other(error) => away(error),
        })
    }

    /// The groups as the provider says them apart, where they are not in its token.
    async fn groups_of_userinfo(
        &self,
        metadata: &claims::Metadata,
        tokens: &Tokens,
        claims: &claims::Claims,
        secret: &SecretString,
    ) -> Result<Vec<std::sync::Arc<str>>, Failure> {
        let seen = claims::names(&claims.additional_claims().all);
        let none = |seen: Vec<String>| {
            let seen = listed(seen.iter().map(String::as_str), "nothing else");
            Failure::NoClaim { claim: self.settings.claim.to_string(), seen }
        };
        let client = claims::client(metadata, &self.settings.client, None);
        let Ok(request) = client.user_info(tokens.access_token().clone(), Some(claims.subject().clone())) else {
            return Err(none(seen));
        };
        let told: Result<claims::UserInfo, _> = request.request_async(&self.asking).await;
        let access = SecretString::from(tokens.access_token().secret().clone());
        let told = told.map_err(|error| Failure::Away {
            doing: "asking the provider for your groups (userinfo)",
            why: without(&asking::userinfo_error(error), &[&access, secret]),
        })?;
        let all = &told.additional_claims().all;
        claims::groups(all, &self.settings.claim)?.ok_or_else(|| none(claims::names(all)))
    }

    fn verifier(&self, begun: &Begun) -> PkceCodeVerifier {
        PkceCodeVerifier::new(begun.verifier(&self.key))
    }

    /// Read each time, so that another one counts without a restart; beside the threads that serve requests.
    async fn secret(&self) -> Result<SecretString, Failure> {
        let place = self.settings.secret.clone();
        let read = beside(move || source::read(&place).map_err(|error| error.to_string())).await;
        let text = read.and_then(|secret| {
            String::from_utf8(secret.expose_secret().to_vec())
                .map_err(|_| format!("the secret in {} is not text in UTF-8", self.settings.secret.place()))
        });
        text.map(SecretString::from).map_err(|error| {
            tracing::error!(%error, "nobody can sign in by OpenID Connect: `server.oidc.secret` cannot be used");
            Failure::Own("the secret of this client cannot be read")
        })
    }

    fn is_safe(&self, url: &Url) -> bool {
        is_private(url) && (url.scheme() == "https" || self.settings.issuer.url().scheme() == "http")
    }

    fn unsafe_address(&self, what: &str, address: &str) -> Failure {
        let why = format!("its `{what}` is {}, which is not https", excerpt(&harmless(address)));
        Failure::Away { doing: metadata::DOING, why }
    }
}

/// Reads a file beside the threads that serve requests.
async fn beside<T: Send + 'static>(read: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string()).flatten()
}

fn redirect(back: &str) -> Result<RedirectUrl, Failure> {
    RedirectUrl::new(back.to_owned()).map_err(|error| {
        tracing::error!(%error, "the address to which a provider sends people back cannot be used");
        Failure::Own("the address to which the provider sends you back cannot be used")
    })
}

/// The text without these values, whoever put them there.
fn without(text: &str, secrets: &[&SecretString]) -> String {
    let hide = |text: String, secret: &str| text.replace(secret, "[hidden]");
    secrets.iter().map(|secret| secret.expose_secret()).filter(|secret| !secret.is_empty()).fold(text.to_owned(), hide)
}

/// What somebody else says, in one line that is not too long and harms nobody who reads it.
pub(crate) fn words(text: &str) -> String {
    const LONGEST: usize = 300;
    let line = harmless(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut short: String = line.chars().take(LONGEST).map(|c| if turns(c) { '\u{fffd}' } else { c }).collect();
    if line.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

/// Some of them, each short and free of what a page could be confused by.
fn listed<'a>(all: impl ExactSizeIterator<Item = &'a str>, none: &str) -> String {
    let more = all.len().saturating_sub(NAMED);
    let named: Vec<String> = all.take(NAMED).map(|one| format!("`{}`", excerpt(&harmless(one)))).collect();
    let mut text = if named.is_empty() { none.to_owned() } else { named.join(", ") };
    if more > 0 {
        // Writing to a text does not fail.
        let _ = write!(text, " and {more} more");
    }
    text
}
