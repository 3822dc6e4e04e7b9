//! Tokens: listed, made and revoked by admins. The same file as `pointsman token` keeps; must not show the text of one twice.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use secrecy::ExposeSecret;

use super::{
    App, Problem,
    authentication::Peer,
    door, requests,
    responses::{DoneAtTheDoor, MadeToken, Tokens},
    view_of_people as view,
};
use crate::{
    access::{self, Caller, Digest, Refused, Role, Scope, audit::Act, file::Token, kept},
    machine::Millis,
    units::parse_duration,
};

/// The most tokens that are made here: a file that grows without end would be refused as a whole one day.
const MOST: usize = 1_000;

/// All tokens, never their text
#[utoipa::path(
    get, path = "/v1/tokens", tag = "access",
    responses((status = 200, description = "With role, places, end and last use", body = Tokens)),
)]
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Tokens>, Problem> {
    Ok(Json(view::tokens(&app)?))
}

/// Make a token
///
/// Its text is in this answer only. A token makes no tokens: it takes a person who is signed in, or the local token.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "access",
    request_body(content = requests::NewToken, content_type = "application/json"),
    responses(
        (status = 201, description = "It is made", body = MadeToken),
        (status = 409, description = "There is one of this name, or there are too many", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 507, description = "It cannot be written down", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn make(
    State(app): State<Arc<App>>,
    caller: Caller,
    peer: Peer,
    body: Bytes,
) -> Result<Response, Problem> {
    let asked: requests::NewToken = requests::read(&body)?;
    let bad = |why: &dyn std::fmt::Display| Problem::new(400, why.to_string());
    let name = access::name(&asked.name).map_err(|why| bad(&why))?;
    let role: Role = asked.role.parse().map_err(|why: String| bad(&why))?;
    let only = asked.only.unwrap_or_default();
    let only = only.iter().map(|place| place.parse()).collect::<Result<Vec<Scope>, _>>().map_err(|why| bad(&why))?;
    let expires = asked.expires.as_deref().map(parse_duration).transpose().map_err(|why| bad(&why))?;
    if expires == Some(Millis(0)) {
        return Err(Problem::new(400, "`expires` must be longer than zero, for example \"90d\""));
    }
    if caller.token().is_some() {
        return Err(Refused::NotByToken { by: caller.by }.into());
    }
    let text = access::make();
    let text = text.map_err(|error| Problem::new(503, format!("the system has no random numbers: {error}")))?;
    let now = app.clock.host();
    let token = Token {
        name: name.clone(),
        role,
        digest: Digest::of(text.expose_secret().as_bytes()),
        created: now,
        by: Token::maker(&caller.by),
        expires: expires.map(|length| now.plus(length)),
        only: (!only.is_empty()).then(|| only.into()),
    };
    let terms = token.terms();
    let said = format!("{name}: {terms}");
    let made = door::noted(&app, (&caller.by, peer, Act::TokenMade), move |app| {
        kept::edit(app.access.state(), |tokens: &mut Vec<Token>| match tokens.len() >= MOST {
            true => Err(kept::Error::TooMany { kind: "token", most: MOST }),
            false => kept::push(tokens, token),
        })?;
        Ok::<_, kept::Error>(((), Some(said)))
    });
    made.await??;
    let made = MadeToken { name: name.to_string(), token: text.expose_secret().to_owned(), may: terms };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(made)).into_response())
}

/// Revoke a token
///
/// It is refused from then on; an event stream that it follows ends within a second of the next record.
#[utoipa::path(
    post, path = "/v1/tokens/revoke", tag = "access",
    request_body(content = requests::Named, content_type = "application/json"),
    responses(
        (status = 200, description = "It is revoked", body = DoneAtTheDoor),
        (status = 404, description = "There is none of this name", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 507, description = "It cannot be written down", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    peer: Peer,
    body: Bytes,
) -> Result<Json<DoneAtTheDoor>, Problem> {
    let requests::Named { name } = requests::read(&body)?;
    let revoked = name.clone();
    let done = door::noted(&app, (&caller.by, peer, Act::TokenRevoked), move |app| {
        kept::edit(app.access.state(), |tokens: &mut Vec<Token>| kept::take(tokens, &revoked))?;
        Ok::<_, kept::Error>(((), Some(revoked)))
    });
    done.await??;
    Ok(Json(DoneAtTheDoor { said: format!("the token `{name}` is refused from now on"), name }))
}
