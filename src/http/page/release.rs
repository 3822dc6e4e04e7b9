//! The page of one release: where it is, where it was, and its deployments.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{
    Visitor,
    frame::Frame,
    page as answer,
    words::{Look, filters},
};
use crate::http::{
    App, Problem, release,
    release::{OfRelease, ReleasePart, ReleaseStory},
};

/// One release.
#[derive(Template)]
#[template(path = "release.html")]
struct Page {
    frame: Frame,
    view: ReleaseStory,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    Path(place): Path<OfRelease>,
    visitor: Visitor,
) -> Result<Response, Problem> {
    let view = release::of(&app, &visitor.caller, place).await?;
    let name = format!("Release {} of {}", view.release, view.pipeline);
    let address = format!("/releases/{}/{}", view.pipeline, view.release);
    answer(&Page { frame: Frame::new(&name, address, app.clock.now()).of(&visitor), view })
}

impl ReleasePart {
    fn look(self) -> Look {
        match self {
            Self::Live => Look::tag("live", "go", "live"),
            Self::Standby => Look::tag("warm", "rest", "standby, warm"),
            Self::UnderWay => Look::tag("move", "move", "under way"),
            Self::WasLive => Look::tag("done", "rest", "was live"),
            Self::Tried => Look::tag("cross", "rest", "tried, never live"),
            Self::Never => Look::tag("todo", "blind", "never there"),
        }
    }
}
