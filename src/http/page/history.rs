//! The timeline of all that happened, over all environments that somebody may see.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};

use super::{
    Visitor,
    frame::{Frame, Here},
    page as answer,
    words::filters,
};
use crate::{
    chronicle::Went,
    http::{
        App, Problem, timeline,
        timeline::{Happening, Timeline, WantedPast},
    },
    text::format_time,
};

/// The ways to say how long ago something may be: in the address, and in words.
const LASTS: [(&str, &str); 5] =
    [("1h", "What changed in the last hour"), ("24h", "24 hours"), ("14d", "14 days"), ("90d", "90 days"), ("", "All")];

/// The timeline.
#[derive(Template)]
#[template(path = "history.html")]
struct Page {
    frame: Frame,
    wanted: WantedPast,
    view: Timeline,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(wanted): Query<WantedPast>,
) -> Result<Response, Problem> {
    let view = timeline::of(&app, &visitor.caller, &wanted).await?;
    let frame = Frame::new("History", address(&wanted), app.clock.now()).of(&visitor);
    answer(&Page { frame: Frame { here: Here::History, ..frame }, wanted, view })
}

impl Page {
    /// What happened on one day follows one another.
    fn days(&self) -> Vec<(String, Vec<&Happening>)> {
        let mut days: Vec<(String, Vec<&Happening>)> = Vec::new();
        for entry in &self.view.entries {
            let day = entry.at().get(..10).unwrap_or_default();
            match days.last_mut() {
                Some((last, entries)) if last == day => entries.push(entry),
                _ => days.push((day.to_owned(), vec![entry])),
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

    /// The filter for how long ago: words, address, and whether it is on.
    fn lasts(&self) -> Vec<(&'static str, String, bool)> {
        let own = self.wanted.from.is_empty() && self.wanted.to.is_empty();
        let to = |last: &str| {
            let (from, to) = (String::new(), String::new());
            address(&WantedPast { last: last.to_owned(), from, to, before: None, ..self.wanted.clone() })
        };
        LASTS.map(|(last, words)| (words, to(last), own && self.wanted.last == last)).into()
    }

    fn outcomes(&self) -> Vec<(&'static str, &'static str, bool)> {
        Went::ALL.map(|went| (went.name(), went.words(), self.wanted.outcome == went.name())).into()
    }

    fn older(&self) -> Option<String> {
        self.view.older.map(|before| address(&WantedPast { before: Some(before), ..self.wanted.clone() }))
    }

    fn newest(&self) -> Option<String> {
        self.wanted.before.map(|_| address(&WantedPast { before: None, ..self.wanted.clone() }))
    }

    fn is_filtered(&self) -> bool {
        WantedPast { before: None, most: None, ..self.wanted.clone() } != WantedPast::default()
    }
}

fn address(wanted: &WantedPast) -> String {
    let query = serde_urlencoded::to_string(wanted).expect("words and numbers make a query");
    if query.is_empty() { "/history".to_owned() } else { format!("/history?{query}") }
}

impl Happening {
    fn at(&self) -> &str {
        match self {
            Self::Deployment(deployed) => &deployed.deployment.at,
            Self::Act { at, .. } => at,
        }
    }
}
