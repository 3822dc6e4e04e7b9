//! The API under `/v1` and the webhooks. Handlers read the folded state and append to the journal; they never call a
//! driver.

mod act;
mod adopt;
mod authentication;
mod blocking;
mod changes;
mod deploy;
mod deployable;
mod document;
mod door;
mod events;
mod evidence;
mod figures;
mod glances;
mod guard;
mod idempotency;
pub(crate) mod identity;
mod logs;
mod overview;
// The filters of the templates are made by a macro, which takes them as they are.
#[allow(unreachable_pub, reason = "a filter of a template is `pub` in a module that is not")]
mod page;
mod people;
mod place;
mod preview;
mod problem;
mod read;
mod release;
mod releases;
mod requests;
mod responses;
mod restart;
mod roles;
mod rules;
mod server;
mod shown;
mod stacks;
mod story;
mod strangers;
#[cfg(test)]
mod tests;
mod timeline;
mod tls;
mod tokens;
mod transport;
mod users;
mod view;
mod view_of_people;
mod webhook;

use std::{any::Any, collections::HashMap, sync::Arc};

use axum::{
    Extension, Router,
    body::Bytes,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::header;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use crate::chronicle::Chronicle;
pub use crate::evidence::{Key as EvidenceKey, PublicKey as EvidencePublicKey};
pub use door::{Door, write_down};
pub use glances::Glances;
pub use idempotency::Answers;
pub use problem::Problem;
pub use server::serve;
pub use story::Pasts;
pub use tls::Tls;

use roles::Roles;

use crate::{
    access::{
        Access, Caller,
        Role::{Admin, Approver, Deployer, Viewer},
        limits::Limits,
    },
    clock::Clock,
    git::Mirror,
    intake::keys::Keys,
    journal::Journal,
    machine::{EnvironmentId, Name},
    pipelines::{EnvironmentDefinition, Pipelines, frozen::Frozen},
    runner::{Board, HookLogs, Instances},
    secrets::Secrets,
};

/// State that all handlers share.
pub struct App {
    /// Where requests are recorded and states are read.
    pub journal: Journal,
    /// The pipelines there are.
    pub pipelines: Arc<Pipelines>,
    /// The keys of their webhooks.
    pub keys: HashMap<Name, Keys>,
    /// The stack definitions that releases were made with.
    pub frozen: Frozen,
    /// The fingerprints of the secrets.
    pub secrets: Secrets,
    /// What is known of the world beyond the journal.
    pub board: Board,
    /// Reader of the output of stacks.
    pub instances: Instances,
    /// What hooks wrote.
    pub hook_logs: HookLogs,
    /// The time.
    pub clock: Clock,
    /// Who may ask, and for what.
    pub access: Arc<Access>,
    /// How often.
    pub limits: Limits,
    /// The mirrors of the source repositories, for what a promotion would change.
    pub mirrors: HashMap<Name, Mirror>,
    /// The way in for people: signing in and out.
    pub door: Door,
    /// What was answered to those who named their requests.
    pub answers: Answers,
    /// What the last deployments of each environment did.
    pub pasts: Pasts,
    /// What was made of the overview for those who look at it now.
    pub glances: Glances,
    /// All deployments and acts, as far back as they are kept.
    pub chronicle: Chronicle,
    /// Key that signs evidence.
    pub signer: EvidenceKey,
}

impl App {
    /// Refuses an environment that is not there, with those that the caller may see.
    fn known_environment(&self, caller: &Caller, name: &str) -> Result<(), Problem> {
        let id = name.parse::<EnvironmentId>().ok();
        if id.is_some_and(|id| self.pipelines.environment(&id).is_some()) {
            return Ok(());
        }
        let all = self.pipelines.environments().filter(|e| caller.sees(&e.id)).map(|e| e.id.to_string());
        Err(Problem::unknown_environment(name, &all.collect::<Vec<_>>()))
    }

    fn environment(&self, pipeline: &str, environment: &str) -> Result<Arc<EnvironmentDefinition>, Problem> {
        let id = format!("{pipeline}/{environment}").parse::<EnvironmentId>().ok();
        let found = id.and_then(|id| self.pipelines.environment(&id).cloned());
        found.ok_or_else(Problem::no_environment)
    }
}

/// All routes. Each handler says what it takes and answers, and each layer what it adds: so the document is the code's.
pub fn router(app: Arc<App>) -> Router {
    let (routes, mut roles) = routes(&app);
    let (routes, document) = routes.split_for_parts();
    let routes = routes.merge(door::router(&app, &mut roles));
    let document = serde_json::to_vec(&document).expect("a document of texts and numbers serialises");
    let (document, identity) = (Document(document.into()), identity::header(&app));
    let all = routes
        .fallback(|| async { Problem::not_found("there is nothing at this address") })
        .method_not_allowed_fallback(|| async { Problem::new(405, "this address does not take this method") })
        .layer(Extension(document))
        .layer(Extension(Arc::new(roles)))
        .layer(DefaultBodyLimit::disable()) // The guard has one for all that read a body.
        .layer(from_fn(guard::guard))
        .layer(from_fn_with_state(app.clone(), page::refusals))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(identity, identity::signed))
        .with_state(app);
    all.clone().layer(Extension(page::Api(all)))
}

