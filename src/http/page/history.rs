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
    /// All that was recorded, or all of the time that is asked for, was looked through; else how many records were.
    looked: Looked,
    /// From when on it was looked through, where that is not all.
    since: Option<String>,
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
    let read = read::records(&app, &visitor.caller, environment, LOOKED, None).await?;
    let records = &read.records;
    let now = app.clock.now();
    let since = if wanted.last == "1h" { now.0.saturating_sub(HOUR) } else { 0 };
    let (who, what) = (wanted.who.trim().to_lowercase(), wanted.what.trim().to_lowercase());
    let lines = records.iter().rev().filter(|record| record.at.0 >= since).map(Line::of);
    let mut lines = lines.filter(|line| {
        let has = |text: &str, wanted: &str| wanted.is_empty() || text.to_lowercase().contains(wanted);
        has(&line.by, &who) && (has(&line.kind, &what) || has(&line.about, &what))
    });
    let shown = lines.by_ref().take(SHOWN).collect();
    let more = lines.next().is_some();
    let oldest = records.first().map(|record| record.at);
    let looked = match oldest {
        Some(oldest) if read.more && oldest.0 >= since => Looked::Last(records.len()),
        None if read.more => Looked::Last(0),
        Some(_) | None => Looked::All,
    };
    let since = oldest.filter(|_| looked != Looked::All).map(format_time);
    let frame = Frame { here: Here::History, ..Frame::new("History", "/history", now).of(&visitor) };
    answer(&Page { frame, wanted, lines: shown, more, looked, since })
}

/// How far back it was looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looked {
    All,
    /// So many records that somebody may see, the last ones.
    Last(usize),
}

/// Why nothing is shown: that nothing happened is said only where all was looked through and nothing is left out.
fn nothing(looked: Looked, Wanted { environment, who, what, last }: &Wanted) -> String {
    let kind = [environment, who, what].iter().any(|filter| !filter.trim().is_empty());
    let hour = if last == "1h" { " in the last hour" } else { "" };
    match (looked, kind) {
        (Looked::All, false) => format!("Nothing was recorded{hour}."),
        (Looked::All, true) => {
            format!("Nothing of that kind was recorded{hour}; without the filter there may be more.")
        }
        (Looked::Last(0), _) => "None was found in what was looked through; older records were not.".to_owned(),
        (Looked::Last(count), _) => {
            format!("None of the last {count} records is of that kind; older ones were not looked through.")
        }
    }
}

impl Page {
    fn nothing(&self) -> String {
        nothing(self.looked, &self.wanted)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nothing_happened_is_said_only_where_all_was_looked_through() {
        let all = Wanted::default();
        let bobs = Wanted { who: "bob".into(), last: "1h".into(), ..Wanted::default() };
        assert_eq!(nothing(Looked::All, &all), "Nothing was recorded.");
        let filtered = "Nothing of that kind was recorded in the last hour; without the filter there may be more.";
        assert_eq!(nothing(Looked::All, &bobs), filtered);
        for wanted in [&all, &bobs] {
            assert!(nothing(Looked::Last(0), wanted).contains("older records were not"));
            assert!(nothing(Looked::Last(1_000), wanted).contains("None of the last 1000 records"));
        }
    }
}
