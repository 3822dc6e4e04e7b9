//! The API under `/v1` and the webhooks. Handlers read the folded state and append to the journal; they never call a
//! driver.

mod act;
mod caller;
mod guard;
mod hooks;
mod problem;
mod read;
mod server;
#[cfg(test)]
mod tests;
mod view;
mod why;

use std::{any::Any, collections::HashMap, sync::Arc};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tower_http::catch_panic::CatchPanicLayer;

pub use problem::Problem;
pub use server::serve;

use crate::{
    access::{Access, limits::Limits},
    clock::Clock,
    intake::keys::Keys,
    journal::Journal,
    machine::{EnvironmentId, Name},
    pipelines::{EnvironmentDefinition, Pipelines, frozen::Frozen},
    runner::Board,
};

/// What the handlers work with.
pub struct App {
    /// Where wishes are recorded and states are read.
    pub journal: Journal,
    /// The pipelines there are.
    pub pipelines: Arc<Pipelines>,
    /// The keys of their webhooks.
    pub keys: HashMap<Name, Keys>,
    /// The stack definitions that releases were made with.
    pub frozen: Frozen,
    /// What is known of the world beyond the journal.
    pub board: Board,
    /// The time.
    pub clock: Clock,
    /// Who may ask, and for what.
    pub access: Access,
    /// How often.
    pub limits: Limits,
}

impl App {
    fn environment(&self, pipeline: &str, environment: &str) -> Result<Arc<EnvironmentDefinition>, Problem> {
        let id = format!("{pipeline}/{environment}").parse::<EnvironmentId>().ok();
        let found = id.and_then(|id| self.pipelines.environment(&id).cloned());
        found.ok_or_else(Problem::no_environment)
    }
}

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .route("/v1/environments", get(read::environments))
        .route("/v1/environments/{pipeline}/{environment}", get(read::environment))
        .route("/v1/environments/{pipeline}/{environment}/{action}", post(act::environment))
        .route("/v1/deployments/{pipeline}/{environment}/{number}", get(read::deployment))
        .route("/v1/deployments/{pipeline}/{environment}/{number}/{action}", post(act::deployment))
        .route("/v1/history", get(read::history))
        .route("/v1/events", get(read::events))
        .layer(from_fn_with_state(app.clone(), caller::authorised));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/v1/hooks/{pipeline}", post(hooks::hook))
        .merge(api)
        .fallback(|| async { Problem::not_found("there is nothing at this address") })
        .method_not_allowed_fallback(|| async { Problem::new(405, "this address does not take this method") })
        .layer(DefaultBodyLimit::disable()) // The guard has one for all.
        .layer(from_fn(guard::guard))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(app)
}

/// A defect costs the request that met it, and no other.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let what = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    tracing::error!(what, "a request met a defect");
    Problem::new(500, "a defect of pointsman; its log says more, and nothing was recorded unless it says so")
        .into_response()
}
