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

use super::{App, Problem, roles::Roles};
use crate::{
    access::{Caller, Refused, Role, limits::Origin},
    machine::EnvironmentId,
};

/// The address that a request comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

impl FromRequestParts<Arc<App>> for Peer {
    type Rejection = Infallible;

    /// Whose address is not known share one that nobody has.
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

/// Lets pass who may do what the request asks for. Lists show each caller what it may see: that is the handlers' part.
pub(super) async fn authorised(
    State(app): State<Arc<App>>,
    Extension(roles): Extension<Arc<Roles>>,
    peer: Peer,
    path: MatchedPath,
    params: RawPathParams,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match known(&app, peer, request.headers()) {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
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
    next.run(request).await
}

fn known(app: &App, peer: Peer, headers: &HeaderMap) -> Result<Caller, Problem> {
    let now = app.clock.host();
    let user = headers.get("x-pointsman-user").map(|value| value.as_bytes().trim_ascii());
    // A good token is never slowed by what others of the same address do: to look it up costs next to nothing.
    let found = bearer(headers).map_or(Err(Refused::Unknown), |shown| app.access.caller(shown, user, now));
    found.map_err(|refused| failed(app, peer, refused))
}

/// Counts a request of nobody, and says how it is answered.
fn failed(app: &App, peer: Peer, refused: Refused) -> Problem {
    if !refused.is_failure() {
        return refused.into();
    }
    match app.limits.failures.take(&Origin::api(peer.0), app.clock.now()) {
        Ok(()) => {
            tracing::info!(address = %peer.0, why = %refused, "a request of nobody was refused");
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
        // A list: each caller sees its own part.
        (None, None) if needs == Role::Viewer => {}
        _ => caller.may_everywhere(needs)?,
    }
    Ok(())
}
