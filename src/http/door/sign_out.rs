//! Signing out, here or everywhere. Must not say that a session has ended before the disk knows it.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};

use super::{App, Peer, Way, forget, message, noted, oidc, see};
use crate::access::{
    Caller,
    audit::Act,
    sessions::{self, Holder, Session},
};

/// Ends the session that asks.
pub(super) async fn this_one(State(app): State<Arc<App>>, way: Way, peer: Peer, caller: Caller) -> Response {
    let digest = caller.session();
    end(&app, &way, (&caller, peer, Act::SignedOut), move |session| Some(session.digest) == digest).await
}

/// Ends all sessions of the one who asks.
pub(super) async fn everywhere(State(app): State<Arc<App>>, way: Way, peer: Peer, caller: Caller) -> Response {
    let by = caller.by.clone();
    end(&app, &way, (&caller, peer, Act::SignedOutEverywhere), move |session| session.holder.is(&by)).await
}

/// Returns whose session asks.
fn holder(app: &App, caller: &Caller) -> Option<Holder> {
    app.access.sessions().still(caller.session()?, app.clock.host()).map(|session| session.holder)
}

async fn end(
    app: &Arc<App>,
    way: &Way,
    (caller, peer, act): (&Caller, Peer, Act),
    over: impl Fn(&Session) -> bool + Send + 'static,
) -> Response {
    let holder = holder(app, caller);
    let ended = noted(app, (&caller.by, peer, act), move |app| {
        let ended = app.access.sessions().end(over)?;
        Ok::<_, sessions::Error>((ended, Some(String::new())))
    });
    match ended.await {
        Err(defect) => defect.into_response(),
        Ok(Ok(_)) => {
            let next = oidc::signed_out(app, caller, holder.as_ref()).unwrap_or_else(|| see("/sign-in"));
            ([(header::SET_COOKIE, forget(way))], next).into_response()
        }
        Ok(Err(why)) => {
            tracing::error!(error = %why, "a session could not be ended");
            let text = format!("The session goes on: {why}. Close the browser, and try again when the disk has room.");
            message(StatusCode::INSUFFICIENT_STORAGE, "Not signed out", &text, Some(("/", "To the overview")))
        }
    }
}
