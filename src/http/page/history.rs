//! The timeline of all that happened, over all environments that somebody may see.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use serde::Deserialize;

use super::{
    Visitor,
    deployment::Line,
    frame::{Frame, Here},
    page as answer,
    words::filters,
};
use crate::{
    http::{App, Problem, read},
    text::format_time,
};

/// How many records are looked through, and how many of them are shown.
const LOOKED: u32 = 1_000;
const SHOWN: usize = 200;
/// What "the last hour" means, in milliseconds.
const HOUR: u64 = 3_600_000;

/// What is wanted of the history.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    environment: String,
    /// Who did it.
    who: String,
    /// What it is called, or what it is about.
    what: String,
    /// Only the last hour.
    last: String,
}

/// The timeline.
#[derive(Template)]
#[template(path = "history.html")]
struct Page {
    frame: Frame,
    wanted: Wanted,
    /// The newest first.
    lines: Vec<Line>,
    /// There are more than are shown.
    more: bool,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let environment = match wanted.environment.trim() {
        "" => None,
        id => Some(id.parse().map_err(|_| Problem::not_found("an environment is called like shop/prod"))?),
    };
    let records = read::records(&app, &visitor.caller, environment, LOOKED, None).await?;
    let now = app.clock.now();
    let since = if wanted.last == "1h" { now.0.saturating_sub(HOUR) } else { 0 };
    let (who, what) = (wanted.who.trim().to_lowercase(), wanted.what.trim().to_lowercase());
    let lines = records.iter().rev().filter(|record| record.at.0 >= since).map(Line::of);
    let mut lines = lines.filter(|line| {
        let has = |text: &str, wanted: &str| wanted.is_empty() || text.to_lowercase().contains(wanted);
        has(&line.by, &who) && (has(&line.kind, &what) || has(&line.about, &what))
    });
    let shown = lines.by_ref().take(SHOWN).collect();
    let more = lines.next().is_some() || records.len() == LOOKED as usize;
    let frame = Frame { here: Here::History, ..Frame::new("History", "/history", now).of(&visitor) };
    answer(&Page { frame, wanted, lines: shown, more })
}

impl Page {
    /// The lines of a day follow one another.
    fn days(&self) -> Vec<(String, Vec<&Line>)> {
        let mut days: Vec<(String, Vec<&Line>)> = Vec::new();
        for line in &self.lines {
            let day = line.at.get(..10).unwrap_or_default();
            match days.last_mut() {
                Some((last, lines)) if last == day => lines.push(line),
                _ => days.push((day.to_owned(), vec![line])),
            }
        }
        let today = format_time(self.frame.now);
        for (day, _) in &mut days {
            if today.starts_with(&**day) {
                *day = "Today".to_owned();
            }
        }
        days
    }
}
