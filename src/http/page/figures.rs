//! The page of the five figures, and of the charts.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};

use super::{
    Visitor,
    chart::{self, Chart},
    frame::{Frame, Here},
    page as answer,
    words::filters,
};
use crate::{
    chronicle::{Known, Share, Span},
    http::{
        App, Problem, figures,
        figures::{FiguresOf, WantedFigures},
    },
};

/// The periods that are offered, in days.
const PERIODS: [(u32, &str); 4] = [(7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "a year")];
/// How many pipelines are offered to choose from; with more of them the name is written.
const OFFERED: usize = 200;

/// The figures.
#[derive(Template)]
#[template(path = "figures.html")]
struct Page {
    frame: Frame,
    wanted: WantedFigures,
    view: FiguresOf,
    /// The pipelines there are to choose from.
    pipelines: Vec<String>,
    charts: [Chart; 2],
}

/// One of the five.
struct Five {
    name: &'static str,
    value: String,
    note: String,
    how: &'static str,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(wanted): Query<WantedFigures>,
) -> Result<Response, Problem> {
    let view = figures::of(&app, &visitor.caller, &wanted).await?;
    let seen = |p: &&Arc<crate::pipelines::Pipeline>| p.environments.iter().any(|e| visitor.caller.sees(&e.id));
    let pipelines = app.pipelines.iter().filter(seen).map(|p| p.name.to_string()).take(OFFERED).collect();
    let frame = Frame::new("Figures", address(&wanted), app.clock.now()).of(&visitor);
    let charts = Chart::both(&view.counts, view.by);
    answer(&Page { frame: Frame { here: Here::Figures, ..frame }, wanted, view, pipelines, charts })
}

impl Page {
    /// What the figures are of, in a few words.
    fn of_what(&self) -> String {
        match self.view.environments.as_slice() {
            [] => "no environment".to_owned(),
            [one] => one.clone(),
            [one, two] => format!("{one} and {two}"),
            all => format!("{} environments", all.len()),
        }
    }

    fn five(&self) -> Vec<Five> {
        let f = &self.view.figures;
        let build = f.since_build.words.as_ref();
        let build = build.map_or_else(String::new, |words| format!("; {words} from the build"));
        vec![
            Five {
                name: "Change lead time",
                value: value(&f.lead_time),
                note: format!("{}{build}", known(&f.lead_time, "median, commit to live")),
                how: "From the commit until users have it for the first time; the middle one of all. Known where the pipeline has a `[source]` and its mirror has the commit. The time from the announcement of the build stands beside it.",
            },
            Five {
                name: "Deployment frequency",
                value: f.per_day.map_or_else(unknown, |per_day| format!("{per_day} a day")),
                note: format!("{} went live in {} days", f.deployments, self.view.days),
                how: "How often users got a deployment. An adoption does not count: what it takes over was there.",
            },
            Five {
                name: "Failed deployment recovery time",
                value: value(&f.recovery_time),
                note: known(&f.recovery_time, "median, failed to good again"),
                how: "For each failed deployment, from when users had it, or from when it was seen down, until they had a good release again: the one before, or the next that went live and was good.",
            },
            Five {
                name: "Change fail rate",
                value: percent(&f.failed),
                note: format!("{} of {} rolled back, failed or repaired", f.failed.count, f.failed.of),
                how: "The share of deployments that users had and that were rolled back, recovered from, failed, or followed by one that repairs an incident. A rollback is not blamed for the release that it took back. What failed before users saw it does not count.",
            },
            Five {
                name: "Deployment rework rate",
                value: percent(&f.rework),
                note: format!("{} of {} repair an incident or bring a release back", f.rework.count, f.rework.of),
                how: "The share of deployments that nobody had planned: those that somebody marked \"This repairs an incident\" (`--repairs`), and those that bring an earlier release back.",
            },
        ]
    }

    fn periods(&self) -> Vec<(&'static str, String, bool)> {
        let to = |days| address(&WantedFigures { days: Some(days), ..self.wanted.clone() });
        PERIODS.map(|(days, words)| (words, to(days), self.view.days == days)).into()
    }

    fn spans(&self) -> Vec<(&'static str, String, bool)> {
        let to = |by| address(&WantedFigures { by: Some(by), ..self.wanted.clone() });
        Span::ALL.map(|(span, word)| (word, to(span), self.view.by == span)).into()
    }

    fn by_name(&self) -> String {
        serde_urlencoded::to_string(WantedFigures { by: self.wanted.by, ..WantedFigures::default() })
            .unwrap_or_default()
            .replace("by=", "")
    }

    /// What a row of the table is called, the newest first.
    fn rows(&self) -> Vec<(String, &crate::chronicle::Counts)> {
        self.view.counts.iter().rev().map(|counts| (chart::name(counts, self.view.by), counts)).collect()
    }

    fn nothing_counted(&self) -> bool {
        self.view.counts.iter().all(|counts| counts.all() == 0)
    }

    #[expect(clippy::unused_self, reason = "the template asks it")]
    fn legend(&self) -> [(&'static str, &'static str); 5] {
        chart::PARTS
    }
}

fn unknown() -> String {
    "not known".to_owned()
}

fn value(known: &Known) -> String {
    known.words.clone().unwrap_or_else(unknown)
}

/// What a median is of, and of how many nothing is known.
fn known(known: &Known, what: &str) -> String {
    match (known.of, known.unknown) {
        (0, 0) => "there was none".to_owned(),
        (0, unknown) => format!("of none of {unknown}"),
        (of, 0) => format!("{what}, of {of}"),
        (of, unknown) => format!("{what}, of {of}; not known of {unknown}"),
    }
}

fn percent(share: &Share) -> String {
    share.percent.map_or_else(unknown, |percent| format!("{percent}\u{a0}%"))
}

fn address(wanted: &WantedFigures) -> String {
    let query = serde_urlencoded::to_string(wanted).expect("words and numbers make a query");
    if query.is_empty() { "/figures".to_owned() } else { format!("/figures?{query}") }
}
