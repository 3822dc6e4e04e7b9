//! The page of one deployment: its steps, how it ended, and its records.

use std::sync::Arc;

use super::{Visitor, frame::Frame, page as answer, words::filters};
use crate::{
    http::{
        App, Problem,
        place::OfDeployment,
        story::{Whole, whole},
    },
    journal::Record,
    machine::{EnvironmentId, Millis, Number},
    pipelines::Tier,
    telling,
    text::{format_duration, format_time},
};
use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};

/// One deployment.
#[derive(Template)]
#[template(path = "deployment.html")]
struct Page {
    frame: Frame,
    id: EnvironmentId,
    tier: Option<Tier>,
    view: Whole,
    /// The public key with which evidence is signed.
    key: String,
}

/// A record as people read it.
pub(super) struct Line {
    pub seq: u64,
    pub at: String,
    pub by: String,
    pub kind: String,
    pub about: String,
    pub said: Vec<String>,
    pub sum: String,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    Path(place): Path<OfDeployment>,
    visitor: Visitor,
) -> Result<Response, Problem> {
    let (definition, number) = place.find(&app)?;
    let view = whole(&app, &definition.id, Number(number)).await?;
    let name = format!("Deployment {number} of {}", definition.id);
    let address = format!("/deployments/{}/{number}", definition.id);
    let frame = Frame::new(&name, address, app.clock.now()).at(&visitor, &definition.id);
    answer(&Page {
        frame,
        id: definition.id.clone(),
        tier: definition.tier(),
        view,
        key: app.signer.public().to_string(),
    })
}

impl Page {
    fn lines(&self) -> Vec<Line> {
        self.view.records.iter().map(Line::of).collect()
    }

    fn downtime(&self) -> Option<String> {
        self.view.deployment.downtime.map(|took| format_duration(Millis(took)))
    }

    fn sums(&self) -> telling::Sums {
        telling::sums(&self.view.steps)
    }
}

impl Line {
    pub(super) fn of(record: &Record) -> Self {
        let (kind, about) = telling::named(&record.event);
        let event = serde_json::to_value(&record.event).expect("an event serialises: it is recorded as JSON");
        Self {
            seq: record.seq,
            at: format_time(record.at),
            by: record.by.to_string(),
            about,
            said: telling::said(&event),
            kind,
            sum: record.sum.to_string(),
        }
    }
}
