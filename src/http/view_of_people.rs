//! How people, their sessions, and tokens are shown: the same to the API and to the page. Must not show a secret.

use std::sync::Arc;

use super::{
    App, Problem,
    blocking::blocking,
    responses::{Me, OpenSession, People, Person, RoleGrant, Token, Tokens},
};
use crate::{
    access::{Caller, Grant, Refused, Scope, people, sessions::Session},
    text::format_time,
};

/// Shows all tokens.
pub(super) fn tokens(app: &App) -> Result<Tokens, Refused> {
    let now = app.clock.host();
    let tokens = app.access.tokens(now)?.into_iter().map(|(token, used)| Token {
        name: token.name.to_string(),
        role: token.role.to_string(),
        only: places(token.only.as_ref()),
        made: format_time(token.created),
        made_by: token.by.as_deref().map(str::to_owned),
        expires: token.expires.map(format_time),
        expired: !token.is_good(now),
        used: used.as_ref().map(|used| format_time(used.at)),
        used_from: used.map(|used| used.from),
    });
    Ok(Tokens { tokens: tokens.collect() })
}

/// Shows everybody, to one of them.
pub(super) async fn people(app: &Arc<App>, caller: &Caller) -> Result<People, Problem> {
    let (app, caller) = (app.clone(), caller.clone());
    Ok(blocking(move || everybody(&app, &caller)).await??)
}

fn everybody(app: &App, caller: &Caller) -> Result<People, Refused> {
    let person = |person: people::Person| Person {
        name: person.name.to_string(),
        grants: person.grants.iter().map(grant).collect(),
        added: person.added.map(format_time),
        has_password: person.has_password,
        sessions: person.sessions.iter().map(|session| open_session(app, session, caller)).collect(),
    };
    Ok(People { people: app.access.people(app.clock.host())?.into_iter().map(person).collect() })
}

/// Shows the one who asks.
pub(super) async fn me(app: &Arc<App>, caller: &Caller) -> Result<Me, Problem> {
    let (app, caller) = (app.clone(), caller.clone());
    blocking(move || oneself(&app, &caller)).await
}

fn oneself(app: &App, caller: &Caller) -> Me {
    let sessions = app.access.sessions_of(&caller.by, app.clock.host());
    Me {
        name: caller.by.to_string(),
        grants: caller.grants.iter().map(grant).collect(),
        sessions: sessions.iter().map(|session| open_session(app, session, caller)).collect(),
    }
}

fn open_session(app: &App, session: &Session, caller: &Caller) -> OpenSession {
    OpenSession {
        id: session.digest.id(),
        since: format_time(session.created),
        used: format_time(session.used),
        from: session.from.clone(),
        until: format_time(app.access.sessions().until(session)),
        this: caller.session() == Some(session.digest),
    }
}

fn grant(grant: &Grant) -> RoleGrant {
    RoleGrant { role: grant.role.to_string(), only: places(grant.only.as_ref()) }
}

fn places(only: Option<&Arc<[Scope]>>) -> Option<Vec<String>> {
    only.map(|only| only.iter().map(ToString::to_string).collect())
}
