//! The page of one deployment: its steps, how it ended, and its records.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use serde_json::Value;

use super::{Visitor, frame::Frame, page as answer, words::filters};
use crate::{
    http::{
        App, Problem,
        place::OfDeployment,
        story::{Whole, whole},
    },
    journal::Record,
    machine::{EnvironmentId, Number},
    pipelines::Tier,
    telling,
    text::format_time,
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
    pub environment: String,
    pub by: String,
    pub kind: String,
    pub about: String,
    pub said: Vec<String>,
    pub sum: String,
    pub deployment: Option<u32>,
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

    fn sums(&self) -> telling::Sums {
        telling::sums(&self.view.steps)
    }
}

impl Line {
    pub(super) fn of(record: &Record) -> Self {
        let event = serde_json::to_value(&record.event).expect("an event serialises: it is recorded as JSON");
        let kind = event["kind"].as_str().expect("an event has its kind").replace('_', " ");
        Self {
            seq: record.seq,
            at: format_time(record.at),
            environment: record.environment.to_string(),
            by: record.by.to_string(),
            about: about(&event),
            said: telling::said(&event),
            kind,
            sum: record.sum.to_string(),
            deployment: telling::deployment_of(&record.event).map(|number| number.0),
        }
    }
}

/// Why it happened; where no words were given, what it brings.
fn about(event: &Value) -> String {
    let words = telling::about(event);
    let release = &event["release"];
    match (words.is_empty(), release["number"].as_u64(), release["version"].as_str()) {
        (true, Some(number), Some(version)) => format!("{number} ({version})"),
        _ => words,
    }
}
