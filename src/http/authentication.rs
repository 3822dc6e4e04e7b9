//! Who asks, and whether they may: every request to the API passes here before a handler sees it. Must not know what the
//! actions do.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use axum::{
    Extension,
    extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header, request::Parts};

use subtle::ConstantTimeEq;

use super::{
    App, Problem, door, guard,
    roles::Roles,
    transport::{self, Way, is_from_here},
};
use crate::{
    access::{Caller, Refused, Role, limits::Origin, sessions::csrf},
    machine::EnvironmentId,
};

/// The header in which a holder of the local token says who acts.
pub(super) const USER: &str = "x-pointsman-user";

/// The address that a request comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

impl FromRequestParts<Arc<App>> for Peer {
    type Rejection = Infallible;

    /// Requests without a known address share one that nobody has.
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let peer = parts.extensions.get().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer: &Self| peer.0);
        let forwarded = parts.headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        Ok(Self(app.limits.address(peer, &forwarded.collect::<Vec<_>>().join(","))))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get().cloned();
        caller.ok_or_else(|| Problem::new(500, "a defect of pointsman: nobody was asked who they are; report this"))
    }
}

/// The session that proved who asks.
#[derive(Clone)]
pub(super) struct Session {
    /// The text that its forms carry, in the field `csrf`.
    pub(super) csrf: Arc<str>,
}

/// Lets pass who may do what the request asks for. Lists show each caller what it may see: that is the handlers' part.
pub(super) async fn authorised(
    State(app): State<Arc<App>>,
    Extension(roles): Extension<Arc<Roles>>,
    (peer, way): (Peer, Way),
    (path, params): (MatchedPath, RawPathParams),
    mut request: Request,
    next: Next,
) -> Response {
    let page = !request.uri().path().starts_with("/v1/");
    if page && way == Way::Plain {
        return door::unencrypted(&app, request.headers());
    }
    let (caller, session) = match known(&app, peer, &way, request.headers()) {
        Ok(known) => known,
        Err(refused) if page && refused.is_signed_out() && door::wants_page(request.headers()) => {
            return door::to_sign_in(&app, peer, &way, request).await;
        }
        Err(refused) => return failed(&app, peer, refused).into_response(),
    };
    if let Some(session) = &session
        && !request.method().is_safe()
    {
        match of_this_session(session, request).await {
            Ok(checked) => request = checked,
            Err(refused) => return refused,
        }
    }
    let needs = match roles.of(request.method(), path.as_str()) {
        Ok(role) => role,
        Err(refused) => return refused,
    };
    if let Err(problem) = allowed(&caller, needs, &params) {
        return problem.into_response();
    }
    let param = |wanted: &str| params.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    if let (Some(pipeline), Some(environment)) = (param("pipeline"), param("environment"))
        && let Err(problem) = app.known_environment(&caller, &format!("{pipeline}/{environment}"))
    {
        return problem.into_response();
    }
    request.extensions_mut().insert(caller);
    if let Some(session) = session {
        request.extensions_mut().insert(session);
    }
    next.run(request).await
}

/// Who asks: by a token, or else by the session of a browser.
fn known(app: &App, peer: Peer, way: &Way, headers: &HeaderMap) -> Result<(Caller, Option<Session>), Refused> {
    let now = app.clock.host();
    // A good token is never slowed by what others of the same address do: to look it up costs next to nothing.
    if let Some(shown) = bearer(headers) {
        let user = headers.get(USER).map(|value| value.as_bytes().trim_ascii());
        let caller = app.access.caller(shown, user, now)?;
        app.access.note_use(&caller, &peer.0.to_string(), now);
        return Ok((caller, None));
    }
    let secret = way.read_cookie(headers, door::SESSION).ok_or(Refused::Unknown)?;
    let caller = app.access.signed_in(secret.as_bytes(), &peer.0.to_string(), now)?;
    Ok((caller, Some(Session { csrf: csrf(secret.as_bytes()).into() })))
}

/// Lets pass a request that changes something only where a page of ours made it, in this session.
async fn of_this_session(session: &Session, request: Request) -> Result<Request, Response> {
    let (parts, body) = request.into_parts();
    if !is_from_here(&parts.headers, transport::authority(&parts)) {
        return Err(door::foreign());
    }
    let right = |shown: &[u8]| bool::from(session.csrf.as_bytes().ct_eq(shown));
    if parts.headers.get("x-csrf-token").is_some_and(|shown| right(shown.as_bytes())) {
        return Ok(Request::from_parts(parts, body));
    }
    let body = guard::read(&parts.headers, body, guard::LARGEST as u64).await.map_err(IntoResponse::into_response)?;
    let shown = form_urlencoded::parse(&body).find(|(key, _)| key == "csrf").map(|(_, shown)| shown.into_owned());
    match shown.is_some_and(|shown| right(shown.as_bytes())) {
        true => Ok(Request::from_parts(parts, body.into())),
        false => Err(door::foreign()),
    }
}

/// Counts an unauthenticated request, and says how it is answered.
fn failed(app: &App, peer: Peer, refused: Refused) -> Problem {
    if !refused.is_failure() {
        return refused.into();
    }
    match app.limits.failures.take(&Origin::api(peer.0), app.clock.now()) {
        Ok(()) => {
            tracing::info!(address = %peer.0, why = %refused, "unauthenticated request refused");
            refused.into()
        }
        Err(wait) => Problem::too_many("requests from this address without a good token", wait),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, shown) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(shown.trim_ascii())
}

fn allowed(caller: &Caller, needs: Role, params: &RawPathParams) -> Result<(), Problem> {
    let param = |wanted: &str| params.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    match (param("pipeline"), param("environment")) {
        (Some(pipeline), Some(environment)) => {
            let id = format!("{pipeline}/{environment}").parse::<EnvironmentId>();
            caller.may(needs, &id.map_err(|_| Problem::no_environment())?)?;
        }
        // A list, of all or of a pipeline: each caller sees its own part.
        (_, None) if needs == Role::Viewer => {}
        _ => caller.may_everywhere(needs)?,
    }
    Ok(())
}
