//! The key of a preview, for whoever may act where it leads. Must not be kept by anybody on the way, and is in no other answer.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::header;
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, Problem, place::Place};
use crate::machine::EnvironmentId;

/// What lets one see the candidate before users do.
#[derive(Serialize, ToSchema)]
pub(super) struct PreviewKey {
    #[schema(example = "shop/qa")]
    pub environment: String,
    /// The link that lets a browser in.
    #[schema(example = "https://shop.example/.pointsman/preview?key=0123456789abcdef")]
    pub link: String,
    /// The header that tools send.
    #[schema(example = "x-pointsman-preview")]
    pub header: String,
    /// The key, which is the header's value.
    #[schema(example = "0123456789abcdef")]
    pub key: String,
}

/// Key of the preview
///
/// Whoever has it sees the candidate before users do.
#[utoipa::path(
    get, path = "/v1/environments/{pipeline}/{environment}/preview", tag = "looking", params(Place),
    responses((status = 200, description = "The link, and the header with its value", body = PreviewKey)),
)]
pub(super) async fn preview(State(app): State<Arc<App>>, Path(place): Path<Place>) -> Result<Response, Problem> {
    let id = &place.find(&app)?.id;
    let key = app.preview_key(id)?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(key)).into_response())
}

impl App {
    /// Returns what lets one in; why there is nothing, or nothing that is known.
    pub(super) fn preview_key(&self, id: &EnvironmentId) -> Result<PreviewKey, Problem> {
        let sight = self.board.sight(id);
        let none = || Problem::not_found(&format!("{id} has no preview, or its front was not looked at yet"));
        let shown = sight.preview.as_ref().ok_or_else(none)?;
        let unread = |why: &str| Problem::new(503, why.to_owned());
        let link = shown.link().map_err(unread)?;
        let key = shown.key.as_ref().map_err(|why| unread(why))?;
        let key = key.expose_secret().to_owned();
        Ok(PreviewKey { environment: id.to_string(), link, header: shown.header.clone(), key })
    }
}