/// The routes, and the role that each of them takes. A new one says its role here, or is refused to everybody.
fn routes(app: &Arc<App>) -> (OpenApiRouter<Arc<App>>, Roles) {
    let mut roles = Roles::default();
    let mut held = OpenApiRouter::new()
        .routes(roles.need(Deployer, routes!(act::promote)))
        .routes(roles.need(Deployer, routes!(act::rollback)))
        .routes(roles.need(Approver, routes!(act::approve)))
        .routes(roles.need(Deployer, routes!(act::abort)))
        .routes(roles.need(Approver, routes!(act::proceed)))
        .routes(roles.need(Deployer, routes!(act::pause)))
        .routes(roles.need(Deployer, routes!(act::deploy)));
    document::held_to_what_was_shown(held.get_openapi_mut());
    let mut acting = held
        .routes(roles.need(Admin, routes!(adopt::adopt)))
        .routes(roles.need(Deployer, routes!(rules::hold)))
        .routes(roles.need(Approver, routes!(rules::resume)))
        .routes(roles.need(Deployer, routes!(rules::maintenance)))
        .routes(roles.need(Admin, routes!(rules::pin)))
        .routes(roles.need(Admin, routes!(rules::veto)))
        .routes(roles.need(Approver, routes!(rules::reset_builds)))
        .routes(roles.need(Deployer, routes!(restart::restart)))
        .routes(roles.need(Approver, routes!(stacks::retire)))
        .routes(roles.need(Admin, routes!(strangers::adopt)))
        .layer(from_fn_with_state(app.clone(), idempotency::once));
    document::asked_once(acting.get_openapi_mut());
    let mut asked = acting
        .routes(roles.need(Viewer, routes!(read::environments)))
        .routes(roles.need(Viewer, routes!(overview::overview)))
        .routes(roles.need(Viewer, routes!(read::environment)))
        .routes(roles.need(Viewer, routes!(changes::changes)))
        .routes(roles.need(Viewer, routes!(deployable::deployable)))
        .routes(roles.need(Deployer, routes!(preview::preview)))
        .routes(roles.need(Viewer, routes!(stacks::stacks)))
        .routes(roles.need(Viewer, routes!(read::deployment)))
        .routes(roles.need(Viewer, routes!(story::story)))
        .routes(roles.need(Viewer, routes!(evidence::evidence)))
        .routes(roles.need(Viewer, routes!(releases::deployments)))
        .routes(roles.need(Viewer, routes!(timeline::timeline)))
        .routes(roles.need(Viewer, routes!(release::release)))
        .routes(roles.need(Viewer, routes!(figures::figures_of)))
        .routes(roles.need(Viewer, routes!(read::history)))
        .routes(roles.need(Viewer, routes!(events::events)))
        // What applications write may be more than everybody who may look is to read.
        .routes(roles.need(Deployer, routes!(logs::logs)))
        .routes(roles.need(Admin, routes!(tokens::list, tokens::make)))
        .routes(roles.need(Admin, routes!(tokens::revoke)))
        .routes(roles.need(Admin, routes!(people::list)))
        .routes(roles.need(Admin, routes!(people::sign_out)))
        .routes(roles.need(Admin, routes!(users::add)))
        .routes(roles.need(Admin, routes!(users::grant)))
        .routes(roles.need(Admin, routes!(users::password)))
        .routes(roles.need(Admin, routes!(users::remove)))
        .routes(roles.need(Admin, routes!(people::notes)))
        .routes(roles.need(Viewer, routes!(people::me)))
        .routes(roles.need(Viewer, routes!(people::end_own)))
        .merge(page::known(&mut roles).into())
        .layer(from_fn_with_state(app.clone(), guard::followed))
        .layer(from_fn(guard::arrived))
        .layer(from_fn_with_state(app.clone(), authentication::authorised));
    document::asks_who(asked.get_openapi_mut());
    let mut all = OpenApiRouter::with_openapi(document::empty())
        .routes(routes!(healthz))
        .routes(routes!(openapi))
        .routes(routes!(identity::identity))
        .merge(page::open().into())
        .layer(from_fn(guard::arrived))
        // It reads its body itself: of most deliveries nothing is kept.
        .routes(routes!(webhook::webhook))
        .merge(asked);
    document::finish(all.get_openapi_mut());
    (all, roles)
}

#[derive(Clone)]
struct Document(Bytes);

/// Whether the controller answers
#[utoipa::path(
    get, path = "/healthz", tag = "service",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")),
)]
async fn healthz() -> &'static str {
    "ok\n"
}

/// This document
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "service",
    responses((status = 200, description = "OpenAPI 3.1", body = Object, content_type = "application/json")),
)]
async fn openapi(Extension(Document(document)): Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}

/// A defect costs the request that met it, and no other.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let what = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    tracing::error!(what, "a request met a defect");
    Problem::new(500, "a defect of pointsman; its log says more, and nothing was recorded unless it says so")
        .into_response()
}
