//! Who answers: a header on every answer, by which the command line tells this controller from whatever else may listen
//! there, and a proof for those who hold the local token and want to know before they show it. Must not show a secret.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Query, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, Problem};
use crate::access::proof::NONCE;

/// The header: the id of the installation, then the version of its program.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("pointsman-controller");
/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The address at which a connection ends here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local(pub SocketAddr);

/// Who answers.
#[derive(Serialize, ToSchema)]
pub(super) struct Identity {
    /// The id of the installation, as the header has it.
    #[schema(example = "5f0c9a7be2d41836")]
    controller: String,
    /// The version of its program.
    version: &'static str,
    /// HMAC-SHA256 with `state/token` as key over `pointsman-identity`, the nonce and the address of this end of the
    /// connection, each on a line; null without a nonce, and where `server.token` takes the place of that file.
    #[schema(required)]
    proof: Option<String>,
}

/// A question for a proof.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Question {
    /// Chosen by the asker for this one question, 16 to 128 hexadecimal digits.
    #[param(pattern = "^[0-9a-f]{16,128}$", example = "00112233445566778899aabbccddeeff")]
    nonce: Option<String>,
}

/// Who answers here
#[utoipa::path(
    get, path = "/v1/identity", tag = "service", params(Question),
    responses(
        (status = 200, description = "The installation, and a proof that it made `state/token`", body = Identity),
        (status = 400, description = "The nonce is too short, too long, or not hexadecimal", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn identity(
    State(app): State<Arc<App>>,
    local: Option<Extension<Option<Local>>>,
    Query(question): Query<Question>,
) -> Result<Json<Identity>, Problem> {
    let good = |nonce: &String| NONCE.contains(&nonce.len()) && nonce.bytes().all(|b| b.is_ascii_hexdigit());
    if question.nonce.as_ref().is_some_and(|nonce| !good(nonce)) {
        return Err(Problem::new(400, "`nonce` must have 16 to 128 hexadecimal digits"));
    }
    let at = local.and_then(|Extension(local)| local).map(|Local(address)| address);
    let proof = question.nonce.zip(at).and_then(|(nonce, address)| app.access.proof(&nonce, address));
    Ok(Json(Identity { controller: app.secrets.installation(), version: VERSION, proof }))
}

/// The layer that says on every answer who gave it.
pub(super) async fn signed(State(value): State<HeaderValue>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(HEADER, value);
    response
}

/// Returns the header's value.
pub(super) fn header(app: &App) -> HeaderValue {
    let text = format!("{}; version={VERSION}", app.secrets.installation());
    HeaderValue::try_from(text).expect("hexadecimal digits and a version are visible ASCII")
}
